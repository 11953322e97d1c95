package group

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"holdfast"
)

// A storage does what raft.MemoryStorage does, with random appends, trims, and starts.
func TestStorageAgainstModel(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		disk := &memoryLog{state: (&state{members: []uint64{1}}).encode(), first: 1}
		s, err := openStorage(testShard, disk, disk.state, 0)
		if err != nil {
			t.Fatal(err)
		}
		model, term, first := raft.NewMemoryStorage(), uint64(1), uint64(1)
		for range 300 {
			last, _ := model.LastIndex()
			switch rng.IntN(8) {
			case 0:
				term += uint64(rng.IntN(3))
			case 1:
				if last > first {
					to := first + rng.Uint64N(last-first+1)
					if s.trim(to) {
						disk.trim(to)
						_ = model.Compact(to - 1)
						first = to
					}
				}
			case 2:
				s.forget(rng.Uint64N(last + 1))
			case 3:
				// The index up to which the log is committed isn't always written; what is applied
				// is.
				s, err = openStorage(testShard, disk, disk.state, first-1+rng.Uint64N(last-first+2))
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			default:
				from := first + rng.Uint64N(last-first+2)
				if rng.IntN(3) != 0 {
					from = last + 1
				}
				m := &raftpb.Message{}
				if before, err := model.Term(from - 1); err == nil && before > term {
					term = before
				}
				for i := range uint64(1 + rng.IntN(5)) {
					data := newEntry(rng.Uint32N(9), rng.Uint64N(9), make([]byte, rng.IntN(2)*rng.IntN(80_000)))
					m.Entries = append(m.Entries, &raftpb.Entry{
						Index: new(from + i), Term: new(term), Type: raftpb.EntryNormal.Enum(), Data: data,
					})
				}
				m.Term, m.Vote, m.Commit = new(term), new(uint64(0)), new(first-1)
				disk.write(s.stage(m))
				_ = model.Append(m.Entries)
			}
			compareStorages(t, seed, s, model, rng)
		}
	}
}

func compareStorages(t *testing.T, seed uint64, s *storage, model *raft.MemoryStorage, rng *rand.Rand) {
	t.Helper()
	first, _ := model.FirstIndex()
	last, _ := model.LastIndex()
	if f, _ := s.FirstIndex(); f != first {
		t.Fatalf("seed %d: the first index is %d; want %d", seed, f, first)
	}
	if l, _ := s.LastIndex(); l != last {
		t.Fatalf("seed %d: the last index is %d; want %d", seed, l, last)
	}
	for i := first - min(first, 3); i <= last+2; i++ {
		got, err := s.Term(i)
		want, wantErr := model.Term(i)
		if got != want || !errors.Is(err, wantErr) {
			t.Fatalf("seed %d: the term of %d is %d, %v; want %d, %v", seed, i, got, err, want, wantErr)
		}
	}
	if s.bytes > recentBytes {
		t.Fatalf("seed %d: %d bytes are in memory", seed, s.bytes)
	}
	if last < first {
		return
	}
	from := first + rng.Uint64N(last-first+1)
	to := from + 1 + rng.Uint64N(last-from+1)
	got, err := s.Entries(from, to, rng.Uint64N(200_000))
	if err != nil || len(got) == 0 {
		t.Fatalf("seed %d: entries %d to %d: %v, %v", seed, from, to-1, got, err)
	}
	want, _ := model.Entries(from, from+uint64(len(got)), 1<<40)
	for i := range got {
		if g, w := got[i], want[i]; !proto.Equal(g, w) {
			t.Fatalf("seed %d: entry %d is %v; want %v", seed, from+uint64(i), g, w)
		}
	}
	if _, err := s.Entries(first-1, last+1, 1); !errors.Is(err, raft.ErrCompacted) {
		t.Fatalf("seed %d: entries that were removed: %v", seed, err)
	}
}

// What is written of a group's log and state reads back; nothing else is taken for it.
func TestStateReadsBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		s := state{vote: rng.Uint64N(4), commit: rng.Uint64N(1000), members: []uint64{1, 2 + rng.Uint64N(3), 9}}
		at := termBegin{}
		for range rng.IntN(5) {
			at = termBegin{at.term + 1 + rng.Uint64N(3), at.index + 1 + rng.Uint64N(300)}
			s.terms = append(s.terms, at)
		}
		s.term = at.term + rng.Uint64N(2)
		raw := s.encode()
		if got, err := decodeState(raw); err != nil || !reflect.DeepEqual(*got, s) {
			t.Fatalf("got %+v, %v; want %+v", got, err, s)
		}
		for n := range raw {
			if _, err := decodeState(raw[:n]); !errors.Is(err, holdfast.Corrupt) {
				t.Fatalf("the first %d of %d bytes: %v; want Corrupt", n, len(raw), err)
			}
		}
	}
}

// A replica starts with what it has, and only if log, state and shard fit together.
func TestOpenStorage(t *testing.T) {
	entries := func(terms ...uint64) (raw []string) {
		for _, term := range terms {
			raw = append(raw, string(appendStored(nil, &raftpb.Entry{Term: &term, Data: newEntry(0, 0, nil)})))
		}
		return raw
	}
	sound := state{term: 3, commit: 5, members: []uint64{1, 2, 3}, terms: terms{{1, 1}, {2, 5}, {3, 6}}}
	for name, c := range map[string]struct {
		change  func(s *state, l *memoryLog)
		applied uint64
		commit  uint64 // 0: it doesn't start
	}{
		"committed":                     {nil, 5, 5},
		"applied before it was written": {nil, 7, 7},
		"applied less":                  {nil, 4, 5},
		"removed what isn't applied":    {nil, 2, 0},
		"applied what isn't there":      {nil, 8, 0},
		"committed what isn't there":    {func(s *state, _ *memoryLog) { s.commit = 8 }, 5, 0},
		"without terms":                 {func(s *state, _ *memoryLog) { s.terms = nil }, 5, 0},
		"with a term too many": {func(s *state, _ *memoryLog) {
			s.terms, s.term = append(s.terms, termBegin{4, 8}), 4
		}, 5, 0},
		"without entries": {func(s *state, l *memoryLog) { l.entries = nil }, 3, 0},
		"new": {func(s *state, l *memoryLog) {
			*s, *l = state{members: s.members}, memoryLog{first: 1}
		}, 0, 0},
	} {
		is, disk := sound, &memoryLog{first: 4, entries: entries(1, 2, 3, 3)}
		if c.change != nil {
			c.change(&is, disk)
		}
		s, err := openStorage(testShard, disk, is.encode(), c.applied)
		switch {
		case name == "new":
			if err != nil || s.last != 0 {
				t.Errorf("%s: got %v", name, err)
			}
		case c.commit == 0:
			if !errors.Is(err, holdfast.Corrupt) {
				t.Errorf("%s: got %v; want Corrupt", name, err)
			}
		case err != nil || s.is.commit != c.commit:
			t.Errorf("%s: got %v; want the commit index %d", name, err, c.commit)
		default:
			l := limits{electionTicks: 10, heartbeatTicks: 1, inflightBytes: 1 << 20, logBytes: 1 << 30,
				awayTicks: 1 << 30}
			if _, err := newCore(testShard, 1, s, c.applied, l, silent); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// A log whose entries can't be read, or are of other terms than the state says, ends the replica,
// and isn't sent to others.
func TestDamagedLog(t *testing.T) {
	for _, damaged := range []string{"", "\x00", "\x00\x02\x01\x00a", "\x01\x01\x01\x00a", "\x00\x01\x07"} {
		is := state{term: 1, members: []uint64{1}, terms: terms{{1, 1}}}
		s, err := openStorage(testShard, &memoryLog{first: 1, entries: []string{damaged}}, is.encode(), 0)
		if err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if fault, ok := recover().(diskError); !ok || !errors.Is(fault.error, holdfast.Corrupt) {
					t.Errorf("%q: got %v; want Corrupt", damaged, fault.error)
				}
			}()
			_, _ = s.Entries(1, 2, 100)
		}()
	}
}

// Entries that each member has are removed, and the log of each begins about where that of the
// others does; those that a member lacks stay everywhere.
func TestLogsAreTrimmed(t *testing.T) {
	c := newCluster(t, 1, 3)
	leader := c.elect()
	away := c.other(leader)
	run := func(n int) {
		for i := range n {
			c.propose(leader, fmt.Sprint(i))
			c.tick()
			c.settle()
		}
	}
	run(100)
	for _, id := range c.ids {
		if n := len(c.members[id].disk.entries); n > 2*trimTicks+5 {
			t.Errorf("the log of member %d has %d entries", id, n)
		}
	}
	c.crash(away)
	run(100)
	for _, id := range c.ids {
		if m := c.members[id]; m != nil && len(m.disk.entries) < 100 {
			t.Errorf("member %d has removed entries that member %d lacks: it has %d", id, away, len(m.disk.entries))
		}
	}
	c.start(away)
	run(100)
	for _, id := range c.ids {
		m := c.members[id]
		if n := len(m.disk.entries); n > 2*trimTicks+5 || len(m.applies) != 300 {
			t.Errorf("the log of member %d has %d entries; %d were applied", id, n, len(m.applies))
		}
		if len(m.log.recent) > 1 {
			t.Errorf("member %d has %d entries in memory that all have", id, len(m.log.recent))
		}
	}
}

// A leader may be elected before it has written all of its log. The others must not remove what it
// would lose in a crash.
func TestNewLeadersLogIsNotOnDisk(t *testing.T) {
	c := newCluster(t, 1, 3)
	old := c.elect()
	next := c.members[c.other(old)]
	for range 10 {
		c.propose(old, "a")
	}
	for len(c.network) > 0 {
		c.deliver(0)
	}
	if err := next.step([]*raftpb.Message{
		{Type: raftpb.MsgTimeoutNow.Enum(), From: &old.id, To: &next.id, Term: &old.term},
	}); err != nil {
		t.Fatal(err)
	}
	c.carryOut(next)
	for range 100 { // its disk does nothing, those of the others do
		for len(c.network) > 0 {
			c.deliver(0)
		}
		for _, id := range c.ids {
			if m := c.members[id]; m != next {
				c.store(m)
				c.apply(m)
			}
		}
	}
	next.tick(false)
	_, written := next.disk.Bounds()
	if next.began == 0 || next.commit < next.began {
		t.Fatalf("it leads from %d on, and %d are committed", next.began, next.commit)
	}
	if own := next.status().Match[holdfast.NodeID(next.id)]; next.retention.unneeded > written || own > written {
		t.Errorf("it takes %d entries for unneeded, and %d for written here; it has written %d",
			next.retention.unneeded, own, written)
	}
}

// What isn't applied here stays in the log, whoever has it: a start needs it. So does a start after
// entries that do nothing, which the shard doesn't count.
func TestWhatIsNotAppliedIsNotTrimmed(t *testing.T) {
	c := newCluster(t, 1, 3)
	leader := c.elect()
	c.propose(leader, "a")
	c.settle()
	for range 30 {
		c.propose(leader, "b")
		c.tick()
		c.replicate()
	}
	if len(leader.applies) != 1 || leader.commit < 30 {
		t.Fatalf("%d entries are applied, %d are committed; want 1, and more", len(leader.applies), leader.commit)
	}
	c.crash(leader.id)
	c.start(leader.id)
	c.elect()
	for range 5 {
		old := c.elect()
		old.transfer(c.other(old))
		c.carryOut(old)
		for range 3 * trimTicks {
			c.tick()
			c.settle()
		}
		for _, id := range c.ids {
			c.crash(id)
			c.start(id)
		}
	}
}
