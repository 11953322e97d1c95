package shard

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// Backfill writes the entries in an index of the schema for up to n items, from a key on; nil is
// the first. next is where to continue; nil: that was the last. It latches the items against
// concurrent commits. An item that the index doesn't take (item.Index.Check) gets no entry.
//
// An index that is added to the schema of a shard with items counts as being filled until Backfill
// has reached the end. After a restart Backfill may begin again, or continue where it was: an entry
// that is there already is left as it is.
func (sh *Shard) Backfill(ctx context.Context, index uint32, from item.Key, n int) (next item.Key, err error) {
	if index == expiryQueue {
		return nil, holdfast.Errorf(holdfast.Invalid, "shard %d has no index %d", sh.id, index)
	}
	return sh.backfill(ctx, index, from, n)
}

// BackfillTTL is Backfill for the queue of expiring items.
func (sh *Shard) BackfillTTL(ctx context.Context, from item.Key, n int) (next item.Key, err error) {
	return sh.backfill(ctx, expiryQueue, from, n)
}

// expiryQueue stands for the queue of expiring items in the place of the ID of an index.
const expiryQueue uint32 = 0

// backfill proposes a fill of up to n items from a key on, and returns when it is on disk.
func (sh *Shard) backfill(ctx context.Context, index uint32, from item.Key, n int) (next item.Key, err error) {
	s := sh.store
	if err := s.gate.enter(); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	p, next, err := sh.proposeFill(ctx, index, from, n)
	if err != nil || p == nil {
		return next, err
	}
	return next, p.wait()
}

// proposeFill latches up to n items from a key on, and proposes the fill of their entries. It
// returns nil if there is nothing to write.
func (sh *Shard) proposeFill(
	ctx context.Context, index uint32, from item.Key, n int,
) (p *staged, next item.Key, err error) {
	sh.schemas.RLock()
	defer sh.schemas.RUnlock()
	keys, next, err := sh.items.keysFrom(from, n)
	if err != nil {
		return nil, nil, err
	}
	defer sh.sequencer.latchAll(keys)()
	// Items that were added since aren't latched. In one view they have their entries, since the
	// schema has the index already.
	view, err := sh.engine.view()
	if err != nil {
		return nil, nil, err
	}
	p, err = sh.stage(ctx, &fillBody{index: index, from: from, to: next}, view)
	if err = errors.Join(err, view.Close()); err != nil {
		return nil, nil, err
	}
	if p.batch.Empty() && (next != nil || index == expiryQueue) {
		return nil, next, p.discard()
	}
	return p, next, p.propose(false)
}

// A fillBody writes the entries in an index, or in the queue of expiring items, of the items between
// two keys, where they are missing. Its form for a log is the index's ID (a varint), the first key,
// and the key behind the last (both preceded by their lengths, varints); none is the end.
type fillBody struct {
	index    uint32 // or expiryQueue
	from, to item.Key
}

func decodeFill(r *reader) (body, error) {
	x := &fillBody{index: uint32(r.uvarint()), from: item.Key(r.text())}
	if to := r.text(); to != "" {
		x.to = item.Key(to)
	}
	return x, nil
}

func (x *fillBody) kind() entryKind { return entryFill }

func (x *fillBody) appendTo(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(x.index))
	dst = appendText(dst, string(x.from))
	return appendText(dst, string(x.to))
}

func (x *fillBody) stage(e *entry, b *pebble.Batch, from pebble.Reader) error {
	place := -1
	if x.index != expiryQueue {
		place = slices.IndexFunc(e.schema.Indexes, func(have item.Index) bool { return have.ID == x.index })
		if place < 0 {
			return holdfast.Errorf(holdfast.Invalid, "shard %d has no index %d", e.shard.id, x.index)
		}
		e.delta.indexes = make([]Count, len(e.schema.Indexes))
	}
	lower, upper, prefix := e.shard.keys.span(nil, item.Range{From: x.from, To: x.to})
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return e.shard.engine.fault("filling", err)
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		if place < 0 {
			err = e.fillExpiry(b, it, prefix)
		} else {
			err = e.fillEntry(b, from, it, place)
		}
	}
	return e.shard.engine.fault("filling", errors.Join(err, it.Error(), it.Close()))
}

// fillEntry writes the entry of the item at the iterator, if it should have one and doesn't.
func (e *entry) fillEntry(b *pebble.Batch, from pebble.Reader, it *pebble.Iterator, place int) error {
	x := &e.schema.Indexes[place]
	is, err := e.imageAt(it)
	if err != nil {
		return err
	}
	key, projected, ok := entryOf(x, &e.schema.Schema, is.item)
	if !ok || x.Check(is.item) != nil {
		return nil
	}
	full := e.shard.keys.appendEntry(nil, x, key)
	if _, there, err := e.shard.engine.read(from, full); err != nil || there {
		return err
	}
	e.delta.indexes[place].Items++
	e.delta.indexes[place].Bytes += int64(projected.Size())
	e.delta.hashes = append(e.delta.hashes, key.Hash())
	raw := []byte(is.raw)
	if x.Project != item.ProjectAll {
		raw = item.Append(nil, projected)
	}
	return b.Set(full, raw, nil)
}

// fillExpiry adds the item at the iterator to the queue of expiring items, if it expires.
func (e *entry) fillExpiry(b *pebble.Batch, it *pebble.Iterator, prefix int) error {
	is, err := e.imageAt(it)
	if err != nil {
		return err
	}
	second, ok := expiry(e.schema.TTL, is.item)
	if !ok {
		return nil
	}
	return b.Set(e.shard.keys.appendExpiry(nil, second, it.Key()[prefix:]), nil, nil)
}

// imageAt returns the image of the item at the iterator.
func (e *entry) imageAt(it *pebble.Iterator) (image, error) {
	value, err := it.ValueAndErr()
	if err != nil {
		return image{}, e.shard.engine.fault("filling", err)
	}
	is, err := decodeImage(string(value))
	if err != nil {
		return image{}, e.shard.engine.damaged(e.shard.id, it.Key(), err)
	}
	return is, nil
}

func (x *fillBody) apply(e *entry, _ *pebble.Batch) error {
	e.next.add(&e.delta, e.schema)
	if x.to == nil && x.index != expiryQueue {
		e.next.index(x.index).filling = false
	}
	return nil
}

func (x *fillBody) install(e *entry) {
	if x.to == nil && x.index != expiryQueue {
		now := e.shard.schema.Load()
		e.shard.adopt(now.Schema, now.version)
	}
}
