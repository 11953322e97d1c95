package cache

import (
	"math"
	"sync/atomic"
)

// Eviction is S3-FIFO on segments. New items go to the small ring, and those whose key has a
// ghost to the main ring. A victim is the oldest segment of a ring: of its items, the small ring's
// go to the main ring if they were read twice, once more through the small ring if they were read
// once, and else leave a ghost; the main ring's are put back with one read less if they were read,
// else they go. (In the paper one read takes an item to the main ring. A second round in the small
// ring instead saves 0.5 % of the requests on a small cache of the shop trace, and costs nothing
// on the others: docs/decisions.)
//
// The naive way is to empty a whole victim whenever memory runs out: with segments of thousands
// of items that stops a store for a millisecond, and its connection's loop with it. So each store
// sweeps a few items of the victim as soon as few segments are free, and usually finds a free one
// when it needs it: no pause depends on how many items there are.
//
// Two invariants: only a store leaves the reserve of free segments alone, so that sweeping, which
// moves survivors to other segments, never waits for itself; and a segment is freed only after
// each of its items was unlinked, or moved, under that item's stripe.

const (
	// maxVictims bounds the work for one free segment when dead space is all there is to gain.
	maxVictims = 64
	// paceItems is how many items a store sweeps when few segments are free: some microseconds. (With
	// 8, victims last so long that 0.05 % more of the shop trace misses.)
	paceItems = 32
	// sampleSegments are looked at for one that is mostly dead.
	sampleSegments = 32
	// mercyRounds is how many main segments in a row may give everything back before items that
	// were read more often go, too: it bounds the work for one free segment.
	mercyRounds = 4
	// smallParts: the small ring has one part in so many of the items' segments. (A tenth, as in the
	// paper, loses much where the cache holds little, and a border that moves loses more: docs/decisions.)
	smallParts = 5
	// promoteReads is how many reads take an item from the small ring to the main ring; one is
	// enough until the main ring has been full for the first time.
	promoteReads = 2
)

// What a sweep does with the items that are live.
const (
	demote  = iota // small ring: promote what was read, evict the rest
	recycle        // main ring: put back what was read, evict the rest
	gather         // dead space or an end of a TTL class: keep all that lives
)

// A sweep is a victim and how far it has been emptied.
type sweep struct {
	seg     uint32 // none when there is no victim
	at      int    // bytes
	purpose uint8
	keep    uint64 // recycle: reads that save an item
}

// makeRoom brings about a free segment beyond the reserve, and reports whether it could. It needs
// segments.mu.
func (s *Store) makeRoom() bool {
	for victims := 0; !s.segments.beyondReserve(); victims++ {
		if s.evict.seg == none && (victims == maxVictims && s.noEvict || !s.chooseVictim()) {
			return false
		}
		s.sweep(&s.evict, math.MaxInt)
	}
	return true
}

// pace does a store's share of eviction. It needs segments.mu.
func (s *Store) pace() {
	if s.segments.beyondReserve() || s.noEvict { // without eviction, looking for dead space each time is dear
		return
	}
	if s.evict.seg == none && !s.chooseVictim() {
		return
	}
	s.sweep(&s.evict, paceItems)
}

// chooseVictim finds the next segment to be emptied, false if there is none.
func (s *Store) chooseVictim() bool {
	if id := s.mostlyDead(); id != none {
		s.begin(&s.evict, id, gather)
		return true
	}
	if s.noEvict {
		return false
	}
	r, purpose := uint8(main), uint8(recycle)
	if s.segments.rings[main].head == none || s.segments.rings[small].head != none && s.smallIsOver() {
		r, purpose = small, demote
	}
	id := s.segments.rings[r].head
	if id == none {
		return false
	}
	s.evict.keep = 1
	if purpose == recycle {
		s.mainFull = true
		s.evict.keep = 1 + uint64(s.spared/mercyRounds)
		s.spared++ // until something is freed: see sweep
	}
	s.begin(&s.evict, id, purpose)
	return true
}

// smallIsOver reports whether the small ring has more than its share of the segments.
func (s *Store) smallIsOver() bool {
	total := s.segments.rings[small].count + s.segments.rings[main].count
	return s.segments.rings[small].count*smallParts > total
}

// mostlyDead looks at some segments, in turn, for one half of whose bytes are dead items'.
func (s *Store) mostlyDead() uint32 {
	best, bestLive := none, uint32(0)
	look, enough := sampleSegments, func(used uint32) uint32 { return used / 2 }
	if s.noEvict { // nothing else gives memory back
		look, enough = len(s.segments.table), func(used uint32) uint32 { return used - used/4 }
	}
	for range min(look, len(s.segments.table)) {
		s.looked = (s.looked + 1) % uint32(len(s.segments.table))
		seg := &s.segments.table[s.looked]
		if seg.state != sealed && (seg.state != open || seg.used < uint32(s.segmentBytes/2)) {
			continue
		}
		live := atomic.LoadUint32(&seg.live)
		if live > enough(seg.used) {
			continue
		}
		if best == none || live < bestLive {
			best, bestLive = s.looked, live
		}
	}
	return best
}

// begin withdraws a segment to be emptied.
func (s *Store) begin(w *sweep, id uint32, purpose uint8) {
	s.segments.withdraw(id)
	w.seg, w.at, w.purpose = id, 0, purpose
}

// sweep empties the next n items of w's victim, and frees it at its end. It needs segments.mu.
func (s *Store) sweep(w *sweep, n int) {
	seg := &s.segments.table[w.seg]
	for ; n > 0 && w.at < int(seg.used); n-- {
		loc := s.wordAt(w.seg) + uint64(w.at)/8
		it := s.item(loc)
		w.at += it.size()
		if it.dead() {
			n++ // costs next to nothing
			continue
		}
		if !s.settleItem(w, loc, it) {
			s.giveUp(w)
			return
		}
		if w.purpose != gather && s.segments.beyondReserve() {
			break // a large value went, and gave segments back: the victim's other items may stay for now
		}
	}
	if w.at >= int(seg.used) {
		s.segments.release(w.seg)
		w.seg = none
		if s.segments.beyondReserve() {
			s.spared = 0
			if w.purpose != gather {
				s.growGhosts()
			}
		}
	}
}

// settleItem evicts or moves one item of w's victim. It is false if nothing may be evicted and
// there is no room to move the item to.
func (s *Store) settleItem(w *sweep, loc uint64, it item) bool {
	h := s.index.hash(it.key())
	st := s.index.stripe(h)
	st.Lock()
	defer st.Unlock()
	at := s.index.findAt(h, loc)
	if at == 0 {
		return true // unlinked since the look at its header
	}
	slot := s.index.slot(at)
	if s.goneBy(it, s.now.Load()) {
		s.lost(it, true)
		s.forget(h)
		s.index.erase(h, at)
		s.segments.freeChunks(s.index.drop(loc, it))
		return true
	}
	reads, r := frequency(slot), s.segments.table[w.seg].ring
	stay := true
	switch w.purpose {
	case demote:
		stay = reads > 0
		if reads >= promoteReads || !s.mainFull {
			r = main
		}
		reads = 0
	case recycle:
		stay = reads >= w.keep
		reads = max(reads, 1) - 1
	}
	if stay && s.move(at, loc, it, r, reads) {
		return true
	}
	if s.noEvict {
		return false
	}
	if w.purpose == demote {
		s.addGhost(h)
	}
	s.lost(it, false)
	if o := s.watching(); o != nil {
		s.tellEvicted(o, it, classShown(slot))
	}
	s.index.erase(h, at)
	s.segments.freeChunks(s.index.drop(loc, it))
	return true
}

// move copies an item to ring r and points its slot there. False if there is no room.
func (s *Store) move(at, loc uint64, it item, r uint8, reads uint64) bool {
	size := it.size()
	expiry := it.expiry()
	to, ok := s.segments.bumpForMove(r, classOf(expiry, s.now.Load()), size)
	if !ok {
		return false
	}
	copy(s.item(to), it[:size])
	s.segments.of(to).wakeBy(expiry)
	if it.large() {
		first, _ := it.largeRef()
		s.segments.rering(first, r)
	}
	slot := s.index.slot(at)&^(locMask|mainMark|freqMax<<freqShift) | to | uint64(r)*mainMark | reads<<freqShift
	s.segments.addLive(to, size)
	s.segments.addLive(loc, -size)
	s.index.set(at, slot)
	return true
}

// giveUp puts a victim back that could not be emptied: see settleItem.
func (s *Store) giveUp(w *sweep) {
	s.segments.putBack(w.seg)
	w.seg = none
}
