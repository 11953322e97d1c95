package item

import (
	"strconv"

	"holdfast"
)

// AddNumbers returns a + b, exactly. Both are canonical. The error is a sum out of range, or one
// with more than 38 significant digits, which DynamoDB calls an overflow, too.
func AddNumbers(a, b string) (string, error) { return sum(a, b, false) }

// subNumbers returns a - b, with the errors of AddNumbers.
func subNumbers(a, b string) (string, error) { return sum(a, b, true) }

func sum(a, b string, minus bool) (string, error) {
	if text, ok := shortSum(a, b, minus); ok {
		return text, nil
	}
	var x, y decimal
	if !x.scan(a) || !y.scan(b) || x.check() != nil || y.check() != nil {
		return "", holdfast.Errorf(holdfast.Invalid, "The parameter cannot be converted to a numeric value")
	}
	y.negative = y.negative != minus
	total := add(&x, &y)
	if err := total.check(); err != nil {
		if total.n > maxDigits && total.exponent >= minExponent {
			err = holdfast.Errorf(holdfast.Invalid, "%s", overflowText) // so the service calls a sum of too many digits
		}
		return "", err
	}
	return total.String(), nil
}

// shortSum is sum for integers of a machine word; ok is false for others.
func shortSum(a, b string, minus bool) (string, bool) {
	const short = 18 // characters: the sum of two such fits in an int64
	if len(a) > short || len(b) > short {
		return "", false
	}
	x, err := strconv.ParseInt(a, 10, 64)
	if err != nil {
		return "", false
	}
	y, err := strconv.ParseInt(b, 10, 64)
	if err != nil {
		return "", false
	}
	if minus {
		y = -y
	}
	return strconv.FormatInt(x+y, 10), true
}

// columns is the most powers of ten that a sum of two numbers spans: from the carry above the
// greatest first digit to the last digit of the smallest number.
const columns = 1 + maxExponent - minExponent + maxDigits

// add returns x + y. Their digits are added column by column, each with its number's sign; then
// carries make each column a digit again.
func add(x, y *decimal) decimal {
	if x.n == 0 {
		return *y
	}
	if y.n == 0 {
		return *x
	}
	var column [columns]int8
	top := max(x.exponent, y.exponent) + 1 // the power of ten of column 0
	x.addTo(column[:], top)
	y.addTo(column[:], top)

	end := top - min(x.exponent-x.n, y.exponent-y.n) // behind the last column
	first := 0
	for first < end && column[first] == 0 {
		first++
	}
	total := decimal{negative: first < end && column[first] < 0}
	carry := int8(0)
	for i := end - 1; i >= 0; i-- {
		digit := column[i]
		if total.negative {
			digit = -digit
		}
		digit += carry
		switch {
		case digit < 0:
			digit, carry = digit+10, -1
		case digit > 9:
			digit, carry = digit-10, 1
		default:
			carry = 0
		}
		column[i] = digit
	}
	total.setColumns(column[:end], top)
	return total
}

// addTo adds the digits to their columns.
func (d *decimal) addTo(column []int8, top int) {
	at := top - d.exponent
	for i, c := range d.digits[:d.n] {
		digit := int8(c - '0')
		if d.negative {
			digit = -digit
		}
		column[at+i] += digit
	}
}

// setColumns sets the digits and the exponent from columns that are digits.
func (d *decimal) setColumns(column []int8, top int) {
	for len(column) > 0 && column[0] == 0 {
		column = column[1:]
		top--
	}
	for len(column) > 0 && column[len(column)-1] == 0 {
		column = column[:len(column)-1]
	}
	d.n = len(column)
	if d.n == 0 {
		d.negative, d.exponent = false, 0
		return
	}
	d.exponent = top
	for i, digit := range column[:min(d.n, maxDigits)] {
		d.digits[i] = '0' + byte(digit)
	}
}
