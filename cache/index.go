package cache

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/zeebo/xxh3"
)

// The index maps the hash of a key to the location of its item. It is a table of 64-byte buckets of
// eight slots that grows by linear hashing (Litwin, VLDB'80): buckets are split in two one at a
// time, so that no store waits for a rehash. A bucket with more than eight items has a link in its
// last slot to an overflow bucket. Chunks of buckets are segments.
//
// Only this file and prefetch.go touch buckets. A slot changes only under its stripe; segments.mu
// guards everything else of the index that changes.
//
// A slot is a word, 0 when empty:
//
//	bits 40-63  tag: bits 10 to 33 of the hash
//	bits 38-39  frequency: reads since it was stored or last moved, at most 3
//	bit  37     this is the last slot, and a link to the bucket at bits 0-35
//	bit  36     the item is in the main ring
//	bits  0-35  the item's location: its first word's number in the mapping
//
// A bucket's number is the low bits of the hash, at least ten of them, and the tag begins above
// these ten. So a split needs only the tags and reads no item (up to 2^34 buckets), and all buckets
// that a key can ever be in have the same low ten bits, which are the number of its stripe.
const (
	slots       = 8 // per bucket
	bucketBytes = 8 * slots
	tagShift    = 40
	tagBits     = 24
	freqShift   = 38
	freqMax     = 3
	linkMark    = 1 << 37
	mainMark    = 1 << 36
	locMask     = 1<<36 - 1

	stripeBits = 10
	stripes    = 1 << stripeBits
	minBuckets = stripes

	// itemsPerBucket is the mean load above which a bucket is split. A higher one saves memory, until
	// overflow buckets use it up, and costs a second cache line for each bucket with overflow.
	itemsPerBucket = 8
)

// A stripe is a lock for every stripes-th bucket, in a cache line of its own.
type stripe struct {
	sync.Mutex
	_ [56]byte
}

// An index finds items by their keys' hashes.
type index struct {
	*arena
	segments *segments // its memory is from here
	dir      []uint32  // the segments that are its chunks; in the mapping
	seed     uint64    // of the hash; secret, so that clients can't choose keys that collide

	stripes [stripes]stripe
	buckets atomic.Uint64 // in use; written under segments.mu and the stripe of the bucket that is split
	items   atomic.Int64  // that slots refer to; also expired ones until they are unlinked
	bytes   atomic.Int64  // that these items take

	state indexState // guarded by segments.mu
	held  []uint64   // scratch space of unchain; guarded by segments.mu
}

// indexState is the state of the index outside of its chunks, in the header's form.
type indexState struct {
	buckets  uint64 // a copy of index.buckets, made by save
	chunks   uint32 // in dir
	overflow uint32 // chunks of overflow buckets
	spare    uint64 // first free overflow bucket, 0 none; each links to the next in its first word
	spares   uint64 // number of free overflow buckets
}

func tagOf(h uint64) uint64              { return h >> stripeBits & (1<<tagBits - 1) }
func frequency(slot uint64) uint64       { return slot >> freqShift & freqMax }
func location(slot uint64) uint64        { return slot & locMask }
func (x *index) stripe(h uint64) *stripe { return &x.stripes[h&(stripes-1)] }

// hash returns the hash of a key. Its low bits are the number of the stripe.
func (x *index) hash(key []byte) uint64 { return xxh3.HashSeed(key, x.seed) }

// reset empties the index. All segments must be free.
func (x *index) reset(seed uint64) {
	x.seed = seed
	x.addChunk()
	x.buckets.Store(minBuckets)
	// The end of the mapping, less than a segment, becomes overflow buckets.
	rest := x.wordAt(uint32(len(x.segments.table)))
	clear(x.words[rest:])
	x.giveSpares(rest, uint64(len(x.words)))
}

// restore reads what save has written to the header.
func (x *index) restore(h *header) {
	x.seed, x.state = h.seed, h.index
	x.buckets.Store(h.index.buckets)
	x.items.Store(int64(h.items))
	x.bytes.Store(int64(h.bytes))
}

func (x *index) save(h *header) {
	x.state.buckets = x.buckets.Load()
	h.index = x.state
	h.items, h.bytes = uint64(x.items.Load()), uint64(x.bytes.Load())
}

func newSlot(h, loc uint64, r uint8) uint64 {
	return tagOf(h)<<tagShift | uint64(r)*mainMark | loc
}

// bucketNumber returns the bucket of h in a table of n buckets.
func bucketNumber(h, n uint64) uint64 {
	mask := uint64(1)<<bits.Len64(n-1) - 1
	b := h & mask
	if b >= n {
		b &= mask >> 1
	}
	return b
}

// bucket returns the first word of h's bucket. Without h's stripe, a split may change it at any
// time.
func (x *index) bucket(h uint64) uint64 { return x.bucketWord(bucketNumber(h, x.buckets.Load())) }

func (x *index) bucketWord(b uint64) uint64 {
	shift := x.shift - 6
	return x.wordAt(x.dir[b>>shift]) + (b&(1<<shift-1))*slots
}

// find returns the slot of key, as an index of words, and its item's location; 0, 0 if there is
// none. It needs h's stripe.
func (x *index) find(h uint64, key []byte) (at, loc uint64) {
	tag := tagOf(h)
	w := x.bucket(h)
	for {
		b := x.words[w : w+slots : w+slots]
		for i, v := range b {
			if v>>tagShift != tag || v == 0 || v&linkMark != 0 {
				continue
			}
			if it := x.item(location(v)); it.keyBytes() == len(key) && string(it.key()) == string(key) {
				return w + uint64(i), location(v)
			}
		}
		if b[slots-1]&linkMark == 0 {
			return 0, 0
		}
		w = location(b[slots-1])
	}
}

// findAt returns the slot that refers to loc, or 0. It needs h's stripe.
func (x *index) findAt(h, loc uint64) (at uint64) {
	w := x.bucket(h)
	for {
		b := x.words[w : w+slots : w+slots]
		for i, v := range b {
			if v&(locMask|linkMark) == loc {
				return w + uint64(i)
			}
		}
		if b[slots-1]&linkMark == 0 {
			return 0
		}
		w = location(b[slots-1])
	}
}

// slot returns the slot at index at of words. It needs the slot's stripe.
func (x *index) slot(at uint64) uint64 { return x.words[at] }

// countRead increments the slot's frequency. It needs the slot's stripe.
func (x *index) countRead(at uint64) {
	if slot := x.words[at]; frequency(slot) < freqMax {
		x.set(at, slot+1<<freqShift)
	}
}

// set writes a slot. The store is atomic because prefetchItem reads slots without a lock.
func (x *index) set(at, slot uint64) { atomic.StoreUint64(&x.words[at], slot) }

// insert adds a slot to the bucket of h, which must not have one for the same key. It needs
// segments.mu, h's stripe and, if the bucket is full, a spare overflow bucket: see reserveSpare.
func (x *index) insert(h, slot uint64) { x.insertAt(x.bucket(h), slot) }

func (x *index) insertAt(w, slot uint64) {
	for {
		for at := w; at < w+slots; at++ {
			if x.words[at] == 0 {
				x.set(at, slot)
				return
			}
		}
		last := w + slots - 1
		if x.words[last]&linkMark == 0 {
			more := x.state.spare
			x.state.spare = x.words[more]
			x.state.spares--
			x.set(more, x.words[last])
			x.set(last, linkMark|more)
		}
		w = location(x.words[last])
	}
}

// split divides the next bucket. It needs segments.mu. The two new chains need no more overflow
// buckets than the old one, whose overflow buckets are freed first.
func (x *index) split() {
	n := x.buckets.Load()
	bit := uint(bits.Len64(n) - 1) // n is in [1<<bit, 2<<bit), and bucket n is split off n - 1<<bit
	old, fresh := x.bucketWord(n-1<<bit), x.bucketWord(n)
	st := x.stripe(n)
	st.Lock()
	defer st.Unlock()
	held := x.unchain(old)
	for _, v := range held {
		w := old
		if v>>tagShift>>(bit-stripeBits)&1 != 0 {
			w = fresh
		}
		x.insertAt(w, v)
	}
	x.buckets.Store(n + 1)
}

// unchain empties the bucket at w and its overflow, and returns the items' slots.
func (x *index) unchain(w uint64) []uint64 {
	held := x.held[:0]
	for first := w; w != 0; {
		next := uint64(0)
		for at := w; at < w+slots; at++ {
			switch v := x.words[at]; {
			case v == 0:
			case v&linkMark != 0:
				next = location(v)
			default:
				held = append(held, v)
			}
			x.set(at, 0)
		}
		if w != first {
			x.giveSpare(w)
		}
		w = next
	}
	x.held = held
	return held
}

// erase empties a slot of h's bucket and shortens the chain if it can, so that chains don't stay as
// long as they ever were. It needs segments.mu and h's stripe. A caller that holds only the stripe
// sets the slot to 0 instead, and the chain is shortened later.
func (x *index) erase(h, at uint64) {
	x.set(at, 0)
	w, link := x.bucket(h), uint64(0)
	for x.words[w+slots-1]&linkMark != 0 {
		link = w + slots - 1
		w = location(x.words[link])
	}
	if link == 0 {
		return
	}
	// w is the last bucket of the chain. One of its items fills the hole, and if at most one item is
	// left, that one replaces the link.
	count, last := 0, uint64(0)
	for i := w; i < w+slots; i++ {
		if x.words[i] != 0 {
			count, last = count+1, i
		}
	}
	if outside := at < w || at >= w+slots; count > 0 && outside {
		x.set(at, x.words[last])
		x.set(last, 0)
		count--
	}
	if count > 1 {
		return
	}
	left := uint64(0)
	for i := w; i < w+slots; i++ {
		left |= x.words[i]
		x.set(i, 0)
	}
	x.set(link, left)
	x.giveSpare(w)
}

func (x *index) giveSpare(w uint64) {
	x.set(w, x.state.spare)
	x.state.spare = w
	x.state.spares++
}

// grow splits a bucket if the index is full enough and there is memory for it. It needs
// segments.mu.
func (x *index) grow() {
	n := x.buckets.Load()
	if uint64(x.items.Load()) <= n*itemsPerBucket || bits.Len64(n) > tagBits+stripeBits {
		return
	}
	if n>>(x.shift-6) >= uint64(x.state.chunks) && !x.addChunk() {
		return // chains get longer instead
	}
	x.split()
}

// addChunk adds a free segment to the index's chunks, if there is one beyond the reserve.
func (x *index) addChunk() bool {
	if !x.segments.beyondReserve() {
		return false
	}
	id := x.segments.takeTable()
	x.dir[x.state.chunks] = id
	x.state.chunks++
	return true
}

// reserveSpare makes sure that insert finds a spare overflow bucket, and reports whether it could.
// It needs segments.mu.
func (x *index) reserveSpare() bool {
	if x.state.spares > 0 {
		return true
	}
	if x.segments.freeCount == 0 {
		return false
	}
	id := x.segments.takeTable()
	x.state.overflow++
	x.giveSpares(x.wordAt(id), x.wordAt(id)+uint64(x.segmentBytes)/8)
	return true
}

// giveSpares makes spare overflow buckets of the words between two locations, which must be zero.
func (x *index) giveSpares(from, to uint64) {
	for w := from; w+slots <= to; w += slots {
		x.giveSpare(w)
	}
}

// count counts the item at loc, to which a slot now refers. It needs the item's stripe.
func (x *index) count(loc uint64, it item) {
	x.items.Add(1)
	x.bytes.Add(int64(it.memoryBytes()))
	x.segments.addLive(loc, it.size())
}

// drop kills the item at loc, to which no slot refers any more, and subtracts it from the counts.
// It needs the item's stripe. It returns the chunks of a large value that nobody reads, which the
// caller must free under segments.mu, or none.
func (x *index) drop(loc uint64, it item) (orphans uint32) {
	orphans = none
	size := it.size()
	x.items.Add(-1)
	x.bytes.Add(-int64(it.memoryBytes()))
	x.segments.addLive(loc, -size)
	if it.large() {
		if first, _ := it.largeRef(); x.segments.doom(first) {
			orphans = first
		}
	}
	it.kill()
	return orphans
}

// eachInBucket calls f for each item of bucket n. It needs the bucket's stripe.
func (x *index) eachInBucket(n uint64, f func(slot uint64, it item)) {
	for w := x.bucketWord(n); w != 0; {
		next := uint64(0)
		for _, slot := range x.words[w : w+slots] {
			switch {
			case slot == 0:
			case slot&linkMark != 0:
				next = location(slot)
			default:
				f(slot, x.item(location(slot)))
			}
		}
		w = next
	}
}
