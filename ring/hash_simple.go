package ring

import (
	"encoding/binary"
	stdcrc32 "hash/crc32"
)

// The short hashes of twemproxy 0.5.0 (src/hashkit) and libmemcached. They read a key's bytes as
// C's char, which is signed on x86, so that bytes from 0x80 on are negative, and unsigned on ARM.
// Here they are as on x86 on all machines.

// char converts the byte as C's (uint32_t)(char) does.
func char(b byte) uint32 { return uint32(int32(int8(b))) }

// oneAtATime32 is Bob Jenkins's one-at-a-time (nc_one_at_a_time.c).
func oneAtATime32(key []byte) uint32 {
	h := uint32(0)
	for _, b := range key {
		h += char(b)
		h += h << 10
		h ^= h >> 6
	}
	h += h << 3
	h ^= h >> 11
	h += h << 15
	return h
}

// crc16 is nc_crc16.c: the polynomial 0x1021, but in a 32-bit register whose upper half keeps the
// bits that were shifted out of the lower one.
func crc16(key []byte) uint32 {
	crc := uint32(0)
	for _, b := range key {
		x := (crc>>8 ^ uint32(b)) & 0xff
		x ^= x >> 4
		crc = crc<<8 ^ (x<<12^x<<5^x)&0xffff
	}
	return crc
}

// crc32 is the IEEE CRC-32. The standard library's lets the key escape to the heap.
func crc32(key []byte) uint32 {
	crc := ^uint32(0)
	for _, b := range key {
		crc = stdcrc32.IEEETable[byte(crc)^b] ^ crc>>8
	}
	return ^crc
}

const (
	fnv64Init  = 0xcbf29ce484222325
	fnv64Prime = 0x100000001b3
	fnv32Init  = 2166136261
	fnv32Prime = 16777619

	// The 64-bit constants, cut off by the 32-bit variables of nc_fnv.c's fnv1a_64.
	fnv64Init32  = fnv64Init & 0xffffffff
	fnv64Prime32 = fnv64Prime & 0xffffffff
)

// fnv1of64 is the lower half of the 64-bit FNV-1.
func fnv1of64(key []byte) uint32 {
	h := uint64(fnv64Init)
	for _, b := range key {
		h *= fnv64Prime
		h ^= uint64(int64(int8(b)))
	}
	return uint32(h)
}

func fnv1of32(key []byte) uint32 {
	h := uint32(fnv32Init)
	for _, b := range key {
		h *= fnv32Prime
		h ^= char(b)
	}
	return h
}

// fnv1a computes both FNV-1a functions: twemproxy's fnv1a_64 has 32 bits, too.
func fnv1a(key []byte, init, prime uint32) uint32 {
	h := init
	for _, b := range key {
		h ^= char(b)
		h *= prime
	}
	return h
}

// hsieh is Paul Hsieh's SuperFastHash (nc_hsieh.c), which starts from 0.
func hsieh(key []byte) uint32 {
	h := uint32(0)
	for ; len(key) >= 4; key = key[4:] {
		h += uint32(binary.LittleEndian.Uint16(key))
		h = h<<16 ^ uint32(binary.LittleEndian.Uint16(key[2:]))<<11 ^ h
		h += h >> 11
	}
	switch len(key) {
	case 3:
		h += uint32(binary.LittleEndian.Uint16(key))
		h ^= h << 16
		h ^= char(key[2]) << 18
		h += h >> 11
	case 2:
		h += uint32(binary.LittleEndian.Uint16(key))
		h ^= h << 11
		h += h >> 17
	case 1:
		h += uint32(key[0])
		h ^= h << 10
		h += h >> 1
	}
	h ^= h << 3
	h += h >> 5
	h ^= h << 4
	h += h >> 17
	h ^= h << 25
	h += h >> 6
	return h
}
