package cache

import "math"

// The border between the small and the main ring is where a segment is worth the same on either
// side: it moves by the logarithm of the ratio of the rings' hits per segment. A fixed small ring
// of a tenth, as in the paper, loses on loads whose items are read again late.
type border struct {
	target uint32 // segments that the small ring may have
	_      uint32
	share  float64   // the same as a share of all item segments
	hits   [2]uint64 // of each ring, at the last move
}

const (
	initialShare = 0.15
	minShare     = 0.02
	maxShare     = 0.90
	// borderStep is how far the share moves for a ratio of e, as a share of itself, and
	// borderPeriod how often: after so many item segments in parts of all have been emptied.
	borderStep   = 0.05
	borderPeriod = 32
	// borderBias is what a segment of the small ring counts beside one of the main ring: hits there
	// also tell which items belong in the main ring.
	borderBias = 1.15
)

// adjustBorder is called once a victim. It needs Store.mu.
func (s *Store) adjustBorder() {
	b := &s.border
	total := s.rings[small].count + s.rings[main].count
	if s.victims++; s.victims >= total/borderPeriod {
		s.victims = 0
		now := s.ringHits()
		h0, h1 := now[small]-b.hits[small], now[main]-b.hits[main]
		b.hits = now
		if s.rings[small].count > 0 && s.rings[main].count > 0 {
			perSmall := float64(h0+1) / float64(s.rings[small].count)
			perMain := float64(h1+1) / float64(s.rings[main].count)
			b.share *= 1 + borderStep*max(-2, min(2, math.Log(borderBias*perSmall/perMain)))
			b.share = max(minShare, min(maxShare, b.share))
		}
	}
	b.target = uint32(b.share * float64(total))
}

// ringHits sums what the lanes have counted.
func (s *Store) ringHits() (hits [2]uint64) {
	for i := range s.lanes {
		hits[small] += s.lanes[i].hits[small].Load()
		hits[main] += s.lanes[i].hits[main].Load()
	}
	return hits
}
