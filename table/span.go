package table

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"

	"holdfast/item"
	"holdfast/shard"
)

// Entries goes through what a span has in several shards, in order of key. Keys begin with the hash
// by which the shards split them: those of one shard all come before those of the next, so a shard
// is opened when the one before it is done.
type entries struct {
	read    *read
	span    shard.Span
	waiting []*shard.Shard // to be opened, in order
	at      *shard.Cursor  // nil: none is open
}

// newEntries returns what the read's span has in the shards that its range touches: those of the
// table, or those of a global index.
func (r *read) newEntries() *entries {
	shards, starts := r.t.shards, r.t.starts
	if r.global() {
		x := r.t.globals[r.index.ID]
		shards, starts = x.Shards, x.Starts
	}
	return &entries{read: r, span: r.span, waiting: touched(shards, starts, r.span)}
}

// touched returns the shards whose hashes a span's range touches, in the span's order. starts has
// the first hash of each shard.
func touched(shards []*shard.Shard, starts []uint64, span shard.Span) []*shard.Shard {
	var some []*shard.Shard
	for i, sh := range shards {
		var start, end [8]byte
		binary.BigEndian.PutUint64(start[:], starts[i])
		if to := span.Range.To; to != nil && bytes.Compare(to, start[:]) <= 0 {
			break
		}
		if i+1 < len(shards) {
			binary.BigEndian.PutUint64(end[:], starts[i+1])
			if bytes.Compare(end[:], span.Range.From) <= 0 {
				continue
			}
		}
		some = append(some, sh)
	}
	if span.Reverse {
		slices.Reverse(some)
	}
	return some
}

// next returns the cursor that is at the next entry, which is valid until the next call. Nil is
// the end.
func (e *entries) next(ctx context.Context) (*shard.Cursor, error) {
	for {
		if e.at != nil {
			if e.at.Next() {
				return e.at, nil
			}
			if err := e.close(); err != nil {
				return nil, err
			}
		}
		if len(e.waiting) == 0 {
			return nil, nil
		}
		sh := e.waiting[0]
		e.waiting = e.waiting[1:]
		session := sessionOf(ctx)
		if e.read.global() {
			session = nil // the index was checked before
		}
		err := e.read.t.readable(ctx, sh, session, e.read.consistent)
		if err == nil {
			e.at, err = sh.Cursor(ctx, e.span)
		}
		if err != nil {
			e.at = nil
			return nil, err
		}
		session.see(sh)
	}
}

// close closes the cursor, and returns the error that ended it, if there was one.
func (e *entries) close() error {
	c := e.at
	if c == nil {
		return nil
	}
	e.at = nil
	err := c.Err()
	if closed := c.Close(); err == nil {
		err = closed
	}
	return err
}

// beside returns the ID of an index whose entries are beside their items, and 0 for a global index,
// whose entries are the items of its own shards.
func beside(x *item.Index) uint32 {
	if x.Local {
		return x.ID
	}
	return 0
}
