package item

import (
	"strconv"

	"holdfast"
)

// AddNumbers returns a + b, exactly. Both are canonical. The error is Invalid if the sum is out of
// range or has more than 38 significant digits, which DynamoDB also calls an overflow.
func AddNumbers(a, b string) (string, error) { return sum(a, b, false) }

// subNumbers returns a - b, with the same errors as AddNumbers.
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
			err = holdfast.Errorf(holdfast.Invalid, "%s", overflowText) // as DynamoDB calls a sum of too many digits
		}
		return "", err
	}
	return total.String(), nil
}

// shortSum returns the sum or difference of two short integers; ok is false for other numbers.
func shortSum(a, b string, minus bool) (string, bool) {
	const short = 18 // characters: the sum of two such numbers fits in an int64
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

// columns is the number of powers of ten that a sum can span: from a carry above the first digit of
// the greatest number to the last digit of the smallest.
const columns = 1 + maxExponent - minExponent + maxDigits

// add returns x + y. It adds the digits column by column, each with the sign of its number, and
// then carries until every column is a digit again.
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

	end := top - min(x.exponent-x.n, y.exponent-y.n) // index after the last column
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

// addTo adds the digits of d to the columns; column 0 is that of the power of ten top.
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

// setColumns sets d to the number whose digits are in the columns; column 0 is that of the power of
// ten top.
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
