package ring

import (
	"encoding/binary"
	"math/bits"
)

// jenkins is Bob Jenkins's lookup3 as libmemcached and twemproxy seed it (nc_jenkins.c).
func jenkins(key []byte) uint32 {
	const seed = 13
	a := 0xdeadbeef + uint32(len(key)) + seed
	b, c := a, a
	for ; len(key) > 12; key = key[12:] {
		a += binary.LittleEndian.Uint32(key)
		b += binary.LittleEndian.Uint32(key[4:])
		c += binary.LittleEndian.Uint32(key[8:])
		a -= c
		a ^= bits.RotateLeft32(c, 4)
		c += b
		b -= a
		b ^= bits.RotateLeft32(a, 6)
		a += c
		c -= b
		c ^= bits.RotateLeft32(b, 8)
		b += a
		a -= c
		a ^= bits.RotateLeft32(c, 16)
		c += b
		b -= a
		b ^= bits.RotateLeft32(a, 19)
		a += c
		c -= b
		c ^= bits.RotateLeft32(b, 4)
		b += a
	}
	if len(key) == 0 {
		return c
	}
	var last [12]byte
	copy(last[:], key)
	a += binary.LittleEndian.Uint32(last[:])
	b += binary.LittleEndian.Uint32(last[4:])
	c += binary.LittleEndian.Uint32(last[8:])
	c ^= b
	c -= bits.RotateLeft32(b, 14)
	a ^= c
	a -= bits.RotateLeft32(c, 11)
	b ^= a
	b -= bits.RotateLeft32(a, 25)
	c ^= b
	c -= bits.RotateLeft32(b, 16)
	a ^= c
	a -= bits.RotateLeft32(c, 4)
	b ^= a
	b -= bits.RotateLeft32(a, 14)
	c ^= b
	c -= bits.RotateLeft32(b, 24)
	return c
}

// murmur is Austin Appleby's MurmurHash2 with a seed by the key's length (nc_murmur.c).
func murmur(key []byte) uint32 {
	const m, r = 0x5bd1e995, 24
	h := 0xdeadbeef*uint32(len(key)) ^ uint32(len(key))
	for ; len(key) >= 4; key = key[4:] {
		k := binary.LittleEndian.Uint32(key) * m
		k ^= k >> r
		k *= m
		h *= m
		h ^= k
	}
	if len(key) > 0 {
		var last [4]byte
		copy(last[:], key)
		h ^= binary.LittleEndian.Uint32(last[:])
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return h
}

// murmur3 is MurmurHash3_x86_32 with libmemcached's seed by the key's length (murmur3_api.cc).
func murmur3(key []byte) uint32 {
	const c1, c2 = 0xcc9e2d51, 0x1b873593
	length := uint32(len(key))
	h := 0xdeadbeef * length
	for ; len(key) >= 4; key = key[4:] {
		k := bits.RotateLeft32(binary.LittleEndian.Uint32(key)*c1, 15) * c2
		h = bits.RotateLeft32(h^k, 13)*5 + 0xe6546b64
	}
	var last [4]byte
	copy(last[:], key)
	h ^= bits.RotateLeft32(binary.LittleEndian.Uint32(last[:])*c1, 15) * c2
	h ^= length
	h ^= h >> 16
	h *= 0x85ebca6b
	h ^= h >> 13
	h *= 0xc2b2ae35
	h ^= h >> 16
	return h
}

const (
	murmur64Mul   = 0xc6a4a7935bd1e995
	murmur64Shift = 47
)

// murmur64A is MurmurHash64A, the 64-bit MurmurHash2, which mcrouter uses.
func murmur64A(key []byte, seed uint64) uint64 {
	h := seed ^ uint64(len(key))*murmur64Mul
	for ; len(key) >= 8; key = key[8:] {
		h = murmur64Step(h, binary.LittleEndian.Uint64(key))
	}
	if len(key) > 0 {
		var last [8]byte
		copy(last[:], key)
		h ^= binary.LittleEndian.Uint64(last[:])
		h *= murmur64Mul
	}
	return murmur64End(h)
}

// murmur64AOfWord is murmur64A of a word's eight bytes.
func murmur64AOfWord(word, seed uint64) uint64 {
	const length = 8
	mul := uint64(murmur64Mul)
	return murmur64End(murmur64Step(seed^length*mul, word))
}

func murmur64Step(h, k uint64) uint64 {
	k *= murmur64Mul
	k ^= k >> murmur64Shift
	k *= murmur64Mul
	return (h ^ k) * murmur64Mul
}

func murmur64End(h uint64) uint64 {
	h ^= h >> murmur64Shift
	h *= murmur64Mul
	return h ^ h>>murmur64Shift
}
