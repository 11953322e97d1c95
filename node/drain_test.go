package node

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast"
)

func (c *testCluster) drain(i int, id holdfast.NodeID, undo bool) (*DrainStatus, error) {
	is := new(DrainStatus)
	return is, c.nodes[i].tables.member.steering.ask(c.t.Context(), steerForm{Drain: id, Undo: undo}, is)
}

// wantDrained waits until all nodes that run show which node is drained; 0: none.
func (c *testCluster) wantDrained(want holdfast.NodeID) {
	c.t.Helper()
	for i, n := range c.nodes {
		if n == nil {
			continue
		}
		for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
			drained := ""
			for _, m := range n.Status().Cluster.Members {
				if m.Drained != (m.ID == want) {
					drained += fmt.Sprintf("node %d: %v ", m.ID, m.Drained)
				}
			}
			if drained == "" {
				break
			}
			if time.Since(began) > time.Minute {
				c.t.Fatalf("node %d: got %s after a minute; want node %d as the only one", i+1, drained, want)
			}
		}
	}
}

// A node that is drained under load hands over what it leads, and no request fails. No other can be
// drained meanwhile. It leads again neither after a restart nor after the failure of the leader, which
// another node replaces, until it is drained no more.
func TestANodeIsDrained(t *testing.T) {
	c := meetCluster(t, nil)
	c.create(0, "people", createPeople)
	l := c.put(2)
	l.await(t, 50)
	was := c.leader()
	id := holdfast.NodeID(was + 1)
	for n := range 3 {
		is, err := c.drain(n, id, false)
		if err != nil {
			t.Fatal(err)
		}
		if !is.Done || !is.Drained || is.Changed != (n == 0) || is.Leads != 0 || is.Votes != is.Groups ||
			is.Groups < 3 {
			t.Errorf("try %d: got %+v; want that node %d is drained, and votes", n, *is, id)
		}
	}
	c.wantDrained(id)
	second := c.leader()
	if second == was {
		t.Fatalf("got node %d as the leader, which is drained", was+1)
	}
	_, err := c.drain(second, holdfast.NodeID(second+1), false)
	want := fmt.Sprintf("a majority is 2: node %d isn't heard, lacks much, or is drained", id)
	if !errors.Is(err, holdfast.Conflict) || !strings.Contains(err.Error(), want) ||
		!strings.HasPrefix(err.Error(), "nothing was changed: ") {
		t.Errorf("a second node: got %v; want a conflict with %q", err, want)
	}
	if _, err = c.drain(was, 9, false); !errors.Is(err, holdfast.NotFound) {
		t.Errorf("a node that doesn't exist: got %v; want that it isn't found", err)
	}
	if _, err := c.transfer(was, id); !errors.Is(err, holdfast.Conflict) || !strings.Contains(err.Error(), "--undo") {
		t.Errorf("a transfer to it: got %v; want a conflict, and --undo", err)
	}
	l.await(t, 50)
	l.end()
	if len(l.failed) > 0 {
		t.Errorf("got %d failures, of which the first is %s; want none", len(l.failed), l.failed[0])
	}

	c.close(was)
	c.open(was)
	c.wantDrained(id)
	third := 3 - was - second
	c.vanish(second)
	if got := c.leader(); got != third {
		t.Errorf("got node %d as the leader once node %d is gone; want node %d, which isn't drained", got+1, second+1,
			third+1)
	}
	c.open(second)
	for n := range 2 {
		is, err := c.drain(was, id, true)
		if err != nil || is.Drained || !is.Done || is.Changed != (n == 0) {
			t.Errorf("undo, try %d: got %+v, %v; want that node %d isn't drained", n, is, err, id)
		}
	}
	c.wantDrained(0)
	c.transferSoon(id)
}

// transferSoon has a node lead that has just caught up.
func (c *testCluster) transferSoon(to holdfast.NodeID) {
	c.t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		_, err := c.transfer(c.leader(), to)
		if err == nil {
			return
		}
		if time.Since(began) > time.Minute {
			c.t.Fatal(err)
		}
	}
}

// A drained node leads where no other can, and hands over as soon as one can.
func TestADrainedNodeLeadsIfNeeded(t *testing.T) {
	c := meetCluster(t, nil)
	c.create(0, "people", createPeople)
	was := c.leader()
	id := holdfast.NodeID(was + 1)
	other, third := (was+1)%3, (was+2)%3
	c.vanish(third)
	c.awaitSilence(was, third)
	is, err := c.drain(was, id, false) // without it, and without the one that is gone, there is no majority
	if !errors.Is(err, holdfast.Conflict) {
		t.Errorf("with a node gone: got %+v, %v; want a conflict", is, err)
	}
	c.open(third)
	c.transferSoon(holdfast.NodeID(third + 1))
	c.drainSoon(id)
	c.vanish(other)
	c.expect(third, "PutItem", person(1, "Ulm"), "{") // is on the drained one, too
	c.vanish(third)
	c.open(other) // lacks it, so that the drained one must lead first
	for began := time.Now(); c.leader() == was; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("got no hand-over of the drained node within a minute")
		}
	}
	c.expect(other, "GetItem", read(1, true), "Ulm")
}

func (c *testCluster) drainSoon(id holdfast.NodeID) {
	c.t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		is, err := c.drain(c.leader(), id, false)
		if err == nil && is.Done {
			return
		}
		if time.Since(began) > time.Minute {
			c.t.Fatal(is, err)
		}
	}
}

// The nodes of one process aren't drained: none of them can be taken down alone.
func TestNodesOfOneProcessArentDrained(t *testing.T) {
	c := openCluster(t, 3)
	if _, err := c.drain(c.leader(), 1, false); !errors.Is(err, holdfast.Conflict) ||
		!strings.Contains(err.Error(), "one process") {
		t.Errorf("got %v; want a conflict", err)
	}
}
