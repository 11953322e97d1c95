package ring

import (
	"crypto/md5" // a hash like the others here, not for secrecy
	"encoding/binary"
)

// A function is a hash function.
type function uint8

const (
	oneAtATime function = iota + 1 // 0 is none
	md5Sum
	crc16Sum
	crc32Sum
	crc32aSum
	fnv1x64
	fnv1a64
	fnv1x32
	fnv1a32
	hsiehSum
	murmurSum
	jenkinsSum
	murmur3Sum
	murmur64a
)

var functions = map[string]function{
	"one_at_a_time": oneAtATime,
	"md5":           md5Sum,
	"crc16":         crc16Sum,
	"crc32":         crc32Sum,
	"crc32a":        crc32aSum,
	"fnv1_64":       fnv1x64,
	"fnv1a_64":      fnv1a64,
	"fnv1_32":       fnv1x32,
	"fnv1a_32":      fnv1a32,
	"hsieh":         hsiehSum,
	"murmur":        murmurSum,
	"jenkins":       jenkinsSum,
	"murmur3":       murmur3Sum,
	"murmur64a":     murmur64a,
}

// of returns the key's hash: 64 bits by murmur64a, 32 bits by all others.
//
// It is a switch because a slice that is passed to a func value escapes to the heap.
func (f function) of(key []byte) uint64 {
	switch f {
	case oneAtATime:
		return uint64(oneAtATime32(key))
	case md5Sum:
		sum := md5.Sum(key)
		return uint64(binary.LittleEndian.Uint32(sum[:]))
	case crc16Sum:
		return uint64(crc16(key))
	case crc32Sum:
		return uint64(crc32(key) >> 16 & 0x7fff) // as libmemcached cuts it
	case crc32aSum:
		return uint64(crc32(key))
	case fnv1x64:
		return uint64(fnv1of64(key))
	case fnv1a64:
		return uint64(fnv1a(key, fnv64Init32, fnv64Prime32))
	case fnv1x32:
		return uint64(fnv1of32(key))
	case fnv1a32:
		return uint64(fnv1a(key, fnv32Init, fnv32Prime))
	case hsiehSum:
		return uint64(hsieh(key))
	case murmurSum:
		return uint64(murmur(key))
	case jenkinsSum:
		return uint64(jenkins(key))
	case murmur3Sum:
		return uint64(murmur3(key))
	case murmur64a:
		return murmur64A(key, furcSeed)
	}
	panic("ring: a function that isn't there")
}
