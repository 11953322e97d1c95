package cache

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/zeebo/xxh3"
)

// The index maps the hash of a key to the location of its item. It is a table of 64-byte buckets
// of eight slots that grows by linear hashing (Litwin, VLDB'80): one bucket at a time is split in
// two, so that no store waits for a rehash. A bucket with more than eight items has a link in its
// last slot to a bucket of overflow. Chunks of buckets are segments.
//
// This file and prefetch.go have all that touches buckets. A slot changes only under its stripe;
// what else of the index changes is guarded by segments.mu.
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
// these ten: so a split needs the tags alone and reads no item (up to 2^34 buckets), and every
// bucket that a key can ever be in has the same low ten bits, which number its stripe.
const (
	slots       = 8 // a bucket
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

	// itemsPerBucket is the mean load above which a bucket is split. More saves memory, until the
	// overflow buckets eat it up, and costs a second cache line where there is overflow.
	itemsPerBucket = 8
)

// A stripe is a lock over every stripes-th bucket, alone in its cache line.
type stripe struct {
	sync.Mutex
	_ [56]byte
}

// An index finds items by their keys' hashes.
type index struct {
	*arena
	segments *segments // where its memory comes from
	dir      []uint32  // its chunks' segments, in the mapping
	seed     uint64    // of the hash; secret, so that nobody can choose keys that collide

	stripes [stripes]stripe
	buckets atomic.Uint64 // in use; written under segments.mu and the stripe of the bucket that is split
	items   atomic.Int64  // that slots refer to, expired ones too until they are noticed
	bytes   atomic.Int64  // that these items take

	state indexState // guarded by segments.mu
	held  []uint64   // unchain's scratch, likewise
}

// indexState is the state of the index outside of its chunks, as the header keeps it.
type indexState struct {
	buckets  uint64 // a copy of index.buckets, made by save
	chunks   uint32 // in dir
	overflow uint32 // chunks of overflow
	spare    uint64 // first overflow bucket that is free, 0 none; each links to the next by its first word
	spares   uint64
}

func tagOf(h uint64) uint64              { return h >> stripeBits & (1<<tagBits - 1) }
func frequency(slot uint64) uint64       { return slot >> freqShift & freqMax }
func location(slot uint64) uint64        { return slot & locMask }
func (x *index) stripe(h uint64) *stripe { return &x.stripes[h&(stripes-1)] }

// hash is the hash of a key. Its low bits number the stripe.
func (x *index) hash(key []byte) uint64 { return xxh3.HashSeed(key, x.seed) }

// reset makes the index an empty one. The segments must be free.
func (x *index) reset(seed uint64) {
	x.seed = seed
	x.addChunk()
	x.buckets.Store(minBuckets)
	// The end of the mapping, less than a segment, becomes overflow buckets.
	rest := x.wordAt(uint32(len(x.segments.table)))
	clear(x.words[rest:])
	x.giveSpares(rest, uint64(len(x.words)))
}

// restore takes up what save left in the header.
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

// bucketNumber is the bucket of h in a table of n.
func bucketNumber(h, n uint64) uint64 {
	mask := uint64(1)<<bits.Len64(n-1) - 1
	b := h & mask
	if b >= n {
		b &= mask >> 1
	}
	return b
}

// bucket is the first word of h's bucket. It is h's for sure only under h's stripe.
func (x *index) bucket(h uint64) uint64 { return x.bucketWord(bucketNumber(h, x.buckets.Load())) }

func (x *index) bucketWord(b uint64) uint64 {
	shift := x.shift - 6
	return x.wordAt(x.dir[b>>shift]) + (b&(1<<shift-1))*slots
}

// find returns the slot of key, as a word's number, and its item's location; 0, 0 if there is
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

// findAt returns the slot that refers to loc, 0 if none does. It needs h's stripe.
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

// slot is the slot at a word's number. It needs the slot's stripe.
func (x *index) slot(at uint64) uint64 { return x.words[at] }

// countRead raises the slot's frequency. It needs the slot's stripe.
func (x *index) countRead(at uint64) {
	if slot := x.words[at]; frequency(slot) < freqMax {
		x.set(at, slot+1<<freqShift)
	}
}

// set writes a slot. The store is atomic because prefetchItem reads slots without a lock.
func (x *index) set(at, slot uint64) { atomic.StoreUint64(&x.words[at], slot) }

// insert adds a slot to the bucket of h, which has none for the same key. It needs segments.mu, h's
// stripe and, when the bucket is full, a spare overflow bucket: see reserveSpare.
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

// split divides the next bucket. It needs segments.mu. The two chains that come of it need no more
// overflow buckets than the one before, which are given back first.
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

// erase empties a slot of h's bucket and shortens the chain if it can. It needs segments.mu and h's
// stripe. Where only the stripe is held a slot is set to 0, and its chain shortened later: chains
// must not stay as long as they ever were.
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
	// The last bucket of the chain: one of its items fills the hole, and when one is left at most,
	// that takes the link's place.
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

// grow splits a bucket if the index is loaded enough and there is memory for it. It needs
// segments.mu.
func (x *index) grow() {
	n := x.buckets.Load()
	if uint64(x.items.Load()) <= n*itemsPerBucket || bits.Len64(n) > tagBits+stripeBits {
		return
	}
	if n>>(x.shift-6) >= uint64(x.state.chunks) && !x.addChunk() {
		return // chains get longer, no more
	}
	x.split()
}

// addChunk makes a free segment a chunk of the index, if there is one beyond the reserve.
func (x *index) addChunk() bool {
	if !x.segments.beyondReserve() {
		return false
	}
	id := x.segments.takeTable()
	x.dir[x.state.chunks] = id
	x.state.chunks++
	return true
}

// reserveSpare makes sure that an insert finds an overflow bucket. It needs segments.mu.
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

// giveSpares makes overflow buckets of the words from one location to another, which are zero.
func (x *index) giveSpares(from, to uint64) {
	for w := from; w+slots <= to; w += slots {
		x.giveSpare(w)
	}
}

// count notes that a slot refers to the item at loc from now on. It needs the item's stripe.
func (x *index) count(loc uint64, it item) {
	x.items.Add(1)
	x.bytes.Add(int64(it.memoryBytes()))
	x.segments.addLive(loc, it.size())
}

// drop notes that no slot refers to the item at loc any more, and kills it. It needs the item's
// stripe. It returns the chunks of a large value that nobody reads, to be freed under segments.mu,
// or none.
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
