package group

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.etcd.io/raft/v3/raftpb"

	"holdfast"
	"holdfast/shard"
)

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
			if err := n.read(group, 60*time.Second); err != nil {
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

// soon returns a result that comes within seconds of virtual time.
func soon(result chan error) error {
	select {
	case err := <-result:
		return err
	case <-time.After(10 * time.Second):
		return errors.New("no result after 10 s")
	}
}

// read reads at a node, again and again while no leader is known.
func (n *node) read(group int, d time.Duration) (err error) {
	for ctx := within(n.of.t, d); ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		if err = n.replica[group].Read(ctx); !errors.Is(err, holdfast.NotLeader) {
			break
		}
	}
	return err
}

// A leader that is cut off acknowledges nothing, and answers no read: within seconds it says so, of
// what it has been asked before, too, whose outcome it can't know.
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
			_, err := proposeAt(old.replica[0], shard.Proposal{Term: term, Raw: []byte("never applied")})
			result <- err
		}()
		next := c.leader(old.id)
		if err := next.put(0, "a", "1"); err != nil {
			t.Fatal(err)
		}
		if err := old.replica[0].Read(within(t, 5*time.Second)); !errors.Is(err, holdfast.NotLeader) {
			t.Errorf("a read without a majority: %v; want NotLeader", err)
		}
		if _, err := old.replica[0].Lead(); !errors.Is(err, holdfast.NotLeader) {
			t.Errorf("the node that is cut off still leads after seconds: %v", err)
		}
		if err := soon(result); !errors.Is(err, holdfast.Unavailable) {
			t.Errorf("the outcome can't be known, and is %v", err)
		}
		c.isolate(old.id, false)
		time.Sleep(time.Second)
		if err := old.replica[0].Read(within(t, 5*time.Second)); err != nil || old.get(0, "a") != "1" {
			t.Errorf("afterwards it reads %q, %v", old.get(0, "a"), err)
		}
	})
}

// A node whose syncs hang leaves its leadership to another within seconds, and takes no more part
// in elections. What it had proposed is committed by the others; it follows when its disk goes on.
func TestHungDisk(t *testing.T) {
	inBubble(t, 1, 1, func(t *testing.T, c *nodes) {
		old := c.leader(0)
		if err := old.put(0, "a", "1"); err != nil {
			t.Fatal(err)
		}
		goOn := old.hang()
		defer goOn()
		began, result := time.Now(), make(chan error, 1)
		go func() { result <- old.put(0, "b", "1") }()
		next := c.leader(old.id)
		if waited := time.Since(began); waited > 3*time.Second {
			t.Errorf("another node leads after %v; want 3 s at most", waited)
		}
		for i := range 20 {
			if err := next.put(0, "c", fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if s := next.replica[0].Status(); s.Leader != next.id {
			t.Errorf("meanwhile node %d has taken the leadership", s.Leader)
		}
		if got := next.get(0, "b"); got != "1" {
			t.Errorf("what reached the others is %q; want 1", got)
		}
		if err := soon(result); !errors.Is(err, holdfast.Unavailable) {
			t.Errorf("the put gets %v; want that its outcome isn't known here", err)
		}
		goOn()
		if err := old.replica[0].Read(within(t, 5*time.Second)); err != nil || old.get(0, "c") != "19" {
			t.Errorf("afterwards the node reads %q, %v", old.get(0, "c"), err)
		}
	})
}

// A node whose disk fails ends its replicas, and says so. Pebble can't be closed then, so there is
// no bubble here.
func TestBrokenDisk(t *testing.T) {
	n, r := newBreakable(t, func(Message) {}, 1)
	for _, err := r.Lead(); err != nil; _, err = r.Lead() {
		n.host.Tick()
		runtime.Gosched()
	}
	if err := n.put(0, "a", "1"); err != nil {
		t.Fatal(err)
	}
	n.breakDisk()
	if err := n.put(0, "a", "2"); !errors.Is(err, holdfast.Unavailable) {
		t.Errorf("a put gets %v; want Unavailable", err)
	}
	if err := <-n.fatal; err == nil {
		t.Error("Fatal gets no error")
	}
	if err := n.host.Close(); err != nil {
		t.Error(err)
	}
	if _, err := r.Lead(); !errors.Is(err, holdfast.NotLeader) {
		t.Errorf("the replica: %v; want NotLeader", err)
	}
}

// A member whose disk fails doesn't say that it has an entry.
func TestBrokenDiskOfFollower(t *testing.T) {
	sent := newQueue[Message]()
	defer sent.close()
	n, _ := newBreakable(t, func(m Message) { sent.put(m) }, 1, 2, 3)
	n.breakDisk()
	m, err := encode(1, &raftpb.Message{
		Type: raftpb.MsgApp.Enum(), From: new(uint64(2)), To: new(uint64(1)), Term: new(uint64(1)),
		Entries: []*raftpb.Entry{{Index: new(uint64(1)), Term: new(uint64(1))}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.host.Receive(m); err != nil {
		t.Fatal(err)
	}
	select {
	case <-n.fatal:
	case m := <-first(sent):
		t.Errorf("it answers %x", m.Body)
	}
	if err := n.host.Close(); err != nil {
		t.Error(err)
	}
}

// newBreakable starts node 1 with a replica of a group of these members, on a disk that breakDisk
// breaks.
func newBreakable(t *testing.T, send func(Message), members ...holdfast.NodeID) (*node, *Replica) {
	t.Helper()
	n := &node{id: 1, fs: vfs.NewMem(), fatal: make(chan error, 1)}
	var err error
	n.store, err = shard.Open(shard.Options{Dir: "data", FS: errorfs.Wrap(n.fs, errorfs.InjectorFunc(n.disk)),
		Fatal: func(error) {}})
	if err != nil {
		t.Fatal(err)
	}
	sh, err := n.store.Open(shard.Descriptor{ID: 1, Space: 1}, shard.Schema{Key: testKeys})
	if err != nil {
		t.Fatal(err)
	}
	n.shards = []*shard.Shard{sh}
	n.host = NewHost(Options{Node: 1, Store: n.store, Send: send, Fatal: func(err error) { n.fatal <- err }})
	r, err := n.host.Start(sh, members)
	if err != nil {
		t.Fatal(err)
	}
	return n, r
}

// breakDisk has all syncs of the node's disk fail from now on.
func (n *node) breakDisk() {
	n.syncs.Lock()
	defer n.syncs.Unlock()
	n.bad = true
}

// first returns a channel that gets the first item of a queue.
func first[T any](q *queue[T]) <-chan T {
	c := make(chan T, 1)
	go func() {
		if items, _ := q.take(); len(items) > 0 {
			c <- items[0]
		}
	}()
	return c
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
			_, err := proposeAt(r, shard.Proposal{Term: term, Raw: []byte("a")})
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
		if _, err := proposeAt(r, shard.Proposal{Term: term, Raw: []byte("b")}); !errors.Is(err, holdfast.Refused) {
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
		if _, err := proposeAt(r, shard.Proposal{Term: term, Raw: big}); !errors.Is(err, holdfast.Overloaded) {
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
			"from a local thread": {From: ^holdfast.NodeID(0), To: leader.id, Shard: 1},
			"garbled":             {From: other, To: leader.id, Shard: 1, Body: []byte{4, 2, 3}},
			"garbled note":        {From: other, To: leader.id, Shard: 1, Body: []byte{sleepByte, 2}},
			"long note":           {From: other, To: leader.id, Shard: 1, Body: []byte{sleepByte, 2, 3, 4}},
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
			want := holdfast.Invalid
			if m.Shard == 9 {
				want = holdfast.NotFound
			}
			if err := h.Receive(m); !errors.Is(err, want) {
				t.Errorf("%s: %v; want %v", name, err, want)
			}
		}
		// Nobody but a member answers, and whoever doesn't know it yet hears of it what members may
		// be.
		for kind, want := range map[raftpb.MessageType]error{
			raftpb.MsgHeartbeat: nil, raftpb.MsgHeartbeatResp: holdfast.Invalid, raftpb.MsgAppResp: holdfast.Invalid,
		} {
			m, err := encode(1, &raftpb.Message{
				Type: kind.Enum(), From: new(uint64(4)), To: new(uint64(leader.id)), Term: new(uint64(1)),
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := h.Receive(m); !errors.Is(err, want) {
				t.Errorf("%v from no member: %v; want %v", kind, err, want)
			}
		}
		synctest.Wait() // other messages may be on their way
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
			if kind == nil && (err != nil || len(r.core.members.Voters) != 3) || kind != nil && !errors.Is(err, kind) {
				t.Errorf("node %d: %v; want %v", id, err, kind)
			}
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
