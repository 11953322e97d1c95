package shard

import (
	"context"
	"errors"
	"log/slog"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// What is in a Store's directory, beside the ballast and the control file.
const (
	engineDir = "pebble" // Pebble's
	buildDir  = "build"  // sorted tables of a copy, or a snapshot, that is being made; emptied at a start
)

// A Store is the disk of a node.
type Store struct {
	dir      string
	readOnly bool
	log      *slog.Logger
	now      func() time.Time
	logAge   time.Duration // Options.LogAge
	logBytes int64         // Options.LogBytes
	boot     string        // Options.Boot
	term     uint64        // Options.term

	engine    *engine
	entries   entryLog // gives the shards' entries their order
	space     *space
	lock      *pebble.Lock // of the database's directory
	control   *controlFile // nil while reading only
	reclaimer *reclaimer   // nil while reading only

	former     bool      // the records are where format 1 has them: only while the store is opened or reading only
	takeovers  takeovers // used while the store is opened, and with mu
	tableBytes int       // Options.tableBytes

	gate    gate
	closing chan struct{} // closed when Close begins

	ledger  atomic.Pointer[Ledger] // set by UseLedger; nil: there is none yet
	records sequencer              // of the commits that change records; its indexes aren't on disk
	free    sync.Pool              // of *commit, for their memory
	builds  atomic.Uint64          // names files in buildDir
	commits atomic.Uint64          // that were done

	checksums checksums

	mu     sync.Mutex                  // guards shards
	shards map[holdfast.ShardID]*Shard // those that are open
	trims  sync.Mutex                  // held by Trim
}

// newStore returns a store whose database isn't open yet.
func newStore(o Options) *Store {
	s := &Store{
		dir: o.Dir, readOnly: o.ReadOnly, log: o.Log, now: o.Now, logAge: o.LogAge, logBytes: o.LogBytes, boot: o.Boot,
		term:   o.term,
		engine: newEngine(o.Log, o.Fatal), gate: gate{idle: make(chan struct{})},
		closing: make(chan struct{}), shards: map[holdfast.ShardID]*Shard{},
	}
	s.tableBytes, s.takeovers.batchBytes = o.tableBytes, o.batchBytes
	s.checksums.rate = o.ChecksumBytesPerSecond
	s.records.engine, s.records.flush = s.engine, s.engine.sync
	s.entries = &singleLog{engine: s.engine, now: o.Now}
	return s
}

// Close waits for calls in progress and cursors, and closes the store. Later calls get Closed. It
// may be called more than once.
func (s *Store) Close() error {
	s.mu.Lock()
	select {
	case <-s.closing:
	default:
		close(s.closing)
	}
	s.mu.Unlock()
	if !s.gate.shut() {
		<-s.gate.idle
		return nil
	}
	select {
	case <-s.engine.broken: // Pebble's locks may be held for ever
		if s.control != nil {
			_ = s.control.close(false)
		}
		return errBroken()
	default:
	}
	err := s.engine.fault("closing", s.engine.db.Close())
	if s.control != nil {
		err = errors.Join(err, s.control.close(err == nil))
	}
	return errors.Join(err, s.lock.Close())
}

// A Get asks for one item.
type Get struct {
	Shard *Shard
	Key   item.Key
}

// GetAll returns the items of one snapshot, nil where there is none. A commit that changed several
// of them is seen whole or not at all. So shards that have groups are read only where all of them are
// led, with the ledger: replicas of others may have one part of a transaction and not yet another. The
// error is NotLeader then.
func (s *Store) GetAll(ctx context.Context, gets []Get) ([]item.Item, error) {
	if err := s.gate.enter(); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	seen := make([]lockState, len(gets))
	for i, g := range gets {
		seen[i] = g.Shard.locks.state()
	}
	l := s.ledger.Load()
	reigns, err := l.reigns(gets)
	if err != nil {
		return nil, err
	}
	view, err := s.engine.view()
	if err != nil {
		return nil, err
	}
	defer view.Close()
	items, waits := make([]item.Item, len(gets)), false
	for i, g := range gets {
		if err := ctx.Err(); err != nil {
			return nil, ended(ctx)
		}
		if g.Shard.locks.none(seen[i]) {
			items[i], err = g.Shard.items.get(view, g.Key)
		} else {
			var is standing
			items[i], is, err = l.current(view, g.Shard, g.Key)
			waits = waits || is == decided
		}
		if err != nil {
			return nil, err
		}
	}
	for i, before := range reigns {
		if err := l.lasts(gets[i].Shard, before); err != nil {
			return nil, err
		}
	}
	for _, g := range gets {
		q := &g.Shard.sequencer
		if err := q.waitDurable(ctx, q.marks[stripeOf(g.Key.Hash())].Load()); err != nil {
			return nil, err
		}
	}
	if waits {
		return items, l.waitDurable(ctx)
	}
	return items, nil
}

// Stats are a store's numbers. Those that count rise from its opening.
type Stats struct {
	Commits      uint64
	CorruptReads uint64
	WriteStalls  uint64
	Full         bool  // writes are refused
	FreeBytes    int64 // of the disk; 0: not known
	DiskBytes    int64 // that the store takes
	LogBytes     int64 // of all shards' changes, before compression

	CompactionDebtBytes    int64
	CacheHits, CacheMisses int64
}

// Stats returns the store's statistics. After Close they are zero.
func (s *Store) Stats() Stats {
	if s.gate.enter() != nil {
		return Stats{}
	}
	defer s.gate.leave()
	m, disk := s.engine.db.Metrics(), s.space.status()
	st := Stats{
		Commits: s.commits.Load(), CorruptReads: s.engine.corrupt.Load(), WriteStalls: s.engine.stalls.Load(),
		FreeBytes: disk.FreeBytes, Full: disk.Full, DiskBytes: diskBytes(m),
		CompactionDebtBytes: int64(m.Compact.EstimatedDebt),
		CacheHits:           m.BlockCache.Hits, CacheMisses: m.BlockCache.Misses,
	}
	if s.reclaimer != nil {
		st.DiskBytes -= s.reclaimer.logs.bytes()
	}
	for _, sh := range s.opened() {
		st.LogBytes += sh.Counts().LogBytes
	}
	return st
}

// diskBytes returns how many bytes Pebble's files have. Its own sum has only the blob files that were
// made since it was opened, and subtracts those that were removed since.
func diskBytes(m *pebble.Metrics) int64 {
	return int64(m.DiskSpaceUsage() - m.BlobFiles.Local.LiveSize + m.BlobFiles.LiveSize)
}

// opened returns the shards that are open, by rising ID.
func (s *Store) opened() []*Shard {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*Shard, 0, len(s.shards))
	for _, sh := range s.shards {
		all = append(all, sh)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].id < all[j].id })
	return all
}
