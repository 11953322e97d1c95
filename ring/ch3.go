package ring

import (
	"bytes"
	"math"
	"math/bits"
	"strconv"
)

// The hashes of mcrouter: FurcHash by Mark Rabkin, as in mcrouter/lib/fbi/hash.c, and what
// mcrouter/lib/WeightedCh3HashFunc.cpp and mcrouter/routes/ShardHashFunc.cpp make of it.

const (
	furcSeed  = 4193360111
	furcTries = 32
	furcShift = 23 // how far apart the bits are that one number is made of; 2^23 members at most

	weightedTries = 32
	weightedSeed  = 0xface2014
)

// ch3 returns the member in [0, n) for the hashed bytes.
func ch3(hashed []byte, n int) int { return int(furc(murmur64A(hashed, furcSeed), uint32(n))) }

// furc walks down a binary tree by the bits of the hash. A member's number has as many bits as n-1,
// less one for each leading zero in the hash's bits, so that it stays the same when n grows.
func furc(hash uint64, n uint32) uint32 {
	if n <= 1 {
		return 0
	}
	stream := bitStream{first: hash, word: hash}
	depth := uint32(bits.Len32(n - 1))
	at := depth
	for range furcTries {
		for stream.bit(at) == 0 {
			if depth--; depth == 0 {
				return 0
			}
			at = depth
		}
		at += furcShift
		number := uint32(1)
		for range depth - 1 {
			number = number<<1 | stream.bit(at)
			at += furcShift
		}
		if number < n {
			return number
		}
	}
	return 0
}

// A bitStream is an endless sequence of bits derived from a hash. Bits are mostly read in ascending
// order; to go back, it starts again, which is cheaper than keeping all words.
type bitStream struct {
	first uint64
	word  uint64 // the one with the bits from 64×at on
	at    uint32
}

func (s *bitStream) bit(i uint32) uint32 {
	want := i >> 6
	if want < s.at {
		s.word, s.at = s.first, 0
	}
	for ; s.at < want; s.at++ {
		s.word = murmur64AOfWord(s.word, furcSeed)
	}
	return uint32(s.word>>(i&63)) & 1
}

// limits returns the limits for weightedCH3 from weights in [0, 1].
func limits(weights []float64) []uint64 {
	limits := make([]uint64, len(weights))
	for i, w := range weights {
		limits[i] = uint64(w * math.MaxUint32)
	}
	return limits
}

// weightedCH3 returns ch3's member if the key's 32-bit hash is below the member's limit. Otherwise
// it tries again with a number appended to the key.
func weightedCH3(hashed []byte, limits []uint64) int {
	var buf [maxHashedBytes + 2]byte
	tried := hashed
	member := 0
	for try := range weightedTries {
		member = ch3(tried, len(limits))
		if uint64(spooky32(tried, weightedSeed)) < limits[member] {
			break
		}
		if try == 0 {
			hashed = append(buf[:0], hashed...)
		}
		// The digits are in reverse order, as in mcrouter.
		tried = append(hashed, byte('0'+try%10))
		if try >= 10 {
			tried = append(tried, byte('0'+try/10))
		}
	}
	return member
}

// constShard returns the member whose index is between the first two colons of the key.
func constShard(hashed []byte, n int) int {
	_, rest, _ := bytes.Cut(hashed, []byte(":"))
	digits, _, found := bytes.Cut(rest, []byte(":"))
	if !found || len(digits) == 0 {
		return ch3(hashed, n)
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return ch3(hashed, n)
		}
	}
	index, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil || index >= uint64(n) {
		return ch3(hashed, n)
	}
	return int(index)
}
