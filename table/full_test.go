package table

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/catalog"
	"holdfast/shard"
)

// A boundedFS is a memory disk that reports so much free space.
type boundedFS struct {
	vfs.FS
	free atomic.Uint64
}

func (b *boundedFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: b.free.Load(), TotalBytes: 1 << 40}, nil
}

func (b *boundedFS) Unwrap() vfs.FS { return b.FS }

// newFullRig returns a rig on a disk of which 40 MiB are the reserve, with space beyond it.
func newFullRig(t *testing.T) (*rig, *boundedFS) {
	fs := &boundedFS{FS: vfs.NewMem()}
	fs.free.Store(1 << 30)
	r := &rig{t: t, time: &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}}
	disk, err := shard.Open(shard.Options{Dir: "data", FS: fs, Now: r.time.Now, ReserveBytes: 40 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = disk.Close() })
	if r.Store, err = newStore(context.Background(), Options{Disk: disk, Now: r.time.Now}); err != nil {
		t.Fatal(err)
	}
	return r, fs
}

// On a full disk whatever changes the catalog is refused and leaves it as it was, except for what
// gives space back: that may use the reserve, with all its steps, but not its last bytes.
func TestCatalogOnAFullDisk(t *testing.T) {
	r, fs := newFullRig(t)
	for _, name := range []string{"users", "gone", "last"} {
		d, attributes := users(name)
		r.create(d, attributes)
	}
	b := r.backup("users")
	r.setTTL(catalog.TTL{On: true, Attr: "until"})
	r.settle()
	r.setTTL(catalog.TTL{Attr: "until"}) // its queue is to be emptied
	fs.free.Store(25 << 20)
	r.time.add(time.Second) // the last look at the disk is old

	bg := context.Background()
	d, attributes := users("new")
	on := true
	calls := map[string]func() error{
		"CreateTable": func() error { _, err := r.Create(bg, d, attributes); return err },
		"UpdateTable": func() error {
			_, err := r.Alter(bg,
				catalog.Alteration{Table: "users", DeletionProtection: &on})
			return err
		},
		"TagResource":        func() error { return r.Tag(bg, "users", map[string]string{"a": "b"}) },
		"UpdateTimeToLive":   func() error { return r.SetTTL(bg, "users", catalog.TTL{On: true, Attr: "until"}) },
		"CreateBackup":       func() error { _, err := r.Backup(bg, "users", "another"); return err },
		"RestoreTable":       func() error { _, err := r.RestoreBackup(bg, b.ID, "new", catalog.Overrides{}); return err },
		"PointInTimeRestore": func() error { _, err := r.SetPointInTime(bg, "users", true); return err },
	}
	for what, call := range calls {
		if err := call(); !errors.Is(err, holdfast.Full) {
			t.Errorf("%s: got %v; want full", what, err)
		}
	}
	if got := r.describe("users"); len(got.Tags) != 0 || got.DeletionProtection || got.TTL.On {
		t.Errorf("got %+v; want the table as it was", got)
	}

	if _, err := r.Remove(bg, "gone"); err != nil {
		t.Errorf("DeleteTable: got %v; want it done", err)
	}
	if _, err := r.DeleteBackup(bg, b.ID); err != nil {
		t.Errorf("DeleteBackup: got %v; want it done", err)
	}
	r.settle()
	if n := len(r.catalog.Contents().Removed); n != 0 {
		t.Errorf("got %d removals under way; want none", n)
	}

	fs.free.Store(1 << 20)
	if _, err := r.Remove(bg, "last"); !errors.Is(err, holdfast.Full) {
		t.Errorf("DeleteTable with 1 MiB free: got %v; want full", err)
	}
	if got := r.describe("last"); got.Status != catalog.Active {
		t.Errorf("got %v; want the table as it was", got.Status)
	}
	fs.free.Store(1 << 30)
	r.time.add(time.Second)
	r.create(d, attributes)
	if _, err := r.Remove(bg, "last"); err != nil {
		t.Error(err)
	}
}
