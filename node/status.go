package node

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"holdfast"
	"holdfast/group"
	"holdfast/table"
)

// statusPath is where a node shows its Status.
const statusPath = "/status"

// A Status is how a node sees its cluster and the groups of its shards.
type Status struct {
	Version string         `json:"version"`
	Meeting *MeetingStatus `json:"meeting"` // null: the node doesn't wait for others to form a cluster
	Cluster *ClusterStatus `json:"cluster"` // null: the tables are on this node alone, or the cluster isn't formed yet
	Shards  []ShardStatus  `json:"shards"`  // of a cluster: those with a replica here, by rising ID

	Problems []Problem `json:"problems"` // those that have requests refused first

	// Others are how the other nodes see the cluster; null unless that was asked for.
	Others []OtherStatus `json:"others,omitempty"`
}

// A MeetingStatus is how far a node is that waits for others to form a cluster. Nodes are named by
// the addresses at which others reach them.
type MeetingStatus struct {
	Name     string            `json:"name"`
	Address  string            `json:"address"`            // this node's
	Nodes    int               `json:"nodes"`              // that the cluster is to have
	Joins    bool              `json:"joins,omitempty"`    // the cluster is formed, and this node asks to join it
	Replaces holdfast.NodeID   `json:"replaces,omitempty"` // the lost node in whose place this one asks to join
	Known    []string          `json:"known"`              // this node among them
	Met      []string          `json:"met"`                // since its start
	Missing  []string          `json:"missing"`            // the others, and the seeds that aren't known
	Unfit    map[string]string `json:"unfit"`              // that can't be of this cluster, and why
}

// A ClusterStatus is how a node sees the other nodes.
type ClusterStatus struct {
	Name    string          `json:"name"`
	ID      string          `json:"id"`
	Node    holdfast.NodeID `json:"node"`   // this one
	Leader  holdfast.NodeID `json:"leader"` // 0: none is known
	Leads   bool            `json:"leads"`  // this node executes the requests of all
	Members []MemberStatus  `json:"members"`
	Differ  []Comparison    `json:"differ"` // of a node that leads: shards whose replicas were found to differ; else null
}

// A MemberStatus is what a node knows of another, or of itself.
type MemberStatus struct {
	ID    holdfast.NodeID `json:"id"`
	Heard *float64        `json:"heard_seconds_ago"` // null: not since the start, or this node
	Joins *JoinStatus     `json:"joins,omitempty"`   // of a node that some groups don't have yet

	Spare   bool `json:"spare,omitempty"`   // it has all, and its vote counts in no group
	Leaving bool `json:"leaving,omitempty"` // it is being removed

	Drained bool `json:"drained,omitempty"` // it is to be taken down: it leads nothing, as far as others can

	// Behind is what the node lacks of the groups that the node with this status leads; null: of none.
	Behind *BehindStatus `json:"behind"`
}

// A BehindStatus is what replicas lack of what is committed.
type BehindStatus struct {
	Shards       int     `json:"shards"`            // whose replica lacks something
	Transactions uint64  `json:"transactions"`      // of all shards
	Seconds      float64 `json:"seconds"`           // of the shard that has lacked something for longest
	More         bool    `json:"more"`              // it may be longer: the leader hasn't led for longer
	Unheard      int     `json:"unheard,omitempty"` // shards of which it isn't known: they aren't counted above
}

// A ShardStatus is how a node's replica of a shard sees its group.
type ShardStatus struct {
	ID     holdfast.ShardID `json:"id"`
	Kind   string           `json:"kind"` // see table.ShardUse
	Table  string           `json:"table,omitempty"`
	Index  string           `json:"index,omitempty"`
	Leader holdfast.NodeID  `json:"leader"`

	Acknowledge string `json:"acknowledge,omitempty"` // of a table's shard: what writes wait for

	Term      uint64 `json:"term"`
	Committed uint64 `json:"committed"` // index of the last entry that is known to be committed
	Applied   uint64 `json:"applied"`   // index of the last entry that is applied here
	Asleep    bool   `json:"asleep"`    // the group has nothing to do

	LogBytes uint64 `json:"log_bytes"` // that the entries of the replica's log have, about

	// Outdated are the nodes whose replicas are known to lack what they have acknowledged: they run
	// with older copies of their directories.
	Outdated []holdfast.NodeID `json:"outdated,omitempty"`

	// Behind is, for each other member, how many committed entries aren't known to be on its disk. Only
	// the leader knows; null elsewhere.
	Behind map[holdfast.NodeID]uint64 `json:"behind"`

	// Replicas are what the other replicas lack, by rising node. Only the leader knows; null elsewhere.
	Replicas []ReplicaStatus `json:"replicas"`

	// Still is for how long this replica has applied nothing, although something is committed.
	Still float64 `json:"still_seconds,omitempty"`
}

// A ReplicaStatus is how far another replica of a shard is behind the leader.
type ReplicaStatus struct {
	Node     holdfast.NodeID `json:"node"`
	Learner  bool            `json:"learner,omitempty"` // it counts for no acknowledgement
	Behind   uint64          `json:"behind"`            // committed transactions that aren't known to be on its disk
	Seconds  float64         `json:"behind_seconds"`    // since it had all that was committed, to a second
	More     bool            `json:"more,omitempty"`    // it may be longer: the leader hasn't led for longer
	Outdated bool            `json:"outdated,omitempty"`

	// Unheard says that the leader hasn't heard in its term what the replica has: Behind counts all.
	Unheard bool `json:"unheard,omitempty"`
}

func (n *Node) serveStatus(w http.ResponseWriter, r *http.Request) {
	s := n.Status()
	if r.URL.Query().Get("nodes") == "all" && s.Cluster != nil {
		ctx, end := context.WithTimeout(r.Context(), othersTime)
		defer end()
		s.Others = n.tables.member.others(ctx)
	}
	writeJSON(w, s)
}

// Status returns how the node sees its cluster.
func (n *Node) Status() Status {
	s := Status{Version: holdfast.Version, Shards: []ShardStatus{}, Problems: []Problem{}}
	if n.meeting != nil {
		s.Meeting = n.meeting.status()
	}
	if n.tables == nil {
		return s
	}
	if m := n.tables.member; m != nil {
		m.status(&s, table.Uses(n.tables.store), n.tables.store.Leads())
	}
	s.Problems = append(s.Problems, problemsOf(&s, n.tables.disk.Space())...)
	return s
}

// status adds how the node sees its cluster.
func (m *member) status(s *Status, uses table.ShardUses, leads bool) {
	s.Cluster = &ClusterStatus{
		Name: m.is.Name, ID: m.is.Cluster.String(), Node: m.is.Node, Leader: m.forwarder.leader(), Leads: leads,
		Differ: m.compared.differing(),
	}
	joins := m.joins()
	nodes := m.roster.known()
	for _, id := range m.roster.members() {
		member := MemberStatus{ID: id, Joins: joins[id], Drained: nodes.Drained(id)}
		if nodes != nil {
			member.Spare = !slices.Contains(nodes.Voters(nodes.Replicas()), id)
			member.Leaving = nodes.Node(id).Leaving
		}
		if at := m.transport.Heard(id); !at.IsZero() {
			ago := time.Since(at).Seconds()
			member.Heard = &ago
		}
		s.Cluster.Members = append(s.Cluster.Members, member)
	}
	s.Shards = append(s.Shards, m.shards()...)
	for i := range s.Shards {
		x := &s.Shards[i]
		use := uses.Of(x.ID)
		x.Kind, x.Table, x.Index = use.Kind, use.Table, use.Index
		if x.Kind == table.UseTable {
			x.Acknowledge = use.Acknowledge.String()
		}
	}
	for i := range s.Cluster.Members {
		x := &s.Cluster.Members[i]
		x.Behind = behindOf(x.ID, s.Shards)
	}
}

// behindOf returns what a node lacks of the shards whose other replicas are known; nil if none are.
func behindOf(id holdfast.NodeID, all []ShardStatus) (sum *BehindStatus) {
	for i := range all {
		for _, r := range all[i].Replicas {
			if r.Node != id {
				continue
			}
			if sum == nil {
				sum = new(BehindStatus)
			}
			if r.Unheard {
				sum.Unheard++
				continue
			}
			if r.Behind == 0 {
				continue
			}
			sum.Shards++
			sum.Transactions += r.Behind
			if r.Seconds >= sum.Seconds {
				sum.Seconds, sum.More = r.Seconds, r.More
			}
		}
	}
	return sum
}

// shards returns how the replicas on this node see their groups, by rising ID.
func (m *member) shards() (all []ShardStatus) {
	now := time.Now()
	for _, r := range m.replicas.list() {
		g := r.Status()
		m.lags.observe(r.id, &g, now, 0)
		s := shardStatus(m.is.Node, r.id, g)
		for i := range s.Replicas {
			x := &s.Replicas[i]
			match := g.Match[x.Node]
			if x.Learner {
				match = g.Learning[x.Node]
			}
			lag, more := m.lags.behind(r.id, match, now)
			x.Seconds, x.More = lag.Seconds(), more
		}
		s.Still = m.lags.still(r.id, now).Seconds()
		all = append(all, s)
	}
	return all
}

func shardStatus(self holdfast.NodeID, id holdfast.ShardID, g group.Status) ShardStatus {
	s := ShardStatus{ID: id, Leader: g.Leader, Term: g.Term, Committed: g.Committed, Applied: g.Applied,
		Asleep: g.Asleep, LogBytes: g.LogBytes, Outdated: g.Outdated}
	if g.Match == nil {
		return s
	}
	s.Behind, s.Replicas = map[holdfast.NodeID]uint64{}, []ReplicaStatus{}
	add := func(of map[holdfast.NodeID]uint64, learner bool) {
		for member, match := range of {
			if member == self {
				continue
			}
			behind := g.Committed - min(g.Committed, match)
			s.Replicas = append(s.Replicas, ReplicaStatus{Node: member, Learner: learner, Behind: behind,
				Unheard: match == 0 && behind > 0, Outdated: slices.Contains(g.Outdated, member)})
			if !learner {
				s.Behind[member] = behind
			}
		}
	}
	add(g.Match, false)
	add(g.Learning, true)
	slices.SortFunc(s.Replicas, func(a, b ReplicaStatus) int { return cmp.Compare(a.Node, b.Node) })
	return s
}

// outdated returns how many replicas on this node lack what they have acknowledged.
func (m *member) outdated() (n int) {
	for _, r := range m.replicas.list() {
		if slices.Contains(r.Status().Outdated, m.is.Node) {
			n++
		}
	}
	return n
}

// health describes the node's part in its cluster.
func (m *member) health() string {
	if n := m.outdated(); n > 0 {
		return fmt.Sprintf("tables: %d replicas on this node lack what they have acknowledged: its directory was put "+
			"back from an older copy, or its disk loses what was synced; put the directory back as it was", n)
	}
	if fault := m.compared.health(); fault != "" {
		return fault
	}
	if s := m.joins()[m.is.Node]; s != nil {
		return fmt.Sprintf("tables: this node joins the cluster, and %d of %d groups have it yet: until then it answers "+
			"no reads itself", s.Groups, s.Of)
	}
	switch leader := m.forwarder.leader(); {
	case leader == 0:
		return "tables: no node is known to lead: writes and reads with ConsistentRead are refused, " +
			"other reads are answered from what this node has"
	case leader == m.is.Node && !m.forwarder.leads():
		return "tables: this node is about to lead"
	}
	return ""
}
