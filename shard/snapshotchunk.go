package shard

import (
	"encoding/binary"
	"slices"

	"holdfast"
	"holdfast/item"
)

// The form of a snapshot's chunks. Each has a byte for the version, one for the kind, the snapshot's
// ID (8 bytes), the chunk's place (4 bytes, from 0 on), what its kind adds, and a CRC-32C of all that
// (4 bytes). The first is a head, the last an end, and those between have keys.
const (
	snapshotVersion = 1

	// the shard's ID (8 bytes), the term and the index of the last transaction (varints), the shard's
	// descriptor, preceded by its length, the number of kinds of local indexes, and those (a byte each)
	snapshotHead snapshotKind = 1
	// keys with their values: how many bytes each has in common with the one before in the chunk, the
	// rest of it, and the value (both preceded by their lengths; numbers are varints)
	snapshotKeys snapshotKind = 2
	// the number of keys and that of the bytes of keys and values (varints), and a CRC-32C of all
	// chunks before without their own sums (4 bytes)
	snapshotEnd snapshotKind = 3

	snapshotStart   = 2 + 8 + 4 // bytes of a chunk before what its kind adds
	maxSnapshotPair = 8 << 20   // bytes of a key and its value
)

// A snapshotKind is a kind of chunks.
type snapshotKind byte

// A snapshotChunk is a chunk without its sum.
type snapshotChunk struct {
	kind  snapshotKind
	id    uint64
	place uint32
	body  string
}

// appendStart appends a chunk up to its body.
func (c *snapshotChunk) appendStart(dst []byte) []byte {
	dst = append(dst, snapshotVersion, byte(c.kind))
	dst = binary.BigEndian.AppendUint64(dst, c.id)
	return binary.BigEndian.AppendUint32(dst, c.place)
}

// appendSum appends the sum to a chunk, which is all of dst.
func appendSum(dst []byte) []byte { return binary.BigEndian.AppendUint32(dst, castagnoli(0, dst)) }

// decodeSnapshotChunk decodes a chunk, whose body is checked by its sum alone.
func decodeSnapshotChunk(raw []byte) (c snapshotChunk, err error) {
	n := len(raw) - sumBytes
	if n < snapshotStart || binary.BigEndian.Uint32(raw[n:]) != castagnoli(0, raw[:n]) {
		return snapshotChunk{}, errSnapshot()
	}
	if raw[0] != snapshotVersion {
		return snapshotChunk{}, holdfast.Errorf(holdfast.Invalid, "a snapshot is of an unknown version, %d", raw[0])
	}
	return snapshotChunk{
		kind: snapshotKind(raw[1]), id: binary.BigEndian.Uint64(raw[2:]), place: binary.BigEndian.Uint32(raw[10:]),
		body: string(raw[snapshotStart:n]),
	}, nil
}

// A snapshotHeader is what a head says.
type snapshotHeader struct {
	tx    holdfast.TxID // the last that the snapshot has
	is    Descriptor
	slots []kind // of local indexes that may have entries, rising
}

func (h *snapshotHeader) appendTo(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.tx.Shard))
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, h.tx.Term), h.tx.Index)
	dst = appendText(dst, string(h.is.appendTo(nil)))
	dst = binary.AppendUvarint(dst, uint64(len(h.slots)))
	for _, slot := range h.slots {
		dst = append(dst, byte(slot))
	}
	return dst
}

func decodeSnapshotHeader(body string) (h snapshotHeader, err error) {
	r := reader{rest: body}
	h.tx = holdfast.TxID{Shard: holdfast.ShardID(r.fixed()), Term: r.uvarint(), Index: r.uvarint()}
	if h.is, err = decodeDescriptor(h.tx.Shard, r.text()); err != nil {
		return snapshotHeader{}, err
	}
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		slot := kind(r.octet())
		if slot < kindSlot || len(h.slots) > 0 && slot <= h.slots[len(h.slots)-1] {
			return snapshotHeader{}, errSnapshot()
		}
		h.slots = append(h.slots, slot)
	}
	if r.bad || r.rest != "" {
		return snapshotHeader{}, errSnapshot()
	}
	return h, nil
}

// appendPair appends a key, which follows another in its chunk, or nil, and its value.
func appendPair(dst, before, key, value []byte) []byte {
	common := 0
	for common < min(len(before), len(key)) && before[common] == key[common] {
		common++
	}
	dst = binary.AppendUvarint(dst, uint64(common))
	dst = append(binary.AppendUvarint(dst, uint64(len(key)-common)), key[common:]...)
	return append(binary.AppendUvarint(dst, uint64(len(value))), value...)
}

// eachPair calls f with each key of a chunk and its value. f must keep neither.
func eachPair(body string, f func(key []byte, value string) error) error {
	r := reader{rest: body}
	var key []byte
	for r.rest != "" {
		common, rest, value := r.uvarint(), r.text(), r.text()
		if r.bad || common > uint64(len(key)) || int(common)+len(rest)+len(value) > maxSnapshotPair {
			return errSnapshot()
		}
		key = append(key[:common], rest...)
		if err := f(key, value); err != nil {
			return err
		}
	}
	return nil
}

// A snapshotSums is what an end says.
type snapshotSums struct {
	keys, bytes uint64
	sum         uint32
}

// add counts a key and its value.
func (s *snapshotSums) add(keyBytes, valueBytes int) {
	s.keys++
	s.bytes += uint64(keyBytes + valueBytes)
}

// addChunk adds a chunk, with its own sum, to the sum.
func (s *snapshotSums) addChunk(raw []byte) { s.sum = castagnoli(s.sum, raw[:len(raw)-sumBytes]) }

func (s *snapshotSums) appendTo(dst []byte) []byte {
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, s.keys), s.bytes)
	return binary.BigEndian.AppendUint32(dst, s.sum)
}

func errSnapshot() error {
	return holdfast.Errorf(holdfast.Corrupt, "a chunk of a snapshot can't be decoded")
}

// A snapshotSpan is a range of keys of which a snapshot has all that are the shard's.
type snapshotSpan struct {
	lower, upper []byte
	shared       bool // it may have keys of a neighbour, too: those of the queue of expiring items
}

// snapshotSpans returns the spans of a shard, in order. Between those for the shard's own keys are the
// log and the state of its group, which no snapshot has.
func snapshotSpans(k keys, slots []kind) (spans []snapshotSpan) {
	add := func(lower, upper []byte, shared bool) {
		if string(lower) < string(upper) {
			spans = append(spans, snapshotSpan{slices.Clone(lower), slices.Clone(upper), shared})
		}
	}
	state, group := k.state(), k.meta(metaGroup)
	logLower, logUpper := groupEntries(k)
	add(state.Start, group, false)
	add(append(slices.Clone(group), 0), logLower, false)
	add(logUpper, state.End, false)
	if k.within == nil || k.within.From == nil && k.within.To == nil {
		all := k.whole()
		add(all.Start, all.End, false)
		return spans
	}
	lower, upper := k.items()
	add(lower, upper, false)
	lower, upper, ownLower, ownUpper := k.queue()
	if string(ownLower) < string(ownUpper) {
		add(lower, ownLower, true)
		add(ownLower, ownUpper, false)
		add(ownUpper, upper, true)
	} else {
		add(lower, upper, true)
	}
	lower, upper = k.locks()
	add(lower, upper, false)
	for _, slot := range slots {
		lower, upper := slotSpan(k, slot)
		add(lower, upper, false)
	}
	return spans
}

// slotSpan returns the bounds of what a shard has of a local index.
func slotSpan(k keys, slot kind) (lower, upper []byte) { return k.inSpace(slot, item.Range{}) }
