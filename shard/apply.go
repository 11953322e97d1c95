package shard

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// applyRaw adds an entry of the shard's log to a batch: the items, what follows from them for indexes
// and expiry, the changes with their before-images, and the counts. tx is the entry's place. The
// result depends on nothing but the shard's state and the entry, so that the replicas of a shard
// that have applied the same entries are equal, byte for byte.
//
// Entries are applied in the order of their places, one at a time. b is an indexed batch, through
// which applyRaw reads what earlier entries in it have done. The caller holds sequencer.mu until it has
// submitted the batch, and then calls seen, since readers can see what the entries do. If it can't
// submit it, or after an error, what the shard knows of its state is wrong, and the store must be
// opened again.
func applyRaw(sh *Shard, b *pebble.Batch, raw string, tx holdfast.TxID) (*entry, error) {
	e, err := decodeEntry(raw)
	if err != nil {
		return nil, err
	}
	now := sh.schema.Load()
	if e.schema.version != now.version {
		return nil, holdfast.Errorf(holdfast.Corrupt, "entry %v was decided by schema %d: the shard has %d",
			tx, e.schema.version, now.version)
	}
	e.shard, e.schema, e.tx = sh, now, tx
	if err := e.readBefore(b); err != nil {
		return nil, err
	}
	if tx.Index <= sh.tally.applied {
		return nil, holdfast.Errorf(holdfast.Invalid, "entry %v was applied before: the shard is at %d",
			tx, sh.tally.applied)
	}
	if newest := sh.terms.newest(); tx.Term < newest {
		return nil, holdfast.Errorf(holdfast.Invalid, "entry %v is of a former term: the shard is in term %d",
			tx, newest)
	}
	e.at = max(e.at, sh.tally.at) // entries that are decided at once may be committed in another order
	if err := e.stage(b, b); err != nil {
		return nil, err
	}
	return e, e.apply(b)
}

// readBefore sets the before-images of the entry's effects to what it finds.
func (e *entry) readBefore(from pebble.Reader) (err error) {
	for i := range e.effects {
		if e.effects[i].before, err = e.shard.items.image(from, e.effects[i].key); err != nil {
			return err
		}
	}
	return nil
}

// A delta is how entries change what a shard holds.
type delta struct {
	items, bytes int64
	indexes      []Count  // in the order of the schema's
	hashes       []uint64 // of the keys of index entries that change
}

// stage adds to the batch what an entry does beside the items and the log, and for which its place
// needn't be known: the changes to index entries and to the queue of expiring items. from is what
// the entry finds. The keys of its effects are latched, or no other entry is being applied.
func (e *entry) stage(b *pebble.Batch, from pebble.Reader) error {
	if e.body != nil {
		return e.body.stage(e, b, from)
	}
	return e.stageEffects(b, from)
}

// stageEffects is stage for the effects, whose before-images are set.
func (e *entry) stageEffects(b *pebble.Batch, from pebble.Reader) error {
	if n := len(e.schema.Indexes); n > 0 {
		e.delta.indexes = make([]Count, n)
	}
	for i := range e.effects {
		f := &e.effects[i]
		if f.before.item != nil {
			e.delta.items--
			e.delta.bytes -= int64(f.before.item.Size())
		}
		if f.after != nil {
			e.delta.items++
			e.delta.bytes += int64(f.after.Size())
		}
		for place := range e.schema.Indexes {
			if err := e.writeIndexEntry(b, from, f, place); err != nil {
				return err
			}
		}
		if err := e.writeExpiry(b, f); err != nil {
			return err
		}
	}
	return nil
}

// apply adds the rest of an entry that was staged, at its place in the log. sequencer.mu is held.
// An error leaves the shard as it was, and the batch of no use.
//
// The counts after the entry are in its last change. If it makes none, they are in the shard's
// counts record instead, so that the place of every entry is on disk with what it did.
func (e *entry) apply(b *pebble.Batch) error {
	sh, index := e.shard, e.tx.Index
	e.next = sh.tally
	e.next.indexes = slices.Clone(sh.tally.indexes)
	e.next.applied, e.next.at = index, max(e.next.at, e.at)
	terms := sh.terms.with(e.tx, sh.tally.applied)
	if terms != nil {
		if err := b.Set(sh.keys.meta(metaTerms), appendTerms(nil, terms), nil); err != nil {
			return err
		}
	}
	if err := e.applyBody(b); err != nil {
		return err
	}
	if len(e.effects) == 0 && !e.counted {
		if err := b.Set(sh.keys.meta(metaCounts), e.next.appendTo(nil), nil); err != nil {
			return err
		}
	}
	sh.tally = e.next
	if terms != nil {
		sh.terms.all.Store(&terms)
	}
	if e.body != nil {
		e.body.install(e)
	}
	if sh.recent != nil {
		sh.recent.add(e)
	}
	for i := range e.effects {
		sh.sequencer.marks[stripeOf(e.effects[i].key.Hash())].Store(index)
	}
	for _, hash := range e.delta.hashes {
		sh.sequencer.marks[stripeOf(hash)].Store(index)
	}
	sh.sequencer.applied.Store(index)
	return nil
}

// applyBody adds what the entry does by its kind.
func (e *entry) applyBody(b *pebble.Batch) error {
	if e.body != nil {
		return e.body.apply(e, b)
	}
	return e.applyEffects(b, e.at)
}

// applyEffects adds the items and the changes, as made at a time, and counts them.
func (e *entry) applyEffects(b *pebble.Batch, at int64) error {
	e.next.add(&e.delta, e.schema)
	e.changed = at
	for n := range e.effects {
		p := holdfast.Position{Index: e.tx.Index, N: uint32(n)}
		err := errors.Join(
			e.effects[n].writeItem(b, e.shard.keys, p),
			e.writeChange(b, p, at),
			e.shard.history.link(b, e.effects[n].before.made, p))
		if err != nil {
			return err
		}
	}
	return nil
}

// add adds what an entry changes.
func (t *tally) add(d *delta, s *schema) {
	t.items += d.items
	t.bytes += d.bytes
	for i := range d.indexes {
		x := t.index(s.Indexes[i].ID)
		x.items += d.indexes[i].Items
		x.bytes += d.indexes[i].Bytes
	}
}

// writeItem adds the item to the batch, as made by the change at p.
func (f *effect) writeItem(b *pebble.Batch, to keys, p holdfast.Position) error {
	length := to.itemBytes(f.key)
	if f.after == nil {
		op := b.DeleteDeferred(length)
		to.appendItem(op.Key[:0], f.key)
		return op.Finish()
	}
	var buf [20]byte
	made := appendPosition(buf[:0], p)
	op := b.SetDeferred(length, len(made)+len(f.encoded))
	to.appendItem(op.Key[:0], f.key)
	copy(op.Value[copy(op.Value, made):], f.encoded)
	return op.Finish()
}

// writeChange adds the change at p, made at a time, to the batch, the tally to the entry's last one,
// and its bytes to the tally.
func (e *entry) writeChange(b *pebble.Batch, p holdfast.Position, at int64) error {
	f, next := &e.effects[p.N], &e.next
	var buf [256]byte
	c := change{
		last: int(p.N) == len(e.effects)-1, hasBefore: f.before.item != nil, hasAfter: f.after != nil,
		origin: f.origin, at: at, term: e.tx.Term,
		beforeSize: f.before.item.Size(), afterSize: f.after.Size(),
		key: string(f.key), before: f.before.raw,
	}
	if c.last {
		c.tally = string(next.appendTo(buf[:0]))
	}
	size := c.size()
	next.logged += uint64(changeKeyBytes + size)
	if c.last {
		c.tally = string(next.appendTo(buf[:0])) // it counts its own bytes, and has the same length
	}
	op := b.SetDeferred(logBytes, size)
	e.shard.keys.appendChange(op.Key[:0], p)
	if wrote := len(c.appendTo(op.Value[:0])); wrote != size {
		panic(fmt.Sprintf("shard: a change has %d bytes where %d were counted", wrote, size))
	}
	return op.Finish()
}

// writeIndexEntry writes the difference between the entries that the item had and has in an index,
// given by its place in the schema.
func (e *entry) writeIndexEntry(b *pebble.Batch, from pebble.Reader, f *effect, place int) error {
	x, d := &e.schema.Indexes[place], &e.delta
	oldKey, old, had := entryOf(x, &e.schema.Schema, f.before.item)
	newKey, next, has := entryOf(x, &e.schema.Schema, f.after)
	if had && has && string(oldKey) == string(newKey) && old.Equal(next) {
		return nil
	}
	if had {
		gone, err := e.removeIndexEntry(b, from, x, oldKey, has && string(oldKey) == string(newKey))
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
	raw := f.encoded
	if x.Project != item.ProjectAll {
		raw = item.Append(nil, next)
	}
	op := b.SetDeferred(e.shard.keys.entryBytes(x, newKey), len(raw))
	e.shard.keys.appendEntry(op.Key[:0], x, newKey)
	copy(op.Value, raw)
	return op.Finish()
}

// removeIndexEntry removes the entry that the item had, unless it will be overwritten. It reports
// whether the entry was there: while the index is being filled, it may not have been written yet.
func (e *entry) removeIndexEntry(
	b *pebble.Batch, from pebble.Reader, x *item.Index, key item.Key, overwritten bool,
) (there bool, err error) {
	full := e.shard.keys.appendEntry(nil, x, key)
	if e.schema.filling {
		_, there, err = e.shard.engine.read(from, full)
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
func (e *entry) writeExpiry(b *pebble.Batch, f *effect) error {
	if e.schema.TTL == "" {
		return nil
	}
	old, had := expiry(e.schema.TTL, f.before.item)
	next, has := expiry(e.schema.TTL, f.after)
	if had == has && old == next {
		return nil
	}
	if had {
		if err := b.Delete(e.shard.keys.appendExpiry(nil, old, f.key), nil); err != nil {
			return err
		}
	}
	if has {
		return b.Set(e.shard.keys.appendExpiry(nil, next, f.key), nil, nil)
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
