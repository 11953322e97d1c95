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
// space. Shards that have a group are copied by Load: here that is Invalid.
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
	made := newShard(s, to)
	beside := &copyBeside{
		store: s, from: from, made: made, at: at,
		build: builder{ctx: ctx, doing: "copying", files: tableFiles{store: s}},
	}
	c := &copying{ctx: ctx, store: s, from: from, to: made.keys, target: beside, snapshot: snapshot, at: at}
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
	return made.Counts(), nil
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
			"shard %d can't be copied to shard %d beside their logs: they have groups", from.id, to.ID)
	}
	return nil
}

// A copyTarget takes the items of a copy: all that the source had, and then those that it hadn't as
// of the time, as they were, the last change first. Keys are valid during the call.
type copyTarget interface {
	// add adds an item, of so many bytes. Keys rise.
	add(key item.Key, raw string, bytes int64) error

	// added is called behind the last.
	added() error

	// putBack makes an item what it was, unless it wasn't there. items and bytes are the difference
	// that this makes.
	putBack(key item.Key, raw string, there bool, items, bytes int64) error

	// end is called when the copy is whole.
	end(items, bytes int64) error

	// abandon is called instead of added after an error.
	abandon()
}

// A copying is a copy in progress.
type copying struct {
	ctx      context.Context
	store    *Store
	from     *Shard
	to       keys
	target   copyTarget
	snapshot *pebble.EventuallyFileOnlySnapshot
	at       time.Time // zero: the items as they are

	items, bytes int64 // that were copied
}

func (c *copying) run() error {
	if !c.at.IsZero() {
		if err := c.reaches(); err != nil {
			return err
		}
	}
	if err := c.copyItems(); err != nil {
		c.target.abandon()
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
	return c.target.end(c.items, c.bytes)
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
		size := int64(is.item.Size())
		if err := c.target.add(key, is.raw, size); err != nil {
			return err
		}
		c.items++
		c.bytes += size
	}
	if err := it.Error(); err != nil {
		return c.store.engine.fault("copying", err)
	}
	return c.target.added()
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
		if err := c.undoChange(&change); err != nil {
			return err
		}
	}
	return c.store.engine.fault("reading the log", it.Error())
}

// undoChange puts back the before-image of a change, and counts it.
func (c *copying) undoChange(change *change) error {
	var items, bytes int64
	if change.hasAfter {
		items--
		bytes -= int64(change.afterSize)
	}
	if change.hasBefore {
		items++
		bytes += int64(change.beforeSize)
	}
	c.items += items
	c.bytes += bytes
	return c.target.putBack(item.Key(change.key), change.before, change.hasBefore, items, bytes)
}

// A copyBeside is the target of a copy beside the log: items are in sorted tables, what is put back
// in batches, and both are followed by an entry that makes the shard what it is then.
type copyBeside struct {
	store *Store
	from  *Shard
	made  *Shard // that is copied to; nobody else has it
	at    time.Time
	build builder       // of the items
	undo  *pebble.Batch // of what is put back; nil: nothing is
}

// add implements copyTarget.
func (t *copyBeside) add(key item.Key, raw string, _ int64) error {
	return t.build.set(t.made.keys.appendItem(nil, key), copied(raw))
}

// added implements copyTarget.
func (t *copyBeside) added() error { return t.build.finish() }

// abandon implements copyTarget.
func (t *copyBeside) abandon() { t.build.abandon() }

// putBack implements copyTarget.
func (t *copyBeside) putBack(key item.Key, raw string, there bool, _, _ int64) error {
	if t.undo == nil {
		t.undo = t.store.engine.db.NewBatch()
	}
	full := t.made.keys.appendItem(nil, key)
	var err error
	if there {
		err = t.undo.Set(full, copied(raw), nil)
	} else {
		err = t.undo.Delete(full, nil)
	}
	if err != nil || t.undo.Len() < undoBytes {
		return err
	}
	return t.submit()
}

// submit submits a batch of what is put back.
func (t *copyBeside) submit() error {
	b := t.undo
	if b == nil {
		return nil
	}
	t.undo = nil
	if err := t.store.space.admit(b.Len()); err != nil {
		return err
	}
	return t.store.engine.submitNoSync(b)
}

// end implements copyTarget.
func (t *copyBeside) end(items, bytes int64) error {
	if err := t.submit(); err != nil {
		return err
	}
	p, err := t.made.propose(&copyBody{
		source: t.from.id, at: t.at, items: items, bytes: bytes, key: t.from.schema.Load().Key,
	}, t.store.engine.db, false)
	if err != nil {
		return err
	}
	return p.wait()
}
