package replay

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// keyer makes memcached keys from the keys of traces. A key is valid until the next one is made.
type keyer struct {
	numberBytes int // to which numbers are padded
	textBytes   int // to which other keys are padded
	buf         []byte
}

func newKeyer(keyBytes int) *keyer {
	k := &keyer{numberBytes: defaultNumberBytes, buf: make([]byte, 0, MaxKeyBytes)}
	if keyBytes > 0 {
		k.numberBytes, k.textBytes = keyBytes, keyBytes
	}
	return k
}

// number returns n in decimal, with zeros on the left.
func (k *keyer) number(n uint64) []byte {
	var digits [20]byte
	d := strconv.AppendUint(digits[:0], n, 10)
	k.buf = k.buf[:0]
	for i := len(d); i < k.numberBytes; i++ {
		k.buf = append(k.buf, '0')
	}
	k.buf = append(k.buf, d...)
	return k.buf
}

// text returns s itself if memcached accepts it as a key, otherwise a hash of it. s is not empty.
func (k *keyer) text(s []byte) []byte {
	k.buf = k.buf[:0]
	if validKey(s) {
		k.buf = append(k.buf, s...)
	} else {
		sum := sha256.Sum256(s)
		k.buf = hex.AppendEncode(append(k.buf, "sha256:"...), sum[:16])
	}
	for len(k.buf) < k.textBytes {
		k.buf = append(k.buf, '.')
	}
	return k.buf
}

// validKey follows memcached's doc/protocol.txt: no control characters, no whitespace.
func validKey(s []byte) bool {
	if len(s) == 0 || len(s) > MaxKeyBytes {
		return false
	}
	for _, c := range s {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}
