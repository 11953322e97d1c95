package shard

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast"
)

// largeFormer makes a directory of format 1 in /data with so many shards, each of which takes about
// as many bytes of the disk. Their items, which nothing decodes, share sorted tables with those of
// the neighbours, and a start doesn't compact them.
func largeFormer(t *testing.T, o Options, shards, bytes int) (all []Descriptor) {
	t.Helper()
	rng := rand.NewChaCha8([32]byte{8})
	s := openPlain(t, o)
	value := make([]byte, 2000)
	for half := range 2 {
		b := s.engine.db.NewBatch()
		for id := range shards {
			for n := half; n < bytes/len(value); n += 2 {
				_, _ = rng.Read(value)
				key := binary.BigEndian.AppendUint64(formerKeys{holdfast.ShardID(id + 1)}.prefix(formerItem), uint64(n))
				if err := b.Set(key, value, nil); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := errors.Join(b.Commit(pebble.Sync), b.Close(), s.engine.db.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.engine.db.Compact(bg, []byte{0}, []byte{1}, false), s.Close()); err != nil {
		t.Fatal(err)
	}
	for id := range shards {
		all = append(all, Descriptor{ID: holdfast.ShardID(id + 1), Space: holdfast.SpaceID(id + 1)})
	}
	return all
}

// A takeover needs disk space for a second copy of one shard: the next one has what the former keys of
// the one before took, but for sorted tables with keys of both. Its tables go to the bottom of the
// tree, so that no compaction copies them again.
func TestTakeoverGivesSpaceBack(t *testing.T) {
	const shards, bytes, held = 10, 60 << 20, 32 << 20 // of held, tables with keys of two shards have half
	fs := &smallFS{FS: vfs.NewMem()}
	fs.size.Store(1 << 30)
	o := memOptions(fs)
	o.tableBytes, o.MemTableBytes = 1<<20, 1<<20
	descriptors := largeFormer(t, o, shards, bytes/shards)
	s := openPlain(t, o)
	s.engine.db.TestOnlyWaitForCleaning()
	free := fs.free()
	for _, d := range descriptors {
		if _, err := s.Open(d, Schema{Key: testSchema().Key}); err != nil {
			t.Fatal(err)
		}
		s.engine.db.TestOnlyWaitForCleaning()
		if more := free - fs.free(); more > held {
			t.Fatalf("after shard %d of %d: got %d bytes more on disk than before; want at most %d",
				d.ID, shards, more, held)
		}
	}
	m := s.engine.db.Metrics()
	if n := m.Levels[0].TablesIngested; n > 0 || m.Levels[6].TablesIngested < bytes>>20 {
		t.Errorf("got %d tables at the top of the tree; want none", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// A takeover that a full disk or a kill has ended goes on in the same disk space: the next start
// gives back what the attempt has left before it looks whether there is enough.
func TestTakeoverGoesOnInItsSpace(t *testing.T) {
	const bytes = 24 << 20
	disk := &smallFS{FS: vfs.NewMem()}
	disk.size.Store(1 << 30)
	o := memOptions(disk)
	o.tableBytes, o.MemTableBytes = 1<<20, 1<<20
	descriptor := largeFormer(t, o, 1, bytes)[0]
	o.ReserveBytes = testReserve
	s := openPlain(t, o)
	s.engine.db.TestOnlyWaitForCleaning()
	needed := int64(testReserve + bytes + bytes/takeoverShare + startBytes)
	disk.other.Store(disk.free() - needed - 4<<20)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var built atomic.Int64
	o.FS = errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpCreate && filepath.Base(filepath.Dir(op.Path)) == buildDir && built.Add(1)%18 == 0 {
			return syscall.ENOSPC
		}
		return nil
	}))
	schema := Schema{Key: testSchema().Key}
	for attempt := range int64(3) {
		s = openPlain(t, o)
		if _, err := s.Open(descriptor, schema); !errors.Is(err, holdfast.Full) || built.Load() != (attempt+1)*18 {
			t.Fatalf("attempt %d: got %v, and %d tables; want that the disk is full at table %d", attempt, err,
				built.Load(), (attempt+1)*18)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	o.FS = disk
	s = openPlain(t, o)
	if _, err := s.Open(descriptor, schema); err != nil {
		t.Fatal(err)
	}
	lower, upper := descriptor.keys().items()
	if got, want := len(within(t, s, lower, upper)), bytes/2000; got != want {
		t.Errorf("got %d items; want %d", got, want)
	}
}
