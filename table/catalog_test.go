package table

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
	"holdfast/shard"
)

// A rig is a store on a memory disk of which a test does the background work itself, job by job,
// and which it can crash.
type rig struct {
	*Store
	t    testing.TB
	fs   *vfs.MemFS
	time *clock
	o    Options
}

func newRig(t testing.TB, o Options) *rig {
	t.Helper()
	r := &rig{t: t, fs: vfs.NewCrashableMem(), o: o, time: &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}}
	r.open()
	return r
}

func (r *rig) open() {
	r.t.Helper()
	disk, err := shard.Open(shard.Options{Dir: "data", FS: r.fs, Now: r.time.Now, Boot: rand.Text()})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { r.close() })
	r.o.Disk, r.o.Now = disk, r.time.Now
	if r.Store, err = newStore(context.Background(), r.o); err != nil {
		r.t.Fatal(err)
	}
}

// close ends what follows the tables, and closes the disk. It may be called more than once.
func (r *rig) close() {
	if r.Store != nil {
		r.installer.close()
		_ = r.disk.Close()
	}
}

// crash loses what isn't on disk, and starts again.
func (r *rig) crash() {
	r.t.Helper()
	crashed := r.fs.CrashClone(vfs.CrashCloneCfg{})
	r.close()
	r.fs = crashed
	r.open()
}

// check has shard.Check look whether all that is on disk agrees.
func (r *rig) check() {
	r.t.Helper()
	r.close()
	_, err := shard.Check(context.Background(), shard.Options{Dir: "data", FS: r.fs, Now: r.time.Now}, catalog.Schemas,
		CheckAcross, func(f shard.Fault) {
			r.t.Errorf("fault: %+v", f)
		})
	if err != nil {
		r.t.Error(err)
	}
	r.open()
}

// step does the next jobs, at most n, and returns how many there were.
func (r *rig) step(n int) (done int) {
	r.t.Helper()
	for done < n {
		jobs := r.worker.jobs()
		if len(jobs) == 0 {
			return done
		}
		for _, j := range jobs[:min(len(jobs), n-done)] {
			if err := j.run(context.Background()); err != nil {
				r.t.Fatalf("%s: %v", j.name, err)
			}
			done++
		}
	}
	return done
}

// settle does all jobs that there are.
func (r *rig) settle() {
	r.t.Helper()
	if r.step(1000) == 1000 {
		r.t.Fatal("the background work doesn't end")
	}
}

func (r *rig) create(d catalog.Definition, attributes []item.KeyAttr) {
	r.t.Helper()
	if _, err := r.Create(context.Background(), d, attributes); err != nil {
		r.t.Fatal(err)
	}
	r.describe(d.Name)
}

func (r *rig) describe(name string) catalog.Description {
	r.t.Helper()
	d, err := r.Describe(name)
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

func (r *rig) alter(a catalog.Alteration) catalog.Description {
	r.t.Helper()
	d, err := r.Alter(context.Background(), a)
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

// put writes an item past the requests.
func (r *rig) put(table string, it item.Item) {
	r.t.Helper()
	r.write(table, it, it)
}

func (r *rig) delete(table string, it item.Item) {
	r.t.Helper()
	r.write(table, it, nil)
}

func (r *rig) write(table string, it, after item.Item) {
	r.t.Helper()
	l, err := r.tables.serving(table)
	if err != nil {
		r.t.Fatal(err)
	}
	key, err := l.schema.Key.Key(it)
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = r.disk.Commit(context.Background(), shard.Commit{Writes: []shard.Write{{Shard: l.shard(key), Key: key,
		Change: func(item.Item) (item.Item, error) { return after, nil }}}})
	if err != nil {
		r.t.Fatal(err)
	}
}

// items returns all items of a table, or entries of its index, in order.
func (r *rig) items(table, index string) []item.Item {
	r.t.Helper()
	l, err := r.tables.serving(table)
	if err != nil {
		r.t.Fatal(err)
	}
	read := &read{t: l}
	if index != "" {
		x, _, ok := l.index(index)
		if !ok {
			r.t.Fatalf("no index %q", index)
		}
		read.index, read.span.Index = x, beside(x)
		if err := read.awaitIndex(context.Background()); err != nil {
			r.t.Fatal(err)
		}
	}
	var all []item.Item
	for _, sh := range read.newEntries().waiting {
		all = append(all, scanShard(r.t, sh, read.span.Index)...)
	}
	return all
}

func scanShard(t testing.TB, sh *shard.Shard, index uint32) (all []item.Item) {
	t.Helper()
	c, err := sh.Cursor(context.Background(), shard.Span{Index: index})
	if err != nil {
		t.Fatal(err)
	}
	for c.Next() {
		it, err := c.Item()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, it)
	}
	if err := errors.Join(c.Err(), c.Close()); err != nil {
		t.Fatal(err)
	}
	return all
}

// checkIndexes compares the entries of all indexes of a table with what they must be by its items.
func (r *rig) checkIndexes(table string) {
	r.t.Helper()
	l, err := r.tables.serving(table)
	if err != nil {
		r.t.Fatal(err)
	}
	items := r.items(table, "")
	for name, x := range l.indexes {
		want := map[string]int{}
		n := 0
		for _, it := range items {
			if _, entry, ok := x.index.Entry(l.schema.Key, it); ok {
				want[fmt.Sprint(entry)]++
				n++
			}
		}
		got := r.items(table, name)
		if len(got) != n {
			r.t.Errorf("index %s of %s has %d entries; want %d", name, table, len(got), n)
		}
		for _, entry := range got {
			if want[fmt.Sprint(entry)] == 0 {
				r.t.Errorf("index %s of %s has %v; want no such entry", name, table, entry)
			}
		}
	}
}

func sameItems(t testing.TB, what string, got, want []item.Item) {
	t.Helper()
	if !slices.EqualFunc(got, want, item.Item.Equal) {
		t.Errorf("%s: got %d items %v; want %d: %v", what, len(got), got, len(want), want)
	}
}

func wantError(t testing.TB, err error, kind holdfast.Kind, text string) {
	t.Helper()
	if !errors.Is(err, kind) || err.Error() != text {
		t.Errorf("got %v; want %v: %s", err, kind, text)
	}
}

// users is a table of users with a global index by city.
func users(name string) (catalog.Definition, []item.KeyAttr) {
	id, city := item.KeyAttr{Name: "id", Type: item.S}, item.KeyAttr{Name: "city", Type: item.S}
	return catalog.Definition{
		Name: name, Key: item.KeySchema{Hash: id}, Billing: catalog.OnDemand,
		Indexes: []catalog.IndexDefinition{{Index: item.Index{Name: "by-city", Key: item.KeySchema{Hash: city}.Index(),
			Project: item.ProjectAll}}},
	}, []item.KeyAttr{id, city}
}

func user(n int, attrs ...item.Attr) item.Item {
	return item.New(append(attrs,
		item.Attr{Name: "id", Value: item.Text(fmt.Sprintf("user%04d", n))},
		item.Attr{Name: "city", Value: item.Text(fmt.Sprintf("city%d", n%7))},
		item.Attr{Name: "n", Value: number(fmt.Sprint(n))},
	)...)
}
