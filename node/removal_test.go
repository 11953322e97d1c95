package node

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/group"
)

// remove asks node i+1 to have a node removed.
func (c *testCluster) remove(i int, id holdfast.NodeID) (is *Removal, err error) {
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(10 * time.Millisecond) {
		is, err = c.nodes[i].tables.member.steering.remove(c.t.Context(), id)
		if !errors.Is(err, holdfast.NotLeader) && !errors.Is(err, holdfast.Overloaded) &&
			!errors.Is(err, holdfast.Unavailable) {
			break
		}
	}
	return is, err
}

// awaitRemoved asks until a node is removed.
func (c *testCluster) awaitRemoved(i int, id holdfast.NodeID) {
	c.t.Helper()
	is, err := c.remove(i, id)
	for began := time.Now(); err != nil || !is.Done; is, err = c.remove(i, id) {
		if time.Since(began) > time.Minute {
			c.t.Fatalf("got %v, %v after a minute; want node %d removed", is, err, id)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// spared returns a cluster of three nodes, and one beside, which has all.
func spared(t *testing.T) *testCluster {
	t.Helper()
	c := meetCluster(t, nil)
	c.create(0, "people", createPeople)
	if err := c.join(c.add(), 0); err != nil {
		t.Fatal(err)
	}
	c.open(3)
	c.awaitMembers(1, 2, 3, 4)
	return c
}

// ended waits until a node has ended by itself, and closes it.
func (c *testCluster) ended(i int, want string) {
	c.t.Helper()
	select {
	case err := <-c.nodes[i].Failed():
		if !strings.Contains(err.Error(), want) {
			c.t.Errorf("node %d: got %v; want %q", i+1, err, want)
		}
	case <-time.After(time.Minute):
		c.t.Fatalf("node %d: got no end within a minute", i+1)
	}
	c.close(i)
}

// A node is removed under load, the one that leads or another: the spare votes in its place in all groups,
// the node ends, and nothing that was acknowledged is lost, also when another node fails then.
func TestANodeIsRemoved(t *testing.T) {
	for _, leads := range []bool{true, false} {
		t.Run(map[bool]string{true: "the leader", false: "a follower"}[leads], func(t *testing.T) {
			c := spared(t)
			i := c.leader()
			if !leads {
				i = (i + 1) % 3
			}
			id := c.nodes[i].Status().Cluster.Node
			var addresses []string
			var stay []holdfast.NodeID
			for k := range c.nodes {
				if k != i {
					addresses = append(addresses, c.address(k))
					stay = append(stay, c.nodes[k].Status().Cluster.Node)
				}
			}
			w := write(t, addresses...)
			w.await(t, 50)
			if is, err := c.remove(i, id); err != nil || is.Done || is.Node != id || is.Asked != id {
				t.Fatalf("got %+v, %v; want that it is on the way", is, err)
			}
			c.ended(i, "was removed from the cluster")
			c.awaitRemoved(3, id)
			c.awaitMembers(stay...)
			for k := range c.nodes {
				if k != i {
					c.wantMembers(k, stay, nil)
				}
			}
			w.await(t, 50)
			c.create(3, "users", createUsers)
			c.vanish(c.leader())
			acked := w.end()
			for k, n := range c.nodes {
				if n != nil {
					c.expectPeople(k, acked)
					c.expect(k, "PutItem", person(5000+k, "Bonn"), "{")
				}
			}
			_, err := Open(Options{Config: c.configs[i], WithoutCache: true, Log: c.log})
			if err == nil || !strings.Contains(err.Error(), "was removed from the cluster") {
				t.Errorf("a start of the removed node: got %v; want that it was removed", err)
			}
		})
	}
}

// What isn't removed, and what is said: nothing is changed.
func TestNodesThatAreNotRemoved(t *testing.T) {
	c := meetCluster(t, nil)
	refused := func(id holdfast.NodeID, kind holdfast.Kind, want string) {
		t.Helper()
		_, err := c.remove(0, id)
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), want) {
			t.Errorf("node %d: got %v; want %v, with %q", id, err, kind, want)
		}
	}
	refused(2, holdfast.Conflict, "without node 2, 2 nodes would stay, and tables have 3 replicas")
	refused(9, holdfast.NotFound, "the cluster has no node 9")
	if err := c.join(c.add(), 0); err != nil {
		t.Fatal(err)
	}
	refused(1, holdfast.Conflict, "node 4 would vote in the place of node 1, and isn't heard")
	for i := range 3 {
		if n := c.nodes[i].tables.member.roster.known(); n != nil && n.Node(1).Leaving {
			t.Errorf("node %d: got that node 1 leaves; want nothing changed", i+1)
		}
	}
	c.open(3)
	c.awaitMembers(1, 2, 3, 4)
	c.awaitRemoved(0, 4) // a spare has no vote to give
	c.ended(3, "was removed from the cluster")
	c.awaitMembers(1, 2, 3)
	for i := range 3 {
		c.wantMembers(i, []holdfast.NodeID{1, 2, 3}, nil)
	}
	if is, err := c.remove(0, 4); err != nil || !is.Done {
		t.Errorf("asked again: got %+v, %v; want that it is done", is, err)
	}

	one := openCluster(t, 3)
	one.leader()
	if _, err := one.remove(0, 2); !errors.Is(err, holdfast.Conflict) ||
		!strings.Contains(err.Error(), "one process has formed this cluster") {
		t.Errorf("nodes of one process: got %v; want it refused", err)
	}
}

// A removal goes on, whichever node ends in the middle of it, and comes back; and without the removed
// one, if that is down.
func TestRemovalsGoOn(t *testing.T) {
	votes := func(id holdfast.NodeID) func(*group.Members) bool {
		return func(m *group.Members) bool { return slices.Contains(m.Voters, id) }
	}
	for _, test := range []struct {
		what  string
		which func(c *testCluster, leaves int) int // ends once a group has the spare as a voter
	}{
		{"the leader", func(c *testCluster, leaves int) int { return c.leader() }},
		{"the spare", func(c *testCluster, leaves int) int { return 3 }},
		{"the one that is removed", func(c *testCluster, leaves int) int { return leaves }},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			c := spared(t)
			for _, name := range []string{"one", "two", "three"} {
				c.create(0, name, strings.Replace(createPeople, "people", name, 1))
			}
			leaves := (c.leader() + 1) % 3
			id := c.nodes[leaves].Status().Cluster.Node
			w := write(t, c.address((leaves+1)%3), c.address((leaves+2)%3))
			w.await(t, 20)
			other := (leaves + 1) % 3
			if _, err := c.remove(other, id); err != nil {
				t.Fatal(err)
			}
			for began := time.Now(); c.count(votes(4)) == 0; time.Sleep(time.Millisecond) {
				if time.Since(began) > time.Minute {
					t.Fatal("the spare votes nowhere within a minute")
				}
			}
			i := test.which(c, leaves)
			c.vanish(i)
			if i != leaves {
				c.open(i)
			}
			c.awaitRemoved(other, id)
			if i == leaves {
				c.open(i)
			}
			c.ended(leaves, "was removed from the cluster")
			acked := w.end()
			for k, n := range c.nodes {
				if n != nil {
					c.expectPeople(k, acked)
				}
			}
		})
	}
}
