package shard

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// How Pebble is set. The sizes were chosen by BenchmarkCommit and by how long a start takes, which reads up to
// memTables × Options.MemTableBytes of its log.
const (
	defaultMemTable   = 64 << 20
	memTables         = 3 // beyond which writes wait for a flush
	formatVersion     = pebble.FormatValueSeparation
	blockBytes        = 8 << 10
	indexBlockBytes   = 256 << 10 // more than the index of most tables, so that it has one level
	filterBits        = 10        // of the bloom filter, for each key: 1 % of the reads of what isn't there go to a block
	tableBytes        = 4 << 20
	openFiles         = 1000
	compactions       = 2
	l0Start, l0Stop   = 4, 24 // sublevels at which compactions begin, and at which writes wait
	dropFlushDelay    = 10 * time.Second
	defaultCacheBytes = 128 << 20
)

// pebbleOptions returns what the database is opened with.
func (s *Store) pebbleOptions(fs vfs.FS, cache *pebble.Cache, readOnly bool) *pebble.Options {
	o := &pebble.Options{
		FS: fs, Cache: cache, ReadOnly: readOnly, MaxOpenFiles: openFiles, FormatMajorVersion: formatVersion,
		MemTableSize: uint64(s.memTable), MemTableStopWritesThreshold: memTables,
		L0CompactionThreshold: l0Start, L0StopWritesThreshold: l0Stop,
		CompactionConcurrencyRange: func() (int, int) { return 1, compactions },
		FlushDelayDeleteRange:      dropFlushDelay,
		BytesPerSync:               1 << 20,
		Logger:                     &engineLog{store: s},
		EventListener:              s.listener(),
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = blockBytes
		o.Levels[i].IndexBlockSize = indexBlockBytes
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(filterBits)
	}
	o.TargetFileSizes[0] = tableBytes
	return o
}

// newCache returns a cache with that many bytes for blocks. Pebble takes the memory of its memtables from the cache, too.
func newCache(bytes, memTable int64) *pebble.Cache {
	return pebble.NewCache(bytes + memTables*memTable)
}

// OffHeapBytes is how much memory a store with those options takes beside Go's heap: blocks and memtables, one of which may wait to be
// used again. Without cgo they are in the heap.
func OffHeapBytes(o Options) int64 {
	if !offHeap {
		return 0
	}
	o.setDefaults()
	return o.CacheBytes + (memTables+1)*o.MemTableBytes
}

// listener returns what Pebble tells of its work.
func (s *Store) listener() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: s.space.failed,
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			s.log.Error("a file is corrupt", "file", info.Path, "err", info.Details)
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			s.stalls.Add(1)
			s.log.Warn("writes wait for flushes or compactions", "reason", info.Reason)
		},
	}
}

// An engineLog is where Pebble's own words go.
type engineLog struct{ store *Store }

// Infof implements pebble.Logger. What is worth knowing comes as events.
func (l *engineLog) Infof(string, ...any) {}

// Errorf implements pebble.Logger.
func (l *engineLog) Errorf(format string, args ...any) {
	l.store.log.Error("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger. Pebble calls it when its log or its manifest can't be written, and when a file that it needs has
// disappeared, never for a corrupt block. It must not return, since Pebble's state is then undefined.
func (l *engineLog) Fatalf(format string, args ...any) {
	l.store.fail(fmt.Errorf(format, args...))
	select {} // where Options.Fatal returned: Pebble must not go on, and holds locks
}

// fail ends all writing: what is on disk is no longer known.
func (s *Store) fail(err error) {
	s.breakOnce.Do(func() {
		close(s.broken)
		s.log.Error("the disk failed", "err", err)
		s.fatal(err)
	})
}

// exit is what Options.Fatal does unless it is set. The log is read at the next start, as after a crash, and that is the only way
// to know again what is on disk.
func exit(error) { os.Exit(1) }

// fault returns the error for a caller of an error of Pebble's, and logs what is wrong with the disk.
func (s *Store) fault(doing string, err error) error {
	var said *holdfast.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &said):
		return err
	case pebble.IsCorruptionError(err):
		s.corrupt.Add(1)
		s.log.Error("what is on disk is corrupt", "doing", doing, "err", err)
		return holdfast.Errorf(holdfast.Corrupt, "what is on disk is corrupt: %w", err)
	case vfs.IsNoSpaceError(err):
		return errFull()
	}
	s.log.Error("the disk failed", "doing", doing, "err", err)
	return holdfast.Errorf(holdfast.Unavailable, "the disk failed: %w", err)
}

// damaged returns err, the error of something that doesn't decode, after it was counted and logged.
func (s *Store) damaged(id holdfast.ShardID, key []byte, err error) error {
	s.corrupt.Add(1)
	s.log.Error("what is on disk doesn't decode", "shard", uint64(id), "key", fmt.Sprintf("%x", key), "err", err)
	return err
}

// discard is the log of a Store that was given none.
func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
