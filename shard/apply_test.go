package shard

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

// A recordedLog keeps the entries that pass through a log, as a log of several replicas would send
// them.
type recordedLog struct {
	entryLog
	sent map[holdfast.ShardID][]sentEntry
}

type sentEntry struct {
	tx  holdfast.TxID
	raw string
}

// propose implements entryLog.
func (l *recordedLog) propose(b *pebble.Batch, entries []*entry) error {
	err := l.entryLog.propose(b, entries)
	for _, e := range entries {
		l.sent[e.shard.id] = append(l.sent[e.shard.id], sentEntry{e.tx, string(e.appendTo(nil))})
	}
	return err
}

// proposeLazily implements entryLog.
func (l *recordedLog) proposeLazily(b *pebble.Batch, entries []*entry) error {
	err := l.entryLog.proposeLazily(b, entries)
	for _, e := range entries {
		l.sent[e.shard.id] = append(l.sent[e.shard.id], sentEntry{e.tx, string(e.appendTo(nil))})
	}
	return err
}

// replicated are the shards of these tests.
var replicated = []holdfast.ShardID{1, 2, ledgerShard}

// randomEntries commits n times to two shards, and returns their store and the entries.
func randomEntries(t *testing.T, rng *rand.Rand, n int) (*Store, map[holdfast.ShardID][]sentEntry) {
	clock := newClock()
	o := memOptions(vfs.NewMem())
	o.Now = clock.read
	s := openStore(t, o)
	recorded := &recordedLog{entryLog: s.entries, sent: map[holdfast.ShardID][]sentEntry{}}
	s.entries = recorded
	var shards []*Shard
	for _, id := range replicated[:2] {
		shards = append(shards, openShard(t, s, id))
	}
	for range n {
		clock.advance(time.Duration(rng.IntN(2000)-200) * time.Millisecond)
		var c Commit
		for range 1 + rng.IntN(4) {
			sh := shards[rng.IntN(len(shards))]
			it := thing(fmt.Sprint("id", rng.IntN(6)), rng.IntN(3), "g", fmt.Sprint(rng.IntN(3)), "v", rng.IntN(100),
				[]string{"m", "ttl", "x"}[rng.IntN(3)], rng.IntN(2_000_000_000))
			w := put(t, sh, it)
			if rng.IntN(4) == 0 {
				w = remove(t, sh, it)
			}
			w.Origin = Origin(rng.IntN(2))
			if !slices.ContainsFunc(c.Writes, func(o Write) bool { return o.Shard == sh && bytes.Equal(o.Key, w.Key) }) {
				c.Writes = append(c.Writes, w)
			}
		}
		if _, err := s.Commit(bg, c); err != nil {
			t.Fatal(err)
		}
	}
	return s, recorded.sent
}

// Replicas that have applied the same entries are equal byte for byte, and equal to the one that
// decided them: in one batch or in many, with crashes between any two of them, after which a
// replica continues at the entry behind the last that it has on disk.
func TestReplicasAreEqual(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 11))
			leader, sent := randomEntries(t, rng, 150)
			r := &replica{t: t, rng: rng, fs: vfs.NewCrashableMem()}
			r.open()
			for !r.caughtUp(sent) {
				for _, id := range replicated {
					r.applySome(id, sent[id])
				}
				if rng.IntN(3) == 0 {
					r.crash()
				}
			}
			for _, id := range replicated {
				compareShards(t, leader, r.store, id)
			}
		})
	}
}

// A replica is a store to which entries are applied.
type replica struct {
	t     *testing.T
	rng   *rand.Rand
	fs    *vfs.MemFS
	store *Store
}

func (r *replica) open() {
	o := memOptions(r.fs)
	wrong := time.Unix(r.rng.Int64N(4_000_000_000), 0)
	o.Now = func() time.Time { return wrong } // no entry's time is from it
	s, err := Open(o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = s.Close() })
	r.store = s
}

// crash loses what isn't on disk, and some of what was never synced.
func (r *replica) crash() {
	r.fs = r.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.rng.IntN(101), RNG: r.rng})
	r.open()
}

// caughtUp reports whether all entries were applied.
func (r *replica) caughtUp(sent map[holdfast.ShardID][]sentEntry) bool {
	for _, id := range replicated {
		if int(openShard(r.t, r.store, id).Counts().Applied) < len(sent[id]) {
			return false
		}
	}
	return true
}

// applySome applies a few entries behind those of a shard that were applied, in one batch.
func (r *replica) applySome(id holdfast.ShardID, entries []sentEntry) {
	sh := openShard(r.t, r.store, id)
	rest := entries[sh.Counts().Applied:]
	rest = rest[:min(len(rest), r.rng.IntN(12))]
	if len(rest) == 0 {
		return
	}
	b := r.store.engine.db.NewIndexedBatch()
	for _, e := range rest {
		if err := sh.Apply(b, e.raw, e.tx); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := sh.Apply(b, rest[0].raw, rest[0].tx); err == nil {
		r.t.Fatal("an entry is applied twice")
	}
	write := r.store.engine.submitNoSync
	if r.rng.IntN(2) == 0 {
		write = r.store.engine.write
	}
	if err := write(b); err != nil {
		r.t.Fatal(err)
	}
}

// compareShards compares what two stores have on disk of a shard.
func compareShards(t *testing.T, leader, follower *Store, id holdfast.ShardID) {
	t.Helper()
	want, got := keysAndValues(t, leader, id), keysAndValues(t, follower, id)
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			t.Fatalf("shard %d: got nothing; want %x → %x", id, want[i][0], want[i][1])
		case i >= len(want):
			t.Fatalf("shard %d: got %x → %x; want nothing", id, got[i][0], got[i][1])
		case !bytes.Equal(got[i][0], want[i][0]) || !bytes.Equal(got[i][1], want[i][1]):
			t.Fatalf("shard %d: got %x → %x; want %x → %x", id, got[i][0], got[i][1], want[i][0], want[i][1])
		}
	}
}

// keysAndValues returns all that a store has of a shard, in order.
func keysAndValues(t *testing.T, s *Store, id holdfast.ShardID) (all [][2][]byte) {
	t.Helper()
	for _, r := range keysOf(id).all() {
		it, err := s.engine.db.NewIter(&pebble.IterOptions{LowerBound: r.Start, UpperBound: r.End})
		if err != nil {
			t.Fatal(err)
		}
		defer it.Close()
		for ok := it.First(); ok; ok = it.Next() {
			all = append(all, [2][]byte{bytes.Clone(it.Key()), bytes.Clone(it.Value())})
		}
	}
	return all
}

// An entry is decoded as it was encoded; one that is cut, longer, or of another version
// or kind is refused.
func TestEntriesAreReadBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 12))
	for range 300 {
		e := entry{at: rng.Int64()}
		for n := range rng.IntN(4) {
			f := effect{key: item.Key(fmt.Sprint("key", n)), origin: Origin(rng.IntN(2))}
			if rng.IntN(3) > 0 {
				f.after = thing("id", rng.IntN(100))
				f.encoded = item.Append(nil, f.after)
			}
			e.effects = append(e.effects, f)
		}
		raw := string(e.appendTo(nil))
		got, err := decodeEntry(raw)
		if err != nil || string(got.appendTo(nil)) != raw || got.at != e.at || len(got.effects) != len(e.effects) {
			t.Fatalf("got %+v, %v; want %+v", got, err, e)
		}
		for i, f := range got.effects {
			if want := e.effects[i]; !f.after.Equal(want.after) || string(f.key) != string(want.key) || f.origin != want.origin {
				t.Fatalf("effect %d: got %+v; want %+v", i, f, want)
			}
		}
		for _, bad := range []string{raw[:rng.IntN(len(raw))], raw + "x", "\x00" + raw[1:], raw[:1] + "\xff" + raw[2:]} {
			if got, err := decodeEntry(bad); err == nil {
				t.Fatalf("%x: got %+v; want an error", bad, got)
			}
		}
	}
}
