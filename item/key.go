package item

import (
	"crypto/md5"
	"encoding/binary"
	"math/bits"
)

// A Key is the key under which an item is kept: 8 bytes of the hash of its partition key,
// big-endian, then the partition key, then the sort key, each as appendPart has it. Byte order is:
// hash, then partition key, then sort key, each in its type's order (numbers by value, texts and
// bytes by bytes).
type Key []byte

// hashBytes is the length of the hash that keys begin with.
const hashBytes = 8

// hashSeed precedes the key in what is hashed.
const hashSeed = "Outliers"

// Hash returns the hash of the partition key, or 0 if the key is too short to have one.
func (k Key) Hash() uint64 {
	if len(k) < hashBytes {
		return 0
	}
	return binary.BigEndian.Uint64(k)
}

// HashOf returns the hash of a partition key: the first 8 bytes of the MD5 of "Outliers" and the
// key's bytes, and for a number the bytes in which DynamoDB kept numbers. So a scan finds items in
// the order in which DynamoDB has them, as dynalite found out.
func HashOf(v Value) uint64 { return hashOf(v) }

// hashOf returns the hash of the concatenated bytes of the values.
func hashOf(values ...Value) uint64 {
	var buf [256]byte
	b := append(buf[:0], hashSeed...)
	for i := range values {
		if values[i].Type == N {
			b = appendHashedNumber(b, values[i].Text)
		} else {
			b = append(b, values[i].Text...)
		}
	}
	digest := md5.Sum(b)
	return binary.BigEndian.Uint64(digest[:])
}

// appendHashedNumber appends the bytes that are hashed for a number: an exponent to the base 100,
// digits to the base 100 plus one each, and 102 after those of a negative number of fewer than
// twenty bytes; of negative numbers the exponent is complemented, and each digit taken from 101.
func appendHashedNumber(dst []byte, text string) []byte {
	var d decimal
	d.scan(text)
	if d.n == 0 {
		return append(dst, 0x80)
	}
	whole := d.exponent + 1
	odd := whole & 1 // 1 if the first pair has but one digit
	exponent := byte((whole+odd)/2 - 64)
	if d.negative {
		exponent = ^exponent
	}
	dst = append(dst, exponent)
	digits := d.digits[:min(d.n, maxDigits)]
	pairs := 0
	for i := -odd; i < len(digits); i += 2 {
		pair := byte(0)
		if i >= 0 {
			pair = (digits[i] - '0') * 10
		}
		if i+1 < len(digits) {
			pair += digits[i+1] - '0'
		}
		if d.negative {
			dst = append(dst, 101-pair)
		} else {
			dst = append(dst, pair+1)
		}
		pairs++
	}
	if d.negative && pairs < 20 {
		dst = append(dst, 102)
	}
	return dst
}

// A Range is a range of keys, or of beginnings of keys: From is in it, To is not. A nil To is the
// end.
type Range struct {
	From, To []byte
}

// HashRange returns the range of keys whose hash is in one of a number of equal segments of all
// hashes. segment counts from 0, and is less than segments.
func HashRange(segment, segments int) Range {
	r := Range{From: hashBoundary(segment, segments)}
	if segment+1 < segments {
		r.To = hashBoundary(segment+1, segments)
	}
	return r
}

// hashBoundary returns 2⁶⁴ × segment / segments, rounded up.
func hashBoundary(segment, segments int) []byte {
	boundary, rest := bits.Div64(uint64(segment), 0, uint64(segments))
	if rest > 0 {
		boundary++
	}
	return binary.BigEndian.AppendUint64(nil, boundary)
}

// prefixed returns the range of all keys that begin with prefix.
func prefixed(prefix []byte) Range { return Range{From: prefix, To: behind(prefix)} }

// behind returns the least key greater than all keys that begin with prefix; nil is the end.
func behind(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xFF {
			next := append([]byte(nil), prefix[:i+1]...)
			next[i]++
			return next
		}
	}
	return nil
}
