package item

import (
	"encoding/binary"
	"slices"

	"holdfast"
)

// A Projected says what an index's entries hold.
type Projected uint8

// The projections of indexes.
const (
	ProjectAll Projected = iota + 1
	ProjectKeys
	ProjectSome // the keys, and Index.Attrs
)

// An Index is a secondary index. An item that has the attributes of Key, with their types, has one entry in it; another item
// has none.
type Index struct {
	ID      uint32 // within its table, never used again; from 1: 0 is the table itself
	Name    string
	Local   bool // its partition key is the table's
	Key     KeySchema
	Project Projected
	Attrs   []string // for ProjectSome: names beyond those of the keys
}

// Entry returns the entry of an item, which has the key of its table, base; !ok if it has none. The key is that of the index's
// schema, then 8 bytes of hash, then the parts of the item's own key, so that each item has another. Those 8 bytes are
// the hash of both parts of its own key; they give entries with equal index keys the order that DynamoDB gives them. The entry
// holds what is projected, and always the attributes of both keys.
func (x *Index) Entry(base KeySchema, it Item) (key Key, entry Item, ok bool) {
	hash, ok := x.Key.Hash.indexed(it, MaxHashBytes)
	if !ok {
		return nil, nil, false
	}
	var sort Value
	if x.Key.Range.Name != "" {
		if sort, ok = x.Key.Range.indexed(it, MaxRangeBytes); !ok {
			return nil, nil, false
		}
	}
	return x.entryKey(base, it, hash, sort), x.project(base, it), true
}

// indexed returns the attribute of an item that its index keeps; !ok if there is none, or none that an index can keep.
func (a KeyAttr) indexed(it Item, limit int) (v Value, ok bool) {
	v, ok = it.Get(a.Name)
	if !ok || v.Type != a.Type || emptiness(v) != "" || a.checkLength(v, limit) != nil {
		return Value{}, false
	}
	return v, true
}

// entryKey returns the key of the entry of an item, or of something else with the same keys.
func (x *Index) entryKey(base KeySchema, it Item, hash, sort Value) Key {
	baseHash, _ := it.Get(base.Hash.Name)
	baseSort, _ := it.Get(base.Range.Name)
	k := make(Key, 0, 2*hashBytes+2*partBytes+len(hash.Text)+len(sort.Text)+len(baseHash.Text)+len(baseSort.Text))
	k = appendPartition(k, hash)
	if x.Key.Range.Name != "" {
		k = AppendPart(k, sort)
	}
	if base.Range.Name == "" {
		k = binary.BigEndian.AppendUint64(k, hashOf(baseHash))
		return AppendPart(k, baseHash)
	}
	k = binary.BigEndian.AppendUint64(k, hashOf(baseHash, baseSort))
	k = AppendPart(k, baseHash)
	return AppendPart(k, baseSort)
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

// Holds says whether entries hold that attribute of every item. They hold those of the table's key, too, which an
// Index doesn't know.
func (x *Index) Holds(name string) bool {
	return x.Project == ProjectAll || x.Key.Has(name) || x.Project == ProjectSome && slices.Contains(x.Attrs, name)
}

// EntryKey returns the key of the entry that an ExclusiveStartKey names by the attributes of both keys and no others. The
// entry need not be there.
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
	hash, err := x.Key.Hash.start(start, MaxHashBytes)
	if err != nil {
		return nil, err
	}
	var sort Value
	if x.Key.Range.Name != "" {
		if sort, err = x.Key.Range.start(start, MaxRangeBytes); err != nil {
			return nil, err
		}
	}
	if _, err := base.Exact(base.Attrs(start)); err != nil {
		return nil, holdfast.Errorf(holdfast.Invalid, "%s: %w", startText, err)
	}
	return x.entryKey(base, start, hash, sort), nil
}

// startText is what is said of an ExclusiveStartKey that isn't one.
const startText = "The provided starting key is invalid"

func errStart() error { return holdfast.Errorf(holdfast.Invalid, startText) }

// start returns the attribute of an ExclusiveStartKey.
func (a KeyAttr) start(start Item, limit int) (Value, error) {
	if !start.Has(a.Name) {
		return Value{}, errStart()
	}
	return a.exact(start, limit)
}

// Check returns the error of an item that can't be put in a table with that index: it has an attribute of the index's key with
// another type, or one that is empty or too long.
func (x *Index) Check(it Item) error {
	if err := x.checkAttr(it, x.Key.Hash, MaxHashBytes); err != nil {
		return err
	}
	if x.Key.Range.Name == "" {
		return nil
	}
	return x.checkAttr(it, x.Key.Range, MaxRangeBytes)
}

func (x *Index) checkAttr(it Item, a KeyAttr, limit int) error {
	v, ok := it.Get(a.Name)
	if !ok {
		return nil
	}
	if v.Type != a.Type {
		return invalid("Type mismatch for Index Key %s Expected: %s Actual: %s IndexName: %s", a.Name, a.Type, v.Type, x.Name)
	}
	if what := emptiness(v); what != "" {
		return holdfast.Errorf(holdfast.Invalid, "One or more parameter values are not valid. "+
			"A value specified for a secondary index key is not supported. The AttributeValue for a key attribute "+
			"cannot contain an empty %s value. IndexName: %s, IndexKey: %s", what, x.Name, a.Name)
	}
	return a.checkLength(v, limit)
}
