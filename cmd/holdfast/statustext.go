package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"holdfast"
	"holdfast/node"
)

// maxShards is how many shards a status for people has.
const maxShards = 200

// statusText returns a status for people: what is wrong, the nodes, and the shards, those first with
// which something is wrong.
func statusText(s *node.Status) string {
	var out strings.Builder
	out.WriteString(problemsText(problemsOf(s)))
	switch {
	case s.Meeting != nil:
		out.WriteString(meetingText(s.Meeting))
	case s.Cluster == nil:
		out.WriteString("the tables are on this node alone: it belongs to no cluster\n")
	default:
		out.WriteString(clusterText(s))
	}
	return out.String()
}

// problemsOf returns the problems that any node sees. If several see one, it is that of the node that
// was asked, or else of the first.
func problemsOf(s *node.Status) (all []node.Problem) {
	add := func(more []node.Problem) {
		before := all
		for _, p := range more {
			same := func(q node.Problem) bool { return q.Code == p.Code && q.Node == p.Node && q.Table == p.Table }
			if !slices.ContainsFunc(before, same) {
				all = append(all, p)
			}
		}
	}
	add(s.Problems)
	for _, o := range s.Others {
		if o.Status != nil {
			add(o.Status.Problems)
		}
	}
	slices.SortStableFunc(all, func(a, b node.Problem) int { return compareFlags(b.Refused, a.Refused) })
	return all
}

// compareFlags orders false before true.
func compareFlags(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// problemsText is empty if there are none.
func problemsText(all []node.Problem) string {
	if len(all) == 0 {
		return ""
	}
	var out strings.Builder
	for _, p := range all {
		kind := "warning"
		if p.Refused {
			kind = "refused"
		}
		fmt.Fprintf(&out, "%s  %s\n", kind, p.Text)
	}
	return out.String() + "\n"
}

// leading returns the status of the node that leads, which knows what the others lack: that of the
// node that was asked if there is no other.
func leading(s *node.Status) *node.Status {
	for _, o := range s.Others {
		if !s.Cluster.Leads && o.Status != nil && o.Status.Cluster != nil && o.Status.Cluster.Leads {
			return o.Status
		}
	}
	return s
}

func clusterText(s *node.Status) string {
	var out strings.Builder
	c, l := s.Cluster, leading(s)
	fmt.Fprintf(&out, "cluster  %s (%s), %d nodes\n\n", c.Name, c.ID, len(c.Members))
	out.WriteString(membersText(s, l))
	fmt.Fprintf(&out, "\nshards   %d, of which node %d leads %d\n\n", len(l.Shards), l.Cluster.Node, leadsOf(l))
	out.WriteString(shardsText(l))
	return out.String()
}

// membersText has a line for each node: s is how the node that was asked sees it, and l the one that
// leads.
func membersText(s, l *node.Status) string {
	rows := [][]string{{"node", "lacks", "of shards", "for", "state"}}
	for i := range s.Cluster.Members {
		m := &s.Cluster.Members[i]
		lacks, shards, since := "?", "?", "?"
		for _, x := range l.Cluster.Members {
			switch b := x.Behind; {
			case x.ID != m.ID:
			case b != nil && b.Unheard > 0 && b.Transactions == 0:
				lacks, shards, since = "not heard", fmt.Sprint(b.Unheard), "?"
			case b != nil:
				lacks, shards, since = fmt.Sprint(b.Transactions), fmt.Sprint(b.Shards), secondsText(b.Seconds, b.More)
			case x.ID == l.Cluster.Node && l.Cluster.Leads:
				lacks, shards, since = "-", "-", "-"
			}
		}
		rows = append(rows, []string{fmt.Sprint(m.ID), lacks, shards, since, memberText(s, m)})
	}
	return columns(rows, 4)
}

func memberText(s *node.Status, m *node.MemberStatus) string {
	c := s.Cluster
	var words []string
	switch {
	case m.ID == c.Node:
		words = append(words, "this node")
	case m.Heard == nil:
		words = append(words, "not heard since this node started")
	default:
		words = append(words, fmt.Sprintf("heard %.1f s ago", *m.Heard))
	}
	switch {
	case m.Joins != nil:
		words = append(words, joinText(m.Joins))
	case m.ID != c.Leader && m.Spare:
		words = append(words, "spare")
	case m.ID != c.Leader:
	case m.ID == c.Node && !c.Leads:
		words = append(words, "is about to lead")
	default:
		words = append(words, "leads")
	}
	if m.Leaving {
		words = append(words, "is being removed")
	}
	if m.Drained {
		words = append(words, "drained")
	}
	for _, o := range s.Others {
		if o.Node == m.ID && o.Status == nil {
			words = append(words, "doesn't answer: "+o.Error)
		}
	}
	return strings.Join(words, ", ")
}

// joinText says how far a node is that joins.
func joinText(s *node.JoinStatus) string {
	if s.Replaces == 0 {
		return fmt.Sprintf("joins: has %d of %d groups", s.Groups, s.Of)
	}
	return fmt.Sprintf("takes the place of node %d: has %d of %d groups", s.Replaces, s.Groups, s.Of)
}

// secondsText returns for how long something is lacked.
func secondsText(seconds float64, more bool) string {
	text := fmt.Sprintf("%.0f s", seconds)
	switch {
	case seconds == 0:
		return "-"
	case more:
		return "over " + text
	case seconds < 1:
		return "< 1 s"
	}
	return text
}

// shardsText has a line for each shard as a node sees it.
func shardsText(s *node.Status) string {
	shards := slices.Clone(s.Shards)
	slices.SortStableFunc(shards, func(a, b node.ShardStatus) int {
		return cmp.Or(cmp.Compare(rank(&a), rank(&b)), cmp.Compare(longest(&b), longest(&a)), cmp.Compare(a.ID, b.ID))
	})
	rows := [][]string{{"shard", "leader", "term", "committed", "unapplied", "of", "lacking on other nodes"}}
	for i := range shards[:min(len(shards), maxShards)] {
		x := &shards[i]
		rows = append(rows, []string{fmt.Sprint(x.ID), leaderText(x.Leader), fmt.Sprint(x.Term),
			fmt.Sprint(x.Committed), fmt.Sprint(x.Committed - min(x.Committed, x.Applied)), useText(x), lackText(x)})
	}
	text := columns(rows, 5)
	if more := len(shards) - maxShards; more > 0 {
		text += fmt.Sprintf("and %d more, with which less is wrong, or nothing: --json has all\n", more)
	}
	return text
}

// rank is lower the more is wrong with a shard.
func rank(s *node.ShardStatus) int {
	switch {
	case s.Leader == 0:
		return 0
	case len(s.Outdated) > 0:
		return 1
	case longest(s) >= 1:
		return 2
	}
	return 3
}

// longest returns for how long, in whole seconds, one of the other replicas lacks something.
func longest(s *node.ShardStatus) (seconds int) {
	for _, r := range s.Replicas {
		seconds = max(seconds, int(r.Seconds))
	}
	return seconds
}

func useText(s *node.ShardStatus) string {
	switch {
	case s.Index != "":
		return "index " + s.Index + " of " + s.Table
	case s.Kind == "removed":
		return "removed table " + s.Table
	case s.Table != "":
		return "table " + s.Table
	}
	return s.Kind
}

// lackText says what the other replicas lack, as far as the node knows.
func lackText(s *node.ShardStatus) string {
	if s.Replicas == nil {
		return "the leader knows"
	}
	var words []string
	for _, r := range s.Replicas {
		if r.Behind == 0 && !r.Outdated {
			continue
		}
		word := fmt.Sprintf("node %d: %d, %s", r.Node, r.Behind, secondsText(r.Seconds, r.More))
		if r.Unheard {
			word = fmt.Sprintf("node %d: not heard", r.Node)
		}
		if r.Learner {
			word += ", a learner"
		}
		if r.Outdated {
			word += ", outdated"
		}
		words = append(words, word)
	}
	return cmp.Or(strings.Join(words, "; "), "nothing")
}

func leadsOf(s *node.Status) (n int) {
	for i := range s.Shards {
		if s.Shards[i].Leader == s.Cluster.Node {
			n++
		}
	}
	return n
}

func leaderText(id holdfast.NodeID) string {
	if id == 0 {
		return "none"
	}
	return fmt.Sprint(id)
}

// columns aligns the cells of rows: those of the first columns, so many, to the right.
func columns(rows [][]string, right int) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var out strings.Builder
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i < right {
				line += space + cell + "  "
			} else {
				line += cell + space + "  "
			}
		}
		out.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return out.String()
}

// meetingText says for whom a node waits.
func meetingText(m *node.MeetingStatus) string {
	var out strings.Builder
	line := func(address, text string) { fmt.Fprintf(&out, "node at %s: %s\n", address, text) }
	if m.Joins || m.Replaces != 0 {
		place := ""
		if m.Replaces != 0 {
			place = fmt.Sprintf(" in the place of node %d", m.Replaces)
		}
		fmt.Fprintf(&out, "cluster  %s: this node asks to join%s\n", m.Name, place)
		for _, address := range slices.Sorted(maps.Keys(m.Unfit)) {
			line(address, m.Unfit[address])
		}
		return out.String()
	}
	fmt.Fprintf(&out, "cluster  %s isn't formed yet: %d of %d nodes are known\n", m.Name, len(m.Known), m.Nodes)
	line(m.Address, "this node, which waits for the others")
	for _, address := range m.Met {
		line(address, "met")
	}
	for _, address := range m.Missing {
		if m.Unfit[address] == "" {
			line(address, "not met since this node started")
		}
	}
	for _, address := range slices.Sorted(maps.Keys(m.Unfit)) {
		line(address, "it doesn't fit: "+m.Unfit[address])
	}
	return out.String()
}
