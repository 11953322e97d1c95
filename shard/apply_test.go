package shard

import (
	"bytes"
	"errors"
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
		if rng.IntN(6) == 0 {
			changeOtherwise(t, rng, s, shards[rng.IntN(len(shards))])
		}
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

// changeOtherwise makes an entry of another kind: a schema with or without an index and a queue, the
// removal of what it is without, a step of a fill, or a trim.
func changeOtherwise(t *testing.T, rng *rand.Rand, s *Store, sh *Shard) {
	t.Helper()
	without := testSchema()
	without.Indexes, without.TTL = without.Indexes[1:], ""
	now := sh.schema.Load()
	var err error
	switch rng.IntN(4) {
	case 0:
		err = sh.SetSchema(without)
	case 1:
		if now.index(1) != nil {
			break
		}
		if err = sh.Clear(1); err == nil {
			err = sh.ClearTTL()
		}
		if err == nil {
			err = sh.SetSchema(testSchema())
		}
	case 2:
		if now.index(1) == nil {
			break
		}
		from := []item.Key{nil, keyOf(t, thing(fmt.Sprint("id", rng.IntN(6)), 0))}[rng.IntN(2)]
		if _, err = sh.BackfillTTL(bg, from, 1+rng.IntN(9)); err == nil {
			_, err = sh.Backfill(bg, 1, from, 1+rng.IntN(9))
		}
	case 3:
		s.logAge = time.Duration(rng.IntN(60)) * time.Second
		err = s.Trim(bg)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// openAsIs opens a shard with the schema that it has on disk, as a replica does.
func openAsIs(t *testing.T, s *Store, id holdfast.ShardID) *Shard {
	t.Helper()
	is := newShard(s, whole(id))
	if err := is.load(); err != nil {
		t.Fatal(err)
	}
	schema := schemaOf(id)
	if now := is.schema.Load(); now.version > 0 {
		schema = now.Schema
	}
	sh, err := s.Open(whole(id), schema)
	if err != nil {
		t.Fatal(err)
	}
	return sh
}

// An entry that was decided by another schema than the shard has is Corrupt, and nothing is applied;
// so is one of an unknown kind or version.
func TestApplyRefuses(t *testing.T) {
	s, sh := memShard(t)
	it := thing("a", 1)
	f := effect{key: keyOf(t, it), after: it, encoded: item.Append(nil, it)}
	good := entry{schema: sh.schema.Load(), effects: []effect{f}}
	raw := string(good.appendTo(nil))
	other := good
	other.schema = &schema{version: good.schema.version + 1}
	tx := holdfast.TxID{Shard: 1, Term: term, Index: 1}
	before := keysAndValues(t, s, 1)
	for _, bad := range []string{string(other.appendTo(nil)), raw[:1] + "\xff" + raw[2:], "\x02" + raw[1:]} {
		b := s.engine.db.NewIndexedBatch()
		if err := sh.Apply(b, bad, tx); !errors.Is(err, holdfast.Corrupt) || !b.Empty() || sh.Counts().Applied != 0 {
			t.Errorf("%x: got %v, a batch of %d, %+v; want Corrupt and nothing", bad, err, b.Count(), sh.Counts())
		}
		if err := s.engine.write(b); err != nil {
			t.Fatal(err)
		}
	}
	if got := keysAndValues(t, s, 1); len(got) != len(before) {
		t.Errorf("got %d keys; want %d", len(got), len(before))
	}
	b := s.engine.db.NewIndexedBatch()
	if err := sh.Apply(b, raw, tx); err != nil || sh.Counts().Applied != 1 {
		t.Errorf("got %v; want the entry applied", err)
	}
	if err := s.engine.write(b); err != nil {
		t.Fatal(err)
	}
}

// FuzzDecodeEntry decodes anything: it is refused, or its form is decoded as the same again.
func FuzzDecodeEntry(f *testing.F) {
	of := &schema{Schema: testSchema(), version: 3}
	for _, x := range []body{nil, &schemaBody{*of}, &trimBody{trimming{oldest: 5, logged: 7, at: 9}}, &clearBody{3},
		&fillBody{index: 1, from: item.Key("a"), to: item.Key("b")}, &fillBody{index: 1},
		&copyBody{source: 7, at: time.Unix(1, 2), items: 3, bytes: 4, key: of.Key}} {
		f.Add((&entry{schema: of, at: 5, body: x}).appendTo(nil))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := decodeEntry(string(raw))
		if err != nil {
			return
		}
		form := e.appendTo(nil)
		again, err := decodeEntry(string(form))
		if err != nil || again.kind() != e.kind() || !bytes.Equal(again.appendTo(nil), form) {
			t.Fatalf("%x: got %x again, %v", raw, form, err)
		}
	})
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
		if int(openAsIs(r.t, r.store, id).Counts().Applied) < len(sent[id]) {
			return false
		}
	}
	return true
}

// applySome applies a few entries behind those of a shard that were applied, in one batch.
func (r *replica) applySome(id holdfast.ShardID, entries []sentEntry) {
	sh := openAsIs(r.t, r.store, id)
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
		e := entry{at: rng.Int64(), schema: &schema{version: rng.Uint64() >> rng.IntN(64)}}
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
