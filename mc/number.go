package mc

import "math"

// memcached parses numbers in two ways. Lengths, gat's exptime and flush_all's delay are strict
// (vendor/mcmc's tokto32). All others use C's strtol or strtoull, which skip white space, accept a
// sign and stop at the first byte that is not a digit; memcached requires that byte to be white
// space or NUL.

// parseInt32 parses a whole token in memcached's strict way: an optional minus and digits, at most
// eleven bytes. A minus alone is 0.
func parseInt32(token []byte) (int32, bool) {
	if len(token) == 0 || len(token) > 11 {
		return 0, false
	}
	digits := token
	if token[0] == '-' {
		digits = token[1:]
	}
	var n int64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if token[0] == '-' {
		n = -n
	}
	if n < math.MinInt32 || n > math.MaxInt32 {
		return 0, false
	}
	return int32(n), true
}

// parseSize parses the length of a data block.
func parseSize(token []byte) (int, bool) {
	n, ok := parseInt32(token)
	if !ok || n < 0 || n > maxBlockBytes {
		return 0, false
	}
	return int(n), true
}

// parseUint parses an unsigned number as strtoull does, for which -1 is the largest number. Like
// memcached it refuses a negative number unless it wraps to less than 1<<63. The caller truncates
// the number to its size, as memcached does with client flags.
func parseUint(token []byte) (uint64, bool) {
	if n, ok := parseDigits(token); ok {
		return n, true
	}
	n, minus, ok := parseC(token)
	if !ok {
		return 0, false
	}
	if minus {
		n = -n
		if n > math.MaxInt64 {
			return 0, false
		}
	}
	return n, true
}

// parseInt parses a signed number as strtol does with 64 bits. The caller truncates it to 32 bits,
// as memcached does with times.
func parseInt(token []byte) (int64, bool) {
	if n, ok := parseDigits(token); ok {
		return int64(n), n <= math.MaxInt64
	}
	n, minus, ok := parseC(token)
	switch {
	case !ok:
		return 0, false
	case minus:
		return -int64(n), n <= 1<<63
	}
	return int64(n), n <= math.MaxInt64
}

// parseDigits parses the common case: only digits, too few to overflow.
func parseDigits(token []byte) (n uint64, ok bool) {
	if len(token) == 0 || len(token) > 19 {
		return 0, false
	}
	for _, c := range token {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

// parseC parses white space, a sign and digits, followed by the end, white space or NUL.
func parseC(token []byte) (n uint64, minus, ok bool) {
	i := 0
	for i < len(token) && isSpace(token[i]) {
		i++
	}
	if i < len(token) && (token[i] == '-' || token[i] == '+') {
		minus = token[i] == '-'
		i++
	}
	first := i
	for ; i < len(token) && token[i] >= '0' && token[i] <= '9'; i++ {
		digit := uint64(token[i] - '0')
		if n > (math.MaxUint64-digit)/10 {
			return 0, false, false
		}
		n = n*10 + digit
	}
	if i == first || i < len(token) && token[i] != 0 && !isSpace(token[i]) {
		return 0, false, false
	}
	return n, minus, true
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
