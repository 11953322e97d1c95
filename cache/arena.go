package cache

import (
	"fmt"
	"io"
	"os"
	"unsafe"
)

// The mapping, from its start:
//
//	header         one page
//	segment table  segmentEntryBytes a segment
//	directories    4 bytes a segment each: the index's chunks, the ghosts'
//	segments       of segmentBytes each, from a page's border
//	the rest       less than a segment: overflow buckets of the index
//
// Everything counts against Options.MemoryBytes. See docs/formats.md for the header.
const (
	pageBytes       = 4096
	minSegmentBytes = 64 << 10
	maxSegmentBytes = 1 << 20
	directories     = 2
)

// none is no segment.
const none = ^uint32(0)

// header is what a warm restart needs beside the segments, kept in the mapping itself. All but
// the fields up to clean is written by a clean stop.
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
	border    border
	freeHead  uint32
	freeCount uint32
	flushAt   uint64 // Unix seconds of a flush to come, 0 none
}

var headerMagic = [8]byte{'h', 'o', 'l', 'd', 'f', 'a', 's', 't'}

// formatVersion changes with whatever changes the meaning of the mapping's bytes.
const formatVersion = 1

// arena is the mapping and the views of it.
type arena struct {
	mem          []byte
	words        []uint64 // the same bytes: a word's number is an item's or a bucket's location
	head         *header
	segments     []segment
	indexDir     []uint32
	ghostDir     []uint32
	base         uint64 // where segment 0 begins, in bytes
	segmentBytes int
	shift        uint // segmentBytes is 1 << shift
	unmap        func() error
}

// shape is how a number of bytes is cut up.
type shape struct {
	memoryBytes  int64
	segmentBytes int
	count        int   // of segments
	base         int64 // of segment 0
}

// shapeOf cuts memoryBytes: segments of memory/2048 as a power of two, between 64 KiB and 1 MiB.
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

// lay makes the views of mem, which has the shape s.
func (a *arena) lay(mem []byte, s shape) {
	a.mem = mem
	start := unsafe.Pointer(unsafe.SliceData(mem))
	a.words = unsafe.Slice((*uint64)(start), len(mem)/8)
	a.head = (*header)(start)
	at := pageBytes
	a.segments = unsafe.Slice((*segment)(unsafe.Add(start, at)), s.count)
	at += s.count * segmentEntryBytes
	for _, dir := range []*[]uint32{&a.indexDir, &a.ghostDir} {
		*dir = unsafe.Slice((*uint32)(unsafe.Add(start, at)), s.count)
		at += 4 * s.count
	}
	a.base = uint64(s.base)
	a.segmentBytes = s.segmentBytes
	for 1<<a.shift < s.segmentBytes {
		a.shift++
	}
}

// wordAt is the location of a segment's first word.
func (a *arena) wordAt(seg uint32) uint64 { return (a.base + uint64(seg)<<a.shift) / 8 }

// segmentOf is the segment that holds the location.
func (a *arena) segmentOf(loc uint64) uint32 { return uint32((loc*8 - a.base) >> a.shift) }

// item is the bytes from loc to the mapping's end; the item says where it ends.
func (a *arena) item(loc uint64) item { return item(a.mem[loc*8:]) }

// bytesOf is a segment's bytes.
func (a *arena) bytesOf(seg uint32) []byte {
	at := a.base + uint64(seg)<<a.shift
	return a.mem[at : at+uint64(a.segmentBytes) : at+uint64(a.segmentBytes)]
}

// openArena maps the memory. warm says that it holds a cleanly stopped store of this shape;
// cold is why not, empty where there was nothing to be warm from.
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

// openFile maps o.File, whose contents are used if its header agrees with s and it was stopped
// cleanly. Otherwise it is emptied.
func (a *arena) openFile(o Options, s shape) (warm bool, cold string, err error) {
	f, err := os.OpenFile(o.File, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, "", err
	}
	defer f.Close() // the mapping keeps the file
	if err := lockFile(f); err != nil {
		return false, "", fmt.Errorf("%s is in use: %w", o.File, err)
	}
	info, err := f.Stat()
	if err != nil {
		return false, "", err
	}
	cold = "" // a new file
	if info.Size() > 0 {
		cold = fmt.Sprintf("it has %d bytes and this memory %d", info.Size(), s.memoryBytes)
	}
	if err := ours(f, info.Size()); err != nil {
		return false, "", err
	}
	if info.Size() != s.memoryBytes {
		// Truncate to nothing first: the old bytes must not be taken for ours.
		if err := f.Truncate(0); err != nil {
			return false, "", err
		}
	}
	// All of it now: where a file system gets full later, touching the mapping is death by SIGBUS.
	if err := reserveFile(f, s.memoryBytes); err != nil {
		f.Truncate(0) // what was reserved is given back; the error that counts is the first
		return false, "", fmt.Errorf("%s needs %d bytes: %w", o.File, s.memoryBytes, err)
	}
	lock, err := keepLock(f)
	if err != nil {
		return false, "", err
	}
	mem, err := mapFile(f, s.memoryBytes)
	if err != nil {
		lock.Close()
		return false, "", err
	}
	a.lay(mem, s)
	a.unmap = func() error {
		err := unmap(mem)
		lock.Close() // only now may another process take the file
		return err
	}
	if info.Size() == s.memoryBytes {
		cold = a.head.check(o, s)
	}
	if info.Size() == s.memoryBytes && cold == "" {
		return true, "", nil
	}
	return false, cold, nil
}

// ours refuses a file that holds something else than a store, which is not to be destroyed. One of
// zeros is what a start that broke off leaves.
func ours(f *os.File, size int64) error {
	var magic [8]byte
	if _, err := f.ReadAt(magic[:], 0); err != nil && err != io.EOF {
		return err
	}
	if size > 0 && magic != headerMagic && magic != [8]byte{} {
		return fmt.Errorf("%s is no memory file; it is left as it is", f.Name())
	}
	return nil
}

// check says why a mapped file can't be continued, or nothing.
func (h *header) check(o Options, s shape) string {
	switch {
	case h.magic != headerMagic:
		return "its first start broke off"
	case h.version != formatVersion || h.headerBytes != uint32(unsafe.Sizeof(header{})):
		return fmt.Sprintf("its format is version %d (%d) and this program's %d (%d)", h.version, h.headerBytes, formatVersion, unsafe.Sizeof(header{}))
	case h.memoryBytes != uint64(s.memoryBytes) || h.segmentBytes != uint64(s.segmentBytes):
		return fmt.Sprintf("it is of %d bytes of memory and this of %d", h.memoryBytes, s.memoryBytes)
	case o.Seed != 0 && h.seed != o.Seed:
		return "its hash seed is another"
	case h.clean != 1:
		return "it was not stopped cleanly"
	}
	return ""
}
