package shard

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

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
		f := effect{key: keyOf(t, it), origin: Origin(rng.IntN(2))}
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
			tx := holdfast.TxID{Shard: 1, Term: term, Index: uint64(at)}
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
