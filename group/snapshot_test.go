package group

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"holdfast"
)

// putAll has a leader propose n entries, with a tick and all that follows after each.
func (c *cluster) putAll(leader *member, n int) {
	for i := range n {
		c.propose(leader, fmt.Sprintf("%d in %d", i, leader.term))
		c.tick()
		c.settle()
	}
}

// same fails the test unless members have applied the same.
func (c *cluster) same(a, b *member) {
	c.t.Helper()
	if !slices.Equal(a.applies, b.applies) {
		c.t.Errorf("members %d and %d have applied %d and %d entries, and not the same", a.id, b.id, len(a.applies),
			len(b.applies))
	}
}

// A log is kept for a member that is away for a while, which then catches up by it. One that is away
// for longer gets a snapshot, and so does one that is away from a log that has become too long. None
// is sent to a member that has what the log lacks.
func TestMembersThatWereAway(t *testing.T) {
	for name, test := range map[string]struct {
		awayTicks, logBytes int
		entries             int // while a member is away
		kept                bool
	}{
		"for a while":             {100, 1 << 20, 50, true},
		"for long":                {50, 1 << 20, 150, false},
		"from a log that is long": {1 << 30, 2000, 150, false},
	} {
		c := newClusterWith(t, 1, 3, func(c *cluster) {
			c.awayTicks, c.logBytes = test.awayTicks, uint64(test.logBytes)
		})
		leader := c.elect()
		c.putAll(leader, 20)
		away := c.other(leader)
		c.crash(away)
		c.putAll(leader, test.entries)
		for _, id := range c.ids {
			m := c.members[id]
			if m == nil {
				continue
			}
			if kept := len(m.disk.entries) > test.entries; kept != test.kept {
				t.Errorf("%s: the log of member %d has %d entries", name, id, len(m.disk.entries))
			}
			if size := m.log.size(); size > uint64(2*test.logBytes) {
				t.Errorf("%s: the log of member %d has %d bytes", name, id, size)
			}
		}
		c.start(away)
		c.putAll(leader, 60)
		c.same(leader, c.members[away])
		if (c.installed > 0) == test.kept {
			t.Errorf("%s: got %d snapshots", name, c.installed)
		}
		c.crash(away)
		c.start(away)
		installed := c.installed
		c.putAll(leader, 10)
		c.same(leader, c.members[away])
		if c.installed != installed {
			t.Errorf("%s: a member got a snapshot that it didn't need", name)
		}
	}
}

// What a member that is up lacks stays in all logs, below the limit.
func TestLogsAreKeptForMembersThatAreUp(t *testing.T) {
	c := newClusterWith(t, 1, 3, func(c *cluster) { c.awayTicks, c.logBytes, c.trimTicks = 50, 1<<20, 1 })
	leader := c.elect()
	slow := c.other(leader)
	c.putAll(leader, 20)
	lacks := c.members[slow].disk.first + uint64(len(c.members[slow].disk.entries))
	for range 200 { // it answers heartbeats, and writes nothing
		c.propose(leader, "a")
		c.tick()
		for more := true; more; {
			more = len(c.network) > 0
			if more {
				c.deliver(0)
			}
			for _, id := range c.ids {
				if id != slow {
					more = c.store(c.members[id]) || more
					more = c.apply(c.members[id]) || more
				}
			}
		}
	}
	for _, id := range c.ids {
		if first := c.members[id].disk.first; first > lacks {
			t.Errorf("the log of member %d begins with entry %d; member %d lacks %d", id, first, slow, lacks)
		}
	}
	c.putAll(leader, 30)
	c.same(leader, c.members[slow])
	if c.installed != 0 {
		t.Error("a member that was up got a snapshot")
	}
}

// A follower has removed what the leader said. If it leads, it sends a snapshot in its turn.
func TestAFollowerLeadsAndSendsASnapshot(t *testing.T) {
	c := newClusterWith(t, 1, 5, func(c *cluster) { c.awayTicks = 30 })
	leader := c.elect()
	away := c.other(leader)
	c.crash(away)
	c.putAll(leader, 100)
	c.crash(leader.id)
	c.start(away)
	next := c.elect()
	c.start(leader.id)
	c.putAll(next, 50)
	if c.installed == 0 {
		t.Error("no snapshot was installed")
	}
	for _, id := range c.ids {
		c.same(next, c.members[id])
	}
}

// A learner that joins a group whose log was trimmed catches up by a snapshot, and is promoted.
func TestALearnerGetsASnapshot(t *testing.T) {
	c := newClusterWith(t, 1, 3, func(*cluster) {})
	leader := c.elect()
	c.putAll(leader, 100)
	add := c.alter(leader, Change{Add: 4})
	c.settle()
	if err, ok := add.outcome(); err != nil || !ok {
		t.Fatalf("got %v, %v", err, ok)
	}
	c.putAll(leader, 30)
	c.join(4, leader.members)
	c.putAll(leader, 30)
	promote := c.alter(leader, Change{Promote: 4, Remove: holdfast.NodeID(c.other(leader))})
	c.putAll(leader, 30)
	if err, ok := promote.outcome(); err != nil || !ok || c.installed == 0 {
		t.Fatalf("got %v, %v, after %d snapshots", err, ok, c.installed)
	}
	c.same(leader, c.members[4])
	c.crash(4)
	c.start(4)
	if m := c.members[4]; !m.members.Votes(4) || !slices.Equal(m.members.Voters, leader.members.Voters) {
		t.Errorf("after a crash, the new member knows the members %+v; want %+v", *m.members, *leader.members)
	}
}

// A leader that has lost its leadership gets as a snapshot what the others have committed since: its
// own proposals among it may have been committed, so their outcome isn't known. Reads that wait end
// only when the snapshot is installed, and have what it has.
func TestOutcomesThatASnapshotPasses(t *testing.T) {
	c := newClusterWith(t, 1, 3, func(c *cluster) { c.awayTicks, c.trimTicks = 5, 1 })
	old := c.elect()
	c.putAll(old, 20)
	decided := c.propose(old, "committed by others")
	c.replicate()
	c.isolate(old.id, true)
	next := c.elect(old.id)
	c.putAll(next, 60)
	// It still waits for the outcome, as one that was stopped for a while does.
	old.proposals.placed = append(old.proposals.placed[:0], &decided.proposal)
	decided.done = make(chan outcome, 1)
	change := &changing{term: decided.term, index: decided.index, done: make(chan error, 1)}
	old.change, old.hearing.lost = change, old.ticks+1000
	if !slices.ContainsFunc(next.applies, func(a appliedEntry) bool { return a.raw == "committed by others" }) {
		t.Fatal("the proposal wasn't committed")
	}
	read := c.read(old)
	c.isolate(old.id, false)
	old.hearing.leaned = old.ticks + 1000
	for range 100 {
		c.tick()
		c.goOn(func(m *member) bool { return m != old && c.apply(m) })
		if err, ok := read.result(); ok && err == nil && old.applied < next.applies[len(next.applies)-1].index {
			t.Fatalf("a read ended at %d, before the snapshot was there", old.applied)
		}
	}
	c.settle()
	if o, ok := decided.outcome(); !ok || !errors.Is(o.err, holdfast.Unavailable) {
		t.Errorf("got %+v, %v; want an outcome that isn't known", o, ok)
	}
	if err, ok := change.outcome(); !ok || !errors.Is(err, holdfast.Unavailable) {
		t.Errorf("a change of members: got %v, %v; want an outcome that isn't known", err, ok)
	}
	if c.installed == 0 {
		t.Error("no snapshot was installed")
	}
	c.same(next, old)
}

// What a member was to apply when Raft has taken a snapshot isn't applied, and doesn't count as that
// either: a read would end before the snapshot is installed.
func TestEntriesThatASnapshotPasses(t *testing.T) {
	c := newClusterWith(t, 1, 3, func(c *cluster) { c.awayTicks, c.trimTicks = 5, 1 })
	leader := c.elect()
	c.putAll(leader, 20)
	m := c.members[c.other(leader)]
	others := func(x *member) bool { return x != m && c.apply(x) }
	for range 10 {
		c.propose(leader, "to be passed over")
		c.tick()
		c.goOn(others)
	}
	if len(m.pending) == 0 {
		t.Fatal("nothing is to be applied")
	}
	c.isolate(m.id, true)
	c.putAllBut(leader, 40, others)
	c.isolate(m.id, false)
	for tick := 0; m.base == 0; tick++ {
		if tick == 300 {
			t.Fatal("no snapshot came")
		}
		c.tick()
		for len(c.network) > 0 {
			c.deliver(0)
		}
		for i := len(c.streams) - 1; i >= 0; i-- {
			c.stream(i)
		}
		for _, id := range c.ids {
			if x := c.members[id]; m.base == 0 || x != m {
				c.store(x)
				others(x)
			}
		}
	}
	n, applied := len(m.applies), m.applied
	for len(m.pending) > 0 {
		c.apply(m)
	}
	if len(m.applies) != n || m.applied != applied {
		t.Errorf("before the snapshot is installed, %d entries were applied, up to %d", len(m.applies)-n, m.applied)
	}
	c.putAll(leader, 10)
	c.same(leader, m)
}

// putAllBut is putAll, but for who applies.
func (c *cluster) putAllBut(leader *member, n int, apply func(*member) bool) {
	for i := range n {
		c.propose(leader, fmt.Sprintf("%d in %d", i, leader.term))
		c.tick()
		c.goOn(apply)
	}
}

// While a snapshot is on its way, the log is kept from there on, so that the member can go on behind
// it. If it becomes too long all the same, the member gets another one.
func TestTheLogBehindASnapshotIsKept(t *testing.T) {
	for _, long := range []bool{false, true} {
		c := newClusterWith(t, 1, 3, func(c *cluster) { c.awayTicks, c.logBytes, c.trimTicks = 20, 3000, 1 })
		leader := c.elect()
		away := c.other(leader)
		c.crash(away)
		c.putAll(leader, 100)
		c.start(away)
		for len(c.streams) == 0 {
			c.tick()
			c.goOnWithout(c.apply)
		}
		c.stream(0) // it is made
		entries := 100
		if long {
			entries = 400
		}
		for i := range entries {
			c.propose(leader, fmt.Sprint("behind ", i))
			c.tick()
			c.goOnWithout(c.apply)
		}
		if size := leader.log.size(); size > 2*3000+100 {
			t.Errorf("the log has %d bytes", size)
		}
		c.putAll(leader, 30)
		c.same(leader, c.members[away])
		if (c.installed > 1) != long {
			t.Errorf("with %d entries behind the snapshot, %d were installed", entries, c.installed)
		}
	}
}

// After a failure the leader tries again: not at once, later with each failure in a row, and as long
// as it takes.
func TestFailedSnapshotsAreSentAgain(t *testing.T) {
	c := newClusterWith(t, 1, 3, func(c *cluster) { c.awayTicks = 20 })
	leader := c.elect()
	away := c.other(leader)
	c.crash(away)
	c.putAll(leader, 100)
	c.start(away)
	var at []int
	for tick := range 400 {
		c.tick()
		for len(c.network) > 0 {
			c.deliver(0)
			for _, id := range c.ids {
				c.store(c.members[id])
				c.apply(c.members[id])
			}
		}
		for _, s := range c.streams {
			at = append(at, tick)
			leader.sendings.end(leader.core, &report{s.snapshotTo, errors.New("broken")})
			c.carryOut(leader)
		}
		c.streams = nil
	}
	if len(at) < 4 || len(at) > 12 {
		t.Fatalf("got snapshots at the ticks %v", at)
	}
	for i := 1; i < len(at); i++ {
		if pause := at[i] - at[i-1]; pause < firstRetry || i > 1 && pause+1 < min(at[i-1]-at[i-2], lastRetry) {
			t.Errorf("got snapshots at the ticks %v; want growing pauses", at)
		}
	}
	c.putAll(leader, 2*lastRetry)
	c.same(leader, c.members[away])
}

// Snapshots of former terms, or as of what the member has committed, change nothing, and one that is
// too old has the member answer what it has.
func TestSnapshotsThatComeLate(t *testing.T) {
	c := newClusterWith(t, 1, 3, func(*cluster) {})
	first := c.elect()
	first.transfer(c.other(first))
	c.carryOut(first)
	leader := c.elect(first.id)
	c.putAll(leader, 20)
	m := c.members[c.other(leader)]
	late := &stream{snapshotTo: snapshotTo{holdfast.NodeID(m.id), leader.term}, from: leader, core: leader.core}
	c.take(late)
	c.putAll(leader, 20)
	for _, term := range []uint64{leader.term, leader.term - 1} {
		late.has.message = altered(t, late.has.message, func(r *raftpb.Message) {
			r.Term, r.Snapshot.Metadata.Term = &term, &term
		})
		applied := len(m.applies)
		c.receive(late, m)
		c.settle()
		err := <-late.is.done
		want := holdfast.Exists
		if term < leader.term {
			want = holdfast.Refused
		}
		if !errors.Is(err, want) || len(m.applies) != applied || c.installed != 0 {
			t.Errorf("in term %d of %d: got %v, and %d of %d entries", term, leader.term, err, len(m.applies), applied)
		}
	}
	c.putAll(leader, 20)
	c.same(leader, m)
}

// altered returns a message of a snapshot with a change.
func altered(t *testing.T, m Message, change func(*raftpb.Message)) Message {
	t.Helper()
	r := &raftpb.Message{}
	if err := proto.Unmarshal(m.Body, r); err != nil {
		t.Fatal(err)
	}
	change(r)
	out, err := encode(m.Shard, r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A snapshot's message that no leader sends is refused.
func TestWrongMessagesOfSnapshots(t *testing.T) {
	members := &Members{Voters: []holdfast.NodeID{1, 2, 3}}
	sound, err := encode(testShard, snapshotMessage(1, snapshotTo{2, 5}, holdfast.TxID{Term: 4, Index: 9}, members))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sound.decodeSnapshot(); err != nil {
		t.Fatal(err)
	}
	if _, err := sound.decode(); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("as a message without parts: got %v; want Invalid", err)
	}
	for name, change := range map[string]func(*raftpb.Message){
		"of another kind":       func(r *raftpb.Message) { r.Type = raftpb.MsgApp.Enum() },
		"without a snapshot":    func(r *raftpb.Message) { r.Snapshot = nil },
		"as of nothing":         func(r *raftpb.Message) { r.Snapshot.Metadata.Index = nil },
		"as of a great index":   func(r *raftpb.Message) { r.Snapshot.Metadata.Index = new(uint64(1 << 63)) },
		"without a term":        func(r *raftpb.Message) { r.Snapshot.Metadata.Term = nil },
		"of a term to come":     func(r *raftpb.Message) { r.Snapshot.Metadata.Term = new(uint64(6)) },
		"with data":             func(r *raftpb.Message) { r.Snapshot.Data = []byte("data") },
		"of another node":       func(r *raftpb.Message) { r.From = new(uint64(3)) },
		"with entries":          func(r *raftpb.Message) { r.Entries = []*raftpb.Entry{{}} },
		"with a context":        func(r *raftpb.Message) { r.Context = []byte("context") },
		"of a leader's no term": func(r *raftpb.Message) { r.Term = nil },
	} {
		m := altered(t, sound, change)
		m.From, m.To = 1, 2
		if _, err := m.decodeSnapshot(); !errors.Is(err, holdfast.Invalid) {
			t.Errorf("%s: got %v; want Invalid", name, err)
		}
	}
	if _, err := (&Message{Body: []byte{0xff}}).decodeSnapshot(); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("garbled: got %v; want Invalid", err)
	}
}
