package item

import (
	"encoding/binary"

	"holdfast"
)

// The form of an item on disk. Counts and lengths are varints of the fewest bytes:
//
//	version byte, 1
//	number of attributes at all levels, of elements of all lists, of elements of all sets
//	the item's attributes: their number, and for each
//	    the length of its name, its name, and its value
//
// A value is a byte for its type, followed by
//
//	S, N, B     the length, the text
//	SS, NS, BS  the number of elements, the length and text of each
//	BOOL        a byte, 0 or 1
//	NULL        nothing
//	L           the number of values, the values
//	M           attributes, as above
//
// The counts at the beginning let Decode allocate the attributes of all levels at once, and the
// elements likewise. Every item has exactly one form: equal bytes are equal items, and equal items
// have equal bytes unless the elements of a set are in another order.
const codecVersion = 1

// deepest is the deepest nesting that Decode accepts. It only bounds the stack, and exceeds what
// Value.Check allows.
const deepest = 4 * maxDepth

// totals are the counts at the beginning.
type totals struct{ attrs, values, elements int }

// Append appends the item's form on disk.
func Append(dst []byte, it Item) []byte {
	var t totals
	t.add(it)
	dst = append(dst, codecVersion)
	dst = appendLength(dst, t.attrs)
	dst = appendLength(dst, t.values)
	dst = appendLength(dst, t.elements)
	return appendAttrs(dst, it)
}

func (t *totals) add(it Item) {
	t.attrs += len(it)
	for i := range it {
		t.addValue(&it[i].Value)
	}
}

func (t *totals) addValue(v *Value) {
	switch v.Type {
	case SS, NS, BS:
		t.elements += len(v.Set)
	case L:
		t.values += len(v.List)
		for i := range v.List {
			t.addValue(&v.List[i])
		}
	case M:
		t.add(v.Map)
	}
}

func appendAttrs(dst []byte, it Item) []byte {
	dst = appendLength(dst, len(it))
	for i := range it {
		dst = appendText(dst, it[i].Name)
		dst = appendValue(dst, &it[i].Value)
	}
	return dst
}

func appendValue(dst []byte, v *Value) []byte {
	dst = append(dst, byte(v.Type))
	switch v.Type {
	case S, N, B:
		return appendText(dst, v.Text)
	case SS, NS, BS:
		dst = appendLength(dst, len(v.Set))
		for _, element := range v.Set {
			dst = appendText(dst, element)
		}
	case BOOL:
		if v.Bool {
			return append(dst, 1)
		}
		return append(dst, 0)
	case L:
		dst = appendLength(dst, len(v.List))
		for i := range v.List {
			dst = appendValue(dst, &v.List[i])
		}
	case M:
		return appendAttrs(dst, v.Map)
	}
	return dst
}

func appendLength(dst []byte, n int) []byte {
	if n < 0x80 {
		return append(dst, byte(n))
	}
	return binary.AppendUvarint(dst, uint64(n))
}

func appendText(dst []byte, text string) []byte {
	return append(appendLength(dst, len(text)), text...)
}

// Decode returns the item whose form on disk is b. Its names and texts share the memory of b. The
// error is Corrupt if b isn't the form of an item. Decode assumes that texts are UTF-8 and numbers
// canonical, since the caller has verified the checksum of b.
func Decode(b string) (Item, error) {
	d := decoder{rest: b}
	if b == "" || b[0] != codecVersion {
		return nil, corrupt(len(b))
	}
	d.rest = b[1:]
	attrs, values, elements := d.length(), d.length(), d.length()
	// An attribute takes at least two bytes, an element one.
	if d.bad || 2*attrs+values+elements > len(d.rest) {
		return nil, corrupt(len(b))
	}
	d.attrs = make([]Attr, attrs)
	if values > 0 {
		d.values = make([]Value, values)
	}
	if elements > 0 {
		d.elements = make([]string, elements)
	}
	it := d.item(deepest)
	if d.bad || d.rest != "" || len(d.attrs)+len(d.values)+len(d.elements) > 0 {
		return nil, corrupt(len(b))
	}
	return it, nil
}

func corrupt(bytes int) error {
	return holdfast.Errorf(holdfast.Corrupt, "item: %d bytes on disk aren't an item", bytes)
}

// A decoder decodes an item from the beginning of rest. After a failure bad is set, and its results
// are meaningless.
type decoder struct {
	rest     string
	attrs    []Attr // allocated for the attributes to come; values and elements likewise
	values   []Value
	elements []string
	bad      bool
}

// length decodes a length or count, which is less than 2³¹.
func (d *decoder) length() int {
	if d.rest != "" && d.rest[0] < 0x80 {
		n := int(d.rest[0])
		d.rest = d.rest[1:]
		return n
	}
	return d.longLength()
}

func (d *decoder) longLength() int {
	n := 0
	for i := 0; i < len(d.rest) && i < 5; i++ {
		c := d.rest[i]
		n |= int(c&0x7F) << (7 * i)
		if c >= 0x80 {
			continue
		}
		if c == 0 || n > 1<<31-1 { // not of the fewest bytes; too much
			break
		}
		d.rest = d.rest[i+1:]
		return n
	}
	d.bad, d.rest = true, ""
	return 0
}

func (d *decoder) text() string {
	n := d.length()
	if n > len(d.rest) {
		d.bad, d.rest = true, ""
		return ""
	}
	text := d.rest[:n]
	d.rest = d.rest[n:]
	return text
}

// item decodes attributes.
func (d *decoder) item(levels int) Item {
	n := d.length()
	if n > len(d.attrs) || levels == 0 {
		d.bad = true
		return nil
	}
	it := Item(d.attrs[:n:n])
	d.attrs = d.attrs[n:]
	for i := range it {
		it[i].Name = d.text()
		if i > 0 && it[i-1].Name >= it[i].Name {
			d.bad = true
		}
		d.value(&it[i].Value, levels)
		if d.bad {
			return nil
		}
	}
	return it
}

// value decodes a value into v.
func (d *decoder) value(v *Value, levels int) {
	if d.rest == "" {
		d.bad = true
		return
	}
	v.Type = Type(d.rest[0])
	d.rest = d.rest[1:]
	switch v.Type {
	case S, N, B:
		v.Text = d.text()
	case SS, NS, BS:
		v.Set = d.set()
	case BOOL:
		v.Bool = d.bool()
	case NULL:
	case L:
		v.List = d.list(levels - 1)
	case M:
		v.Map = d.item(levels - 1)
	default:
		d.bad = true
	}
}

func (d *decoder) bool() bool {
	if d.rest == "" || d.rest[0] > 1 {
		d.bad = true
		return false
	}
	b := d.rest[0] == 1
	d.rest = d.rest[1:]
	return b
}

func (d *decoder) set() []string {
	n := d.length()
	if n > len(d.elements) {
		d.bad = true
		return nil
	}
	set := d.elements[:n:n]
	d.elements = d.elements[n:]
	for i := range set {
		set[i] = d.text()
	}
	return set
}

func (d *decoder) list(levels int) []Value {
	n := d.length()
	if n > len(d.values) || levels == 0 {
		d.bad = true
		return nil
	}
	list := d.values[:n:n]
	d.values = d.values[n:]
	for i := range list {
		if d.value(&list[i], levels); d.bad {
			return nil
		}
	}
	return list
}
