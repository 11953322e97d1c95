package router

import (
	"slices"
	"sync"
	"sync/atomic"
)

// A flushBarrier puts flushes of a replicated pool in one order with its writes and copies. Without
// it
//
//  1. Member C has come back without k. A read of k misses there, and the copy of k from A to C
//     begins: A answers with the item.
//  2. flush_all goes to A, B and C, which answer. The client reads OK.
//  3. The copy adds k to C, where the flushed value is found from now on.
//
// and likewise a write that was acknowledged before the flush began, but is still in flight to a
// member (acknowledge: first, fastest, none), reaches that member behind the flush; and two writes
// with a flush between them on some members, but before or behind them on others, leave different
// items.
//
// So a flush
//
//  1. is counted: a write or a copy that comes from now on waits for it to end, and reads of its
//     key wait behind that;
//  2. waits until all latches are released that were held, also by the writes that had waited for
//     those;
//  3. goes to all members, and is answered once each has it or has it in its journal;
//  4. ends. What has waited for it goes on, and the next flush in line comes to its step 2.
//
// As a write waits only for flushes that came before it, flushes without end don't keep it waiting.
//
// Reads that a client has sent behind its flush_all must not go before it to a member: as long as
// it has not come to step 3, the reads of its lane wait for step 4. Those of other lanes are of
// other connections.
type flushBarrier struct {
	begun, ended atomic.Uint64 // flushes that came to step 1, and to step 4

	undrained atomic.Int32 // stripes with latches that step 2 waits for
	unsent    atomic.Int32 // flushes that have not come to step 3

	mu      sync.Mutex // guards flushes and what is in it; nothing is locked with it
	flushes []*poolFlush
}

// A poolFlush is a flush of the pool: the first in line is at its steps, the others wait for it.
type poolFlush struct {
	lane *lane
	run  func() // step 3, with the lane locked
	sent bool
}

// flush has run called on its lane, which is locked, when it is this flush's turn: at once if
// nothing is in its way. endFlush must follow.
func (t *latches) flush(l *lane, run func()) {
	b := &t.barrier
	f := &poolFlush{lane: l, run: run}
	b.unsent.Add(1)
	b.mu.Lock()
	b.begun.Add(1)
	b.flushes = append(b.flushes, f)
	turn := len(b.flushes) == 1
	b.mu.Unlock()
	if turn && t.drain() {
		b.send(f)
	}
}

// drain is step 2, and reports whether nothing is held; if not, drained follows for the first flush
// in line. No latch of a stripe that it has seen is taken by what came after the flush was counted.
func (t *latches) drain() bool {
	t.barrier.undrained.Store(latchStripes + 1) // one for this loop
	idle := int32(1)
	for i := range t.stripes {
		s := &t.stripes[i]
		s.mu.Lock()
		s.awaited = s.running > 0
		if !s.awaited {
			idle++
		}
		s.mu.Unlock()
	}
	return t.barrier.undrained.Add(-idle) == 0
}

// drained notes that the last latch of a stripe was released, or of several.
func (b *flushBarrier) drained() {
	if b.undrained.Add(-1) > 0 {
		return
	}
	b.mu.Lock()
	f := b.flushes[0]
	b.mu.Unlock()
	f.lane.loop.Post(func() { f.lane.enter(func() { b.send(f) }) })
}

// send is step 3. f's lane is locked.
func (b *flushBarrier) send(f *poolFlush) {
	b.mu.Lock()
	f.sent = true
	b.mu.Unlock()
	b.unsent.Add(-1)
	f.run()
}

// holds reports whether a flush of the lane has not been sent: reads must wait, which their clients
// may have sent behind it.
func (b *flushBarrier) holds(l *lane) bool {
	if b.unsent.Load() == 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.flushes, func(f *poolFlush) bool { return f.lane == l && !f.sent })
}

// endFlush is step 4, of the flush that has run.
func (t *latches) endFlush() {
	t.barrier.ended.Add(1)
	for i := range t.stripes {
		s := &t.stripes[i]
		s.mu.Lock()
		var next []latched
		for key, h := range s.held {
			if h.parked {
				next = append(next, s.handOn(t, key, keyHash([]byte(key)))...)
			}
		}
		s.mu.Unlock()
		for _, w := range next {
			w.post()
		}
	}
	b := &t.barrier
	b.mu.Lock()
	b.flushes = b.flushes[1:]
	var f *poolFlush
	if len(b.flushes) > 0 {
		f = b.flushes[0]
	}
	b.mu.Unlock()
	if f != nil && t.drain() {
		f.lane.loop.Post(func() { f.lane.enter(func() { b.send(f) }) })
	}
}
