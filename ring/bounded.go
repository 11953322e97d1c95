package ring

import "math"

// OwnerBounded implements consistent hashing with bounded loads (Mirrokni, Thorup and
// Zadimoghaddam, 2016). It returns the first member in order of preference (see Next) with load(i)
// below its bound, so that no member has more than c times its share of the load, even if one key
// is most of the traffic.
//
//	bound(i) = ⌈c × (total load + 1) × weight(i) ÷ total weight⌉
//
// The load is in any unit in which this request is 1, for example requests in flight. A negative
// load excludes the member. If c ≥ 1, some member is below its bound. If none is, because c is
// lower or the loads changed meanwhile, OwnerBounded returns the first in order that isn't
// excluded, or -1 if all are. With c ≤ 0 there is no bound. load is called at least twice per
// member.
func (r *Ring) OwnerBounded(key []byte, load func(int) int64, c float64) int {
	var buf [maxHashedBytes]byte
	hashed := r.part.salted(buf[:0], r.part.of(key))
	total, weight := 1.0, 0.0
	for i := range r.members {
		if l := load(i); l >= 0 {
			total += float64(l)
			weight += r.weights[i]
		}
	}
	i := -1
	if c > 0 && weight > 0 {
		each := c * total / weight
		i = r.first(hashed, func(i int) bool {
			l := load(i)
			return l >= 0 && float64(l) < bound(each*r.weights[i])
		})
	}
	if i < 0 {
		i = r.first(hashed, func(i int) bool { return load(i) >= 0 })
	}
	return i
}

// bound rounds up, except a whole number that rounding errors have made slightly too large.
func bound(share float64) float64 {
	const slack = 1e-9
	return math.Ceil(share * (1 - slack))
}
