package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast"
	"holdfast/catalog"
	"holdfast/cluster"
	"holdfast/config"
	"holdfast/group"
	"holdfast/internal/peer"
	"holdfast/rpc"
)

// meetCluster starts a cluster of three nodes, as if they had met, but for those at some places, which
// are lost before they have a replica of anything.
func meetCluster(t *testing.T, groups func(*group.Options), without ...int) *testCluster {
	t.Helper()
	c := &testCluster{t: t, configs: meetingConfigs(t, 3), nodes: make([]*Node, 3), log: testLog(), groups: groups}
	slices.SortFunc(c.configs, func(a, b config.Config) int { // the IDs follow from the addresses
		return strings.Compare(a.Cluster.Advertise, b.Cluster.Advertise)
	})
	f := rpc.Formed{Cluster: cluster.NewID(), Name: "shop"}
	for i := range c.configs {
		self := rpc.Member{Addr: c.configs[i].Cluster.Advertise, Incarnation: rpc.Incarnation{byte(i + 1)}}
		f.Members = append(f.Members, self)
	}
	for i, next := range c.configs {
		m := &meeting{fs: vfs.Default, dir: next.Tables.Data, options: Options{Config: next, Log: c.log}, log: c.log}
		err := cluster.Prepare(m.fs, m.dir, identityFrom(&f, f.Members[i]))
		if err := errors.Join(err, m.finish(&f)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.close(i)
		}
	})
	for i := range 3 {
		if !slices.Contains(without, i) {
			c.open(i)
		}
	}
	return c
}

// add adds the configuration of a new node, with an empty directory, and returns its place.
func (c *testCluster) add() int {
	next := c.configs[0]
	cl := *next.Cluster
	cl.Listen = peer.FreeAddresses(c.t, 1)[0]
	cl.Advertise = cl.Listen
	next.Cluster, next.Tables.Data = &cl, c.t.TempDir()
	c.configs, c.nodes = append(c.configs, next), append(c.nodes, nil)
	return len(c.configs) - 1
}

// join has the node at a place ask to join in the place of a lost one.
func (c *testCluster) join(i int, lost holdfast.NodeID) error {
	ctx, end := context.WithTimeout(c.t.Context(), time.Minute)
	defer end()
	o := Options{Config: c.configs[i], Log: c.log.With("node", i+1), Replace: lost}
	return errors.Join(Meet(ctx, &o), o.bound.close())
}

// awaitMembers waits until all nodes that run see that the cluster has those nodes, and that none of
// them joins any more.
func (c *testCluster) awaitMembers(want ...holdfast.NodeID) {
	c.t.Helper()
	seen := ""
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(10 * time.Millisecond) {
		seen = ""
		whole := true
		for i, n := range c.nodes {
			if n == nil {
				continue
			}
			var ids []holdfast.NodeID
			for _, m := range n.Status().Cluster.Members {
				ids = append(ids, m.ID)
				whole = whole && m.Joins == nil
			}
			whole = whole && slices.Equal(ids, want)
			seen += fmt.Sprintf("node %d: %+v\n", i+1, n.Status().Cluster.Members)
		}
		if whole {
			return
		}
	}
	c.t.Fatalf("got, after a minute:\n%swant the nodes %v, of which none joins", seen, want)
}

// wantVoters checks with which nodes all groups that a node has a replica of are.
func (c *testCluster) wantVoters(i int, want ...holdfast.NodeID) {
	c.t.Helper()
	all := c.nodes[i].tables.member.replicas.list()
	if len(all) < 2 || len(c.nodes[i].tables.member.replicas.joiner.list()) != 0 {
		c.t.Errorf("node %d: got %d replicas; want those of all groups", i+1, len(all))
	}
	for _, r := range all {
		for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
			m, _ := r.Members()
			if slices.Equal(m.Voters, want) && len(m.Learners) == 0 && !m.Joint() {
				break
			}
			if time.Since(began) > 10*time.Second {
				c.t.Errorf("node %d: got %+v in the group of shard %d; want the voters %v", i+1, *m, r.id, want)
				break
			}
		}
	}
}

// A node whose directory is gone is replaced under load. Then the cluster has three whole replicas of
// everything again: all that was acknowledged is there when the node fails that has led all the time.
func TestANodeIsReplaced(t *testing.T) {
	c := meetCluster(t, nil, 1)
	c.create(0, "people", createPeople)
	w := write(t, c.address(0), c.address(2))
	w.await(t, 50)
	if err := c.join(c.add(), 2); err != nil {
		t.Fatal(err)
	}
	if is := identityIn(t, c.configs[3]); is.Node != 4 || !slices.Equal(is.Members, []holdfast.NodeID{1, 3, 4}) {
		t.Errorf("got %v, with the members %v; want node 4 of 1, 3 and 4", is, is.Members)
	}
	c.open(3)
	c.create(3, "users", createUsers) // through it, while it joins
	c.awaitMembers(1, 3, 4)
	for _, i := range []int{0, 2, 3} {
		c.wantVoters(i, 1, 3, 4)
	}
	w.await(t, 50)
	first := c.leader()
	c.vanish(first)
	acked := w.end()
	for i, n := range c.nodes {
		if n != nil {
			c.expectPeople(i, acked)
			c.expect(i, "PutItem", person(5000+i, "Bonn"), "{")
		}
	}
	c.open(first)
	c.expectPeople(first, acked)
}

// A node that has had all is lost, and the others remove what it lacks from their logs: the new node
// gets snapshots of all shards, the catalog's among them, and then leads.
func TestANodeIsReplacedBySnapshots(t *testing.T) {
	c := meetCluster(t, shortLogs)
	c.create(0, "people", createPeople)
	for id := range 20 {
		c.expect(0, "PutItem", large(id, "Ulm"), "{")
	}
	c.awaitApplied(2)
	c.vanish(2)
	for id := range 60 {
		c.expect(id%2, "PutItem", large(id, "Bonn"), "{")
	}
	for i := range 4 {
		name := fmt.Sprint("new", i)
		c.create(1, name, strings.Replace(createPeople, "people", name, 1))
	}
	c.awaitTrims(c.leader())
	if err := c.joinSoon(c.add(), 3); err != nil {
		t.Fatal(err)
	}
	c.open(3)
	c.awaitMembers(1, 2, 4)
	c.awaitApplied(3)
	if s := c.nodes[3].tables.member.snapshots(); s.Received == 0 {
		t.Errorf("got %+v; want snapshots", s)
	}
	c.nodes[c.leader()].tables.member.replicas.of(catalog.ShardID).Transfer(4)
	for began := time.Now(); c.leader() != 3; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("got no lead of node 4 within a minute")
		}
	}
	c.close(0)
	for id := range 60 {
		c.expect(3, "GetItem", read(id, true), "Bonn")
	}
	c.expect(3, "PutItem", strings.Replace(large(1, "Kiel"), "people", "new3", 1), "{")
	c.close(1)
	c.close(3)
	c.check(3)
}

// joinSoon is join of a node whose lost one may have been heard just now.
func (c *testCluster) joinSoon(i int, lost holdfast.NodeID) (err error) {
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(100 * time.Millisecond) {
		if err = c.join(i, lost); err == nil || !strings.Contains(err.Error(), "runs: it was heard") {
			break
		}
	}
	return err
}

// What a cluster doesn't take, and what it says.
func TestNodesThatAreNotTaken(t *testing.T) {
	c := meetCluster(t, nil, 1)
	four := c.add()
	refused := func(i int, lost holdfast.NodeID, want string) {
		t.Helper()
		if err := c.join(i, lost); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("node %d in the place of %d: got %v; want %q", i+1, lost, err, want)
		}
	}
	refused(four, 3, "node 3 runs")
	refused(four, 9, "the cluster has no node 9")
	c.configs[four].Cluster.Name = "store"
	refused(four, 2, `the cluster here is "shop"`)
	c.configs[four].Cluster.Name = "shop"
	taken := c.configs[four].Cluster.Advertise
	c.configs[four].Cluster.Advertise = c.configs[0].Cluster.Advertise
	refused(four, 2, "node 1 has the address")
	c.configs[four].Cluster.Advertise = taken
	refused(0, 2, "is the directory of node 1")
	if err := c.join(four, 2); err != nil { // the refusals have left nothing
		t.Fatal(err)
	}
	refused(c.add(), 2, "node 2 was replaced before, by node 4")
	refused(four, 1, "is the directory of node 4")
	if err := c.join(four, 2); err != nil { // a start with the same flag
		t.Error(err)
	}
	c.open(four)
	c.awaitMembers(1, 3, 4)

	// The replaced node's directory isn't started.
	n, err := Open(Options{Config: c.configs[1], WithoutCache: true, Log: c.log})
	if err == nil {
		select {
		case err = <-n.Failed():
		case <-time.After(time.Minute):
			t.Fatal("got no failure of the replaced node within a minute")
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	const gone = "node 2 was lost, and node 4 at "
	if !strings.Contains(err.Error(), gone) || !strings.Contains(err.Error(), "--replace") {
		t.Errorf("got %v; want %q, and what to do", err, gone)
	}
	if _, err = Open(Options{Config: c.configs[1], WithoutCache: true, Log: c.log}); err == nil ||
		!strings.Contains(err.Error(), gone) {
		t.Errorf("at a later start: got %v; want %q", err, gone)
	}
	// Nor does a node that is one of the cluster meet the others with an empty one.
	c.close(0)
	if err := os.RemoveAll(c.configs[0].Tables.Data); err != nil {
		t.Fatal(err)
	}
	if err := meet(t.Context(), c.configs[0]); err == nil ||
		!strings.Contains(err.Error(), "node 1 has that address") || !strings.Contains(err.Error(), "4 at ") ||
		strings.Contains(err.Error(), "2 at ") || !strings.Contains(err.Error(), "--replace ID") {
		t.Errorf("got %v; want the present nodes, the one that has the address, and --replace ID", err)
	}
}

// The replacement goes on, whichever node ends in the middle of it, and comes back.
func TestReplacementsGoOn(t *testing.T) {
	learns := func(c *testCluster) bool { // some group has the new node
		return c.count(func(m *group.Members) bool { return m.Has(4) }) > 0
	}
	votes := func(c *testCluster) bool { // some group has it in the place of the lost one
		return c.count(func(m *group.Members) bool { return m.Votes(4) }) > 0
	}
	for n, test := range []struct {
		what  string
		when  func(*testCluster) bool
		which func(*testCluster) int
	}{
		{"the leader, before the new node has started", nil, (*testCluster).leader},
		{"the leader, when the new node learns", learns, (*testCluster).leader},
		{"the leader, when the new node votes", votes, (*testCluster).leader},
		{"the new node, when it learns", learns, func(*testCluster) int { return 3 }},
		{"the new node, when it votes", votes, func(*testCluster) int { return 3 }},
		{"the follower, when the new node learns", learns, func(c *testCluster) int { return 2 - c.leader() }},
	} {
		t.Run(test.what, func(t *testing.T) {
			if t.Parallel(); testing.Short() && n%2 == 0 {
				t.Skip("takes long")
			}
			c := meetCluster(t, nil, 1)
			c.create(0, "people", createPeople)
			w := write(t, c.address(0), c.address(2))
			w.await(t, 20)
			if err := c.join(c.add(), 2); err != nil {
				t.Fatal(err)
			}
			if test.when != nil {
				c.open(3)
				for began := time.Now(); !test.when(c); time.Sleep(time.Millisecond) {
					if time.Since(began) > time.Minute {
						t.Fatal("it didn't come to that within a minute")
					}
				}
			}
			i := test.which(c)
			c.vanish(i)
			c.open(i)
			if c.nodes[3] == nil {
				c.open(3)
			}
			c.awaitMembers(1, 3, 4)
			for _, i := range []int{0, 2, 3} {
				c.wantVoters(i, 1, 3, 4)
			}
			c.expectPeople(3, w.end())
		})
	}
}

// count returns how many replicas there are, on all nodes, of groups with such members.
func (c *testCluster) count(such func(*group.Members) bool) (n int) {
	for _, x := range c.nodes {
		if x == nil {
			continue
		}
		for _, r := range x.tables.member.replicas.list() {
			if m, _ := r.Members(); such(m) {
				n++
			}
		}
	}
	return n
}

// A node that was killed at any step of making its directory that of a new node joins with the same ID
// when it is started again.
func TestKilledWhileItJoins(t *testing.T) {
	c := meetCluster(t, nil, 1)
	four := c.add()
	dir := c.configs[four].Tables.Data
	incarnation, err := cluster.Draw(vfs.Default, dir)
	if err != nil {
		t.Fatal(err)
	}
	drawn, err := os.ReadFile(filepath.Join(dir, "cluster.incarnation"))
	if err != nil {
		t.Fatal(err)
	}
	run := func(fs vfs.FS) error {
		o := Options{Config: c.configs[four], Log: c.log, Replace: 2}
		m := &meeting{fs: fs, dir: dir, options: o, log: c.log}
		return errors.Join(m.join(t.Context()), m.bound.close())
	}
	killed := 0
	for ; ; killed++ {
		err := os.RemoveAll(dir)
		err = errors.Join(err, os.MkdirAll(dir, 0o700),
			os.WriteFile(filepath.Join(dir, "cluster.incarnation"), drawn, 0o600))
		if err != nil {
			t.Fatal(err)
		}
		op := 0
		kill := errorfs.InjectorFunc(func(o errorfs.Op) error {
			if o.Kind.ReadOrWrite() != errorfs.OpIsWrite {
				return nil
			}
			if op++; op > killed {
				return errors.New("killed")
			}
			return nil
		})
		first := run(errorfs.Wrap(vfs.Default, kill))
		if first == nil {
			break
		}
		found, err := cluster.Look(vfs.Default, dir)
		if err != nil {
			t.Fatal(err)
		}
		if killed > 0 { // before that it hasn't asked, and would join as one more node
			err = Meet(t.Context(), &Options{Config: c.configs[four], Log: c.log})
			whole := found.State == cluster.Formed
			if refused := errors.Is(err, holdfast.Invalid) || errors.Is(err, holdfast.Refused); refused == whole {
				t.Errorf("killed at step %d, and started without --replace: got %v; want it refused: %t", killed, err,
					!whole)
			}
		}
		if err := run(vfs.Default); err != nil {
			t.Fatalf("killed at step %d (%v): %v", killed, first, err)
		}
		is := identityIn(t, c.configs[four])
		if is.Node != 4 || is.Replaces != 2 || is.Self().Incarnation != incarnation || is.Store == [16]byte{} {
			t.Fatalf("killed at step %d: got %+v; want node 4, with its store", killed, *is)
		}
	}
	if killed < 8 {
		t.Errorf("got %d steps; want more", killed)
	}
	c.open(four)
	c.awaitMembers(1, 3, 4)
}

// What is done to a group's members follows from them and the nodes alone.
func TestStepsOfMembers(t *testing.T) {
	ids := func(all ...holdfast.NodeID) []holdfast.NodeID { return all }
	n := nodesOf(&cluster.Identity{Members: ids(1, 2, 3), Met: make([]cluster.Member, 3)})
	for i := range n.All {
		n.All[i].Incarnation = fmt.Sprint(i)
		n.All[i].Address = fmt.Sprint(i)
	}
	one, err := n.Replace(2, catalog.Node{Incarnation: "4", Address: "4"}, 9)
	if err != nil {
		t.Fatal(err)
	}
	two, err := one.Replace(4, catalog.Node{Incarnation: "5", Address: "5"}, 9)
	if err != nil {
		t.Fatal(err)
	}
	spare, err := n.Add(catalog.Node{Incarnation: "4", Address: "4"})
	if err != nil {
		t.Fatal(err)
	}
	leaves, err := spare.Leave(1, 9)
	if err != nil {
		t.Fatal(err)
	}
	five, err := leaves.Add(catalog.Node{Incarnation: "5", Address: "5"})
	if err != nil {
		t.Fatal(err)
	}
	both, err := five.Leave(2, 9)
	if err != nil {
		t.Fatal(err)
	}
	late, err := five.Leave(4, 9)
	if err != nil {
		t.Fatal(err)
	}
	type members = group.Members
	for _, test := range []struct {
		what  string
		nodes *catalog.Nodes
		is    members
		want  []group.Change
	}{
		{"nobody was replaced", n, members{Voters: ids(1, 2, 3)}, nil},
		{"first", one, members{Voters: ids(1, 2, 3)}, []group.Change{{Add: 4}}},
		{"it learns", one, members{Voters: ids(1, 2, 3), Learners: ids(4)}, []group.Change{{Promote: 4, Remove: 2}}},
		{"joint", one, members{Voters: ids(1, 3, 4), Outgoing: ids(1, 2, 3)}, nil},
		{"done", one, members{Voters: ids(1, 3, 4), Removed: ids(2)}, nil},
		{"founded later", one, members{Voters: ids(1, 3, 4)}, nil},
		{"behind the catalog", n, members{Voters: ids(1, 3, 4), Removed: ids(2)}, nil},
		{"behind, and it learns", n, members{Voters: ids(1, 2, 3), Learners: ids(4)}, nil},
		{"lost, too, before any group had it", two, members{Voters: ids(1, 2, 3)}, []group.Change{{Add: 5}}},
		{"lost while it learned", two, members{Voters: ids(1, 2, 3), Learners: ids(4)},
			[]group.Change{{Remove: 4}, {Add: 5}}},
		{"lost while it learned, later", two, members{Voters: ids(1, 2, 3), Learners: ids(5), Removed: ids(4)},
			[]group.Change{{Promote: 5, Remove: 2}}},
		{"lost when it voted", two, members{Voters: ids(1, 3, 4), Removed: ids(2)}, []group.Change{{Add: 5}}},
		{"a spare", spare, members{Voters: ids(1, 2, 3)}, []group.Change{{Add: 4}}},
		{"a spare learns", spare, members{Voters: ids(1, 2, 3), Learners: ids(4)}, nil},
		{"one leaves", leaves, members{Voters: ids(1, 2, 3), Learners: ids(4)},
			[]group.Change{{Promote: 4, Remove: 1}}},
		{"one leaves before the spare learns", leaves, members{Voters: ids(1, 2, 3)}, []group.Change{{Add: 4}}},
		{"one has left", leaves, members{Voters: ids(2, 3, 4), Removed: ids(1)}, nil},
		{"one leaves that hasn't voted", leaves, members{Voters: ids(2, 3, 4), Learners: ids(1)}, nil},
		{"it was removed", leaves.Remove(1), members{Voters: ids(2, 3, 4), Learners: ids(1)},
			[]group.Change{{Remove: 1}}},
		{"two leave", both, members{Voters: ids(1, 2, 3), Learners: ids(4, 5)},
			[]group.Change{{Promote: 4, Remove: 1}, {Promote: 5, Remove: 1}}},
		{"one of them has left", both, members{Voters: ids(2, 3, 4), Learners: ids(5), Removed: ids(1)},
			[]group.Change{{Promote: 5, Remove: 2}}},
		{"the next one leaves, too", late, members{Voters: ids(1, 2, 3), Learners: ids(4, 5)},
			[]group.Change{{Promote: 5, Remove: 1}}},
		{"both vote", two, members{Voters: ids(1, 2, 3, 5)}, []group.Change{{Remove: 2}}},
	} {
		if got := stepsOf(test.nodes, &test.is); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %+v; want %+v", test.what, got, test.want)
		}
	}
}
