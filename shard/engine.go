package shard

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// How Pebble is set. The sizes were chosen by BenchmarkCommit and by how long a start takes, which
// reads up to memTables × Options.MemTableBytes of its log.
const (
	defaultMemTable   = 64 << 20
	memTables         = 2 // beyond which writes wait for a flush
	formatVersion     = pebble.FormatValueSeparation
	blockBytes        = 8 << 10
	indexBlockBytes   = 256 << 10 // more than the index of most tables, so that it has one level
	filterBits        = 10        // of the bloom filter, for each key: 1 % of the reads of what isn't there go to a block
	tableBytes        = 4 << 20
	baseBytes         = l0Start * defaultMemTable // of the base level: as many as are merged into it at once
	openFiles         = 1000
	compactions       = 2
	l0Start, l0Stop   = 4, 24 // sublevels at which compactions begin, and at which writes wait
	dropFlushDelay    = 10 * time.Second
	defaultCacheBytes = 128 << 20
)

// An engine is a store's Pebble database, and the only way to it: it reads, submits batches, and
// turns Pebble's errors into ours. Once Pebble's log or manifest can't be written the engine
// is broken for good, since what is on disk isn't known until the database is opened again.
type engine struct {
	db      *pebble.DB
	options *pebble.Options // set by configure, before open
	fs      vfs.FS          // that Pebble uses
	space   *space
	log     *slog.Logger
	fatal   func(error) // Options.Fatal

	gathering gathering // of the commits that are submitted

	// compactions that are to return space: while there are any, compactions move the values that
	// are left to new blob files
	reclaiming atomic.Int32

	broken    chan struct{} // closed when nothing can be written any more
	breakOnce sync.Once

	corrupt atomic.Uint64 // reads of what is corrupt
	stalls  atomic.Uint64 // times that writes waited for flushes or compactions
}

// newEngine returns an engine whose database isn't open yet.
func newEngine(log *slog.Logger, fatal func(error)) *engine {
	return &engine{log: log, fatal: fatal, broken: make(chan struct{})}
}

// configure sets what the database is opened with.
func (e *engine) configure(cache *pebble.Cache, memTableBytes int64, lock *pebble.Lock, readOnly bool) {
	e.options = e.pebbleOptions(cache, memTableBytes, readOnly)
	e.options.Lock = lock
	e.options.EnsureDefaults()
}

// pebbleOptions returns what the database is opened with, but for the lock.
func (e *engine) pebbleOptions(cache *pebble.Cache, memTableBytes int64, readOnly bool) *pebble.Options {
	o := &pebble.Options{
		FS: &blobFS{FS: e.fs}, Cache: cache, ReadOnly: readOnly, MaxOpenFiles: openFiles,
		FormatMajorVersion: formatVersion,
		MemTableSize:       uint64(memTableBytes), MemTableStopWritesThreshold: memTables,
		L0CompactionThreshold: l0Start, L0StopWritesThreshold: l0Stop,
		LBaseMaxBytes:              baseBytes,
		CompactionConcurrencyRange: func() (int, int) { return 1, compactions },
		FlushDelayDeleteRange:      dropFlushDelay,
		BytesPerSync:               1 << 20,
		WALMinSyncInterval:         e.gathering.pause,
		Logger:                     &engineLog{engine: e},
		EventListener:              e.listener(),
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = blockBytes
		o.Levels[i].IndexBlockSize = indexBlockBytes
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(filterBits)
	}
	o.TargetFileSizes[0] = tableBytes
	o.Experimental.CompactionScheduler = newCompactionGrants()
	e.separate(o)
	return o
}

// newCache returns a cache with that many bytes for blocks. Pebble takes the memory of its
// memtables from the cache, too.
func newCache(bytes, memTable int64) *pebble.Cache {
	return pebble.NewCache(bytes + memTables*memTable)
}

// OffHeapBytes is how much memory a store with those options takes beside Go's heap: blocks and
// memtables, one of which may wait to be used again. Without cgo they are in the heap.
func OffHeapBytes(o Options) int64 {
	if !offHeap {
		return 0
	}
	o.setDefaults()
	return o.CacheBytes + (memTables+1)*o.MemTableBytes
}

// open opens the database in a directory. A new database begins its log in Pebble's oldest format,
// in which damage in the middle looks like the end, so that acknowledged commits could be lost
// unnoticed. It is opened once more to have a log in the newest. exists says that it can't be new.
func (e *engine) open(dir string, exists bool) error {
	e.options.ErrorIfNotExists = exists
	is, err := pebble.Peek(dir, e.fs)
	if err != nil {
		return err
	}
	if !e.options.ReadOnly && (!is.Exists || is.FormatMajorVersion < formatVersion) {
		db, err := pebble.Open(dir, e.options)
		if err != nil {
			return err
		}
		if err := db.Close(); err != nil {
			return err
		}
	}
	e.db, err = pebble.Open(dir, e.options)
	return err
}

// listener returns what Pebble calls about its work.
func (e *engine) listener() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: e.space.failed,
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			e.log.Error("a file is corrupt", "file", info.Path, "err", info.Details)
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			e.stalls.Add(1)
			e.log.Warn("writes wait for flushes or compactions", "reason", info.Reason)
		},
	}
}

// An engineLog is where Pebble's own log messages go.
type engineLog struct{ engine *engine }

// Infof implements pebble.Logger. What is worth knowing comes as events.
func (l *engineLog) Infof(string, ...any) {}

// Errorf implements pebble.Logger.
func (l *engineLog) Errorf(format string, args ...any) {
	l.engine.log.Error("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger. Pebble calls it when its log or its manifest can't be written,
// and when a file that it needs has disappeared, never for a corrupt block. It must not return,
// since Pebble's state is then undefined.
func (l *engineLog) Fatalf(format string, args ...any) {
	l.engine.fail(fmt.Errorf(format, args...))
	select {} // where Options.Fatal returned: Pebble must not go on, and holds locks
}

// read returns the value of a key in what can be seen through from; !ok if there is none.
func (e *engine) read(from pebble.Reader, key []byte) (value string, ok bool, err error) {
	b, closer, err := from.Get(key)
	if err == pebble.ErrNotFound {
		return "", false, nil
	}
	if err != nil {
		return "", false, e.fault("reading", err)
	}
	value = string(b)
	return value, true, e.fault("reading", closer.Close())
}

// submit gives Pebble a batch, which readers see when submit returns. Batches are on disk in the
// order in which they were submitted. The caller waits for the batch with syncWait.
func (e *engine) submit(b *pebble.Batch) error {
	e.gathering.commits.Add(1)
	return e.attempt(func() error { return e.db.ApplyNoSyncWait(b, pebble.Sync) })
}

// submitNoSync gives Pebble a batch that is on disk once a later one has been synced.
func (e *engine) submitNoSync(b *pebble.Batch) error {
	return e.attempt(func() error { return e.db.Apply(b, pebble.NoSync) })
}

// sync returns when all batches that were submitted are on disk.
func (e *engine) sync() error {
	return e.attempt(func() error { return e.db.LogData(nil, pebble.Sync) })
}

// syncWait returns when a batch that was submitted is on disk.
func (e *engine) syncWait(b *pebble.Batch) error {
	if err := b.SyncWait(); err != nil {
		e.fail(err)
		return errBroken()
	}
	return nil
}

// write submits a batch that has no place in the order of a sequencer, and returns when it is on
// disk.
func (e *engine) write(b *pebble.Batch) error {
	if err := e.submit(b); err != nil {
		return err
	}
	return e.syncWait(b)
}

// clearShard removes all keys of a shard in one batch, to which more is added by add unless it is
// nil, and returns when that is on disk. removed is where the keys were, but for a few.
func (e *engine) clearShard(k keys, add func(*pebble.Batch) error) (removed []pebble.KeyRange, err error) {
	if err := e.space.admitRemoval(0); err != nil {
		return nil, err
	}
	b := e.db.NewBatch()
	defer b.Close()
	if removed, err = e.removeShard(b, k); err != nil {
		return nil, err
	}
	former := formerKeys{k.shard}.all() // if it was never taken over
	if err := removeRanges(b, []pebble.KeyRange{former}); err != nil {
		return nil, e.fault("removing", err)
	}
	removed = append(removed, former)
	if add != nil {
		if err := add(b); err != nil {
			return nil, err
		}
	}
	return removed, e.write(b)
}

// removeShard adds to the batch that all keys of a shard are removed. removed is where the keys were,
// but for a few.
func (e *engine) removeShard(b *pebble.Batch, k keys) (removed []pebble.KeyRange, err error) {
	slots, err := e.slots(e.db, k)
	if err != nil {
		return nil, err
	}
	removed = k.all(slots...)
	if err := removeRanges(b, removed); err != nil {
		return nil, e.fault("removing", err)
	}
	return removed, e.removeExpiries(b, e.db, k)
}

// clear removes all keys in ranges, and returns when that is on disk.
func (e *engine) clear(ranges []pebble.KeyRange) error {
	if err := e.space.admitRemoval(0); err != nil {
		return err
	}
	b := e.db.NewBatch()
	defer b.Close()
	if err := removeRanges(b, ranges); err != nil {
		return e.fault("removing", err)
	}
	return e.write(b)
}

// slots returns the kinds of local indexes of which there are entries in a shard's space, in what can
// be seen through from.
func (e *engine) slots(from pebble.Reader, k keys) (slots []kind, err error) {
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: k.ofSpace(nil, kindSlot), UpperBound: k.whole().End})
	if err != nil {
		return nil, e.fault("reading", err)
	}
	for ok := it.First(); ok; {
		slot := kind(it.Key()[prefixBytes-1])
		slots = append(slots, slot)
		if slot == math.MaxUint8 {
			break
		}
		ok = it.SeekGE(k.ofSpace(nil, slot+1))
	}
	return slots, e.fault("reading", errors.Join(it.Error(), it.Close()))
}

// removeExpiries adds the removal of a shard's queue of expiring items to the batch. Those that lie
// among a neighbour's are removed one by one, as the reader sees them: they are of one of 65,536
// parts of the hashes, or two.
func (e *engine) removeExpiries(b *pebble.Batch, from pebble.Reader, k keys) error {
	lower, upper, ownLower, ownUpper := k.queue()
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return e.fault("removing", err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if bytes.Compare(it.Key(), ownLower) >= 0 && bytes.Compare(it.Key(), ownUpper) < 0 {
			if err := b.DeleteRange(ownLower, ownUpper, nil); err != nil {
				return err
			}
			if !it.SeekGE(ownUpper) {
				break
			}
		}
		if _, key, is := k.expiryOf(it.Key()); is && k.owns(key) {
			if err := b.Delete(it.Key(), nil); err != nil {
				return err
			}
		}
	}
	return e.fault("removing", it.Error())
}

// removeRanges adds to the batch that all keys in ranges are removed.
func removeRanges(b *pebble.Batch, ranges []pebble.KeyRange) error {
	for _, r := range ranges {
		if err := b.DeleteRange(r.Start, r.End, nil); err != nil {
			return err
		}
	}
	return nil
}

// attempt has Pebble write. Once its log has failed, Pebble panics: then, as after an error, the
// engine is broken.
func (e *engine) attempt(write func() error) (err error) {
	select {
	case <-e.broken:
		return errBroken()
	default:
	}
	defer func() {
		if fault := recover(); fault != nil {
			e.fail(fmt.Errorf("pebble: %v", fault))
			err = errBroken()
		}
	}()
	if err := write(); err != nil {
		e.fail(err)
		return errBroken()
	}
	return nil
}

// fail breaks the engine: what is on disk is no longer known.
func (e *engine) fail(err error) {
	e.breakOnce.Do(func() {
		close(e.broken)
		e.log.Error("the disk failed", "err", err)
		e.fatal(err)
	})
}

// exit is what Options.Fatal does by default. The next start reads the log, as after a crash, and
// that is the only way to know again what is on disk.
func exit(error) { os.Exit(1) }

// fault returns the error for a caller of an error of Pebble's, and logs what is wrong with the
// disk.
func (e *engine) fault(doing string, err error) error {
	if err == nil {
		return nil // known allocates, and almost every call has no error
	}
	return e.known(doing, err)
}

// known is fault with an error.
func (e *engine) known(doing string, err error) error {
	var ours *holdfast.Error
	switch {
	case errors.As(err, &ours):
		return err
	case pebble.IsCorruptionError(err), isDamage(err):
		e.corrupt.Add(1)
		e.log.Error("data on disk is corrupt", "doing", doing, "err", err)
		return holdfast.Errorf(holdfast.Corrupt, "data on disk is corrupt: %w", err)
	case vfs.IsNoSpaceError(err):
		return errFull()
	}
	e.log.Error("the disk failed", "doing", doing, "err", err)
	return holdfast.Errorf(holdfast.Unavailable, "the disk failed: %w", err)
}

// damaged returns err, the error of something that doesn't decode, after it was counted and logged.
func (e *engine) damaged(id holdfast.ShardID, key []byte, err error) error {
	e.corrupt.Add(1)
	e.log.Error("data on disk can't be decoded", "shard", uint64(id), "key", fmt.Sprintf("%x", key), "err", err)
	return err
}

// errBroken is the error of commits whose outcome is unknown, or that come after one.
func errBroken() error {
	return holdfast.Errorf(holdfast.Unavailable, "the disk failed, and nothing can be written until a restart")
}

// discard is the log of a Store that was given none.
func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
