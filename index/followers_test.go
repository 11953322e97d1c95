package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
	"holdfast/shard"
)

// tableShards is how many shards the table of the tests has, and each of its indexes.
const tableShards = 3

// tableKey is the key of the tests' table.
func tableKey() item.KeySchema { return item.KeySchema{Hash: item.KeyAttr{Name: "id", Type: item.S}} }

// tableIndexes are two indexes: of a part of the attributes, and of all.
func tableIndexes() []item.Index {
	a := item.IndexKey{Hash: []item.KeyAttr{{Name: "a", Type: item.S}}}
	b := item.IndexKey{Hash: []item.KeyAttr{{Name: "b", Type: item.S}}, Range: []item.KeyAttr{{Name: "n", Type: item.N}}}
	return []item.Index{
		{ID: 1, Name: "by-a", Key: a, Project: item.ProjectKeys},
		{ID: 2, Name: "by-b", Key: b, Project: item.ProjectAll},
	}
}

// A world is a store with a table's shards and those of its indexes, beside a model of its items.
type world struct {
	t         testing.TB
	rng       *rand.Rand
	fs        *vfs.MemFS
	store     *shard.Store
	sources   []*shard.Shard
	other     *shard.Shard // whose commits sync what was submitted before
	indexes   []Index
	followers *Followers // nil: they aren't started
	items     map[string]item.Item
	added     [2]bool // which indexes there are

	crashes int        // of a hundred submits, behind how many there is a crash
	crashed *vfs.MemFS // what such a crash has left on disk; nil: there was none
}

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), fs: vfs.NewCrashableMem(), items: map[string]item.Item{}}
	w.open()
	t.Cleanup(func() { w.close() })
	return w
}

func (w *world) options() shard.Options {
	return shard.Options{Dir: "data", FS: w.fs, CacheBytes: 1 << 20, MemTableBytes: 1 << 20, LogAge: 1}
}

// open opens the store and its shards.
func (w *world) open() {
	s, err := shard.Open(w.options())
	if err != nil {
		w.t.Fatal(err)
	}
	w.store, w.indexes = s, nil
	w.sources = openShards(w.t, s, 1, tableShards, shard.Schema{Key: tableKey()})
	w.other = openShards(w.t, s, 99, 1, shard.Schema{Key: tableKey()})[0]
	for i, x := range tableIndexes() {
		w.indexes = append(w.indexes, newIndex(w.t, s, holdfast.ShardID(101+100*i), tableShards, tableKey(), x))
	}
}

// newIndex opens the shards of an index.
func newIndex(
	t testing.TB, s *shard.Store, first holdfast.ShardID, shards int, key item.KeySchema, x item.Index,
) Index {
	is := Index{Index: x, Shards: openShards(t, s, first, shards, shard.Schema{Key: key, Of: &x})}
	for i := range shards {
		is.Starts = append(is.Starts, uint64(i)*(^uint64(0)/uint64(shards)+1))
	}
	if shards == 1 {
		is.Starts = []uint64{0}
	}
	return is
}

// startManual registers followers without goroutines: the test takes their steps.
func (w *world) startManual() {
	w.followers = newFollowers(Options{
		Key: tableKey(), Sources: w.sources, stepChanges: 1 + w.rng.IntN(20), fillItems: 1 + w.rng.IntN(8),
		submit: w.submit,
	})
	for i, added := range w.added {
		if added {
			w.followers.Add(w.indexes[i])
		}
	}
}

func (w *world) close() {
	if w.followers != nil {
		w.followers.Stop()
	}
	_ = w.store.Close()
}

var errCrashed = errors.New("the process has crashed")

// submit does a step, and in some cases there is a crash just behind it, when it is on disk.
func (w *world) submit(sh *shard.Shard, f shard.Follow) error {
	if w.crashed != nil {
		return errCrashed
	}
	crashes := w.crashes
	if f.Fill {
		crashes *= 10 // there are few
	}
	if err := sh.Follow(f); err != nil || w.rng.IntN(100) >= crashes {
		return err
	}
	it := item.New(item.Attr{Name: "id", Value: item.Text(fmt.Sprint(w.rng.Int()))})
	_, err := w.store.Commit(bg, shard.Commit{Writes: []shard.Write{{Shard: w.other, Key: w.key(it),
		Change: func(item.Item) (item.Item, error) { return it, nil }}}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.crashed = w.fs.CrashClone(vfs.CrashCloneCfg{})
	return errCrashed
}

// revive opens what a crash has left, if there was one.
func (w *world) revive() {
	if w.crashed == nil {
		return
	}
	w.close()
	w.fs, w.crashed = w.crashed, nil
	w.open()
	w.startManual()
}

// crash loses what isn't on disk, and some of what was never synced.
func (w *world) crash() {
	w.fs = w.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: w.rng.IntN(101), RNG: w.rng})
	w.close()
	w.open()
	w.startManual()
}

func (w *world) random() item.Item {
	attrs := []item.Attr{{Name: "id", Value: item.Text(fmt.Sprint("id", w.rng.IntN(40)))}}
	for _, name := range []string{"a", "b"} {
		if w.rng.IntN(8) > 0 {
			attrs = append(attrs, item.Attr{Name: name, Value: item.Text(fmt.Sprint(w.rng.IntN(12)))})
		}
	}
	attrs = append(attrs, item.Attr{Name: "n", Value: item.Value{Type: item.N, Text: strconv.Itoa(w.rng.IntN(3))}})
	return item.New(append(attrs, item.Attr{Name: "v", Value: item.Text(fmt.Sprint(w.rng.IntN(3)))})...)
}

// commit changes some items of one shard.
func (w *world) commit() {
	var c shard.Commit
	next := map[string]item.Item{}
	place := w.rng.IntN(tableShards)
	for range 1 + w.rng.IntN(4) {
		it := w.random()
		key := w.key(it)
		if _, twice := next[string(key)]; twice || ownerOf(w.sources, key) != w.sources[place] {
			continue
		}
		if w.rng.IntN(4) == 0 {
			it = nil
		}
		next[string(key)] = it
		c.Writes = append(c.Writes, shard.Write{Shard: w.sources[place], Key: key,
			Change: func(item.Item) (item.Item, error) { return it, nil }})
	}
	if _, err := w.store.Commit(bg, c); err != nil {
		w.t.Fatal(err)
	}
	for key, it := range next {
		w.items[key] = it
		if it == nil {
			delete(w.items, key)
		}
	}
}

func (w *world) key(it item.Item) item.Key {
	key, err := tableKey().Key(it)
	if err != nil {
		w.t.Fatal(err)
	}
	return key
}

// catchUp takes steps until nothing lags.
func (w *world) catchUp() {
	for _, s := range w.followers.sources {
		for range 1000 {
			at, unfilled, _ := s.step(bg)
			if at == s.reader.Durable() && !unfilled || len(s.links) == 0 || w.crashed != nil {
				break
			}
		}
	}
}

// compare compares the entries and counts of the indexes that there are with the model's.
func (w *world) compare() {
	w.t.Helper()
	for i, x := range w.indexes {
		if !w.added[i] {
			continue
		}
		want := map[string]item.Item{}
		for _, it := range w.items {
			if key, entry, ok := x.Index.Entry(tableKey(), it); ok {
				want[string(key)] = entry
			}
		}
		got := 0
		for place, sh := range x.Shards {
			held, heldBytes := int64(0), int64(0)
			for key, entry := range entriesOf(w.t, sh) {
				if x.shardOf(item.Key(key)) != place {
					w.t.Errorf("index %d: %x is in shard %d", x.Index.ID, key, place)
				}
				if !entry.Equal(want[key]) {
					w.t.Errorf("index %d, %x: got %v; want %v", x.Index.ID, key, entry, want[key])
				}
				held++
				heldBytes += int64(entry.Size())
			}
			if c := sh.Counts(); c.Items != held || c.ItemBytes != heldBytes {
				w.t.Errorf("index %d, shard %d: got %d entries of %d bytes counted; want %d of %d",
					x.Index.ID, place, c.Items, c.ItemBytes, held, heldBytes)
			}
			got += int(held)
		}
		if got != len(want) {
			w.t.Errorf("index %d: got %d entries; want %d", x.Index.ID, got, len(want))
		}
	}
}

// entriesOf returns all entries of a shard by their keys.
func entriesOf(t testing.TB, sh *shard.Shard) map[string]item.Item {
	t.Helper()
	c, err := sh.Cursor(context.Background(), shard.Span{})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]item.Item{}
	for c.Next() {
		it, err := c.Item()
		if err != nil {
			t.Fatal(err)
		}
		all[string(bytes.Clone(c.Key()))] = it
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

// Random commits, steps of followers, crashes between any two submits, restarts, trims, and indexes
// that are added at any time, against a model of the items: once the followers have caught up,
// entries and counts are the model's, so each change was applied once.
func TestModel(t *testing.T) {
	seeds := []uint64{}
	for seed := range uint64(12) {
		seeds = append(seeds, seed)
	}
	if text := os.Getenv("HOLDFAST_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seeds = []uint64{seed}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := newWorld(t, seed)
			w.crashes = 2
			w.startManual()
			for range 400 {
				w.step()
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
			w.revive()
			w.close()
			w.check()
		})
	}
}

// check has package shard check the closed store.
func (w *world) check() {
	schemas := map[holdfast.ShardID]shard.Schema{}
	for _, sh := range w.sources {
		schemas[sh.ID()] = shard.Schema{Key: tableKey()}
	}
	for i := range w.indexes {
		for _, sh := range w.indexes[i].Shards {
			schemas[sh.ID()] = shard.Schema{Key: tableKey(), Of: &w.indexes[i].Index}
		}
	}
	all := func(*shard.Store) (map[holdfast.ShardID]shard.Schema, error) { return schemas, nil }
	_, err := shard.Check(bg, w.options(), all, nil, func(f shard.Fault) { w.t.Errorf("%+v", f) })
	if err != nil {
		w.t.Error(err)
	}
}

func (w *world) step() {
	w.revive()
	switch p := w.rng.IntN(100); {
	case p < 50:
		w.commit()
	case p < 85:
		w.followers.sources[w.rng.IntN(tableShards)].step(bg)
	case p < 88:
		w.crash()
	case p < 91:
		i := w.rng.IntN(len(w.added))
		if !w.added[i] {
			w.added[i] = true
			w.followers.Add(w.indexes[i])
		}
	case p < 94:
		if err := w.store.Trim(bg); err != nil {
			w.t.Error(err)
		}
	case p < 96:
		w.close()
		w.open()
		w.startManual()
	default:
		if w.catchUp(); w.crashed == nil {
			w.compare()
		}
	}
}

// A link that waits for changes that came after another link found none gets them: a backfill that
// had the other link's empty read would look for them for ever.
func TestAnEmptyReadIsNotShared(t *testing.T) {
	w := newWorld(t, 1)
	w.startManual()
	s := w.followers.sources[0]
	var last read
	from := s.reader.Durable()
	if changes, to, err := last.get(s, from, math.MaxUint64); err != nil || to != from || len(changes) > 0 {
		t.Fatalf("got %v up to %d, %v; want nothing behind %d", changes, to, err, from)
	}
	for s.reader.Durable() == from {
		w.commit()
	}
	want := s.reader.Durable()
	if changes, to, err := last.get(s, from, want); err != nil || to != want || len(changes) == 0 {
		t.Errorf("got %v up to %d, %v; want what was changed up to %d", changes, to, err, want)
	}
}

// An index of a table that has items but no transactions, as a restored one has, is filled in more
// than one step without waiting for a transaction.
func TestBackfillWithoutTransactions(t *testing.T) {
	p := newPair(t)
	for n := range 20 {
		p.put(p.item(fmt.Sprint(n), n%2))
	}
	to := shard.Descriptor{ID: 300, Space: 300}
	if _, err := p.store.Copy(bg, p.source, to, time.Now()); err != nil {
		t.Fatal(err)
	}
	source, err := p.store.Open(to, shard.Schema{Key: tableKey()})
	if err != nil {
		t.Fatal(err)
	}
	is := newIndex(t, p.store, 301, 2, tableKey(), tableIndexes()[0])
	f := Start(Options{Key: tableKey(), Sources: []*shard.Shard{source}, fillItems: 3}, is)
	defer f.Stop()
	select {
	case <-f.Filled(is.Index.ID):
	case <-time.After(10 * time.Second):
		t.Fatal("the index isn't filled within 10 s")
	}
	if n := len(entriesOf(t, is.Shards[0])) + len(entriesOf(t, is.Shards[1])); n != 20 {
		t.Errorf("got %d entries; want 20", n)
	}
}
