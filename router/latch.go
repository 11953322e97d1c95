package router

import (
	"sync"
	"sync/atomic"
)

// latches let one write at a time go to the members of a replicated pool under each key, over all
// lanes: so all members get the writes of a key in the same order. They also tell reads of keys
// that are being written, which may not go to any member. A flush closes them all: see
// flushbarrier.go.
type latches struct {
	stripes [latchStripes]latchStripe
	// writing counts the latched keys by their hash: a read of a key with 0 needs no lock to see that
	// nothing is written.
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
	running int  // latches in held that a write or a copy has; the others are parked
	awaited bool // a flush waits until none is running
	_       [24]byte
}

// A latch is that of a key that is being written, or will be after a flush.
type latch struct {
	first   int  // the member that gets the write first, and answers reads meanwhile
	parked  bool // nothing has the latch: what waits goes on after a flush
	waiting []latched
}

// latched is what waits for a latch: a write or a copy, which has it then, or a read, which goes on
// once the writes before it are done.
type latched struct {
	lane *lane
	read bool
	run  func()

	flushes uint64 // how many there were before it, by flushBarrier.begun; 0 of a read that needn't wait for them
}

// post has w go on.
func (w latched) post() { w.lane.loop.Post(func() { w.lane.enter(w.run) }) }

func (t *latches) stripe(hash uint64) *latchStripe { return &t.stripes[hash%latchStripes] }

// busy reports whether a key with this hash may be latched.
func (t *latches) busy(hash uint64) bool { return t.writing[hash/latchStripes%latchCounts].Load() > 0 }

// acquire latches key for a write, or has it wait: then w.run is called on its lane once it has the
// latch.
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

// setFirst notes which member the write that has the latch goes to first.
func (t *latches) setFirst(key []byte, hash uint64, first int) {
	s := t.stripe(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[string(key)].first = first
}

// await has a read wait for the writes under key, unless there are none, or it may ask first, the
// member that has them first. It reports whether the read waits: w.run is then called on its lane.
func (t *latches) await(key []byte, hash uint64, first int, w latched) bool {
	s := t.stripe(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held[string(key)]
	// none waits that the client may have sent before
	if h == nil || h.first == first && first >= 0 && len(h.waiting) == 0 {
		return false
	}
	h.waiting = append(h.waiting, w)
	return true
}

// park has a read wait for the flushes that were counted before, and for the writes before it.
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

// release passes the latch on, or ends it. Reads that waited go on, up to the next write, and that
// too, unless a flush came before it.
func (t *latches) release(key []byte, hash uint64) {
	s := t.stripe(hash)
	s.mu.Lock()
	next := s.handOn(t, string(key), hash)
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

// handOn ends what has the latch of key, if anything has, and returns what goes on. s.mu is held.
func (s *latchStripe) handOn(t *latches, key string, hash uint64) (next []latched) {
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
