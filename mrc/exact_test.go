package mrc

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"
)

// exact is the curve without sampling: the LRU stack distance of each request of a trace.
type exact struct {
	distances []int64 // in request order; MaxInt64 on a first use
	sorted    []int64
	allBytes  int64 // of the distinct keys
}

// exactCurve keeps a Fenwick tree over the positions of the trace, with the bytes of each key at
// the position of its last use.
func exactCurve(trace []access) exact {
	tree := make([]int64, len(trace)+1)
	add := func(at int, bytes int64) {
		for i := at + 1; i < len(tree); i += i & -i {
			tree[i] += bytes
		}
	}
	before := func(at int) (sum int64) {
		for i := at; i > 0; i &= i - 1 {
			sum += tree[i]
		}
		return sum
	}
	e := exact{distances: make([]int64, len(trace))}
	last := make(map[uint64]int)
	for i, a := range trace {
		e.distances[i] = math.MaxInt64
		if at, ok := last[a.key]; ok {
			e.distances[i] = e.allBytes - before(at)
			add(at, -int64(a.bytes))
		} else {
			e.allBytes += int64(a.bytes)
		}
		last[a.key] = i
		add(i, int64(a.bytes))
	}
	e.sorted = slices.Clone(e.distances)
	slices.Sort(e.sorted)
	return e
}

func (e *exact) hitRatio(memoryBytes int64) float64 {
	hits := sort.Search(len(e.sorted), func(i int) bool { return e.sorted[i] > memoryBytes })
	return float64(hits) / float64(len(e.sorted))
}

// newZipf returns a function that draws keys from [0, n), key k with the weight 1 ÷ (k+1)^exponent.
// math/rand's Zipf has no exponents below 1, where most real traffic is.
func newZipf(exponent float64, n int) func(*rand.Rand) uint64 {
	upTo := make([]float64, n)
	sum := 0.0
	for k := range upTo {
		sum += math.Pow(float64(k+1), -exponent)
		upTo[k] = sum
	}
	return func(r *rand.Rand) uint64 {
		key, _ := slices.BinarySearch(upTo, r.Float64()*sum)
		return uint64(key)
	}
}

// mix hashes a key (splitmix64, Steele et al. 2014).
func mix(key uint64) uint64 {
	key += 0x9e3779b97f4a7c15
	key = (key ^ key>>30) * 0xbf58476d1ce4e5b9
	key = (key ^ key>>27) * 0x94d049bb133111eb
	return key ^ key>>31
}
