package shard

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast/item"
)

// Indexes and the queue of expiring items are filled while commits go on, with a loss of power
// after each batch. The fill begins anew or goes on where it was, and ends with the same entries
// and counts.
func TestRefillsDespiteCrashes(t *testing.T) {
	for _, resumed := range []bool{false, true} {
		for crashAfter := range 16 { // in each of the indexes, and in the queue
			t.Run(fmt.Sprintf("resumed %t, crash after %d", resumed, crashAfter), func(t *testing.T) {
				r := &refill{t: t, rng: rand.New(rand.NewPCG(uint64(crashAfter), 5)), fs: vfs.NewCrashableMem(),
					items: map[string]item.Item{}}
				r.open(Schema{Key: testSchema().Key})
				for range 40 {
					r.commit()
				}
				if err := r.shard.SetSchema(testSchema()); err != nil {
					t.Fatal(err)
				}
				progress := r.fill(nil, crashAfter)
				r.fs = r.fs.CrashClone(vfs.CrashCloneCfg{})
				r.open(testSchema())
				if !resumed {
					progress = nil
				}
				for range 5 {
					r.commit()
				}
				r.fill(progress, 1000)
				r.commit()
				r.check()
			})
		}
	}
}

// A refill is a shard whose indexes are filled, and the items that it should have.
type refill struct {
	t     *testing.T
	rng   *rand.Rand
	fs    *vfs.MemFS
	store *Store
	shard *Shard
	items map[string]item.Item
}

func (r *refill) open(schema Schema) {
	r.store = openStore(r.t, memOptions(r.fs))
	var err error
	if r.shard, err = r.store.Open(whole(1), schema); err != nil {
		r.t.Fatal(err)
	}
}

// commit puts or removes an item.
func (r *refill) commit() {
	it := thing(fmt.Sprint("id", r.rng.IntN(8)), r.rng.IntN(5), "g", fmt.Sprint(r.rng.IntN(3)), "v", r.rng.IntN(100),
		"ttl", r.rng.IntN(1000))
	key := string(keyOf(r.t, it))
	if r.rng.IntN(4) == 0 {
		commitAll(r.t, r.store, remove(r.t, r.shard, it))
		delete(r.items, key)
		return
	}
	commitAll(r.t, r.store, put(r.t, r.shard, it))
	r.items[key] = it
}

// A fillProgress is how far an index, or with ID 0 the queue, is filled; nil: not begun.
type fillProgress struct {
	id   uint32
	from item.Key
}

// fill does up to n batches, each followed by a commit, and returns how far that is.
func (r *refill) fill(p *fillProgress, n int) *fillProgress {
	if p == nil {
		p = &fillProgress{id: testSchema().Indexes[0].ID}
	}
	for range n {
		var err error
		if p.id == 0 {
			p.from, err = r.shard.BackfillTTL(bg, p.from, 7)
		} else {
			p.from, err = r.shard.Backfill(bg, p.id, p.from, 7)
		}
		if err != nil {
			r.t.Fatal(err)
		}
		if p.from == nil && p.id == 0 {
			return p
		}
		if p.from == nil {
			p.id = (p.id + 1) % uint32(len(testSchema().Indexes)+1)
		}
		r.commit()
	}
	return p
}

// check looks whether all entries are there that the items should have, and no others, and that
// they are counted.
func (r *refill) check() {
	r.t.Helper()
	counts := r.shard.Counts()
	if want := sizes(r.items); counts.Items != want.Items || counts.ItemBytes != want.Bytes {
		r.t.Errorf("got %+v; want %+v", counts, want)
	}
	for _, x := range testSchema().Indexes {
		entries := map[string]item.Item{}
		for _, it := range r.items {
			if key, entry, ok := x.Entry(testSchema().Key, it); ok {
				entries[string(key)] = entry
			}
		}
		if got := counts.Indexes[x.ID]; got != sizes(entries) {
			r.t.Errorf("index %d: got %+v counted; want %+v", x.ID, got, sizes(entries))
		}
		if got := all(r.t, r.shard, Span{Index: x.ID}); len(got) != len(entries) {
			r.t.Errorf("index %d: got %d entries; want %d", x.ID, len(got), len(entries))
		}
	}
	if r.shard.schema.Load().filling {
		r.t.Error("got indexes that are still being filled")
	}
	if err := r.store.Close(); err != nil {
		r.t.Fatal(err)
	}
	checkStore(r.t, memOptions(r.fs), 1)
}

// An index counts as filled only when its last batch is on disk. After a restart behind any earlier
// batch, removals and changes of items that have no entry yet aren't counted as removals of one.
func TestAnIndexIsFilledByItsLastBatch(t *testing.T) {
	const items, batch = 40, 7
	one := Schema{Key: testSchema().Key, Indexes: testSchema().Indexes[:1]}
	for batches := range items/batch + 2 {
		t.Run(fmt.Sprint(batches, " batches"), func(t *testing.T) {
			fs := vfs.NewMem()
			s := openStore(t, memOptions(fs))
			sh, err := s.Open(whole(1), Schema{Key: one.Key})
			if err != nil {
				t.Fatal(err)
			}
			for i := range items {
				commitAll(t, s, put(t, sh, thing("id", i, "g", "x")))
			}
			if err := sh.SetSchema(one); err != nil {
				t.Fatal(err)
			}
			var next item.Key
			for range batches {
				if next, err = sh.Backfill(bg, 1, next, batch); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, memOptions(fs))
			if sh, err = s.Open(whole(1), one); err != nil {
				t.Fatal(err)
			}
			for i := range items {
				switch i % 3 {
				case 0:
					commitAll(t, s, remove(t, sh, thing("id", i)))
				case 1:
					commitAll(t, s, put(t, sh, thing("id", i, "g", "y")))
				}
			}
			if batches*batch < items {
				for next, err = sh.Backfill(bg, 1, next, batch); next != nil && err == nil; {
					next, err = sh.Backfill(bg, 1, next, batch)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			want := int64(items - (items+2)/3)
			if got := sh.Counts().Indexes[1].Items; got != want {
				t.Errorf("got %d entries counted; want %d", got, want)
			}
			if got := all(t, sh, Span{Index: 1}); int64(len(got)) != want {
				t.Errorf("got %d entries; want %d", len(got), want)
			}
		})
	}
}
