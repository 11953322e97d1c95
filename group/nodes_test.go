package group

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

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
	boots   int      // of its machine
	joins   *Members // that it was told when it was added; nil: the groups were founded with it
	store   *shard.Store
	host    *Host
	shards  []*shard.Shard
	replica []*Replica
	sending atomic.Int32    // snapshots
	most    atomic.Int32    // of sending
	up      *Host           // for the streams of other nodes; nil: it is down; guarded by nodes.mu
	streams sync.WaitGroup  // to up
	stop    chan struct{}   // ends its clock
	ticks   atomic.Int64    // that the host has got, those counted once that were one
	inbox   *queue[Message] // guarded by nodes.mu
	running sync.WaitGroup
	fatal   chan error

	syncs sync.Mutex
	hung  chan struct{} // closed when syncs go on again; nil: they do; guarded by syncs
	bad   bool          // syncs fail; guarded by syncs
	full  atomic.Bool   // the disk is
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
	head   func(Message) Message                                       // nil, or what becomes of a snapshot's message
	broken func(from, to holdfast.NodeID, part []byte) ([]byte, error) // nil, or what becomes of a snapshot's part
}

func inBubble(t *testing.T, seed uint64, groups int, test func(t *testing.T, c *nodes)) {
	t.Helper()
	c := &nodes{}
	inBubbleWith(t, seed, groups, c, func(t *testing.T) { test(t, c) })
}

// inBubbleWith is inBubble with nodes that are special.
func inBubbleWith(t *testing.T, seed uint64, groups int, c *nodes, test func(t *testing.T)) {
	t.Helper()
	cryptotest.SetGlobalRandom(t, seed)
	synctest.Test(t, func(t *testing.T) {
		c.t, c.rng, c.groups, c.cut = t, rand.New(rand.NewPCG(seed, 1)), groups, map[holdfast.NodeID]bool{}
		for id := range holdfast.NodeID(3) {
			c.all = append(c.all, &node{id: id + 1, of: c, fs: newDisk()})
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
		test(t)
	})
}

func newDisk() *vfs.MemFS { return vfs.NewCrashableMem() }

func (n *node) start() {
	t := n.of.t
	t.Helper()
	var err error
	n.fatal = make(chan error, 1)
	fs := &sizedFS{errorfs.Wrap(n.fs, errorfs.InjectorFunc(n.disk)), &n.full}
	n.store, err = shard.Open(shard.Options{Dir: "data", FS: fs, ReserveBytes: 1 << 20,
		CacheBytes: 1 << 20, MemTableBytes: 1 << 20, Boot: fmt.Sprint(n.boots), Fatal: func(error) {}})
	if err != nil {
		t.Fatal(err)
	}
	n.stop = make(chan struct{})
	n.of.mu.Lock()
	n.inbox = newQueue[Message]()
	n.of.mu.Unlock()
	o := Options{Node: n.id, Store: n.store, Send: n.send, Stream: n.stream, Fatal: func(err error) { n.fatal <- err }}
	if n.of.change != nil {
		n.of.change(&o)
	}
	n.host = NewHost(o)
	n.shards, n.replica = nil, nil
	for i := range n.of.groups {
		sh, r := n.open(descriptor(holdfast.ShardID(i + 1)))
		n.shards, n.replica = append(n.shards, sh), append(n.replica, r)
	}
	n.of.mu.Lock()
	n.up = n.host
	n.of.mu.Unlock()
	n.running.Go(n.tick)
	inbox := n.inbox
	n.running.Go(func() { n.receive(inbox) })
}

func descriptor(id holdfast.ShardID) shard.Descriptor {
	return shard.Descriptor{ID: id, Space: holdfast.SpaceID(id)}
}

// open opens a shard and starts its replica.
func (n *node) open(d shard.Descriptor) (*shard.Shard, *Replica) {
	t := n.of.t
	t.Helper()
	sh, err := n.store.Open(d, shard.Schema{Key: testKeys})
	if err != nil {
		t.Fatal(err)
	}
	start := func() (*Replica, error) { return n.host.Start(sh, []holdfast.NodeID{1, 2, 3}) }
	if n.joins != nil {
		start = func() (*Replica, error) { return n.host.Join(sh, n.joins) }
	}
	r, err := start()
	if err != nil {
		t.Fatal(err)
	}
	return sh, r
}

// A sizedFS is on a disk of 1 GiB, which is full or free.
type sizedFS struct {
	vfs.FS
	full *atomic.Bool
}

// GetDiskUsage implements vfs.FS.
func (fs *sizedFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	if fs.full.Load() {
		return vfs.DiskUsage{TotalBytes: 1 << 30}, nil
	}
	return vfs.DiskUsage{TotalBytes: 1 << 30, AvailBytes: 1 << 30}, nil
}

// disk is called before each operation of the node's disk.
func (n *node) disk(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
	default:
		return nil
	}
	n.syncs.Lock()
	hung, bad := n.hung, n.bad
	n.syncs.Unlock()
	if hung != nil {
		<-hung
	}
	if bad {
		return errors.New("the disk is broken")
	}
	return nil
}

// hang has syncs of the node's disk hang, until the function that it returns is called.
func (n *node) hang() (goOn func()) {
	n.syncs.Lock()
	defer n.syncs.Unlock()
	hung := make(chan struct{})
	n.hung = hung
	return sync.OnceFunc(func() {
		n.syncs.Lock()
		defer n.syncs.Unlock()
		n.hung = nil
		close(hung)
	})
}

// tick gives the host its clock, which leaves out ticks while the host rests.
func (n *node) tick() {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for passed := 0; ; {
		select {
		case <-ticker.C:
			if passed++; passed >= Rest(n.host) {
				n.ticks.Add(1)
				Pass(n.host, passed)
				passed = 0
			}
		case <-n.stop:
			return
		}
	}
}

func (n *node) send(m Message) {
	n.of.mu.Lock()
	defer n.of.mu.Unlock()
	if int(m.To) <= len(n.of.all) && !n.of.cut[m.From] && !n.of.cut[m.To] {
		n.of.all[m.To-1].inbox.put(m)
	}
}

// stream sends a snapshot to another node.
func (n *node) stream(ctx context.Context, m Message, next func() ([]byte, error)) error {
	n.of.mu.Lock()
	is := n.of.all[m.To-1]
	to := is.up
	if to == nil {
		n.of.mu.Unlock()
		return holdfast.Errorf(holdfast.Unavailable, "node %d is down", m.To)
	}
	is.streams.Add(1)
	n.most.Store(max(n.most.Load(), n.sending.Add(1)))
	defer n.sending.Add(-1)
	head := n.of.head
	n.of.mu.Unlock()
	defer is.streams.Done()
	if head != nil {
		m = head(m)
	}
	return to.ReceiveSnapshot(ctx, m, func() ([]byte, error) {
		n.of.mu.Lock()
		cut := n.of.cut[m.From] || n.of.cut[m.To] || is.up != to
		broken := n.of.broken
		n.of.mu.Unlock()
		if cut {
			return nil, holdfast.Errorf(holdfast.Unavailable, "the connection is cut")
		}
		part, err := next()
		if err == nil && broken != nil {
			return broken(m.From, m.To, part)
		}
		return part, err
	})
}

func (n *node) receive(inbox *queue[Message]) {
	for {
		all, open := inbox.take()
		if !open {
			return
		}
		for _, m := range all {
			err := n.host.Receive(m)
			if err != nil && !errors.Is(err, holdfast.Closed) && !errors.Is(err, holdfast.NotFound) &&
				!errors.Is(err, holdfast.Refused) {
				n.of.t.Errorf("node %d refused a message: %v", n.id, err)
			}
		}
	}
}

// close stops a node in order.
func (n *node) close() {
	n.of.mu.Lock()
	n.up = nil
	n.of.mu.Unlock()
	close(n.stop)
	n.inbox.close()
	if err := n.host.Close(); err != nil {
		n.of.t.Error(err)
	}
	n.running.Wait()
	n.streams.Wait()
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
