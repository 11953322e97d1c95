package shard

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// A space keeps the disk from becoming so full that Pebble can't go on. Pebble tolerates failed
// flushes and compactions: it removes what they wrote, and repeats them. But if its log or manifest
// can't be written it gives up, and so would the process. There are three lines of defence:
//
//   - a commit is refused if it would leave fewer than reserve bytes free, so that what has been
//     written can still be flushed and compacted, and tables can be dropped: removals may use the
//     reserve, except for its last bytes (spare.go). Between two looks at the disk, the free space
//     is computed from what commits have written since. Other programs write too, so a look is
//     valid for lookInterval only. Pebble preallocates its log, and must not take the reserve for
//     that either;
//   - another program may fill the disk then, so a file of ballast holds space for the log and the
//     manifest: if one of them finds the disk full, the ballast is removed, the write repeated, and
//     commits are refused from then on;
//   - tables, which are sorted tables and blob files, are large: they get an error at once, and never
//     the ballast's space. Pebble repeats what failed without a pause, so the next table waits before
//     it is created.
//
// When there is enough space again, the ballast is made again and commits are accepted.
type space struct {
	fs      vfs.FS // the disk itself, without what guarded adds
	dir     string
	reserve int64 // bytes that commits leave free; 0: the disk isn't looked at
	log     *slog.Logger
	now     func() time.Time
	opened  time.Time

	full   atomic.Bool
	left   atomic.Int64 // bytes that commits may still write before the next look at the disk; negative: look first
	looked atomic.Int64 // when the disk was looked at last, in nanoseconds since opened
	retry  atomic.Int64 // until this time, in nanoseconds since 1970, no table is created

	mu       sync.Mutex // guards what follows, and is held while looking
	ballast  bool       // the file is there
	free     int64      // bytes at the last look
	logged   time.Time  // when a failure was logged last
	unlogged int        // failures since then
}

const (
	ballastName  = "ballast"
	ballastShare = 4 // of the reserve, the part that is ballast: a quarter
	// of the reserve, the part that must be free beyond it before commits are accepted again: an
	// eighth
	recoverShare = 8
	lookInterval = 100 * time.Millisecond // how long a look at the disk is valid; one takes about a microsecond
	// bytes that a commit counts as, including what flushes and compactions write because of it
	commitAtLeast = 16 << 10
	retryDelay    = 100 * time.Millisecond // between a flush or compaction that failed and the next
	logEvery      = 10 * time.Second       // of failures
	startBytes    = 4 << 20                // bytes that a start needs beside those for the log
)

// newSpace returns the space of a directory that exists.
func newSpace(fs vfs.FS, dir string, reserve int64, now func() time.Time, log *slog.Logger) *space {
	p := &space{fs: fs, dir: dir, reserve: reserve, log: log, now: now, opened: now()}
	if _, err := fs.GetDiskUsage(dir); err != nil {
		p.reserve = 0
		return p
	}
	_, err := fs.Stat(p.path())
	p.ballast = err == nil
	p.look(0)
	return p
}

// failed is called for each flush or compaction that failed, which Pebble will repeat. Pebble's
// locks are held.
func (p *space) failed(err error) {
	now := time.Now()
	p.retry.Store(now.Add(retryDelay).UnixNano())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unlogged++
	if now.Sub(p.logged) < logEvery {
		return
	}
	p.log.Warn("a flush or compaction failed, and will be repeated", "failures", p.unlogged, "err", err)
	p.logged, p.unlogged = now, 0
}

// pause waits until a table may be created.
func (p *space) pause() {
	if wait := time.Until(time.Unix(0, p.retry.Load())); wait > 0 {
		time.Sleep(wait)
	}
}

// checkStart returns an error if there is no space to open the database in dir: Pebble's log
// becomes sorted tables before anything else, and Pebble would try that for ever. The ballast is
// removed for it if necessary.
func (p *space) checkStart(dir string, memTable int64) error {
	if p.reserve == 0 {
		return nil
	}
	need, err := p.logBytes(dir)
	if err != nil {
		return err
	}
	need = min(need, memTables*memTable) + startBytes // some of the files may only be kept to be used again
	for range 2 {
		usage, err := p.fs.GetDiskUsage(p.dir)
		if err != nil || int64(usage.AvailBytes) >= need {
			return err
		}
		p.mu.Lock()
		p.free = int64(usage.AvailBytes)
		p.mu.Unlock()
		p.release()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return holdfast.Errorf(holdfast.Full, "the disk is full: a start needs %d bytes, and %d are free", need, p.free)
}

// logBytes is how long the files of Pebble's log are.
func (p *space) logBytes(dir string) (sum int64, err error) {
	names, err := p.fs.List(dir)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		if !isLog(name) {
			continue
		}
		info, err := p.fs.Stat(p.fs.PathJoin(dir, name))
		if err != nil {
			return 0, err
		}
		sum += info.Size()
	}
	return sum, nil
}

func (p *space) path() string { return p.fs.PathJoin(p.dir, ballastName) }

// guarded returns the file system for Pebble.
func (p *space) guarded() *guardedFS {
	return &guardedFS{FS: p.fs, last: vfs.OnDiskFull(p.fs, p.release), pause: p.pause, affords: p.affords}
}

// admit returns an error if there is no space for a commit of so many bytes.
func (p *space) admit(bytes int) error {
	if p.reserve == 0 {
		return nil
	}
	counted := int64(max(bytes, commitAtLeast))
	if p.left.Add(-counted) >= 0 && !p.full.Load() && int64(p.now().Sub(p.opened))-p.looked.Load() < int64(lookInterval) {
		return nil
	}
	if !p.look(counted) {
		return errFull()
	}
	return nil
}

// HasSpace looks at the disk, and reports whether there is space for commits.
func HasSpace(s *Store) bool { return s.space.hasSpace() }

// hasSpace looks at the disk, and reports whether there is space for commits.
func (p *space) hasSpace() bool { return p.reserve == 0 || p.look(0) }

// look looks at the disk, and reports whether there is space for a commit of so many bytes.
func (p *space) look(bytes int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	usage, err := p.fs.GetDiskUsage(p.dir)
	if p.reserve == 0 || err != nil {
		return !p.full.Load()
	}
	p.free = int64(usage.AvailBytes)
	need := p.need()
	enough := p.free-bytes >= need && (p.ballast || p.load())
	if full := p.full.Load(); full == enough {
		p.full.Store(!enough)
		p.log.Warn("the disk's space changed", "full", !enough, "free_bytes", p.free, "reserve_bytes", p.reserve)
	}
	p.left.Store(p.free - bytes - need)
	p.looked.Store(int64(p.now().Sub(p.opened)))
	return enough
}

// need is how many bytes a commit must leave free. mu is held.
func (p *space) need() int64 {
	need := p.reserve
	if p.full.Load() {
		need += p.reserve / recoverShare
	}
	if !p.ballast {
		need += p.reserve / ballastShare
	}
	return need
}

// affords reports whether so many bytes can be preallocated without touching the reserve.
func (p *space) affords(bytes int64) bool {
	if p.reserve == 0 {
		return true
	}
	usage, err := p.fs.GetDiskUsage(p.dir)
	p.mu.Lock()
	defer p.mu.Unlock()
	return err != nil || int64(usage.AvailBytes)-bytes >= p.need()
}

// load makes the ballast. mu is held.
func (p *space) load() bool {
	f, err := p.fs.Create(p.path(), vfs.WriteCategoryUnspecified)
	if err == nil {
		err = fill(f, p.reserve/ballastShare)
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}
	if err != nil {
		p.log.Warn("can't make the ballast", "err", err)
		_ = p.fs.Remove(p.path())
		return false
	}
	p.ballast = true
	return true
}

// fill gives the file that many bytes of the disk.
func fill(f vfs.File, bytes int64) error {
	if err := f.Preallocate(0, bytes); err == nil {
		return f.Sync()
	}
	block := make([]byte, 1<<20)
	for ; bytes > 0; bytes -= int64(len(block)) {
		if _, err := f.Write(block[:min(bytes, int64(len(block)))]); err != nil {
			return err
		}
	}
	return f.Sync()
}

// release removes the ballast, since a write of the log or the manifest found the disk full. It is
// repeated when release returns.
func (p *space) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.removeBallast()
}

// removeBallast removes the ballast, and lets commits be refused. mu is held.
func (p *space) removeBallast() {
	p.full.Store(true)
	p.log.Warn("the disk is full", "ballast", p.ballast)
	if p.ballast && p.fs.Remove(p.path()) == nil {
		p.ballast = false
	}
}

// A Space is the disk space for commits.
type Space struct {
	Full         bool  // commits are refused
	FreeBytes    int64 // of the disk; 0: not known
	ReserveBytes int64 // that commits leave free; 0: the disk isn't looked at
	NeededBytes  int64 // that must be free for commits to be accepted; more than the reserve while they are refused
}

// Space looks at the disk.
func (s *Store) Space() Space { return s.space.status() }

func (p *space) status() Space {
	p.look(0)
	p.mu.Lock()
	defer p.mu.Unlock()
	return Space{Full: p.full.Load(), FreeBytes: p.free, ReserveBytes: p.reserve, NeededBytes: p.need()}
}

func errFull() error {
	return holdfast.Errorf(holdfast.Full, "the disk is full: writes are refused until there is space")
}

// A guardedFS gives the ballast's space to all files but tables.
type guardedFS struct {
	vfs.FS
	last  vfs.FS
	pause func() // waits until a table may be created

	affords func(bytes int64) bool // space.affords
	removed removedLogs
}

func (g *guardedFS) of(name string) vfs.FS {
	if isTable(name) {
		return g.FS
	}
	return g.last
}

// isTable reports whether a file is one that flushes and compactions write.
func isTable(name string) bool { return isSorted(name) || isBlob(name) }

func isLog(name string) bool { return strings.HasSuffix(filepath.Base(name), ".log") }

// Create implements vfs.FS.
func (g *guardedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if isTable(name) {
		g.pause()
	}
	f, err := g.of(name).Create(name, category)
	return g.sparing(name, f, err)
}

// ReuseForWrite implements vfs.FS.
func (g *guardedFS) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	g.removed.mu.Lock() // for as long as the file must not be removed
	defer g.removed.mu.Unlock()
	gone := g.removed.forget(old)
	if !gone && g.removed.fresh {
		if err := g.FS.Remove(old); err != nil {
			return nil, err
		}
		gone = true
	}
	if gone {
		return g.Create(name, category)
	}
	f, err := g.of(name).ReuseForWrite(old, name, category)
	return g.sparing(name, f, err)
}

// Remove implements vfs.FS.
func (g *guardedFS) Remove(name string) error {
	g.removed.mu.Lock()
	defer g.removed.mu.Unlock()
	if g.removed.forget(name) {
		return os.ErrNotExist
	}
	return g.FS.Remove(name)
}

// sparing returns a file of Pebble's log as one that doesn't preallocate the reserve.
func (g *guardedFS) sparing(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil || !isLog(name) {
		return f, err
	}
	return &logFile{File: f, affords: g.affords}, nil
}

// A logFile preallocates only what leaves the reserve free. Otherwise it grows as it is written,
// which is slower.
type logFile struct {
	vfs.File
	affords func(bytes int64) bool
}

// Preallocate implements vfs.File.
func (f *logFile) Preallocate(offset, length int64) error {
	if !f.affords(length) {
		return nil
	}
	return f.File.Preallocate(offset, length)
}

// OpenReadWrite implements vfs.FS.
func (g *guardedFS) OpenReadWrite(
	name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption,
) (vfs.File, error) {
	return g.of(name).OpenReadWrite(name, category, opts...)
}

// Link implements vfs.FS.
func (g *guardedFS) Link(old, name string) error { return g.of(name).Link(old, name) }

// Rename implements vfs.FS.
func (g *guardedFS) Rename(old, name string) error { return g.of(name).Rename(old, name) }

// Unwrap implements vfs.FS.
func (g *guardedFS) Unwrap() vfs.FS { return g.FS }
