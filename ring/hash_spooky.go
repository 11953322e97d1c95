package ring

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// Bob Jenkins's SpookyHash V2, as in folly/hash/SpookyHashV2.cpp. mcrouter's weighted ch3 decides
// by it whether a member accepts a key.

const (
	spookyConst      = 0xdeadbeefdeadbeef
	spookyVars       = 12
	spookyBlockBytes = 8 * spookyVars
	spookyShortBytes = 2 * spookyBlockBytes // messages below are hashed the short way
)

// SharedPart is the part of the key by which mcrouter distinguishes keys: the key up to "|#|".
func SharedPart(key []byte) []byte {
	if i := bytes.Index(key, hashStop); i >= 0 {
		return key[:i]
	}
	return key
}

// SharedHash is the hash by which mcrouter selects a share of all keys, for example for shadows. It
// is that of the key's SharedPart (mcrouter/lib/carbon/Keys.h, routingKeyHash).
func SharedHash(key []byte) uint32 { return spooky32(SharedPart(key), 0) }

var hashStop = []byte("|#|")

// spooky32 is SpookyHashV2::Hash32.
func spooky32(message []byte, seed uint32) uint32 {
	if len(message) < spookyShortBytes {
		return uint32(spookyShort(message, uint64(seed)))
	}
	return uint32(spookyLong(message, uint64(seed)))
}

func spookyShort(message []byte, seed uint64) uint64 {
	length := len(message)
	s := [4]uint64{seed, seed, spookyConst, spookyConst}
	for ; len(message) >= 32; message = message[32:] {
		s[2] += binary.LittleEndian.Uint64(message)
		s[3] += binary.LittleEndian.Uint64(message[8:])
		spookyShortMix(&s)
		s[0] += binary.LittleEndian.Uint64(message[16:])
		s[1] += binary.LittleEndian.Uint64(message[24:])
	}
	if len(message) >= 16 {
		s[2] += binary.LittleEndian.Uint64(message)
		s[3] += binary.LittleEndian.Uint64(message[8:])
		spookyShortMix(&s)
		message = message[16:]
	}
	s[3] += uint64(length) << 56
	if len(message) == 0 {
		s[2] += spookyConst
		s[3] += spookyConst
	} else {
		var last [16]byte
		copy(last[:], message)
		s[2] += binary.LittleEndian.Uint64(last[:])
		s[3] += binary.LittleEndian.Uint64(last[8:])
	}
	return spookyShortEnd(&s)
}

// spookyShortMix goes three times round the four words; each step rotates one, adds the next and
// changes the one after that.
func spookyShortMix(s *[4]uint64) {
	s0, s1, s2, s3 := s[0], s[1], s[2], s[3]
	for _, by := range [3][4]int{{50, 52, 30, 41}, {54, 48, 38, 37}, {62, 34, 5, 36}} {
		s2 = bits.RotateLeft64(s2, by[0]) + s3
		s0 ^= s2
		s3 = bits.RotateLeft64(s3, by[1]) + s0
		s1 ^= s3
		s0 = bits.RotateLeft64(s0, by[2]) + s1
		s2 ^= s0
		s1 = bits.RotateLeft64(s1, by[3]) + s2
		s3 ^= s1
	}
	s[0], s[1], s[2], s[3] = s0, s1, s2, s3
}

func spookyShortEnd(s *[4]uint64) uint64 {
	for step, by := range [11]int{15, 52, 26, 51, 28, 9, 47, 54, 32, 25, 63} {
		changed, turned := (step+3)&3, (step+2)&3
		s[changed] ^= s[turned]
		s[turned] = bits.RotateLeft64(s[turned], by)
		s[changed] += s[turned]
	}
	return s[0]
}

func spookyLong(message []byte, seed uint64) uint64 {
	var s [spookyVars]uint64
	for i := range s {
		s[i] = seed
		if i%3 == 2 {
			s[i] = spookyConst
		}
	}
	for ; len(message) >= spookyBlockBytes; message = message[spookyBlockBytes:] {
		spookyMix(&s, message)
	}
	var last [spookyBlockBytes]byte
	copy(last[:], message)
	last[spookyBlockBytes-1] = byte(len(message))
	for i := range s {
		s[i] += binary.LittleEndian.Uint64(last[8*i:])
	}
	for range 3 {
		spookyEndPartial(&s)
	}
	return s[0]
}

func spookyMix(s *[spookyVars]uint64, block []byte) {
	for i, by := range [spookyVars]int{11, 32, 43, 31, 17, 28, 39, 57, 55, 54, 22, 46} {
		before, next := (i+11)%spookyVars, (i+1)%spookyVars
		s[i] += binary.LittleEndian.Uint64(block[8*i:])
		s[(i+2)%spookyVars] ^= s[(i+10)%spookyVars]
		s[before] ^= s[i]
		s[i] = bits.RotateLeft64(s[i], by)
		s[before] += s[next]
	}
}

func spookyEndPartial(s *[spookyVars]uint64) {
	for i, by := range [spookyVars]int{44, 15, 34, 21, 38, 33, 10, 13, 38, 53, 42, 54} {
		before, turned, after := (i+11)%spookyVars, (i+1)%spookyVars, (i+2)%spookyVars
		s[before] += s[turned]
		s[after] ^= s[before]
		s[turned] = bits.RotateLeft64(s[turned], by)
	}
}
