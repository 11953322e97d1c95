package cache

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"holdfast/mrc"
)

// This file opens, connects and closes the parts of a store. Nothing else uses the store during
// Open and Close; Tick and flush take the locks that they need.

// A Store is a cache: an mc.Handler over items in a fixed amount of memory.
type Store struct {
	engine
	warmed bool
	cold   string
	lanes  []lane
}

// An engine is what all lanes share. The comment of each part names the lock that guards it.
type engine struct {
	*arena
	index     index
	segments  segments
	lifetimes lifetimes
	evictor   evictor
	watch     watch
	counting  prefixRule
	curve     *mrc.Sampler
	answers   encoder

	itemMaxBytes int
}

// Open returns an empty store, or the one that o.File holds after a clean stop. Close releases its
// memory.
func Open(o Options) (*Store, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	a, warm, cold, err := openArena(o)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	s := &Store{warmed: warm, cold: cold, lanes: make([]lane, o.Lanes)}
	s.arena, s.itemMaxBytes = a, o.ItemMaxBytes
	s.answers = encoder{segments: &s.segments, lifetimes: &s.lifetimes, noCAS: o.NoCAS}
	s.counting.delimiter = o.Delimiter
	s.counting.on.Store(o.Detail)
	s.lifetimes.start(&o)
	s.curve = mrc.New(mrc.Options{MaxBytes: maxTimes * o.MemoryBytes, Requests: s.requests})
	s.join(o.NoEvict)
	if warm {
		s.resume()
	} else {
		s.begin(o.Seed)
	}
	return s, nil
}

// join sets the parts' references to each other.
func (s *Store) join(noEvict bool) {
	a := s.arena
	s.segments.arena, s.segments.table = a, a.segmentTable()
	s.index.arena, s.index.segments, s.index.dir = a, &s.segments, a.directory(indexDirectory)
	s.evictor = evictor{arena: a, index: &s.index, segments: &s.segments, lifetimes: &s.lifetimes, curve: s.curve,
		watch: &s.watch, noEvict: noEvict, victim: sweep{seg: none}, expiring: sweep{seg: none},
		ghosts: ghosts{arena: a, segments: &s.segments, dir: a.directory(ghostDirectory)}}
	s.evictor.losses.prefixes.rule = &s.counting
	for i := range s.lanes {
		l := &s.lanes[i]
		l.engine, l.orphans, l.prefixes.rule = &s.engine, none, &s.counting
	}
}

// Warm reports whether Open found the items of a clean stop. If not, why is the reason, or empty if
// there was no file.
func (s *Store) Warm() (warm bool, why string) { return s.warmed, s.cold }

// requests returns the number of gets since the start, for the curve.
func (s *Store) requests() (n uint64) {
	for i := range s.lanes {
		n += s.lanes[i].gets.Load()
	}
	return n
}

// begin initializes the mapping as an empty store.
func (s *Store) begin(seed uint64) {
	for seed == 0 {
		var b [8]byte
		rand.Read(b[:]) // never fails
		seed = binary.LittleEndian.Uint64(b[:])
	}
	s.head.seed = seed
	s.segments.reset()
	s.index.reset(seed)
}

// resume continues with the store in the mapping. The file is marked as not clean until Close.
func (s *Store) resume() {
	h := s.head
	s.lifetimes.restore(h)
	s.segments.restore(h)
	s.index.restore(h)
	s.evictor.ghosts.state = h.ghosts
	s.counting.since = s.lifetimes.seq.Load()
}

// Close closes the store. If it has a file, the next Open finds its items there. Nothing may use
// the store, or hold one of its values, any more.
func (s *Store) Close() error {
	if err := s.CheckFile(); err != nil {
		return errors.Join(err, s.unmap()) // without marking the file as clean
	}
	s.segments.mu.Lock()
	defer s.segments.mu.Unlock()
	s.evictor.stop()
	h := s.head
	s.lifetimes.save(h)
	s.segments.save(h)
	s.index.save(h)
	h.ghosts = s.evictor.ghosts.state
	s.markClean()
	return s.unmap()
}

// Tick sets the store's clock to the present time and frees the memory of expired items. It must be
// called about once per second; items don't expire between calls.
func (s *Store) Tick() {
	if s.file != nil {
		defer s.explainFault()
		debug.SetPanicOnFault(true)
	}
	now, flush := s.lifetimes.tick()
	if flush {
		s.flush()
	}
	s.evictor.expire(now)
}

// AdvanceClock moves the store's clock ahead, for memcached-debug's command debugtime, by which
// memcached's own tests let items expire. See server.Clock.
func (s *Store) AdvanceClock(by time.Duration) {
	s.lifetimes.ahead.Add(int64(by / time.Second))
	s.lifetimes.now.Add(uint32(by / time.Second))
	s.Tick()
}

// PauseClock stops or resumes the store's clock, for the same command.
func (s *Store) PauseClock(paused bool) {
	s.lifetimes.stopped.Store(paused)
	s.Tick()
}

// flush makes all present items gone at once. Tick frees their memory.
func (e *engine) flush() {
	e.segments.mu.Lock()
	defer e.segments.mu.Unlock()
	// Under all stripes, so that a mutation such as an append, which reads an item and stores the
	// result with a new sequence number, is ordered as a whole before the flush or after it.
	for i := range e.index.stripes {
		e.index.stripes[i].Lock()
	}
	e.lifetimes.flushed.Store(e.lifetimes.seq.Load())
	for i := range e.index.stripes {
		e.index.stripes[i].Unlock()
	}
	e.curve.DeleteAll()
	e.segments.wakeAll()
}
