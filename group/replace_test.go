package group

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/shard"
)

// change changes the members of the first group, wherever it is led, until they are so.
func (c *nodes) alter(x Change) *Members {
	c.t.Helper()
	for range 300 {
		leader := c.leader(0)
		err := leader.replica[0].Change(within(c.t, time.Second), x)
		m, _ := leader.replica[0].Members()
		if x.Add != 0 && m.Has(x.Add) || x.Promote != 0 && m.Votes(x.Promote) && !m.joint() {
			return m
		}
		if err == nil {
			c.t.Fatalf("%+v: got no error, and the members %+v", x, *m)
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.t.Fatalf("%+v isn't done after 30 s", x)
	return nil
}

// A node that is dead is replaced by one with a fresh disk, while others are killed, and so is
// another one. What was acknowledged is there, and the one that was replaced gets a notice when it
// comes back.
func TestReplacedNode(t *testing.T) {
	for seed := range uint64(3) {
		inBubble(t, seed+1, 1, func(t *testing.T, c *nodes) {
			acknowledged := map[int]map[string]string{0: {}}
			put := func(key string) {
				t.Helper()
				for range 100 {
					if err := c.leader(0).put(0, key, "a"); err == nil {
						acknowledged[0][key] = "a"
						return
					}
				}
				t.Fatal("no put is acknowledged")
			}
			dead := c.all[c.leader(0).id%3]
			dead.kill()
			put("1")
			joins := c.alter(Change{Add: 4})
			fresh := &node{id: 4, of: c, fs: vfs.NewCrashableMem(), joins: joins}
			fresh.start()
			c.mu.Lock()
			c.all = append(c.all, fresh)
			c.mu.Unlock()
			put("2")
			fresh.kill() // as it catches up
			fresh.start()
			c.alter(Change{Promote: 4, Remove: dead.id})
			for i := range 3 { // their syncs have the change applied on disk, so that it isn't applied again
				put(fmt.Sprint("2", i))
			}
			for _, n := range c.all {
				if n != dead {
					n.kill()
				}
			}
			for _, n := range c.all {
				if n != dead {
					n.start()
				}
			}
			put("3")
			other := c.all[dead.id%3] // of the first three
			other.kill()
			put("4")
			c.compare(acknowledged)
			other.start()
			c.compareMembers(dead)

			dead.start()
			for range 300 {
				if _, removed := dead.replica[0].Members(); removed {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
			if m, removed := dead.replica[0].Members(); !removed || !m.Has(dead.id) {
				t.Errorf("seed %d: the node that was replaced knows %+v, removed: %v", seed, *m, removed)
			}
			if err := dead.put(0, "5", "a"); !errors.Is(err, holdfast.NotLeader) {
				t.Errorf("a put at the node that was replaced: got %v; want NotLeader", err)
			}
		})
	}
}

// compareMembers waits until all nodes but one know the same members.
func (c *nodes) compareMembers(but *node) {
	c.t.Helper()
	want, _ := c.leader(0).replica[0].Members()
	for _, n := range c.all {
		if n == but {
			continue
		}
		for range 100 {
			if got, _ := n.replica[0].Members(); reflect.DeepEqual(got, want) {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if got, removed := n.replica[0].Members(); !reflect.DeepEqual(got, want) || removed {
			c.t.Errorf("node %d knows %+v, removed: %v; want %+v", n.id, *got, removed, *want)
		}
	}
}

// A fresh replica only joins as a learner, and a change of a replica that is stopped isn't made.
func TestJoinRefuses(t *testing.T) {
	inBubble(t, 1, 1, func(t *testing.T, c *nodes) {
		n := c.all[0]
		sh, err := n.store.Open(shard.Descriptor{ID: 9, Space: 9}, shard.Schema{Key: testKeys})
		if err != nil {
			t.Fatal(err)
		}
		ids := func(ids ...holdfast.NodeID) []holdfast.NodeID { return ids }
		for _, m := range []Members{
			{Index: 5, Voters: ids(1, 2)}, {Index: 5, Voters: ids(2)}, {Learners: ids(1)},
			{Index: 5, Voters: ids(2), Learners: ids(3)}, {Index: 5, Voters: ids(2), Outgoing: ids(1)},
		} {
			if _, err := n.host.Join(sh, &m); !errors.Is(err, holdfast.Invalid) {
				t.Errorf("%+v: got %v; want Invalid", m, err)
			}
		}
		leader := c.leader(0)
		changed := make(chan error, 1)
		for _, other := range c.all {
			if other != leader {
				c.isolate(other.id, true)
			}
		}
		go func() { changed <- leader.replica[0].Change(within(t, time.Hour), Change{Add: 4}) }()
		synctest.Wait()
		if err := leader.replica[0].Change(within(t, time.Second), Change{Add: 5}); !errors.Is(err, holdfast.Refused) {
			t.Errorf("another change: got %v; want Refused", err)
		}
		if err := leader.host.Stop(1); err != nil {
			t.Fatal(err)
		}
		if err := <-changed; !errors.Is(err, holdfast.Unavailable) {
			t.Errorf("a change when the replica stops: got %v; want Unavailable", err)
		}
		err = leader.replica[0].Change(within(t, time.Second), Change{Add: 4})
		if !errors.Is(err, holdfast.Refused) {
			t.Errorf("a change later: got %v; want Refused", err)
		}
	})
}

// The members' form on disk doesn't change.
func TestMembersForm(t *testing.T) {
	m := &Members{
		Index: 300, Voters: []holdfast.NodeID{1, 2, 4}, Learners: []holdfast.NodeID{6},
		Outgoing: []holdfast.NodeID{1, 2, 3}, Removed: []holdfast.NodeID{5},
	}
	if got, want := fmt.Sprintf("%x", m.Encode()), "01ac02"+"03010204"+"0106"+"03010203"+"0105"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}
