package cache

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// The index maps the hash of a key to the location of its item. It is a table of 64-byte buckets
// of eight slots that grows by linear hashing (Litwin, VLDB'80): one bucket at a time is split in
// two, so that no store waits for a rehash. A bucket with more than eight items has a link in its
// last slot to a bucket of overflow. Chunks of buckets are segments.
//
// A slot is a word, 0 when empty:
//
//	bits 40-63  tag: bits 10 to 33 of the hash
//	bits 38-39  frequency: reads since it was stored or last moved, at most 3
//	bit  37     this is the last slot, and a link to the bucket at bits 0-35
//	bit  36     the item is in the main ring
//	bits  0-35  the item's location: its first word's number in the mapping
//
// A bucket's number is the low bits of the hash, ten at least, and the tag begins above ten: so a
// split needs the tags alone and reads no item (up to 2^34 buckets), and every bucket that a key
// can ever be in has the same low ten bits, which number its stripe.
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

// indexState is what of the index stands outside its chunks. Guarded by segments.mu.
type indexState struct {
	buckets  uint64 // a copy of Store.buckets
	chunks   uint32 // in indexDir
	overflow uint32 // chunks of overflow
	spare    uint64 // first overflow bucket that is free, 0 none; each links to the next by its first word
	spares   uint64
}

func tagOf(h uint64) uint64              { return h >> stripeBits & (1<<tagBits - 1) }
func frequency(slot uint64) uint64       { return slot >> freqShift & freqMax }
func location(slot uint64) uint64        { return slot & locMask }
func (s *Store) stripe(h uint64) *stripe { return &s.stripes[h&(stripes-1)] }

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
func (s *Store) bucket(h uint64) uint64 { return s.bucketWord(bucketNumber(h, s.buckets.Load())) }

func (s *Store) bucketWord(b uint64) uint64 {
	shift := s.shift - 6
	return s.wordAt(s.indexDir[b>>shift]) + (b&(1<<shift-1))*slots
}

// find returns the slot of key, as a word's number, and its item's location; 0, 0 if there is
// none. It needs h's stripe.
func (s *Store) find(h uint64, key []byte) (at, loc uint64) {
	tag := tagOf(h)
	w := s.bucket(h)
	for {
		b := s.words[w : w+slots : w+slots]
		for i, v := range b {
			if v>>tagShift != tag || v == 0 || v&linkMark != 0 {
				continue
			}
			if it := s.item(location(v)); it.keyBytes() == len(key) && string(it.key()) == string(key) {
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
func (s *Store) findAt(h, loc uint64) (at uint64) {
	w := s.bucket(h)
	for {
		b := s.words[w : w+slots : w+slots]
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

// set writes a slot. The store is atomic for the sake of warm, which reads slots without a lock.
func (s *Store) set(at, slot uint64) { atomic.StoreUint64(&s.words[at], slot) }

// insert adds a slot to the bucket of h, which has none for the same key. It needs segments.mu, h's
// stripe and, when the bucket is full, a spare overflow bucket: see reserveSpare.
func (s *Store) insert(h, slot uint64) { s.insertAt(s.bucket(h), slot) }

func (s *Store) insertAt(w, slot uint64) {
	for {
		for at := w; at < w+slots; at++ {
			if s.words[at] == 0 {
				s.set(at, slot)
				return
			}
		}
		last := w + slots - 1
		if s.words[last]&linkMark == 0 {
			more := s.index.spare
			s.index.spare = s.words[more]
			s.index.spares--
			s.set(more, s.words[last])
			s.set(last, linkMark|more)
		}
		w = location(s.words[last])
	}
}

// split divides the next bucket. It needs segments.mu. The two chains that come of it need no more
// overflow buckets than the one before, which are given back first.
func (s *Store) split() {
	n := s.buckets.Load()
	bit := uint(bits.Len64(n) - 1) // n is in [1<<bit, 2<<bit), and bucket n is split off n - 1<<bit
	old, fresh := s.bucketWord(n-1<<bit), s.bucketWord(n)
	st := s.stripe(n)
	st.Lock()
	defer st.Unlock()
	held := s.unchain(old)
	for _, v := range held {
		w := old
		if v>>tagShift>>(bit-stripeBits)&1 != 0 {
			w = fresh
		}
		s.insertAt(w, v)
	}
	s.buckets.Store(n + 1)
}

// unchain empties the bucket at w and its overflow, and returns the items' slots.
func (s *Store) unchain(w uint64) []uint64 {
	held := s.held[:0]
	for first := w; w != 0; {
		next := uint64(0)
		for at := w; at < w+slots; at++ {
			switch v := s.words[at]; {
			case v == 0:
			case v&linkMark != 0:
				next = location(v)
			default:
				held = append(held, v)
			}
			s.set(at, 0)
		}
		if w != first {
			s.giveSpare(w)
		}
		w = next
	}
	s.held = held
	return held
}

// erase empties a slot of h's bucket and shortens the chain if it can. It needs segments.mu and h's
// stripe. Where only the stripe is held a slot is set to 0, and its chain shortened later: chains
// must not stay as long as they ever were.
func (s *Store) erase(h, at uint64) {
	s.set(at, 0)
	w, link := s.bucket(h), uint64(0)
	for s.words[w+slots-1]&linkMark != 0 {
		link = w + slots - 1
		w = location(s.words[link])
	}
	if link == 0 {
		return
	}
	// The last bucket of the chain: one of its items fills the hole, and when one is left at most,
	// that takes the link's place.
	count, last := 0, uint64(0)
	for i := w; i < w+slots; i++ {
		if s.words[i] != 0 {
			count, last = count+1, i
		}
	}
	if outside := at < w || at >= w+slots; count > 0 && outside {
		s.set(at, s.words[last])
		s.set(last, 0)
		count--
	}
	if count > 1 {
		return
	}
	left := uint64(0)
	for i := w; i < w+slots; i++ {
		left |= s.words[i]
		s.set(i, 0)
	}
	s.set(link, left)
	s.giveSpare(w)
}

func (s *Store) giveSpare(w uint64) {
	s.set(w, s.index.spare)
	s.index.spare = w
	s.index.spares++
}

// grow splits a bucket if the index is loaded enough and there is memory for it. It needs
// segments.mu.
func (s *Store) grow() {
	n := s.buckets.Load()
	if uint64(s.items.Load()) <= n*itemsPerBucket || bits.Len64(n) > tagBits+stripeBits {
		return
	}
	if n>>(s.shift-6) >= uint64(s.index.chunks) && !s.addChunk() {
		return // chains get longer, no more
	}
	s.split()
}

// addChunk makes a free segment a chunk of the index, if there is one beyond the reserve.
func (s *Store) addChunk() bool {
	if !s.segments.beyondReserve() {
		return false
	}
	id := s.segments.takeTable()
	s.indexDir[s.index.chunks] = id
	s.index.chunks++
	return true
}

// reserveSpare makes sure that an insert finds an overflow bucket. It needs segments.mu.
func (s *Store) reserveSpare() bool {
	if s.index.spares > 0 {
		return true
	}
	if s.segments.freeCount == 0 {
		return false
	}
	id := s.segments.takeTable()
	s.index.overflow++
	s.giveSpares(s.wordAt(id), s.wordAt(id)+uint64(s.segmentBytes)/8)
	return true
}

// giveSpares makes overflow buckets of the words from one location to another, which are zero.
func (s *Store) giveSpares(from, to uint64) {
	for w := from; w+slots <= to; w += slots {
		s.giveSpare(w)
	}
}
