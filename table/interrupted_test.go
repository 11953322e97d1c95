package table

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/catalog"
	"holdfast/shard"
)

// work does all jobs in the background, until there are none or one fails.
func (n *testNode) work() error {
	for range 100 {
		if !n.Leads() {
			return errPassive()
		}
		jobs := n.worker.jobs()
		if len(jobs) == 0 {
			return nil
		}
		for _, j := range jobs {
			if err := j.run(bg); err != nil {
				return fmt.Errorf("%s: %w", j.name, err)
			}
		}
	}
	return errors.New("the background work doesn't end")
}

// An interruptible is a change at the active node of a cluster that has the table users with 10 users.
type interruptible struct {
	do   func(*testNode) error
	done func(*testNode) bool // reports whether it was done, as a whole
}

var interruptibles = map[string]interruptible{
	"create": {
		func(n *testNode) error { d, a := indexed("orders"); _, err := n.Create(bg, d, a); return err },
		func(n *testNode) bool { return n.tables.table("orders") != nil },
	},
	"add an index": {
		func(n *testNode) error { _, err := n.Alter(bg, byN()); return err },
		func(n *testNode) bool { _, _, ok := n.tables.table("users").index("by-n"); return ok },
	},
	"set TTL": {
		func(n *testNode) error { return n.SetTTL(bg, "users", catalog.TTL{Attr: "until", On: true}) },
		func(n *testNode) bool { return n.tables.table("users").desc.TTL.On },
	},
	"remove": {
		func(n *testNode) error { _, err := n.Remove(bg, "users"); return err },
		func(n *testNode) bool { return n.tables.table("users") == nil },
	},
	"transaction": {
		func(n *testNode) error {
			var all []Action
			for i := 100; i < 110; i++ {
				all = append(all, Action{Put: &Put{Table: "users", Item: user(i)}})
			}
			_, err := n.TransactWrite(bg, Transaction{Actions: all})
			return err
		},
		func(n *testNode) bool {
			done := 0
			for i := 100; i < 110; i++ {
				it, err := n.get(i, true)
				if err != nil {
					n.t.Fatal(err)
				}
				if it != nil {
					done++
				}
			}
			if done%10 != 0 {
				n.t.Errorf("got %d of 10 puts done; want all or none", done)
			}
			return done > 0
		},
	},
	"backup": {
		func(n *testNode) error { _, err := n.Backup(bg, "users", "nightly"); return err },
		func(n *testNode) bool { return len(n.Backups("users")) == 1 },
	},
}

// Wherever in a change, or in the work that follows it, another node becomes the active one: the change is
// done or not, as its error says, on all nodes; what was under way is brought to its end; and the next
// change works, with IDs that nothing has had.
func TestLeadershipMovesInAChange(t *testing.T) {
	for what, change := range interruptibles {
		t.Run(what, func(t *testing.T) {
			for at := 1; ; at++ {
				if !moveLeadership(t, change, at) {
					if at < 3 {
						t.Errorf("got %d proposals; want some", at-1)
					}
					return
				}
			}
		})
	}
}

// moveLeadership deposes the active node at a proposal of a change. It reports whether there was one.
func moveLeadership(t *testing.T, change interruptible, at int) (moved bool) {
	c := newCluster(t, 2)
	first := c.lead(0)
	first.createAt(users("users"))
	first.putUsers(0, 10)
	c.follow()
	proposed := 0
	var yielded sync.WaitGroup
	c.setHook(func(holdfast.ShardID, []byte) {
		c.mu.Lock()
		proposed++
		moved = moved || proposed == at
		now := proposed == at
		c.mu.Unlock()
		if now {
			c.depose(1)
			yielded.Go(first.Yield) // which waits for the change
		}
	})
	err := change.do(first)
	worked := err
	if err == nil {
		worked = first.work()
	}
	if worked != nil && !unchanged(worked) && !errors.Is(worked, holdfast.Unavailable) {
		t.Errorf("deposed at proposal %d: got %v; want an error of another leader", at, worked)
	}
	c.mu.Lock()
	c.hook = nil
	moved = moved && c.leader == 1
	c.mu.Unlock()
	yielded.Wait()
	next := c.lead(1)
	switch done := change.done(next); {
	case err == nil && !done:
		t.Errorf("deposed at proposal %d: it was acknowledged, and isn't done", at)
	case err != nil && unchanged(err) && done:
		t.Errorf("deposed at proposal %d: got %v, and it is done", at, err)
	}
	if err := next.work(); err != nil {
		t.Fatalf("deposed at proposal %d: %v", at, err)
	}
	if err != nil && !unchanged(err) {
		first.restart() // it may have shards of a table of which it doesn't know whether it was made
		if err := first.installer.cluster.dropOrphans(bg); err != nil {
			t.Fatal(err)
		}
	}
	c.same()
	next.createAt(indexed("later"))
	put(t, next.Store, "later", order(1, 2))
	if next.tables.table("users") != nil {
		next.putUsers(0, 12)
	}
	for _, b := range next.Backups("") {
		if !b.Ready || b.Items != 10 {
			t.Errorf("deposed at proposal %d: got %+v; want a backup of 10 users", at, b)
		}
	}
	if next.tables.table("orders") != nil {
		put(t, next.Store, "orders", order(1, 2))
	}
	next.caughtUp()
	for name := range next.tables.all() {
		next.checkIndexes(name)
	}
	c.same()
	next.checkIDs()
	for _, n := range c.nodes {
		n.Yield()
		n.close()
	}
	return moved
}

// checkIDs reports a fault if a shard is in the catalog twice.
func (n *testNode) checkIDs() {
	n.t.Helper()
	seen := map[holdfast.ShardID]bool{}
	n.catalog.Read(func(c catalog.Contents) {
		for _, d := range named(c) {
			if seen[d.ID] || d.ID >= c.Next {
				n.t.Errorf("shard %d is there twice, or isn't below %d", d.ID, c.Next)
			}
			seen[d.ID] = true
		}
	})
}

// Nodes with all their goroutines follow the active one, which does its work by itself; another takes
// over in the middle.
func TestClusterInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &testCluster{t: t, groups: map[holdfast.ShardID]*testGroup{}, reads: map[holdfast.ShardID]int{}}
		for self := range 3 {
			disk, err := shard.Open(shard.Options{Dir: "data", FS: vfs.NewMem()})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = disk.Close() }()
			n := &testNode{in: c, self: self, replicas: map[holdfast.ShardID]*testReplica{}}
			n.rig = &rig{t: t, time: &clock{now: time.Now()}, o: Options{Disk: disk}}
			c.nodes = append(c.nodes, n)
			s, err := Open(bg, Options{Disk: disk, Replicas: n, ShardsPerTable: 2})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			n.Store = s
		}
		lead := func(to int) *testNode {
			c.electFor(to)
			if err := c.nodes[to].Store.Lead(bg); err != nil {
				t.Fatal(err)
			}
			return c.nodes[to]
		}
		first := lead(0)
		first.createAt(users("users"))
		first.putUsers(0, 20)
		first.alter(byN())
		second := lead(1)
		first.Yield()
		time.Sleep(time.Second) // changes wait a little on their way to the indexes
		synctest.Wait()
		for i, n := range c.nodes {
			d := n.describe("users")
			if d.Status != catalog.Active || d.Items != 20 || len(d.Indexes) != 2 || d.Indexes[1].Items != 20 {
				t.Errorf("node %d: got %+v; want it active, with 20 items in its new index", i, d)
			}
		}
		if n, err := second.ofCity("city1"); err != nil || n != 3 {
			t.Errorf("got %d users of a city, %v; want 3", n, err)
		}
		if _, err := second.Remove(bg, "users"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for i, n := range c.nodes {
			all, err := shard.OnDisk(n.disk)
			if names, _ := n.List("", 10); len(names) != 0 || err != nil || len(all) != 2 {
				t.Errorf("node %d: got the tables %v and the shards %v, %v; want none but two", i, names, all, err)
			}
		}
	})
}
