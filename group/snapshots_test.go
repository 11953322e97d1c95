package group

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"holdfast"
	"holdfast/shard"
)

// shortLogs has nodes keep short logs, and send small parts.
func shortLogs(o *Options) {
	o.MaxLogBytes, o.AwayTicks = 20_000, 30
	o.SnapshotBytesPerSecond = 200_000
}

// putMany puts items that were there, and new ones, at whatever node leads.
func (c *nodes) putMany(from, to int) {
	c.t.Helper()
	for i := from; i < to; i++ {
		leader := c.leader(0)
		key := fmt.Sprint("key ", i%150)
		if err := leader.put(0, key, fmt.Sprintf("%d %s", i, strings.Repeat("x", 500))); err != nil {
			c.t.Fatalf("item %d: %v", i, err)
		}
	}
}

// awaitEqual waits until a node has what the leader has.
func (c *nodes) awaitEqual(n *node) {
	c.t.Helper()
	for range 1200 {
		leader := c.leader(0)
		if n.applied(0) == leader.applied(0) {
			for i := range 150 {
				key := fmt.Sprint("key ", i)
				if got, want := n.get(0, key), leader.get(0, key); got != want {
					c.t.Fatalf("node %d has %.20q as %s; node %d has %.20q", n.id, got, key, leader.id, want)
				}
			}
			got, want := n.shards[0].Counts(), leader.shards[0].Counts()
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				c.t.Fatalf("node %d counts %+v; node %d %+v", n.id, got, leader.id, want)
			}
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.t.Fatalf("node %d has applied %d: %+v; the leader %+v", n.id, n.applied(0), n.replica[0].Status(),
		c.leader(0).replica[0].Status())
}

func (n *node) applied(group int) uint64 { return shard.ReplicaOf(n.shards[group]).Applied().Index }

// A node that was away while the others' logs were trimmed returns by a snapshot. It has what they
// have then, and goes on by the log, also after a crash.
func TestANodeReturnsBySnapshot(t *testing.T) {
	c := &nodes{change: shortLogs}
	inBubbleWith(t, 1, 1, c, func(t *testing.T) {
		c.putMany(0, 100)
		away := c.follower(0)
		away.close()
		c.putMany(100, 300)
		time.Sleep(5 * time.Second)
		leader := c.leader(0)
		if s := leader.replica[0].Status(); s.LogBytes > 21_000 {
			t.Errorf("the leader's log has %d bytes", s.LogBytes)
		}
		away.start()
		c.awaitEqual(away)
		if s := away.host.Snapshots(); s.Received != 1 || s.ReceivedBytes < 80_000 {
			t.Errorf("got %+v; want one snapshot", s)
		}
		if s := leader.host.Snapshots(); s.Sent != 1 || s.SentBytes < 80_000 {
			t.Errorf("got %+v; want one snapshot", s)
		}
		c.putMany(300, 320)
		c.awaitEqual(away)
		away.kill()
		away.start()
		c.putMany(320, 340)
		c.awaitEqual(away)
		if s := away.host.Snapshots(); s.Received != 0 {
			t.Errorf("after a crash: got %+v; want no snapshot", s)
		}
		if err := away.replica[0].Read(within(t, 10*time.Second)); err != nil {
			t.Error(err)
		}
		leader = c.leader(0)
		leader.replica[0].Transfer(away.id)
		time.Sleep(time.Second)
		if next := c.leader(0); next != away {
			t.Errorf("node %d leads; want the node that was away, %d", next.id, away.id)
		}
		c.putMany(340, 360)
	})
}

// A snapshot that breaks off anywhere, or in which a part is garbled, missing, doubled or of another
// snapshot, is refused and counted, and leaves nothing; the leader sends another.
func TestBrokenSnapshots(t *testing.T) {
	seeds := uint64(6)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		c := &nodes{change: shortLogs}
		inBubbleWith(t, seed, 1, c, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 47))
			c.putMany(0, 20)
			away := c.follower(0)
			away.close()
			c.putMany(20, 200)
			time.Sleep(5 * time.Second)
			broken, former := 0, []byte(nil)
			c.broken = func(_, _ holdfast.NodeID, part []byte) ([]byte, error) {
				kept := former
				former = slices.Clone(part)
				if broken == 6 || rng.IntN(2) == 0 {
					return part, nil
				}
				broken++
				switch broken {
				case 1:
					return nil, io.EOF
				case 2:
					return nil, errors.New("broken")
				case 3:
					part = slices.Clone(part)
					part[rng.IntN(len(part))] ^= 1
				case 4, 5:
					part = kept
				}
				if part == nil {
					return nil, io.EOF
				}
				return part, nil
			}
			away.start()
			c.awaitEqual(away)
			if s := away.host.Snapshots(); s.Received != 1 || s.Refused == 0 {
				t.Errorf("seed %d: got %+v after %d broken ones; want one, and some refused", seed, s, broken)
			}
			if files, err := away.fs.List("data/tables.build"); err == nil && len(files) > 0 {
				t.Errorf("seed %d: the files %v are left", seed, files)
			}
			c.putMany(200, 210)
			c.awaitEqual(away)
		})
	}
}

// A snapshot whose message says that it is as of another entry, or has other members, than its parts
// have, is refused, until one comes whose message is right.
func TestSnapshotsThatArentWhatTheySay(t *testing.T) {
	for name, change := range map[string]func(is *raftpb.SnapshotMetadata){
		"the entry before": func(is *raftpb.SnapshotMetadata) { *is.Index-- },
		"the entry behind": func(is *raftpb.SnapshotMetadata) { *is.Index++ },
		"a member more":    func(is *raftpb.SnapshotMetadata) { is.ConfState.Learners = []uint64{9} },
		"a member less":    func(is *raftpb.SnapshotMetadata) { is.ConfState.Voters = is.ConfState.Voters[:2] },
	} {
		c := &nodes{change: shortLogs}
		inBubbleWith(t, 1, 1, c, func(t *testing.T) {
			c.putMany(0, 20)
			away := c.follower(0)
			away.close()
			c.putMany(20, 200)
			time.Sleep(5 * time.Second)
			c.setHead(func(m Message) Message {
				return altered(t, m, func(r *raftpb.Message) { change(r.Snapshot.Metadata) })
			})
			at := away.applied(0)
			away.start()
			time.Sleep(5 * time.Second)
			if s := away.host.Snapshots(); s.Received != 0 || s.Refused < 2 || away.applied(0) > at+10 {
				t.Errorf("%s: got %+v, and %d applied; want each refused, and about %d", name, s, away.applied(0), at)
			}
			c.setHead(nil)
			c.awaitEqual(away)
		})
	}
}

// setHead sets what becomes of the messages of snapshots.
func (c *nodes) setHead(head func(Message) Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head = head
}

// Nodes lose power while snapshots are sent, received and installed. What is left is the replica as it
// was or as the snapshot has it: it goes on from there.
func TestCrashesInSnapshots(t *testing.T) {
	seeds := uint64(8)
	if testing.Short() {
		seeds = 2
	}
	received := uint64(0)
	for seed := range seeds {
		c := &nodes{change: shortLogs}
		inBubbleWith(t, seed, 1, c, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 48))
			c.putMany(0, 20)
			away := c.follower(0)
			for round := range 3 {
				away.close()
				c.putMany(20+100*round, 120+100*round)
				time.Sleep(5 * time.Second)
				away.start()
				for range 3 {
					time.Sleep(time.Duration(rng.IntN(1500)) * time.Millisecond)
					n := away
					if rng.IntN(3) == 0 {
						n = c.leader(0)
					}
					n.kill()
					n.start()
				}
				c.putMany(120+100*round, 125+100*round)
				c.awaitEqual(away)
				received += away.host.Snapshots().Received
			}
		})
	}
	if received == 0 {
		t.Error("no snapshot was received to the end")
	}
}

// A learner joins a group whose log was trimmed, catches up by a snapshot, and takes the place of
// another member.
func TestANodeJoinsBySnapshot(t *testing.T) {
	c := &nodes{change: shortLogs}
	inBubbleWith(t, 1, 1, c, func(t *testing.T) {
		c.putMany(0, 200)
		time.Sleep(2 * time.Second)
		leader := c.leader(0)
		old := c.follower(0)
		if err := leader.replica[0].Change(within(t, 10*time.Second), Change{Add: 4}); err != nil {
			t.Fatal(err)
		}
		c.putMany(200, 250)
		members, _ := leader.replica[0].Members()
		added := &node{id: 4, of: c, fs: newDisk(), joins: members}
		c.mu.Lock()
		c.all = append(c.all, added)
		c.mu.Unlock()
		added.start()
		c.awaitEqual(added)
		if s := added.host.Snapshots(); s.Received != 1 {
			t.Errorf("got %+v; want one snapshot", s)
		}
		leader = c.leader(0)
		if leader == old {
			old = c.follower(0)
		}
		if err := leader.replica[0].Change(within(t, 20*time.Second), Change{Promote: 4, Remove: old.id}); err != nil {
			t.Fatal(err)
		}
		c.putMany(250, 260)
		c.awaitEqual(added)
		added.kill()
		added.start()
		c.awaitEqual(added)
		if m, _ := added.replica[0].Members(); !m.Votes(4) || m.Has(old.id) {
			t.Errorf("after a crash, node 4 knows the members %+v", *m)
		}
	})
}

// A replica that is stopped while it receives or installs a snapshot doesn't change any more, and can
// be started again.
func TestStopDuringASnapshot(t *testing.T) {
	for _, after := range []time.Duration{0, 300, 500, 600, 700, 900} {
		c := &nodes{change: shortLogs}
		inBubbleWith(t, 1, 1, c, func(t *testing.T) {
			c.putMany(0, 20)
			away := c.follower(0)
			away.close()
			c.putMany(20, 200)
			time.Sleep(5 * time.Second)
			away.start()
			time.Sleep(after * time.Millisecond)
			if err := away.host.Stop(1); err != nil {
				t.Fatal(err)
			}
			at := away.applied(0)
			time.Sleep(2 * time.Second)
			if now := away.applied(0); now != at {
				t.Errorf("stopped after %v ms: it has applied %d, and %d then", after, at, now)
			}
			r, err := away.host.Start(away.shards[0], []holdfast.NodeID{1, 2, 3})
			if err != nil {
				t.Fatal(err)
			}
			away.replica[0] = r
			c.awaitEqual(away)
		})
	}
}

// A snapshot that finds the disk full is installed once there is space, and meanwhile the others go on.
func TestASnapshotFindsTheDiskFull(t *testing.T) {
	c := &nodes{change: shortLogs}
	inBubbleWith(t, 1, 1, c, func(t *testing.T) {
		c.putMany(0, 20)
		away := c.follower(0)
		away.close()
		c.putMany(20, 200)
		time.Sleep(5 * time.Second)
		away.start()
		away.full.Store(true)
		time.Sleep(10 * time.Second)
		c.putMany(200, 220)
		if s := away.host.Snapshots(); s.Received != 0 {
			t.Errorf("got %+v on a full disk; want none", s)
		}
		away.full.Store(false)
		c.awaitEqual(away)
	})
}

// A node takes so many snapshots at a time, and sends so many; the others come later.
func TestSnapshotsAreLimited(t *testing.T) {
	c := &nodes{change: func(o *Options) {
		shortLogs(o)
		o.MaxSnapshots = 1
	}}
	inBubbleWith(t, 1, 3, c, func(t *testing.T) {
		away := c.follower(0)
		away.close()
		for i := range 60 {
			for group := range c.groups {
				err := c.leaderOf(group, 0).put(group, fmt.Sprint("key ", i), strings.Repeat("x", 1000))
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(5 * time.Second)
		away.start()
		for range 600 {
			if s := away.host.Snapshots(); s.Receiving > 1 || s.Received == 3 {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		for _, n := range c.all {
			if most := n.most.Load(); most > 1 {
				t.Errorf("node %d sends %d snapshots at a time", n.id, most)
			}
		}
		if s := away.host.Snapshots(); s.Receiving != 0 || s.Received != 3 {
			t.Errorf("got %+v; want three snapshots, one at a time", s)
		}
		for group := range c.groups {
			if got := away.get(group, "key 59"); len(got) != 1000 {
				t.Errorf("group %d: got %d bytes", group, len(got))
			}
		}
	})
}

// A host refuses snapshots that aren't for it.
func TestReceiveSnapshotRefuses(t *testing.T) {
	c := &nodes{}
	inBubbleWith(t, 1, 1, c, func(t *testing.T) {
		leader, n := c.leader(0), c.follower(0)
		term := leader.replica[0].Status().Term
		message := func(change func(m *Message, x *snapshotTo, members *Members)) Message {
			x, members := snapshotTo{n.id, term}, &Members{Voters: []holdfast.NodeID{1, 2, 3}}
			m := Message{From: leader.id, To: n.id, Shard: 1}
			change(&m, &x, members)
			made, err := encode(m.Shard, snapshotMessage(m.From, x, holdfast.TxID{Term: 1, Index: 1000}, members))
			if err != nil {
				t.Fatal(err)
			}
			m.Body = made.Body
			return m
		}
		none := func() ([]byte, error) { return nil, io.EOF }
		for name, test := range map[string]struct {
			change func(m *Message, x *snapshotTo, members *Members)
			kind   holdfast.Kind
		}{
			"without parts":     {func(*Message, *snapshotTo, *Members) {}, holdfast.Invalid},
			"of another shard":  {func(m *Message, _ *snapshotTo, _ *Members) { m.Shard = 9 }, holdfast.NotFound},
			"for another node":  {func(m *Message, x *snapshotTo, _ *Members) { m.To, x.to = 9, 9 }, holdfast.Invalid},
			"of itself":         {func(m *Message, _ *snapshotTo, _ *Members) { m.From = n.id }, holdfast.Invalid},
			"of a former term":  {func(_ *Message, x *snapshotTo, _ *Members) { x.term-- }, holdfast.Invalid},
			"as of nothing new": {func(*Message, *snapshotTo, *Members) {}, holdfast.Invalid},
		} {
			m := message(test.change)
			if err := n.host.ReceiveSnapshot(context.Background(), m, none); !errors.Is(err, test.kind) {
				t.Errorf("%s: got %v; want %v", name, err, test.kind)
			}
		}
	})
}

// What is to be written of a replica behind a snapshot waits until that is installed, in its order; what
// comes before it, and what others write, doesn't.
func TestWritesWaitForAnInstall(t *testing.T) {
	x := &installs{held: map[*Replica][]storing{}}
	r, other := &Replica{}, &Replica{}
	first, second := &received{}, &received{}
	now, begin := x.divert([]storing{
		{replica: r, trim: 1}, {replica: r, received: first}, {replica: r, trim: 2}, {replica: other, trim: 3},
		{replica: r, received: second}, {replica: r, trim: 4},
	})
	want := func(what string, now, begin []storing, trims []uint64, begins ...*received) {
		t.Helper()
		var got []uint64
		for _, s := range now {
			got = append(got, s.trim)
		}
		if !slices.Equal(got, trims) || len(begin) != len(begins) {
			t.Fatalf("%s: got %v and %d snapshots; want %v and %d", what, got, len(begin), trims, len(begins))
		}
		for i, s := range begin {
			if s.received != begins[i] {
				t.Errorf("%s: another snapshot begins", what)
			}
		}
	}
	want("at first", now, begin, []uint64{1, 3}, first)
	now, begin = x.divert([]storing{{replica: r, trim: 5}, {replica: other, trim: 6}})
	want("meanwhile", now, begin, []uint64{6})
	now, begin = x.divert([]storing{{replica: r, installed: true, trim: 100}, {replica: r, trim: 7}})
	want("installed", now, begin, []uint64{100, 2}, second)
	now, begin = x.divert([]storing{{replica: r, installed: true, trim: 200}, {replica: r, trim: 8}})
	want("both installed", now, begin, []uint64{200, 4, 5, 7, 8})
}

// A shard doesn't apply entries that a snapshot has, which Raft has taken, and doesn't wait for that
// with them; what comes behind it waits.
func TestAShardPassesWhatASnapshotHas(t *testing.T) {
	c := &nodes{}
	inBubbleWith(t, 1, 1, c, func(t *testing.T) {
		c.putMany(0, 20)
		time.Sleep(time.Second)
		n := c.follower(0)
		h, r := n.host, n.replica[0]
		at := n.applied(0)
		entry := func(index uint64) []applying {
			e := &raftpb.Entry{Index: &index, Term: new(uint64(1)), Data: newEntry(0, 0, []byte("no entry of a shard"))}
			return []applying{{r, &raftpb.Message{Entries: []*raftpb.Entry{e}}}}
		}
		r.base.Store(at + 10)
		r.exchange.take()
		if err := h.applyTo(r, entry(at+10)); err != nil || n.applied(0) != at {
			t.Errorf("got %v, and %d applied; want %d", err, n.applied(0), at)
		}
		done := make(chan error, 1)
		go func() { done <- h.applyTo(r, append(entry(at+9), entry(at+11)...)) }()
		time.Sleep(time.Second)
		if len(done) > 0 {
			t.Error("an entry behind a snapshot is applied while that is installed")
		}
		r.exchange.leave()
		if err := <-done; err == nil {
			t.Error("got no error; want that of the entry behind the snapshot")
		}
		r.base.Store(0)
	})
}
