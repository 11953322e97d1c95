package table

import (
	"bytes"
	"context"
	"encoding/binary"

	"holdfast/item"
	"holdfast/shard"
)

// Entries goes through what a span has in several shards, in order of key.
//
// The keys of items, and of the entries of local indexes, begin with the hash by which the shards
// split their table: those of one shard all come before those of the next, so a shard is opened
// when the one before it is done. The keys of a global index begin with a hash of their own: each
// shard may have entries anywhere, so all are opened and merged. There are few shards, so their
// cursors are kept in a sorted slice, in which the cursor that moved sinks to its place.
type entries struct {
	span    shard.Span
	waiting []*shard.Shard  // to be opened, in order, when there is no head
	heads   []*shard.Cursor // each is at an entry; the first has the next one, or, if given, the last one returned
	given   bool            // the entry of heads[0] has been returned
}

// newEntries returns the entries of a span of t: of all its shards if merged, else of the shards
// that its range touches.
func (t *live) newEntries(ctx context.Context, span shard.Span, merged bool) (*entries, error) {
	if !merged {
		return &entries{span: span, waiting: t.touched(span)}, nil
	}
	e := &entries{span: span}
	for _, sh := range t.shards {
		if err := e.open(ctx, sh); err != nil {
			_ = e.close() // the first error is returned
			return nil, err
		}
	}
	return e, nil
}

// touched returns the shards whose hashes a span's range touches, in the span's order.
func (t *live) touched(span shard.Span) []*shard.Shard {
	var touched []*shard.Shard
	for i, sh := range t.shards {
		var start, end [8]byte
		binary.BigEndian.PutUint64(start[:], t.starts[i])
		if to := span.Range.To; to != nil && bytes.Compare(to, start[:]) <= 0 {
			break
		}
		if i+1 < len(t.shards) {
			binary.BigEndian.PutUint64(end[:], t.starts[i+1])
			if bytes.Compare(end[:], span.Range.From) <= 0 {
				continue
			}
		}
		touched = append(touched, sh)
	}
	if span.Reverse {
		for i, j := 0, len(touched)-1; i < j; i, j = i+1, j-1 {
			touched[i], touched[j] = touched[j], touched[i]
		}
	}
	return touched
}

// next returns the cursor that is at the next entry, which is valid until the next call. Nil is
// the end.
func (e *entries) next(ctx context.Context) (*shard.Cursor, error) {
	if e.given {
		if err := e.advance(); err != nil {
			return nil, err
		}
	}
	for len(e.heads) == 0 && len(e.waiting) > 0 {
		sh := e.waiting[0]
		e.waiting = e.waiting[1:]
		if err := e.open(ctx, sh); err != nil {
			return nil, err
		}
	}
	if len(e.heads) == 0 {
		return nil, nil
	}
	e.given = true
	return e.heads[0], nil
}

// open adds a shard's cursor to the heads, if it has an entry.
func (e *entries) open(ctx context.Context, sh *shard.Shard) error {
	c, err := sh.Cursor(ctx, e.span)
	if err != nil {
		return err
	}
	if !c.Next() {
		return end(c)
	}
	e.heads = append([]*shard.Cursor{c}, e.heads...)
	e.sink()
	return nil
}

// advance moves the first head on, and drops it if it has no more.
func (e *entries) advance() error {
	e.given = false
	c := e.heads[0]
	if c.Next() {
		e.sink()
		return nil
	}
	e.heads = e.heads[1:]
	return end(c)
}

// end closes a cursor that has no more, and returns the error that ended it, if there was one.
func end(c *shard.Cursor) error {
	err := c.Err()
	if closed := c.Close(); err == nil {
		err = closed
	}
	return err
}

// sink moves the first head to its place in the order of entries.
func (e *entries) sink() {
	for i := 1; i < len(e.heads) && e.after(e.heads[i-1].Key(), e.heads[i].Key()); i++ {
		e.heads[i-1], e.heads[i] = e.heads[i], e.heads[i-1]
	}
}

func (e *entries) after(a, b item.Key) bool {
	if e.span.Reverse {
		a, b = b, a
	}
	return bytes.Compare(a, b) > 0
}

// close closes all cursors.
func (e *entries) close() (err error) {
	for _, c := range e.heads {
		if closed := c.Close(); err == nil {
			err = closed
		}
	}
	e.heads, e.waiting = nil, nil
	return err
}
