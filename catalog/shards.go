package catalog

import (
	"bytes"
	"encoding/binary"
	"slices"

	"holdfast"
	"holdfast/shard"
)

// A Shard is a shard of a table or backup. Its ID names one range of keys for good.
type Shard struct {
	ID holdfast.ShardID
	Range
	// Parents are the shards whose range it has taken over, and whose logs its own goes on from. None:
	// it was made with its table.
	Parents []holdfast.ShardID `json:",omitempty"`
}

// A Range is the keys from From on and before To, as bytes; keys begin with the hash of the
// partition key.
type Range struct {
	From []byte `json:",omitempty"` // empty: from the first key on
	To   []byte `json:",omitempty"` // empty: to the last key
}

// Descriptor returns the descriptor of a shard of a space.
func (s Shard) Descriptor(space holdfast.SpaceID) shard.Descriptor {
	d := shard.Descriptor{ID: s.ID, Space: space, Parents: s.Parents}
	if len(s.From) > 0 {
		d.From = s.From
	}
	if len(s.To) > 0 {
		d.To = s.To
	}
	return d
}

// Descriptors returns the descriptors of shards of a space.
func Descriptors(space holdfast.SpaceID, shards []Shard) []shard.Descriptor {
	all := make([]shard.Descriptor, len(shards))
	for i, s := range shards {
		all[i] = s.Descriptor(space)
	}
	return all
}

// Even returns n ranges, at most 65536, that split all hashes about evenly. They are cut at
// multiples of 2^48 of the hash.
func Even(n int) []Range {
	all := make([]Range, n)
	for i := 1; i < n; i++ {
		cut := binary.BigEndian.AppendUint16(nil, uint16(i<<16/n))
		all[i-1].To, all[i].From = cut, cut
	}
	return all
}

// Ranges returns the ranges of shards, in the order of their keys.
func Ranges(shards []Shard) []Range {
	all := make([]Range, len(shards))
	for i := range shards {
		all[i] = shards[i].Range
	}
	slices.SortFunc(all, func(a, b Range) int { return bytes.Compare(a.From, b.From) })
	return all
}

// FirstHash returns the first hash that keys of the range begin with.
func (r *Range) FirstHash() uint64 {
	var hash [8]byte
	copy(hash[:], r.From)
	return binary.BigEndian.Uint64(hash[:])
}
