package shard

import (
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/item"
)

// An image is an item as it is on disk.
type image struct {
	item item.Item // nil: none
	raw  string    // as item.Append has it
	made Position  // the change that made it, if there is one
}

// A turn is what a commit does to one item, and what follows from it.
type turn struct {
	shard   *Shard
	schema  *schema
	key     item.Key
	before  image
	after   item.Item
	encoded []byte // after, as item.Append has it
}

// An effect is how a turn changes what a shard holds.
type effect struct {
	items, bytes int64
	indexes      []Count  // in the order of the schema's
	hashes       []uint64 // of the keys of entries that change
}

// write adds to the batch what the turn does to the entries of its item in indexes, and to the queue of expiring items, and adds to e what
// it does to counts. The key is latched. The item itself is written when it is known which change makes it.
func (t *turn) write(b *pebble.Batch, e *effect) error {
	if t.before.item != nil {
		e.items--
		e.bytes -= int64(t.before.item.Size())
	}
	if t.after != nil {
		e.items++
		e.bytes += int64(t.after.Size())
	}
	for i := range t.schema.Indexes {
		if err := t.writeEntry(b, i, e); err != nil {
			return err
		}
	}
	return t.writeExpiry(b)
}

// writeItem adds to the batch the item as the change at p makes it.
func (t *turn) writeItem(b *pebble.Batch, p Position) {
	length := prefixBytes + len(t.key)
	if t.after == nil {
		op := b.DeleteDeferred(length)
		appendItemKey(op.Key[:0], t.shard.id, t.key)
		_ = op.Finish() // can fail only where a batch is indexed
		return
	}
	var room [20]byte
	made := appendPosition(room[:0], p)
	op := b.SetDeferred(length, len(made)+len(t.encoded))
	appendItemKey(op.Key[:0], t.shard.id, t.key)
	copy(op.Value[copy(op.Value, made):], t.encoded)
	_ = op.Finish()
}

// writeEntry writes the difference between the entries that the item had and has in the schema's index of that place.
func (t *turn) writeEntry(b *pebble.Batch, place int, e *effect) error {
	x := &t.schema.Indexes[place]
	oldKey, old, had := entryOf(x, &t.schema.Schema, t.before.item)
	newKey, next, has := entryOf(x, &t.schema.Schema, t.after)
	if had && has && string(oldKey) == string(newKey) && old.Equal(next) {
		return nil
	}
	if had {
		gone, err := t.removeEntry(b, x, oldKey, has && string(oldKey) == string(newKey))
		if err != nil {
			return err
		}
		if gone {
			e.indexes[place].Items--
			e.indexes[place].Bytes -= int64(old.Size())
			e.hashes = append(e.hashes, oldKey.Hash())
		}
	}
	if !has {
		return nil
	}
	e.indexes[place].Items++
	e.indexes[place].Bytes += int64(next.Size())
	e.hashes = append(e.hashes, newKey.Hash())
	raw := t.encoded
	if x.Project != item.ProjectAll {
		raw = item.Append(nil, next)
	}
	op := b.SetDeferred(entryBytes+len(newKey), len(raw))
	op.Key = append(appendEntryPrefix(op.Key[:0], t.shard.id, x.ID), newKey...)
	copy(op.Value, raw)
	return op.Finish()
}

// removeEntry removes the entry that the item had, unless it will be overwritten, and says whether it was there: while the index is being
// filled, it may not have been written yet.
func (t *turn) removeEntry(b *pebble.Batch, x *item.Index, key item.Key, overwritten bool) (there bool, err error) {
	full := append(appendEntryPrefix(nil, t.shard.id, x.ID), key...)
	if t.schema.filling {
		_, there, err = t.shard.store.read(t.shard.store.db, full)
		if err != nil || !there {
			return false, err
		}
	}
	if overwritten {
		return true, nil
	}
	return true, b.Delete(full, nil)
}

// entryOf returns the entry of an item in an index; !ok if it has none.
func entryOf(x *item.Index, s *Schema, it item.Item) (key item.Key, entry item.Item, ok bool) {
	if it == nil {
		return nil, nil, false
	}
	return x.Entry(s.Key, it)
}

// writeExpiry writes the difference in the queue of expiring items.
func (t *turn) writeExpiry(b *pebble.Batch) error {
	if t.schema.TTL == "" {
		return nil
	}
	old, had := expiry(t.schema.TTL, t.before.item)
	next, has := expiry(t.schema.TTL, t.after)
	if had == has && old == next {
		return nil
	}
	if had {
		if err := b.Delete(appendExpiryKey(nil, t.shard.id, old, t.key), nil); err != nil {
			return err
		}
	}
	if has {
		return b.Set(appendExpiryKey(nil, t.shard.id, next, t.key), nil, nil)
	}
	return nil
}

// expiry returns the second after which an item has expired; !ok if it doesn't expire, since its attribute is missing, no number,
// negative, or beyond all time.
func expiry(attr string, it item.Item) (second uint64, ok bool) {
	v, ok := it.Get(attr)
	if !ok || v.Type != item.N {
		return 0, false
	}
	whole, _, _ := strings.Cut(v.Text, ".")
	parsed, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || parsed < 0 || v.Text[0] == '-' {
		return 0, false
	}
	return uint64(parsed), true
}
