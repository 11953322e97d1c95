package item

import (
	"cmp"
	"strings"

	"holdfast"
)

// The limits of numbers: the significant digits, and the power of ten of the first of them.
const (
	maxDigits   = 38
	maxExponent = 125
	minExponent = -130
)

// DynamoDB's messages for numbers out of range.
const (
	overflowText  = "Number overflow. Attempting to store a number with magnitude larger than supported range"
	underflowText = "Number underflow. Attempting to store a number with magnitude smaller than supported range"
	precisionText = "Attempting to store more than 38 significant digits in a Number"
)

// A decimal is a number as digits: ± 0.d₀d₁d₂… × 10^(exponent+1).
type decimal struct {
	negative bool
	exponent int             // the power of ten of the first digit; 0 for zero
	n        int             // number of significant digits, without zeros at either end; may exceed maxDigits; 0 for zero
	digits   [maxDigits]byte // '0' to '9', the first maxDigits of them
}

// ParseNumber returns the canonical form of a decimal number, which may have a sign, leading and
// trailing zeros, and an exponent. The canonical form, in which DynamoDB returns numbers, has no
// exponent, no leading zeros except one before a decimal point, no zeros at the end of a fraction,
// and no sign for zero. The error is Invalid, with DynamoDB's message.
func ParseNumber(s string) (string, error) {
	if isCanonical(s) {
		return s, nil
	}
	var d decimal
	if !d.scan(s) {
		if s == "" {
			return "", holdfast.Errorf(holdfast.Invalid, "The parameter cannot be converted to a numeric value")
		}
		return "", holdfast.Errorf(holdfast.Invalid, "The parameter cannot be converted to a numeric value: %s", s)
	}
	if err := d.check(); err != nil {
		return "", err
	}
	return d.String(), nil
}

// check returns the error of a number that is out of range.
func (d *decimal) check() error {
	switch {
	case d.n == 0:
		return nil
	case d.exponent > maxExponent:
		return holdfast.Errorf(holdfast.Invalid, "%s", overflowText)
	case d.exponent < minExponent:
		return holdfast.Errorf(holdfast.Invalid, "%s", underflowText)
	case d.n > maxDigits:
		return holdfast.Errorf(holdfast.Invalid, "%s", precisionText)
	}
	return nil
}

// isCanonical reports whether s is in canonical form. It returns false for forms of more than
// maxDigits characters, which may be canonical too.
func isCanonical(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	if len(digits) == 0 || len(digits) > maxDigits || s == "-0" {
		return false
	}
	point := -1
	for i := 0; i < len(digits); i++ {
		switch c := digits[i]; {
		case c == '.' && point < 0:
			point = i
		case c < '0' || c > '9':
			return false
		}
	}
	if digits[0] == '0' && len(digits) > 1 && point != 1 {
		return false
	}
	return point < 0 || point > 0 && digits[len(digits)-1] != '0' && point < len(digits)-1
}

// scan sets d to the number that s denotes, in any form. It returns false if s isn't a number.
func (d *decimal) scan(s string) bool {
	*d = decimal{}
	i := 0
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		d.negative = s[i] == '-'
		i++
	}
	seen, point := false, false
	before := 0 // significant digits before the point; negative: zeros between the point and the first of them
	taken := 0  // digits so far, from the first that isn't zero
	for ; i < len(s); i++ {
		c := s[i]
		if c == '.' && !point {
			point = true
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		seen = true
		if taken == 0 && c == '0' {
			if point {
				before--
			}
			continue
		}
		if taken < maxDigits {
			d.digits[taken] = c
		}
		taken++
		if c != '0' {
			d.n = taken
		}
		if !point {
			before++
		}
	}
	power, ok := scanPower(s[i:])
	if !seen || !ok {
		return false
	}
	if d.n == 0 {
		d.negative = false
		return true
	}
	d.exponent = before - 1 + power
	return true
}

// scanPower parses the exponent at the end of a number: nothing, or E, an optional sign and digits.
func scanPower(s string) (power int, ok bool) {
	if s == "" {
		return 0, true
	}
	if s[0] != 'e' && s[0] != 'E' {
		return 0, false
	}
	s = s[1:]
	negative := false
	if s != "" && (s[0] == '-' || s[0] == '+') {
		negative = s[0] == '-'
		s = s[1:]
	}
	if s == "" {
		return 0, false
	}
	const enough = 1 << 40 // exceeds the number of zeros in any text, which could make up for it
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		power = min(power*10+int(s[i]-'0'), enough)
	}
	if negative {
		power = -power
	}
	return power, true
}

// String returns the canonical form of a number that check accepts.
func (d *decimal) String() string {
	var buf [2 + maxExponent - minExponent + maxDigits]byte
	return string(d.appendText(buf[:0]))
}

// appendText appends the canonical form to dst.
func (d *decimal) appendText(dst []byte) []byte {
	if d.n == 0 {
		return append(dst, '0')
	}
	if d.negative {
		dst = append(dst, '-')
	}
	if d.exponent < 0 {
		dst = append(dst, '0', '.')
		dst = appendZeros(dst, -d.exponent-1)
		return append(dst, d.digits[:d.n]...)
	}
	if whole := d.exponent + 1; whole < d.n {
		dst = append(dst, d.digits[:whole]...)
		dst = append(dst, '.')
		return append(dst, d.digits[whole:d.n]...)
	}
	dst = append(dst, d.digits[:d.n]...)
	return appendZeros(dst, d.exponent+1-d.n)
}

func appendZeros(dst []byte, n int) []byte {
	for ; n > 0; n-- {
		dst = append(dst, '0')
	}
	return dst
}

// CompareNumbers returns -1, 0 or 1 as a is less than, equal to, or greater than b. Both are
// canonical.
func CompareNumbers(a, b string) int {
	aNegative, bNegative := isNegative(a), isNegative(b)
	switch {
	case aNegative && bNegative:
		return compareMagnitudes(b[1:], a[1:])
	case aNegative:
		return -1
	case bNegative:
		return 1
	}
	return compareMagnitudes(a, b)
}

func isNegative(text string) bool { return text != "" && text[0] == '-' }

// compareMagnitudes compares numbers without signs. If they have the same number of digits before
// the point, they compare as their texts do: a point sorts before every digit, and the end of a
// text before both.
func compareMagnitudes(a, b string) int {
	if c := cmp.Compare(wholeDigits(a), wholeDigits(b)); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}

// wholeDigits returns the number of digits before the point.
func wholeDigits(text string) int {
	if i := strings.IndexByte(text, '.'); i >= 0 {
		return i
	}
	return len(text)
}
