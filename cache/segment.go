package cache

import (
	"sync"
	"sync/atomic"
)

// Only this file and large.go change segments' entries in the table, the rings, the open segments
// and the free list. segments.mu guards them; the comments name the exceptions.

// State of a segment.
const (
	free   uint32 = iota // on the free list
	open                 // taking items; in a ring
	sealed               // taking no more items; in a ring
	victim               // being emptied; in no ring
	table                // a chunk of the index, its overflow or the ghosts
	chunk                // of a large value
)

// A segment is an entry of the table of segments. segments.mu guards all of it but live, pins and
// reads of wake. Its size is fixed: it is part of the mapping.
type segment struct {
	next, prev uint32 // in a ring; the free list and the chunks of a value use only next
	state      uint32
	ring       uint8 // small or main
	class      uint8 // of TTLs
	_          [2]byte
	used       uint32 // bytes of all items, dead ones included
	live       uint32 // bytes of items that the index refers to; atomic
	wake       uint32 // Unix seconds at which all its items have expired; 0 never; atomic for mayStay
	pins       uint32 // readers of the large value that begins here, and doomed; atomic
	_          [32]byte
}

const (
	segmentEntryBytes = 64 // a cache line: neighbours' counters are changed from different cores
	minSegments       = 12 // the index, an open one in each ring, a victim, spare ones, and some for items

	// reserveSegments is the number of free segments that are kept for a victim's survivors.
	reserveSegments = 1
	// segmentsPerOpen limits the open segments to one in this many. An open segment is half empty on
	// average, so those of many classes would take a tenth of a small memory.
	segmentsPerOpen = 16
)

// The two rings.
const (
	small = 0
	main  = 1
)

// A ring is a list of segments, oldest first.
type ring struct {
	head, tail uint32 // oldest, youngest
	count      uint32 // of segments, chunks of large values included
}

// segments are the segments of the arena. Each is in exactly one place: it is free, in a ring, a
// victim, a chunk of a table, or a chunk of a large value.
type segments struct {
	*arena
	table  []segment    // by number, in the mapping
	pinned atomic.Int64 // bytes of large values that are pinned

	// mu guards the fields below and the table, and also what consists of segments: the index except
	// its slots, the ghosts, and the evictor. It is taken after a lane's lock and before a stripe.
	mu        sync.Mutex
	rings     [2]ring
	open      [2][ttlClasses]uint32 // the open segment of each ring and class, or none
	freeHead  uint32                // of the free list, linked by next; none at its end
	freeCount uint32
}

// reset makes all segments free.
func (s *segments) reset() {
	s.freeHead, s.freeCount = none, 0
	for id := len(s.table) - 1; id >= 0; id-- {
		s.release(uint32(id))
	}
	for r := range s.rings {
		s.rings[r] = ring{head: none, tail: none}
		for c := range s.open[r] {
			s.open[r][c] = none
		}
	}
}

// restore reads what save has written to the header.
func (s *segments) restore(h *header) {
	s.rings, s.open, s.freeHead, s.freeCount = h.rings, h.open, h.freeHead, h.freeCount
}

func (s *segments) save(h *header) {
	h.rings, h.open, h.freeHead, h.freeCount = s.rings, s.open, s.freeHead, s.freeCount
}

// of returns the segment of the location.
func (s *segments) of(loc uint64) *segment { return &s.table[s.segmentOf(loc)] }

// push makes the segment the youngest of ring r.
func (s *segments) push(r uint8, id uint32) {
	seg := &s.table[id]
	seg.ring = r
	rg := &s.rings[r]
	seg.prev, seg.next = rg.tail, none
	if rg.tail == none {
		rg.head = id
	} else {
		s.table[rg.tail].next = id
	}
	rg.tail = id
	rg.count++
}

// remove removes the segment from its ring.
func (s *segments) remove(id uint32) {
	seg := &s.table[id]
	rg := &s.rings[seg.ring]
	if seg.prev == none {
		rg.head = seg.next
	} else {
		s.table[seg.prev].next = seg.next
	}
	if seg.next == none {
		rg.tail = seg.prev
	} else {
		s.table[seg.next].prev = seg.prev
	}
	rg.count--
	seg.prev, seg.next = none, none
}

// beyondReserve reports whether there is a free segment that a store may take.
func (s *segments) beyondReserve() bool { return s.freeCount > reserveSegments }

// take removes a segment from the free list, which must not be empty.
func (s *segments) take(state uint32) uint32 {
	id := s.freeHead
	seg := &s.table[id]
	s.freeHead = seg.next
	s.freeCount--
	*seg = segment{next: none, prev: none, state: state}
	return id
}

// takeTable takes a free segment for a table, zeroed.
func (s *segments) takeTable() uint32 {
	id := s.take(table)
	clear(s.bytesOf(id))
	return id
}

// release puts a segment on the free list. Nothing may refer to the segment.
func (s *segments) release(id uint32) {
	s.table[id] = segment{next: s.freeHead, prev: none, state: free}
	s.freeHead = id
	s.freeCount++
}

// openSegment makes a free segment the one that takes items of a ring and class.
func (s *segments) openSegment(r, class uint8) {
	s.seal(r, class)
	id := s.take(open)
	s.table[id].class = class
	s.push(r, id)
	s.open[r][class] = id
}

// seal closes the open segment of a ring and class, if there is one.
func (s *segments) seal(r, class uint8) {
	if id := s.open[r][class]; id != none {
		s.table[id].state = sealed
		s.open[r][class] = none
	}
}

// withdraw removes a segment from its ring, to empty it. Its items stay readable meanwhile.
func (s *segments) withdraw(id uint32) {
	seg := &s.table[id]
	if seg.state == open {
		s.seal(seg.ring, seg.class)
	}
	s.remove(id)
	seg.state = victim
}

// putBack makes a withdrawn segment the youngest of its ring.
func (s *segments) putBack(id uint32) {
	seg := &s.table[id]
	seg.state = sealed
	s.push(seg.ring, id)
}

// bump allocates n bytes in the open segment of a ring and class.
func (s *segments) bump(r, class uint8, n int) (loc uint64, ok bool) {
	id := s.open[r][class]
	if id == none {
		return 0, false
	}
	seg := &s.table[id]
	if int(seg.used)+n > s.segmentBytes {
		return 0, false
	}
	loc = s.wordAt(id) + uint64(seg.used)/8
	seg.used += uint32(n)
	return loc, true
}

// bumpForMove allocates n bytes in ring r for an item that a sweep moves: preferably among items of
// its class, even from the reserve, and otherwise in any open segment.
func (s *segments) bumpForMove(r, class uint8, n int) (loc uint64, ok bool) {
	class = s.classToUse(r, class)
	if loc, ok = s.bump(r, class, n); ok {
		return loc, true
	}
	if s.freeCount > 0 {
		s.openSegment(r, class)
		return s.bump(r, class, n)
	}
	for c := range uint8(ttlClasses) {
		if loc, ok = s.bump(r, c, n); ok {
			return loc, true
		}
	}
	return 0, false
}

// classToUse returns class if ring r has an open segment of it, or if one more segment may be
// opened; otherwise the nearest class with an open segment.
func (s *segments) classToUse(r, class uint8) uint8 {
	if s.open[r][class] != none {
		return class
	}
	opened, best, bestAway := 0, class, ttlClasses
	for ring := range s.open {
		for c, id := range s.open[ring] {
			if id == none {
				continue
			}
			opened++
			if away := apart(class, uint8(c)); ring == int(r) && away < bestAway {
				best, bestAway = uint8(c), away
			}
		}
	}
	if opened < len(s.table)/segmentsPerOpen {
		return class
	}
	return best
}

// wakeBy makes sure that the segment isn't due before an item with this expiry has expired.
func (seg *segment) wakeBy(expiry uint32) {
	if expiry > seg.wake {
		atomic.StoreUint32(&seg.wake, expiry)
	}
}

// wakeAll makes all segments with items due at once.
func (s *segments) wakeAll() {
	for id := range s.table {
		if seg := &s.table[id]; seg.used > 0 && (seg.state == sealed || seg.state == open) {
			atomic.StoreUint32(&seg.wake, 1)
		}
	}
}

// due reports whether a segment in a ring can be freed: all its items have expired, or none is
// live.
func (seg *segment) due(now uint32) bool {
	switch seg.state {
	case sealed:
		return seg.wake != 0 && seg.wake <= now || atomic.LoadUint32(&seg.live) == 0
	case open:
		return seg.wake != 0 && seg.wake <= now
	}
	return false
}

// mayStay reports whether an item with this new expiry may stay in its segment, rather than move to
// one of its TTL class. It may not if it would expire much earlier than its segment is due. An item
// that never expires, before and after, may be in a segment with a wake time: see classToUse.
// mayStay needs the item's stripe and not mu.
func (s *segments) mayStay(it item, loc uint64, expiry, now uint32) bool {
	if expiry == 0 && it.expiry() == 0 {
		return true
	}
	wake := atomic.LoadUint32(&s.of(loc).wake)
	return expiry >= wake && (wake != 0 || expiry == 0) || wake != 0 && classOf(expiry, now) == classOf(wake, now)
}

// addLive adds n, which may be negative, to the live bytes of loc's segment. It needs the stripe of
// the item there, and not mu.
func (s *segments) addLive(loc uint64, n int) { atomic.AddUint32(&s.of(loc).live, uint32(n)) }
