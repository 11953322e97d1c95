package cache

import "sync/atomic"

// A large value, one whose item would take more than half a segment, stands in whole segments of
// its own, its chunks, linked through the table of segments. What is left over, the tail, stays
// with the item if it is half a segment at most, so that little memory is lost to rounding.
//
// Readers pin the value and write it out from where it stands. An item that goes while its value
// is pinned marks it doomed, and whoever is last frees the chunks: pins, of the first chunk, is
// the number of readers, with doomed as its top bit, and the one operation that brings it to doomed
// alone frees.
//
// What is pinned can't be evicted for long, and clients choose how slowly they read. So at most
// half of the memory is pinned; beyond, a large value is a miss. (A server closes those who read
// nothing long before that.)

const (
	doomed      = 1 << 31
	pinnedShare = 2 // one part in so many
)

// tailBytes is how much of a large value of n bytes stays with its item.
func tailBytes(n, segmentBytes int) int {
	if tail := n % segmentBytes; tail < n && tail <= segmentBytes/2 {
		return tail
	}
	return 0 // always at least one chunk
}

// chunkCount is how many segments a large value takes.
func (d *draft) chunkCount(segmentBytes int) int {
	return (d.valueBytes() - d.kept + segmentBytes - 1) / segmentBytes
}

// takeChunks reserves and fills the chunks of d, whose ring is r, and returns the first. It takes
// Store.mu itself, in turns with others', since it may have to evict hundreds of segments.
func (s *Store) takeChunks(d *draft, r uint8) (first uint32, ok bool) {
	first = none
	for range d.chunkCount(s.segmentBytes) {
		s.mu.Lock()
		ok := s.makeRoom()
		if !ok {
			s.freeChunks(first)
			s.mu.Unlock()
			return none, false
		}
		id := s.take(chunk)
		seg := &s.segments[id]
		seg.ring, seg.next = r, first
		s.rings[r].count++
		first = id
		s.mu.Unlock()
	}
	at := 0
	for id := first; id != none; id = s.segments[id].next {
		at += d.copyValue(s.bytesOf(id), at)
	}
	return first, true
}

// copyValue copies from offset at of the value, no further than what chunks hold.
func (d *draft) copyValue(dst []byte, at int) int {
	dst = dst[:min(len(dst), d.valueBytes()-d.kept-at)]
	n := 0
	if at < len(d.head) {
		n = copy(dst, d.head[at:])
	}
	if n < len(dst) {
		n += copy(dst[n:], d.tail[at+n-len(d.head):])
	}
	return n
}

// freeChunks needs Store.mu.
func (s *Store) freeChunks(first uint32) {
	for id := first; id != none; {
		next := s.segments[id].next
		s.rings[s.segments[id].ring].count--
		s.release(id)
		id = next
	}
}

// mayPin reports whether another large value may be pinned. It needs the item's stripe.
func (s *Store) mayPin(it item) bool {
	first, _ := it.largeRef()
	return atomic.LoadUint32(&s.segments[first].pins) > 0 || s.pinned.Load() < int64(len(s.mem)/pinnedShare)
}

// pin lists the chunks of a large item and keeps them from being freed until unpin. It needs the
// item's stripe.
func (s *Store) pin(it item) (first uint32, chunks [][]byte) {
	first, total := it.largeRef()
	if atomic.AddUint32(&s.segments[first].pins, 1) == 1 {
		s.pinned.Add(int64(total))
	}
	left := int(total) - len(it.inline())
	for id := first; id != none; id = s.segments[id].next {
		b := s.bytesOf(id)
		b = b[:min(len(b), left)]
		left -= len(b)
		chunks = append(chunks, b)
	}
	return first, chunks
}

// unpin undoes one pin of a value of total bytes.
func (s *Store) unpin(first, total uint32) {
	pins := atomic.AddUint32(&s.segments[first].pins, ^uint32(0))
	if pins&^doomed == 0 {
		s.pinned.Add(-int64(total))
	}
	if pins == doomed {
		s.mu.Lock()
		s.freeChunks(first)
		s.mu.Unlock()
	}
}

// doom gives up the chunks of an item that was unlinked, and reports whether they are the
// caller's to free. It needs the item's stripe.
func (s *Store) doom(first uint32) bool {
	return atomic.OrUint32(&s.segments[first].pins, doomed) == 0
}
