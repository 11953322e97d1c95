package table

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
)

func (r *rig) backup(table string) catalog.BackupDescription {
	r.t.Helper()
	b, err := r.Backup(context.Background(), table, "nightly")
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

func TestBackupAndRestoreDespiteCrashes(t *testing.T) {
	for crashAfter := range 5 {
		t.Run(fmt.Sprint(crashAfter), func(t *testing.T) {
			r := newRig(t, Options{ShardsPerTable: 2})
			d, attributes := users("users")
			d.Tags = map[string]string{"env": "test"}
			r.create(d, attributes)
			for i := range 100 {
				r.put("users", user(i))
			}
			want := r.items("users", "")
			b := r.backup("users")
			if b.Ready || b.Name != "nightly" || b.Table.Name != "users" {
				t.Errorf("got %+v; want a backup that isn't ready", b)
			}
			_, err := r.RestoreBackup(context.Background(), b.ID, "copy", catalog.Overrides{})
			wantError(t, err, holdfast.Exists, "Backup is being used by another operation: "+b.ID)
			_, err = r.DeleteBackup(context.Background(), b.ID)
			wantError(t, err, holdfast.Exists, "Backup is being used by another operation: "+b.ID)
			_, err = r.Remove(context.Background(), "users")
			wantError(t, err, holdfast.Exists,
				"Attempt to change a resource which is still in use: Table is being copied: users")
			r.time.add(time.Millisecond)
			for i := range 50 {
				r.delete("users", user(i)) // after the backup's time
			}
			r.step(crashAfter)
			r.crash()
			r.check()
			r.settle()
			if b, err = r.DescribeBackup(b.ID); err != nil || !b.Ready || b.Items != 100 {
				t.Fatalf("got %+v, %v; want it ready with 100 items", b, err)
			}
			if _, err := r.Remove(context.Background(), "users"); err != nil { // the backup stays
				t.Fatal(err)
			}
			restored, err := r.RestoreBackup(context.Background(), b.ID, "copy", catalog.Overrides{})
			if err != nil || restored.Status != catalog.Creating || !restored.Restored.InProgress ||
				restored.Restored.SourceBackup != b.ID {
				t.Fatalf("got %+v, %v; want it creating, from the backup", restored, err)
			}
			if _, err := r.tables.serving("copy"); !errors.Is(err, holdfast.NotFound) {
				t.Errorf("items of a table being restored: got %v; want %v", err, holdfast.NotFound)
			}
			_, err = r.Remove(context.Background(), "copy")
			wantError(t, err, holdfast.Exists,
				"Attempt to change a resource which is still in use: Table is being created: copy")
			r.step(crashAfter)
			r.crash()
			r.check()
			r.settle()
			got := r.describe("copy")
			if got.Status != catalog.Active || got.Items != 100 || got.Restored.InProgress || got.Indexes[0].Items != 100 ||
				len(got.Tags) != 0 {
				t.Errorf("got %+v; want it active with 100 items, in its index too, and no tags", got)
			}
			sameItems(t, "restored", r.items("copy", ""), want)
			r.checkIndexes("copy")
			r.put("copy", user(1000))
			r.checkIndexes("copy")
			if got := r.Backups("users"); len(got) != 1 || got[0].ID != b.ID {
				t.Errorf("got %v; want one backup", got)
			}
			if _, err := r.DeleteBackup(context.Background(), b.ID); err != nil {
				t.Error(err)
			}
			r.crash()
			r.check()
			r.settle()
			if got := r.Backups(""); len(got) != 0 || len(r.catalog.Contents().Removed) != 0 {
				t.Errorf("got %v, %d removed; want no backup, nothing left to remove", got, len(r.catalog.Contents().Removed))
			}
			if got := r.items("copy", ""); len(got) != 101 {
				t.Errorf("restored, when the backup is gone: got %d items; want 101", len(got))
			}
		})
	}
}

func TestRestoreOverrides(t *testing.T) {
	r := newRig(t, Options{})
	r.create(users("users"))
	r.put("users", user(1))
	b := r.backup("users")
	r.settle()
	ctx := context.Background()
	billing, five := catalog.Provisioned, catalog.Throughput{Read: 5, Write: 5}
	_, err := r.RestoreBackup(ctx, b.ID, "a", catalog.Overrides{Billing: &billing})
	wantError(t, err, holdfast.Invalid, "One or more parameter values were invalid: "+
		"ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED")
	none := []catalog.IndexDefinition{{Index: item.Index{Name: "none"}}}
	_, err = r.RestoreBackup(ctx, b.ID, "a", catalog.Overrides{Global: none})
	wantError(t, err, holdfast.Invalid, "One or more parameter values were invalid: The indexes provided should match "+
		"existing secondary indexes; "+
		"there is no such index: none")
	_, err = r.RestoreBackup(ctx, b.ID, "users", catalog.Overrides{})
	wantError(t, err, holdfast.Exists, "Table already exists: users")
	_, err = r.RestoreBackup(ctx, "none", "a", catalog.Overrides{})
	wantError(t, err, holdfast.NotFound, "Backup not found: none")
	if _, err := r.RestoreBackup(ctx, b.ID, "a", catalog.Overrides{Billing: &billing, Throughput: &five,
		Global: []catalog.IndexDefinition{}}); err != nil {
		t.Fatal(err)
	}
	r.settle()
	if d := r.describe("a"); d.Status != catalog.Active || d.Throughput != five || len(d.Indexes) != 0 ||
		len(d.Attributes) != 1 || d.Items != 1 || d.Restored.InProgress {
		t.Errorf("got %+v; want it active, with 5 units, one item and no indexes", d)
	}
	if _, err := r.DeleteBackup(ctx, b.ID); err != nil {
		t.Fatal(err)
	}
	r.settle()
	if left, err := r.disk.Records("removed/"); err != nil || len(left) != 0 {
		t.Errorf("got %v, %v; want nothing left of the backup", left, err)
	}
}

// A table is changed at random while the clock goes on; as it was at several times, it is restored.
func TestPointInTime(t *testing.T) {
	r := newRig(t, Options{ShardsPerTable: 2})
	r.create(users("users"))
	ctx := context.Background()
	_, err := r.RestorePointInTime(ctx, "users", "copy", time.Time{}, catalog.Overrides{})
	wantError(t, err, holdfast.Failed, "Point in time recovery is not enabled for table 'users'")
	random := rand.New(rand.NewPCG(3, 4))
	model := map[int]item.Item{}
	change := func() {
		n := random.IntN(60)
		if random.IntN(3) == 0 {
			r.delete("users", user(n))
			delete(model, n)
			return
		}
		model[n] = user(n, item.Attr{Name: "v", Value: number(fmt.Sprint(random.IntN(1000)))})
		r.put("users", model[n])
	}
	for range 100 {
		change()
	}
	if p, err := r.SetPointInTime(ctx, "users", true); err != nil || !p.On || !p.Earliest.Equal(r.time.Now()) {
		t.Fatalf("got %+v, %v; want it on from now", p, err)
	}
	type moment struct {
		at    time.Time
		items map[int]item.Item
	}
	var moments []moment
	for range 4 {
		moments = append(moments, moment{r.time.Now(), maps.Clone(model)})
		for range 50 {
			r.time.add(time.Second)
			change()
		}
	}
	moments = append(moments, moment{time.Time{}, maps.Clone(model)})
	r.crash()
	r.check()
	for i, m := range moments {
		name := fmt.Sprintf("copy%d", i)
		if _, err := r.RestorePointInTime(ctx, "users", name, m.at, catalog.Overrides{}); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			r.crash()
			r.check()
		}
		r.settle()
		d := r.describe(name)
		if d.Status != catalog.Active || d.Items != int64(len(m.items)) || d.Restored.SourceTable != "users" {
			t.Errorf("%s: got %+v; want it active with %d items", name, d, len(m.items))
		}
		r.checkIndexes(name)
		got := r.items(name, "")
		for _, it := range m.items {
			if !slices.ContainsFunc(got, it.Equal) {
				t.Errorf("%s: got no %v", name, it)
			}
		}
		if len(got) != len(m.items) {
			t.Errorf("%s: got %d items; want %d", name, len(got), len(m.items))
		}
	}
	for _, at := range []time.Time{moments[0].at.Add(-time.Second), r.time.Now().Add(time.Second)} {
		if _, err := r.RestorePointInTime(ctx, "users", "late", at, catalog.Overrides{}); !errors.Is(err, holdfast.Gone) {
			t.Errorf("restore at %v: got %v; want %v", at, err, holdfast.Gone)
		}
	}
}

// The earliest time to which a table can be restored is one that answers give without loss: the
// switch lies between two of these, and so does the change that is the oldest later on.
func TestEarliestPointInTime(t *testing.T) {
	r := newRig(t, Options{})
	r.create(users("users"))
	ctx := context.Background()
	r.put("users", user(1))
	r.time.add(300 * time.Microsecond)
	p, err := r.SetPointInTime(ctx, "users", true)
	if err != nil {
		t.Fatal(err)
	}
	r.put("users", user(2))
	if _, err := r.RestorePointInTime(ctx, "users", "at-once", time.Time{}, catalog.Overrides{}); err != nil {
		t.Errorf("restoring to now: %v", err)
	}
	restore := func(name string, p catalog.PointInTime) {
		t.Helper()
		said := time.UnixMilli(p.Earliest.UnixMilli())
		if !said.Equal(p.Earliest) {
			t.Errorf("got %v as the earliest time; want a multiple of a millisecond", p.Earliest)
		}
		if _, err := r.RestorePointInTime(ctx, "users", name, said, catalog.Overrides{}); err != nil {
			t.Errorf("restoring to the earliest time: %v", err)
		}
	}
	r.time.add(time.Second)
	restore("switched-on", p)
	for n := range 3 {
		r.time.add(25*time.Hour + 300*time.Microsecond)
		r.put("users", user(n))
	}
	r.describe("users") // waits until the index needs no more of what is to be trimmed
	if err := r.sweeper.trim(ctx); err != nil {
		t.Fatal(err)
	}
	later := r.describe("users").PointInTime
	if !later.Earliest.After(p.Earliest) {
		t.Errorf("got %v as the earliest time behind a trim; want one after %v", later.Earliest, p.Earliest)
	}
	restore("trimmed", later)
}

// The log is trimmed between the time to which a copy goes back and the copy: a backup takes a
// later time, a restore is abandoned.
func TestCopiesOfWhatIsNoLongerKept(t *testing.T) {
	r := newRig(t, Options{})
	r.create(users("users"))
	ctx := context.Background()
	if _, err := r.SetPointInTime(ctx, "users", true); err != nil {
		t.Fatal(err)
	}
	r.put("users", user(1))
	r.time.add(time.Hour)
	b := r.backup("users")
	if _, err := r.RestorePointInTime(ctx, "users", "copy", r.time.Now(), catalog.Overrides{}); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		r.time.add(25 * time.Hour)
		r.put("users", user(n))
	}
	r.describe("users") // waits until the index needs no more of what is to be trimmed
	if err := r.sweeper.trim(ctx); err != nil {
		t.Fatal(err)
	}
	if p := r.describe("users").PointInTime; !p.Earliest.After(b.Created) {
		t.Errorf("got earliest %v; want it behind what was trimmed, at %v", p.Earliest, b.Created)
	}
	r.settle()
	_, err := r.Describe("copy")
	wantError(t, err, holdfast.NotFound, "Requested resource not found: Table: copy not found")
	again, err := r.DescribeBackup(b.ID)
	if err != nil || !again.Ready || again.Items != 3 || !again.Created.Equal(r.time.Now()) {
		t.Errorf("got %+v, %v; want it ready, with 3 items, as of now", again, err)
	}
	if _, err := r.Remove(ctx, "users"); err != nil {
		t.Error(err)
	}
	r.settle()
	r.check()
}

func TestTagsOfATableBeingRestoredStay(t *testing.T) {
	r := newRig(t, Options{})
	r.create(users("users"))
	b := r.backup("users")
	r.settle()
	if _, err := r.RestoreBackup(context.Background(), b.ID, "copy", catalog.Overrides{}); err != nil {
		t.Fatal(err)
	}
	jobs := r.worker.jobs()
	if err := r.Tag(context.Background(), "copy", map[string]string{"env": "test"}); err != nil {
		t.Fatal(err)
	}
	for _, j := range jobs {
		if err := j.run(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	r.settle()
	if d := r.describe("copy"); d.Tags["env"] != "test" || d.Status != catalog.Active {
		t.Errorf("got %+v; want it active with its tag", d)
	}
}
