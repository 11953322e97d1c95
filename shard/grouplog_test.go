package shard

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// A groupModel is what the log of a group must have on disk.
type groupModel struct {
	first   uint64
	entries []string
	state   string
}

// TestGroupLog does random changes of the logs of three groups, and crashes: what was synced is
// there, and all of what wasn't or a part of the batches, in order.
func TestGroupLog(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 71))
		fs := vfs.NewCrashableMem()
		s := openStore(t, memOptions(fs))
		ids := []holdfast.ShardID{1, 2, 3}
		logs := map[holdfast.ShardID]*GroupLog{}
		open := func() {
			for _, id := range ids {
				openShard(t, s, id)
				l, err := OpenGroupLog(s, id)
				if err != nil {
					t.Fatal(err)
				}
				logs[id] = l
			}
		}
		open()
		type models [3]groupModel
		now := models{{first: 1}, {first: 1}, {first: 1}}
		since := []models{now} // the last that is on disk for sure, and those behind it
		for n := range 60 {
			b := NewLogBatch(s)
			for range 1 + rng.IntN(3) {
				i := rng.IntN(3)
				changeGroupLog(b, logs[ids[i]], &now[i], rng, n)
			}
			sync := rng.IntN(3) == 0
			if err := b.Commit(sync); err != nil {
				t.Fatal(err)
			}
			since = append(since, now)
			if sync {
				since = since[len(since)-1:]
			}
			for i, id := range ids {
				if got := groupLogOf(t, logs[id]); !got.equal(&now[i]) {
					t.Fatalf("seed %d, step %d, shard %d: got %v; want %v", seed, n, id, got, now[i])
				}
			}
			if rng.IntN(6) > 0 {
				continue
			}
			fs = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})
			_ = s.Close()
			s = openStore(t, memOptions(fs))
			open()
			var got models
			for i, id := range ids {
				got[i] = groupLogOf(t, logs[id])
			}
			found := slices.IndexFunc(since, func(m models) bool {
				return got[0].equal(&m[0]) && got[1].equal(&m[1]) && got[2].equal(&m[2])
			})
			if found < 0 {
				t.Fatalf("seed %d, step %d: got %v after a crash; want one of %v", seed, n, got, since)
			}
			now, since = since[found], []models{since[found]}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// changeGroupLog adds a change to a batch and to the model.
func changeGroupLog(b *LogBatch, l *GroupLog, m *groupModel, rng *rand.Rand, n int) {
	switch rng.IntN(5) {
	case 0:
		m.state = fmt.Sprint("state ", n)
		b.SetState(l, []byte(m.state))
	case 1:
		gone := rng.IntN(len(m.entries) + 1)
		b.Trim(l, m.first+uint64(gone))
		m.first, m.entries = m.first+uint64(gone), slices.Clone(m.entries[gone:])
	default:
		kept := len(m.entries)
		if kept > 0 && rng.IntN(3) == 0 {
			kept = rng.IntN(kept)
		}
		if len(m.entries) == 0 {
			m.first += uint64(rng.IntN(3)) // behind a snapshot
		}
		m.entries = slices.Clone(m.entries[:kept])
		var added [][]byte
		for i := range 1 + rng.IntN(4) {
			added = append(added, fmt.Appendf(nil, "entry %d.%d", n, i))
			m.entries = append(m.entries, string(added[i]))
		}
		b.Append(l, m.first+uint64(kept), added)
	}
}

// groupLogOf reads what a log has.
func groupLogOf(t *testing.T, l *GroupLog) (m groupModel) {
	t.Helper()
	first, last := l.Bounds()
	state, err := l.State()
	for next := first; err == nil && next <= last; {
		var some []string
		some, err = l.Entries(next, last+1, 20)
		m.entries, next = append(m.entries, some...), next+uint64(len(some))
	}
	if err != nil {
		t.Fatal(err)
	}
	m.first, m.state = first, string(state)
	return m
}

// equal compares what is on disk. Where an empty log begins isn't.
func (m *groupModel) equal(o *groupModel) bool {
	return m.state == o.state && slices.Equal(m.entries, o.entries) && (len(m.entries) == 0 || m.first == o.first)
}

// Faults of callers are errors, and nothing is written.
func TestGroupLogFaults(t *testing.T) {
	s := openStore(t, memOptions(vfs.NewMem()))
	l, err := OpenGroupLog(s, 1)
	if err != nil {
		t.Fatal(err)
	}
	b := NewLogBatch(s)
	b.Append(l, 5, [][]byte{[]byte("five"), []byte("six")})
	b.Append(l, 7, [][]byte{[]byte("seven")})
	if err := b.Commit(false); err != nil {
		t.Fatal(err)
	}
	for _, index := range []uint64{4, 9} {
		b := NewLogBatch(s)
		b.SetState(l, []byte("state"))
		b.Append(l, index, [][]byte{[]byte("gap")})
		if err := b.Commit(true); !errors.Is(err, holdfast.Invalid) {
			t.Errorf("entry %d behind 5 to 7: got %v; want %v", index, err, holdfast.Invalid)
		}
	}
	for _, test := range [][2]uint64{{4, 6}, {8, 9}, {5, 9}, {6, 6}, {7, 6}} {
		if got, err := l.Entries(test[0], test[1], 100); !errors.Is(err, holdfast.Gone) {
			t.Errorf("entries %d to %d of 5 to 7: got %q, %v; want %v", test[0], test[1], got, err, holdfast.Gone)
		}
	}
	if got := groupLogOf(t, l); got.state != "" || !slices.Equal(got.entries, []string{"five", "six", "seven"}) {
		t.Errorf("got %v; want entries 5 to 7, and no state", got)
	}
	if err := s.engine.db.Delete(groupEntry(l.keys, 6), nil); err != nil {
		t.Fatal(err)
	}
	if got, err := l.Entries(5, 8, 100); !errors.Is(err, holdfast.Corrupt) {
		t.Errorf("with entry 6 missing: got %q, %v; want %v", got, err, holdfast.Corrupt)
	}
}

// On a full disk a batch is refused and nothing of it is there; the same batch is written when there
// is space again.
func TestGroupLogOnAFullDisk(t *testing.T) {
	fs, s, _ := openSmall(t)
	l, err := OpenGroupLog(s, 1)
	if err != nil {
		t.Fatal(err)
	}
	entry := [][]byte{make([]byte, 100_000)}
	var b *LogBatch
	for n := uint64(1); err == nil; n++ {
		if n > 1000 {
			t.Fatal("the disk never fills")
		}
		b = NewLogBatch(s)
		b.Append(l, n, entry)
		err = b.Commit(true)
	}
	_, was := l.Bounds()
	if !errors.Is(err, holdfast.Full) {
		t.Fatalf("got %v; want %v", err, holdfast.Full)
	}
	if got, err := l.Entries(was, was+1, 1); err != nil || len(got[0]) != 100_000 {
		t.Errorf("got %d entries, %v; want reads to go on", len(got), err)
	}
	fs.size.Add(30 << 20)
	s.space.look(0)
	if err := b.Commit(true); err != nil {
		t.Fatalf("with space again: %v", err)
	}
	if _, last := l.Bounds(); last != was+1 {
		t.Errorf("got entries up to %d; want %d", last, was+1)
	}
}

// A shard that is dropped leaves nothing of its group, so that one that is opened under its ID is new.
func TestDropRemovesTheGroupLog(t *testing.T) {
	s := openStore(t, memOptions(vfs.NewMem()))
	for _, id := range []holdfast.ShardID{1, 2} {
		openShard(t, s, id)
		l, err := OpenGroupLog(s, id)
		if err != nil {
			t.Fatal(err)
		}
		b := NewLogBatch(s)
		b.SetState(l, []byte("state"))
		b.Append(l, 5, [][]byte{[]byte("a"), []byte("b")})
		if err := b.Commit(true); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Drop(whole(1)); err != nil {
		t.Fatal(err)
	}
	if left := keysAndValues(t, s, 1); len(left) > 0 {
		t.Errorf("got %x left; want nothing", left)
	}
	sh := openShard(t, s, 1)
	if sh.group.grouped() {
		t.Error("the shard that is opened again has a group; want none")
	}
	l, err := OpenGroupLog(s, 1)
	if err != nil {
		t.Fatal(err)
	}
	if first, last := l.Bounds(); first != 1 || last != 0 {
		t.Errorf("got entries %d to %d; want none", first, last)
	}
	if l, err = OpenGroupLog(s, 2); err != nil {
		t.Fatal(err)
	}
	if got := groupLogOf(t, l); got.state != "state" || len(got.entries) != 2 {
		t.Errorf("the other shard: got %v; want its state and two entries", got)
	}
}
