package shard

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// An entry is one change of a shard's state: what it does, never the conditions and expressions by
// which that was decided. It is decided once, by the leader, and applied by each replica. Everything
// that changes what a shard has on disk is an entry, of one of the kinds below.
//
// In the form in which a log keeps it, an entry has a byte for the version, one for the kind, the
// time in nanoseconds since 1970 (8 bytes), the version of the schema by which it was decided (a
// varint), and what its kind adds. A commit adds its effects. Every other kind has a body, in a file
// of its own.
type entry struct {
	shard   *Shard
	schema  *schema  // by which it was decided; of a decoded entry only its version is known
	effects []effect // of a commit, or set by its body's stage
	body    body     // what it does beside its effects; nil: it is a commit
	delta   delta    // set by stage
	next    tally    // the shard's after the entry; set by apply
	changed int64    // the time of its changes; set by applyEffects
	counted bool     // the counts are on disk with what its body did; set by the body's apply

	// Of a shard that has a group: the term in which the entry is decided, when its caller stops
	// waiting (nil: never), what its acknowledgement waits for, and its way since propose has
	// returned (nil: it is applied and acknowledged).
	term        uint64
	done        <-chan struct{}
	acknowledge holdfast.Acknowledge
	way         *way

	// What the log gives it.
	tx holdfast.TxID
	at int64 // nanoseconds since 1970; never falls within a shard
}

// A kind of entries. The numbers are in logs, and none is used again.
type entryKind byte

const (
	entryCommit  entryKind = 1 // changes of items
	entryPrepare entryKind = 2 // locks of a transaction over several shards
	entryResolve entryKind = 3 // what becomes of such locks
	entryFollow  entryKind = 4 // changes of a global index that follow from those of its table
	entrySchema  entryKind = 5 // another schema
	entryTrim    entryKind = 6 // removes the oldest changes of the log of changes
	entryClear   entryKind = 7 // removes all entries of an index, or the queue of expiring items
	entryFill    entryKind = 8 // writes the index entries of items that are there
	entryCopy    entryKind = 9 // makes the shard what was copied into it

	entryLoad entryKind = 10 // a part of what is copied into it
	entryTime entryKind = 11 // later entries have no earlier time

	entryChecksum entryKind = 12 // replicas compute a checksum of what they have
)

// A body is what an entry of a kind other than commit does. The steps of an entry are these, of
// which a replica does all at once, and a leader the first under latches:
//
//	stage    read what the entry finds, and add to the batch what doesn't depend on its place
//	apply    add the rest to the batch, at its place in the log, and change the counts
//	install  change what the shard has in memory, when nothing can fail any more
//
// None may depend on anything but the shard's state, the entry and its place: no clock, no random
// numbers, no order of a map. A commit has no body, so that it costs no allocation and no call.
type body interface {
	kind() entryKind

	// appendTo appends the form of the body for a log. Its decode function is called by decodeBody.
	appendTo(dst []byte) []byte

	// stage may set e.effects, whose before-images it sets too, and e.delta. from is what the entry
	// finds, and changes neither beside what is latched nor while stage runs.
	stage(e *entry, b *pebble.Batch, from pebble.Reader) error

	// apply is called with sequencer.mu held. It changes the counts in e.next. If the body has
	// effects, it calls e.applyEffects.
	apply(e *entry, b *pebble.Batch) error

	// install is called with sequencer.mu held, before readers can see the batch.
	install(e *entry)
}

// decodeBody decodes the body of an entry of a kind other than commit.
func decodeBody(k entryKind, r *reader) (body, error) {
	switch k {
	case entryFollow:
		return decodeFollow(r)
	case entryPrepare:
		return decodePrepare(r)
	case entryResolve:
		return decodeResolve(r)
	case entrySchema:
		return decodeSchemaChange(r)
	case entryTrim:
		return decodeTrim(r)
	case entryClear:
		return decodeClear(r)
	case entryFill:
		return decodeFill(r)
	case entryCopy:
		return decodeCopy(r)
	case entryLoad:
		return decodeLoad(r)
	case entryTime:
		return decodeTime(r)
	case entryChecksum:
		return decodeChecksum(r)
	}
	return nil, holdfast.Errorf(holdfast.Corrupt, "an entry of the log is of an unknown kind, %d", k)
}

// An effect is what an entry does to one item.
type effect struct {
	key     item.Key
	origin  holdfast.Origin
	before  image
	after   item.Item // nil: there is none afterwards
	encoded []byte    // after in the form of item.Append
}

const entryVersion = 1

// kind returns the entry's kind.
func (e *entry) kind() entryKind {
	if e.body == nil {
		return entryCommit
	}
	return e.body.kind()
}

// appendTo appends the form of the entry for a log.
func (e *entry) appendTo(dst []byte) []byte {
	dst = append(dst, entryVersion, byte(e.kind()))
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.at))
	dst = binary.AppendUvarint(dst, e.schema.version)
	if e.body != nil {
		return e.body.appendTo(dst)
	}
	return appendEffects(dst, e.effects)
}

// appendEffects appends the form of effects: their number (a varint), and for each of them a byte
// for the origin, the item's key, a byte that is 1 if there is an item afterwards, and that item in
// the form of item.Append (key and item are preceded by their lengths, varints). Index entries and
// before-images follow from the effects and what the shard holds, and aren't in it.
func appendEffects(dst []byte, effects []effect) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(effects)))
	for i := range effects {
		f := &effects[i]
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
	if len(raw) < 2+8 {
		return nil, errEntry()
	}
	if raw[0] != entryVersion {
		return nil, holdfast.Errorf(holdfast.Corrupt, "an entry of the log is of an unknown version, %d", raw[0])
	}
	kind, r := entryKind(raw[1]), reader{rest: raw[2:]}
	e := &entry{at: int64(r.fixed()), schema: &schema{version: r.uvarint()}}
	var err error
	if kind == entryCommit {
		e.effects, err = decodeEffects(&r)
	} else {
		e.body, err = decodeBody(kind, &r)
	}
	if err == nil && (r.bad || r.rest != "") {
		err = errEntry()
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// decodeEffects decodes effects, which lack their before-images.
func decodeEffects(r *reader) ([]effect, error) {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		return nil, errEntry()
	}
	effects := make([]effect, n)
	for i := range effects {
		f := &effects[i]
		f.origin = holdfast.Origin(r.octet())
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
	return effects, nil
}

func errEntry() error {
	return holdfast.Errorf(holdfast.Corrupt, "an entry of the log can't be decoded")
}
