package shard

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The disk is taken away before each change that receiving and installing a snapshot makes to it, with
// the old state in sorted tables and in memtables. What is left has the shard's old state or the new
// one, the new one once Install has returned, no key of a neighbour changed, and no file of the
// snapshot.
func TestCrashInSnapshot(t *testing.T) {
	seeds := uint64(4)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { crashInSnapshot(t, seed, seed%2 == 0) })
	}
}

func crashInSnapshot(t *testing.T, seed uint64, flushed bool) {
	r := &row{t: t, rng: rand.New(rand.NewPCG(seed, 38)), clock: newClock(), fs: vfs.NewMem()}
	deep := seed%3 == 0
	r.schema = rowSchema(deep)
	r.open(deep)
	log := newRecordedLog(r.store)
	r.store.entries = log
	for range 60 {
		r.stepInLog()
	}
	from := r.shards[r.rng.IntN(len(r.shards))]
	for _, sh := range r.shards {
		if len(log.sent[sh.id]) > len(log.sent[from.id]) {
			from = sh
		}
	}
	chunks, _ := chunksOf(t, from, SnapshotOptions{ChunkBytes: 500})

	mem := vfs.NewCrashableMem()
	o := r.options()
	o.FS, o.Boot = mem, "as before"
	base := openPlain(t, o)
	for _, sh := range r.shards {
		made, err := base.Open(sh.is, r.schema)
		r.must(err)
		entries := log.sent[sh.id]
		applyEach(t, made, entries[:len(entries)/2])
	}
	if flushed {
		r.must(base.engine.db.Flush())
	}
	before, after := ofShards(keysOnDisk(t, base)), installedKeys(r, base, from)
	r.must(base.Close())

	var there atomic.Bool // the new state, since Install has returned
	o.Boot = "as before"
	olds, news := 0, 0
	crashes := crashAtEvery(t, mem, func(fs vfs.FS) {
		o := o
		o.FS = fs
		s := openPlain(t, o)
		s.tableBytes = 400
		var to *Shard
		for _, sh := range r.shards {
			made, err := asOnDisk(s, sh.is)
			r.must(err)
			if sh == from {
				to = made
			}
		}
		if !flushed { // so that the tables that are ingested overlap a memtable
			b := s.engine.db.NewBatch()
			for _, kv := range before {
				r.must(b.Set([]byte(kv[0]), []byte(kv[1]), nil))
			}
			r.must(s.engine.write(b))
		}
		rc := received(t, to, chunks)
		r.must(ReplicaOf(to).Install(rc))
		there.Store(true)
		if got := ofShards(keysOnDisk(t, s)); !slices.Equal(got, after) {
			t.Errorf("got %d keys; want %d, the source's in the shard", len(got), len(after))
		}
		r.must(s.engine.db.Flush())
		r.must(s.Close())
	}, func(left *stopped) {
		s, err := Open(left.options())
		if err != nil {
			t.Error(err)
			return
		}
		defer s.Close()
		wantNoBuilds(t, s)
		for _, sh := range r.shards {
			if _, err := asOnDisk(s, sh.is); err != nil {
				t.Error(err)
			}
		}
		switch got := ofShards(keysOnDisk(t, s)); {
		case !there.Load() && slices.Equal(got, before):
			olds++
		case slices.Equal(got, after):
			news++
		default:
			t.Errorf("got %d keys, after Install: %t; want %d, the old ones, or %d, the new ones",
				len(got), there.Load(), len(before), len(after))
		}
	})
	if olds == 0 || news == 0 {
		t.Errorf("got %d crashes with the old state and %d with the new one; want some of each", olds, news)
	}
	t.Logf("%d crashes: %d with the old state, %d with the new one", crashes, olds, news)
}

// asOnDisk opens a shard with the schema that it has on disk, so that opening changes nothing.
func asOnDisk(s *Store, d Descriptor) (*Shard, error) {
	is := newShard(s, d)
	if err := is.load(s.engine.db); err != nil {
		return nil, err
	}
	return s.Open(d, is.schema.Load().Schema)
}

// ofShards returns the keys that aren't records.
func ofShards(all [][2]string) [][2]string {
	return slices.DeleteFunc(all, func(kv [2]string) bool {
		return family(kv[0][0]) == byShard && numberOf([]byte(kv[0])) == uint64(records)
	})
}

// installedKeys returns what a store has when a snapshot of a row's shard is installed.
func installedKeys(r *row, s *Store, from *Shard) [][2]string {
	not := func(kv [2]string) bool { return !ownsKey(from, kv) }
	own := func(kv [2]string) bool { return ownsKey(from, kv) }
	want := append(slices.DeleteFunc(keysOnDisk(r.t, s), own), slices.DeleteFunc(keysOnDisk(r.t, r.store), not)...)
	slices.SortFunc(want, func(a, b [2]string) int { return slices.Compare(a[:1], b[:1]) })
	return ofShards(want)
}
