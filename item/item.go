package item

import (
	"slices"
	"strings"
)

// An Attr is a name with its value.
type Attr struct {
	Name  string
	Value Value
}

// An Item is a list of attributes sorted by the bytes of their names, without duplicates. A nil
// Item is no item; an item in a table has at least its key.
type Item []Attr

// New returns the item with these attributes, given in any order. It keeps and sorts attrs. If
// several have the same name, the last one counts.
func New(attrs ...Attr) Item {
	it := Item(attrs)
	if it == nil {
		return Item{}
	}
	for i := 1; i < len(it); i++ {
		if it[i-1].Name >= it[i].Name {
			return sorted(it)
		}
	}
	return it
}

// sorted sorts it, and drops all but the last of attributes with the same name.
func sorted(it Item) Item {
	slices.SortStableFunc(it, func(a, b Attr) int { return strings.Compare(a.Name, b.Name) })
	kept := it[:0]
	for i := range it {
		if i+1 == len(it) || it[i].Name != it[i+1].Name {
			kept = append(kept, it[i])
		}
	}
	clear(it[len(kept):])
	return kept
}

// find returns the place of name, or where it would be.
func (it Item) find(name string) (i int, ok bool) {
	low, high := 0, len(it)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if it[middle].Name < name {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, low < len(it) && it[low].Name == name
}

// Get returns the value of an attribute.
func (it Item) Get(name string) (Value, bool) {
	if i, ok := it.find(name); ok {
		return it[i].Value, true
	}
	return Value{}, false
}

// Has reports whether there is an attribute of that name.
func (it Item) Has(name string) bool {
	_, ok := it.find(name)
	return ok
}

// With returns a copy of the top level with the attribute set to v.
func (it Item) With(name string, v Value) Item {
	i, ok := it.find(name)
	if ok {
		next := slices.Clone(it)
		next[i].Value = v
		return next
	}
	next := make(Item, len(it)+1)
	copy(next, it[:i])
	next[i] = Attr{name, v}
	copy(next[i+1:], it[i:])
	return next
}

// Without returns a copy of the top level without the attribute, or the item itself if it doesn't
// have it.
func (it Item) Without(name string) Item {
	i, ok := it.find(name)
	if !ok {
		return it
	}
	next := make(Item, 0, len(it)-1)
	next = append(next, it[:i]...)
	return append(next, it[i+1:]...)
}

// Only returns the item with only those attributes.
func (it Item) Only(names ...string) Item {
	some := make(Item, 0, min(len(it), len(names)))
	for i := range it {
		if slices.Contains(names, it[i].Name) {
			some = append(some, it[i])
		}
	}
	return some
}

// Equal reports whether the items have the same attributes with Equal values. A nil item equals
// only a nil item.
func (it Item) Equal(o Item) bool {
	if len(it) != len(o) || (it == nil) != (o == nil) {
		return false
	}
	for i := range it {
		if it[i].Name != o[i].Name || !it[i].Value.Equal(o[i].Value) {
			return false
		}
	}
	return true
}
