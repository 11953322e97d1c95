package ring

import (
	"cmp"
	"math"
	"slices"
)

// Rendezvous hashing (Thaler and Ravishankar, 1998), weighted, as mcrouter's
// WeightedRendezvousHashFunc: u in [0, 1) is computed from the hashes of member and key, and the
// member with the highest weight ÷ -ln(u) owns the key.
//
// The obvious way computes a logarithm per member. But among members of equal weight the highest u
// has the highest score, so one logarithm per distinct weight is enough, and none if all weights
// are equal. That is why scores keeps members of equal weight together.

const (
	rendezvousNameSeed = 4193360111 // mcrouter's kRendezvousHashSeed
	rendezvousKeySeed  = 2718281828 // its kRendezvousExtraHashSeed

	uBits = 53 // bits of a hash in u: as many as a float64's mantissa has
)

// scores finds the member with the highest score.
type scores struct {
	seeds   []uint64 // hashes of the members, grouped by weight
	members []int32  // the member of each seed; ascending within a group
	groups  []group  // by weight
	mask    uint64   // the bits of a hash that count
}

// A group is the members of equal weight.
type group struct {
	end    int // index in seeds after its last member
	weight float64
}

// newScores returns the scores of members with these seeds and weights.
func newScores(seeds []uint64, weights []float64) scores {
	s := scores{mask: 1<<uBits - 1}
	for i := range seeds {
		s.members = append(s.members, int32(i))
	}
	slices.SortStableFunc(s.members, func(a, b int32) int { return -cmp.Compare(weights[a], weights[b]) })
	for at, i := range s.members {
		s.seeds = append(s.seeds, seeds[i])
		if at == 0 || weights[i] != weights[s.members[at-1]] {
			s.groups = append(s.groups, group{weight: weights[i]})
		}
		s.groups[len(s.groups)-1].end = at + 1
	}
	return s
}

// newPlainScores returns scores as in mcrouter's RendezvousHashFunc: the whole hash is the score.
func newPlainScores(seeds []uint64) scores {
	s := newScores(seeds, make([]float64, len(seeds)))
	s.mask = math.MaxUint64
	return s
}

// nameSeeds returns the hashes of the members' names.
func nameSeeds(members []Member) []uint64 {
	seeds := make([]uint64, len(members))
	for i, m := range members {
		seeds[i] = murmur64A([]byte(m.Name), rendezvousNameSeed)
	}
	return seeds
}

// indexSeeds returns the hashes of n members that are identified by index only.
func indexSeeds(n int) []uint64 {
	seeds := make([]uint64, n)
	for i := range seeds {
		seeds[i] = mix128(rendezvousNameSeed, uint64(i))
	}
	return seeds
}

// rendezvousKey returns a key's hash for best.
func rendezvousKey(hashed []byte) uint64 { return murmur64A(hashed, rendezvousKeySeed) }

// best returns the member with the highest score for the key's hash, or -1 if there is none. Unless
// ok is nil, only members for which it returns true count. Members of weight 0 come last.
func (s *scores) best(key uint64, ok func(int) bool) int {
	best, highest := -1, -1.0
	from := 0
	for _, g := range s.groups {
		i, hash := s.top(from, g.end, key, ok)
		from = g.end
		if i < 0 {
			continue
		}
		if len(s.groups) == 1 {
			return i
		}
		// The order of operations is mcrouter's: another would round differently.
		u := float64(hash) / (1 << uBits)
		if score := g.weight * (1 / -math.Log(u)); score > highest {
			best, highest = i, score
		}
	}
	return best
}

// top returns the member with the highest hash among seeds[from:end], and that hash.
func (s *scores) top(from, end int, key uint64, ok func(int) bool) (member int, highest uint64) {
	member = -1
	for at, seed := range s.seeds[from:end] {
		hash := mix128(seed, key) & s.mask
		if member >= 0 && hash <= highest {
			continue
		}
		if i := int(s.members[from+at]); ok == nil || ok(i) {
			member, highest = i, hash
		}
	}
	return member, highest
}

// mix128 combines two hashes: CityHash's Hash128to64.
func mix128(upper, lower uint64) uint64 {
	const mul = 0x9ddfea08eb382d69
	a := (lower ^ upper) * mul
	a ^= a >> 47
	b := (upper ^ a) * mul
	b ^= b >> 47
	return b * mul
}
