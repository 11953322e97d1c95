package shard

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var errTooManyLogs = fmt.Errorf("pebble has more than %d logs", maxLogs)

// The names of Pebble's files.
const (
	logSuffix      = ".log"
	manifestPrefix = "MANIFEST-"
	markerManifest = "marker.manifest."
	markerFormat   = "marker.format-version."
)

// logNumber returns the number of a log's file name.
func logNumber(name string) (num uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, logSuffix)
	if !ok {
		return 0, false
	}
	num, err := strconv.ParseUint(digits, 10, 64)
	return num, err == nil
}

// manifestNumber returns the number of a manifest's file name.
func manifestNumber(name string) (num uint64, ok bool) {
	digits, ok := strings.CutPrefix(name, manifestPrefix)
	if !ok {
		return 0, false
	}
	num, err := strconv.ParseUint(digits, 10, 64)
	return num, err == nil
}

// markerValue returns the value in a marker's file name, and its number: those of
// "marker.manifest.000003.MANIFEST-000012" are MANIFEST-000012 and 3. Of several markers, the one
// with the highest number counts.
func markerValue(name, prefix string) (value string, iteration uint64, ok bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return "", 0, false
	}
	digits, value, ok := strings.Cut(rest, ".")
	iteration, err := strconv.ParseUint(digits, 10, 64)
	return value, iteration, ok && err == nil
}

// markerName returns the file name of a marker with a value, as the first of its kind.
func markerName(prefix, value string) string { return fmt.Sprintf("%s%06d.%s", prefix, 1, value) }

func logName(num uint64) string      { return fmt.Sprintf("%06d%s", num, logSuffix) }
func manifestName(num uint64) string { return fmt.Sprintf("%s%06d", manifestPrefix, num) }

// A watchedFS is the file system that Pebble is given: the control file learns of logs and
// manifests, and the syncs of logs are timed.
type watchedFS struct {
	vfs.FS
	control   *controlFile
	gathering *gathering
}

// own returns the file's name if it is in Pebble's directory, else "".
func (w *watchedFS) own(path string) string {
	if w.PathDir(path) != w.control.dir {
		return ""
	}
	return w.PathBase(path)
}

// Create implements vfs.FS. A marker is created only when the name of its manifest is on disk,
// which Pebble doesn't ensure.
func (w *watchedFS) Create(path string, category vfs.DiskWriteCategory) (vfs.File, error) {
	name := w.own(path)
	if _, _, ok := markerValue(name, markerManifest); ok {
		if err := syncDir(w.FS, w.control.dir); err != nil {
			return nil, err
		}
	}
	f, err := w.FS.Create(path, category)
	if err != nil {
		return nil, err
	}
	if num, ok := logNumber(name); ok {
		return w.orClose(f)(w.control.addLog(w.timed(f), num, false))
	}
	if num, ok := manifestNumber(name); ok {
		return w.control.addManifest(f, name, num), nil
	}
	if manifest, _, ok := markerValue(name, markerManifest); ok {
		return w.orClose(f)(f, w.control.name(manifest))
	}
	return f, nil
}

func (w *watchedFS) timed(f vfs.File) vfs.File { return &timedFile{File: f, gathering: w.gathering} }

// orClose returns a function that passes on the file that was made of f, or closes f after an
// error.
func (w *watchedFS) orClose(f vfs.File) func(vfs.File, error) (vfs.File, error) {
	return func(made vfs.File, err error) (vfs.File, error) {
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return made, nil
	}
}

// ReuseForWrite implements vfs.FS. Pebble does it with logs.
func (w *watchedFS) ReuseForWrite(old, path string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := w.FS.ReuseForWrite(old, path, category)
	if err != nil {
		return nil, err
	}
	if num, ok := logNumber(w.own(old)); ok {
		w.control.forget(num)
	}
	if num, ok := logNumber(w.own(path)); ok {
		return w.orClose(f)(w.control.addLog(w.timed(f), num, true))
	}
	return f, nil
}

// Remove implements vfs.FS.
func (w *watchedFS) Remove(path string) error {
	err := w.FS.Remove(path)
	if num, ok := logNumber(w.own(path)); ok && err == nil {
		w.control.forget(num)
	}
	return err
}

// Unwrap implements vfs.FS.
func (w *watchedFS) Unwrap() vfs.FS { return w.FS }

// A watchedFile is a log or a manifest that Pebble writes, from its beginning, in one goroutine at
// a time.
type watchedFile struct {
	vfs.File
	control *controlFile
	log     bool
	written int64  // bytes; the writer's
	sum     uint32 // of those; the writer's

	mu      sync.Mutex // guards durable
	durable extent
}

func (f *watchedFile) extent() extent {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.durable
}

// Write implements vfs.File.
func (f *watchedFile) Write(p []byte) (int, error) {
	sum := castagnoli(f.sum, p) // before: Pebble's memory file system garbles p under the race detector
	n, err := f.File.Write(p)
	f.written += int64(n)
	if n < len(p) {
		sum = castagnoli(f.sum, p[:n])
	}
	f.sum = sum
	return n, err
}

// Sync implements vfs.File.
func (f *watchedFile) Sync() error { return f.synced(f.File.Sync()) }

// SyncData implements vfs.File.
func (f *watchedFile) SyncData() error { return f.synced(f.File.SyncData()) }

// synced notes that all that was written is on disk, unless there is an error. The first sync of a
// log is recorded at once, since it is rare.
func (f *watchedFile) synced(err error) error {
	if err != nil {
		return err
	}
	f.mu.Lock()
	first := f.durable.bytes == 0
	changed := f.durable.bytes != f.written
	f.durable.bytes, f.durable.sum = f.written, f.sum
	if first {
		f.durable.head = head{bytes: f.written, sum: f.sum}
	}
	f.mu.Unlock()
	switch {
	case !changed:
	case first && f.log:
		f.control.changed(f.control.urgent)
	default:
		f.control.changed(f.control.dirty)
	}
	return nil
}

// Close implements vfs.File. Pebble syncs a log before, with its end mark.
func (f *watchedFile) Close() error {
	err := f.File.Close()
	f.mu.Lock()
	f.durable.closed = err == nil && f.durable.bytes == f.written
	f.mu.Unlock()
	f.control.changed(f.control.urgent)
	return err
}
