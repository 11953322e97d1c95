package shard

import (
	"context"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// Backfill writes the entries in an index of the schema for up to n items, from a key on; nil is
// the first. next is where to continue; nil: that was the last. It latches the items against
// concurrent commits. An item that check refuses gets no entry.
//
// An index that is added to the schema of a shard with items counts as being filled until Backfill
// has reached the end. After a restart Backfill may begin again, or continue where it was: an entry
// that is there already is left as it is.
func (sh *Shard) Backfill(
	ctx context.Context, index uint32, from item.Key, n int, check func(item.Item) error,
) (next item.Key, err error) {
	return sh.backfill(ctx, from, n, func(b *pebble.Batch, p *backfillBatch) error {
		x := p.schema.index(index)
		if x == nil {
			return holdfast.Errorf(holdfast.Invalid, "shard %d has no index %d", sh.id, index)
		}
		p.index = index
		for _, key := range p.keys {
			if err := sh.fillEntry(b, p, x, key, check); err != nil {
				return err
			}
		}
		return nil
	})
}

// index returns the schema's index of that ID, or nil.
func (s *schema) index(id uint32) *item.Index {
	for i := range s.Indexes {
		if s.Indexes[i].ID == id {
			return &s.Indexes[i]
		}
	}
	return nil
}

// fillEntry writes the entry of the item at a key, if it should have one and doesn't.
func (sh *Shard) fillEntry(
	b *pebble.Batch, p *backfillBatch, x *item.Index, key item.Key, check func(item.Item) error,
) error {
	is, err := sh.items.image(sh.engine.db, key)
	if err != nil || is.item == nil {
		return err
	}
	it, raw := is.item, is.raw
	entryKey, entry, ok := entryOf(x, &p.schema.Schema, it)
	if !ok || check != nil && check(it) != nil {
		return nil
	}
	full := sh.keys.appendEntry(nil, x, entryKey)
	if _, there, err := sh.engine.read(sh.engine.db, full); err != nil || there {
		return err
	}
	p.count.Items++
	p.count.Bytes += int64(entry.Size())
	if x.Project != item.ProjectAll {
		raw = string(item.Append(nil, entry))
	}
	return b.Set(full, []byte(raw), nil)
}

// BackfillTTL is Backfill for the queue of expiring items.
func (sh *Shard) BackfillTTL(ctx context.Context, from item.Key, n int) (next item.Key, err error) {
	return sh.backfill(ctx, from, n, func(b *pebble.Batch, p *backfillBatch) error {
		for _, key := range p.keys {
			it, err := sh.items.get(sh.engine.db, key)
			if err != nil {
				return err
			}
			if second, ok := expiry(p.schema.TTL, it); ok {
				if err := b.Set(sh.keys.appendExpiry(nil, second, key), nil, nil); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// A backfillBatch is some items in order of their keys, which are latched.
type backfillBatch struct {
	schema *schema
	keys   []item.Key
	next   item.Key // of the item after them; nil: none
	index  uint32   // whose entries were written; 0: none
	count  Count    // what was written of it
}

// backfill latches up to n items from a key on, and writes the batch that fill makes for them.
func (sh *Shard) backfill(
	ctx context.Context, from item.Key, n int, fill func(*pebble.Batch, *backfillBatch) error,
) (next item.Key, err error) {
	s := sh.store
	if err := s.gate.enter(); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	p := &backfillBatch{}
	if p.keys, p.next, err = sh.items.keysFrom(from, n); err != nil {
		return nil, err
	}
	b := s.engine.db.NewBatch()
	defer b.Close()
	submitted, err := sh.submitLatched(b, p, fill)
	if err != nil {
		return nil, err
	}
	if submitted {
		if err := s.engine.syncWait(b); err != nil {
			return nil, err
		}
	}
	return p.next, nil
}

// submitLatched fills the batch while the keys are latched, and submits it. It holds sequencer.mu
// meanwhile, so that its counts and those of the log's next entry are on disk in order.
func (sh *Shard) submitLatched(
	b *pebble.Batch, p *backfillBatch, fill func(*pebble.Batch, *backfillBatch) error,
) (submitted bool, err error) {
	sh.schemas.RLock()
	defer sh.schemas.RUnlock()
	if sh.isDropped() {
		return false, errDropped(sh.id)
	}
	defer sh.latchAll(p.keys)()
	p.schema = sh.schema.Load()
	if err := fill(b, p); err != nil {
		return false, err
	}
	if err := sh.store.space.admit(b.Len()); err != nil {
		return false, err
	}
	sh.sequencer.mu.Lock()
	defer sh.sequencer.mu.Unlock()
	if p.index != 0 {
		x := sh.tally.index(p.index)
		x.items += p.count.Items
		x.bytes += p.count.Bytes
		x.filling = x.filling && p.next != nil
		if err := b.Set(sh.keys.meta(metaCounts), sh.tally.appendTo(nil), nil); err != nil {
			return false, err
		}
	}
	if b.Empty() {
		return false, nil
	}
	if err := sh.engine.submit(b); err != nil {
		return false, err
	}
	if p.index != 0 && p.next == nil {
		sh.filled()
	}
	return true, nil
}

// filled updates the schema by which indexes are still being filled. sequencer.mu is held, and
// schemas for reading.
func (sh *Shard) filled() {
	next := &schema{Schema: sh.schema.Load().Schema}
	for i := range next.Indexes {
		next.filling = next.filling || sh.tally.index(next.Indexes[i].ID).filling
	}
	sh.schema.Store(next)
}

// latchAll latches the stripes of keys in order, and returns what unlatches them.
func (sh *Shard) latchAll(keys []item.Key) (unlatch func()) {
	latched := make([]int, len(keys))
	for i, key := range keys {
		latched[i] = stripeOf(key.Hash())
	}
	slices.Sort(latched)
	latched = slices.Compact(latched)
	for _, stripe := range latched {
		sh.sequencer.latches[stripe].Lock()
	}
	return func() {
		for _, stripe := range latched {
			sh.sequencer.latches[stripe].Unlock()
		}
	}
}

// Clear removes the entries of an index that is no longer in the schema.
func (sh *Shard) Clear(index uint32) error {
	return sh.clear(func(b *pebble.Batch, s *schema) error {
		if s.index(index) != nil {
			return holdfast.Errorf(holdfast.Invalid, "index %d is in the schema of shard %d", index, sh.id)
		}
		sh.tally.indexes = slices.DeleteFunc(slices.Clone(sh.tally.indexes), func(x indexTally) bool { return x.id == index })
		if err := b.Set(sh.keys.meta(metaCounts), sh.tally.appendTo(nil), nil); err != nil {
			return err
		}
		return removeRanges(b, sh.keys.entries(index))
	})
}

// ClearTTL removes the queue of expiring items, when the schema has no TTL.
func (sh *Shard) ClearTTL() error {
	return sh.clear(func(b *pebble.Batch, s *schema) error {
		if s.TTL != "" {
			return holdfast.Errorf(holdfast.Invalid, "shard %d has items that expire", sh.id)
		}
		return sh.engine.removeExpiries(b, sh.keys)
	})
}

// clear writes the batch that fill makes, while no transaction gets its index, and returns when it
// is on disk.
func (sh *Shard) clear(fill func(*pebble.Batch, *schema) error) error {
	s := sh.store
	if err := s.gate.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	sh.schemas.RLock()
	defer sh.schemas.RUnlock()
	if sh.isDropped() {
		return errDropped(sh.id)
	}
	if err := s.space.admitRemoval(0); err != nil {
		return err
	}
	b := s.engine.db.NewBatch()
	defer b.Close()
	sh.sequencer.mu.Lock()
	err := fill(b, sh.schema.Load())
	if err == nil {
		err = s.engine.submit(b)
	}
	sh.sequencer.mu.Unlock()
	if err != nil {
		return err
	}
	return s.engine.syncWait(b)
}
