package node

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/shard"
	"holdfast/table"
)

func heard(seconds float64) *float64 { return &seconds }

// threeMembers is how node 1, which leads, sees a cluster of three in which nothing is wrong.
func threeMembers() *Status {
	return &Status{
		Cluster: &ClusterStatus{Node: 1, Leader: 1, Leads: true, Members: []MemberStatus{
			{ID: 1}, {ID: 2, Heard: heard(0.1)}, {ID: 3, Heard: heard(0.2)},
		}},
		Shards: []ShardStatus{
			{ID: 1, Kind: table.UseCatalog, Leader: 1},
			{ID: 5, Kind: table.UseTable, Table: "orders", Leader: 1},
			{ID: 6, Kind: table.UseTable, Table: "orders", Leader: 1},
			{ID: 7, Kind: table.UseIndex, Table: "orders", Index: "by-town", Leader: 1},
		},
	}
}

func TestProblems(t *testing.T) {
	const consistent = "writes, and reads with ConsistentRead, are refused: "
	for _, test := range []struct {
		what string
		full bool
		is   func(s *Status)
		want []string // code, "refused" or "warning", and a part of the text
	}{
		{"nothing", false, func(*Status) {}, nil},
		{"a node alone", true, func(s *Status) { s.Cluster, s.Shards = nil, nil },
			[]string{"disk_full refused writes are refused, the disk is full: 5 MiB free, they are accepted again with 9 MiB"}},
		{"the disk of a node that doesn't lead", true, func(s *Status) { s.Cluster.Leader, s.Cluster.Leads = 2, false },
			[]string{"disk_full warning the disk of node 1 is full: it has 5 MiB free, and needs 9 MiB"}},
		{"no majority", false, func(s *Status) {
			s.Cluster.Leader, s.Cluster.Leads = 0, false
			s.Cluster.Members[1].Heard, s.Cluster.Members[2].Heard = heard(7.4), nil
		}, []string{
			"no_majority refused " + consistent + "node 1 hears 1 of the 3 nodes that vote, itself included, and " +
				"a majority is 2: start nodes 2, 3, or repair the network",
			"node_silent warning node 2 isn't heard for 7 s: it is down",
			"node_silent warning node 3 isn't heard since node 1 started: it is down",
		}},
		{"a follower of tables that wait for all is down", false, func(s *Status) {
			s.Cluster.Members[2].Heard = heard(1.2)
			for i, ack := range []string{"sync", "sync", "semisync:1"} {
				x := &s.Shards[i+1]
				x.Acknowledge, x.Replicas = ack, []ReplicaStatus{{Node: 2}, {Node: 3}, {Node: 4, Learner: true}}
			}
			s.Shards[3].Table = "users"
		}, []string{"acknowledge_unmet refused writes to table orders are refused: it acknowledges sync, and node 3 " +
			"isn't heard, or confirms nothing: start it, or have writes wait for less: \"holdfast table set orders " +
			"holdfast:acknowledge=semisync\""}},
		{"a follower confirms nothing", false, func(s *Status) {
			s.Shards[1].Acknowledge = "semisync:2"
			s.Shards[1].Replicas = []ReplicaStatus{{Node: 2}, {Node: 3, Behind: 4, Seconds: 2}}
		}, []string{"acknowledge_unmet refused writes to table orders are refused: it acknowledges semisync:2, and " +
			"node 3 isn't heard, or confirms nothing"}},
		{"too few followers", false, func(s *Status) {
			s.Shards[1].Acknowledge, s.Shards[1].Replicas = "semisync:3", []ReplicaStatus{{Node: 2}, {Node: 3}}
		}, []string{"acknowledge_unmet refused writes to table orders are refused: it acknowledges semisync:3, and " +
			"there are only 2 followers"}},
		{"a node wasn't heard in the leader's term", false, func(s *Status) {
			s.Cluster.Members[2].Heard, s.Cluster.Members[2].Behind = nil, &BehindStatus{Unheard: 3}
		}, []string{"node_silent warning node 3 isn't heard since node 1 started: it is down, stopped, or cut off; " +
			"what it lacks isn't known, since it wasn't heard since node 1 leads"}},
		{"no leader", false, func(s *Status) { s.Cluster.Leader, s.Cluster.Leads = 0, false },
			[]string{"no_leader refused " + consistent + "no node is known to lead, although node 1 hears 3 of 3"}},
		{"no leader, and a node is away", false, func(s *Status) {
			s.Cluster.Leader, s.Cluster.Leads, s.Cluster.Members[2].Heard = 0, false, heard(2)
		}, []string{
			"no_leader refused " + consistent + "no node is known to lead, although node 1 hears 2 of 3",
			"node_silent warning node 3 isn't heard for 2 s: it is down, stopped, or cut off",
		}},
		{"about to lead", false, func(s *Status) { s.Cluster.Leads = false },
			[]string{"starting refused requests wait: node 1 is about to lead"}},
		{"shards without a leader", false, func(s *Status) {
			for i := range s.Shards[1:] {
				s.Shards[1+i].Leader = 0
			}
		}, []string{
			"shards_leaderless refused " + consistent + "shards 5, 6 of table orders: node 1 knows no leader",
			"shards_leaderless refused " + consistent + "shard 7 of index by-town of table orders: node 1 knows",
		}},
		{"a node is down", false, func(s *Status) {
			s.Cluster.Members[1].Heard = heard(12.3)
			s.Cluster.Members[1].Behind = &BehindStatus{Shards: 2, Transactions: 40, Seconds: 12}
		}, []string{"node_silent warning node 2 isn't heard for 12 s: it is down, stopped, or cut off; it lacks 40 " +
			"transactions of 2 shards; if another node fails, writes are refused"}},
		{"replicas differ", false, func(s *Status) {
			s.Cluster.Differ = []Comparison{{Shard: 5, Name: "shard 5", Result: Undecided}, {Shard: 6, Name: "shard 6"}}
		}, []string{"replicas_differ warning replicas differ: ", "replicas_differ warning replicas differ: "}},
		{"a node lags", false, func(s *Status) {
			s.Cluster.Members[1].Behind = &BehindStatus{Shards: 2, Transactions: 40, Seconds: 12}
			s.Cluster.Members[2].Behind = &BehindStatus{Shards: 2, Transactions: 40, Seconds: 0.9}
		}, []string{"replica_lags warning node 2 is heard, and lacks 40 transactions of 2 shards, for 12 s: "}},
		{"this disk hangs, and is full, and that one is outdated", true, func(s *Status) {
			s.Shards[1].Still, s.Shards[2].Still = 6.2, 3
			s.Shards[0].Outdated, s.Shards[3].Outdated = []holdfast.NodeID{3}, []holdfast.NodeID{3}
		}, []string{
			"disk_full refused writes are refused, the disk is full: 5 MiB free",
			"outdated warning node 3 lacks what it has acknowledged of shards 1, 7: ",
			"hangs warning node 1 has applied nothing to shard 5 for 6 s",
		}},
	} {
		s := threeMembers()
		test.is(s)
		got := problemsOf(s, shard.Space{Full: test.full, FreeBytes: 5 << 20, NeededBytes: 8<<20 + 1,
			ReserveBytes: 8 << 20})
		if len(got) != len(test.want) {
			t.Errorf("%s: got %d problems, %+v; want %d", test.what, len(got), got, len(test.want))
			continue
		}
		for i, p := range got {
			kind := "warning"
			if p.Refused {
				kind = "refused"
			}
			if text := p.Code + " " + kind + " " + p.Text; !strings.HasPrefix(text, test.want[i]) {
				t.Errorf("%s: got\n%s\nwant\n%s…", test.what, text, test.want[i])
			}
			if !slices.Contains(problemCodes[:], p.Code) {
				t.Errorf("%s: the code %s isn't one of those of metrics", test.what, p.Code)
			}
		}
	}
	many := make([]holdfast.ShardID, 30)
	if got, want := shardsText(many), "shards 0, 0, 0, 0, 0, 0, 0, 0 and 22 more"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
}

// What a node lacks is the sum of its shards, for as long as the one that has lacked something longest.
func TestBehindOf(t *testing.T) {
	all := []ShardStatus{
		{ID: 1, Replicas: []ReplicaStatus{{Node: 2, Behind: 3, Seconds: 1}, {Node: 3}}},
		{ID: 2, Replicas: []ReplicaStatus{{Node: 2, Behind: 4, Seconds: 7, More: true}, {Node: 3}}},
		{ID: 3, Replicas: []ReplicaStatus{{Node: 2, Behind: 1, Seconds: 2}}},
		{ID: 4},
	}
	if got := behindOf(2, all); got == nil || *got != (BehindStatus{Shards: 3, Transactions: 8, Seconds: 7,
		More: true}) {
		t.Errorf("got %+v; want 8 transactions of three shards, for more than 7 s", got)
	}
	if got := behindOf(3, all); got == nil || *got != (BehindStatus{}) {
		t.Errorf("got %+v; want nothing", got)
	}
	if got := behindOf(1, all); got != nil {
		t.Errorf("got %+v; want that it isn't known", got)
	}
}

// The names of the JSON stay as they are.
func TestFormOfStatus(t *testing.T) {
	s := Status{
		Cluster: &ClusterStatus{Name: "shop", ID: "00ff", Node: 1, Leader: 1, Leads: true, Members: []MemberStatus{
			{ID: 2, Heard: heard(0.5), Behind: &BehindStatus{Shards: 1, Transactions: 2, Seconds: 3.5, More: true}}}},
		Shards: []ShardStatus{{ID: 7, Kind: table.UseIndex, Table: "orders", Index: "by-town", Leader: 1, Term: 2,
			Committed: 9, Applied: 8, LogBytes: 70, Outdated: []holdfast.NodeID{3},
			Behind:   map[holdfast.NodeID]uint64{2: 2},
			Still:    6,
			Replicas: []ReplicaStatus{{Node: 2, Behind: 2, Seconds: 3.5, More: true, Learner: true, Outdated: true}}}},
		Problems: []Problem{{Code: ProblemSilent, Node: 3, Table: "orders", Shards: []holdfast.ShardID{7},
			Text: "why"}},
		Others: []OtherStatus{{Node: 3, Error: "no"}},
	}
	const want = `{"version":"","meeting":null,` +
		`"cluster":{"name":"shop","id":"00ff","node":1,"leader":1,"leads":true,"members":[{"id":2,` +
		`"heard_seconds_ago":0.5,"behind":{"shards":1,"transactions":2,"seconds":3.5,"more":true}}],"differ":null},` +
		`"shards":[{"id":7,"kind":"index","table":"orders","index":"by-town","leader":1,"term":2,"committed":9,` +
		`"applied":8,"asleep":false,"log_bytes":70,"outdated":[3],"behind":{"2":2},"replicas":[{"node":2,"learner":true,"behind":2,` +
		`"behind_seconds":3.5,"more":true,"outdated":true}],"still_seconds":6}],` +
		`"problems":[{"code":"node_silent","refused":false,"node":3,"table":"orders","shards":[7],"text":"why"}],` +
		`"others":[{"node":3,"status":null,"error":"no"}]}`
	if got, err := json.Marshal(s); err != nil || string(got) != want {
		t.Errorf("got\n%s, %v\nwant\n%s", got, err, want)
	}
}

// statusOf returns what node i+1 shows at a path.
func (c *testCluster) statusOf(i int, path string) (s Status) {
	c.t.Helper()
	status, text := get(c.t, c.nodes[i], path)
	if status != http.StatusOK {
		c.t.Fatalf("%s: got %d %s; want 200", path, status, text)
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		c.t.Fatal(err)
	}
	return s
}

// awaitStatus waits until node i+1 shows something.
func (c *testCluster) awaitStatus(i int, what string, shows func(s *Status) bool) (s Status) {
	c.t.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(20 * time.Millisecond) {
		if s = c.statusOf(i, "/status"); shows(&s) {
			return s
		}
	}
	text, _ := json.MarshalIndent(s, "", " ")
	c.t.Fatalf("node %d doesn't show within a minute that %s: got %s", i+1, what, text)
	return s
}

func (s *Status) has(code string) bool {
	return slices.ContainsFunc(s.Problems, func(p Problem) bool { return p.Code == code })
}

// The status of a cluster: what shards are for, what a node that is away lacks and for how long, as the
// leading node sees it and each other can ask it, and what is refused when there is no majority.
func TestStatusOfACluster(t *testing.T) {
	c := openCluster(t, 3)
	c.create(0, "people", createPeople)
	c.expect(0, "PutItem", person(1, "Ulm"), "{")
	leads := c.leader()
	away, other := (leads+1)%3, (leads+2)%3
	s := c.awaitStatus(leads, "nothing is wrong", func(s *Status) bool {
		return len(s.Problems) == 0 && s.Cluster.Members[away].Behind != nil
	})
	kinds := map[string]int{}
	for _, x := range s.Shards {
		kinds[x.Kind+" "+x.Table+" "+x.Index]++
		if len(x.Replicas) != 2 {
			t.Errorf("shard %d: got %+v; want both other replicas", x.ID, x.Replicas)
		}
	}
	for _, want := range []string{"catalog  ", "ledger  ", "table people ", "index people by-town"} {
		if kinds[want] == 0 {
			t.Errorf("got shards of %v; want some of %q", kinds, want)
		}
	}

	id := holdfast.NodeID(away + 1)
	c.close(away)
	for n := range 10 {
		c.expect(leads, "PutItem", person(10+n, "Ulm"), "{")
	}
	s = c.awaitStatus(leads, "a node is away and lacks something", func(s *Status) bool {
		b := s.Cluster.Members[away].Behind
		return s.has(ProblemSilent) && b != nil && b.Transactions >= 10 && b.Seconds >= 1.5
	})
	const warns = "if another node fails, writes are refused"
	if p := s.Problems[0]; p.Node != id || p.Refused || !strings.Contains(p.Text, warns) {
		t.Errorf("got %+v; want that node %d isn't heard", p, id)
	}
	whole := c.statusOf(other, "/status?nodes=all")
	for _, o := range whole.Others {
		switch {
		case o.Node == id && (o.Status != nil || o.Error == ""):
			t.Errorf("got %+v of a node that is closed; want an error", o)
		case o.Node != id && (o.Status == nil || !o.Status.Cluster.Leads || o.Status.Others != nil):
			t.Errorf("got %+v; want how the leading node sees it", o)
		}
	}
	if len(whole.Others) != 2 {
		t.Errorf("got %d others; want two", len(whole.Others))
	}

	c.vanish(other)
	s = c.awaitStatus(leads, "there is no majority", func(s *Status) bool { return s.has(ProblemNoMajority) })
	if p := s.Problems[0]; !p.Refused || p.Code != ProblemNoMajority {
		t.Errorf("got %+v first; want what is refused", s.Problems)
	}
	if _, body := get(t, c.nodes[leads], "/metrics"); !strings.Contains(body,
		`holdfast_cluster_problems{problem="no_majority"} 1`) {
		t.Error("/metrics: got no problem; want that there is no majority")
	}
	c.open(away)
	c.awaitStatus(leads, "there is a leader again", func(s *Status) bool {
		return s.Cluster.Leader != 0 && !s.has(ProblemNoMajority)
	})
}
