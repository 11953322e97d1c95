package cache

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"

	"holdfast/mrc"
)

// This file opens, joins and closes the parts of a store. Open and Close have the store for
// themselves; Tick and flush take the locks that they need.

// A Store is a cache: an mc.Handler over items in a fixed amount of memory.
type Store struct {
	engine
	warmed bool
	cold   string
	lanes  []lane
}

// An engine is what the lanes share. The comment of each part names the lock that guards it.
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

// join gives the parts what they need of each other.
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

// Warm reports whether Open found the items of a clean stop; if not, why is the reason, and empty
// where there was no file.
func (s *Store) Warm() (warm bool, why string) { return s.warmed, s.cold }

// requests is the number of gets since the start, for the curve.
func (s *Store) requests() (n uint64) {
	for i := range s.lanes {
		n += s.lanes[i].gets.Load()
	}
	return n
}

// begin makes the mapping an empty store.
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

// resume continues the store that the mapping holds. Until Close, the file is not clean.
func (s *Store) resume() {
	h := s.head
	s.lifetimes.restore(h)
	s.segments.restore(h)
	s.index.restore(h)
	s.evictor.ghosts.state = h.ghosts
}

// Close ends the store. If it has a file, the next Open finds its items there. Nothing may use the
// store any more, nor hold a value of it.
func (s *Store) Close() error {
	if err := s.CheckFile(); err != nil {
		return errors.Join(err, s.unmap()) // the file stays marked as not clean
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

// Tick moves the store's clock to the present and gives back the memory of what has expired. It
// is to be called about once a second; until then, items live on.
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

// flush makes every item that there is gone, at once; Tick gives the memory back.
func (e *engine) flush() {
	e.segments.mu.Lock()
	defer e.segments.mu.Unlock()
	// With every stripe, so that an append or the like, which looks at an item and then gives what it
	// made of it a new sequence number, comes before the flush as a whole or after it.
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
