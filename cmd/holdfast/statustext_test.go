package main

import (
	"strings"
	"testing"

	"holdfast"
	"holdfast/node"
)

func ago(seconds float64) *float64 { return &seconds }

// leadersStatus is how node 1 sees a cluster that it leads.
func leadersStatus() *node.Status {
	return &node.Status{
		Cluster: &node.ClusterStatus{Name: "shop", ID: "00ff", Node: 1, Leader: 1, Leads: true,
			Members: []node.MemberStatus{
				{ID: 1},
				{ID: 2, Heard: ago(0.25), Behind: &node.BehindStatus{Shards: 1, Transactions: 7, Seconds: 0.2}},
				{ID: 3, Heard: ago(95), Behind: &node.BehindStatus{Shards: 2, Transactions: 1240, Seconds: 95.2,
					More: true}},
			}},
		Shards: []node.ShardStatus{
			{ID: 1, Kind: "catalog", Leader: 1, Term: 3, Committed: 120, Applied: 120,
				Replicas: []node.ReplicaStatus{{Node: 2}, {Node: 3}}},
			{ID: 12, Kind: "table", Table: "orders", Leader: 1, Term: 40, Committed: 90210, Applied: 90208,
				Replicas: []node.ReplicaStatus{{Node: 2, Behind: 7, Seconds: 0.2},
					{Node: 3, Behind: 40, Seconds: 12.3}}},
			{ID: 13, Kind: "index", Table: "orders", Index: "by-town", Leader: 1, Term: 5, Committed: 2000,
				Applied: 2000,
				Replicas: []node.ReplicaStatus{{Node: 2},
					{Node: 3, Behind: 1200, Seconds: 95.2, More: true, Learner: true}}},
			{ID: 14, Kind: "removed", Table: "old", Leader: 1, Term: 5, Committed: 3, Applied: 3,
				Outdated: []holdfast.NodeID{3}, Replicas: []node.ReplicaStatus{{Node: 2}, {Node: 3, Outdated: true}}},
			{ID: 15, Kind: "copy", Term: 7, Committed: 9, Applied: 9},
		},
		Problems: []node.Problem{
			{Code: "shards_leaderless", Refused: true, Node: 1, Text: "writes are refused: shard 15 of copies"},
			{Code: "node_silent", Node: 3, Text: "node 3 isn't heard for 95 s"},
		},
	}
}

// followersStatus is how node 2 sees the same cluster, and that node 3 doesn't answer.
func followersStatus() *node.Status {
	return &node.Status{
		Cluster: &node.ClusterStatus{Name: "shop", ID: "00ff", Node: 2, Leader: 1,
			Members: []node.MemberStatus{{ID: 1, Heard: ago(0.1)}, {ID: 2}, {ID: 3}}},
		Shards:   []node.ShardStatus{{ID: 1, Kind: "catalog", Leader: 1, Term: 3, Committed: 120, Applied: 118}},
		Problems: []node.Problem{{Code: "node_silent", Node: 3, Text: "node 3 isn't heard since node 2 started"}},
		Others: []node.OtherStatus{
			{Node: 1, Status: leadersStatus()}, {Node: 3, Error: "there is no connection to node 3"},
		},
	}
}

const statusShards = `
shards   5, of which node 1 leads 4

shard  leader  term  committed  unapplied  of                       lacking on other nodes
   15    none     7          9          0  copy                     the leader knows
   14       1     5          3          0  removed table old        node 3: 0, -, outdated
   13       1     5       2000          0  index by-town of orders  node 3: 1200, over 95 s, a learner
   12       1    40      90210          2  table orders             node 2: 7, < 1 s; node 3: 40, 12 s
    1       1     3        120          0  catalog                  nothing
`

// What is wrong comes first, and those shards with which something is.
func TestStatusText(t *testing.T) {
	want := `refused  writes are refused: shard 15 of copies
warning  node 3 isn't heard for 95 s

cluster  shop (00ff), 3 nodes

node  lacks  of shards        for  state
   1      -          -          -  this node, leads
   2      7          1      < 1 s  heard 0.2 s ago
   3   1240          2  over 95 s  heard 95.0 s ago
` + statusShards
	if got := statusText(leadersStatus()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	want = `refused  writes are refused: shard 15 of copies
warning  node 3 isn't heard since node 2 started

cluster  shop (00ff), 3 nodes

node  lacks  of shards        for  state
   1      -          -          -  heard 0.1 s ago, leads
   2      7          1      < 1 s  this node
   3   1240          2  over 95 s  not heard since this node started, doesn't answer: there is no connection to node 3
` + statusShards
	if got := statusText(followersStatus()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}

	alone := followersStatus()
	alone.Others, alone.Problems = nil, nil
	want = `cluster  shop (00ff), 3 nodes

node  lacks  of shards  for  state
   1      ?          ?    ?  heard 0.1 s ago, leads
   2      ?          ?    ?  this node
   3      ?          ?    ?  not heard since this node started

shards   1, of which node 2 leads 0

shard  leader  term  committed  unapplied  of       lacking on other nodes
    1       1     3        120          2  catalog  the leader knows
`
	if got := statusText(alone); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestStatusTextOfOthers(t *testing.T) {
	s := leadersStatus()
	s.Cluster.Leads = false
	if got := statusText(s); !strings.Contains(got, "this node, is about to lead\n") {
		t.Errorf("got\n%s\nwant that the node is about to lead", got)
	}
	s.Cluster.Members[1].Joins = &node.JoinStatus{Replaces: 5, Groups: 1, Of: 2}
	const joins = "heard 0.2 s ago, takes the place of node 5: has 1 of 2 groups\n"
	if got := statusText(s); !strings.Contains(got, joins) {
		t.Errorf("got\n%s\nwant %s", got, joins)
	}
	for id := range holdfast.ShardID(300) {
		s.Shards = append(s.Shards, node.ShardStatus{ID: 100 + id, Leader: 1})
	}
	const more = "\nand 105 more, with which less is wrong, or nothing: --json has all\n"
	if got := statusText(s); !strings.HasSuffix(got, more) {
		t.Errorf("got\n%s\nwant that there are more shards", got)
	}
	full := &node.Status{Problems: []node.Problem{{Code: "disk_full", Refused: true, Text: "the disk is full"}}}
	if got := statusText(full); got != "refused  the disk is full\n\n"+
		"the tables are on this node alone: it belongs to no cluster\n" {
		t.Errorf("got %q; want that there is no cluster, and that the disk is full", got)
	}
	got := statusText(&node.Status{Meeting: &node.MeetingStatus{Name: "shop", Address: "a:1", Nodes: 3,
		Known: []string{"a:1", "b:1"}, Met: []string{"b:1"}, Missing: []string{"c:1", "d:1"},
		Unfit: map[string]string{"d:1": "it is another's"}}})
	want := `cluster  shop isn't formed yet: 2 of 3 nodes are known
node at a:1: this node, which waits for the others
node at b:1: met
node at c:1: not met since this node started
node at d:1: it doesn't fit: it is another's
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	got = statusText(&node.Status{Meeting: &node.MeetingStatus{Name: "shop", Address: "e:1", Nodes: 3, Replaces: 2,
		Known: []string{"e:1"}, Unfit: map[string]string{"a:1": "node 2 runs"}}})
	want = `cluster  shop: this node asks to join in the place of node 2
node at a:1: node 2 runs
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
