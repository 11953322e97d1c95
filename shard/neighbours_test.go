package shard

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

// A row is some shards of one space side by side, and what each should have.
type row struct {
	t      *testing.T
	rng    *rand.Rand
	clock  *clock
	fs     *vfs.MemFS
	store  *Store
	schema Schema
	shards []*Shard
	want   []map[string]item.Item
}

// randomCuts returns n rising bounds. Some are at multiples of 2^48 of the hash, some between two
// hashes of which the first bytes are equal, and, if deep, some within a partition.
func randomCuts(rng *rand.Rand, keys []item.Key, n int, deep bool) (cuts [][]byte) {
	for len(cuts) < n {
		key := keys[rng.IntN(len(keys))]
		cut := []byte(slices.Clone(key[:8]))
		switch rng.IntN(4) {
		case 0:
			cut = cut[:1+rng.IntN(2)]
		case 1:
			clear(cut[2:])
		case 2:
			if deep {
				cut = []byte(slices.Clone(key[:8+rng.IntN(len(key)-8)]))
			}
		}
		had := slices.ContainsFunc(cuts, func(c []byte) bool { return bytes.Equal(c, cut) })
		if len(bytes.TrimLeft(cut, "\x00")) > 0 && !had {
			cuts = append(cuts, cut)
		}
	}
	slices.SortFunc(cuts, bytes.Compare)
	return cuts
}

// rowSchema has local and global indexes and a TTL; a deep one no local indexes.
func rowSchema(deep bool) Schema {
	s := testSchema()
	s.TTL = "ttl"
	if deep {
		s.Indexes = slices.DeleteFunc(slices.Clone(s.Indexes), func(x item.Index) bool { return x.Local })
	}
	return s
}

// randomThing returns one of about a hundred items, of which a few have the same partition key.
func (r *row) randomThing() item.Item {
	it := thing(fmt.Sprint("id", r.rng.IntN(25)), r.rng.IntN(4))
	if r.rng.IntN(2) == 0 {
		at := r.clock.read().Unix() + int64(r.rng.IntN(20)-10)
		it = it.With("ttl", item.Value{Type: item.N, Text: strconv.FormatInt(at, 10)})
	}
	return it.With("v", number(r.rng.IntN(1000)))
}

// Shards of one space side by side never see each other's keys, whatever their ranges are, and what
// is done to one leaves the others whole: commits, expiry, clearing of indexes and of the queue,
// copies, drops, restarts.
func TestNeighboursNeverMeet(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			r := &row{t: t, rng: rand.New(rand.NewPCG(seed, 20)), clock: newClock(), fs: vfs.NewMem()}
			deep := seed%3 == 0
			r.schema = rowSchema(deep)
			r.open(deep)
			for range 40 {
				r.step()
			}
			r.check()
			r.restart()
			r.check()
			r.dropOne()
		})
	}
}

// open opens shards of random ranges.
func (r *row) open(deep bool) {
	r.store = openStore(r.t, r.options())
	var known []item.Key
	for i := range 25 {
		for n := range 4 {
			known = append(known, keyOf(r.t, thing(fmt.Sprint("id", i), n)))
		}
	}
	n := 1 + r.rng.IntN(4)
	cuts := append(append([][]byte{nil}, randomCuts(r.rng, known, n, deep)...), nil)
	for i := range n + 1 {
		d := Descriptor{ID: holdfast.ShardID(10 + i), Space: 3, From: cuts[i], To: cuts[i+1]}
		sh, err := r.store.Open(d, r.schema)
		if err != nil {
			r.t.Fatalf("%+v: %v", d, err)
		}
		r.shards, r.want = append(r.shards, sh), append(r.want, map[string]item.Item{})
	}
}

func (r *row) options() Options {
	return Options{Dir: "/data", FS: r.fs, Now: r.clock.read}
}

func (r *row) restart() {
	if err := r.store.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.store = openStore(r.t, r.options())
	for i, sh := range r.shards {
		var err error
		if r.shards[i], err = r.store.Open(sh.is, r.schema); err != nil {
			r.t.Fatal(err)
		}
	}
}

// ownerOf returns the place of the shard that has a key.
func (r *row) ownerOf(key item.Key) int {
	place := slices.IndexFunc(r.shards, func(sh *Shard) bool {
		return string(sh.is.From) <= string(key) && (sh.is.To == nil || string(key) < string(sh.is.To))
	})
	if place < 0 {
		r.t.Fatalf("no shard has the key %x", key)
	}
	return place
}

func (r *row) step() {
	switch n := r.rng.IntN(20); {
	case n < 14:
		r.change()
	case n < 16:
		r.expire()
	case n == 16:
		r.clear()
	case n == 17:
		r.restart()
	case n == 18:
		r.copyOne()
	default:
		if err := r.store.engine.db.Flush(); err != nil {
			r.t.Fatal(err)
		}
	}
}

// change puts or deletes an item in the shard that has it, and tries to in another.
func (r *row) change() {
	it := r.randomThing()
	key := keyOf(r.t, it)
	place := r.ownerOf(key)
	w := put(r.t, r.shards[place], it)
	if r.rng.IntN(4) == 0 {
		w.Change = func(item.Item) (item.Item, error) { return nil, nil }
		delete(r.want[place], string(key))
	} else {
		r.want[place][string(key)] = it
	}
	commitAll(r.t, r.store, w)
	if other := r.rng.IntN(len(r.shards)); other != place {
		w.Shard = r.shards[other]
		if _, err := r.store.Commit(bg, Commit{Writes: []Write{w}}); err == nil {
			r.t.Fatalf("a commit of %x in a shard that doesn't have it succeeded", key)
		}
		if _, err := r.shards[other].Get(bg, key); err == nil {
			r.t.Fatalf("a read of %x in a shard that doesn't have it succeeded", key)
		}
	}
	r.clock.advance(time.Second)
}

// expire deletes what has expired in one shard.
func (r *row) expire() {
	place := r.rng.IntN(len(r.shards))
	now := r.clock.read()
	var want []string
	for key, it := range r.want[place] {
		if second, ok := expiry("ttl", it); ok && int64(second) < now.Unix() {
			want = append(want, key)
		}
	}
	var got []string
	const parts = 100 // of the queue, at most: each search that finds nothing looks into one at least
	for empty := 0; empty < parts; empty++ {
		keys, err := r.shards[place].Expired(now, 1+r.rng.IntN(4), 2+r.rng.IntN(4))
		if err != nil {
			r.t.Fatal(err)
		}
		if len(keys) > 0 {
			empty = 0
		}
		for _, key := range keys {
			got = append(got, string(key))
			commitAll(r.t, r.store, Write{Shard: r.shards[place], Key: key,
				Change: func(item.Item) (item.Item, error) { return nil, nil }})
			delete(r.want[place], string(key))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.t.Fatalf("expired in %v: got %x; want %x", r.shards[place].is, got, want)
	}
}

// clear empties a shard's queue of expiring items or one of its indexes, and fills it again.
func (r *row) clear() {
	sh := r.shards[r.rng.IntN(len(r.shards))]
	without := r.schema
	if n := r.rng.IntN(len(r.schema.Indexes) + 1); n == 0 {
		without.TTL = ""
		r.must(sh.SetSchema(without))
		r.must(sh.ClearTTL())
		r.must(sh.SetSchema(r.schema))
		_, err := sh.BackfillTTL(bg, nil, 1000)
		r.must(err)
	} else {
		x := r.schema.Indexes[n-1]
		without.Indexes = slices.Delete(slices.Clone(r.schema.Indexes), n-1, n)
		r.must(sh.SetSchema(without))
		r.must(sh.Clear(x.ID))
		r.must(sh.SetSchema(r.schema))
		_, err := sh.Backfill(bg, x.ID, nil, 1000)
		r.must(err)
	}
}

func (r *row) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// copyOne copies a shard into another space, where it has a neighbour, and drops the copy.
func (r *row) copyOne() {
	place := r.rng.IntN(len(r.shards))
	sh := r.shards[place]
	to := sh.is
	to.ID, to.Space = 90, 9
	if _, err := r.store.Copy(bg, sh, to, time.Time{}); err != nil {
		r.t.Fatal(err)
	}
	copied, err := r.store.Open(to, Schema{Key: r.schema.Key})
	r.must(err)
	if got, want := all(r.t, copied, Span{}), r.sorted(place); !slices.EqualFunc(got, want, item.Item.Equal) {
		r.t.Fatalf("copy of %v: got %v; want %v", sh.is, got, want)
	}
	r.must(r.store.Drop(to))
}

// sorted returns what a shard should have in order.
func (r *row) sorted(place int) (all []item.Item) {
	for _, key := range sortedKeys(r.want[place]) {
		all = append(all, r.want[place][key])
	}
	return all
}

// check compares each shard with what it should have, and has Check look at all of it.
func (r *row) check() {
	r.t.Helper()
	for place, sh := range r.shards {
		if got, want := all(r.t, sh, Span{}), r.sorted(place); !slices.EqualFunc(got, want, item.Item.Equal) {
			r.t.Fatalf("%v: got %v; want %v", sh.is, got, want)
		}
		for i := range r.schema.Indexes {
			x := &r.schema.Indexes[i]
			entries := map[string]item.Item{}
			for _, it := range r.want[place] {
				if key, entry, ok := x.Entry(r.schema.Key, it); ok {
					entries[string(key)] = entry
				}
			}
			var want []item.Item
			for _, key := range sortedKeys(entries) {
				want = append(want, entries[key])
			}
			if got := all(r.t, sh, Span{Index: x.ID}); !slices.EqualFunc(got, want, item.Item.Equal) {
				r.t.Fatalf("%v, index %d: got %v; want %v", sh.is, x.ID, got, want)
			}
		}
	}
	r.must(r.store.Close())
	checked, err := Check(bg, r.options(), func(*Store) (map[holdfast.ShardID]Schema, error) {
		all := map[holdfast.ShardID]Schema{}
		for _, sh := range r.shards {
			all[sh.id] = r.schema
		}
		return all, nil
	}, nil, func(f Fault) { r.t.Errorf("check: %+v", f) })
	r.must(err)
	if checked.Shards != int64(len(r.shards)) {
		r.t.Fatalf("got %d shards checked; want %d", checked.Shards, len(r.shards))
	}
	r.store = openStore(r.t, r.options())
	for i, sh := range r.shards {
		r.shards[i], err = r.store.Open(sh.is, r.schema)
		r.must(err)
	}
}

// dropOne drops a shard: no key of it remains, and every other key stays as it was.
func (r *row) dropOne() {
	before := keysOnDisk(r.t, r.store)
	place := r.rng.IntN(len(r.shards))
	sh := r.shards[place]
	is := sh.is
	r.must(r.store.Drop(is))
	want := slices.DeleteFunc(before, func(kv [2]string) bool { return ownsKey(sh, kv) })
	if got := keysOnDisk(r.t, r.store); !slices.Equal(got, want) {
		r.t.Fatalf("after %v was dropped: got %d keys; want the %d others as they were", is, len(got), len(want))
	}
}

// keysOnDisk returns all keys and values of a store.
func keysOnDisk(t *testing.T, s *Store) (all [][2]string) {
	t.Helper()
	it, err := s.engine.db.NewIter(&pebble.IterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		all = append(all, [2]string{string(it.Key()), string(it.Value())})
	}
	return all
}

// A shard whose descriptor contradicts the one on disk is refused, and one that can't be.
func TestDescriptorsAreKept(t *testing.T) {
	fs := vfs.NewMem()
	o := Options{Dir: "/data", FS: fs}
	s := openStore(t, o)
	is := Descriptor{ID: 7, Space: 4, From: []byte{1}, To: []byte{2, 0, 3}, Parents: []holdfast.ShardID{5, 6}, Begin: 9}
	if _, err := s.Open(is, Schema{Key: testSchema().Key}); err != nil {
		t.Fatal(err)
	}
	raw := string(is.appendTo(nil))
	if got, err := decodeDescriptor(7, raw); err != nil || !got.equal(&is) {
		t.Fatalf("got %+v, %v; want %+v", got, err, is)
	}
	for n := range raw {
		if got, err := decodeDescriptor(7, raw[:n]); err == nil {
			t.Fatalf("a descriptor that is cut: got %+v; want an error", got)
		}
	}
	for range 2 {
		for what, change := range map[string]func(d *Descriptor){
			"space": func(d *Descriptor) { d.Space = 5 }, "from": func(d *Descriptor) { d.From = nil },
			"to": func(d *Descriptor) { d.To = []byte{2} }, "parents": func(d *Descriptor) { d.Parents = nil },
			"begin": func(d *Descriptor) { d.Begin = 1 },
		} {
			d := is
			change(&d)
			if _, err := s.Open(d, Schema{Key: testSchema().Key}); err == nil {
				t.Errorf("%s: another descriptor was accepted", what)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openStore(t, o)
	}
	for what, d := range map[string]Descriptor{
		"the records":                   {Space: 1},
		"no space":                      {ID: 1},
		"no keys":                       {ID: 1, Space: 1, From: []byte{2}, To: []byte{2}},
		"an ID of eight bytes":          {ID: 1 << 56, Space: 1},
		"a range divides a partition":   {ID: 1, Space: 1, From: []byte("12345678x")},
		"a range ends within one":       {ID: 1, Space: 1, To: []byte("12345678x")},
		"a space's ID of eight bytes":   {ID: 1, Space: 1 << 56},
		"a range that ends before from": {ID: 1, Space: 1, From: []byte{2}, To: []byte{1, 9}},
	} {
		if _, err := s.Open(d, testSchema()); err == nil {
			t.Errorf("%s: got a shard; want an error", what)
		}
	}
}
