package shard

import (
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/item"
)

// A mutation is what a commit does to one item, with what follows for indexes and expiry.
type mutation struct {
	shard   *Shard
	schema  *schema
	key     item.Key
	before  image
	after   item.Item
	encoded []byte // after, as item.Append has it
}

// A delta is how mutations change what a shard holds.
type delta struct {
	items, bytes int64
	indexes      []Count  // in the order of the schema's
	hashes       []uint64 // of the keys of entries that change
}

// write adds to the batch the changes to the item's entries in indexes and to the queue of expiring
// items, and to d those of counts. The key is latched. The item itself is written by writeItem,
// when the position of its change is known.
func (m *mutation) write(b *pebble.Batch, d *delta) error {
	if m.before.item != nil {
		d.items--
		d.bytes -= int64(m.before.item.Size())
	}
	if m.after != nil {
		d.items++
		d.bytes += int64(m.after.Size())
	}
	for i := range m.schema.Indexes {
		if err := m.writeEntry(b, i, d); err != nil {
			return err
		}
	}
	return m.writeExpiry(b)
}

// writeItem adds the item to the batch, as made by the change at p.
func (m *mutation) writeItem(b *pebble.Batch, p Position) {
	length := prefixBytes + len(m.key)
	if m.after == nil {
		op := b.DeleteDeferred(length)
		appendItemKey(op.Key[:0], m.shard.id, m.key)
		_ = op.Finish() // can fail only for an indexed batch
		return
	}
	var room [20]byte
	made := appendPosition(room[:0], p)
	op := b.SetDeferred(length, len(made)+len(m.encoded))
	appendItemKey(op.Key[:0], m.shard.id, m.key)
	copy(op.Value[copy(op.Value, made):], m.encoded)
	_ = op.Finish()
}

// writeEntry writes the difference between the entries that the item had and has in an index, given
// by its place in the schema.
func (m *mutation) writeEntry(b *pebble.Batch, place int, d *delta) error {
	x := &m.schema.Indexes[place]
	oldKey, old, had := entryOf(x, &m.schema.Schema, m.before.item)
	newKey, next, has := entryOf(x, &m.schema.Schema, m.after)
	if had && has && string(oldKey) == string(newKey) && old.Equal(next) {
		return nil
	}
	if had {
		gone, err := m.removeEntry(b, x, oldKey, has && string(oldKey) == string(newKey))
		if err != nil {
			return err
		}
		if gone {
			d.indexes[place].Items--
			d.indexes[place].Bytes -= int64(old.Size())
			d.hashes = append(d.hashes, oldKey.Hash())
		}
	}
	if !has {
		return nil
	}
	d.indexes[place].Items++
	d.indexes[place].Bytes += int64(next.Size())
	d.hashes = append(d.hashes, newKey.Hash())
	raw := m.encoded
	if x.Project != item.ProjectAll {
		raw = item.Append(nil, next)
	}
	op := b.SetDeferred(entryBytes+len(newKey), len(raw))
	op.Key = append(appendEntryPrefix(op.Key[:0], m.shard.id, x.ID), newKey...)
	copy(op.Value, raw)
	return op.Finish()
}

// removeEntry removes the entry that the item had, unless it will be overwritten. It reports
// whether the entry was there: while the index is being filled, it may not have been written yet.
func (m *mutation) removeEntry(b *pebble.Batch, x *item.Index, key item.Key, overwritten bool) (there bool, err error) {
	full := append(appendEntryPrefix(nil, m.shard.id, x.ID), key...)
	if m.schema.filling {
		_, there, err = m.shard.engine.read(m.shard.engine.db, full)
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
func (m *mutation) writeExpiry(b *pebble.Batch) error {
	if m.schema.TTL == "" {
		return nil
	}
	old, had := expiry(m.schema.TTL, m.before.item)
	next, has := expiry(m.schema.TTL, m.after)
	if had == has && old == next {
		return nil
	}
	if had {
		if err := b.Delete(appendExpiryKey(nil, m.shard.id, old, m.key), nil); err != nil {
			return err
		}
	}
	if has {
		return b.Set(appendExpiryKey(nil, m.shard.id, next, m.key), nil, nil)
	}
	return nil
}

// expiry returns the second after which an item has expired; !ok if it doesn't expire, since its
// attribute is missing, not a number, negative, or too large.
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
