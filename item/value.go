package item

import "strings"

// A Type is the type of a value. Its numbers are part of the form on disk.
type Type uint8

// The types of values.
const (
	S    Type = iota + 1 // text
	N                    // number
	B                    // bytes
	SS                   // set of texts
	NS                   // set of numbers
	BS                   // set of bytes
	BOOL                 // truth
	NULL                 // nothing
	L                    // list
	M                    // map
)

var typeNames = [...]string{
	S: "S", N: "N", B: "B", SS: "SS", NS: "NS", BS: "BS", BOOL: "BOOL", NULL: "NULL", L: "L", M: "M",
}

// String returns the type's name in requests: "S", "N", … "M".
func (t Type) String() string {
	if int(t) < len(typeNames) && t != 0 {
		return typeNames[t]
	}
	return "?"
}

// TypeOf returns the type of that name. Names have capitals.
func TypeOf(name string) (Type, bool) {
	for t := S; t <= M; t++ {
		if typeNames[t] == name {
			return t, true
		}
	}
	return 0, false
}

// A Value is a value of one type. The field that its type names holds it; the others are zero.
type Value struct {
	Type Type
	Bool bool     // BOOL
	Text string   // S: UTF-8; N: the number in canonical form, as ParseNumber returns it; B: the bytes
	Set  []string // SS, NS, BS: at least one element, each as Text would have it, none twice, in any order: see Elements
	List []Value  // L
	Map  Item     // M
}

// Null is the null value. It must not be changed.
var Null = Value{Type: NULL}

// Text returns a text. s is UTF-8.
func Text(s string) Value { return Value{Type: S, Text: s} }

// Bytes returns bytes.
func Bytes(b string) Value { return Value{Type: B, Text: b} }

// Bool returns a boolean.
func Bool(b bool) Value { return Value{Type: BOOL, Bool: b} }

// List returns a list, which keeps v.
func List(v ...Value) Value { return Value{Type: L, List: v} }

// SetOf returns the set of type t, which is SS, NS or BS; its elements have the form of Value.Text.
// It keeps and sorts them. The error is that of Value.Check, and lists the elements in the order
// given.
func SetOf(t Type, elements []string) (Value, error) {
	v := Value{Type: t, Set: elements}
	if err := v.checkSet(); err != nil {
		return Value{}, err
	}
	v.sortSet()
	return v, nil
}

// Map returns a map, which keeps it.
func Map(it Item) Value { return Value{Type: M, Map: it} }

// Number returns the number s, in any form that ParseNumber takes, with its errors.
func Number(s string) (Value, error) {
	text, err := ParseNumber(s)
	if err != nil {
		return Value{}, err
	}
	return Value{Type: N, Text: text}, nil
}

// Equal reports whether the values have the same type and content: numbers by value, sets without
// order.
func (v Value) Equal(o Value) bool {
	if v.Type != o.Type {
		return false
	}
	switch v.Type {
	case S, N, B: // a number has one canonical form
		return v.Text == o.Text
	case SS, NS, BS:
		return sameSet(v.Set, o.Set)
	case BOOL:
		return v.Bool == o.Bool
	case L:
		if len(v.List) != len(o.List) {
			return false
		}
		for i := range v.List {
			if !v.List[i].Equal(o.List[i]) {
				return false
			}
		}
	case M:
		return v.Map.Equal(o.Map)
	}
	return true
}

// Compare returns -1, 0 or 1 as v is less than, equal to, or greater than o: numbers by value,
// texts and bytes by bytes. ok is false if they have no order: the types differ, or aren't S, N or
// B.
func (v Value) Compare(o Value) (cmp int, ok bool) {
	if v.Type != o.Type {
		return 0, false
	}
	switch v.Type {
	case S, B:
		return strings.Compare(v.Text, o.Text), true
	case N:
		return CompareNumbers(v.Text, o.Text), true
	}
	return 0, false
}
