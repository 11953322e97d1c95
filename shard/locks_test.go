package shard

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

// randomPrepare returns a prepare entry's body, with one to four effects.
func randomPrepare(t *testing.T, rng *rand.Rand) *prepare {
	p := &prepare{}
	var err error
	if p.decision, err = decisionKey(decisionName(fmt.Sprint("token", rng.IntN(1000)), txnID{})); err != nil {
		t.Fatal(err)
	}
	for i := range p.id {
		p.id[i] = byte(rng.IntN(256))
	}
	for range rng.IntN(4) {
		p.shards = append(p.shards, holdfast.ShardID(rng.IntN(1_000_000)))
	}
	slices.Sort(p.shards)
	for n := range 1 + rng.IntN(4) {
		it := thing(fmt.Sprint("id", rng.IntN(6)), n, "g", fmt.Sprint(rng.IntN(3)), "v", rng.IntN(100), "ttl", rng.IntN(100))
		f := effect{key: keyOf(t, it), origin: holdfast.Origin(rng.IntN(2))}
		if rng.IntN(3) > 0 {
			f.after, f.encoded = it, item.Append(nil, it)
		}
		p.effects = append(p.effects, f)
	}
	return p
}

// Prepare and resolve entries, and locks, are decoded as they were encoded; what is cut, longer, or
// of another version is refused.
func TestTransactionEntriesAreReadBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 31))
	for range 300 {
		p := randomPrepare(t, rng)
		for _, x := range []body{p, &resolve{id: p.id, committed: rng.IntN(2) == 0, at: rng.Int64()}} {
			raw := string((&entry{schema: &schema{}, at: rng.Int64(), body: x}).appendTo(nil))
			got, err := decodeEntry(raw)
			if err != nil || string(got.appendTo(nil)) != raw || got.kind() != x.kind() {
				t.Fatalf("%x: got %+v, %v; want %+v", raw, got, err, x)
			}
			for _, bad := range []string{raw[:rng.IntN(len(raw))], raw + "x"} {
				if got, err := decodeEntry(bad); err == nil {
					t.Fatalf("%x: got %+v; want an error", bad, got)
				}
			}
		}
		l := lock{id: p.id, decision: p.decision, shards: p.shards, place: rng.IntN(100), effect: p.effects[0]}
		raw := string(l.appendTo(nil))
		got, err := decodeLock(l.effect.key, raw)
		if err != nil || string(got.appendTo(nil)) != raw || !got.effect.after.Equal(l.effect.after) {
			t.Fatalf("%x: got %+v, %v; want %+v", raw, got, err, l)
		}
		for _, bad := range []string{raw[:rng.IntN(len(raw))], raw + "x", "\x00" + raw[1:]} {
			if got, err := decodeLock(l.effect.key, bad); err == nil {
				t.Fatalf("%x: got %+v; want an error", bad, got)
			}
		}
	}
}

// Replicas that apply the same prepare and resolve entries are equal byte for byte, with crashes
// between any two, and have the same locks as a shard that was never closed.
func TestReplicasAreEqualWithTransactions(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 32))
		s, sh := memShard(t)
		open, sent := map[txnID]*prepare{}, map[holdfast.ShardID][]sentEntry{}
		locked := map[string]bool{}
		for at := int64(1); at < 150; at++ {
			x := nextOfTransactions(t, rng, open, locked, at)
			tx := holdfast.TxID{Shard: 1, Term: 1, Index: uint64(at)}
			raw := string((&entry{schema: sh.schema.Load(), at: at + rng.Int64N(10), body: x}).appendTo(nil))
			b := s.engine.db.NewIndexedBatch()
			if err := sh.Apply(b, raw, tx); err != nil {
				t.Fatal(err)
			}
			if err := s.engine.write(b); err != nil {
				t.Fatal(err)
			}
			sent[1] = append(sent[1], sentEntry{tx, raw})
		}
		r := &replica{t: t, rng: rng, fs: vfs.NewCrashableMem()}
		for r.open(); int(openShard(t, r.store, 1).Counts().Applied) < len(sent[1]); {
			r.applySome(1, sent[1])
			if rng.IntN(3) == 0 {
				r.crash()
			}
		}
		compareShards(t, s, r.store, 1)
		if err := r.store.engine.sync(); err != nil {
			t.Fatal(err)
		}
		r.crash()
		sh.sequencer.durable.raise(uint64(len(sent[1])))
		wantLocked(t, sh, openShard(t, r.store, 1), open)
		invariants(t, sh, testSchema())
	}
}

// nextOfTransactions returns a prepare of what isn't locked, or the resolve of what was prepared.
func nextOfTransactions(
	t *testing.T, rng *rand.Rand, open map[txnID]*prepare, locked map[string]bool, at int64,
) body {
	for len(open) == 0 || len(open) < 3 && rng.IntN(2) == 0 {
		p := randomPrepare(t, rng)
		p.effects = slices.DeleteFunc(p.effects, func(f effect) bool { return locked[string(f.key)] })
		if len(p.effects) == 0 {
			continue
		}
		for _, f := range p.effects {
			locked[string(f.key)] = true
		}
		open[p.id] = p
		return p
	}
	var least *prepare
	for _, p := range open {
		if least == nil || string(p.id[:]) < string(least.id[:]) {
			least = p
		}
	}
	delete(open, least.id)
	for _, f := range least.effects {
		delete(locked, string(f.key))
	}
	return &resolve{id: least.id, committed: rng.IntN(3) > 0, at: at}
}

// wantLocked compares the locks of a shard that was never closed with those of one that was opened
// again, and with what is prepared.
func wantLocked(t *testing.T, never, again *Shard, open map[txnID]*prepare) {
	t.Helper()
	for _, sh := range []*Shard{never, again} {
		if got := sh.locks.held.Load(); got != int64(len(open)) {
			t.Errorf("got %d transactions held; want %d", got, len(open))
		}
		for id, p := range open {
			got := sh.locks.of(id)
			if got == nil || string(got.decision) != string(p.decision) || !slices.Equal(got.shards, p.shards) ||
				len(got.keys) != len(p.effects) {
				t.Fatalf("got %+v; want what %+v locked", got, p)
			}
			for i, key := range got.keys {
				if string(key) != string(p.effects[i].key) || sh.locks.at(key) != got {
					t.Errorf("key %d of %v: got %x; want %x, locked", i, id, key, p.effects[i].key)
				}
			}
		}
	}
}

// wantNoLocks ends the test if anything is locked in an open shard, in memory or on disk. When all
// commits have ended, nothing is. A test looks at once: with a lock that is left, others may wait for
// ever.
func wantNoLocks(t *testing.T, s *Store) {
	t.Helper()
	for _, sh := range s.opened() {
		lower, upper := sh.keys.locks()
		onDisk := keysIn(t, s, pebble.KeyRange{Start: lower, End: upper})
		held, byID, byKey := sh.locks.held.Load(), len(sh.locks.byID), len(sh.locks.byKey)
		if held != 0 || byID != 0 || byKey != 0 || len(onDisk) != 0 {
			t.Fatalf("shard %d: got %d transactions held, %d known with %d items, %d locks on disk; want none left",
				sh.id, held, byID, byKey, len(onDisk))
		}
	}
}

// A transaction that has ended has left no lock in any of its shards, whether it changed all of them,
// removed items, had a token, changed nothing, or failed.
func TestTransactionsLeaveNoLocks(t *testing.T) {
	s := openStore(t, memOptions(vfs.NewMem()))
	var shards []*Shard
	for id := holdfast.ShardID(1); id <= 3; id++ {
		shards = append(shards, openShard(t, s, id))
	}
	refused := errors.New("refused")
	for n, c := range []struct {
		token string
		parts int
		after func(v int) (item.Item, error)
		err   error
	}{
		{"", 3, func(v int) (item.Item, error) { return thing("a", 1, "v", v), nil }, nil},
		{"token", 2, func(v int) (item.Item, error) { return thing("a", 1, "v", v), nil }, nil},
		{"token", 3, func(v int) (item.Item, error) { return thing("a", 1, "v", v), nil }, ErrCommitted},
		{"", 3, func(int) (item.Item, error) { return thing("a", 1, "v", 9), nil }, nil},
		{"", 3, func(int) (item.Item, error) { return thing("a", 1, "v", 9), nil }, nil}, // as they are
		{"", 3, func(int) (item.Item, error) { return nil, refused }, refused},
		{"another", 3, func(int) (item.Item, error) { return nil, nil }, nil},
		{"alone", 1, func(v int) (item.Item, error) { return thing("a", 1, "v", v), nil }, nil},
	} {
		w := Commit{Token: c.token, Digest: []byte("digest")}
		for v, sh := range shards[:c.parts] {
			w.Writes = append(w.Writes, Write{Shard: sh, Key: keyOf(t, thing("a", 1)),
				Change: func(item.Item) (item.Item, error) { return c.after(10*n + v) }})
		}
		if _, err := s.Commit(bg, w); err != c.err {
			t.Fatalf("commit %d: got %v; want %v", n, err, c.err)
		}
		wantNoLocks(t, s)
	}
}

// A slowLog calls back when it has applied entries, before readers can see them.
type slowLog struct {
	*singleLog
	applied func(entries []*entry)
}

// propose implements entryLog.
func (l *slowLog) propose(b *pebble.Batch, entries []*entry) error {
	lockAll(entries)
	defer unlockAll(entries)
	if err := l.apply(b, entries); err != nil {
		return err
	}
	l.applied(entries)
	if err := l.engine.submit(b); err != nil {
		return err
	}
	seen(entries)
	return nil
}

// A cursor that begins while a resolve entry is applied, but can't be seen yet, waits for it: the
// decision can be seen, by others too, and so may the items of other shards.
func TestCursorsWaitForWhatIsApplied(t *testing.T) {
	s := openStore(t, memOptions(vfs.NewMem()))
	a, b := openShard(t, s, 1), openShard(t, s, 2)
	resolved := 0
	s.entries = &slowLog{s.entries.(*singleLog), func(entries []*entry) {
		if entries[0].kind() != entryResolve {
			return
		}
		resolved++
		if waits := entries[0].shard.locks.in(item.Range{}); len(waits) != 1 {
			t.Errorf("got %d transactions that a cursor waits for; want the one that is being resolved", len(waits))
		}
	}}
	commitAll(t, s, put(t, a, thing("a", 1)), put(t, b, thing("b", 1)))
	if resolved != 1 {
		t.Errorf("got %d resolve entries that somebody waits for; want the last", resolved)
	}
	for _, sh := range []*Shard{a, b} {
		if waits := sh.locks.in(item.Range{}); len(waits) > 0 || sh.locks.held.Load() != 0 {
			t.Errorf("shard %d: got %d transactions left; want none", sh.id, len(waits))
		}
	}
}

// A replica that lags applies transactions that lock the same items one after the other in one batch.
func TestLaggingReplicaAppliesTransactionsAtOnce(t *testing.T) {
	c := newThreeStores(t, 1, 2)
	for _, g := range c.groups {
		g.lag(1, true)
	}
	for range 5 {
		commitAll(t, c.stores[0], both(pairOf(t, c, 0))...)
	}
	leaveLocks(t, c)
	c.compare(t)
	locked := pairOf(t, c, 1)[1]
	if locked.Shard.locks.at(locked.Key) == nil {
		t.Error("the last transaction, which isn't resolved, has lost its lock")
	}
	c.moveAll(t, 1)
	commitAll(t, c.stores[1], both(pairOf(t, c, 1))...)
	c.compare(t)
	wantNoLocks(t, c.stores[1])
}
