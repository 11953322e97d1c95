package router

import (
	"sync"
	"sync/atomic"
)

// latches let one write per key at a time go to the members of a replicated pool, over all lanes,
// so that all members get the writes of a key in the same order. They also show which keys are
// being written: reads of those may not go to just any member. A flush waits until no latch is
// held: see flushbarrier.go.
type latches struct {
	stripes [latchStripes]latchStripe
	// writing counts the latched keys by their hash. A read of a key whose count is 0 takes no lock.
	writing [latchCounts]atomic.Int32
	barrier flushBarrier
	newest  atomic.Pointer[replicated] // the pool in the newest tree; nil if it isn't replicated
}

const (
	latchStripes = 64
	latchCounts  = 4096
)

type latchStripe struct {
	mu      sync.Mutex // guards what follows; nothing is locked with it
	held    map[string]*latch
	running int  // latches in held that a write or a copy holds; the others are parked
	awaited bool // a flush waits until running is 0
	_       [24]byte
}

// A latch is held for a key that is being written, or that will be written after a flush.
type latch struct {
	first   int  // the member that gets the write first, and answers reads meanwhile; -1 is none yet
	parked  bool // nothing holds the latch: those in waiting continue after a flush
	waiting []latched
}

// A latched waits for a latch: a write or a copy, which then holds it, or a read, which continues
// once the writes before it are done.
type latched struct {
	lane *lane
	read bool
	run  func()

	flushes uint64 // flushBarrier.begun when it came; 0 for a read that needn't wait for flushes
}

// post runs w on its lane, soon.
func (w latched) post() { w.lane.loop.Post(func() { w.lane.Enter(w.run) }) }

func (t *latches) stripe(hash uint64) *latchStripe { return &t.stripes[hash%latchStripes] }

// busy reports whether a key with this hash may be latched.
func (t *latches) busy(hash uint64) bool { return t.writing[hash/latchStripes%latchCounts].Load() > 0 }

// acquire latches key for a write or a copy, and reports whether it has the latch now. Otherwise
// w.run is called on w's lane once it has the latch.
func (t *latches) acquire(key []byte, hash uint64, w latched) bool {
	s := t.stripe(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	w.flushes = t.barrier.begun.Load()
	if h := s.held[string(key)]; h != nil {
		h.waiting = append(h.waiting, w)
		return false
	}
	if s.held == nil {
		s.held = map[string]*latch{}
	}
	t.writing[hash/latchStripes%latchCounts].Add(1)
	if w.flushes > t.barrier.ended.Load() {
		s.held[string(key)] = &latch{first: -1, parked: true, waiting: []latched{w}}
		return false
	}
	s.running++
	s.held[string(key)] = &latch{first: -1}
	return true
}

// setFirst records which member the write that holds the latch goes to first.
func (t *latches) setFirst(key []byte, hash uint64, first int) {
	s := t.stripe(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[string(key)].first = first
}

// await makes a read wait for the writes of key, unless there are none, or the read may go to the
// member first, which gets each write before the others. It reports whether the read waits: then
// w.run is called on w's lane.
func (t *latches) await(key []byte, hash uint64, first int, w latched) bool {
	s := t.stripe(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held[string(key)]
	// a write that waits may be of this read's client, sent before the read
	if h == nil || h.first == first && first >= 0 && len(h.waiting) == 0 {
		return false
	}
	h.waiting = append(h.waiting, w)
	return true
}

// park makes a read wait for the flushes that were counted before it, and for the writes before it.
func (t *latches) park(key []byte, hash uint64, w latched) {
	s := t.stripe(hash)
	s.mu.Lock()
	w.flushes = t.barrier.begun.Load()
	if w.flushes <= t.barrier.ended.Load() && s.held[string(key)] == nil {
		s.mu.Unlock()
		w.post()
		return
	}
	defer s.mu.Unlock()
	h := s.held[string(key)]
	if h == nil {
		if s.held == nil {
			s.held = map[string]*latch{}
		}
		h = &latch{first: -1, parked: true}
		s.held[string(key)] = h
		t.writing[hash/latchStripes%latchCounts].Add(1)
	}
	h.waiting = append(h.waiting, w)
}

// release passes the latch on to the next write, or removes it. The reads that waited before that
// write continue. If a flush came before the next write, the latch is parked.
func (t *latches) release(key []byte, hash uint64) {
	s := t.stripe(hash)
	s.mu.Lock()
	next := s.passOn(t, string(key), hash)
	drained := s.awaited && s.running == 0
	if drained {
		s.awaited = false
	}
	s.mu.Unlock()
	for _, w := range next {
		w.post()
	}
	if drained {
		t.barrier.drained()
	}
}

// passOn takes the latch of key from its holder, if it has one, and returns those that continue.
// s.mu is held.
func (s *latchStripe) passOn(t *latches, key string, hash uint64) (next []latched) {
	h := s.held[key]
	if !h.parked {
		s.running--
	}
	h.first, h.parked = -1, false
	for len(h.waiting) > 0 {
		w := h.waiting[0]
		if w.flushes > t.barrier.ended.Load() {
			h.parked = true
			return next
		}
		h.waiting = h.waiting[1:]
		next = append(next, w)
		if !w.read {
			s.running++
			return next
		}
	}
	delete(s.held, key)
	t.writing[hash/latchStripes%latchCounts].Add(-1)
	return next
}
