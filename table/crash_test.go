package table

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
)

// A story is what was acknowledged: the tables with how many items each has.
type story struct {
	tables map[string]int
	made   int
}

// While the worker goes about its jobs, tables are made, filled, altered, copied and removed, and
// the disk is cloned as a crash would leave it at that time. What was acknowledged must be in each
// clone, and its jobs must come to their end.
func TestCrashAtAnyTime(t *testing.T) {
	const seed = 7
	steps := 40
	if testing.Short() {
		steps = 12
	}
	r := newRig(t, Options{ShardsPerTable: 2})
	r.background.start(r.worker.run, r.sweeper.run)
	defer func() { _ = r.Close() }()
	random := rand.New(rand.NewPCG(seed, seed))
	acked, underWay := story{tables: map[string]int{}}, 0
	for step := range steps {
		acked.next(t, r, random)
		clone := &rig{t: t, time: r.time, o: Options{ShardsPerTable: 2},
			fs: r.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: random.IntN(101), RNG: random})}
		clone.open()
		if len(clone.worker.jobs()) > 0 {
			underWay++
		}
		clone.check()
		clone.settle()
		clone.check()
		for name, want := range acked.tables {
			if d := clone.describe(name); d.Status != catalog.Active || d.Items != int64(want) {
				t.Fatalf("seed %d, step %d, %s: got status %d, %d items; want active, %d", seed, step, name, d.Status, d.Items,
					want)
			}
			clone.checkIndexes(name)
		}
		if names, _ := clone.List("", 1000); len(names) != len(acked.tables) {
			t.Fatalf("seed %d, step %d: got tables %v; want %v", seed, step, names, acked.tables)
		}
		if err := clone.disk.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if underWay < steps/4 {
		t.Errorf("got %d of %d clones with something under way; want a quarter at least", underWay, steps)
	}
}

// next does something at random. What is refused since a table is in use is left.
func (s *story) next(t *testing.T, r *rig, random *rand.Rand) {
	t.Helper()
	names := slices.Sorted(maps.Keys(s.tables))
	if len(names) < 2 {
		s.create(r, random)
		return
	}
	some := names[random.IntN(len(names))]
	var (
		ctx = context.Background()
		err error
	)
	switch what := random.IntN(6); {
	case len(names) > 4 || what == 0:
		if _, err = r.Remove(ctx, some); err == nil {
			delete(s.tables, some)
		}
	case what == 1:
		s.create(r, random)
	case what == 2:
		a := item.KeyAttr{Name: "n", Type: item.N}
		_, err = r.Alter(ctx, catalog.Alteration{Table: some, Attributes: []item.KeyAttr{a},
			Indexes: []catalog.IndexAlteration{{Create: &catalog.IndexDefinition{
				Index: item.Index{Name: s.name("index"), Key: item.KeySchema{Hash: a}.Index(), Project: item.ProjectKeys}}}}})
	case what == 3:
		_, err = r.Alter(ctx, catalog.Alteration{Table: some, Indexes: []catalog.IndexAlteration{{Delete: "by-city"}}})
	case what == 4:
		_, err = r.Backup(ctx, some, "backup")
	case what == 5:
		err = s.restore(r)
	}
	if err != nil && !errors.Is(err, holdfast.Exists) && !errors.Is(err, holdfast.NotFound) {
		t.Fatal(err)
	}
}

func (s *story) name(kind string) string {
	s.made++
	return fmt.Sprint(kind, s.made)
}

func (s *story) create(r *rig, random *rand.Rand) {
	r.t.Helper()
	name := s.name("table")
	d, attributes := users(name)
	d.Stream = catalog.View(random.IntN(2))
	r.create(d, attributes)
	for i := range 300 {
		r.put(name, user(i))
	}
	s.tables[name] = 300
}

// restore makes a table of the oldest backup that is ready, and deletes the backup if it may.
func (s *story) restore(r *rig) error {
	for _, b := range r.Backups("") {
		if !b.Ready {
			continue
		}
		name := s.name("table")
		if _, err := r.RestoreBackup(context.Background(), b.ID, name, catalog.Overrides{}); err != nil {
			return err
		}
		s.tables[name] = int(b.Items)
		_, err := r.DeleteBackup(context.Background(), b.ID)
		return err
	}
	return nil
}
