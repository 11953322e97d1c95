package shard

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

// A smallFS is a memory disk of limited size, of which other programs take something.
type smallFS struct {
	vfs.FS
	size  atomic.Int64
	other atomic.Int64
}

func (s *smallFS) free() int64 { return s.size.Load() - s.other.Load() - s.sum("/data") }

func (s *smallFS) sum(name string) int64 {
	info, err := s.FS.Stat(name)
	if err != nil {
		return 0
	}
	if !info.IsDir() {
		return info.Size()
	}
	names, _ := s.FS.List(name)
	bytes := int64(0)
	for _, child := range names {
		bytes += s.sum(name + "/" + child)
	}
	return bytes
}

func (s *smallFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: uint64(max(0, s.free())), TotalBytes: uint64(s.size.Load())}, nil
}

func (s *smallFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.Create(name, category)
	return &smallFile{File: f, fs: s}, err
}

func (s *smallFS) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.ReuseForWrite(old, name, category)
	return &smallFile{File: f, fs: s}, err
}

func (s *smallFS) Unwrap() vfs.FS { return s.FS }

type smallFile struct {
	vfs.File
	fs *smallFS
}

func (f *smallFile) Write(p []byte) (int, error) {
	if f.fs.free() < int64(len(p)) {
		return 0, syscall.ENOSPC
	}
	return f.File.Write(p)
}

func (f *smallFile) Preallocate(int64, int64) error { return errors.ErrUnsupported }

const testReserve = 8 << 20

// openSmall opens a store on a disk of 30 MiB. Its clock stands still, so that only what commits
// write leads to a look at the disk.
func openSmall(t *testing.T) (*smallFS, *Store, *Shard) {
	return openSmallAt(t, newClock().read)
}

func openSmallAt(t *testing.T, now func() time.Time) (*smallFS, *Store, *Shard) {
	fs := &smallFS{FS: vfs.NewMem()}
	fs.size.Store(30 << 20)
	o := memOptions(fs)
	o.ReserveBytes = testReserve
	o.Now = now
	o.Fatal = func(err error) { t.Errorf("Pebble gave up: %v", err) }
	s := openStore(t, o)
	return fs, s, openShard(t, s, 1)
}

func big(n int) item.Item { return thing("big", n, "v", strings.Repeat("x", 100_000)) }

// When the disk fills up, commits are refused, while reads and removals go on; when there is space
// again, so do commits.
func TestFullDisk(t *testing.T) {
	fs, s, sh := openSmall(t)
	n := 0
	var err error
	for ; n < 1000 && err == nil; n++ {
		_, err = s.Commit(bg, Commit{Writes: []Write{put(t, sh, big(n))}})
	}
	if !errors.Is(err, holdfast.Full) {
		t.Fatalf("got %v after %d commits; want full", err, n)
	}
	if free := fs.free(); free < testReserve {
		t.Errorf("got %d bytes free; want the reserve of %d untouched", free, testReserve)
	}
	if _, err := fs.Stat("/data/" + ballastName); err != nil {
		t.Errorf("got %v; want the ballast still there", err)
	}
	if got, err := sh.Get(bg, keyOf(t, big(0))); err != nil || !got.Equal(big(0)) {
		t.Errorf("got an error %v; want reads to go on", err)
	}
	if got, err := sh.Get(bg, keyOf(t, big(n-1))); err != nil || got != nil {
		t.Errorf("got an item, %v; want nothing of what was refused", err)
	}
	if err := s.SaveRecords(bg, []Record{{Name: "r", Value: []byte("v")}}, false); !errors.Is(err, holdfast.Full) {
		t.Errorf("records: got %v; want full", err)
	}
	if err := s.SaveRecords(bg, []Record{{Name: "r"}}, true); err != nil {
		t.Errorf("got %v; want a removal to be taken", err)
	}
	if !s.Stats().Full {
		t.Error("got space in Stats; want none")
	}
	if err := s.engine.db.Flush(); err != nil {
		t.Errorf("got %v; want a flush to have space", err)
	}
	fs.other.Add(1 << 30)
	if _, err := s.Copy(bg, sh, whole(9), time.Time{}); !errors.Is(err, holdfast.Full) {
		t.Errorf("Copy: got %v; want full", err)
	}
	fs.other.Store(0)
	fs.size.Add(30 << 20)
	commitAll(t, s, put(t, sh, big(n)))
}

// Another program fills the disk to the last byte, which nobody has noticed when the next commit
// comes: the ballast has space for it. Flushes fail and are repeated. Nothing that was acknowledged
// is lost.
func TestFullDiskByOthers(t *testing.T) {
	fs, s, sh := openSmall(t)
	over := func(n int) Write { return put(t, sh, version("over", n, 2000)) } // its before-images go to blob files
	commitAll(t, s, put(t, sh, thing("a", 0)), over(0))
	fs.other.Add(fs.free())
	acknowledged := 0
	var err error
	for i := 1; i < 1000 && err == nil; i++ {
		if _, err = s.Commit(bg, Commit{Writes: []Write{put(t, sh,
			thing("a", i, "v", strings.Repeat("x", 1000))), over(i)}}); err == nil {
			acknowledged = i
		}
	}
	if !errors.Is(err, holdfast.Full) || acknowledged == 0 {
		t.Fatalf("got %v after %d commits; want some, and then full", err, acknowledged)
	}
	fs.other.Store(0)
	commitAll(t, s, put(t, sh, thing("b", 0)))
	if _, err := fs.Stat("/data/" + ballastName); err != nil {
		t.Errorf("got %v; want the ballast made anew", err)
	}
	if err := errors.Join(s.engine.db.Flush(), s.Close()); err != nil {
		t.Fatal(err)
	}
	wantBlobs(t, fs)
	if got := checkStore(t, memOptions(fs.FS), 1); got.Items != int64(acknowledged)+3 {
		t.Errorf("got %d items; want %d", got.Items, acknowledged+3)
	}
}

// Another program takes half of the reserve. Small commits, which alone would lead to no look for
// long, are refused once the last look is old; so they are after the next look when the program has
// left.
func TestReserveTakenByOthers(t *testing.T) {
	now := newClock()
	fs, s, sh := openSmallAt(t, now.read)
	commitAll(t, s, put(t, sh, thing("a", 0)))
	fs.other.Add(fs.free() - testReserve/2)
	for i := range 12 {
		now.advance(time.Second)
		if _, err := s.Commit(bg, Commit{Writes: []Write{put(t, sh, thing("a", i+1))}}); !errors.Is(err, holdfast.Full) {
			t.Fatalf("commit %d: got %v; want full", i, err)
		}
	}
	if got := s.Space(); !got.Full || got.FreeBytes != testReserve/2 || got.ReserveBytes != testReserve {
		t.Errorf("got %+v; want full, with half of the reserve free", got)
	}
	fs.other.Store(0)
	now.advance(time.Second)
	commitAll(t, s, put(t, sh, thing("a", 1)))
	if s.Space().Full {
		t.Error("got full; want space again")
	}
}

// A preallocatedFile counts what it is asked to preallocate.
type preallocatedFile struct {
	vfs.File
	bytes *int64
}

func (f preallocatedFile) Preallocate(_, length int64) error {
	*f.bytes += length
	return nil
}

// The log is preallocated in large pieces, which must not come from the reserve. Other files are
// made as they are asked for.
func TestPreallocationSparesTheReserve(t *testing.T) {
	fs, s, _ := openSmall(t)
	spare := fs.free() - testReserve
	for _, test := range []struct {
		name         string
		length, want int64
	}{
		{"000009.log", spare, spare}, {"000009.log", spare + 1, 0}, {"000009.sst", spare + 1, spare + 1},
		{"000009.blob", spare + 1, spare + 1},
	} {
		var got int64
		inner, err := fs.FS.Create("/elsewhere", vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		f, err := s.engine.fs.(*watchedFS).FS.(*guardedFS).sparing(test.name, preallocatedFile{inner, &got}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Preallocate(0, test.length); err != nil || got != test.want {
			t.Errorf("%s, %d bytes of %d that may be taken: got %d, %v; want %d", test.name, test.length, spare, got, err,
				test.want)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// damage flips a bit in the middle of the largest sorted table.
func damage(t *testing.T, fs *vfs.MemFS) {
	t.Helper()
	names, err := fs.List("/data/pebble")
	if err != nil {
		t.Fatal(err)
	}
	var largest []byte
	for _, name := range names {
		if isSorted(name) {
			data, err := fs.UnsafeGetFileDataBuffer("/data/pebble/" + name)
			if err != nil {
				t.Fatal(err)
			}
			if len(data) > len(largest) {
				largest = data
			}
		}
	}
	if largest == nil {
		t.Fatal("got no table; want one")
	}
	largest[len(largest)/2] ^= 4 // among the items
}

// A block whose checksum is wrong is reported as corrupt, and not served; the others are. The
// process goes on.
func TestCorruptBlock(t *testing.T) {
	const n = 2000
	fs := vfs.NewMem()
	o := memOptions(fs)
	o.Fatal = func(err error) { t.Errorf("Pebble gave up: %v", err) }
	s := openStore(t, o)
	sh := openShard(t, s, 1)
	var writes []Write
	for i := range n {
		writes = append(writes, put(t, sh, thing(fmt.Sprint("id", i), i, "v", fmt.Sprintf("%0200d", i*i))))
	}
	commitAll(t, s, writes...)
	if err := errors.Join(s.engine.db.Flush(), s.Close()); err != nil {
		t.Fatal(err)
	}
	damage(t, fs)
	s = openStore(t, o)
	sh = openShard(t, s, 1)
	corrupt := 0
	for i := range n {
		got, err := sh.Get(bg, writes[i].Key)
		switch {
		case errors.Is(err, holdfast.Corrupt):
			corrupt++
		case err != nil || got == nil:
			t.Fatalf("got %v, %v; want an item or corrupt", got, err)
		}
	}
	if corrupt == 0 || corrupt > n/10 {
		t.Errorf("got %d items corrupt; want those of one block", corrupt)
	}
	c, err := sh.Cursor(bg, Span{})
	if err != nil {
		t.Fatal(err)
	}
	for c.Next() {
	}
	if !errors.Is(c.Err(), holdfast.Corrupt) {
		t.Errorf("cursor: got %v; want corrupt", c.Err())
	}
	_ = c.Close()
	if got := s.Stats().CorruptReads; got < uint64(corrupt) {
		t.Errorf("got %d corrupt reads counted; want %d", got, corrupt)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var faults []Fault
	if _, err := Check(bg, memOptions(fs), func(*Store) (map[holdfast.ShardID]Schema, error) {
		return map[holdfast.ShardID]Schema{1: testSchema()}, nil
	}, nil, func(f Fault) { faults = append(faults, f) }); err != nil {
		t.Fatal(err)
	}
	if len(faults) == 0 || faults[0].Kind != "file" {
		t.Errorf("got %v; want a file's fault", faults)
	}
}

// A store whose manifest, or whose acknowledged part of Pebble's log, is damaged doesn't open, and
// reports why.
func TestCorruptAtOpen(t *testing.T) {
	for _, of := range []struct {
		file string
		is   func(name string) bool
	}{
		{"manifest", func(name string) bool { return strings.HasPrefix(name, "MANIFEST") }},
		{"log", func(name string) bool { return strings.HasSuffix(name, ".log") }},
	} {
		t.Run(of.file, func(t *testing.T) {
			fs := vfs.NewMem()
			s := openStore(t, memOptions(fs))
			sh := openShard(t, s, 1)
			for i := range 100 {
				commitAll(t, s, put(t, sh, thing("a", i, "v", strings.Repeat("x", 2000))))
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			names, _ := fs.List("/data/pebble")
			for _, name := range names {
				if of.is(name) {
					data, _ := fs.UnsafeGetFileDataBuffer("/data/pebble/" + name)
					data[len(data)/2] ^= 0x10
				}
			}
			if _, err := Open(memOptions(fs)); !errors.Is(err, holdfast.Corrupt) {
				t.Errorf("got %v; want corrupt", err)
			}
		})
	}
}

// A start on a disk where the log has no space to become sorted tables reports that. Pebble alone
// would try for ever.
func TestStartOnAFullDisk(t *testing.T) {
	fs, s, sh := openSmall(t)
	for n := range 60 {
		commitAll(t, s, put(t, sh, big(n)))
	}
	crashed := &smallFS{FS: fs.FS} // the files as they are, whatever is done with the store
	crashed.size.Store(fs.size.Load())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	crashed.other.Store(crashed.free() - 1<<20)
	o := memOptions(crashed)
	o.ReserveBytes = testReserve
	if again, err := Open(o); !errors.Is(err, holdfast.Full) {
		t.Fatalf("got %v, %v; want full", again, err)
	}
	crashed.other.Store(0)
	again := openStore(t, o)
	if got, err := openShard(t, again, 1).Get(bg, keyOf(t, big(59))); err != nil || !got.Equal(big(59)) {
		t.Errorf("got an error %v; want what was acknowledged", err)
	}
}

// A directory that has something else in it is left as it is, and one that another store uses, too.
func TestDirectoriesOfOthers(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll("/data/"+buildDir+"/of somebody", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(memOptions(fs)); err == nil || !strings.Contains(err.Error(), "no tables") {
		t.Errorf("got %v; want that it isn't ours", err)
	}
	if _, err := fs.Stat("/data/" + buildDir + "/of somebody"); err != nil {
		t.Errorf("got %v; want what was there left alone", err)
	}
	dir := t.TempDir()
	o := Options{Dir: dir, ReserveBytes: 1 << 20}
	s := openStore(t, o)
	if err := os.WriteFile(filepath.Join(dir, buildDir, "a copy under way"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(o); !errors.Is(err, holdfast.Unavailable) {
		t.Errorf("got %v; want that it is in use", err)
	}
	if _, err := os.Stat(filepath.Join(dir, buildDir, "a copy under way")); err != nil {
		t.Errorf("got %v; want the other's files left alone", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openStore(t, o)
}
