package shard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Which values Pebble keeps apart from their keys, in blob files (docs/decisions/0032): those of the
// shards' own keys, most of which are changes with their before-images. Nothing overwrites a change,
// so a compaction that moved it would move it for nothing.
const (
	// bytes; a smaller value costs a compaction little more than a reference to it would
	blobValueBytes = 256
	// A compaction whose tables would refer to more blob files than these for a place in the keys
	// writes new ones, with what is left of the values.
	blobDepth = 10
	// Pebble must not rewrite a blob file because this part of all values is unused. A rewrite that
	// fails is repeated at once and without end, and each leaves an open file and what it has
	// written; one that meets a damaged block ends the process. The space comes back with the last
	// change in the file, since a file has changes of about the same time.
	blobGarbage = 1
)

// separate has Pebble keep values apart from their keys.
func (e *engine) separate(o *pebble.Options) {
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		is := pebble.ValueSeparationPolicy{
			Enabled: true, MinimumSize: blobValueBytes, MaxBlobReferenceDepth: blobDepth,
			TargetGarbageRatio: blobGarbage,
		}
		if e.reclaiming.Load() > 0 {
			is.MaxBlobReferenceDepth = 0
		}
		return is
	}
	first, end := keys{shard: records + 1}.ofShard(nil, 0), []byte{byte(bySpace)}
	o.Experimental.SpanPolicyFunc = func(start []byte) (pebble.SpanPolicy, []byte, error) {
		return spanPolicy(start, first, end)
	}
}

// spanPolicy returns whether values are kept apart from start on, and up to where. They are from
// first to end. Records are before that: they live for long, and would keep a blob file with changes
// on disk. A sorted table never goes over such a bound, so there are only two.
func spanPolicy(start, first, end []byte) (is pebble.SpanPolicy, until []byte, err error) {
	inPlace := pebble.SpanPolicy{ValueStoragePolicy: pebble.ValueStorageLowReadLatency}
	switch {
	case string(start) < string(first):
		return inPlace, first, nil
	case string(start) < string(end):
		return pebble.SpanPolicy{}, end, nil
	}
	return inPlace, nil, nil
}

// The names of Pebble's files with keys and values.
const (
	tableSuffix = ".sst"
	blobSuffix  = ".blob"
)

func isSorted(name string) bool { return strings.HasSuffix(filepath.Base(name), tableSuffix) }

func isBlob(name string) bool { return strings.HasSuffix(filepath.Base(name), blobSuffix) }

func blobName(num uint64) string { return fmt.Sprintf("%06d%s", num, blobSuffix) }

// A blobFS is what Pebble has between it and the disk because of its blob files. Pebble panics if a
// blob file isn't there, or has no footer, when it is opened; it may panic too if a blob file can't
// be written, and in any case leaves it on the disk. So
//
//   - an open of a blob file looks at its footer, and fails with a blobDamage, which Pebble returns
//     to the reader like an error of the disk;
//   - a write to a blob file never fails. What follows is not written, and the sorted table with the
//     references to it fails when it is synced, which is later. Then Pebble drops and repeats the
//     flush or compaction, and removes all of its files. Until this one is removed other tables
//     fail, too, as it isn't known to which of them it belongs; they are repeated as well.
type blobFS struct {
	vfs.FS
	mu        sync.Mutex       // guards unwritten
	unwritten map[string]error // why blob files weren't written, by path, until they are removed
}

// Unwrap implements vfs.FS.
func (b *blobFS) Unwrap() vfs.FS { return b.FS }

// Create implements vfs.FS.
func (b *blobFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := b.FS.Create(name, category)
	switch {
	case err != nil:
		return f, err
	case isBlob(name):
		return &blobFile{File: newPiecedFile(f), fs: b, path: name}, nil
	case isSorted(name):
		return &sortedFile{File: newPiecedFile(f), fs: b}, nil
	}
	return f, nil
}

// Remove implements vfs.FS.
func (b *blobFS) Remove(name string) error {
	if isBlob(name) {
		b.mu.Lock()
		delete(b.unwritten, name)
		b.mu.Unlock()
	}
	return b.FS.Remove(name)
}

// Open implements vfs.FS.
func (b *blobFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := b.FS.Open(name, opts...)
	if !isBlob(name) {
		return f, err
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, &blobDamage{name, "is missing"} // without the cause, for which Pebble would look
	}
	if err != nil {
		return nil, err
	}
	if err := checkFooter(name, f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// fail notes that a blob file wasn't written.
func (b *blobFS) fail(path string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.unwritten == nil {
		b.unwritten = map[string]error{}
	}
	if b.unwritten[path] == nil {
		b.unwritten[path] = err
	}
}

// failed returns why a blob file wasn't written; nil: all were.
func (b *blobFS) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for path, err := range b.unwritten {
		return fmt.Errorf("%s wasn't written: %w", path, err)
	}
	return nil
}

// A blobFile is a blob file that is being written, by one goroutine at a time.
type blobFile struct {
	vfs.File
	fs   *blobFS
	path string
	bad  bool
}

// try does something that may fail, unless something has failed before.
func (f *blobFile) try(do func() error) {
	if f.bad {
		return
	}
	if err := do(); err != nil {
		f.bad = true
		f.fs.fail(f.path, err)
	}
}

// Write implements vfs.File.
func (f *blobFile) Write(p []byte) (int, error) {
	f.try(func() error {
		_, err := f.File.Write(p)
		return err
	})
	return len(p), nil
}

// Preallocate implements vfs.File.
func (f *blobFile) Preallocate(offset, length int64) error {
	f.try(func() error { return f.File.Preallocate(offset, length) })
	return nil
}

// Sync implements vfs.File.
func (f *blobFile) Sync() error {
	f.try(f.File.Sync)
	return nil
}

// SyncData implements vfs.File.
func (f *blobFile) SyncData() error {
	f.try(f.File.SyncData)
	return nil
}

// SyncTo implements vfs.File.
func (f *blobFile) SyncTo(length int64) (full bool, err error) {
	f.try(func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, nil
}

// Close implements vfs.File.
func (f *blobFile) Close() error {
	if err := f.File.Close(); err != nil && !f.bad {
		f.bad = true
		f.fs.fail(f.path, err)
	}
	return nil
}

// A sortedFile is a sorted table that is being written. It is synced once the blob file whose values
// it refers to is complete.
type sortedFile struct {
	vfs.File
	fs *blobFS
}

// Sync implements vfs.File.
func (f *sortedFile) Sync() error {
	if err := f.fs.failed(); err != nil {
		return err
	}
	return f.File.Sync()
}

// SyncData implements vfs.File.
func (f *sortedFile) SyncData() error {
	if err := f.fs.failed(); err != nil {
		return err
	}
	return f.File.SyncData()
}

// A blobDamage is the error of a blob file that can't be read.
type blobDamage struct{ path, text string }

func (d *blobDamage) Error() string { return d.path + " " + d.text }

// The end of a blob file: a checksum of the rest, the offset and length of the index, the kind of
// checksum, the format, the number and a magic text.
const (
	footerBytes  = 38
	footerIndex  = 4
	footerMagic  = footerBytes - len(blobMagic)
	blobMagic    = "\xf0\x9f\xaa\xb3\xf0\x9f\xa6\x80"
	trailerBytes = 5 // behind each block of Pebble's
)

// checkFooter returns an error if a blob file doesn't end as one does.
func checkFooter(path string, f vfs.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < footerBytes {
		return &blobDamage{path, fmt.Sprintf("is cut: it has %d bytes", info.Size())}
	}
	var footer [footerBytes]byte
	if _, err := f.ReadAt(footer[:], info.Size()-footerBytes); err != nil {
		return err
	}
	le := binary.LittleEndian
	offset, length := le.Uint64(footer[footerIndex:]), le.Uint64(footer[footerIndex+8:])
	rest := uint64(info.Size() - footerBytes)
	if string(footer[footerMagic:]) != blobMagic || le.Uint32(footer[:]) != chunkSum(footer[footerIndex:]) ||
		offset > rest || length > rest || offset+length+trailerBytes != rest {
		return &blobDamage{path, "is damaged at its end"}
	}
	return nil
}

// isDamage reports whether an error is, or was caused by, that of a blob file that can't be read.
func isDamage(err error) bool {
	var damage *blobDamage
	return errors.As(err, &damage)
}
