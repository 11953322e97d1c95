package group

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"holdfast"
	"holdfast/shard"
)

// stopReplica stops a node's replica of a group.
func (n *node) stopReplica(group int) {
	n.of.t.Helper()
	if err := n.host.Stop(n.shards[group].ID()); err != nil {
		n.of.t.Fatal(err)
	}
}

// onDisk returns what a node has on disk of a group: the bounds of its log, its state and what its
// shard has applied.
func (n *node) onDisk(group int) string {
	n.of.t.Helper()
	log, err := shard.OpenGroupLog(n.store, n.shards[group].ID())
	if err != nil {
		n.of.t.Fatal(err)
	}
	state, err := log.State()
	if err != nil {
		n.of.t.Fatal(err)
	}
	first, last := log.Bounds()
	return fmt.Sprintf("%d to %d, state %x, applied %v", first, last, state, shard.ReplicaOf(n.shards[group]).Applied())
}

// follower returns a node that doesn't lead a group.
func (c *nodes) follower(group int) *node {
	c.t.Helper()
	return c.all[c.leaderOf(group, 0).id%3]
}

// A replica that is stopped ends its waits: what is in the log has an unknown outcome. Other replicas
// of the node go on, and so does the group.
func TestStop(t *testing.T) {
	inBubble(t, 1, 2, func(t *testing.T, c *nodes) {
		old := c.leader(0)
		r := old.replica[0]
		term, err := r.Lead()
		if err != nil {
			t.Fatal(err)
		}
		c.isolate(old.id, true)
		proposed, read := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := proposeAt(r, shard.Proposal{Term: term, Raw: []byte("a")})
			proposed <- err
		}()
		go func() { read <- r.Read(context.Background()) }()
		synctest.Wait()
		old.stopReplica(0)
		if err := <-proposed; !errors.Is(err, holdfast.Unavailable) {
			t.Errorf("a proposal: %v; want Unavailable", err)
		}
		if err := <-read; !errors.Is(err, holdfast.Closed) {
			t.Errorf("a read: %v; want Closed", err)
		}
		wantStopped(t, old, r)
		old.stopReplica(0) // a second time
		c.isolate(old.id, false)
		next := c.leader(old.id)
		if err := next.put(0, "a", "1"); err != nil {
			t.Errorf("the others: %v", err)
		}
		if err := c.leaderOf(1, 0).put(1, "a", "1"); err != nil {
			t.Errorf("the other group: %v", err)
		}
		if err := old.replica[1].Read(within(t, 5*time.Second)); err != nil {
			t.Errorf("the node's other replica: %v", err)
		}
		if err := old.host.Close(); err != nil {
			t.Error(err)
		}
		wantStopped(t, old, r)
		if err := old.host.Stop(2); err != nil {
			t.Errorf("after Close: %v", err)
		}
	})
}

// wantStopped expects that a node's replica of the first group is stopped.
func wantStopped(t *testing.T, n *node, r *Replica) {
	t.Helper()
	if _, err := r.Lead(); !errors.Is(err, holdfast.NotLeader) {
		t.Errorf("it leads: %v; want NotLeader", err)
	}
	if got := r.Leader(); got != 0 {
		t.Errorf("it knows the leader %d; want none", got)
	}
	if s := r.Status(); s.Leader != 0 || s.Match != nil {
		t.Errorf("its status is %+v; want no leader", s)
	}
	if _, err := proposeAt(r, shard.Proposal{Term: 1, Raw: []byte("b")}); !errors.Is(err, holdfast.Refused) {
		t.Errorf("a proposal: %v; want Refused", err)
	}
	if err := r.Read(context.Background()); !errors.Is(err, holdfast.Closed) {
		t.Errorf("a read: %v; want Closed", err)
	}
	if err := n.put(0, "x", "1"); !errors.Is(err, holdfast.NotLeader) {
		t.Errorf("a put: %v; want NotLeader", err)
	}
	if got := n.host.Replica(1); got != nil {
		t.Error("the host still has it")
	}
	r.Campaign()
	r.Transfer(2)
	from, to := uint64(n.id%3+1), uint64(n.id)
	m, err := encode(1, &raftpb.Message{Type: raftpb.MsgHeartbeat.Enum(), From: &from, To: &to, Term: new(uint64(9))})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.host.Receive(m); !errors.Is(err, holdfast.NotFound) {
		t.Errorf("a message: %v; want NotFound", err)
	}
}

// Nothing is written once a replica is stopped: Stop waits for what the disk is writing, and what
// waits behind that isn't written any more.
func TestStopWhileLogsAreWritten(t *testing.T) {
	inBubble(t, 1, 1, func(t *testing.T, c *nodes) {
		leader, n := c.leader(0), c.follower(0)
		if err := leader.put(0, "a", "0"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		was := n.onDisk(0)
		goOn := n.hang()
		defer goOn()
		for i := range 5 { // the other two commit
			if err := leader.put(0, "a", fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		stopped := make(chan struct{})
		go func() {
			n.stopReplica(0)
			close(stopped)
		}()
		synctest.Wait()
		select {
		case <-stopped:
			t.Error("Stop returns while the disk writes")
		default:
		}
		goOn()
		<-stopped
		after := n.onDisk(0)
		if after == was {
			t.Errorf("nothing was written before either: %s", was)
		}
		time.Sleep(5 * time.Second) // of virtual time
		if got := n.onDisk(0); got != after {
			t.Errorf("after Stop it has %s; want %s", got, after)
		}
	})
}

// Nothing is applied once a replica is stopped: Stop waits for what a shard is applying, and what
// waits behind that isn't applied any more.
func TestStopWhileEntriesAreApplied(t *testing.T) {
	inBubble(t, 1, 1, func(t *testing.T, c *nodes) {
		leader, n := c.leader(0), c.follower(0)
		if err := leader.put(0, "a", "0"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // of virtual time: the follower learns that it is committed
		n.host.applies.take()   // apply waits before what comes next
		was := n.onDisk(0)
		if err := leader.put(0, "a", "1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		stopped := make(chan struct{})
		go func() {
			n.stopReplica(0)
			close(stopped)
		}()
		synctest.Wait()
		select {
		case <-stopped:
			t.Error("Stop returns while a shard applies entries")
		default:
		}
		log := n.onDisk(0)
		if log == was {
			t.Errorf("no entry came: %s", was)
		}
		n.host.applies.leave()
		<-stopped
		synctest.Wait()
		if got := n.onDisk(0); got != log {
			t.Errorf("after Stop it has %s; want %s", got, log)
		}
		if got := n.get(0, "a"); got != "0" {
			t.Errorf("the shard has %q; want 0", got)
		}
	})
}

// Stop doesn't wait for space on a full disk: what store would write isn't written when there is
// some. What it would write for other replicas is.
func TestStopOnAFullDisk(t *testing.T) {
	inBubble(t, 1, 2, func(t *testing.T, c *nodes) {
		c.leaderOf(1, 0)
		n := c.follower(0)
		n.full.Store(true)
		time.Sleep(5 * time.Second) // of virtual time, until the store looks at the disk
		was := n.onDisk(0)
		for group := range c.groups {
			if leader := c.leaderOf(group, 0); leader == n {
				leader.replica[group].Transfer(n.id%3 + 1)
			}
			leader := c.leaderOf(group, n.id)
			if err := leader.put(group, "a", "1"); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		n.stopReplica(0)
		n.full.Store(false)
		if err := n.replica[1].Read(within(t, 20*time.Second)); err != nil || n.get(1, "a") != "1" {
			t.Errorf("the other replica reads %q, %v; want 1", n.get(1, "a"), err)
		}
		if got := n.onDisk(0); got != was {
			t.Errorf("it has %s; want %s", got, was)
		}
	})
}

// A replica that was stopped starts again as it is on disk, and catches up.
func TestStartAfterStop(t *testing.T) {
	inBubble(t, 1, 2, func(t *testing.T, c *nodes) {
		for i := range 5 {
			n := c.follower(0)
			if i%2 == 0 {
				n = c.leader(0)
			}
			n.stopReplica(0)
			value := fmt.Sprint(i)
			if err := c.leader(n.id).put(0, "a", value); err != nil {
				t.Fatal(err)
			}
			r, err := n.host.Start(n.shards[0], nil)
			if err != nil {
				t.Fatal(err)
			}
			n.replica[0] = r
			if err := r.Read(within(t, 5*time.Second)); err != nil || n.get(0, "a") != value {
				t.Errorf("it reads %q, %v; want %s", n.get(0, "a"), err, value)
			}
		}
		c.compare(map[int]map[string]string{0: {"a": "4"}})
	})
}

// Groups whose replicas are all stopped leave nothing: their shards can be dropped, and made again.
func TestDropAfterStop(t *testing.T) {
	inBubble(t, 1, 2, func(t *testing.T, c *nodes) {
		for range 3 {
			leader := c.leader(0)
			for i := range 20 {
				if err := leader.put(0, fmt.Sprint(i), "a"); err != nil {
					t.Fatal(err)
				}
			}
			go func() { _ = leader.put(0, "x", "a") }()
			for _, n := range c.all {
				n.stopReplica(0)
				if err := n.store.Drop(descriptor(1)); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second) // of virtual time
			for _, n := range c.all {
				n.shards[0], n.replica[0] = n.open(descriptor(1))
				if got := n.get(0, "1"); got != "" || n.replica[0].Status().Term != 0 {
					t.Errorf("node %d begins with %q, %+v; want nothing", n.id, got, n.replica[0].Status())
				}
			}
		}
		if err := c.leader(0).put(0, "a", "1"); err != nil {
			t.Fatal(err)
		}
		c.compare(map[int]map[string]string{0: {"a": "1"}})
	})
}

// Stop, Start and Close may come at any time, while all else goes on.
func TestStopRaces(t *testing.T) {
	for seed := range uint64(4) {
		inBubble(t, seed+1, 2, func(t *testing.T, c *nodes) {
			c.leader(0)
			n, ctx := c.all[seed%3], within(t, 3*time.Second)
			var work sync.WaitGroup
			for i := range 4 {
				work.Go(func() {
					for ctx.Err() == nil {
						if r := n.host.Replica(1); r != nil {
							term, _ := r.Lead()
							if i%2 == 0 {
								_ = r.Read(ctx)
							} else if err := n.put(0, "a", fmt.Sprint(term)); errors.Is(err, holdfast.NotLeader) {
								_ = c.all[r.Leader()%3].put(0, "b", "1")
								r.Campaign()
							}
						}
						time.Sleep(time.Millisecond)
					}
				})
			}
			rng := rand.New(rand.NewPCG(seed, 2))
			for range 2 {
				waits := make([]time.Duration, 200)
				for i := range waits {
					waits[i] = time.Duration(rng.IntN(20_000)) * time.Microsecond
				}
				work.Go(func() {
					for _, wait := range waits {
						time.Sleep(wait)
						if err := n.host.Stop(1); err != nil {
							t.Error(err)
						}
						if _, err := n.host.Start(n.shards[0], nil); err != nil && !errors.Is(err, holdfast.Exists) &&
							!errors.Is(err, holdfast.Closed) {
							t.Error(err)
						}
					}
				})
			}
			if seed%2 == 0 {
				time.Sleep(time.Second)
				if err := n.host.Close(); err != nil {
					t.Error(err)
				}
			}
			work.Wait()
			if seed%2 == 1 {
				if err := n.host.Replica(1).Read(within(t, 10*time.Second)); err != nil {
					t.Errorf("afterwards a read: %v", err)
				}
			}
		})
	}
}

// What reads Leader and Lead whenever Changed has an element has seen the last change.
func TestChanged(t *testing.T) {
	inBubble(t, 1, 3, func(t *testing.T, c *nodes) {
		type view struct {
			leader holdfast.NodeID
			term   uint64
		}
		now := func(n *node) (all []view) {
			for _, r := range n.replica {
				term, _ := r.Lead()
				all = append(all, view{r.Leader(), term})
			}
			return all
		}
		n := c.all[0]
		var mu sync.Mutex // guards seen and changes
		var seen []view
		changes, h := 0, n.host
		done := make(chan struct{})
		defer close(done)
		go func() {
			for {
				select {
				case <-h.Changed():
					mu.Lock()
					changes++
					seen = now(n)
					mu.Unlock()
				case <-done:
					return
				}
			}
		}()
		expect := func(when string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if got := now(n); !slices.Equal(got, seen) {
				t.Errorf("%s: it was seen %v; want %v", when, seen, got)
			}
		}
		for group := range c.groups {
			c.leaderOf(group, 0)
		}
		expect("after elections")
		for i := range 20 {
			group := i % c.groups
			leader := c.leaderOf(group, 0)
			leader.replica[group].Transfer(leader.id%3 + 1)
			c.leaderOf(group, leader.id)
			expect("after a transfer")
		}
		rest := func() int { // returns how many changes there were until it ends
			time.Sleep(10 * time.Second) // of virtual time
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return changes
		}
		if was := rest(); rest() != was { // once the clock rests, which it may begin to several times
			t.Error("got changes while nothing changes; want none")
		}
		n.stopReplica(2)
		expect("after a stop")
		mu.Lock()
		stopped := seen[2]
		mu.Unlock()
		if stopped != (view{}) {
			t.Errorf("of a stopped replica it was seen %v; want nothing", stopped)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		expect("after the host's end")
	})
}

// A new group has a leader as soon as a majority has started, if one of them campaigns until then.
func TestCampaignOfANewGroup(t *testing.T) {
	inBubble(t, 1, 1, func(t *testing.T, c *nodes) {
		c.leader(0)
		first := c.all[0]
		_, r := first.open(descriptor(9))
		campaign := func() {
			for range 10 {
				r.Campaign()
				time.Sleep(20 * time.Millisecond)
			}
		}
		campaign()
		if _, err := r.Lead(); !errors.Is(err, holdfast.NotLeader) || r.Status().Term > 1 {
			t.Errorf("alone: %v, %+v; want NotLeader, and no later term", err, r.Status())
		}
		c.all[1].open(descriptor(9))
		c.all[2].open(descriptor(9))
		campaign()
		if _, err := r.Lead(); err != nil || r.Leader() != 1 {
			t.Errorf("with others: %v, leader %d; want node 1", err, r.Leader())
		}
	})
}

// While the goroutine that steps replicas is busy, Stop waits: it may read the log. What comes in for
// a stopped replica meanwhile ends with the host, too.
func TestStopWhileReplicasAreStepped(t *testing.T) {
	inBubble(t, 1, 2, func(t *testing.T, c *nodes) {
		n, busy := c.all[0], make(chan struct{}) // an element has the sender of a heartbeat wait for another
		n.close()
		c.change = func(o *Options) {
			send := o.Send
			o.Send = func(m Message) {
				if m.isBeat() || m.isNote() {
					send(m)
					return
				}
				r, err := m.decode()
				if err != nil {
					t.Error(err)
				}
				// Other messages may come from the goroutine that writes.
				if kind := r.GetType(); kind == raftpb.MsgHeartbeat || kind == raftpb.MsgHeartbeatResp {
					select {
					case <-busy:
						<-busy
					default:
					}
				}
				send(m)
			}
		}
		n.start()
		c.leader(0)
		c.leaderOf(1, 0)
		r := n.replica[0]
		hold := func() { busy <- struct{}{} }
		stopped := make(chan struct{})
		hold()
		go func() {
			n.stopReplica(0)
			close(stopped)
		}()
		synctest.Wait()
		select {
		case <-stopped:
			t.Error("Stop returns while replicas are stepped")
		default:
		}
		busy <- struct{}{}
		<-stopped

		hold()
		proposed, read, closed := make(chan error, 1), make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := proposeAt(r, shard.Proposal{Term: 1, Raw: []byte("a")})
			proposed <- err
		}()
		go func() { read <- r.Read(context.Background()) }()
		synctest.Wait()
		go func() { closed <- n.host.Close() }()
		synctest.Wait()
		busy <- struct{}{}
		if err := <-proposed; !errors.Is(err, holdfast.Refused) {
			t.Errorf("a proposal: %v; want Refused", err)
		}
		if err := <-read; !errors.Is(err, holdfast.Closed) {
			t.Errorf("a read: %v; want Closed", err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
}
