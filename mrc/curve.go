package mrc

import "math"

// A Point of the curve is the share of gets, in [0, 1], that would be hits with this much memory
// for items.
type Point struct {
	MemoryBytes int64
	HitRatio    float64
}

// Stats describe the sample behind the curve, which is not reliable below a few thousand sampled
// requests.
type Stats struct {
	SampledRequests uint64  // since New or Reset
	Keys            int     // in the sample now
	Rate            float64 // share of all keys that is sampled now
}

// Stats returns the size of the sample.
func (s *Sampler) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{SampledRequests: s.sampled, Keys: s.keys.len(), Rate: 1 / s.weight}
}

// Curve returns the hit ratio for each of the memory sizes, in their order. Before the first
// sampled request all are 0. Above Options.MaxBytes the curve is flat.
func (s *Sampler) Curve(memoryBytes []int64) []Point {
	s.mu.Lock()
	defer s.mu.Unlock()
	counted := s.distances.total() + s.cold
	requests := counted
	if s.options.Requests != nil {
		requests = s.requestsBefore + float64(s.options.Requests()-s.requestsThen)
	}
	chance, hot := s.lack(requests - counted)
	points := make([]Point, len(memoryBytes))
	for i, m := range memoryBytes {
		points[i].MemoryBytes = m
		if counted == 0 || requests == 0 || m <= 0 {
			continue
		}
		hits := s.distances.upTo(float64(m)) + hot
		if chance != 0 {
			hits += chance * s.popular.upTo(float64(m)) / (s.popular.total() + s.popularCold)
		}
		points[i].HitRatio = min(max(hits/requests, 0), 1)
	}
	return points
}

// lack splits the number of requests that the sample lacks (or, if negative, has in excess).
//
// SHARDS-adj attributes all of it to a few very hot keys that happen to be outside the sample or in
// it, whose requests are hits at any size. That is right for skewed traffic and wrong for even
// traffic, where a sample of 2000 keys has some 2 % too many or too few of every kind. So the part
// that the sample's own spread explains, chance, is assumed to have the hit ratio of the sample's
// requests, each weighted by how often its key is requested: the regression estimator of survey
// sampling (Cochran, Sampling Techniques, chapter 7), which equals SHARDS-adj if hot keys are in
// the sample. About the part beyond that spread, hot, the sample has no information, and it is
// counted as in SHARDS-adj.
func (s *Sampler) lack(requests float64) (chance, hot float64) {
	// Σ r² over keys, each in the sample with a chance of 1 ÷ weight
	variance := (s.popular.total() + s.popularCold) * (s.weight - 1)
	spread := 2 * math.Sqrt(variance)
	chance = min(max(requests, -spread), spread)
	return chance, requests - chance
}
