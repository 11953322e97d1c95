package shard

import (
	"encoding/binary"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// A copyBody is the first entry of a shard whose items were copied into it: it says what they are,
// and makes the shard one. Its form for a log is the ID of the shard from which they are, the time
// that they are of in nanoseconds since 1970 (0: when the copy was begun), the number of items and
// their bytes (varints), and the key of the table as in a schema.
//
// The items aren't in it, since they were ingested as tables beside the log.
type copyBody struct {
	source       holdfast.ShardID
	at           time.Time
	items, bytes int64
	key          item.KeySchema
}

func decodeCopy(r *reader) (body, error) {
	x := &copyBody{source: holdfast.ShardID(r.uvarint())}
	if at := r.varint(); at != 0 {
		x.at = time.Unix(0, at)
	}
	x.items, x.bytes = r.varint(), r.varint()
	key, err := cutTableKey(r)
	x.key = key
	return x, err
}

func (x *copyBody) kind() entryKind { return entryCopy }

func (x *copyBody) appendTo(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(x.source))
	at := int64(0)
	if !x.at.IsZero() {
		at = x.at.UnixNano()
	}
	dst = binary.AppendVarint(dst, at)
	dst = binary.AppendVarint(dst, x.items)
	dst = binary.AppendVarint(dst, x.bytes)
	return appendIndexKey(dst, x.key.Index())
}

func (x *copyBody) schema() *schema { return &schema{Schema: Schema{Key: x.key}, version: 1} }

func (x *copyBody) stage(e *entry, b *pebble.Batch, _ pebble.Reader) error {
	return b.Set(e.shard.keys.meta(metaSchema), x.schema().appendTo(nil), nil)
}

func (x *copyBody) apply(e *entry, b *pebble.Batch) error {
	if e.shard.tally.applied > 0 { // its index may be above 1
		return holdfast.Errorf(holdfast.Invalid, "entry %v isn't the first of its shard, and makes it a copy", e.tx)
	}
	e.next.items, e.next.bytes = x.items, x.bytes
	return b.Set(e.shard.keys.meta(metaTrim), x.trim(e).appendTo(nil), nil)
}

// trim returns how far the log of the copy reaches back: to when it was made.
func (x *copyBody) trim(e *entry) *trimming { return &trimming{oldest: 1, at: e.at} }

func (x *copyBody) install(e *entry) {
	e.shard.history.trim = *x.trim(e)
	e.shard.schema.Store(x.schema())
}
