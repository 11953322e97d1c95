package cache

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"holdfast/mrc"
)

// A Store is a cache: an mc.Handler over items in a fixed amount of memory.
type Store struct {
	*arena
	itemMaxBytes int
	noEvict      bool
	noCAS        bool
	delimiter    byte
	ttls         []TTLRule // longest prefix first
	clock        func() time.Time
	started      time.Time
	warmed       bool
	cold         string

	lanes []lane
	index index
	curve *mrc.Sampler

	now          atomic.Uint32 // Unix seconds
	clockAhead   atomic.Int64  // seconds: see AdvanceClock
	clockStopped atomic.Bool
	seq          atomic.Uint64 // the last sequence number given
	flushed      atomic.Uint64 // items with a sequence number up to this one are gone
	flushAt      atomic.Uint32 // Unix seconds of a flush to come, 0 none
	detail       atomic.Bool   // count by prefix
	observer     atomic.Pointer[Observer]

	segments segments // its mu guards all below too

	ghostDir []uint32
	ghosts   ghostState
	evict    sweep
	expiring sweep
	evicted  losses
	mainFull bool   // the main ring has had a victim
	spared   int    // main segments in a row that were put back: see chooseVictim
	looked   uint32 // where mostlyDead goes on
}

// Open makes a store: an empty one, or the one that o.File holds from a clean stop. Its memory is
// released by Close.
func Open(o Options) (*Store, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	a, warm, cold, err := openArena(o)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	s := &Store{arena: a, itemMaxBytes: o.ItemMaxBytes, noEvict: o.NoEvict, noCAS: o.NoCAS, delimiter: o.Delimiter,
		clock: o.Now, warmed: warm, cold: cold, ttls: slices.Clone(o.TTLs)}
	slices.SortStableFunc(s.ttls, func(a, b TTLRule) int { return cmp.Compare(len(b.Prefix), len(a.Prefix)) })
	s.segments.arena, s.segments.table = a, a.segmentTable()
	s.index.arena, s.index.segments, s.index.dir = a, &s.segments, a.directory(indexDirectory)
	s.ghostDir = a.directory(ghostDirectory)
	s.curve = mrc.New(mrc.Options{MaxBytes: maxTimes * o.MemoryBytes, Requests: s.requests})
	s.lanes = make([]lane, o.Lanes)
	for i := range s.lanes {
		s.lanes[i].orphans = none
	}
	s.detail.Store(o.Detail)
	s.evict.seg, s.expiring.seg = none, none
	s.started = s.clock()
	s.now.Store(s.unixNow())
	if warm {
		s.resume()
	} else {
		s.begun(o.Seed)
	}
	return s, nil
}

// Warm reports whether Open found the items of a clean stop; if not, why says why, and is empty
// where there was nothing to find.
func (s *Store) Warm() (warm bool, why string) { return s.warmed, s.cold }

// requests is how many gets there have been, for the curve.
func (s *Store) requests() (n uint64) {
	for i := range s.lanes {
		n += s.lanes[i].gets.Load()
	}
	return n
}

// begun makes the mapping an empty store.
func (s *Store) begun(seed uint64) {
	for seed == 0 {
		var b [8]byte
		rand.Read(b[:]) // never fails
		seed = binary.LittleEndian.Uint64(b[:])
	}
	s.head.seed = seed
	s.segments.reset()
	s.index.reset(seed)
}

// resume takes up the mapping's store. Until Close, the file is not clean.
func (s *Store) resume() {
	h := s.head
	s.seq.Store(h.seq)
	s.flushed.Store(h.flushed)
	s.flushAt.Store(uint32(h.flushAt))
	s.segments.restore(h)
	s.index.restore(h)
	s.ghosts = h.ghosts
}

// Close ends the store. If it has a file, the next Open finds its items there. Nothing may use the
// store any more, nor hold a value of it.
func (s *Store) Close() error {
	if err := s.CheckFile(); err != nil {
		return errors.Join(err, s.unmap()) // the file stays marked as not clean
	}
	s.segments.mu.Lock()
	defer s.segments.mu.Unlock()
	for _, w := range []*sweep{&s.evict, &s.expiring} {
		if w.seg != none {
			s.giveUp(w)
		}
	}
	h := s.head
	h.stoppedAt = uint64(s.now.Load())
	h.seq, h.flushed, h.flushAt = s.seq.Load(), s.flushed.Load(), uint64(s.flushAt.Load())
	s.segments.save(h)
	s.index.save(h)
	h.ghosts = s.ghosts
	s.markClean()
	return s.unmap()
}
