package item

import "strings"

// containerBytes is the size of an empty list or map; each element adds one byte and its own size.
const containerBytes = 3

// Size returns the bytes of the value as DynamoDB counts them: a text or bytes its length, a number
// as numberSize says, a boolean or null one byte, a list or map three bytes, one per element, and
// its elements. See
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html.
func (v Value) Size() int { return v.size() }

// Size returns the bytes of all names and values as DynamoDB counts them.
func (it Item) Size() int {
	bytes := 0
	for i := range it {
		bytes += len(it[i].Name) + it[i].Value.size()
	}
	return bytes
}

func (v *Value) size() int {
	switch v.Type {
	case S, B:
		return len(v.Text)
	case N:
		return numberSize(v.Text)
	case SS, BS:
		bytes := 0
		for _, element := range v.Set {
			bytes += len(element)
		}
		return bytes
	case NS:
		bytes := 0
		for _, element := range v.Set {
			bytes += numberSize(element)
		}
		return bytes
	case L:
		bytes := containerBytes + len(v.List)
		for i := range v.List {
			bytes += v.List[i].size()
		}
		return bytes
	case M:
		return containerBytes + len(v.Map) + v.Map.Size()
	}
	return 1
}

// numberSize returns the bytes that a canonical number counts: one for its exponent, one for each
// pair of digits, where pairs end at the decimal point, and one if it is negative. Zero is one.
func numberSize(text string) int {
	if text == "0" {
		return 1
	}
	text, negative := strings.CutPrefix(text, "-")
	whole, fraction, _ := strings.Cut(text, ".")
	first := len(whole) - 1 // the power of ten of the first significant digit
	digits := len(whole) + len(fraction)
	switch {
	case whole == "0":
		significant := strings.TrimLeft(fraction, "0")
		first = len(significant) - len(fraction) - 1
		digits = len(significant)
	case fraction == "":
		digits = len(strings.TrimRight(whole, "0"))
	}
	bytes := 1 + (digits+1)/2
	if digits%2 == 0 && first%2 == 0 {
		bytes++ // the first and the last pair have one digit each
	}
	if negative {
		bytes++
	}
	return bytes
}
