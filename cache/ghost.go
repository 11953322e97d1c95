package cache

// Ghosts are fingerprints of keys that were lately evicted from the small ring: a key that comes
// back while its ghost is there goes to the main ring at once. They are kept for half as many
// items as are held, 4 bytes each, in sets of sixteen; a set is a queue. (S3-FIFO keeps as many as
// the main ring's items in one queue; sets make that a table without links, and the age at which a
// ghost goes varies a little around the mean.)
const ghostWays = 16

// ghostState is what of the ghosts stands outside their chunks. Guarded by Store.mu.
type ghostState struct {
	chunks uint32
	_      uint32
	sets   uint64
}

// ghostSet is the set of h: 16 fingerprints in 8 words, the youngest first.
func (s *Store) ghostSet(h uint64) []uint64 {
	// The upper half of a 32-bit product spreads h's low half over any number of sets.
	n := (h & (1<<32 - 1)) * s.ghosts.sets >> 32
	perChunk := uint64(s.segmentBytes) / (4 * ghostWays)
	w := s.wordAt(s.ghostDir[n/perChunk]) + n%perChunk*(ghostWays/2)
	return s.words[w : w+ghostWays/2]
}

// fingerprint is never 0, which is an empty place.
func fingerprint(h uint64) uint64 { return h>>32 | 1 }

// addGhost remembers an evicted key. It needs Store.mu.
func (s *Store) addGhost(h uint64) {
	if s.ghosts.sets == 0 {
		return
	}
	set := s.ghostSet(h)
	carry := fingerprint(h)
	for i, pair := range set {
		set[i] = pair<<32 | carry
		carry = pair >> 32
	}
}

// takeGhost reports whether h was lately evicted, and forgets it. It needs Store.mu.
func (s *Store) takeGhost(h uint64) bool {
	if s.ghosts.sets == 0 {
		return false
	}
	want := fingerprint(h)
	for i, pair := range s.ghostSet(h) {
		if pair&(1<<32-1) == want {
			s.ghostSet(h)[i] = pair &^ (1<<32 - 1)
			return true
		}
		if pair>>32 == want {
			s.ghostSet(h)[i] = pair & (1<<32 - 1)
			return true
		}
	}
	return false
}

// growGhosts keeps room for half as many ghosts as items. A change of size forgets most of what
// was there, so it grows by whole chunks, one for each segment that eviction frees, and soon has
// its size. It needs Store.mu.
func (s *Store) growGhosts() {
	if s.freeCount <= reserveSegments || s.ghosts.sets*ghostWays >= uint64(s.items.Load())/2 {
		return
	}
	id := s.take(table)
	clear(s.bytesOf(id))
	s.ghostDir[s.ghosts.chunks] = id
	s.ghosts.chunks++
	s.ghosts.sets += uint64(s.segmentBytes) / (4 * ghostWays)
}
