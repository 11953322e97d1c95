package router

import (
	"sync"
	"sync/atomic"
)

// latches let one write at a time go to the members of a replicated pool under each key, over all
// lanes: so all members get the writes of a key in the same order. They also tell reads of keys that
// are being written, which may not go to any member.
type latches struct {
	stripes [latchStripes]latchStripe
	// writing counts the latched keys by their hash: a read of a key with 0 needs no lock to see that
	// nothing is written.
	writing [latchCounts]atomic.Int32
}

const (
	latchStripes = 64
	latchCounts  = 4096
)

type latchStripe struct {
	mu   sync.Mutex // guards held and what is in it; nothing is locked with it
	held map[string]*latch
	_    [40]byte
}

// A latch is that of a key that is being written.
type latch struct {
	first   int // the member that gets the write first, and answers reads meanwhile
	waiting []latched
}

// latched is what waits for a latch: a write, which has it then, or a read, which goes on once the
// writes before it are done.
type latched struct {
	lane *lane
	read bool
	run  func()
}

func (t *latches) stripe(hash uint64) *latchStripe { return &t.stripes[hash%latchStripes] }

// busy reports whether a key with this hash may be latched.
func (t *latches) busy(hash uint64) bool { return t.writing[hash/latchStripes%latchCounts].Load() > 0 }

// acquire latches key for a write, or has it wait: then w.run is called on its lane once it has the
// latch.
func (t *latches) acquire(key []byte, hash uint64, w latched) bool {
	s := t.stripe(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.held[string(key)]; h != nil {
		h.waiting = append(h.waiting, w)
		return false
	}
	if s.held == nil {
		s.held = map[string]*latch{}
	}
	s.held[string(key)] = &latch{first: -1}
	t.writing[hash/latchStripes%latchCounts].Add(1)
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
	if h == nil || h.first == first && first >= 0 && len(h.waiting) == 0 { // none waits that the client may have sent before
		return false
	}
	h.waiting = append(h.waiting, w)
	return true
}

// release hands the latch on, or ends it. Reads that waited go on, up to the next write.
func (t *latches) release(key []byte, hash uint64) {
	s := t.stripe(hash)
	s.mu.Lock()
	h := s.held[string(key)]
	var next []latched
	for len(h.waiting) > 0 {
		w := h.waiting[0]
		h.waiting = h.waiting[1:]
		next = append(next, w)
		if !w.read {
			break
		}
	}
	if n := len(next); n == 0 || next[n-1].read {
		delete(s.held, string(key))
		t.writing[hash/latchStripes%latchCounts].Add(-1)
	} else {
		h.first = -1
	}
	s.mu.Unlock()
	for _, w := range next {
		w.lane.loop.Post(func() { w.lane.enter(w.run) })
	}
}
