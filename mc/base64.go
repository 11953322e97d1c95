package mc

// notBase64 marks the bytes that decodeBase64 skips.
const notBase64 = 0x80

// sextets maps a byte to its six bits, and the padding to 0.
var sextets = func() (t [256]byte) {
	for i := range t {
		t[i] = notBase64
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range len(alphabet) {
		t[alphabet[i]] = byte(i)
	}
	t['='] = 0
	return t
}()

// decodeBase64 writes the bytes that src encodes to dst, which may be src itself, or nil to compute
// only the length, and returns the length, or 0 if src is invalid. encoding/base64 can't be used:
// memcached skips foreign bytes, accepts padding in the middle of the last group and ignores what
// follows it, and two spellings of a key must remain the same key.
func decodeBase64(dst, src []byte) int {
	count := 0
	for _, c := range src {
		if sextets[c] != notBase64 {
			count++
		}
	}
	if count == 0 || count%4 != 0 {
		return 0
	}
	var group uint32
	var inGroup, pad, n int
	for _, c := range src {
		bits := sextets[c]
		if bits == notBase64 {
			continue
		}
		if c == '=' {
			pad++
		}
		group = group<<6 | uint32(bits)
		if inGroup++; inGroup < 4 {
			continue
		}
		if dst != nil {
			dst[n], dst[n+1], dst[n+2] = byte(group>>16), byte(group>>8), byte(group)
		}
		n += 3
		group, inGroup = 0, 0
		if pad > 2 {
			return 0
		}
		if pad > 0 {
			return n - pad
		}
	}
	return n
}
