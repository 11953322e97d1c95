package shard

import (
	"context"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

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
// indexes and log. The new shard must not be open, and what is there of it is removed first. Until
// Copy returns it isn't complete, and after an error it is removed. The error is Gone if changes
// after at are no longer kept, and Full if there is no space.
//
// The items of a snapshot are written into sorted tables with the new prefix, each of which is
// ingested when it is full. Then the changes after at are undone in the new shard, the last first.
// Both are read from one snapshot, and need little memory.
func (s *Store) Copy(ctx context.Context, from *Shard, to holdfast.ShardID, at time.Time) (Counts, error) {
	if err := s.gate.enter(); err != nil {
		return Counts{}, err
	}
	defer s.gate.leave()
	s.mu.Lock()
	taken := to == records || s.shards[to] != nil
	s.mu.Unlock()
	if taken {
		return Counts{}, holdfast.Errorf(holdfast.Invalid, "shard %d can't be copied to: it is open", to)
	}
	if !s.space.hasSpace() {
		return Counts{}, errFull()
	}
	snapshot := s.engine.db.NewEventuallyFileOnlySnapshot(from.keys.all())
	defer snapshot.Close()
	if err := from.sequencer.waitDurable(ctx, from.sequencer.applied.Load()); err != nil {
		return Counts{}, err
	}
	c := &copying{ctx: ctx, store: s, from: from, to: keys{to}, snapshot: snapshot, at: at}
	if err := s.engine.clear(c.to.all()); err != nil {
		return Counts{}, err
	}
	if err := c.run(); err != nil {
		_ = s.engine.clear(c.to.all())
		return Counts{}, err
	}
	return c.tally.counts(0), nil
}

// A copying is a copy in progress.
type copying struct {
	ctx      context.Context
	store    *Store
	from     *Shard
	to       keys
	snapshot *pebble.EventuallyFileOnlySnapshot
	at       time.Time // zero: the items as they are
	tally    tally

	path  string          // of the table
	table *sstable.Writer // nil: there is none
	bytes int             // of keys and values in it
}

func (c *copying) run() error {
	now := c.store.now()
	if !c.at.IsZero() {
		if err := c.reaches(); err != nil {
			return err
		}
	}
	if err := c.copyItems(); err != nil {
		c.abandon()
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
	b := c.store.engine.db.NewBatch()
	defer b.Close()
	trim := trimming{oldest: 1, at: now.UnixNano()}
	if err := b.Set(c.to.meta(metaCounts), c.tally.appendTo(nil), nil); err != nil {
		return err
	}
	if err := b.Set(c.to.meta(metaTrim), trim.appendTo(nil), nil); err != nil {
		return err
	}
	if err := c.store.space.admit(b.Len()); err != nil {
		return err
	}
	return c.store.engine.write(b)
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
		if err := c.add(c.from.keys.itemOf(it.Key()), is.raw); err != nil {
			return c.store.engine.fault("copying", err)
		}
		c.tally.items++
		c.tally.bytes += int64(is.item.Size())
		if c.bytes >= copyTableBytes {
			if err := c.ingest(); err != nil {
				return err
			}
		}
	}
	if err := it.Error(); err != nil {
		return c.store.engine.fault("copying", err)
	}
	return c.ingest()
}

// add puts an item into the table, and begins one if necessary.
func (c *copying) add(key item.Key, raw string) error {
	if c.table == nil {
		name := fmt.Sprintf("%d.sst", c.store.builds.Add(1))
		c.path = c.store.engine.fs.PathJoin(c.store.dir, buildDir, name)
		f, err := c.store.engine.fs.Create(c.path, vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		options := c.store.engine.options.MakeWriterOptions(bottomLevel, c.store.engine.db.TableFormat())
		c.table = sstable.NewWriter(objstorageprovider.NewFileWritable(f), options)
	}
	c.bytes += len(key) + len(raw)
	return c.table.Set(c.to.appendItem(nil, key), copied(raw))
}

// copied returns the value of an item that no change made here.
func copied(raw string) []byte {
	return append(appendPosition(nil, holdfast.Position{}), raw...)
}

// ingest gives the table to the database, if one was begun.
func (c *copying) ingest() error {
	if c.table == nil {
		return nil
	}
	table := c.table
	c.table, c.bytes = nil, 0
	if err := table.Close(); err != nil {
		_ = c.store.engine.fs.Remove(c.path)
		return c.store.engine.fault("copying", err)
	}
	if !c.store.space.hasSpace() {
		_ = c.store.engine.fs.Remove(c.path)
		return errFull()
	}
	return c.store.engine.fault("copying", c.store.engine.db.Ingest(c.ctx, []string{c.path}))
}

// abandon removes a table that was begun.
func (c *copying) abandon() {
	if c.table != nil {
		_ = c.table.Close()
		_ = c.store.engine.fs.Remove(c.path)
	}
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
		c.tally.items--
		c.tally.bytes -= int64(change.afterSize)
	}
	key := c.to.appendItem(nil, item.Key(change.key))
	if !change.hasBefore {
		return b.Delete(key, nil)
	}
	c.tally.items++
	c.tally.bytes += int64(change.beforeSize)
	return b.Set(key, copied(change.before), nil)
}
