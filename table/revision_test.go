package table

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
)

// Whatever changes the catalog, and whether the disk takes the change or not: what the catalog has
// in memory, and what requests see of it, is what a start would read.
func TestCatalogIsWhatIsOnDisk(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r, fs := newFullRig(t)
			rng := rand.New(rand.NewPCG(seed, 8))
			refused := 0
			for step := range 120 {
				fs.free.Store([]uint64{1 << 30, 1 << 30, 1 << 20}[rng.IntN(3)])
				r.time.add(time.Duration(rng.IntN(40)) * time.Minute) // the last look at the disk is old
				what, err := r.randomChange(rng)
				if errors.Is(err, holdfast.Full) {
					refused++
				}
				if err != nil && !allowed(err) {
					t.Fatalf("step %d, %s: %v", step, what, err)
				}
				r.compareWithDisk(fmt.Sprintf("step %d, %s (%v)", step, what, err))
				if t.Failed() {
					return
				}
			}
			if refused == 0 {
				t.Error("got no change refused by a full disk; want some")
			}
		})
	}
}

// allowed says whether an error is one that a change at random may meet.
func allowed(err error) bool {
	for _, kind := range []holdfast.Kind{holdfast.Full, holdfast.Exists, holdfast.NotFound, holdfast.Invalid,
		holdfast.Failed, holdfast.Gone} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

func (r *rig) randomChange(rng *rand.Rand) (what string, err error) {
	ctx := context.Background()
	name, other := fmt.Sprint("table", rng.IntN(4)), fmt.Sprint("table", rng.IntN(4))
	on := rng.IntN(2) == 0
	backups := r.Backups("")
	some := "none"
	if len(backups) > 0 {
		some = backups[rng.IntN(len(backups))].ID
	}
	n := item.KeyAttr{Name: "n", Type: item.N}
	view := catalog.View(rng.IntN(3))
	changes := []struct {
		what string
		do   func() error
	}{
		{"create", func() error { d, attributes := users(name); _, err := r.Create(ctx, d, attributes); return err }},
		{"describe", func() error { _, err := r.Describe(name); return err }},
		{"remove", func() error { _, err := r.Remove(ctx, name); return err }},
		{"stream", func() error { _, err := r.Alter(ctx, catalog.Alteration{Table: name, Stream: &view}); return err }},
		{"add an index", func() error {
			_, err := r.Alter(ctx, catalog.Alteration{Table: name, Attributes: []item.KeyAttr{n},
				Indexes: []catalog.IndexAlteration{{Create: &catalog.IndexDefinition{
					Index: item.Index{Name: "by-n", Key: item.KeySchema{Hash: n}.Index(), Project: item.ProjectKeys}}}}})
			return err
		}},
		{"remove an index", func() error {
			_, err := r.Alter(ctx, catalog.Alteration{Table: name, Indexes: []catalog.IndexAlteration{{Delete: "by-n"}}})
			return err
		}},
		{"TTL", func() error { return r.SetTTL(ctx, name, catalog.TTL{Attr: "until", On: on}) }},
		{"tag", func() error { return r.Tag(ctx, name, map[string]string{fmt.Sprint(rng.IntN(3)): "v"}) }},
		{"untag", func() error { return r.Untag(ctx, name, []string{fmt.Sprint(rng.IntN(3))}) }},
		{"point in time", func() error { _, err := r.SetPointInTime(ctx, name, on); return err }},
		{"backup", func() error { _, err := r.Backup(ctx, name, "backup"); return err }},
		{"delete a backup", func() error { _, err := r.DeleteBackup(ctx, some); return err }},
		{"restore a backup", func() error { _, err := r.RestoreBackup(ctx, some, other, catalog.Overrides{}); return err }},
		{"restore", func() error {
			_, err := r.RestorePointInTime(ctx, name, other, time.Time{}, catalog.Overrides{})
			return err
		}},
	}
	if jobs := r.worker.jobs(); len(jobs) > 0 && rng.IntN(2) == 0 {
		j := jobs[rng.IntN(len(jobs))]
		return j.name, j.run(ctx)
	}
	c := changes[rng.IntN(len(changes))]
	return c.what + " " + name, c.do()
}

// compareWithDisk compares the catalog with that of a store that reads it anew.
func (r *rig) compareWithDisk(doing string) {
	r.t.Helper()
	read, err := newStore(context.Background(), Options{Disk: r.disk, Now: r.time.Now})
	if err != nil {
		r.t.Fatalf("%s: %v", doing, err)
	}
	is, onDisk := r.catalog.Contents(), read.catalog.Contents()
	sameEntries(r.t, doing+": tables", is.Tables, onDisk.Tables)
	sameEntries(r.t, doing+": backups", is.Backups, onDisk.Backups)
	sameEntries(r.t, doing+": removed", is.Removed, onDisk.Removed)
	for id := range r.usedShards() {
		if id >= onDisk.Next {
			r.t.Errorf("%s: a start would give shard %d again, which is in use", doing, id)
		}
	}
	if got, want := r.tables.all(), read.tables.all(); !slices.Equal(slices.Sorted(maps.Keys(got)),
		slices.Sorted(maps.Keys(want))) {
		r.t.Errorf("%s: requests see %v; want %v", doing, got, want)
	}
	for name, want := range read.tables.all() {
		got := r.tables.table(name)
		if text(got.desc) != text(want.desc) || text(got.starts) != text(want.starts) || !got.since.Equal(want.since) ||
			text(got.schema) != text(want.schema) || !slices.Equal(got.shards, want.shards) {
			r.t.Errorf("%s: requests see of %s\n%+v; want\n%+v", doing, name, got.desc, want.desc)
		}
	}
}

// usedShards returns the shards that an entry of the catalog has. No two have the same.
func (r *rig) usedShards() map[holdfast.ShardID]bool {
	used := map[holdfast.ShardID]bool{}
	add := func(parts []catalog.Shard) {
		for _, p := range parts {
			if used[p.ID] {
				r.t.Errorf("got shard %d in use twice", p.ID)
			}
			used[p.ID] = true
		}
	}
	r.catalog.Read(func(c catalog.Contents) {
		for _, e := range c.Tables {
			add(e.Shards)
		}
		for _, e := range c.Backups {
			add(e.Shards)
		}
		for _, e := range c.Removed {
			add(e.Shards)
		}
	})
	return used
}

func sameEntries[T any](t testing.TB, what string, got, want map[string]T) {
	t.Helper()
	if !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))) {
		t.Errorf("%s: got %v; want %v as on disk", what, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		return
	}
	for name, e := range got {
		if a, b := withoutVersion(e), withoutVersion(want[name]); a != b {
			t.Errorf("%s: got %s; want %s as on disk", what, a, b)
		}
	}
}

// withoutVersion returns a record as JSON without the version of its form, which is that on disk.
func withoutVersion(record any) string {
	_, rest, _ := strings.Cut(text(record), ",")
	return rest
}

func text(v any) string {
	p, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(p)
}
