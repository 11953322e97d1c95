package shard

import (
	"context"
	"errors"
	"os"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// Reclaim gives room back to the disk that what was dropped has left, and says whether there is more to give when it is called again, some
// seconds later:
//
//  1. What is in memory becomes sorted tables. Pebble then removes those tables in the background that hold nothing but what was
//     dropped, without reading them.
//  2. The files of its log are removed, of which Pebble keeps up to four to use them again. Commits go on in a new one.
//  3. At the next call: tables that hold something else, too, and those that a compaction was writing meanwhile, are compacted.
//
// The error is Full while the disk has no room for what is in memory and a new log: then nothing was done, and there is more.
func (s *Store) Reclaim(ctx context.Context) (more bool, err error) {
	if err := s.gate.enter(); err != nil {
		return false, err
	}
	defer s.gate.leave()
	if s.readOnly {
		return false, nil
	}
	s.reclaims.Lock()
	defer s.reclaims.Unlock()
	if !s.space.spare(int64(s.db.Metrics().MemTable.Size) + startRoom) {
		return true, holdfast.Errorf(holdfast.Full, "the disk is full: the room of what was dropped comes back when a flush has room")
	}
	s.mu.Lock()
	dropped := s.dropped
	s.dropped = nil
	s.mu.Unlock()
	for len(s.leftovers) > 0 {
		lower, upper := shardBounds(s.leftovers[0])
		if err := s.compact(ctx, lower, upper); err != nil {
			s.leftovers = append(s.leftovers, dropped...)
			return true, s.fault("compacting what was dropped", err)
		}
		s.leftovers = s.leftovers[1:]
	}
	s.leftovers = dropped
	return len(dropped) > 0, s.reclaimLogs(ctx)
}

// compact is Pebble's, which begins a new log first, and panics when it can't.
func (s *Store) compact(ctx context.Context, lower, upper []byte) error {
	var failed error
	err := s.guardedly(func() error {
		failed = s.db.Compact(ctx, lower, upper, false)
		return nil
	})
	return errors.Join(err, failed)
}

// flush has what is in memory become sorted tables. Pebble repeats a flush that has no room until there is some, so ctx and
// Close end the wait.
func (s *Store) flush(ctx context.Context) error {
	var flushed <-chan struct{}
	err := s.guardedly(func() (err error) {
		flushed, err = s.db.AsyncFlush()
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
	case <-s.broken:
		return errBroken()
	case <-s.closing:
		return errClosed()
	}
}

// reclaimLogs flushes what is in memory, and removes the logs that had it.
func (s *Store) reclaimLogs(ctx context.Context) error {
	dir := s.fs.PathJoin(s.dir, engineDir)
	names, err := s.fs.List(dir)
	if err != nil {
		return s.fault("listing logs", err)
	}
	// A flush begins a new log and ends when all before it is in tables, and the manifest says so on disk. So of the logs that were there
	// before it none is needed any more, whoever wrote to them meanwhile.
	s.removedLogs.begin(true)
	err = s.flush(ctx)
	s.removedLogs.begin(false)
	if err != nil {
		return err
	}
	for _, name := range names {
		num, ok := logNumber(name)
		if !ok {
			continue
		}
		if err := s.removedLogs.remove(s.space.fs, s.fs.PathJoin(dir, name)); err != nil {
			return s.fault("removing a log", err)
		}
		s.ledger.forget(num) // else it stays on record for ever: Pebble is told that the file is gone
	}
	return nil
}

// removedLogs are files of Pebble's log that Reclaim has removed, and Pebble believes to be there: when it asks for one to be used
// again, it gets a new one.
type removedLogs struct {
	mu    sync.Mutex       // guards what follows, and is held while a file is removed or used again
	all   map[string]int64 // bytes by path
	fresh bool             // none is used again
}

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

// forget says whether a file was removed, and takes it out. mu is held.
func (r *removedLogs) forget(path string) bool {
	_, ok := r.all[path]
	delete(r.all, path)
	return ok
}

// bytes is how many there were in the files.
func (r *removedLogs) bytes() (sum int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.all {
		sum += n
	}
	return sum
}
