package shard

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// recordEvery is about how often the control file is written while there are changes.
const recordEvery = time.Second

// A controlFile keeps the control file up to date while Pebble works. It sees through watchedFS
// what Pebble does to its files.
//
// After each sync of a log it notes in memory how far the log is on disk. A goroutine writes these
// notes to the file about once a second, and no commit waits for it. New files are rare, and are
// written to the control file before Pebble goes on:
//
//   - a log, once its name is on disk and before anything is written to it. So a log with commits
//     in it that isn't in the control file is not the store's;
//   - a manifest, once the marker that names it is on disk and before the older marker is removed.
//     So a marker that names another manifest than the control file does is right only if the older
//     marker is still there.
//
// Nothing is written before a log is removed: the manifest has the first log that is needed.
type controlFile struct {
	fs     vfs.FS // beneath watchedFS
	dir    string // Pebble's
	log    *slog.Logger
	now    func() time.Time
	dirty  chan struct{} // holds one if something is new
	urgent chan struct{} // likewise, and it must not wait for the second to end
	end    chan struct{} // closed to end the goroutine
	ended  sync.WaitGroup
	once   sync.Once

	found   uint64        // sequence of the record as the start has found it
	written atomic.Uint64 // sequence of the newest record that is on disk

	writing sync.Mutex // held while the file is written; taken before mu
	file    vfs.File   // guarded by writing

	mu       sync.Mutex              // guards what follows
	record   control                 // as it was or will be written, except for the extents of the files below
	logs     map[uint64]*watchedFile // that Pebble writes to
	manifest *watchedFile            // that the marker names; nil: none since the start
	pending  map[string]*watchedFile // manifests that no marker names yet, by name
}

// id returns the store's identity.
func (l *controlFile) id() [16]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.record.id
}

// openControlFile opens the control file of a directory, and writes c to it.
func openControlFile(fs vfs.FS, s *Store, c *control) (*controlFile, error) {
	f, err := fs.OpenReadWrite(fs.PathJoin(s.dir, controlName), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	l := &controlFile{
		fs: fs, dir: fs.PathJoin(s.dir, engineDir), log: s.log, now: s.now, file: f, record: *c,
		dirty: make(chan struct{}, 1), urgent: make(chan struct{}, 1), end: make(chan struct{}),
		logs: map[uint64]*watchedFile{}, pending: map[string]*watchedFile{}, found: c.sequence,
	}
	l.record.logs = slices.Clone(c.logs)
	if err := l.write(); err != nil {
		_ = f.Close()
		return nil, err
	}
	l.ended.Go(l.run)
	return l, nil
}

// run writes changes, about once a second, until close.
func (l *controlFile) run() {
	for {
		select {
		case <-l.dirty:
		case <-l.urgent:
		case <-l.end:
			return
		}
		if err := l.write(); err != nil {
			l.log.Warn("can't write the control file; a later loss of files may go unnoticed", "err", err)
		}
		pause := time.NewTimer(recordEvery)
		select {
		case <-pause.C:
		case <-l.urgent:
			l.changed(l.urgent)
		case <-l.end:
			pause.Stop()
			return
		}
		pause.Stop()
	}
}

// changed has the goroutine write: within a second with l.dirty, at once with l.urgent.
func (l *controlFile) changed(how chan struct{}) {
	select {
	case how <- struct{}{}:
	default:
	}
}

// write writes the present record.
func (l *controlFile) write() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	c := l.snapshot()
	if err := writeControl(l.file, &c); err != nil {
		return err
	}
	l.written.Store(c.sequence)
	return nil
}

// snapshot returns the next record.
func (l *controlFile) snapshot() control {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.record.sequence++
	l.record.at = l.now()
	for i := range l.record.logs {
		if f := l.logs[l.record.logs[i].num]; f != nil {
			l.record.logs[i] = f.extent()
		}
	}
	if l.manifest != nil {
		l.record.manifest = l.manifest.extent()
	}
	c := l.record
	c.logs = slices.Clone(c.logs)
	return c
}

// enter sets the phase and the version of Pebble's format, and writes them.
func (l *controlFile) enter(p phase, format uint32) error {
	l.mu.Lock()
	l.record.phase, l.record.format = p, format
	l.mu.Unlock()
	return l.write()
}

// upgrade writes the present version of the directory's format, after which earlier programs refuse
// the directory. It reports whether that is news.
func (l *controlFile) upgrade() (bool, error) {
	l.mu.Lock()
	from := l.record.version
	l.record.version = controlVersion
	l.mu.Unlock()
	if from == controlVersion {
		return false, nil
	}
	return true, l.write()
}

// close ends the goroutine and closes the file. If clean, it writes phaseClean before. It may be
// called again.
func (l *controlFile) close(clean bool) (err error) {
	l.once.Do(func() {
		close(l.end)
		l.ended.Wait()
		if clean {
			err = l.enter(phaseClean, l.record.format)
		}
		if closeErr := l.file.Close(); err == nil {
			err = closeErr
		}
	})
	return err
}

// addLog records that a log was made, and returns the file for Pebble to use.
func (l *controlFile) addLog(f vfs.File, num uint64, reused bool) (vfs.File, error) {
	if err := syncDir(l.fs, l.dir); err != nil {
		return nil, err
	}
	w := &watchedFile{File: f, control: l, log: true, durable: extent{num: num, reused: reused}}
	l.mu.Lock()
	l.forgetLocked(num)
	if len(l.record.logs) >= maxLogs {
		l.mu.Unlock()
		return nil, errTooManyLogs
	}
	l.record.logs = append(l.record.logs, w.durable)
	slices.SortFunc(l.record.logs, func(a, b extent) int { return cmp.Compare(a.num, b.num) })
	l.logs[num] = w
	l.mu.Unlock()
	if err := l.write(); err != nil {
		return nil, err
	}
	return w, nil
}

// forget records that a log was removed.
func (l *controlFile) forget(num uint64) {
	l.mu.Lock()
	l.forgetLocked(num)
	l.mu.Unlock()
	l.changed(l.dirty)
}

func (l *controlFile) forgetLocked(num uint64) {
	delete(l.logs, num)
	l.record.logs = slices.DeleteFunc(l.record.logs, func(e extent) bool { return e.num == num })
}

// addManifest notes that a manifest was made, which is recorded once a marker names it.
func (l *controlFile) addManifest(f vfs.File, name string, num uint64) vfs.File {
	w := &watchedFile{File: f, control: l, durable: extent{num: num}}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending[name] = w
	return w
}

// name records that a marker was made that names a manifest.
func (l *controlFile) name(manifest string) error {
	if err := syncDir(l.fs, l.dir); err != nil {
		return err
	}
	l.mu.Lock()
	if w := l.pending[manifest]; w != nil {
		l.manifest = w
	}
	clear(l.pending)
	l.mu.Unlock()
	return l.write()
}
