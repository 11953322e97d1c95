package node

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"holdfast"
	"holdfast/shard"
	"holdfast/table"
)

// A Problem is why requests are refused, or will be soon.
type Problem struct {
	Code    string          `json:"code"`    // one of the Problem… below
	Refused bool            `json:"refused"` // requests are refused, or wait
	Node    holdfast.NodeID `json:"node,omitempty"`
	Table   string          `json:"table,omitempty"`

	// Shards are those that it is about; null: all, or none.
	Shards []holdfast.ShardID `json:"shards,omitempty"`
	Text   string             `json:"text"` // what is refused, why, and what to do
}

// The codes of problems. They are labels of metrics, too.
const (
	ProblemNoMajority = "no_majority"       // no node leads, and this one hears too few
	ProblemNoLeader   = "no_leader"         // no node leads
	ProblemStarting   = "starting"          // this node is about to lead
	ProblemShards     = "shards_leaderless" // the groups of some shards have no leader
	ProblemUnmet      = "acknowledge_unmet" // a table's writes are refused by holdfast:acknowledge
	ProblemDiskFull   = "disk_full"
	ProblemOutdated   = "outdated"        // a replica lacks what it has acknowledged
	ProblemDiffer     = "replicas_differ" // a comparison has found it
	ProblemHangs      = "hangs"           // this node applies nothing
	ProblemSilent     = "node_silent"     // another node isn't heard
	ProblemLags       = "replica_lags"    // another node is heard, and its replicas are behind
)

// problemCodes are all, those that have requests refused first.
var problemCodes = [...]string{
	ProblemNoMajority, ProblemNoLeader, ProblemStarting, ProblemShards, ProblemUnmet, ProblemDiskFull, ProblemOutdated,
	ProblemDiffer, ProblemHangs, ProblemSilent, ProblemLags,
}

// From when on, in seconds, something is a problem.
const (
	downSeconds   = 1.0 // as a leader takes a follower for one that is down
	silentSeconds = 2.0
	lagSeconds    = 5.0
	hangSeconds   = 5.0
)

// problemsOf returns the problems that a status shows, and that of the node's disk, those that have
// requests refused first.
func problemsOf(s *Status, disk shard.Space) (all []Problem) {
	if disk.Full {
		all = append(all, diskProblem(s.Cluster, disk))
	}
	if s.Cluster != nil {
		all = append(all, s.leaderProblems()...)
		all = append(all, s.unmet()...)
		all = append(all, s.replicaProblems()...)
		all = append(all, s.memberProblems()...)
	}
	place := func(p Problem) int {
		at := slices.Index(problemCodes[:], p.Code)
		if !p.Refused {
			at += len(problemCodes)
		}
		return at
	}
	slices.SortStableFunc(all, func(a, b Problem) int { return cmp.Compare(place(a), place(b)) })
	return all
}

// diskProblem is that the node's disk is full. A node of a cluster hands over then what it leads.
func diskProblem(c *ClusterStatus, disk shard.Space) Problem {
	p := Problem{Code: ProblemDiskFull, Refused: true, Text: fullText(disk)}
	if c == nil {
		return p
	}
	p.Node, p.Refused = c.Node, c.Leads
	if !c.Leads {
		p.Text = fmt.Sprintf("the disk of node %d is full: it has %d MiB free, and needs %d MiB (tables.reserve is %d "+
			"MiB); it doesn't lead, and writes go on while a majority of the nodes has space", c.Node,
			disk.FreeBytes>>20,
			inMiB(disk.NeededBytes), disk.ReserveBytes>>20)
	}
	return p
}

// fullText says what a full disk has refused.
func fullText(disk shard.Space) string {
	return fmt.Sprintf("writes are refused, the disk is full: %d MiB free, they are accepted again with %d MiB "+
		"(tables.reserve is %d MiB)", disk.FreeBytes>>20, inMiB(disk.NeededBytes), disk.ReserveBytes>>20)
}

// inMiB rounds up.
func inMiB(bytes int64) int64 { return (bytes + 1<<20 - 1) >> 20 }

// What is refused where a group has no leader.
const refusedConsistent = "writes, and reads with ConsistentRead, are refused: "

// leaderProblems are those of the leadership of all groups.
func (s *Status) leaderProblems() (all []Problem) {
	c := s.Cluster
	silent, voters := s.silent(true), c.voters()
	heard, needed := voters-len(silent), voters/2+1
	switch {
	case c.Leader == 0 && heard < needed:
		return []Problem{{Code: ProblemNoMajority, Refused: true, Node: c.Node, Text: refusedConsistent +
			fmt.Sprintf("node %d hears %d of the %d nodes that vote, itself included, and a majority is %d: start %s, "+
				"or repair the network; other reads are answered from what this node has", c.Node, heard, voters,
				needed, nodesText(silent))}}
	case c.Leader == 0:
		return []Problem{{Code: ProblemNoLeader, Refused: true, Node: c.Node, Text: refusedConsistent +
			fmt.Sprintf("no node is known to lead, although node %d hears %d of %d: an election takes about 2 s; if "+
				"it takes longer, look at the logs of all nodes", c.Node, heard, voters)}}
	case c.Leader == c.Node && !c.Leads:
		return []Problem{{Code: ProblemStarting, Refused: true, Node: c.Node,
			Text: fmt.Sprintf("requests wait: node %d is about to lead", c.Node)}}
	}
	return s.leaderless()
}

// leaderless are the shards without a leader, by table, while the catalog's group has one.
func (s *Status) leaderless() (all []Problem) {
	of := map[string][]holdfast.ShardID{}
	var names []string
	for i := range s.Shards {
		x := &s.Shards[i]
		if x.Leader != 0 {
			continue
		}
		name := x.subject()
		if of[name] == nil {
			names = append(names, name)
			all = append(all, Problem{Code: ProblemShards, Refused: true, Node: s.Cluster.Node, Table: x.Table})
		}
		of[name] = append(of[name], x.ID)
	}
	for i, name := range names {
		all[i].Shards = of[name]
		all[i].Text = refusedConsistent + fmt.Sprintf("%s of %s: node %d knows no leader", shardsText(of[name]), name,
			s.Cluster.Node)
	}
	return all
}

// unmet are the tables whose writes are refused, since what they wait for can't be had as things are.
// The node that leads knows.
func (s *Status) unmet() (all []Problem) {
	places := map[string]int{}
	for i := range s.Shards {
		x := &s.Shards[i]
		ack, err := holdfast.ParseAcknowledge(x.Acknowledge)
		if err != nil || !ack.Exceeds() || x.Replicas == nil {
			continue
		}
		followers, down := 0, []holdfast.NodeID(nil)
		for _, r := range x.Replicas {
			if r.Learner {
				continue
			}
			if followers++; s.isDown(&r) {
				down = append(down, r.Node)
			}
		}
		if followers-len(down) >= ack.Needs(followers) {
			continue
		}
		if at, ok := places[x.Table]; ok {
			all[at].Shards = append(all[at].Shards, x.ID)
			continue
		}
		places[x.Table] = len(all)
		why := fmt.Sprintf("there are only %d followers", followers)
		if len(down) > 0 {
			why = nodesText(down) + " isn't heard, or confirms nothing: start it"
		}
		text := fmt.Sprintf("writes to table %s are refused: it acknowledges %s, and %s, or have writes wait for less: "+
			"\"holdfast table set %s holdfast:acknowledge=semisync\"", x.Table, ack, why, x.Table)
		all = append(all, Problem{Code: ProblemUnmet, Refused: true, Node: s.Cluster.Node, Table: x.Table,
			Shards: []holdfast.ShardID{x.ID}, Text: text})
	}
	return all
}

// isDown reports whether a follower can't be expected to confirm what it is sent.
func (s *Status) isDown(r *ReplicaStatus) bool {
	for _, m := range s.Cluster.Members {
		if m.ID == r.Node && (m.Heard == nil || *m.Heard >= downSeconds) {
			return true
		}
	}
	return r.Outdated || r.Behind > 0 && r.Seconds >= silentSeconds
}

// subject names what a shard is of.
func (s *ShardStatus) subject() string {
	switch s.Kind {
	case table.UseTable:
		return "table " + s.Table
	case table.UseIndex:
		return "index " + s.Index + " of table " + s.Table
	case table.UseRemoved:
		return "the streams of removed table " + s.Table
	case table.UseCatalog:
		return "the catalog"
	case table.UseLedger:
		return "the ledger of transactions"
	}
	return "copies"
}

// replicaProblems are those of this node's replicas, and of others that are known to be outdated.
func (s *Status) replicaProblems() (all []Problem) {
	outdated := map[holdfast.NodeID][]holdfast.ShardID{}
	var hangs []holdfast.ShardID
	longest := 0.0
	for i := range s.Shards {
		x := &s.Shards[i]
		for _, node := range x.Outdated {
			outdated[node] = append(outdated[node], x.ID)
		}
		if x.Still >= hangSeconds {
			hangs, longest = append(hangs, x.ID), max(longest, x.Still)
		}
	}
	for _, m := range s.Cluster.Members {
		if ids := outdated[m.ID]; ids != nil {
			all = append(all, Problem{Code: ProblemOutdated, Node: m.ID, Shards: ids,
				Text: fmt.Sprintf("node %d lacks what it has acknowledged of %s: its directory was put back from an "+
					"older copy, or its disk loses what was synced; put the directory back as it was", m.ID,
					shardsText(ids))})
		}
	}
	for i := range s.Cluster.Differ {
		x := &s.Cluster.Differ[i]
		all = append(all, Problem{Code: ProblemDiffer, Node: s.Cluster.Node, Shards: []holdfast.ShardID{x.Shard},
			Text: fmt.Sprintf("replicas differ: %v", x)})
	}
	if hangs != nil {
		all = append(all, Problem{Code: ProblemHangs, Node: s.Cluster.Node, Shards: hangs,
			Text: fmt.Sprintf("node %d has applied nothing to %s for %.0f s, although something is committed: its "+
				"disk hangs, or is far too slow; reads with ConsistentRead, or with a token, go to the node that leads",
				s.Cluster.Node, shardsText(hangs), longest)})
	}
	return all
}

// memberProblems are those of other nodes.
func (s *Status) memberProblems() (all []Problem) {
	c := s.Cluster
	silent, votes := s.silent(false), s.silent(true)
	spare := c.voters() - len(votes) - (c.voters()/2 + 1)
	for _, m := range c.Members {
		switch {
		case slices.Contains(silent, m.ID):
			since := "since node " + fmt.Sprint(c.Node) + " started"
			if m.Heard != nil {
				since = fmt.Sprintf("for %.0f s", *m.Heard)
			}
			text := fmt.Sprintf("node %d isn't heard %s: it is down, stopped, or cut off", m.ID, since)
			if b := m.Behind; b != nil && b.Shards > 0 {
				text += fmt.Sprintf("; it lacks %d transactions of %d shards", b.Transactions, b.Shards)
			} else if b != nil && b.Unheard > 0 {
				text += fmt.Sprintf("; what it lacks isn't known, since it wasn't heard since node %d leads", c.Node)
			}
			if c.Leader != 0 && spare == 0 && slices.Contains(votes, m.ID) {
				text += "; if another node fails, writes are refused"
			}
			all = append(all, Problem{Code: ProblemSilent, Node: m.ID, Text: text})
		case m.Behind != nil && m.Behind.Seconds >= lagSeconds:
			b := m.Behind
			all = append(all, Problem{Code: ProblemLags, Node: m.ID, Text: fmt.Sprintf(
				"node %d is heard, and lacks %d transactions of %d shards, for %.0f s: it catches up, or its disk is "+
					"slow or hangs", m.ID, b.Transactions, b.Shards, b.Seconds)})
		}
	}
	return all
}

// voters returns how many of the nodes vote.
func (c *ClusterStatus) voters() (n int) {
	for _, m := range c.Members {
		if !m.Spare {
			n++
		}
	}
	return n
}

// silent returns the other nodes that this one hasn't heard lately, or those of them that vote.
func (s *Status) silent(voters bool) (all []holdfast.NodeID) {
	for _, m := range s.Cluster.Members {
		if voters && m.Spare {
			continue
		}
		if m.ID != s.Cluster.Node && (m.Heard == nil || *m.Heard >= silentSeconds) {
			all = append(all, m.ID)
		}
	}
	return all
}

// maxNamed is how many shards or nodes a text names.
const maxNamed = 8

func shardsText(ids []holdfast.ShardID) string { return namedIDs("shard", ids) }

func nodesText(ids []holdfast.NodeID) string { return namedIDs("node", ids) }

func namedIDs[ID holdfast.ShardID | holdfast.NodeID](what string, ids []ID) string {
	var words []string
	for _, id := range ids[:min(len(ids), maxNamed)] {
		words = append(words, fmt.Sprint(uint64(id)))
	}
	text := what + " " + strings.Join(words, ", ")
	if len(ids) > 1 {
		text = what + "s " + strings.Join(words, ", ")
	}
	if more := len(ids) - len(words); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
