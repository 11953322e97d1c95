package group

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"

	"holdfast"
	"holdfast/item"
	"holdfast/shard"
)

// Three nodes in a bubble of virtual time, with real stores on disks in memory.

var testKeys = item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.S}}

// A node is a store and a host.
type node struct {
	id      holdfast.NodeID
	of      *nodes
	fs      *vfs.MemFS
	boots   int // of its machine
	store   *shard.Store
	host    *Host
	shards  []*shard.Shard
	replica []*Replica
	stop    chan struct{}   // ends its clock
	inbox   *queue[Message] // guarded by nodes.mu
	running sync.WaitGroup
	fatal   chan error
}

// nodes are a cluster of them.
type nodes struct {
	t      *testing.T
	rng    *rand.Rand
	groups int
	all    []*node // of node ID i+1
	mu     sync.Mutex
	cut    map[holdfast.NodeID]bool // guarded by mu
	change func(*Options)
}

func inBubble(t *testing.T, seed uint64, groups int, test func(t *testing.T, c *nodes)) {
	t.Helper()
	cryptotest.SetGlobalRandom(t, seed)
	synctest.Test(t, func(t *testing.T) {
		c := &nodes{t: t, rng: rand.New(rand.NewPCG(seed, 1)), groups: groups, cut: map[holdfast.NodeID]bool{}}
		for id := range holdfast.NodeID(3) {
			c.all = append(c.all, &node{id: id + 1, of: c, fs: vfs.NewCrashableMem()})
		}
		for _, n := range c.all {
			n.start()
		}
		defer func() {
			for _, n := range c.all {
				if n.host != nil {
					n.close()
				}
			}
		}()
		test(t, c)
	})
}

func (n *node) start() {
	t := n.of.t
	t.Helper()
	var err error
	n.fatal = make(chan error, 1)
	n.store, err = shard.Open(shard.Options{Dir: "data", FS: n.fs, CacheBytes: 1 << 20, MemTableBytes: 1 << 20,
		Boot: fmt.Sprint(n.boots), Fatal: func(error) {}})
	if err != nil {
		t.Fatal(err)
	}
	n.stop = make(chan struct{})
	n.of.mu.Lock()
	n.inbox = newQueue[Message]()
	n.of.mu.Unlock()
	o := Options{Node: n.id, Store: n.store, Send: n.send, Fatal: func(err error) { n.fatal <- err }}
	if n.of.change != nil {
		n.of.change(&o)
	}
	n.host = NewHost(o)
	n.shards, n.replica = nil, nil
	for i := range n.of.groups {
		id := holdfast.ShardID(i + 1)
		sh, err := n.store.Open(shard.Descriptor{ID: id, Space: holdfast.SpaceID(id)}, shard.Schema{Key: testKeys})
		if err != nil {
			t.Fatal(err)
		}
		r, err := n.host.Start(sh, []holdfast.NodeID{1, 2, 3})
		if err != nil {
			t.Fatal(err)
		}
		n.shards, n.replica = append(n.shards, sh), append(n.replica, r)
	}
	n.running.Go(n.tick)
	inbox := n.inbox
	n.running.Go(func() { n.receive(inbox) })
}

func (n *node) tick() {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			n.host.Tick()
		case <-n.stop:
			return
		}
	}
}

func (n *node) send(m Message) {
	n.of.mu.Lock()
	defer n.of.mu.Unlock()
	if !n.of.cut[m.From] && !n.of.cut[m.To] {
		n.of.all[m.To-1].inbox.put(m)
	}
}

func (n *node) receive(inbox *queue[Message]) {
	for {
		all, open := inbox.take()
		if !open {
			return
		}
		for _, m := range all {
			if err := n.host.Receive(m); err != nil && !errors.Is(err, holdfast.Closed) {
				n.of.t.Errorf("node %d refused a message: %v", n.id, err)
			}
		}
	}
}

// close stops a node in order.
func (n *node) close() {
	close(n.stop)
	n.inbox.close()
	if err := n.host.Close(); err != nil {
		n.of.t.Error(err)
	}
	n.running.Wait()
	if err := n.store.Close(); err != nil {
		n.of.t.Error(err)
	}
	n.host = nil
}

// kill stops a node as a loss of power does: what wasn't synced may be lost. Nobody hears from it
// what it does afterwards.
func (n *node) kill() {
	n.of.isolate(n.id, true)
	left := n.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: n.of.rng.IntN(3) * 50, RNG: n.of.rng})
	n.close()
	n.fs = left
	n.boots++
	n.of.isolate(n.id, false)
}

func (c *nodes) isolate(id holdfast.NodeID, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut[id] = cut
}

// leader waits until a node leads the first group, other than one.
func (c *nodes) leader(other holdfast.NodeID) *node {
	c.t.Helper()
	return c.leaderOf(0, other)
}

func (c *nodes) leaderOf(group int, other holdfast.NodeID) *node {
	c.t.Helper()
	for range 300 {
		for _, n := range c.all {
			if n.host == nil || n.id == other {
				continue
			}
			if _, err := n.replica[group].Lead(); err == nil {
				return n
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.t.Fatal("no node leads after 30 s")
	return nil
}

func testItem(key, value string) item.Item {
	return item.New(item.Attr{Name: "id", Value: item.Text(key)}, item.Attr{Name: "v", Value: item.Text(value)})
}

// put puts an item at a node.
func (n *node) put(group int, key, value string) error {
	it := testItem(key, value)
	k, err := testKeys.Key(it)
	if err != nil {
		return err
	}
	_, err = n.store.Commit(context.Background(), shard.Commit{Writes: []shard.Write{{
		Shard: n.shards[group], Key: k, Change: func(item.Item) (item.Item, error) { return it, nil },
	}}})
	return err
}

// get returns the value of an item at a node, as its replica has it; "": there is none.
func (n *node) get(group int, key string) string {
	k, err := testKeys.Key(testItem(key, ""))
	if err != nil {
		n.of.t.Fatal(err)
	}
	it, err := n.shards[group].Get(context.Background(), k)
	if err != nil {
		n.of.t.Fatal(err)
	}
	v, _ := it.Get("v")
	return v.Text
}

// within returns a context that ends after some virtual time.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestHosts(t *testing.T) {
	inBubble(t, 1, 1, func(t *testing.T, c *nodes) {
		leader := c.leader(0)
		for i := range 20 {
			if err := leader.put(0, fmt.Sprint(i), "a"); err != nil {
				t.Fatal(err)
			}
			for _, n := range c.all { // each sees at once what was acknowledged
				if err := n.replica[0].Read(within(t, 5*time.Second)); err != nil {
					t.Fatal(err)
				}
				if got := n.get(0, fmt.Sprint(i)); got != "a" {
					t.Fatalf("node %d: item %d is %q", n.id, i, got)
				}
			}
		}
		for _, n := range c.all {
			s := n.replica[0].Status()
			if s.Leader != leader.id || s.Term == 0 || s.Applied == 0 || (s.Match != nil) != (n == leader) {
				t.Errorf("node %d: status %+v", n.id, s)
			}
			if n == leader {
				continue
			}
			if err := n.put(0, "x", "a"); !errors.Is(err, holdfast.NotLeader) {
				t.Errorf("a put at a follower: %v; want NotLeader", err)
			}
		}
	})
}

// What was acknowledged is there after its leader was killed, wherever it is read, also after all
// nodes were killed.
func TestKilledLeaders(t *testing.T) {
	for seed := range uint64(5) {
		inBubble(t, seed+1, 3, func(t *testing.T, c *nodes) {
			acknowledged := map[int]map[string]string{}
			for round := range 6 {
				for group := range c.groups {
					if acknowledged[group] == nil {
						acknowledged[group] = map[string]string{}
					}
					leader := c.leaderOf(group, 0)
					var puts sync.WaitGroup
					var mu sync.Mutex
					for i := range 10 {
						puts.Go(func() {
							key, value := fmt.Sprint(i), fmt.Sprint(round, ".", i)
							if err := leader.put(group, key, value); err == nil {
								mu.Lock()
								defer mu.Unlock()
								acknowledged[group][key] = value
							}
						})
					}
					puts.Wait()
				}
				if len(acknowledged[0]) == 0 {
					t.Fatal("nothing was acknowledged")
				}
				killed := []*node{c.leaderOf(round%c.groups, 0)}
				if round == 3 {
					killed = c.all
				}
				for _, n := range killed {
					n.kill()
				}
				if round != 3 {
					c.leaderOf(round%c.groups, 0)
					c.compare(acknowledged)
				}
				for _, n := range killed {
					n.start()
				}
				c.compare(acknowledged)
			}
		})
	}
}

// compare compares what the running nodes have with what was acknowledged.
func (c *nodes) compare(acknowledged map[int]map[string]string) {
	c.t.Helper()
	for group, items := range acknowledged {
		for _, n := range c.all {
			if n.host == nil {
				continue
			}
			if err := n.replica[group].Read(within(c.t, 60*time.Second)); err != nil {
				c.t.Fatal(err)
			}
			for key, value := range items {
				if got := n.get(group, key); got != value {
					c.t.Fatalf("group %d: node %d has %q at %s; %q was acknowledged", group, n.id, got, key, value)
				}
			}
		}
	}
}

// A leader that is cut off acknowledges nothing, and answers no read; its proposals are refused, or
// turn out to be committed, when it is connected again.
func TestLeaderCutOff(t *testing.T) {
	inBubble(t, 1, 1, func(t *testing.T, c *nodes) {
		old := c.leader(0)
		term, err := old.replica[0].Lead()
		if err != nil {
			t.Fatal(err)
		}
		c.isolate(old.id, true)
		result := make(chan error, 1)
		go func() {
			_, err := old.replica[0].Propose(term, []byte("never applied"))
			result <- err
		}()
		next := c.leader(old.id)
		if err := next.put(0, "a", "1"); err != nil {
			t.Fatal(err)
		}
		if err := old.replica[0].Read(within(t, 5*time.Second)); !errors.Is(err, holdfast.Overloaded) {
			t.Errorf("a read without a majority: %v; want Overloaded", err)
		}
		if _, err := old.replica[0].Lead(); !errors.Is(err, holdfast.NotLeader) {
			t.Errorf("the node that is cut off still leads after seconds: %v", err)
		}
		select {
		case err := <-result:
			t.Errorf("the outcome can't be known, and is %v", err)
		default:
		}
		c.isolate(old.id, false)
		if err := <-result; !errors.Is(err, holdfast.Refused) {
			t.Errorf("got %v; want Refused", err)
		}
		if err := old.replica[0].Read(within(t, 5*time.Second)); err != nil || old.get(0, "a") != "1" {
			t.Errorf("afterwards it reads %q, %v", old.get(0, "a"), err)
		}
	})
}

// A host that closes ends all waits: what is in the log has an unknown outcome.
func TestCloseWhileProposalsWait(t *testing.T) {
	inBubble(t, 1, 1, func(t *testing.T, c *nodes) {
		leader := c.leader(0)
		r := leader.replica[0]
		term, err := r.Lead()
		if err != nil {
			t.Fatal(err)
		}
		c.isolate(leader.id, true)
		proposed, read := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := r.Propose(term, []byte("a"))
			proposed <- err
		}()
		go func() { read <- r.Read(context.Background()) }()
		synctest.Wait()
		leader.close()
		if err := <-proposed; !errors.Is(err, holdfast.Unavailable) {
			t.Errorf("a proposal: %v; want Unavailable", err)
		}
		if err := <-read; !errors.Is(err, holdfast.Closed) {
			t.Errorf("a read: %v; want Closed", err)
		}
		if _, err := r.Propose(term, []byte("b")); !errors.Is(err, holdfast.Refused) {
			t.Errorf("a later proposal: %v; want Refused", err)
		}
		if err := r.Read(context.Background()); !errors.Is(err, holdfast.Closed) {
			t.Errorf("a later read: %v; want Closed", err)
		}
		if _, err := r.Lead(); !errors.Is(err, holdfast.NotLeader) {
			t.Errorf("it leads: %v; want NotLeader", err)
		}
	})
}

func TestBounds(t *testing.T) {
	inBubble(t, 1, 1, func(t *testing.T, c *nodes) {
		leader := c.leader(0)
		h, r := leader.host, leader.replica[0]
		term, err := r.Lead()
		if err != nil {
			t.Fatal(err)
		}
		big := make([]byte, h.o.MaxProposalBytes+1)
		if _, err := r.Propose(term, big); !errors.Is(err, holdfast.Overloaded) {
			t.Errorf("a proposal: %v; want Overloaded", err)
		}
		h.o.MaxReads = 0
		if err := r.Read(within(t, time.Second)); !errors.Is(err, holdfast.Overloaded) {
			t.Errorf("a read: %v; want Overloaded", err)
		}
		if h.proposed.Load() != 0 || h.reading.Load() != 0 {
			t.Errorf("%d bytes of proposals and %d reads are counted; want 0", h.proposed.Load(), h.reading.Load())
		}
	})
}

func TestReceiveRefuses(t *testing.T) {
	inBubble(t, 1, 1, func(t *testing.T, c *nodes) {
		leader := c.leader(0)
		h := leader.host
		other := leader.id%3 + 1
		for name, m := range map[string]Message{
			"for another node":    {From: other, To: 6 - other - leader.id, Shard: 1},
			"for another group":   {From: other, To: leader.id, Shard: 9},
			"from nobody":         {From: 0, To: leader.id, Shard: 1},
			"from itself":         {From: leader.id, To: leader.id, Shard: 1},
			"from no member":      {From: 4, To: leader.id, Shard: 1},
			"from a local thread": {From: ^holdfast.NodeID(0), To: leader.id, Shard: 1},
			"garbled":             {From: other, To: leader.id, Shard: 1, Body: []byte{1, 2, 3}},
			"empty":               {From: other, To: leader.id, Shard: 1, Body: []byte{}},
		} {
			if m.Body == nil { // all would be well with the message itself
				from, to := uint64(m.From), uint64(m.To)
				sound, err := encode(m.Shard, &raftpb.Message{
					Type: raftpb.MsgHeartbeat.Enum(), From: &from, To: &to, Term: new(uint64(1)),
				})
				if err != nil {
					t.Fatal(err)
				}
				m = sound
			}
			if err := h.Receive(m); !errors.Is(err, holdfast.Invalid) {
				t.Errorf("%s: %v; want Invalid", name, err)
			}
		}
		if n := h.received.Load(); n != 0 {
			t.Errorf("%d bytes of messages are counted; want 0", n)
		}
	})
}

// A replica starts with the members that it has on disk, once.
func TestStart(t *testing.T) {
	inBubble(t, 1, 1, func(t *testing.T, c *nodes) {
		n := c.all[0]
		if _, err := n.host.Start(n.shards[0], []holdfast.NodeID{1, 2, 3}); !errors.Is(err, holdfast.Exists) {
			t.Errorf("a second time: %v; want Exists", err)
		}
		for _, members := range [][]holdfast.NodeID{nil, {2, 3}, {1, 1}, {0, 1}, {1, ^holdfast.NodeID(0)}} {
			sh, err := n.store.Open(shard.Descriptor{ID: 9, Space: 9}, shard.Schema{Key: testKeys})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := n.host.Start(sh, members); !errors.Is(err, holdfast.Invalid) {
				t.Errorf("members %v: %v; want Invalid", members, err)
			}
		}
		n.close()
		store, err := shard.Open(shard.Options{Dir: "data", FS: n.fs})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		sh, err := store.Open(shard.Descriptor{ID: 1, Space: 1}, shard.Schema{Key: testKeys})
		if err != nil {
			t.Fatal(err)
		}
		for id, kind := range map[holdfast.NodeID]error{1: nil, 4: holdfast.Corrupt} {
			h := NewHost(Options{Node: id, Store: store, Send: func(Message) {}})
			r, err := h.Start(sh, nil)
			if kind == nil && (err != nil || len(r.core.members) != 3) || kind != nil && !errors.Is(err, kind) {
				t.Errorf("node %d: %v; want %v", id, err, kind)
			}
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
