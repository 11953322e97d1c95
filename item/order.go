package item

import "strings"

// The order-preserving form of a number begins with a byte for its sign. One that isn't zero has a
// byte for its exponent, and a byte for each pair of digits: twice the pair, plus one if more
// follow. So the longer of two forms, of which one begins with the other, is the greater number,
// and the end needs no mark. For negative numbers all bytes but the first are complemented.
const (
	negativeSign = 0x01
	zeroSign     = 0x02
	positiveSign = 0x03
)

// The order-preserving form of texts and bytes is the bytes themselves, with each zero byte
// followed by escaped, and at the end a zero byte followed by ended.
const (
	escaped = 0xFF
	ended   = 0x01
)

// appendPart appends the value in a form whose byte order is the order of values of its type. No
// form is the beginning of another. v is an S, N or B.
func appendPart(dst []byte, v Value) []byte {
	if v.Type == N {
		return appendNumberPart(dst, v.Text)
	}
	return append(appendEscaped(dst, v.Text), 0, ended)
}

func appendEscaped(dst []byte, text string) []byte {
	for {
		i := strings.IndexByte(text, 0)
		if i < 0 {
			return append(dst, text...)
		}
		dst = append(dst, text[:i+1]...)
		dst = append(dst, escaped)
		text = text[i+1:]
	}
}

func appendNumberPart(dst []byte, text string) []byte {
	var d decimal
	d.scan(text)
	if d.n == 0 {
		return append(dst, zeroSign)
	}
	sign, mask := byte(positiveSign), byte(0)
	if d.negative {
		sign, mask = negativeSign, 0xFF
	}
	dst = append(dst, sign, byte(d.exponent-minExponent)^mask)
	digits := d.digits[:min(d.n, maxDigits)]
	for i := 0; i < len(digits); i += 2 {
		pair := (digits[i] - '0') * 10
		if i+1 < len(digits) {
			pair += digits[i+1] - '0'
		}
		pair *= 2
		if i+2 < len(digits) {
			pair++
		}
		dst = append(dst, pair^mask)
	}
	return dst
}

// cutPart decodes the value of type t at the beginning of b, and returns what follows it.
func cutPart(b []byte, t Type) (v Value, rest []byte, ok bool) {
	if t == N {
		return cutNumberPart(b)
	}
	var text strings.Builder
	for i := 0; i+1 < len(b); i++ {
		switch {
		case b[i] != 0:
			continue
		case b[i+1] == ended:
			text.Write(b[:i])
			return Value{Type: t, Text: text.String()}, b[i+2:], true
		case b[i+1] != escaped:
			return Value{}, nil, false
		}
		text.Write(b[:i+1])
		b = b[i+2:]
		i = -1
	}
	return Value{}, nil, false
}

func cutNumberPart(b []byte) (v Value, rest []byte, ok bool) {
	if len(b) > 0 && b[0] == zeroSign {
		return Value{Type: N, Text: "0"}, b[1:], true
	}
	if len(b) < 3 || b[0] != positiveSign && b[0] != negativeSign {
		return Value{}, nil, false
	}
	d := decimal{negative: b[0] == negativeSign}
	mask := byte(0)
	if d.negative {
		mask = 0xFF
	}
	d.exponent = int(b[1]^mask) + minExponent
	for i := 2; i < len(b) && d.n < maxDigits; i++ {
		pair := b[i] ^ mask
		if pair >= 200 {
			return Value{}, nil, false
		}
		d.digits[d.n] = '0' + pair/2/10
		d.digits[d.n+1] = '0' + pair/2%10
		d.n += 2
		if pair%2 == 1 {
			continue
		}
		if d.digits[d.n-1] == '0' {
			d.n--
		}
		ok = d.digits[0] != '0' && d.digits[d.n-1] != '0'
		return Value{Type: N, Text: d.String()}, b[i+1:], ok
	}
	return Value{}, nil, false
}
