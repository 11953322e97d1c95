package cache

import "sync/atomic"

// State of a segment.
const (
	free   uint32 = iota // on the free list
	open                 // taking items; in a ring
	sealed               // full; in a ring
	victim               // being emptied; in no ring
	table                // a chunk of the index, its overflow or the ghosts
	chunk                // of a large value
)

// A segment is an entry of the table of segments. All but live, pins and reads of wake is guarded by Store.mu.
// Its size is fixed: it stands in the mapping.
type segment struct {
	next, prev uint32 // in a ring; next alone in the free list and from chunk to chunk of a value
	state      uint32
	ring       uint8 // small or main
	class      uint8 // of TTLs
	_          [2]byte
	used       uint32 // bytes that items take, dead ones too
	live       uint32 // bytes that present items take; atomic
	wake       uint32 // Unix seconds at which all its items have expired; 0 never; atomic for mayStay
	pins       uint32 // readers of the large value that begins here, and doomed; atomic
	_          [32]byte
}

const (
	segmentEntryBytes = 64 // a cache line: neighbours' counters are changed from different cores
	minSegments       = 12 // index, a segment open in each ring, a victim, spare ones, and some to hold items
)

// The two rings.
const (
	small = 0
	main  = 1
)

// A ring is a list of segments, oldest first. Guarded by Store.mu.
type ring struct {
	head, tail uint32 // oldest, youngest
	count      uint32 // segments, chunks of large values among them
}

func (s *Store) ringPush(r uint8, id uint32) {
	seg := &s.segments[id]
	seg.ring = r
	rg := &s.rings[r]
	seg.prev, seg.next = rg.tail, none
	if rg.tail == none {
		rg.head = id
	} else {
		s.segments[rg.tail].next = id
	}
	rg.tail = id
	rg.count++
}

func (s *Store) ringRemove(id uint32) {
	seg := &s.segments[id]
	rg := &s.rings[seg.ring]
	if seg.prev == none {
		rg.head = seg.next
	} else {
		s.segments[seg.prev].next = seg.next
	}
	if seg.next == none {
		rg.tail = seg.prev
	} else {
		s.segments[seg.next].prev = seg.prev
	}
	rg.count--
	seg.prev, seg.next = none, none
}

// take takes a segment off the free list. It needs Store.mu and a free segment.
func (s *Store) take(state uint32) uint32 {
	id := s.freeHead
	seg := &s.segments[id]
	s.freeHead = seg.next
	s.freeCount--
	*seg = segment{next: none, prev: none, state: state}
	return id
}

// release puts a segment on the free list. It needs Store.mu; nothing may refer to the segment.
func (s *Store) release(id uint32) {
	s.segments[id] = segment{next: s.freeHead, prev: none, state: free}
	s.freeHead = id
	s.freeCount++
}

// openSegment makes a free segment the one that takes items of a ring and class.
func (s *Store) openSegment(r, class uint8) {
	s.seal(r, class)
	id := s.take(open)
	s.segments[id].class = class
	s.ringPush(r, id)
	s.open[r][class] = id
}

// seal ends the open segment of a ring and class, if there is one.
func (s *Store) seal(r, class uint8) {
	if id := s.open[r][class]; id != none {
		s.segments[id].state = sealed
		s.open[r][class] = none
	}
}

// bump takes n bytes of the open segment of a ring and class. It needs Store.mu.
func (s *Store) bump(r, class uint8, n int) (loc uint64, ok bool) {
	id := s.open[r][class]
	if id == none {
		return 0, false
	}
	seg := &s.segments[id]
	if int(seg.used)+n > s.segmentBytes {
		return 0, false
	}
	loc = s.wordAt(id) + uint64(seg.used)/8
	seg.used += uint32(n)
	return loc, true
}

// wakeBy makes sure that the segment is looked at once all its items have expired.
func (seg *segment) wakeBy(expiry uint32) {
	if expiry > seg.wake {
		atomic.StoreUint32(&seg.wake, expiry)
	}
}

func (s *Store) addLive(loc uint64, n int) {
	atomic.AddUint32(&s.segments[s.segmentOf(loc)].live, uint32(n))
}
