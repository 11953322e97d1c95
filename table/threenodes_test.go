package table

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/catalog"
	"holdfast/group"
	"holdfast/shard"
)

// A raftNode is a node of three in a bubble of virtual time: tables whose shards have the groups of
// package group, on a disk in memory, and a function as network.
type raftNode struct {
	*Store
	of    *raftNodes
	id    holdfast.NodeID
	disk  *shard.Store
	host  *group.Host
	inbox chan group.Message
	stop  chan struct{}
	done  sync.WaitGroup
}

type raftNodes struct {
	t   *testing.T
	all []*raftNode // of node ID i+1
	mu  sync.Mutex
	cut holdfast.NodeID // hears nobody, and is heard by nobody; 0: none; guarded by mu
}

func (c *raftNodes) start(id holdfast.NodeID) {
	n := &raftNode{of: c, id: id, inbox: make(chan group.Message, 1<<12), stop: make(chan struct{})}
	var err error
	if n.disk, err = shard.Open(shard.Options{Dir: "data", FS: vfs.NewMem()}); err != nil {
		c.t.Fatal(err)
	}
	n.host = group.NewHost(group.Options{Node: id, Store: n.disk, Send: n.send})
	c.all = append(c.all, n)
	n.Store, err = Open(bg, Options{Disk: n.disk, Replicas: n, ShardsPerTable: 2})
	if err != nil {
		c.t.Fatal(err)
	}
}

// run has a started node take part.
func (n *raftNode) run() {
	n.done.Go(func() {
		for {
			select {
			case m := <-n.inbox:
				_ = n.host.Receive(m) // of a shard that isn't here yet, or any more
			case <-n.stop:
				return
			}
		}
	})
	n.done.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				n.host.Tick()
			case <-n.stop:
				return
			}
		}
	})
	n.done.Go(n.decide)
}

// decide has the node be the active one while it leads the catalog's group.
func (n *raftNode) decide() {
	for {
		_, err := n.host.Replica(catalog.ShardID).Lead()
		if err == nil && !n.Leads() {
			ctx, cancel := context.WithTimeout(bg, 5*time.Second)
			_ = n.Store.Lead(ctx)
			cancel()
		} else if err != nil {
			n.Yield()
		}
		select {
		case <-n.host.Changed():
		case <-time.After(100 * time.Millisecond):
		case <-n.stop:
			return
		}
	}
}

func (n *raftNode) send(m group.Message) {
	n.of.mu.Lock()
	defer n.of.mu.Unlock()
	if n.of.cut == m.From || n.of.cut == m.To {
		return
	}
	select {
	case n.of.all[m.To-1].inbox <- m:
	default:
	}
}

// Start implements Replicas.
func (n *raftNode) Start(sh *shard.Shard) error {
	_, err := n.host.Start(sh, []holdfast.NodeID{1, 2, 3})
	return err
}

// Follow implements Replicas.
func (n *raftNode) Follow(*catalog.Nodes) bool { return false }

// Stop implements Replicas.
func (n *raftNode) Stop(id holdfast.ShardID) error { return n.host.Stop(id) }

// Lead implements Replicas.
func (n *raftNode) Lead(ctx context.Context, ids []holdfast.ShardID) error {
	for {
		left := 0
		for _, id := range ids {
			r := n.host.Replica(id)
			if _, err := r.Lead(); err == nil {
				continue
			}
			left++
			if leader := r.Leader(); leader == 0 {
				r.Campaign()
			} else if other := n.of.all[leader-1].host.Replica(id); other != nil {
				other.Transfer(n.id)
			}
		}
		if left == 0 {
			return nil
		}
		if _, err := n.host.Replica(catalog.ShardID).Lead(); err != nil {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// active returns the active node, other than one.
func (c *raftNodes) active(but *raftNode) *raftNode {
	for range 600 {
		for _, n := range c.all {
			if n != but && n.Leads() {
				return n
			}
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
	}
	c.t.Fatal("no node becomes active")
	return nil
}

func (c *raftNodes) isolate(id holdfast.NodeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = id
}

// Three nodes whose groups are those of package group: the active one is cut off, another goes on, and
// in the end all have the same.
func TestThreeNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &raftNodes{t: t}
		for id := range holdfast.NodeID(3) {
			c.start(id + 1)
		}
		for _, n := range c.all {
			n.run()
		}
		defer c.close()
		first := c.active(nil)
		create := func(n *raftNode, name string) {
			d, attributes := users(name)
			if _, err := n.Create(bg, d, attributes); err != nil {
				t.Fatal(err)
			}
			if _, err := n.Describe(name); err != nil {
				t.Fatal(err)
			}
		}
		create(first, "users")
		create(first, "removed")
		for i := range 20 {
			put(t, first.Store, "users", user(i))
		}
		c.isolate(first.id)
		second := c.active(first)
		ctx, cancel := context.WithTimeout(bg, time.Minute)
		defer cancel()
		if _, err := first.Put(ctx, Put{Table: "users", Item: user(99)}); err == nil {
			t.Error("a put at the node that is cut off: got it done; want an error")
		}
		for i := 20; i < 30; i++ {
			put(t, second.Store, "users", user(i))
		}
		if _, err := second.Alter(bg, byN()); err != nil {
			t.Fatal(err)
		}
		if _, err := second.Remove(bg, "removed"); err != nil {
			t.Fatal(err)
		}
		create(second, "made")
		if _, err := second.TransactWrite(bg, Transaction{Actions: []Action{
			{Put: &Put{Table: "users", Item: user(30)}}, {Put: &Put{Table: "made", Item: user(30)}}}}); err != nil {
			t.Fatal(err)
		}
		c.isolate(0)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		now := c.active(nil)
		for _, n := range c.all {
			if names, _ := n.List("", 10); fmt.Sprint(names) != "[made users]" {
				t.Errorf("node %d: got the tables %v; want made and users", n.id, names)
			}
			got, err := n.Get(bg, Get{Table: "users", Key: user(30).Only("id"), Consistent: true})
			if err != nil || got.Item == nil {
				t.Errorf("node %d: got %v, %v; want the user", n.id, got.Item, err)
			}
			if d, err := n.Describe("users"); err != nil || d.Items != 31 || len(d.Indexes) != 2 ||
				d.Indexes[0].Items != 31 || d.Indexes[1].Items != 31 || d.Status != catalog.Active {
				t.Errorf("node %d: got %+v, %v; want 31 items, and as many in both indexes", n.id, d, err)
			}
			all, err := shard.OnDisk(n.disk)
			if err != nil || len(all) != 2+2*3+2*2 {
				t.Errorf(
					"node %d: got %d shards, %v; want the catalog's, the ledger's, and two for each table and index",
					n.id, len(all), err)
			}
		}
		page, err := now.Query(bg,
			Query{Table: "users", Index: "by-city", Key: keyCondition(t, "city = :c", ":c", "city2")})
		if err != nil || page.Count != 5 {
			t.Errorf("got %d users of a city, %v; want 5", page.Count, err)
		}
	})
}

func (c *raftNodes) close() {
	for _, n := range c.all {
		close(n.stop)
	}
	for _, n := range c.all {
		if err := n.host.Close(); err != nil {
			c.t.Error(err)
		}
	}
	for _, n := range c.all {
		n.done.Wait()
		if err := errors.Join(n.Store.Close(), n.disk.Close()); err != nil {
			c.t.Error(err)
		}
	}
}
