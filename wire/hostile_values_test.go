package wire

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strconv"
)

// A value identifies its key, so that an answer can be checked without knowing what was stored. It
// consists of blocks "KEY SEED SIZE|", each followed by SIZE bytes that the seed determines.
// Appended and prepended values are more blocks. An empty value was created by mg's N.

// noise is what blocks are cut from.
var noise = func() []byte {
	b := make([]byte, 2<<20)
	r := rand.NewChaCha8([32]byte{'n'})
	for i := range b {
		b[i] = 'a' + byte(r.Uint64()%26)
	}
	return b
}()

// appendBlock appends a block of about size bytes in all.
func appendBlock(dst []byte, key string, seed uint32, size int) []byte {
	fill := max(0, size-len(key)-20)
	dst = fmt.Appendf(dst, "%s %d %d|", key, seed, fill)
	at := int(seed) % (len(noise) - fill)
	return append(dst, noise[at:at+fill]...)
}

// checkValue returns what is wrong with a value of key.
func checkValue(key string, value []byte) error {
	for rest := value; len(rest) > 0; {
		head, _, ok := bytes.Cut(rest[:min(len(rest), 300)], []byte("|"))
		fields := bytes.Fields(head)
		if !ok || len(fields) != 3 {
			return fmt.Errorf("%s: no block at byte %d of %d: %.80q", key, len(value)-len(rest), len(value), rest)
		}
		if string(fields[0]) != key {
			return fmt.Errorf("%s: got a value of %s", key, fields[0])
		}
		body := rest[len(head)+1:]
		seed, err := strconv.ParseUint(string(fields[1]), 10, 32)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		fill, err := strconv.Atoi(string(fields[2]))
		if err != nil || fill > len(body) {
			return fmt.Errorf("%s: block %q, and %d bytes", key, head, len(body))
		}
		at := int(seed) % (len(noise) - fill)
		if want := noise[at : at+fill]; !bytes.Equal(body[:fill], want) {
			n := 0
			for body[n] == want[n] {
				n++
			}
			return fmt.Errorf("%s: block %q is wrong from byte %d of %d on: got %.40q; want %.40q",
				key, head, n, fill, body[n:fill], want[n:])
		}
		rest = body[fill:]
	}
	return nil
}

// flagsOf are the client flags of every item of key, except for one that mg's N created: those are
// 0.
func flagsOf(key string) uint32 { return crc32.ChecksumIEEE([]byte(key)) }

// A counter's number is congruent to its key's modulo counterStep.
const counterStep = 1009

func counterStart(key string) uint64 { return uint64(flagsOf(key)) % counterStep }

func checkCounter(key string, digits []byte) error {
	n, err := strconv.ParseUint(string(bytes.TrimRight(digits, " ")), 10, 64)
	if err != nil || n%counterStep != counterStart(key) {
		return fmt.Errorf("%s: got %.40q; want a number of %d by %d", key, digits, counterStart(key), counterStep)
	}
	return nil
}

// valueBytes is a size up to most, one of those at which faults are likely: small, about half a
// segment, about whole segments, the largest.
func valueBytes(r *rand.Rand, most int) int {
	const segment = 64 << 10
	n := 0
	switch r.IntN(20) {
	case 0:
		n = segment/2 + r.IntN(600) - 500
	case 1:
		n = segment*(1+r.IntN(4)) + r.IntN(900) - 600
	case 2:
		n = segment*(1+r.IntN(4)) + segment/2 + r.IntN(600) - 300
	case 3:
		n = r.IntN(most)
	case 4:
		if r.IntN(8) == 0 {
			n = most - r.IntN(50)
		}
	case 5, 6, 7:
		n = r.IntN(8000)
	default:
		n = r.IntN(300)
	}
	return min(n, most)
}
