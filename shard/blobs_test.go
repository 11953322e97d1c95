package shard

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"holdfast"
	"holdfast/item"
)

// blobsOf returns the paths of the blob files in Pebble's directory, in order.
func blobsOf(t testing.TB, fs vfs.FS) (paths []string) {
	t.Helper()
	names, err := fs.List("/data/" + engineDir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	for _, name := range names {
		if isBlob(name) {
			paths = append(paths, "/data/"+engineDir+"/"+name)
		}
	}
	return paths
}

// wantBlobs fails unless there is a blob file: else the test doesn't do what it is for.
func wantBlobs(t testing.TB, fs vfs.FS) {
	t.Helper()
	if len(blobsOf(t, fs)) == 0 {
		t.Error("got no blob file; want one at least")
	}
}

// noise returns a text that doesn't compress, different for each n.
func noise(n, bytes int) string {
	rng := rand.New(rand.NewPCG(uint64(n), 77))
	text := make([]byte, bytes)
	for i := range text {
		text[i] = 'a' + byte(rng.IntN(26))
	}
	return string(text)
}

// version returns an item in its nth version, large enough that the before-image of the next one is
// kept in a blob file.
func version(id string, n, bytes int) item.Item { return thing(id, 0, "v", noise(n, bytes), "of", n) }

// putVersions puts versions of an item, from on up to the one before end, each in a commit.
func putVersions(t testing.TB, s *Store, sh *Shard, id string, from, end, bytes int) {
	t.Helper()
	for n := from; n < end; n++ {
		commitAll(t, s, put(t, sh, version(id, n, bytes)))
	}
}

// versionsOf returns the changes of a shard, in order.
func changesOf(sh *Shard) (all []Change, err error) {
	for at := (holdfast.Position{}); ; {
		some, next, err := sh.Changes(at, Limit{})
		if err != nil || len(some) == 0 {
			return all, err
		}
		all, at = append(all, some...), next
	}
}

// wantVersions fails unless the shard's log has the versions of one item from on up to the one before
// end, each with the one before it.
func wantVersions(t testing.TB, sh *Shard, id string, from, end, bytes int) {
	t.Helper()
	all, err := changesOf(sh)
	if err != nil || len(all) != end-from {
		t.Fatalf("got %d changes, %v; want %d", len(all), err, end-from)
	}
	for i, c := range all {
		n := from + i
		var before item.Item
		if n > 0 {
			before = version(id, n-1, bytes)
		}
		if !c.Before.Equal(before) || !c.After.Equal(version(id, n, bytes)) {
			t.Fatalf("change %d of %d: got other images; want versions %d and %d", i, len(all), n-1, n)
		}
	}
}

// stoppedWithBlobs returns the directory of a store with versions of one item in blob files.
func stoppedWithBlobs(t *testing.T) *stopped {
	r := &stopped{t: t, fs: vfs.NewMem(), boot: "the only start"}
	s := openStore(t, r.options())
	sh := openShard(t, s, 1)
	for n := 0; n < 60; n += 20 {
		putVersions(t, s, sh, "a", n, n+20, 4000)
		if err := s.engine.db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := r.pebble("", blobSuffix); len(got) != 3 {
		t.Fatalf("got blob files %v; want one for each flush", got)
	}
	return r
}

// blobDamages are what can happen to a blob file. unseen says that a start can't see it, since the
// file is as long as it was.
var blobDamages = []struct {
	name   string
	harm   func(r *stopped, path string)
	unseen bool
}{
	{"missing", func(r *stopped, path string) { r.remove(path) }, false},
	{"empty", func(r *stopped, path string) { r.cut(path, 0) }, false},
	{"cut in the middle", func(r *stopped, path string) { r.cut(path, 50) }, false},
	{"without its last byte", func(r *stopped, path string) { p := r.read(path); r.write(path, p[:len(p)-1]) }, false},
	{"with a byte more", func(r *stopped, path string) { r.write(path, append(r.read(path), 0)) }, false},
	{"a bit in the middle", func(r *stopped, path string) { r.flip(path, 50) }, true},
	{"a bit at the beginning", func(r *stopped, path string) { r.flip(path, 0) }, true},
	{"a bit in the index", func(r *stopped, path string) {
		p := r.read(path)
		p[len(p)-footerBytes-trailerBytes-2] ^= 8
		r.write(path, p)
	}, true},
	{"a bit at the end", func(r *stopped, path string) {
		p := r.read(path)
		p[len(p)-footerBytes+10] ^= 8
		r.write(path, p)
	}, true},
	{"the magic text", func(r *stopped, path string) {
		p := r.read(path)
		p[len(p)-1] ^= 8
		r.write(path, p)
	}, true},
	{"nothing but zeros", func(r *stopped, path string) { r.write(path, make([]byte, len(r.read(path)))) }, true},
}

// A blob file that isn't as it was is found by a check, which names it. A start is refused if it
// isn't as long as it was, and a recovery can't help.
func TestDamagedBlobFile(t *testing.T) {
	for _, test := range blobDamages {
		t.Run(test.name, func(t *testing.T) {
			r := stoppedWithBlobs(t)
			path := r.pebble("", blobSuffix)[1]
			test.harm(r, path)
			name := filepath.Base(path)
			if !test.unseen {
				r.refused(name)
				if recovery, _ := r.recover(); !recovery.Unrecoverable {
					t.Errorf("got %+v; want unrecoverable", recovery)
				}
				return
			}
			if faults := strings.Join(r.check(), "\n"); !strings.Contains(faults, "file: "+name) {
				t.Errorf("got %q; want %s named", faults, name)
			}
			s := openStore(t, r.options())
			wantDamage(t, s, openShard(t, s, 1))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// wantDamage fails unless the second of three blob files with 20 versions each is corrupt to those
// who read it, and nothing else is.
func wantDamage(t *testing.T, s *Store, sh *Shard) {
	t.Helper()
	if got, err := sh.Get(bg, keyOf(t, version("a", 0, 1))); err != nil || !got.Equal(version("a", 59, 4000)) {
		t.Errorf("Get: got %v; want the item", err)
	}
	before := s.Stats().CorruptReads
	corrupt := 0
	for n := range 60 {
		at := holdfast.Position{Index: uint64(n + 1)}
		some, _, err := sh.Changes(at, Limit{Changes: 1})
		switch {
		case errors.Is(err, holdfast.Corrupt):
			corrupt++
		case err != nil:
			t.Errorf("version %d: got %v; want a change or corrupt", n, err)
		case len(some) != 1 || !some[0].After.Equal(version("a", n, 4000)):
			t.Errorf("version %d: got another change", n)
		}
	}
	if corrupt == 0 || corrupt > 21 { // the image after a change is before the next one
		t.Errorf("got %d versions corrupt; want those of one file", corrupt)
	}
	if got := s.Stats().CorruptReads - before; got < uint64(corrupt) {
		t.Errorf("got %d corrupt reads counted; want %d", got, corrupt)
	}
	if _, err := changesOf(sh); !errors.Is(err, holdfast.Corrupt) {
		t.Errorf("Changes: got %v; want corrupt", err)
	}
	if _, err := s.Copy(bg, sh, whole(9), time.Unix(1_700_000_000, 0).Add(-time.Hour)); err == nil {
		t.Error("a copy as of a time: got none; want an error")
	}
	commitAll(t, s, put(t, sh, thing("b", 0)))
}

// The same happens to a blob file while the store is open.
func TestBlobFileDamagedInUse(t *testing.T) {
	for _, test := range blobDamages {
		t.Run(test.name, func(t *testing.T) {
			r := stoppedWithBlobs(t)
			o := r.options()
			o.Fatal = func(err error) { t.Errorf("Pebble gave up: %v", err) }
			s := openStore(t, o)
			sh := openShard(t, s, 1)
			test.harm(r, r.pebble("", blobSuffix)[1])
			wantDamage(t, s, sh)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A compaction that needs a damaged blob file fails, and the process goes on, as do commits.
func TestCompactionOfADamagedBlobFile(t *testing.T) {
	for _, test := range blobDamages {
		t.Run(test.name, func(t *testing.T) {
			r := stoppedWithBlobs(t)
			o := r.options()
			o.Fatal = func(err error) { t.Errorf("Pebble gave up: %v", err) }
			s := openStore(t, o)
			sh := openShard(t, s, 1)
			for n := range blobDepth { // so that the values are moved
				putVersions(t, s, sh, "a", 60+n, 61+n, 4000)
				if err := s.engine.db.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			test.harm(r, r.pebble("", blobSuffix)[1])
			err := s.engine.db.Compact(bg, []byte{0}, []byte{255}, false)
			if err != nil && !isDamage(err) && !strings.Contains(err.Error(), "checksum") {
				t.Errorf("got %v; want the damage", err)
			}
			commitAll(t, s, put(t, sh, thing("b", 0)))
			if err := s.engine.db.Flush(); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A blob file can't be made, written or synced, once or some times in a row: what was acknowledged is
// there, the flush is repeated, and nothing of those that failed stays on the disk.
func TestBlobFileNotWritten(t *testing.T) {
	for _, kind := range []errorfs.OpKind{
		errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo,
		errorfs.OpFilePreallocate, errorfs.OpFileClose,
	} {
		for _, times := range []int64{1, 5} {
			for _, after := range []int64{0, 1, 30} {
				t.Run(fmt.Sprint(kind, " ", times, " after ", after), func(t *testing.T) {
					blobNotWritten(t, kind, after, times)
				})
			}
		}
	}
}

func blobNotWritten(t *testing.T, kind errorfs.OpKind, after, times int64) {
	fs := vfs.NewMem()
	var armed atomic.Bool
	var ops atomic.Int64
	o := memOptions(errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if armed.Load() && op.Kind == kind && isBlob(op.Path) {
			if n := ops.Add(1); n > after && n <= after+times {
				return syscall.ENOSPC
			}
		}
		return nil
	})))
	o.Fatal = func(err error) { t.Errorf("Pebble gave up: %v", err) }
	s := openStore(t, o)
	sh := openShard(t, s, 1)
	armed.Store(true)
	putVersions(t, s, sh, "a", 0, 100, 4000)
	if err := s.engine.db.Flush(); err != nil {
		t.Fatal(err)
	}
	armed.Store(false)
	wantVersions(t, sh, "a", 0, 100, 4000)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantBlobs(t, fs)
	r := &stopped{t: t, fs: fs, boot: o.Boot}
	if got, want := blobsOf(t, fs), r.inspect().blobs.all(); len(got) != len(want) {
		t.Errorf("got blob files %v; want %d, those that are needed", got, len(want))
	}
	checkStore(t, memOptions(fs), 1)
}

// blobBytes returns how many bytes the blob files have.
func blobBytes(t testing.TB, fs vfs.FS) (sum int64) {
	t.Helper()
	small := &smallFS{FS: fs}
	for _, path := range blobsOf(t, fs) {
		sum += small.sum(path)
	}
	return sum
}

// wantBlobBytes waits until the blob files have no more bytes than those. Pebble removes files in the
// background.
func wantBlobBytes(t testing.TB, fs vfs.FS, most int64) {
	t.Helper()
	eventually(t, fmt.Sprint("blob files have ", most, " bytes at most"),
		func() bool { return blobBytes(t, fs) <= most })
}

// While changes are made and trimmed, the disk space of those that were trimmed comes back: however
// long that goes on, blob files take at most some times as much as the changes that are left.
func TestTrimGivesBlobFilesBack(t *testing.T) {
	fs := vfs.NewMem()
	o := memOptions(fs)
	now := newClock()
	o.Now, o.LogAge, o.MemTableBytes = now.read, 10*time.Minute, 256<<10
	s := openStore(t, o)
	shards := []*Shard{openShard(t, s, 1), openShard(t, s, 2), openShard(t, s, 3)}
	const rounds, each, bytes = 100, 20, 4000
	for round := range rounds {
		for _, sh := range shards {
			putVersions(t, s, sh, "a", round*each, (round+1)*each, bytes)
		}
		now.advance(time.Minute)
		if err := s.Trim(bg); err != nil {
			t.Fatal(err)
		}
	}
	logged := s.Stats().LogBytes
	if logged > 11*3*each*(bytes+200) {
		t.Fatalf("got %d bytes of changes; want those of ten minutes", logged)
	}
	wantBlobs(t, fs)
	wantBlobBytes(t, fs, 3*logged)
	for _, sh := range shards {
		all, err := changesOf(sh)
		if err != nil || len(all) < 9*each {
			t.Fatalf("got %d changes, %v; want those of ten minutes", len(all), err)
		}
		for i, c := range all {
			if n := rounds*each - len(all) + i; !c.Before.Equal(version("a", n-1, bytes)) {
				t.Fatalf("change %d of %d: got another item before; want version %d", i, len(all), n-1)
			}
		}
	}
}

// Two shards have their changes in the same blob files. Once one of them was dropped and reclaimed,
// the files have next to nothing but what the other one has.
func TestDropGivesBlobFilesBack(t *testing.T) {
	fs := vfs.NewMem()
	s := openStore(t, memOptions(fs))
	one, other := openShard(t, s, 1), openShard(t, s, 2)
	const rounds, each, bytes = 6, 20, 10_000
	for round := range rounds {
		for _, sh := range []*Shard{one, other} {
			putVersions(t, s, sh, "a", round*each, (round+1)*each, bytes)
		}
		if err := s.engine.db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	const half = rounds * each * bytes * 8 / 10 // as far as 26 letters can be compressed
	if got := blobBytes(t, fs); got < 2*half*8/10 {
		t.Fatalf("got %d bytes of blob files; want those of two shards", got)
	}
	if err := s.Drop(whole(1)); err != nil {
		t.Fatal(err)
	}
	for _, more := range []bool{true, false} {
		if got, err := s.Reclaim(bg); err != nil || got != more {
			t.Fatalf("got %v, %v; want %v", got, err, more)
		}
	}
	wantBlobBytes(t, fs, half*13/10)
	wantVersions(t, other, "a", 0, rounds*each, bytes)
}

// Only a shard's own values are in blob files, and only large ones: items and records aren't.
func TestValuesInPlace(t *testing.T) {
	fs := vfs.NewMem()
	s := openStore(t, memOptions(fs))
	sh := openShard(t, s, 1)
	record := Record{Name: "r", Value: []byte(noise(1, 10_000))}
	if err := s.SaveRecords(bg, []Record{record}, false); err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		commitAll(t, s, put(t, sh, thing("a", n, "v", noise(n, 10_000))))
	}
	putVersions(t, s, sh, "small", 0, 10, 100)
	if err := s.engine.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.engine.db.Compact(bg, []byte{0}, []byte{255}, false); err != nil {
		t.Fatal(err)
	}
	if got := blobsOf(t, fs); len(got) > 0 {
		t.Errorf("got blob files %v; want none", got)
	}
}

// The space that a store takes is counted with its blob files, also those that were there when it was
// opened.
func TestDiskBytesOfBlobFiles(t *testing.T) {
	r := stoppedWithBlobs(t)
	s := openStore(t, r.options())
	if got, want := s.Stats().DiskBytes, blobBytes(t, r.fs); got < want || got > want+1<<20 {
		t.Errorf("got %d bytes; want the %d of blob files, and those of a few small files", got, want)
	}
	if err := s.Drop(whole(1)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.Reclaim(bg); err != nil {
			t.Fatal(err)
		}
	}
	wantBlobBytes(t, r.fs, 0)
	if got := s.Stats().DiskBytes; got < 0 || got > 1<<20 {
		t.Errorf("got %d bytes without blob files; want those of a few small files", got)
	}
}
