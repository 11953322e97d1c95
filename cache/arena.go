package cache

import (
	"fmt"
	"os"
	"unsafe"
)

// The mapping, from its start:
//
//	header         one page
//	segment table  segmentEntryBytes for each segment
//	directories    4 bytes for each segment, twice: the index's chunks, the ghosts'
//	segments       of segmentBytes each, from a page's border
//	the rest       less than a segment: overflow buckets of the index
//
// Everything counts against Options.MemoryBytes. See docs/formats.md for the header.
const (
	pageBytes       = 4096
	minSegmentBytes = 64 << 10
	maxSegmentBytes = 1 << 20
)

// none is no segment.
const none = ^uint32(0)

// A header is what a warm restart needs besides the segments. It is part of the mapping. A start
// writes the fields up to clean, a clean stop the others.
type header struct {
	magic        [8]byte
	version      uint32
	headerBytes  uint32
	memoryBytes  uint64
	segmentBytes uint64
	seed         uint64
	clean        uint64 // 1 only between a clean stop and the next start

	stoppedAt uint64 // Unix seconds
	seq       uint64
	flushed   uint64
	items     uint64
	bytes     uint64
	index     indexState
	ghosts    ghostState
	rings     [2]ring
	open      [2][ttlClasses]uint32
	freeHead  uint32
	freeCount uint32
	flushAt   uint64 // Unix seconds of a delayed flush, 0 none
	sum       uint64 // of the mapping: see arena.sum
}

var headerMagic = [8]byte{'h', 'o', 'l', 'd', 'f', 'a', 's', 't'}

// formatVersion must change whenever the meaning of the mapping's bytes changes.
const formatVersion = 3

// An arena is the mapping. It returns views of its bytes, and changes them only when it is opened
// or closed.
type arena struct {
	mem          []byte
	words        []uint64 // the same bytes as words; the location of an item or bucket is an index of it
	head         *header
	segmentCount int
	base         uint64 // where segment 0 begins, in bytes
	segmentBytes int
	shift        uint // segmentBytes is 1 << shift
	unmap        func() error
	file         *os.File // the mapped file; nil if there is none
}

// A shape is the division of a number of bytes.
type shape struct {
	memoryBytes  int64
	segmentBytes int
	count        int   // of segments
	base         int64 // where segment 0 begins
}

// shapeOf divides memoryBytes into segments of a 2048th of it, as a power of two from 64 KiB to 1
// MiB.
func shapeOf(memoryBytes int64) shape {
	s := shape{memoryBytes: memoryBytes &^ (pageBytes - 1), segmentBytes: minSegmentBytes}
	for s.segmentBytes < maxSegmentBytes && int64(s.segmentBytes)*2048*2 <= memoryBytes {
		s.segmentBytes *= 2
	}
	per := int64(segmentEntryBytes + 4*directories)
	s.count = int((s.memoryBytes - 2*pageBytes) / (int64(s.segmentBytes) + per))
	s.base = (pageBytes + int64(s.count)*per + pageBytes - 1) &^ (pageBytes - 1)
	return s
}

// lay sets a's views to mem, which has the shape s.
func (a *arena) lay(mem []byte, s shape) {
	a.mem = mem
	start := unsafe.Pointer(unsafe.SliceData(mem))
	a.words = unsafe.Slice((*uint64)(start), len(mem)/8)
	a.head = (*header)(start)
	a.segmentCount = s.count
	a.base = uint64(s.base)
	a.segmentBytes = s.segmentBytes
	for 1<<a.shift < s.segmentBytes {
		a.shift++
	}
}

// segmentTable returns the table of segments.
func (a *arena) segmentTable() []segment {
	return unsafe.Slice((*segment)(unsafe.Pointer(&a.mem[pageBytes])), a.segmentCount)
}

// The directories list the segments that are the chunks of a table, in order.
const (
	indexDirectory = iota
	ghostDirectory
	directories
)

func (a *arena) directory(n int) []uint32 {
	at := pageBytes + a.segmentCount*(segmentEntryBytes+4*n)
	return unsafe.Slice((*uint32)(unsafe.Pointer(&a.mem[at])), a.segmentCount)
}

// wordAt returns the location of a segment's first word.
func (a *arena) wordAt(seg uint32) uint64 { return (a.base + uint64(seg)<<a.shift) / 8 }

// segmentOf returns the segment of the location.
func (a *arena) segmentOf(loc uint64) uint32 { return uint32((loc*8 - a.base) >> a.shift) }

// item returns the bytes from loc to the mapping's end; the item's header has its size.
func (a *arena) item(loc uint64) item { return item(a.mem[loc*8:]) }

// bytesOf returns a segment's bytes.
func (a *arena) bytesOf(seg uint32) []byte {
	at := a.base + uint64(seg)<<a.shift
	return a.mem[at : at+uint64(a.segmentBytes) : at+uint64(a.segmentBytes)]
}

// openArena maps the memory. warm reports whether it holds a cleanly stopped store of this shape;
// if not, cold is the reason, or empty if there was no earlier store.
func openArena(o Options) (a *arena, warm bool, cold string, err error) {
	s := shapeOf(o.MemoryBytes)
	if s.count < minSegments {
		return nil, false, "", fmt.Errorf("memory: %d bytes is too little", o.MemoryBytes)
	}
	a = &arena{}
	switch {
	case o.Heap:
		words := make([]uint64, s.memoryBytes/8)
		a.lay(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), s.memoryBytes), s)
		a.unmap = func() error { return nil }
	case o.File == "":
		mem, err := mapAnonymous(s.memoryBytes)
		if err != nil {
			return nil, false, "", fmt.Errorf("map %d bytes: %w", s.memoryBytes, err)
		}
		a.lay(mem, s)
		a.unmap = func() error { return unmap(mem) }
	default:
		if warm, cold, err = a.openFile(o, s); err != nil {
			return nil, false, "", fmt.Errorf("memory file: %w", err)
		}
	}
	if warm {
		return a, true, "", nil
	}
	*a.head = header{magic: headerMagic, version: formatVersion, headerBytes: uint32(unsafe.Sizeof(header{})),
		memoryBytes: uint64(s.memoryBytes), segmentBytes: uint64(s.segmentBytes), seed: o.Seed}
	return a, false, cold, nil
}
