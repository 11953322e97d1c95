package cache

import (
	"math"
	"sync/atomic"

	"holdfast/mrc"
)

// This file changes the evictor, whose fields segments.mu guards, and through their methods
// segments and ghosts under the same lock; and items and slots, each under its stripe, which is
// taken second.
//
// Eviction is S3-FIFO on segments. New items go to the small ring, or to the main ring if their key
// has a ghost. A victim is the oldest segment of a ring. An item of the small ring moves to the
// main ring if it was read twice, goes through the small ring once more if it was read once, and is
// evicted otherwise, leaving a ghost. An item of the main ring stays, with one read less, if it was
// read, and is evicted otherwise. (In the paper one read takes an item to the main ring. The second
// round in the small ring saves 0.5 % of the requests on a small cache of the shop trace, and costs
// nothing on the others: docs/decisions.)
//
// The naive way is to empty a whole victim whenever memory runs out: with segments of thousands of
// items that would block a store, and its event loop, for a millisecond. So each store sweeps a few
// items of the victim as soon as few segments are free, and usually finds a free segment when it
// needs one. No pause depends on the number of items.
//
// Two invariants: stores never take the reserve of free segments, so sweeping, which moves
// survivors to other segments, always finds memory; and a segment is freed only after each of its
// items was unlinked or moved under that item's stripe.

const (
	// maxVictims bounds the work for one free segment if only dead space may be reclaimed.
	maxVictims = 64
	// paceItems is the number of items that a store sweeps when few segments are free, which takes
	// some microseconds. (With 8, victims last so long that 0.05 % more of the shop trace misses.)
	paceItems = 32
	// sampleSegments is the number of segments that are examined to find one that is mostly dead.
	sampleSegments = 32
	// keepRounds is the number of victims of the main ring in a row that may end without a free
	// segment before items need one more read to be kept. It bounds the work for one free segment.
	keepRounds = 4
	// smallParts is the inverse of the small ring's share of the items' segments. (With a tenth, as in
	// the paper, small caches miss much more, and an adaptive share is worse still: docs/decisions.)
	smallParts = 5
	// promoteReads is the number of reads that take an item from the small ring to the main ring. One
	// is enough until the main ring has been full for the first time.
	promoteReads = 2
)

// What a sweep does with live items.
const (
	demote  = iota // small ring: promote those that were read, evict the others
	recycle        // main ring: keep those that were read, evict the others
	gather         // dead space, or expired items: keep all
)

// A sweep is a victim and how much of it has been emptied.
type sweep struct {
	seg     uint32 // the victim, or none
	at      int    // offset in bytes of its next item
	purpose uint8
	keep    uint64 // recycle: items with at least this many reads are kept
}

// wakeItems is the number of items that expire sweeps before it unlocks segments.mu.
const wakeItems = 256

// An evictor frees memory for items, by evicting others if necessary. segments.mu guards all fields
// that change.
type evictor struct {
	*arena
	index     *index
	segments  *segments
	lifetimes *lifetimes
	curve     *mrc.Sampler
	watch     *watch
	noEvict   bool // reclaim only dead and expired memory

	ghosts   ghosts
	victim   sweep // for stores that need memory
	expiring sweep // for expire
	losses   losses
	mainFull bool   // the main ring has had a victim
	spared   int    // victims of the main ring since a segment became free: see keepRounds
	looked   uint32 // the segment that mostlyDead examined last
}

// makeFree evicts until a segment is free beyond the reserve, and reports whether it could. It
// needs segments.mu.
func (e *evictor) makeFree() bool {
	for victims := 0; !e.segments.beyondReserve(); victims++ {
		if e.victim.seg == none && (victims == maxVictims && e.noEvict || !e.chooseVictim()) {
			return false
		}
		e.sweep(&e.victim, math.MaxInt)
	}
	return true
}

// pace does one store's share of eviction. It needs segments.mu.
func (e *evictor) pace() {
	if e.segments.beyondReserve() || e.noEvict { // without eviction, each search for dead space is expensive
		return
	}
	if e.victim.seg == none && !e.chooseVictim() {
		return
	}
	e.sweep(&e.victim, paceItems)
}

// chooseVictim begins to empty the next victim, and reports whether there is one.
func (e *evictor) chooseVictim() bool {
	if id := e.mostlyDead(); id != none {
		e.begin(&e.victim, id, gather)
		return true
	}
	if e.noEvict {
		return false
	}
	r, purpose := uint8(main), uint8(recycle)
	if e.segments.rings[main].head == none || e.segments.rings[small].head != none && e.smallIsOver() {
		r, purpose = small, demote
	}
	id := e.segments.rings[r].head
	if id == none {
		return false
	}
	e.victim.keep = 1
	if purpose == recycle {
		e.mainFull = true
		e.victim.keep = 1 + uint64(e.spared/keepRounds)
		e.spared++ // sweep resets it
	}
	e.begin(&e.victim, id, purpose)
	return true
}

// smallIsOver reports whether the small ring has more than its share of the items' segments.
func (e *evictor) smallIsOver() bool {
	total := e.segments.rings[small].count + e.segments.rings[main].count
	return e.segments.rings[small].count*smallParts > total
}

// mostlyDead examines some segments, in turn, and returns one of which at most half is live, or
// none.
func (e *evictor) mostlyDead() uint32 {
	best, bestLive := none, uint32(0)
	look, enough := sampleSegments, func(used uint32) uint32 { return used / 2 }
	if e.noEvict { // there is no other way to free memory
		look, enough = len(e.segments.table), func(used uint32) uint32 { return used - used/4 }
	}
	for range min(look, len(e.segments.table)) {
		e.looked = (e.looked + 1) % uint32(len(e.segments.table))
		seg := &e.segments.table[e.looked]
		if seg.state != sealed && (seg.state != open || seg.used < uint32(e.segmentBytes/2)) {
			continue
		}
		live := atomic.LoadUint32(&seg.live)
		if live > enough(seg.used) {
			continue
		}
		if best == none || live < bestLive {
			best, bestLive = e.looked, live
		}
	}
	return best
}

// begin withdraws a segment and makes it w's victim.
func (e *evictor) begin(w *sweep, id uint32, purpose uint8) {
	e.segments.withdraw(id)
	w.seg, w.at, w.purpose = id, 0, purpose
}

// sweep evicts or moves the next n items of w's victim, and frees it at its end. It needs
// segments.mu.
func (e *evictor) sweep(w *sweep, n int) {
	seg := &e.segments.table[w.seg]
	for ; n > 0 && w.at < int(seg.used); n-- {
		loc := e.wordAt(w.seg) + uint64(w.at)/8
		it := e.item(loc)
		w.at += it.size()
		if it.dead() {
			n++ // dead items cost almost nothing
			continue
		}
		if !e.evictOrMove(w, loc, it) {
			e.giveUp(w)
			return
		}
		if w.purpose != gather && e.segments.beyondReserve() {
			break // evicting a large value has freed its segments: the other items may stay for now
		}
	}
	if w.at >= int(seg.used) {
		e.segments.release(w.seg)
		w.seg = none
		if e.segments.beyondReserve() {
			e.spared = 0
			if w.purpose != gather {
				e.ghosts.resize(uint64(e.index.items.Load()))
			}
		}
	}
}

// evictOrMove evicts or moves one item of w's victim. It returns false if evicting is disabled and
// there is no memory to move the item to.
func (e *evictor) evictOrMove(w *sweep, loc uint64, it item) bool {
	h := e.index.hash(it.key())
	st := e.index.stripe(h)
	st.Lock()
	defer st.Unlock()
	at := e.index.findAt(h, loc)
	if at == 0 {
		return true // unlinked since its header was read
	}
	slot := e.index.slot(at)
	if e.lifetimes.gone(it, e.lifetimes.now.Load()) {
		e.losses.count(it, true)
		deleteFromCurve(e.curve, h)
		e.index.erase(h, at)
		e.segments.freeChunks(e.index.drop(loc, it))
		return true
	}
	reads, r := frequency(slot), e.segments.table[w.seg].ring
	stay := true
	switch w.purpose {
	case demote:
		stay = reads > 0
		if reads >= promoteReads || !e.mainFull {
			r = main
		}
		reads = 0
	case recycle:
		stay = reads >= w.keep
		reads = max(reads, 1) - 1
	}
	if stay && e.move(at, loc, it, r, reads) {
		return true
	}
	if e.noEvict {
		return false
	}
	if w.purpose == demote {
		e.ghosts.add(h)
	}
	e.losses.count(it, false)
	if o := e.watch.watching(); o != nil {
		reportEvicted(o, it, classShown(slot), e.lifetimes.now.Load())
	}
	e.index.erase(h, at)
	e.segments.freeChunks(e.index.drop(loc, it))
	return true
}

// move copies an item to ring r and points its slot there, and reports whether there was memory for
// it.
func (e *evictor) move(at, loc uint64, it item, r uint8, reads uint64) bool {
	size := it.size()
	expiry := it.expiry()
	to, ok := e.segments.bumpForMove(r, classOf(expiry, e.lifetimes.now.Load()), size)
	if !ok {
		return false
	}
	copy(e.item(to), it[:size])
	e.segments.of(to).wakeBy(expiry)
	if it.large() {
		first, _ := it.largeRef()
		e.segments.rering(first, r)
	}
	slot := e.index.slot(at)&^(locMask|mainMark|freqMax<<freqShift) | to | uint64(r)*mainMark | reads<<freqShift
	e.segments.addLive(to, size)
	e.segments.addLive(loc, -size)
	e.index.set(at, slot)
	return true
}

// giveUp puts a victim back that can't be emptied: see evictOrMove.
func (e *evictor) giveUp(w *sweep) {
	e.segments.putBack(w.seg)
	w.seg = none
}

// expire gathers each segment that is due. It unlocks segments.mu regularly, so that stores aren't
// blocked for long.
func (e *evictor) expire(now uint32) {
	for id := range e.segments.table {
		e.segments.mu.Lock()
		if e.segments.table[id].due(now) {
			e.begin(&e.expiring, uint32(id), gather)
		}
		for e.expiring.seg != none {
			e.sweep(&e.expiring, wakeItems)
			e.segments.mu.Unlock()
			e.segments.mu.Lock()
		}
		e.segments.mu.Unlock()
	}
}

// stop puts back victims that are partly swept, before the store closes.
func (e *evictor) stop() {
	for _, w := range []*sweep{&e.victim, &e.expiring} {
		if w.seg != none {
			e.giveUp(w)
		}
	}
}
