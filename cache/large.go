package cache

import "sync/atomic"

// A large value, one whose item would take more than half a segment, is stored in whole segments of
// its own, its chunks, which are linked through the table of segments. The rest, the tail, is
// stored with the item if it is at most half a segment, so that little memory is lost to rounding.
//
// A reader pins the value, and the server sends it from where it is, without a copy. If an item is
// unlinked while its value is pinned, the value is marked as doomed, and its last reader frees the
// chunks. The first chunk's pins is the number of readers, with doomed as the top bit; the
// operation that leaves only doomed frees the chunks.
//
// Pinned memory can't be evicted, and clients decide how slowly they read. So at most half of the
// memory is pinned; beyond that, a large value is a miss. (A server closes connections that read
// nothing long before.)
//
// This file changes the chunks' entries in the table of segments, and segments.pinned.

const (
	doomed      = 1 << 31
	pinnedShare = 2 // inverse of the share of the memory that may be pinned
)

// tailBytes returns how many bytes of a large value of n bytes are stored with its item.
func tailBytes(n, segmentBytes int) int {
	if tail := n % segmentBytes; tail < n && tail <= segmentBytes/2 {
		return tail
	}
	return 0 // there is always at least one chunk
}

// chunkCount returns the number of chunks of a large value.
func (d *draft) chunkCount(segmentBytes int) int {
	return (d.valueBytes() - d.kept + segmentBytes - 1) / segmentBytes
}

// takeChunk puts a free segment before next, the first of a value's chunks so far, counts it to
// ring r, and returns it. It needs mu and a free segment.
func (s *segments) takeChunk(r uint8, next uint32) (first uint32) {
	first = s.take(chunk)
	seg := &s.table[first]
	seg.ring, seg.next = r, next
	s.rings[r].count++
	return first
}

// fill writes the part of d's value that chunks hold. Nobody else may use the chunks yet.
func (s *segments) fill(first uint32, d *draft) {
	at := 0
	for id := first; id != none; id = s.table[id].next {
		at += d.copyValue(s.bytesOf(id), at)
	}
}

// copyValue copies the value from offset at on, up to the end of the part that chunks hold.
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

// freeChunks frees the chunks from first on. first may be none. It needs mu.
func (s *segments) freeChunks(first uint32) {
	for id := first; id != none; {
		next := s.table[id].next
		s.rings[s.table[id].ring].count--
		s.release(id)
		id = next
	}
}

// rering counts a large value's chunks to ring r. It needs mu.
func (s *segments) rering(first uint32, r uint8) {
	for id := first; id != none; id = s.table[id].next {
		s.rings[s.table[id].ring].count--
		s.table[id].ring = r
		s.rings[r].count++
	}
}

// mayPin reports whether another large value may be pinned. It needs the item's stripe.
func (s *segments) mayPin(it item) bool {
	first, _ := it.largeRef()
	return atomic.LoadUint32(&s.table[first].pins) > 0 || s.pinned.Load() < int64(len(s.mem)/pinnedShare)
}

// pin lists the chunks of a large item and keeps them from being freed until unpin. It needs the
// item's stripe.
func (s *segments) pin(it item) (first uint32, chunks [][]byte) {
	first, total := it.largeRef()
	if atomic.AddUint32(&s.table[first].pins, 1) == 1 {
		s.pinned.Add(int64(total))
	}
	left := int(total) - len(it.inline())
	for id := first; id != none; id = s.table[id].next {
		b := s.bytesOf(id)
		b = b[:min(len(b), left)]
		left -= len(b)
		chunks = append(chunks, b)
	}
	return first, chunks
}

// unpin undoes one pin of a value of total bytes. It takes mu where it frees the value.
func (s *segments) unpin(first, total uint32) {
	pins := atomic.AddUint32(&s.table[first].pins, ^uint32(0))
	if pins&^doomed == 0 {
		s.pinned.Add(-int64(total))
	}
	if pins == doomed {
		s.mu.Lock()
		s.freeChunks(first)
		s.mu.Unlock()
	}
}

// doom marks the chunks of an item that was unlinked as doomed, and reports whether the caller must
// free them. It needs the item's stripe.
func (s *segments) doom(first uint32) bool {
	return atomic.OrUint32(&s.table[first].pins, doomed) == 0
}

// appendWhole appends the item's whole value, its chunks and its tail. It needs the item's stripe.
func (s *segments) appendWhole(dst []byte, it item) []byte {
	if it.large() {
		first, total := it.largeRef()
		left := int(total) - len(it.inline())
		for id := first; id != none; id = s.table[id].next {
			part := s.bytesOf(id)[:min(s.segmentBytes, left)]
			dst = append(dst, part...)
			left -= len(part)
		}
	}
	return append(dst, it.inline()...)
}
