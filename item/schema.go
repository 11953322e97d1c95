package item

import (
	"encoding/binary"

	"holdfast"
)

// A KeyAttr is an attribute that is part of a key.
type KeyAttr struct {
	Name string
	Type Type // S, N or B
}

// A KeySchema names the attributes of a table's key: one to find the shard, one to sort by. That of
// an index is an IndexKey.
type KeySchema struct {
	Hash  KeyAttr // the partition key
	Range KeyAttr // the sort key; its Name is "" where there is none
}

// partBytes is an estimate of what a part of a key takes beside its text.
const partBytes = 24

// Key returns the key of a whole item. The error names the attribute that is missing, of the wrong
// type, empty or too long.
func (s KeySchema) Key(it Item) (Key, error) {
	hash, err := s.Hash.of(it)
	if err != nil {
		return nil, err
	}
	if err := checkLength(maxHashBytes, hash); err != nil {
		return nil, err
	}
	if s.Range.Name == "" {
		return s.build(hash, Value{}), nil
	}
	sort, err := s.Range.of(it)
	if err != nil {
		return nil, err
	}
	if err := checkLength(maxRangeBytes, sort); err != nil {
		return nil, err
	}
	return s.build(hash, sort), nil
}

// of returns the attribute of a whole item.
func (a KeyAttr) of(it Item) (Value, error) {
	v, ok := it.Get(a.Name)
	if !ok {
		return Value{}, invalid("Missing the key %s in the item", a.Name)
	}
	if v.Type != a.Type {
		return Value{}, invalid("Type mismatch for key %s expected: %s actual: %s", a.Name, a.Type, v.Type)
	}
	if what := emptiness(v); what != "" {
		return Value{}, holdfast.Errorf(holdfast.Invalid, "One or more parameter values are not valid. "+
			"The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s", what, a.Name)
	}
	return v, nil
}

// Exact returns the key that a request names by its key's attributes and no others.
func (s KeySchema) Exact(key Item) (Key, error) {
	attrs := 1
	if s.Range.Name != "" {
		attrs = 2
	}
	if len(key) != attrs {
		return nil, errSchema()
	}
	hash, err := s.Hash.exact(key, maxHashBytes)
	if err != nil {
		return nil, err
	}
	if s.Range.Name == "" {
		return s.build(hash, Value{}), nil
	}
	sort, err := s.Range.exact(key, maxRangeBytes)
	if err != nil {
		return nil, err
	}
	return s.build(hash, sort), nil
}

// exact returns the attribute of a request's key.
func (a KeyAttr) exact(key Item, limit int) (Value, error) {
	v, ok := key.Get(a.Name)
	if !ok || v.Type != a.Type {
		return Value{}, errSchema()
	}
	if what := emptiness(v); what != "" {
		return Value{}, invalid("The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s", what,
			a.Name)
	}
	return v, checkLength(limit, v)
}

func errSchema() error {
	return holdfast.Errorf(holdfast.Invalid, "The provided key element does not match the schema")
}

// emptiness returns DynamoDB's name for the type of an empty text or empty bytes, or "" for any
// other value.
func emptiness(v Value) string {
	switch {
	case v.Text != "":
		return ""
	case v.Type == S:
		return "string"
	case v.Type == B:
		return "binary"
	}
	return ""
}

// checkLength returns the error of texts and bytes that together are too long to be the part of a
// key with that limit.
func checkLength(limit int, part ...Value) error {
	length := 0
	for i := range part {
		if part[i].Type != N {
			length += len(part[i].Text)
		}
	}
	if length <= limit {
		return nil
	}
	if limit == maxHashBytes {
		return invalid("Size of hashkey has exceeded the maximum size limit of%d bytes", limit)
	}
	return invalid("Aggregated size of all range keys has exceeded the size limit of %d bytes", limit)
}

func (s KeySchema) build(hash, sort Value) Key {
	k := make(Key, 0, hashBytes+len(hash.Text)+len(sort.Text)+partBytes)
	k = appendPartition(k, hash)
	if s.Range.Name != "" {
		k = appendPart(k, sort)
	}
	return k
}

// appendPartition appends the hash of a partition key and its attributes.
func appendPartition(dst []byte, hash ...Value) []byte {
	return appendParts(binary.BigEndian.AppendUint64(dst, hashOf(hash...)), hash)
}

// appendParts appends values in the form of appendPart. Since no form is the beginning of another,
// the bytes of several values compare as the values do, one after the other, and no two lists of
// values have the same bytes.
func appendParts(dst []byte, values []Value) []byte {
	for i := range values {
		dst = appendPart(dst, values[i])
	}
	return dst
}

// Attrs returns those of the key's attributes that the item has.
func (s KeySchema) Attrs(it Item) Item {
	key := make(Item, 0, 2)
	for i := range it {
		if s.Has(it[i].Name) {
			key = append(key, it[i])
		}
	}
	return key
}

// Has reports whether the attribute is part of the key.
func (s KeySchema) Has(name string) bool {
	return name == s.Hash.Name || name == s.Range.Name && name != ""
}

// Names returns the names of the key's attributes, the partition key first.
func (s KeySchema) Names() []string {
	if s.Range.Name == "" {
		return []string{s.Hash.Name}
	}
	return []string{s.Hash.Name, s.Range.Name}
}

// Decode returns the attributes of the key. It is Corrupt if k isn't a key of the schema.
func (s KeySchema) Decode(k Key) (Item, error) {
	if len(k) < hashBytes {
		return nil, corruptKey(k)
	}
	hash, rest, ok := cutPart(k[hashBytes:], s.Hash.Type)
	if !ok || HashOf(hash) != k.Hash() {
		return nil, corruptKey(k)
	}
	key := append(make(Item, 0, 2), Attr{s.Hash.Name, hash})
	if s.Range.Name != "" {
		var sort Value
		if sort, rest, ok = cutPart(rest, s.Range.Type); !ok {
			return nil, corruptKey(k)
		}
		key = append(key, Attr{s.Range.Name, sort})
	}
	if len(rest) > 0 {
		return nil, corruptKey(k)
	}
	return New(key...), nil
}

func corruptKey(k Key) error {
	return holdfast.Errorf(holdfast.Corrupt, "item: no key of the table: %x", []byte(k[:min(len(k), 64)]))
}
