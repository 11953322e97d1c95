package table

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"holdfast"
	"holdfast/catalog"
)

func TestRemoveDespiteCrashes(t *testing.T) {
	for crashAfter := range 3 {
		t.Run(fmt.Sprint(crashAfter), func(t *testing.T) {
			r := newRig(t, Options{ShardsPerTable: 2})
			r.create(users("users"))
			r.create(users("others"))
			for i := range 20 {
				r.put("users", user(i))
				r.put("others", user(i))
			}
			parts := r.catalog.Contents().Tables["users"].Shards
			d, err := r.Remove(context.Background(), "users")
			if err != nil || d.Status != catalog.Deleting || len(d.Indexes) != 0 {
				t.Errorf("got %+v, %v; want it deleting, without global indexes", d, err)
			}
			r.step(crashAfter)
			r.crash()
			r.check()
			if _, err := r.tables.serving("users"); !errors.Is(err, holdfast.NotFound) ||
				err.Error() != "Requested resource not found" {
				t.Errorf("got %v; want it not found", err)
			}
			r.settle()
			_, err = r.Describe("users")
			wantError(t, err, holdfast.NotFound, "Requested resource not found: Table: users not found")
			if len(r.catalog.Contents().Removed) != 0 {
				t.Errorf("got %d removed tables; want 0", len(r.catalog.Contents().Removed))
			}
			r.create(users("users"))
			if got := r.items("users", ""); len(got) != 0 {
				t.Errorf("created again: got %d items; want 0", len(got))
			}
			for _, p := range r.catalog.Contents().Tables["users"].Shards {
				if p.ID <= parts[len(parts)-1].ID {
					t.Errorf("got shard %d again", p.ID)
				}
			}
			if got := r.items("others", ""); len(got) != 20 {
				t.Errorf("the other table: got %d items; want 20", len(got))
			}
		})
	}
}

func TestRemoveRefuses(t *testing.T) {
	r := newRig(t, Options{})
	d, attributes := users("users")
	d.DeletionProtection = true
	r.create(d, attributes)
	_, err := r.Remove(context.Background(), "users")
	wantError(t, err, holdfast.Invalid, "Resource cannot be deleted as it is currently protected against deletion. "+
		"Disable deletion protection first.")
	off := false
	r.alter(catalog.Alteration{Table: "users", DeletionProtection: &off})
	r.describe("users")
	if _, err := r.Remove(context.Background(), "users"); err != nil {
		t.Error(err)
	}
	_, err = r.Remove(context.Background(), "users")
	wantError(t, err, holdfast.NotFound, "Requested resource not found: Table: users not found")
}

// What a removed table held leaves the disk, and the log that it filled does, too.
func TestRemovedGivesSpaceBack(t *testing.T) {
	r := newRig(t, Options{})
	r.create(users("users"))
	for i := range 20 {
		r.put("users", user(i))
	}
	logs := func() (names []string) {
		all, err := r.fs.List("data/pebble")
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(all) // a memory disk lists in any order
		return slices.DeleteFunc(all, func(name string) bool { return !strings.HasSuffix(name, ".log") })
	}
	filled := logs()
	if _, err := r.Remove(context.Background(), "users"); err != nil {
		t.Fatal(err)
	}
	if err := r.worker.reclaimer.reclaim(t.Context()); err != nil || !slices.Equal(logs(), filled) {
		t.Errorf("before anything was dropped: got %v, and logs %v; want those of before, %v", err, logs(), filled)
	}
	r.settle()
	if err := r.worker.reclaimer.reclaim(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range logs() {
		if slices.Contains(filled, name) {
			t.Errorf("got log %s; want it removed", name)
		}
	}
	if err := r.worker.reclaimer.reclaim(t.Context()); err != nil || r.worker.reclaimer.due.Load() {
		t.Errorf("got %v, and more to reclaim: %v; want no more after the second time", err, r.worker.reclaimer.due.Load())
	}
}
