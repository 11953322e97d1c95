package shard

import (
	"bytes"
	"context"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/item"
)

// A Cursor goes through the items or entries of a snapshot. It is for one goroutine at a time, and
// must be closed: Store.Close waits for it.
type Cursor struct {
	ctx     context.Context
	shard   *Shard
	iter    *pebble.Iterator
	index   uint32
	prefix  int // bytes of keys before what Key returns
	reverse bool
	begun   bool
	steps   int
	err     error
}

// lookEverySteps is the number of steps between checks whether the cursor's context has ended.
const lookEverySteps = 256

// Cursor returns a cursor before the first item of a span, or behind the last if it is reversed. It
// waits until the commits that it may see are on disk: those of its partition if all keys of the
// span begin with the same hash, else all of the shard. The cursor ends with ctx.
func (sh *Shard) Cursor(ctx context.Context, span Span) (*Cursor, error) {
	for {
		installs, err := sh.sequencer.install.wait(ctx, sh.engine)
		if err != nil {
			return nil, err
		}
		c, err := openCursor(ctx, sh, span)
		if err != nil || sh.sequencer.install.count.Load() == installs {
			return c, err
		}
		_ = c.Close() // its schema may be of one state, and its keys of another
	}
}

// openCursor is Cursor while no snapshot is installed.
func openCursor(ctx context.Context, sh *Shard, span Span) (*Cursor, error) {
	if err := sh.store.gate.enter(); err != nil {
		return nil, err
	}
	var x *item.Index
	locked := span.Range
	if span.Index != 0 {
		locked = item.Range{} // any item may have an entry there
		if x = sh.schema.Load().index(span.Index); x == nil {
			x = &item.Index{ID: span.Index} // has no entries, unless it was in the schema
		}
	}
	if err := sh.store.ledger.Load().settle(ctx, sh, locked); err != nil {
		sh.store.gate.leave()
		return nil, err
	}
	lower, upper, prefix := sh.keys.span(x, span.Range)
	if bytes.Compare(lower, upper) > 0 {
		upper = lower
	}
	iter, err := sh.engine.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		sh.store.gate.leave()
		return nil, sh.engine.fault("opening a cursor", err)
	}
	c := &Cursor{ctx: ctx, shard: sh, iter: iter, index: span.Index, prefix: prefix, reverse: span.Reverse}
	if err := sh.sequencer.waitDurable(ctx, sh.sequencer.seen(span.Range)); err != nil {
		_ = c.Close()
		return nil, err
	}
	if sh.isDropped() {
		_ = c.Close()
		return nil, errDropped(sh.id)
	}
	return c, nil
}

// seen returns the newest transaction that a reader of the range may have observed.
func (q *sequencer) seen(r item.Range) uint64 {
	const hashBytes = 8
	if len(r.From) >= hashBytes && len(r.To) >= hashBytes && bytes.Equal(r.From[:hashBytes], r.To[:hashBytes]) {
		return q.marks[stripeOf(item.Key(r.From).Hash())].Load()
	}
	return q.applied.Load()
}

// Next goes to the next item. It returns false behind the last, or at an error.
func (c *Cursor) Next() bool {
	if c.err != nil || c.iter == nil {
		return false
	}
	if c.steps++; c.steps%lookEverySteps == 0 && c.ctx.Err() != nil {
		c.err = ended(c.ctx)
		return false
	}
	var ok bool
	switch {
	case !c.begun && c.reverse:
		ok = c.iter.Last()
	case !c.begun:
		ok = c.iter.First()
	case c.reverse:
		ok = c.iter.Prev()
	default:
		ok = c.iter.Next()
	}
	c.begun = true
	if !ok {
		c.err = c.shard.engine.fault("scanning", c.iter.Error())
	}
	return ok
}

// Key returns the key of the item or entry at the cursor. It is valid until Next or Close.
func (c *Cursor) Key() item.Key { return c.iter.Key()[c.prefix:] }

// Item returns the item or entry at the cursor, which the caller may keep.
func (c *Cursor) Item() (item.Item, error) {
	value, err := c.iter.ValueAndErr()
	if err != nil {
		return nil, c.shard.engine.fault("scanning", err)
	}
	raw := string(value)
	if c.index == 0 {
		_, raw, err = cutPosition(raw)
	}
	var it item.Item
	if err == nil {
		it, err = item.Decode(raw)
	}
	if err != nil {
		return nil, c.shard.engine.damaged(c.shard.id, c.iter.Key(), err)
	}
	return it, nil
}

// Err returns the error that ended the cursor before the end of its span.
func (c *Cursor) Err() error { return c.err }

// Close releases what the cursor holds. It may be called more than once.
func (c *Cursor) Close() error {
	if c.iter == nil {
		return nil
	}
	iter := c.iter
	c.iter = nil
	defer c.shard.store.gate.leave()
	if err := iter.Close(); err != nil && c.err == nil {
		c.err = c.shard.engine.fault("scanning", err)
	}
	return c.err
}
