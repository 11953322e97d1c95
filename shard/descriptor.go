package shard

import (
	"bytes"
	"encoding/binary"
	"slices"

	"holdfast"
	"holdfast/item"
)

// A Descriptor says what a shard is. It never changes, and is on disk with the shard: a change of
// ranges makes other shards.
type Descriptor struct {
	ID    holdfast.ShardID
	Space holdfast.SpaceID

	// From and To are the range of the space's keys that the shard has: those at or behind From and
	// before To; nil is an open end. Shards of a space never have a key in common. If a bound has more
	// than the 8 bytes of a hash, it divides a partition, and the shard can't have local indexes, whose
	// entries have other keys behind the hash.
	From, To []byte

	Parents []holdfast.ShardID // whose log this one's continues
	Begin   uint64             // the index of the first transaction of its log; 0 and 1 are the same
}

// maxID is the greatest ID of a shard or a space: keys have seven bytes for it.
const maxID = 1<<56 - 1

// check returns an error unless there can be such a shard with such a schema.
func (d *Descriptor) check(to Schema) error {
	switch {
	case d.ID == records:
		return holdfast.Errorf(holdfast.Invalid, "shard 0 is not a shard")
	case d.ID > maxID || d.Space > maxID:
		return holdfast.Errorf(holdfast.Invalid, "shard %d of space %d: IDs go up to %d", d.ID, d.Space, uint64(maxID))
	case d.Space == 0:
		return holdfast.Errorf(holdfast.Invalid, "shard %d is of no space", d.ID)
	case d.To != nil && bytes.Compare(d.From, d.To) >= 0:
		return holdfast.Errorf(holdfast.Invalid, "shard %d has no keys from %x to %x", d.ID, d.From, d.To)
	}
	const hashBytes = 8
	for i := range to.Indexes {
		if to.Indexes[i].Local && max(len(d.From), len(d.To)) > hashBytes {
			return holdfast.Errorf(holdfast.Invalid, "shard %d can't have local indexes, since its range divides a partition",
				d.ID)
		}
	}
	return nil
}

// keys returns the keys of the shard.
func (d *Descriptor) keys() keys {
	return keys{shard: d.ID, space: d.Space, within: &item.Range{From: d.From, To: d.To}}
}

// equal reports whether both are of the same shard.
func (d *Descriptor) equal(o *Descriptor) bool {
	return d.ID == o.ID && d.Space == o.Space && bytes.Equal(d.From, o.From) && bytes.Equal(d.To, o.To) &&
		slices.Equal(d.Parents, o.Parents) && max(d.Begin, 1) == max(o.Begin, 1)
}

// compare compares the descriptor with the one on disk, and reports whether there is one.
func (d *Descriptor) compare(e *engine) (described bool, err error) {
	key := d.keys().meta(metaDescriptor)
	raw, ok, err := e.read(e.db, key)
	if err != nil || !ok {
		return false, err
	}
	is, err := decodeDescriptor(d.ID, raw)
	if err != nil {
		return false, e.damaged(d.ID, key, err)
	}
	if !is.equal(d) {
		return false, errContradicted(d)
	}
	return true, nil
}

func errContradicted(d *Descriptor) error {
	return holdfast.Errorf(holdfast.Corrupt, "shard %d isn't that of space %d from %x to %x: it has another descriptor",
		d.ID, d.Space, d.From, d.To)
}

const descriptorVersion = 1

// appendTo appends the descriptor's form on disk: a byte for the version, the space (8 bytes), both
// bounds (preceded by their lengths, varints; an open end has none), the number of parents (a
// varint) and their IDs (8 bytes each), and where the log begins (a varint).
func (d *Descriptor) appendTo(dst []byte) []byte {
	dst = append(dst, descriptorVersion)
	dst = binary.BigEndian.AppendUint64(dst, uint64(d.Space))
	dst = appendText(dst, string(d.From))
	dst = appendText(dst, string(d.To))
	dst = binary.AppendUvarint(dst, uint64(len(d.Parents)))
	for _, id := range d.Parents {
		dst = binary.BigEndian.AppendUint64(dst, uint64(id))
	}
	return binary.AppendUvarint(dst, max(d.Begin, 1))
}

// decodeDescriptor decodes the descriptor of a shard.
func decodeDescriptor(id holdfast.ShardID, raw string) (d Descriptor, err error) {
	if raw == "" || raw[0] != descriptorVersion {
		return Descriptor{}, errDescriptor()
	}
	r := reader{rest: raw[1:]}
	d.ID, d.Space = id, holdfast.SpaceID(r.fixed())
	d.From, d.To = bound(r.text()), bound(r.text())
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		d.Parents = append(d.Parents, holdfast.ShardID(r.fixed()))
	}
	d.Begin = r.uvarint()
	if r.bad || r.rest != "" || d.check(Schema{}) != nil {
		return Descriptor{}, errDescriptor()
	}
	return d, nil
}

func bound(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(text)
}

func errDescriptor() error {
	return holdfast.Errorf(holdfast.Corrupt, "a shard's descriptor can't be decoded")
}
