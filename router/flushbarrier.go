package router

import (
	"slices"
	"sync"
	"sync/atomic"
)

// A flushBarrier orders the flushes of a replicated pool with its writes and copies. Without it:
//
//  1. Member C has come back without k. A read of k misses there, and the copy of k from A to C
//     begins: A answers with the item.
//  2. flush_all goes to A, B and C, which answer. The client reads OK.
//  3. The copy adds k to C, where later reads find the flushed value.
//
// Likewise a write that was acknowledged before the flush began, but is still in flight to a member
// (acknowledge: first, fastest, none), could reach that member after the flush. And if a flush
// comes between two writes on some members, and before or after both on others, the members hold
// different items.
//
// So a flush takes four steps:
//
//  1. It is counted. A write or a copy that comes from now on waits for the flush to end, and reads
//     of its key wait for that write.
//  2. It waits until all latches that are held are released, and also those of the writes that
//     already wait for them.
//  3. It is sent to all members, and answered once each has answered it or has it in its journal.
//  4. It ends. Those that waited for it continue, and the next flush begins its step 2.
//
// A write waits only for the flushes that came before it, so that a stream of flushes can't delay
// it for ever.
//
// Reads that a client sends after its flush_all must not reach a member before the flush does:
// until the flush has come to step 3, the reads of its lane wait for step 4. Reads of other lanes
// are of other connections.
type flushBarrier struct {
	begun, ended atomic.Uint64 // flushes that have come to step 1, and to step 4

	undrained atomic.Int32 // stripes with latches that step 2 waits for, + 1 while drain runs
	unsent    atomic.Int32 // flushes that have not come to step 3

	mu      sync.Mutex // guards flushes and what is in it; nothing is locked with it
	flushes []*poolFlush
}

// A poolFlush is a flush of the pool. The first in flushBarrier.flushes takes its steps; the others
// wait for it.
type poolFlush struct {
	lane *lane
	run  func() // step 3, with the lane locked
	sent bool
}

// flush calls run for step 3, on lane l, which is locked: at once if no other flush and no latch is
// in the way, or later. The caller must then call endFlush.
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

// drain is step 2. It reports whether no latch is held; if some are, drained is called when the
// last of them is released. In a stripe that drain has visited, a write or copy that came after the
// flush was counted takes no latch.
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

// drained is called when the last latch of a stripe is released. After the last stripe it posts
// step 3.
func (b *flushBarrier) drained() {
	if b.undrained.Add(-1) > 0 {
		return
	}
	b.mu.Lock()
	f := b.flushes[0]
	b.mu.Unlock()
	f.lane.loop.Post(func() { f.lane.Enter(func() { b.send(f) }) })
}

// send is step 3. f's lane is locked.
func (b *flushBarrier) send(f *poolFlush) {
	b.mu.Lock()
	f.sent = true
	b.mu.Unlock()
	b.unsent.Add(-1)
	f.run()
}

// holds reports whether the lane has a flush that has not been sent: its reads must wait, because
// their clients may have sent them after the flush.
func (b *flushBarrier) holds(l *lane) bool {
	if b.unsent.Load() == 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.flushes, func(f *poolFlush) bool { return f.lane == l && !f.sent })
}

// endFlush is step 4 of the flush that was sent.
func (t *latches) endFlush() {
	t.barrier.ended.Add(1)
	for i := range t.stripes {
		s := &t.stripes[i]
		s.mu.Lock()
		var next []latched
		for key, h := range s.held {
			if h.parked {
				next = append(next, s.passOn(t, key, keyHash([]byte(key)))...)
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
		f.lane.loop.Post(func() { f.lane.Enter(func() { b.send(f) }) })
	}
}
