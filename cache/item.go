package cache

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"
)

// An item's bytes, little-endian, at a multiple of 8 bytes. Fields marked * never change while the
// item is at its location, so that the evictor can walk a segment without the items' locks.
//
//	 0  uint32* bits 0-7 key bytes, 8-11 layout, 12-31 size of the whole in 8-byte units
//	 4  uint8   bits 0-2 unused bytes at the end; 3-7 see below
//	 6  uint48  sequence number: its CAS, unless it has a CAS of its own
//	12  uint32  last access, Unix seconds; atomic, and 0 when the item is dead
//	16  uint32  expiry, Unix seconds, 0 never   } each if the layout has it
//	    uint32  client flags                    }
//	    uint64  CAS of its own (meta E)         }
//	    uint32  first segment, and uint32 length in bytes, of a large value
//	    key*, value (a large value's tail: see large.go), 0 to 7 unused bytes
//
// The value's length and flags are not stored as text, though that would save formatting them on a
// hit: it would cost 10 bytes per item, 7 % of the items that fit.
type item []byte

const (
	itemHeaderBytes = 16
	largeRefBytes   = 8
	layoutShift     = 8
	unitShift       = 12
)

// The layout: which optional fields an item has.
const (
	hasExpiry = 1 << iota
	hasFlags
	hasOwnCAS
	isLarge
)

// The bits of an item.
const (
	bitFetched = 8 << iota // has been read since it was stored
	bitStale               // marked stale by md I
	bitSent                // a client has won the right to recache it
	bitBinary              // the key was given as base64
	bitCounted             // counted by its key's prefix

	padMask = 7
)

// optional is the number of bytes of the optional fields, by layout.
var optional = [16]uint8{0, 4, 4, 8, 8, 12, 12, 16, 8, 12, 12, 16, 16, 20, 20, 24}

func (it item) fixed() uint32    { return binary.LittleEndian.Uint32(it) }
func (it item) keyBytes() int    { return int(it[0]) }
func (it item) layout() uint8    { return it[1] & 15 }
func (it item) large() bool      { return it[1]&isLarge != 0 }
func (it item) size() int        { return int(it.fixed()>>unitShift) * 8 }
func (it item) has(b uint8) bool { return it[4]&b != 0 }
func (it item) setBit(b uint8)   { it[4] |= b }
func (it item) clearBit(b uint8) { it[4] &^= b }

func (it item) seq() uint64 { return binary.LittleEndian.Uint64(it[4:]) >> 16 }

func (it item) setSeq(seq uint64) {
	binary.LittleEndian.PutUint16(it[6:], uint16(seq))
	binary.LittleEndian.PutUint32(it[8:], uint32(seq>>16))
}

func (it item) access() *uint32        { return (*uint32)(unsafe.Pointer(&it[12])) }
func (it item) accessed() uint32       { return atomic.LoadUint32(it.access()) }
func (it item) setAccessed(now uint32) { atomic.StoreUint32(it.access(), now) }
func (it item) dead() bool             { return it.accessed() == 0 }
func (it item) kill()                  { it.setAccessed(0) }
func (it item) at(fields uint8) int    { return itemHeaderBytes + int(optional[it.layout()&fields]) }
func (it item) keyAt() int             { return itemHeaderBytes + int(optional[it.layout()]) }
func (it item) key() []byte            { at := it.keyAt(); return it[at : at+it.keyBytes()] }
func (it item) inline() []byte         { return it[it.keyAt()+it.keyBytes() : it.size()-int(it[4]&padMask)] }
func (it item) setExpiry(at uint32)    { binary.LittleEndian.PutUint32(it[itemHeaderBytes:], at) }
func (it item) largeRef() (first, n uint32) {
	at := it.at(hasExpiry | hasFlags | hasOwnCAS)
	return binary.LittleEndian.Uint32(it[at:]), binary.LittleEndian.Uint32(it[at+4:])
}

// valueBytes returns the length of the whole value.
func (it item) valueBytes() int {
	if it.large() {
		_, n := it.largeRef()
		return int(n)
	}
	return len(it.inline())
}

// memoryBytes returns the memory that the item takes: its size, and the chunks of a large value.
func (it item) memoryBytes() int {
	n := it.size()
	if it.large() {
		n += it.valueBytes() - len(it.inline())
	}
	return n
}

// expiry returns Unix seconds, 0 for never.
func (it item) expiry() uint32 {
	if it.layout()&hasExpiry == 0 {
		return 0
	}
	return binary.LittleEndian.Uint32(it[itemHeaderBytes:])
}

// touch changes the expiry. It returns false if the item has no field for one.
func (it item) touch(expiry uint32) bool {
	if it.layout()&hasExpiry == 0 {
		return expiry == 0
	}
	it.setExpiry(expiry)
	return true
}

func (it item) clientFlags() uint32 {
	if it.layout()&hasFlags == 0 {
		return 0
	}
	return binary.LittleEndian.Uint32(it[it.at(hasExpiry):])
}

// cas returns the CAS that a client sees: the item's own, or its sequence number.
func (it item) cas() uint64 {
	if it.layout()&hasOwnCAS == 0 {
		return it.seq()
	}
	return binary.LittleEndian.Uint64(it[it.at(hasExpiry|hasFlags):])
}

// stamp gives the item a new sequence number, and the CAS own if it has a field for one.
func (it item) stamp(seq, own uint64) {
	it.setSeq(seq)
	if it.layout()&hasOwnCAS != 0 {
		binary.LittleEndian.PutUint64(it[it.at(hasExpiry|hasFlags):], own)
	}
}

func round8(n int) int { return (n + 7) &^ 7 }

// A draft is an item before it has a location. layOut sets its layout and sizes.
type draft struct {
	key         []byte
	head, tail  []byte // the value is both, one after the other
	clientFlags uint32
	expiry      uint32 // Unix seconds, 0 never
	seq         uint64
	own         uint64 // its own CAS, if wantOwn
	wantOwn     bool
	accessed    uint32
	bits        uint8

	layout uint8
	kept   int // bytes of the value that are stored with the item; all of them unless it is large
	size   int // of the item in its segment
}

func (d *draft) valueBytes() int { return len(d.head) + len(d.tail) }

// layOut chooses the layout and the sizes. A large item has all fields, so that they can later be
// changed in place.
func (d *draft) layOut(segmentBytes int) {
	d.layout, d.kept = 0, d.valueBytes()
	if d.expiry != 0 {
		d.layout |= hasExpiry
	}
	if d.clientFlags != 0 {
		d.layout |= hasFlags
	}
	if d.wantOwn {
		d.layout |= hasOwnCAS
	}
	if itemHeaderBytes+int(optional[d.layout])+len(d.key)+d.kept > segmentBytes/2 {
		d.layout = hasExpiry | hasFlags | hasOwnCAS | isLarge
		d.kept = tailBytes(d.valueBytes(), segmentBytes)
	}
	d.size = round8(itemHeaderBytes + int(optional[d.layout]) + len(d.key) + d.kept)
}

// fits reports whether the draft can overwrite it. A large item may be pinned, so it never can.
func (d *draft) fits(it item) bool {
	return d.layout&isLarge == 0 && it.layout() == d.layout && it.size() == d.size
}

// write writes the draft to it. A large value's chunks begin at first.
func (d *draft) write(it item, first uint32) {
	binary.LittleEndian.PutUint32(it, uint32(len(d.key))|uint32(d.layout)<<layoutShift|uint32(d.size/8)<<unitShift)
	copy(it[it.keyAt():], d.key)
	if d.layout&isLarge != 0 {
		at := it.at(hasExpiry | hasFlags | hasOwnCAS)
		binary.LittleEndian.PutUint32(it[at:], first)
		binary.LittleEndian.PutUint32(it[at+4:], uint32(d.valueBytes()))
	}
	d.overwrite(it)
}

// overwrite writes the fields and the value of a draft that fits, but none of the fields marked *.
func (d *draft) overwrite(it item) {
	at := itemHeaderBytes
	if d.layout&hasExpiry != 0 {
		binary.LittleEndian.PutUint32(it[at:], d.expiry)
		at += 4
	}
	if d.layout&hasFlags != 0 {
		binary.LittleEndian.PutUint32(it[at:], d.clientFlags)
	}
	own := d.own
	if !d.wantOwn {
		own = d.seq
	}
	at = it.keyAt() + len(d.key)
	it[4] = d.bits | uint8(d.size-at-d.kept)
	it[5] = 0
	it.stamp(d.seq, own)
	it.setAccessed(d.accessed)
	skip := d.valueBytes() - d.kept // the part of a large value that its chunks hold
	if skip < len(d.head) {
		at += copy(it[at:], d.head[skip:])
		skip = 0
	} else {
		skip -= len(d.head)
	}
	copy(it[at:], d.tail[skip:])
}
