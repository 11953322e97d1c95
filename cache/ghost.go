package cache

import "math/bits"

// Ghosts are fingerprints of keys that were lately evicted from the small ring: a key that comes
// back while its ghost is there goes to the main ring at once. There is room for about as many as
// there are items, as in the S3-FIFO paper, at 2 bytes each. (The paper has them in one queue;
// here they are in sets of 32, each a queue in a cache line of its own, which needs no links. The
// age at which a ghost goes varies a little around the mean, and one new key in 2048 at most is
// mistaken for one that was evicted.)
const (
	ghostWays     = 32
	ghostSetBytes = 2 * ghostWays
	ghostLanes    = 0x0001_0001_0001_0001 // 1 in each of the four fingerprints of a word
)

// ghostState is what of the ghosts stands outside their chunks. Guarded by segments.mu.
type ghostState struct {
	chunks uint32
	_      uint32
	sets   uint64 // in use; the chunks may have room for more
}

// ghostSet is the set of h: 32 fingerprints in 8 words, the youngest first.
func (s *Store) ghostSet(h uint64) []uint64 {
	// The upper half of a 32-bit product spreads h's low half over any number of sets.
	n := (h & (1<<32 - 1)) * s.ghosts.sets >> 32
	perChunk := uint64(s.segmentBytes) / ghostSetBytes
	w := s.wordAt(s.ghostDir[n/perChunk]) + n%perChunk*(ghostSetBytes/8)
	return s.words[w : w+ghostSetBytes/8]
}

// fingerprint is never 0, which is an empty place.
func fingerprint(h uint64) uint64 { return max(h>>48, 1) }

// addGhost remembers an evicted key. It needs segments.mu.
func (s *Store) addGhost(h uint64) {
	if s.ghosts.sets == 0 {
		return
	}
	set := s.ghostSet(h)
	carry := fingerprint(h)
	for i, four := range set {
		set[i] = four<<16 | carry
		carry = four >> 48
	}
}

// takeGhost reports whether h was lately evicted, and forgets it. It needs segments.mu.
func (s *Store) takeGhost(h uint64) bool {
	if s.ghosts.sets == 0 {
		return false
	}
	set := s.ghostSet(h)
	want := fingerprint(h) * ghostLanes
	for i, four := range set {
		// The lowest bit of found is the top bit of the first lane that is equal.
		differ := four ^ want
		if found := (differ - ghostLanes) &^ differ & (ghostLanes << 15); found != 0 {
			lane := bits.TrailingZeros64(found) &^ 15
			set[i] = four &^ (0xffff << lane)
			return true
		}
	}
	return false
}

// growGhosts keeps room for about as many ghosts as there are items. Another number of sets
// forgets most ghosts, so it changes only when it is off by much; the first ghosts are made room
// for by a chunk for each segment that eviction frees. It needs segments.mu.
func (s *Store) growGhosts() {
	g := &s.ghosts
	want := max(1, uint64(s.index.items.Load())/ghostWays)
	if want <= g.sets+g.sets/8 && want >= g.sets/2 {
		return
	}
	room := uint64(g.chunks) * uint64(s.segmentBytes) / ghostSetBytes
	if want > room && s.segments.beyondReserve() {
		id := s.segments.takeTable()
		s.ghostDir[g.chunks] = id
		g.chunks++
		room += uint64(s.segmentBytes) / ghostSetBytes
	}
	g.sets = min(want, room)
}
