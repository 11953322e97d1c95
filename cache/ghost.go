package cache

import "math/bits"

// Ghosts are fingerprints of keys that were recently evicted from the small ring. A key that is
// stored again while its ghost exists goes to the main ring at once. There is space for about as
// many ghosts as there are items, as in the S3-FIFO paper, at 2 bytes each. (The paper has them in
// one queue. Here they are in sets of 32, each a queue in a cache line of its own, which needs no
// links. The age at which a ghost is dropped varies a little around the mean, and at most one new
// key in 2048 is mistaken for one that was evicted.)
//
// This file changes the ghosts' fields and chunks, under segments.mu.
const (
	ghostWays     = 32
	ghostSetBytes = 2 * ghostWays
	ghostLanes    = 0x0001_0001_0001_0001 // 1 in each of the four fingerprints of a word
)

// ghosts are all sets of ghosts. segments.mu guards them.
type ghosts struct {
	*arena
	segments *segments // their memory is from here
	dir      []uint32  // the segments that are their chunks; in the mapping
	state    ghostState
}

// ghostState is the state of the ghosts outside of their chunks, in the header's form.
type ghostState struct {
	chunks uint32
	_      uint32
	sets   uint64 // in use; the chunks may have space for more
}

// set returns the set of h: 32 fingerprints in 8 words, the youngest first.
func (g *ghosts) set(h uint64) []uint64 {
	// The upper half of a 32-bit product spreads h's low half over any number of sets.
	n := (h & (1<<32 - 1)) * g.state.sets >> 32
	perChunk := uint64(g.segmentBytes) / ghostSetBytes
	w := g.wordAt(g.dir[n/perChunk]) + n%perChunk*(ghostSetBytes/8)
	return g.words[w : w+ghostSetBytes/8]
}

// fingerprint is never 0, which marks an empty place.
func fingerprint(h uint64) uint64 { return max(h>>48, 1) }

// add adds the ghost of an evicted key. The oldest of its set is dropped.
func (g *ghosts) add(h uint64) {
	if g.state.sets == 0 {
		return
	}
	set := g.set(h)
	carry := fingerprint(h)
	for i, four := range set {
		set[i] = four<<16 | carry
		carry = four >> 48
	}
}

// take removes the ghost of h, and reports whether there was one.
func (g *ghosts) take(h uint64) bool {
	if g.state.sets == 0 {
		return false
	}
	set := g.set(h)
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

// resize keeps space for about as many ghosts as there are items. Changing the number of sets
// invalidates most ghosts, so it changes only if it is far off. The first ghosts get their memory
// chunk by chunk, one for each segment that eviction frees.
func (g *ghosts) resize(items uint64) {
	want := max(1, items/ghostWays)
	if want <= g.state.sets+g.state.sets/8 && want >= g.state.sets/2 {
		return
	}
	places := uint64(g.state.chunks) * uint64(g.segmentBytes) / ghostSetBytes
	if want > places && g.segments.beyondReserve() {
		id := g.segments.takeTable()
		g.dir[g.state.chunks] = id
		g.state.chunks++
		places += uint64(g.segmentBytes) / ghostSetBytes
	}
	g.state.sets = min(want, places)
}
