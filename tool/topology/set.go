package topology

import "math/bits"

// set is a set of members, by their indexes. It is a value that can be compared and be a map's key.
type set [(MaxMembers + 63) / 64]uint64

func (s *set) add(i int)     { s[i/64] |= 1 << (i % 64) }
func (s *set) remove(i int)  { s[i/64] &^= 1 << (i % 64) }
func (s set) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }
func (s set) empty() bool    { return s == set{} }

func (s set) count() (n int) {
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

func (s set) and(other set) set {
	for i := range s {
		s[i] &= other[i]
	}
	return s
}

func (s set) or(other set) set {
	for i := range s {
		s[i] |= other[i]
	}
	return s
}

// within reports whether all of s are in other.
func (s set) within(other set) bool { return s.and(other) == s }

// indexes returns the members in rising order.
func (s set) indexes() []int {
	var all []int
	for i := range MaxMembers {
		if s.has(i) {
			all = append(all, i)
		}
	}
	return all
}
