package shard

import (
	"encoding/binary"

	"holdfast"
	"holdfast/item"
)

// An entry is what one transaction does to one shard: its effects, never the conditions and
// expressions by which they were decided. It is decided once, by the leader, and applied by each
// replica. In the form in which a log keeps it it has a byte for the version, the time in
// nanoseconds since 1970 (8 bytes), the number of effects (a varint), and for each of them a byte
// for the origin, the item's key, a byte that is 1 if there is an item afterwards, and that item in
// the form of item.Append (key and item are preceded by their lengths, varints).
//
// Index entries and before-images follow from an entry and what the shard holds, and aren't in it.
type entry struct {
	shard   *Shard
	schema  *schema // by which it is applied
	effects []effect
	delta   delta // set by stage

	// What the log gives it.
	tx holdfast.TxID
	at int64 // nanoseconds since 1970; never falls within a shard
}

// An effect is what an entry does to one item.
type effect struct {
	key     item.Key
	origin  Origin
	before  image
	after   item.Item // nil: there is none afterwards
	encoded []byte    // after in the form of item.Append
}

const entryVersion = 1

// appendTo appends the form of the entry for a log.
func (e *entry) appendTo(dst []byte) []byte {
	dst = append(dst, entryVersion)
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.at))
	dst = binary.AppendUvarint(dst, uint64(len(e.effects)))
	for i := range e.effects {
		f := &e.effects[i]
		dst = append(dst, byte(f.origin))
		dst = appendText(dst, string(f.key))
		if f.after == nil {
			dst = append(dst, 0)
			continue
		}
		dst = append(dst, 1)
		dst = appendText(dst, string(f.encoded))
	}
	return dst
}

// decodeEntry decodes an entry. Its effects lack their before-images.
func decodeEntry(raw string) (*entry, error) {
	if len(raw) < 1+8 || raw[0] != entryVersion {
		return nil, errEntry()
	}
	r := reader{rest: raw[1:]}
	e := &entry{at: int64(r.fixed())}
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		return nil, errEntry()
	}
	e.effects = make([]effect, n)
	for i := range e.effects {
		f := &e.effects[i]
		f.origin = Origin(r.octet())
		f.key = item.Key(r.text())
		switch r.octet() {
		case 0:
		case 1:
			text := r.text()
			after, err := item.Decode(text)
			if err != nil || r.bad {
				return nil, errEntry()
			}
			f.after, f.encoded = after, []byte(text)
		default:
			return nil, errEntry()
		}
	}
	if r.bad || r.rest != "" {
		return nil, errEntry()
	}
	return e, nil
}

func errEntry() error {
	return holdfast.Errorf(holdfast.Corrupt, "an entry of the log can't be decoded")
}
