package shard

import (
	"encoding/binary"
	"sort"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// A history is the log of a shard's changes in its database. It reads items too: the after-image of
// an item's last change is the item itself.
type history struct {
	engine    *engine
	id        holdfast.ShardID
	items     *items
	sequencer *sequencer
	trim      trimming // guarded by sequencer.mu
}

// oldest returns the position of the oldest change that is kept, or, if there never was one, of the
// first that will be.
func (h *history) oldest() holdfast.Position {
	h.sequencer.mu.Lock()
	defer h.sequencer.mu.Unlock()
	return holdfast.Position{Index: h.trim.oldest}
}

// changes is Changes with its limits set.
func (h *history) changes(from holdfast.Position, limit Limit) (changes []Change, next holdfast.Position, err error) {
	durable := h.sequencer.durable.at.Load()
	if from != (holdfast.Position{}) && from.Index > durable {
		return nil, from, h.kept(from)
	}
	view, err := h.engine.view()
	if err != nil {
		return nil, holdfast.Position{}, err
	}
	defer view.Close()
	if from == (holdfast.Position{}) {
		from = h.oldest()
	}
	// A trim raises h.trim before it changes the database. So a reader that finds its position still
	// kept after it got its view sees all changes from there on.
	if err := h.kept(from); err != nil {
		return nil, holdfast.Position{}, err
	}
	it, err := h.iter(view, from, holdfast.Position{Index: durable + 1})
	if err != nil {
		return nil, holdfast.Position{}, err
	}
	defer it.Close()
	changes, next, err = h.collect(view, it, from, limit)
	if err == nil {
		err = h.engine.fault("reading the log", it.Error())
	}
	if err != nil {
		return nil, holdfast.Position{}, err
	}
	return changes, next, nil
}

// collect returns the changes from the first of the iterator on.
func (h *history) collect(
	view pebble.Reader, it *pebble.Iterator, from holdfast.Position, limit Limit,
) (changes []Change, next holdfast.Position, err error) {
	next = from
	bytes := 0
	for ok := it.First(); ok && len(changes) < limit.Changes; {
		p, raw, err := h.changeAt(it)
		if err != nil {
			return nil, holdfast.Position{}, err
		}
		ok = it.Next()
		after, err := h.afterImage(view, p, &raw, it)
		if err != nil {
			return nil, holdfast.Position{}, err
		}
		if ok && isLink(it.Key()) {
			ok = it.Next()
		}
		bytes += raw.size() + len(after)
		if bytes > limit.Bytes && len(changes) > 0 {
			break
		}
		c, err := raw.decoded(h.id, p, after)
		if err != nil {
			return nil, holdfast.Position{}, h.engine.damaged(h.id, []byte(raw.key), err)
		}
		changes = append(changes, c)
		next = raw.behind(p)
	}
	return changes, next, nil
}

// afterImage returns what the change at p made of its item: the before-image of the change that it
// is linked to, or the item. The iterator is behind the change.
func (h *history) afterImage(
	view pebble.Reader, p holdfast.Position, c *change, it *pebble.Iterator,
) (raw string, err error) {
	if !c.hasAfter {
		return "", nil
	}
	if it.Valid() && isLink(it.Key()) {
		return h.linkedImage(view, c, it)
	}
	is, err := h.items.image(view, item.Key(c.key))
	if err != nil {
		return "", err
	}
	if is.made != p {
		return "", h.engine.damaged(h.id, []byte(c.key), errLog())
	}
	return is.raw, nil
}

// linkedImage returns the before-image of the change that the link at the iterator leads to.
func (h *history) linkedImage(view pebble.Reader, c *change, it *pebble.Iterator) (raw string, err error) {
	value, err := it.ValueAndErr()
	if err != nil {
		return "", h.engine.fault("reading the log", err)
	}
	p, _, err := cutPosition(string(value))
	if err != nil {
		return "", h.engine.damaged(h.id, it.Key(), err)
	}
	b, ok, err := h.engine.read(view, appendLogKey(nil, h.id, p))
	if err != nil {
		return "", err
	}
	next, err := decodeChange(b)
	if !ok || err != nil || !next.hasBefore || next.key != c.key {
		return "", h.engine.damaged(h.id, it.Key(), errLog())
	}
	return next.before, nil
}

// behind returns the position behind a change that is at p.
func (c *change) behind(p holdfast.Position) holdfast.Position {
	if c.last {
		return holdfast.Position{Index: p.Index + 1}
	}
	return holdfast.Position{Index: p.Index, N: p.N + 1}
}

// kept returns an error if a position is no longer kept, or the shard was dropped.
func (h *history) kept(p holdfast.Position) error {
	if isClosed(h.items.dropped) {
		return errDropped(h.id)
	}
	if oldest := h.oldest(); p.Compare(oldest) < 0 {
		return holdfast.Errorf(holdfast.Gone, "position %d.%d of shard %d is no longer kept: the oldest is %d.%d",
			p.Index, p.N, h.id, oldest.Index, oldest.N)
	}
	return nil
}

// iter returns an iterator over the log from a position to another; zero is the beginning, or the
// end.
func (h *history) iter(from pebble.Reader, first, end holdfast.Position) (*pebble.Iterator, error) {
	lower, upper := kindBounds(h.id, kindLog)
	if first != (holdfast.Position{}) {
		lower = appendLogKey(nil, h.id, first)
	}
	if end != (holdfast.Position{}) {
		upper = appendLogKey(nil, h.id, end)
	}
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, h.engine.fault("reading the log", err)
	}
	return it, nil
}

// changeAt returns the change at the iterator.
func (h *history) changeAt(it *pebble.Iterator) (holdfast.Position, change, error) {
	value, err := it.ValueAndErr()
	if err != nil {
		return holdfast.Position{}, change{}, h.engine.fault("reading the log", err)
	}
	p, ok := logPosition(it.Key())
	c, err := decodeChange(string(value))
	if !ok && err == nil {
		err = errLog()
	}
	if err != nil {
		return holdfast.Position{}, change{}, h.engine.damaged(h.id, it.Key(), err)
	}
	return p, c, nil
}

// firstAt returns the first transaction of [from, end) whose time is at or behind nanos, or end.
func (h *history) firstAt(it *pebble.Iterator, from, end uint64, nanos int64) (uint64, error) {
	if end < from {
		return from, nil
	}
	var failed error
	n := sort.Search(int(end-from), func(i int) bool {
		at, err := h.timeOf(it, from+uint64(i))
		if err != nil {
			failed = err
		}
		return err != nil || at >= nanos
	})
	return from + uint64(n), failed
}

// timeOf returns the time of a transaction that is kept.
func (h *history) timeOf(it *pebble.Iterator, index uint64) (int64, error) {
	if !it.SeekGE(appendLogKey(nil, h.id, holdfast.Position{Index: index})) {
		if err := it.Error(); err != nil {
			return 0, h.engine.fault("reading the log", err)
		}
		return 0, holdfast.Errorf(holdfast.Gone, "transaction %d of shard %d is no longer kept", index, h.id)
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return 0, h.engine.fault("reading the log", err)
	}
	if len(value) < timeOffset+8 || value[0] != changeVersion {
		return 0, h.engine.damaged(h.id, it.Key(), errLog())
	}
	return int64(binary.BigEndian.Uint64(value[timeOffset:])), nil
}

// trimmedTo returns what h.trim becomes if all changes before a time are removed, but for the
// newest one on disk.
func (h *history) trimmedTo(nanos int64) (trimming, error) {
	h.sequencer.mu.Lock()
	now := h.trim
	h.sequencer.mu.Unlock()
	newest := h.sequencer.durable.at.Load()
	if newest <= now.oldest {
		return now, nil
	}
	it, err := h.iter(h.engine.db, holdfast.Position{}, holdfast.Position{})
	if err != nil {
		return trimming{}, err
	}
	defer it.Close()
	oldest, err := h.firstAt(it, now.oldest, newest, nanos)
	if err != nil || oldest == now.oldest {
		return now, err
	}
	ok := it.SeekLT(appendLogKey(nil, h.id, holdfast.Position{Index: oldest}))
	if ok && isLink(it.Key()) {
		ok = it.Prev()
	}
	if !ok {
		return now, h.engine.fault("reading the log", it.Error())
	}
	_, c, err := h.changeAt(it)
	if err != nil {
		return trimming{}, err
	}
	last, err := decodeTally(c.tally)
	if err != nil {
		return trimming{}, h.engine.damaged(h.id, it.Key(), err)
	}
	return trimming{oldest: oldest, logged: last.logged, at: c.at}, nil
}

// link adds a link from the change at made to the item's next change to the batch, unless the
// former is no longer kept. sequencer.mu is held.
func (h *history) link(b *pebble.Batch, made, next holdfast.Position) error {
	if made.Index < h.trim.oldest {
		return nil
	}
	var value [20]byte
	to := appendPosition(value[:0], next)
	op := b.SetDeferred(logBytes+1, len(to))
	appendLinkKey(op.Key[:0], h.id, made)
	copy(op.Value, to)
	return op.Finish()
}
