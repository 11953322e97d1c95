package shard

import (
	"context"
	"errors"
	"os"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// Reclaim returns the disk space of what was dropped to the system. It reports whether there is
// more to return when it is called again, some seconds later:
//
//  1. What is in memory becomes sorted tables. Pebble then removes those tables in the background
//     that hold nothing but what was dropped, without reading them.
//  2. The files of its log are removed, of which Pebble keeps up to four to use them again. Commits
//     go on in a new one.
//  3. At the next call: tables that hold something else, too, and those that a compaction was
//     writing meanwhile, are compacted, and what is left of their values is moved to new blob files.
//
// The error is Full while the disk has no space for what is in memory and a new log: then nothing
// was done, and there is more.
func (s *Store) Reclaim(ctx context.Context) (more bool, err error) {
	if err := s.gate.enter(); err != nil {
		return false, err
	}
	defer s.gate.leave()
	if s.readOnly {
		return false, nil
	}
	return s.reclaimer.run(ctx)
}

// A reclaimer does Reclaim, one at a time.
type reclaimer struct {
	engine  *engine
	space   *space
	dir     string // Pebble's
	control *controlFile
	logs    *removedLogs
	closing <-chan struct{} // closed when the store begins to close

	running   sync.Mutex        // held by run; taken before mu
	leftovers []pebble.KeyRange // that the next run compacts; guarded by running

	mu      sync.Mutex        // guards dropped
	dropped []pebble.KeyRange // since the last run
}

// note has the next run reclaim what was removed.
func (r *reclaimer) note(removed []pebble.KeyRange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped = append(r.dropped, removed...)
}

// take returns what was dropped since the last call.
func (r *reclaimer) take() []pebble.KeyRange {
	r.mu.Lock()
	defer r.mu.Unlock()
	dropped := r.dropped
	r.dropped = nil
	return dropped
}

// run does Reclaim.
func (r *reclaimer) run(ctx context.Context) (more bool, err error) {
	r.running.Lock()
	defer r.running.Unlock()
	if !r.space.spare(int64(r.engine.db.Metrics().MemTable.Size) + startBytes) {
		return true, holdfast.Errorf(holdfast.Full, "the disk is full: the space of what was dropped comes back once there "+
			"is enough for a flush")
	}
	dropped := r.take()
	for len(r.leftovers) > 0 {
		if err := r.compact(ctx, r.leftovers[0]); err != nil {
			r.leftovers = append(r.leftovers, dropped...)
			return true, r.engine.fault("compacting what was dropped", err)
		}
		r.leftovers = r.leftovers[1:]
	}
	r.leftovers = dropped
	return len(dropped) > 0, r.removeLogs(ctx)
}

// compact is Pebble's, which begins a new log first, and panics when it can't.
func (r *reclaimer) compact(ctx context.Context, some pebble.KeyRange) error {
	r.engine.reclaiming.Add(1)
	defer r.engine.reclaiming.Add(-1)
	var failed error
	err := r.engine.attempt(func() error {
		failed = r.engine.db.Compact(ctx, some.Start, some.End, false)
		return nil
	})
	return errors.Join(err, failed)
}

// flush has what is in memory become sorted tables. Pebble repeats a flush that has no space until
// there is some, so ctx and Store.Close end the wait.
func (r *reclaimer) flush(ctx context.Context) error {
	var flushed <-chan struct{}
	err := r.engine.attempt(func() (err error) {
		flushed, err = r.engine.db.AsyncFlush()
		return err
	})
	if err != nil {
		return err
	}
	select {
	case <-flushed:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	case <-r.engine.broken:
		return errBroken()
	case <-r.closing:
		return errClosed()
	}
}

// removeLogs flushes what is in memory, and removes the logs that had it.
func (r *reclaimer) removeLogs(ctx context.Context) error {
	names, err := r.engine.fs.List(r.dir)
	if err != nil {
		return r.engine.fault("listing logs", err)
	}
	// A flush begins a new log and ends when all before it is in tables, and the manifest says so on
	// disk. So of the logs that were there before it none is needed any more, whoever wrote to them
	// meanwhile.
	r.logs.begin(true)
	err = r.flush(ctx)
	r.logs.begin(false)
	if err != nil {
		return err
	}
	for _, name := range names {
		num, ok := logNumber(name)
		if !ok {
			continue
		}
		if err := r.logs.remove(r.space.fs, r.engine.fs.PathJoin(r.dir, name)); err != nil {
			return r.engine.fault("removing a log", err)
		}
		r.control.forget(num) // else it stays on record for ever, since Pebble finds the file gone
	}
	return nil
}

// removedLogs are the files of Pebble's log that Reclaim has removed, and that Pebble takes to be
// there: when it wants to use one again, it gets a new one.
type removedLogs struct {
	mu    sync.Mutex       // guards what follows, and is held while a file is removed or used again
	all   map[string]int64 // bytes by path
	fresh bool             // no file is used again
}

// begin sets whether files that are to be used again are replaced by new ones.
func (r *removedLogs) begin(fresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fresh = fresh
}

// remove removes a file, unless Pebble has removed it or uses it again under another name.
func (r *removedLogs) remove(fs vfs.FS, path string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	info, err := fs.Stat(path)
	if err == nil {
		err = fs.Remove(path)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if r.all == nil {
		r.all = map[string]int64{}
	}
	r.all[path] = info.Size()
	return nil
}

// forget reports whether a file was removed, and forgets it. mu is held.
func (r *removedLogs) forget(path string) bool {
	_, ok := r.all[path]
	delete(r.all, path)
	return ok
}

// bytes returns how many bytes the files had.
func (r *removedLogs) bytes() (sum int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.all {
		sum += n
	}
	return sum
}
