package item

import (
	"encoding/json"
	"iter"
	"slices"
)

// MaxKeyAttrs is the largest number of attributes in the partition key of a global index, and in
// its sort key.
const MaxKeyAttrs = 4

// An IndexKey is the attributes that make the key of an index: those of the partition key, of which
// a query gives all, and those of the sort key, by which entries are ordered, one attribute after
// the other. A global index has one to MaxKeyAttrs of the former and up to as many of the latter, a
// local index one of each. A table is its own first index, with the key that KeySchema.Index
// returns.
type IndexKey struct {
	Hash, Range []KeyAttr
}

// Index returns the table's key as that of an index.
func (s KeySchema) Index() IndexKey {
	k := IndexKey{Hash: []KeyAttr{s.Hash}}
	if s.Range.Name != "" {
		k.Range = []KeyAttr{s.Range}
	}
	return k
}

// Schema returns the key as that of a table; ok is false if a part has several attributes, which no
// table's key has.
func (k IndexKey) Schema() (s KeySchema, ok bool) {
	if k.Multi() {
		return KeySchema{}, false
	}
	s.Hash = k.Hash[0]
	if len(k.Range) > 0 {
		s.Range = k.Range[0]
	}
	return s, true
}

// Multi reports whether a part of the key has several attributes.
func (k IndexKey) Multi() bool { return len(k.Hash) > 1 || len(k.Range) > 1 }

// All iterates over the attributes of the partition key, then those of the sort key.
func (k IndexKey) All() iter.Seq[KeyAttr] {
	return func(yield func(KeyAttr) bool) {
		for _, part := range [...][]KeyAttr{k.Hash, k.Range} {
			for _, a := range part {
				if !yield(a) {
					return
				}
			}
		}
	}
}

// Has reports whether the attribute is part of the key.
func (k IndexKey) Has(name string) bool {
	is := func(a KeyAttr) bool { return a.Name == name }
	return slices.ContainsFunc(k.Hash, is) || slices.ContainsFunc(k.Range, is)
}

// Names returns the names of the key's attributes, those of the partition key first.
func (k IndexKey) Names() []string {
	names := make([]string, 0, len(k.Hash)+len(k.Range))
	for a := range k.All() {
		names = append(names, a.Name)
	}
	return names
}

// Partition returns the range of all keys with that partition key, of which each attribute is
// given.
func (k IndexKey) Partition(hash ...Value) Range {
	size := hashBytes
	for i := range hash {
		size += len(hash[i].Text) + partBytes
	}
	return prefixed(appendPartition(make([]byte, 0, size), hash...))
}

// Within returns the range of all keys that a query looks for. The values have the types of the
// key.
func (k IndexKey) Within(l Lookup) Range {
	whole := k.Partition(l.Hash...)
	for i := range l.Sort {
		whole = l.Sort[i].within(whole)
	}
	return whole
}

// within returns the range of those keys that begin with whole.From and whose next part satisfies
// the condition.
func (c *RangeCondition) within(whole Range) Range {
	prefix := whole.From[:len(whole.From):len(whole.From)]
	if c.Op == BeginsWith {
		return prefixed(appendEscaped(prefix, c.Low.Text))
	}
	low := appendPart(prefix, c.Low)
	switch c.Op {
	case EQ:
		return prefixed(low)
	case LT:
		return Range{whole.From, low}
	case LE:
		return Range{whole.From, behind(low)}
	case GT:
		return Range{behind(low), whole.To}
	case GE:
		return Range{low, whole.To}
	}
	if cmp, _ := c.Low.Compare(c.High); cmp > 0 {
		return Range{low, low}
	}
	return Range{low, behind(appendPart(prefix, c.High))}
}

// MarshalJSON writes a key of one attribute and one as a KeySchema, which is how it was always
// written, and the parts of any other as lists.
func (k IndexKey) MarshalJSON() ([]byte, error) {
	if s, ok := k.Schema(); ok {
		return json.Marshal(s)
	}
	type lists IndexKey // without its methods
	return json.Marshal(lists(k))
}

// UnmarshalJSON reads what MarshalJSON writes.
func (k *IndexKey) UnmarshalJSON(b []byte) error {
	var form struct{ Hash, Range json.RawMessage }
	if err := json.Unmarshal(b, &form); err != nil {
		return err
	}
	var err error
	if k.Hash, err = keyPart(form.Hash); err == nil {
		k.Range, err = keyPart(form.Range)
	}
	return err
}

// keyPart reads a part of a key: a list of attributes, or one attribute; one with an empty name is
// no attribute.
func keyPart(b json.RawMessage) ([]KeyAttr, error) {
	if len(b) > 0 && b[0] == '[' {
		var attrs []KeyAttr
		return attrs, json.Unmarshal(b, &attrs)
	}
	var a KeyAttr
	if len(b) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(b, &a); err != nil || a.Name == "" {
		return nil, err
	}
	return []KeyAttr{a}, nil
}
