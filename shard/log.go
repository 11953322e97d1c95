package shard

import (
	"encoding/binary"
	"time"

	"holdfast"
	"holdfast/item"
)

// A change is an entry of the log as it is on disk: a byte for the version, one of flags, one for
// the origin, the time in nanoseconds (8 bytes), the term and the sizes of both images as item.Size
// counts (varints), the tally if it is its transaction's last change in the shard, the item's key
// (each of these two preceded by its length, a varint), and then the before-image.
//
// The after-image isn't in it, since a new item of a kilobyte would then take two in Pebble's log.
// The after-image is the item itself, as long as that isn't changed again; then it is the
// before-image of the next change. An item has the position of the change that made it, and the
// next change leaves a link behind the entry of that one:
//
//	log 7.0            put a, before: none          log 7.0      put a, before: none
//	item a (7.0)       v=1                          log 7.0 →    9.0
//	                                                log 9.0      put a, before: v=1
//	                                                item a (9.0) v=2
//
// So each image is on disk only once beside the item. Changes are trimmed from the oldest on, so
// that the target of a kept change's link is kept.
//
// The strings of a decoded change share its bytes.
type change struct {
	last                  bool // of its transaction in this shard
	hasBefore, hasAfter   bool
	origin                holdfast.Origin
	at                    int64 // nanoseconds since 1970
	term                  uint64
	beforeSize, afterSize int    // bytes as item.Size counts; 0: no item
	tally                 string // only of the last change
	key                   string
	before                string
}

const changeVersion = 1

// changeKeyBytes is what a change counts as for its key: the length of the key in format 1, so that
// the counts of logs that were begun then go on.
const changeKeyBytes = 8 + 1 + 8 + 4

// The flags of a change.
const (
	flagLast = 1 << iota
	flagBefore
	flagAfter
)

// timeOffset is the offset of the time in a change. The time is that of its transaction, which may
// be before that of an earlier change of the shard; the time in the tally never falls.
const timeOffset = 3

// size returns how many bytes the change has on disk.
func (c *change) size() int {
	n := timeOffset + 8 + uvarintBytes(c.term) + uvarintBytes(uint64(c.beforeSize)) + uvarintBytes(uint64(c.afterSize))
	if c.last {
		n += uvarintBytes(uint64(len(c.tally))) + len(c.tally)
	}
	return n + uvarintBytes(uint64(len(c.key))) + len(c.key) + len(c.before)
}

// appendTo appends the change's form on disk.
func (c *change) appendTo(dst []byte) []byte {
	flags := byte(0)
	if c.last {
		flags |= flagLast
	}
	if c.hasBefore {
		flags |= flagBefore
	}
	if c.hasAfter {
		flags |= flagAfter
	}
	dst = append(dst, changeVersion, flags, byte(c.origin))
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.at))
	dst = binary.AppendUvarint(dst, c.term)
	dst = binary.AppendUvarint(dst, uint64(c.beforeSize))
	dst = binary.AppendUvarint(dst, uint64(c.afterSize))
	if c.last {
		dst = appendText(dst, c.tally)
	}
	dst = appendText(dst, c.key)
	return append(dst, c.before...)
}

// decodeChange decodes a change.
func decodeChange(b string) (c change, err error) {
	if len(b) < timeOffset+8 || b[0] != changeVersion {
		return change{}, errLog()
	}
	flags := b[1]
	c.last, c.hasBefore, c.hasAfter = flags&flagLast != 0, flags&flagBefore != 0, flags&flagAfter != 0
	c.origin = holdfast.Origin(b[2])
	r := reader{rest: b[timeOffset:]}
	c.at = int64(r.fixed())
	c.term = r.uvarint()
	c.beforeSize, c.afterSize = int(r.uvarint()), int(r.uvarint())
	if c.last {
		c.tally = r.text()
	}
	c.key = r.text()
	c.before = r.rest
	if r.bad {
		return change{}, errLog()
	}
	return c, nil
}

// decoded returns the change in the form for callers. after is its after-image, if it has one.
func (c *change) decoded(id holdfast.ShardID, p holdfast.Position, after string) (Change, error) {
	d := Change{
		Tx: holdfast.TxID{Shard: id, Term: c.term, Index: p.Index}, N: p.N, At: time.Unix(0, c.at), Origin: c.origin,
	}
	var err error
	if c.hasBefore {
		if d.Before, err = item.Decode(c.before); err != nil {
			return Change{}, err
		}
	}
	if c.hasAfter {
		if d.After, err = item.Decode(after); err != nil {
			return Change{}, err
		}
	}
	return d, nil
}

// appendPosition appends the form of a position in an item's value and in a link: two varints.
func appendPosition(dst []byte, p holdfast.Position) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, p.Index), uint64(p.N))
}

// cutPosition returns the position at the beginning of raw, and the rest: an item in the form of
// item.Append, or nothing. The position of an item that was copied here is zero.
func cutPosition(raw string) (p holdfast.Position, rest string, err error) {
	r := reader{rest: raw}
	p.Index, p.N = r.uvarint(), uint32(r.uvarint())
	if r.bad {
		return holdfast.Position{}, "", errLog()
	}
	return p, r.rest, nil
}

// A tally is how much a shard holds after a transaction. It is part of the last change of each
// transaction, and is in kindMeta if something else changed it since.
type tally struct {
	applied uint64 // the index of the transaction
	at      int64  // its time
	logged  uint64 // the bytes of all changes ever, trimmed ones too
	items   int64
	bytes   int64
	indexes []indexTally // by rising ID
}

// An indexTally is how much an index holds.
type indexTally struct {
	id      uint32
	filling bool // some items' entries aren't on disk yet
	items   int64
	bytes   int64
}

const tallyVersion = 1

// loggedOffset is the offset of logged in a tally. It always has 8 bytes, since it counts the bytes
// of the change that it is in.
const loggedOffset = 1

// appendTo appends the tally's form on disk.
func (t *tally) appendTo(dst []byte) []byte {
	dst = append(dst, tallyVersion)
	dst = binary.BigEndian.AppendUint64(dst, t.logged)
	dst = binary.AppendUvarint(dst, t.applied)
	dst = binary.AppendUvarint(dst, uint64(t.at))
	dst = binary.AppendVarint(dst, t.items)
	dst = binary.AppendVarint(dst, t.bytes)
	dst = binary.AppendUvarint(dst, uint64(len(t.indexes)))
	for i := range t.indexes {
		x := &t.indexes[i]
		filling := uint64(0)
		if x.filling {
			filling = 1
		}
		dst = binary.AppendUvarint(dst, uint64(x.id)<<1|filling)
		dst = binary.AppendVarint(dst, x.items)
		dst = binary.AppendVarint(dst, x.bytes)
	}
	return dst
}

// decodeTally decodes a tally.
func decodeTally(b string) (t tally, err error) {
	if len(b) == 0 || b[0] != tallyVersion {
		return tally{}, errLog()
	}
	r := reader{rest: b[loggedOffset:]}
	t.logged = r.fixed()
	t.applied = r.uvarint()
	t.at = int64(r.uvarint())
	t.items, t.bytes = r.varint(), r.varint()
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		id := r.uvarint()
		t.indexes = append(t.indexes, indexTally{
			id: uint32(id >> 1), filling: id&1 != 0, items: r.varint(), bytes: r.varint(),
		})
	}
	if r.bad || r.rest != "" {
		return tally{}, errLog()
	}
	return t, nil
}

// index returns the tally of an index, or nil.
func (t *tally) index(id uint32) *indexTally {
	for i := range t.indexes {
		if t.indexes[i].id == id {
			return &t.indexes[i]
		}
	}
	return nil
}

// addIndex adds a tally of the index, if there is none.
func (t *tally) addIndex(id uint32) {
	at := 0
	for at < len(t.indexes) && t.indexes[at].id <= id {
		if t.indexes[at].id == id {
			return
		}
		at++
	}
	added := indexTally{id: id, filling: t.items > 0}
	t.indexes = append(t.indexes[:at:at], append([]indexTally{added}, t.indexes[at:]...)...)
}

// A trimming describes the changes that a shard no longer keeps.
type trimming struct {
	oldest uint64 // the first index that is kept, of an entry with changes or not
	logged uint64 // the bytes of those before it
	at     int64  // the time of the last transaction that isn't kept
}

func (t *trimming) appendTo(dst []byte) []byte {
	dst = append(dst, tallyVersion)
	dst = binary.AppendUvarint(dst, t.oldest)
	dst = binary.AppendUvarint(dst, t.logged)
	return binary.AppendUvarint(dst, uint64(t.at))
}

func decodeTrimming(b string) (t trimming, err error) {
	if len(b) == 0 || b[0] != tallyVersion {
		return trimming{}, errLog()
	}
	r := reader{rest: b[1:]}
	t.oldest, t.logged, t.at = r.uvarint(), r.uvarint(), int64(r.uvarint())
	if r.bad || r.rest != "" {
		return trimming{}, errLog()
	}
	return t, nil
}

func errLog() error {
	return holdfast.Errorf(holdfast.Corrupt, "a change in the log can't be decoded")
}

// A reader takes numbers and texts from the front of rest. After the first fault it is bad, and
// returns zeros.
type reader struct {
	rest string
	bad  bool
}

func (r *reader) fail() {
	r.rest, r.bad = "", true
}

func (r *reader) fixed() uint64 {
	if len(r.rest) < 8 {
		r.fail()
		return 0
	}
	v := uint64(0)
	for i := range 8 {
		v = v<<8 | uint64(r.rest[i])
	}
	r.rest = r.rest[8:]
	return v
}

func (r *reader) octet() byte {
	if r.rest == "" {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) uvarint() uint64 {
	v := uint64(0)
	for i := 0; i < len(r.rest) && i < binary.MaxVarintLen64; i++ {
		b := r.rest[i]
		v |= uint64(b&0x7F) << (7 * i)
		if b < 0x80 {
			r.rest = r.rest[i+1:]
			return v
		}
	}
	r.fail()
	return 0
}

func (r *reader) varint() int64 {
	v := r.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

func (r *reader) text() string {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return ""
	}
	text := r.rest[:n]
	r.rest = r.rest[n:]
	return text
}

func appendText(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

func uvarintBytes(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}
