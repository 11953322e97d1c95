package item

import (
	"encoding/binary"
	"slices"

	"holdfast"
)

// A Projected is which attributes an index's entries hold.
type Projected uint8

// The projections of indexes.
const (
	ProjectAll Projected = iota + 1
	ProjectKeys
	ProjectSome // the keys, and Index.Attrs
)

// An Index is a secondary index. An item that has all attributes of Key, with their types, has one
// entry in it; any other item has none.
type Index struct {
	ID      uint32 // within its table, never used again; from 1: 0 is the table itself
	Name    string
	Local   bool // its partition key is the table's
	Key     IndexKey
	Project Projected
	Attrs   []string // for ProjectSome: names beyond those of the keys
}

// Entry returns the entry of an item of a table whose key is base; ok is false if the item has
// none. The entry's key is the key by the index's schema, then 8 bytes of hash, then the parts of
// the item's own key, which make it unique. The 8 bytes are the hash of both parts of the item's
// own key; they give entries with equal index keys the order that DynamoDB gives them. The entry
// holds the projected attributes, and always those of both keys.
func (x *Index) Entry(base KeySchema, it Item) (key Key, entry Item, ok bool) {
	var hashes, ranges [MaxKeyAttrs]Value
	hash, ok := indexed(hashes[:0], x.Key.Hash, it, maxHashBytes)
	if !ok {
		return nil, nil, false
	}
	sort, ok := indexed(ranges[:0], x.Key.Range, it, maxRangeBytes)
	if !ok {
		return nil, nil, false
	}
	return x.entryKey(base, it, hash, sort), x.project(base, it), true
}

// indexed appends the attributes of an item that make a part of an index's key; ok is false if one
// is missing, or is one that an index can't hold.
func indexed(dst []Value, attrs []KeyAttr, it Item, limit int) (part []Value, ok bool) {
	for _, a := range attrs {
		v, ok := it.Get(a.Name)
		if !ok || v.Type != a.Type || emptiness(v) != "" {
			return nil, false
		}
		dst = append(dst, v)
	}
	return dst, checkLength(limit, dst...) == nil
}

// entryKey returns the key of the entry of an item, or of something else with the same keys.
func (x *Index) entryKey(base KeySchema, it Item, hash, sort []Value) Key {
	baseHash, _ := it.Get(base.Hash.Name)
	baseSort, _ := it.Get(base.Range.Name)
	size := 2*hashBytes + 2*partBytes + len(baseHash.Text) + len(baseSort.Text)
	for _, part := range [...][]Value{hash, sort} {
		for i := range part {
			size += len(part[i].Text)
		}
	}
	k := make(Key, 0, size)
	k = appendPartition(k, hash...)
	k = appendParts(k, sort)
	if base.Range.Name == "" {
		k = binary.BigEndian.AppendUint64(k, hashOf(baseHash))
		return appendPart(k, baseHash)
	}
	k = binary.BigEndian.AppendUint64(k, hashOf(baseHash, baseSort))
	k = appendPart(k, baseHash)
	return appendPart(k, baseSort)
}

func (x *Index) project(base KeySchema, it Item) Item {
	if x.Project == ProjectAll {
		return it
	}
	entry := make(Item, 0, min(len(it), 4+len(x.Attrs)))
	for i := range it {
		if name := it[i].Name; x.Holds(name) || base.Has(name) {
			entry = append(entry, it[i])
		}
	}
	return entry
}

// Holds reports whether entries hold that attribute of every item. They hold the attributes of the
// table's key, too, which an Index doesn't know.
func (x *Index) Holds(name string) bool {
	return x.Project == ProjectAll || x.Key.Has(name) || x.Project == ProjectSome && slices.Contains(x.Attrs, name)
}

// EntryKey returns the key of the entry that an ExclusiveStartKey names by the attributes of both
// keys and no others. The entry need not be there.
func (x *Index) EntryKey(base KeySchema, start Item) (Key, error) {
	names := base.Names()
	for _, name := range x.Key.Names() {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(start) != len(names) {
		return nil, errStart()
	}
	hash, err := startPart(x.Key.Hash, start, maxHashBytes)
	if err != nil {
		return nil, err
	}
	sort, err := startPart(x.Key.Range, start, maxRangeBytes)
	if err != nil {
		return nil, err
	}
	if _, err := base.Exact(base.Attrs(start)); err != nil {
		return nil, holdfast.Errorf(holdfast.Invalid, "%s: %w", startText, err)
	}
	return x.entryKey(base, start, hash, sort), nil
}

// startText is the error of an invalid ExclusiveStartKey.
const startText = "The provided starting key is invalid"

func errStart() error { return holdfast.Errorf(holdfast.Invalid, startText) }

// startPart returns the attributes of an ExclusiveStartKey that make a part of an index's key.
func startPart(attrs []KeyAttr, start Item, limit int) (part []Value, err error) {
	for _, a := range attrs {
		if !start.Has(a.Name) {
			return nil, errStart()
		}
		v, err := a.exact(start, limit)
		if err != nil {
			return nil, err
		}
		part = append(part, v)
	}
	return part, checkLength(limit, part...)
}

// Check returns the error of an item that can't be put in a table with that index: one of its
// attributes of the index's key has another type, is empty, or is too long together with the others
// of its part.
func (x *Index) Check(it Item) error {
	if err := x.checkPart(it, x.Key.Hash, maxHashBytes); err != nil {
		return err
	}
	return x.checkPart(it, x.Key.Range, maxRangeBytes)
}

func (x *Index) checkPart(it Item, attrs []KeyAttr, limit int) error {
	var buf [MaxKeyAttrs]Value
	part := buf[:0]
	for _, a := range attrs {
		v, ok := it.Get(a.Name)
		if !ok {
			continue
		}
		if err := x.checkAttr(v, a); err != nil {
			return err
		}
		part = append(part, v)
	}
	return checkLength(limit, part...)
}

// checkAttr returns the error of the attribute a of an item.
func (x *Index) checkAttr(v Value, a KeyAttr) error {
	if v.Type != a.Type {
		return invalid("Type mismatch for Index Key %s Expected: %s Actual: %s IndexName: %s", a.Name, a.Type, v.Type, x.Name)
	}
	if what := emptiness(v); what != "" {
		return holdfast.Errorf(holdfast.Invalid, "One or more parameter values are not valid. "+
			"A value specified for a secondary index key is not supported. The AttributeValue for a key attribute "+
			"cannot contain an empty %s value. IndexName: %s, IndexKey: %s", what, x.Name, a.Name)
	}
	return nil
}
