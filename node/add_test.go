package node

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast"
	"holdfast/cluster"
	"holdfast/group"
)

// wantMembers waits until all groups that a node has a replica of have those members.
func (c *testCluster) wantMembers(i int, voters, learners []holdfast.NodeID) {
	c.t.Helper()
	m := &c.nodes[i].tables.member.replicas
	fits := func(is *group.Members) bool {
		return slices.Equal(is.Voters, voters) && slices.Equal(is.Learners, learners) && !is.Joint()
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		all, wrong := m.list(), 0
		for _, r := range all {
			if is, _ := r.Members(); !fits(is) {
				wrong++
			}
		}
		if len(all) > 1 && wrong+len(m.joiner.list()) == 0 {
			return
		}
		if time.Since(began) > time.Minute {
			c.t.Fatalf("node %d: got %d of %d groups, and %d to join, that don't have the voters %v and the "+
				"learners %v", i+1, wrong, len(all), len(m.joiner.list()), voters, learners)
		}
	}
}

// A node whose seeds have formed their cluster before joins it under load, whatever number it expects.
// It has all then, answers reads that any node may answer, and votes nowhere: the others go on without it,
// and it doesn't without them.
func TestANodeIsAdded(t *testing.T) {
	c := meetCluster(t, nil)
	c.create(0, "people", createPeople)
	w := write(t, c.address(0), c.address(2))
	w.await(t, 50)
	four := c.add()
	c.configs[four].Cluster.Expect = 5
	if err := c.join(four, 0); err != nil {
		t.Fatal(err)
	}
	if is := identityIn(t, c.configs[four]); is.Node != 4 || !is.Added || len(is.Members) != 4 {
		t.Errorf("got %+v; want node 4 of 4", is)
	}
	c.open(four)
	c.create(four, "users", createUsers) // through it, while it joins
	c.awaitMembers(1, 2, 3, 4)
	for i := range 4 {
		c.wantMembers(i, []holdfast.NodeID{1, 2, 3}, []holdfast.NodeID{4})
	}
	if s := c.nodes[four].Status(); !s.Cluster.Members[3].Spare || s.Cluster.Members[0].Spare {
		t.Errorf("got %+v; want that node 4 is a spare", s.Cluster.Members)
	}
	w.await(t, 50)
	acked := w.end()
	c.awaitApplied(four)
	before := c.nodes[four].tables.member.forwarder.forwarded.Load()
	c.expectSoon(four, "GetItem", read(slices.Max(keysOf(acked)), false), `"id"`)
	if after := c.nodes[four].tables.member.forwarder.forwarded.Load(); after != before {
		t.Errorf("got %d reads forwarded by the new node; want that it answers them", after-before)
	}
	c.expectPeople(four, acked) // consistent
	c.vanish(four)
	c.expect(0, "PutItem", person(5000, "Bonn"), "{")
	c.open(four)
	c.vanish((c.leader() + 1) % 3)
	c.expect(four, "PutItem", person(5001, "Bonn"), "{") // by a majority without it
	c.expect(four, "GetItem", read(5001, true), "Bonn")
}

func keysOf(acked map[int]bool) (ids []int) {
	for id := range acked {
		ids = append(ids, id)
	}
	return ids
}

// What an additional node is refused for, and what it may do.
func TestNodesThatAreNotAdded(t *testing.T) {
	c := meetCluster(t, nil)
	four := c.add()
	refused := func(i int, want ...string) {
		t.Helper()
		err := c.join(i, 0)
		for _, want := range want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("node %d: got %v; want %q", i+1, err, want)
			}
		}
	}
	c.configs[four].Cluster.Name = "store"
	refused(four, `the cluster here is "shop"`)
	c.configs[four].Cluster.Name = "shop"
	if err := c.join(four, 0); err != nil {
		t.Fatal(err)
	}
	c.open(four)
	c.awaitMembers(1, 2, 3, 4)

	// A start as another node.
	if err := c.join(four, 2); err == nil || !strings.Contains(err.Error(), "is the directory of node 4") {
		t.Errorf("got %v; want that it is the directory of node 4", err)
	}
	// Its directory is emptied.
	c.close(four)
	if err := os.RemoveAll(c.configs[four].Tables.Data); err != nil {
		t.Fatal(err)
	}
	refused(four, "node 4 has that address", "--replace ID")
	five := c.add()
	if err := c.joinSoon(five, 4); err != nil {
		t.Fatal(err)
	}
	c.open(five)
	c.awaitMembers(1, 2, 3, 5)
	c.wantMembers(0, []holdfast.NodeID{1, 2, 3}, []holdfast.NodeID{5})
}

// The nodes of a cluster that one process has formed take no others, and say so.
func TestNoNodeIsAddedToNodesOfOneProcess(t *testing.T) {
	c := openCluster(t, 3)
	next := meetingConfigs(t, 1)[0]
	next.Cluster.Name = c.configs[0].Cluster.Name
	next.Cluster.Seeds = []string{c.configs[0].Cluster.Members[0].Address}
	next.Cluster.Expect = 3
	if err := meet(t.Context(), next); !errors.Is(err, holdfast.Refused) ||
		!strings.Contains(err.Error(), "one process has formed the cluster") {
		t.Errorf("got %v; want it refused, with what has formed the cluster", err)
	}
}

// A node that was killed at any step of joining as one more joins with the same ID when it is started
// again, as it was.
func TestKilledWhileItIsAdded(t *testing.T) {
	c := meetCluster(t, nil)
	four := c.add()
	dir := c.configs[four].Tables.Data
	if _, err := cluster.Draw(vfs.Default, dir); err != nil {
		t.Fatal(err)
	}
	drawn, err := os.ReadFile(filepath.Join(dir, "cluster.incarnation"))
	if err != nil {
		t.Fatal(err)
	}
	run := func(fs vfs.FS) error {
		m := &meeting{fs: fs, dir: dir, options: Options{Config: c.configs[four], Log: c.log}, log: c.log}
		return errors.Join(m.run(t.Context()), m.bound.close())
	}
	killed := 0
	for ; ; killed++ {
		err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700),
			os.WriteFile(filepath.Join(dir, "cluster.incarnation"), drawn, 0o600))
		if err != nil {
			t.Fatal(err)
		}
		op := 0
		first := run(errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(o errorfs.Op) error {
			if o.Kind.ReadOrWrite() != errorfs.OpIsWrite {
				return nil
			}
			if op++; op > killed {
				return errors.New("killed")
			}
			return nil
		})))
		if first == nil {
			break
		}
		if found, err := cluster.Look(vfs.Default, dir); err != nil {
			t.Fatal(err)
		} else if found.State == cluster.Formed {
			continue
		}
		if err := run(vfs.Default); err != nil {
			t.Fatalf("killed at step %d (%v): %v", killed, first, err)
		}
		if is := identityIn(t, c.configs[four]); is.Node != 4 || !is.Added || is.Store == [16]byte{} {
			t.Fatalf("killed at step %d: got %+v; want node 4, with its store", killed, *is)
		}
	}
	if killed < 8 {
		t.Errorf("got %d steps; want more", killed)
	}
	c.open(four)
	c.awaitMembers(1, 2, 3, 4)
}
