package shard

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/item"
)

// Shards of one space side by side: a snapshot that is installed as one of them changes no key of
// another, and all of that one, be its range within a partition or between two equal beginnings of
// hashes, and whatever local indexes each replica has.
func TestSnapshotBesideNeighbours(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			r := &row{t: t, rng: rand.New(rand.NewPCG(seed, 36)), clock: newClock(), fs: vfs.NewMem()}
			deep := seed%3 == 0
			r.schema = rowSchema(deep)
			r.open(deep)
			log := newRecordedLog(r.store)
			r.store.entries = log
			for range 60 {
				r.stepInLog()
			}
			o := r.options()
			o.FS = vfs.NewMem()
			other := openStore(t, o)
			other.tableBytes = 1 + r.rng.IntN(500)
			var shards []*Shard
			for _, sh := range r.shards {
				made, err := other.Open(sh.is, r.schema)
				r.must(err)
				shards = append(shards, made)
				entries := log.sent[sh.id]
				applyEach(t, made, entries[:r.rng.IntN(len(entries)+1)])
			}
			for _, place := range r.rng.Perm(len(shards)) {
				r.installOne(other, r.shards[place], shards[place])
			}
			for i, sh := range r.shards {
				applyEach(t, shards[i], log.sent[sh.id][shards[i].Counts().Applied:])
			}
			space := keys{space: 3}.whole()
			compareKeys(t, keysIn(t, r.store, space), keysIn(t, other, space))
		})
	}
}

// stepInLog changes a row in a way that goes through its log.
func (r *row) stepInLog() {
	switch n := r.rng.IntN(20); {
	case n < 15:
		r.change()
	case n < 16:
		r.clear()
	case n < 17:
		r.must(r.store.engine.db.Flush())
	case n < 18: // an index is cleared, and not filled again
		sh := r.shards[r.rng.IntN(len(r.shards))]
		without := r.schema
		without.Indexes = nil
		r.must(sh.SetSchema(without))
		r.must(sh.Clear(2))
	default:
		it := r.randomThing()
		sh := r.shards[r.ownerOf(keyOf(r.t, it))]
		if sh.locks.at(keyOf(r.t, it)) != nil {
			return
		}
		lockOne(r.t, sh, it, txnID{byte(r.rng.IntN(256)), byte(r.rng.IntN(256))})
	}
}

// installOne installs a snapshot of a shard as another store's, unless that is as new.
func (r *row) installOne(other *Store, from, to *Shard) {
	r.t.Helper()
	if ReplicaOf(from).Applied().Index <= ReplicaOf(to).Applied().Index {
		return
	}
	want := installedKeys(r, other, from)
	chunks, _ := chunksOf(r.t, from, SnapshotOptions{ChunkBytes: 1 + r.rng.IntN(500)})
	installed(r.t, to, chunks)
	got := ofShards(keysOnDisk(r.t, other))
	if !slices.Equal(got, want) {
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				r.t.Fatalf("%v: got %d keys; want %d: from number %d on they differ: %x; want %x", to.is, len(got),
					len(want), i,
					got[min(i, len(got)-1)], want[min(i, len(want)-1)])
			}
		}
	}
	if got, want := inMemory(to), inMemory(from); got != want {
		r.t.Fatalf("got %s; want %s", got, want)
	}
}

// ownsKey reports whether a key on disk is a shard's.
func ownsKey(sh *Shard, kv [2]string) bool {
	key := []byte(kv[0])
	if family(key[0]) == byShard {
		return numberOf(key) == uint64(sh.id)
	}
	if numberOf(key) != uint64(sh.is.Space) {
		return false
	}
	of := item.Key(key[prefixBytes:])
	if kindOf(key) == kindExpiry {
		_, of, _ = sh.keys.expiryOf(key)
	}
	return sh.keys.owns(of)
}
