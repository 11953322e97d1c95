package shard

import (
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// The limits of what a copy has outside of the database.
const (
	copyTableBytes = 32 << 20 // of a sorted table before it is ingested
	undoBytes      = 1 << 20  // of a batch of undone changes
	bottomLevel    = 6        // whose compression a copy uses
)

// Copy makes a shard with the items that another had at a time, or, if at is zero, has, without
// indexes and log. Both have the same range, of different spaces. The new shard must not be open,
// and what is there of it is removed first. Until Copy returns it isn't complete, and after an error
// it is removed. The error is Gone if changes after at are no longer kept, and Full if there is no
// space. Shards that have a group can't be copied yet: that is Invalid.
//
// The items of a snapshot are written into sorted tables with the new prefix, each of which is
// ingested when it is full. Then the changes after at are undone in the new shard, the last first.
// Both are read from one snapshot, and need little memory.
func (s *Store) Copy(ctx context.Context, from *Shard, to Descriptor, at time.Time) (Counts, error) {
	if err := s.gate.enter(); err != nil {
		return Counts{}, err
	}
	defer s.gate.leave()
	s.mu.Lock()
	taken := s.shards[to.ID] != nil
	s.mu.Unlock()
	if taken {
		return Counts{}, holdfast.Errorf(holdfast.Invalid, "shard %d can't be copied to: it is open", to.ID)
	}
	if err := to.check(Schema{}); err != nil {
		return Counts{}, err
	}
	if err := s.alone(from, to); err != nil {
		return Counts{}, err
	}
	if !s.space.hasSpace() {
		return Counts{}, errFull()
	}
	if err := s.ledger.Load().standStill(ctx, from, at); err != nil {
		return Counts{}, err
	}
	snapshot := s.engine.db.NewEventuallyFileOnlySnapshot(from.keys.copied())
	defer snapshot.Close()
	if err := from.sequencer.waitDurable(ctx, from.sequencer.applied.Load()); err != nil {
		return Counts{}, err
	}
	c := &copying{ctx: ctx, store: s, from: from, to: to.keys(), made: newShard(s, to), snapshot: snapshot, at: at}
	c.build = builder{ctx: ctx, doing: "copying", files: tableFiles{store: s}}
	_, err := s.engine.clearShard(c.to, func(b *pebble.Batch) error {
		return b.Set(c.to.meta(metaDescriptor), to.appendTo(nil), nil)
	})
	if err != nil {
		return Counts{}, err
	}
	if err := c.run(); err != nil {
		_, _ = s.engine.clearShard(c.to, nil)
		return Counts{}, err
	}
	return c.made.Counts(), nil
}

// alone returns an error if either shard of a copy has a group: the tables that are ingested aren't in
// its log, so that no other replica would have them.
func (s *Store) alone(from *Shard, to Descriptor) error {
	grouped := from.group.grouped()
	if !grouped {
		var err error
		k := to.keys()
		if _, grouped, err = s.engine.read(s.engine.db, k.meta(metaGroup)); err != nil {
			return err
		}
	}
	if grouped {
		return holdfast.Errorf(holdfast.Invalid,
			"shard %d can't be copied to shard %d: copies aren't possible on a cluster yet", from.id, to.ID)
	}
	return nil
}

// A copying is a copy in progress.
type copying struct {
	ctx      context.Context
	store    *Store
	from     *Shard
	to       keys
	snapshot *pebble.EventuallyFileOnlySnapshot
	at       time.Time // zero: the items as they are
	made     *Shard    // that is copied to; nobody else has it
	build    builder   // of the items

	items, bytes int64 // that were copied
}

func (c *copying) run() error {
	if !c.at.IsZero() {
		if err := c.reaches(); err != nil {
			return err
		}
	}
	if err := c.copyItems(); err != nil {
		c.build.abandon()
		return err
	}
	if !c.at.IsZero() {
		if err := c.undo(); err != nil {
			return err
		}
	}
	if c.from.isDropped() {
		return errDropped(c.from.id)
	}
	p, err := c.made.propose(&copyBody{
		source: c.from.id, at: c.at, items: c.items, bytes: c.bytes, key: c.from.schema.Load().Key,
	}, c.store.engine.db, false)
	if err != nil {
		return err
	}
	return p.wait()
}

// reaches returns Gone if a change after the time to go back to is no longer kept.
func (c *copying) reaches() error {
	raw, ok, err := c.store.engine.read(c.snapshot, c.from.keys.meta(metaTrim))
	if err != nil || !ok {
		return err
	}
	trim, err := decodeTrimming(raw)
	if err != nil {
		return c.store.engine.damaged(c.from.id, []byte(metaTrim), err)
	}
	if c.at.UnixNano() < trim.at {
		return holdfast.Errorf(holdfast.Gone, "the log of shard %d reaches back to %v", c.from.id,
			time.Unix(0, trim.at).UTC())
	}
	return nil
}

// copyItems writes and ingests the items of the snapshot.
func (c *copying) copyItems() error {
	lower, upper := c.from.keys.items()
	it, err := c.snapshot.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return c.store.engine.fault("copying", err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if c.ctx.Err() != nil {
			return ended(c.ctx)
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return c.store.engine.fault("copying", err)
		}
		is, err := decodeImage(string(value))
		if err != nil {
			return c.store.engine.damaged(c.from.id, it.Key(), err)
		}
		key := c.from.keys.itemOf(it.Key())
		if !c.to.owns(key) {
			return errRange(c.to.shard, key)
		}
		if err := c.build.set(c.to.appendItem(nil, key), copied(is.raw)); err != nil {
			return err
		}
		c.items++
		c.bytes += int64(is.item.Size())
	}
	if err := it.Error(); err != nil {
		return c.store.engine.fault("copying", err)
	}
	return c.build.finish()
}

// copied returns the value of an item that no change made here.
func copied(raw string) []byte {
	return append(appendPosition(nil, holdfast.Position{}), raw...)
}

// undo puts back the before-images of what was changed after the time to go back to, the last
// change first.
func (c *copying) undo() error {
	it, err := c.from.history.iter(c.snapshot, holdfast.Position{}, holdfast.Position{})
	if err != nil {
		return err
	}
	defer it.Close()
	b := c.store.engine.db.NewBatch()
	for ok := it.Last(); ok; ok = it.Prev() {
		if c.ctx.Err() != nil {
			return ended(c.ctx)
		}
		if isLink(it.Key()) {
			continue
		}
		_, change, err := c.from.history.changeAt(it)
		if err != nil {
			return err
		}
		if change.last { // of its transaction, and so the first that is read of it
			t, err := decodeTally(change.tally)
			if err != nil {
				return c.store.engine.damaged(c.from.id, it.Key(), err)
			}
			if t.at <= c.at.UnixNano() {
				break
			}
		}
		if change.at <= c.at.UnixNano() {
			continue // no later change of its item is as early
		}
		if err := c.undoChange(b, &change); err != nil {
			return err
		}
		if b.Len() >= undoBytes {
			if err := c.submitUndone(b); err != nil {
				return err
			}
			b = c.store.engine.db.NewBatch()
		}
	}
	if err := it.Error(); err != nil {
		return c.store.engine.fault("reading the log", err)
	}
	return c.submitUndone(b)
}

// submitUndone submits a batch of undone changes.
func (c *copying) submitUndone(b *pebble.Batch) error {
	if b.Empty() {
		return nil
	}
	if err := c.store.space.admit(b.Len()); err != nil {
		return err
	}
	return c.store.engine.submitNoSync(b)
}

// undoChange adds the before-image of a change to the batch, and counts it.
func (c *copying) undoChange(b *pebble.Batch, change *change) error {
	if change.hasAfter {
		c.items--
		c.bytes -= int64(change.afterSize)
	}
	key := c.to.appendItem(nil, item.Key(change.key))
	if !change.hasBefore {
		return b.Delete(key, nil)
	}
	c.items++
	c.bytes += int64(change.beforeSize)
	return b.Set(key, copied(change.before), nil)
}
