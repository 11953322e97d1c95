package shard

import (
	"fmt"
	"path"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

// excise removes the spans of two shards from the database, and puts something else in their place,
// as moves of those shards would.
func excise(t *testing.T, s *Store, first, last holdfast.ShardID) {
	t.Helper()
	for id := first; id <= last; id++ {
		for _, r := range keysOf(id).all() {
			if err := s.engine.db.Excise(bg, r); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.engine.db.Set(keysOf(id).appendItem(nil, item.Key("other")), copied("other"), pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
}

// fillTwice commits n items, and a second later by the clock each of them changed. What they were
// before is large enough for a blob file. It returns both, and the time of the first.
func fillTwice(t *testing.T, s *Store, sh *Shard, c *clock, n int) (before, after []item.Item, at time.Time) {
	t.Helper()
	at = c.read()
	for i := range n {
		it := thing(fmt.Sprintf("item %d", i), i, "v", noise(i, 2*blobValueBytes))
		before, after = append(before, it), append(after, it.With("changed", number(i)))
		commitAll(t, s, put(t, sh, it))
	}
	c.advance(time.Second)
	for _, it := range after {
		commitAll(t, s, put(t, sh, it))
	}
	return before, after, at
}

// What is read through a view, or copied, stays whole when its span and the next one are excised
// and replaced after it began, be its keys in memory or in sorted tables.
func TestReadsSurviveExcise(t *testing.T) {
	for _, flushed := range []bool{false, true} {
		t.Run(fmt.Sprintf("flushed=%v", flushed), func(t *testing.T) {
			s, sh := memShard(t)
			_, want, _ := fillTwice(t, s, sh, newClock(), 200)
			fillTwice(t, s, openShard(t, s, 2), newClock(), 200)
			if flushed {
				if err := s.engine.db.Flush(); err != nil {
					t.Fatal(err)
				}
				wantBlobs(t, s.engine.fs)
			}
			view, err := s.engine.view()
			if err != nil {
				t.Fatal(err)
			}
			defer view.Close()
			excise(t, s, 1, 2)
			for _, it := range want {
				if got, err := sh.items.get(view, keyOf(t, it)); err != nil || !got.Equal(it) {
					t.Fatalf("an item: got %v, %v; want %v", got, err, it)
				}
			}
			it, err := sh.history.iter(view, holdfast.Position{}, holdfast.Position{})
			if err != nil {
				t.Fatal(err)
			}
			defer it.Close()
			changes, _, _, err := sh.history.collect(view, it, holdfast.Position{}, Limit{Changes: 1000, Bytes: 1 << 30})
			if err != nil || len(changes) != 2*len(want) {
				t.Errorf("changes: got %d, %v; want %d", len(changes), err, 2*len(want))
			}
		})
	}
}

// A copy as of a time is whole although its source and the neighbour are excised and replaced after
// it began, before it reads the log.
func TestCopySurvivesExcise(t *testing.T) {
	mem := vfs.NewMem()
	fs := &hookedFS{FS: mem}
	o, c := memOptions(fs), newClock()
	o.Now = c.read
	s := openStore(t, o)
	sh := openShard(t, s, 1)
	want, _, at := fillTwice(t, s, sh, c, 200)
	fillTwice(t, s, openShard(t, s, 2), c, 200)
	if err := s.engine.db.Flush(); err != nil { // what is in memory, no excise takes from a Snapshot
		t.Fatal(err)
	}
	wantBlobs(t, fs)
	fs.once = func() { excise(t, s, 1, 2) }

	counts, err := s.Copy(bg, sh, whole(9), at)
	if err != nil || counts.Items != int64(len(want)) {
		t.Fatalf("copy: got %+v, %v; want %d items", counts, err, len(want))
	}
	if fs.once != nil {
		t.Fatal("nothing was excised")
	}
	copied, err := s.Open(whole(9), Schema{Key: testSchema().Key})
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range want {
		if got, err := copied.Get(bg, keyOf(t, it)); err != nil || !got.Equal(it) {
			t.Fatalf("a copied item: got %v, %v; want %v", got, err, it)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if in := (&stopped{t: t, fs: mem, boot: o.Boot}).inspect(); len(in.defects) > 0 {
		t.Errorf("got %v; want a manifest with parts of tables understood", in.defects)
	}
}

// A hookedFS calls once when the first sorted table of a copy is created.
type hookedFS struct {
	vfs.FS
	once func()
}

// Create implements vfs.FS.
func (fs *hookedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if path.Base(path.Dir(name)) == buildDir {
		if once := fs.once; once != nil {
			fs.once = nil
			once()
		}
	}
	return fs.FS.Create(name, category)
}
