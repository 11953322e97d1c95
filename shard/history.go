package shard

import (
	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// A history is the log of a shard's changes in its database. It reads items too: the after-image of
// an item's last change is the item itself.
type history struct {
	engine    *engine
	keys      keys
	items     *items
	sequencer *sequencer
	trim      trimming // guarded by sequencer.mu
}

// oldest returns the first position that is kept, at or before the oldest change.
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
	// A trim raises h.trim before it changes the database. So a reader that finds its position still
	// kept after it got its view sees all changes from there on, whatever is trimmed afterwards.
	oldest := h.oldest()
	if from == (holdfast.Position{}) {
		from = oldest
	}
	if err := h.keptFrom(oldest, from); err != nil {
		return nil, holdfast.Position{}, err
	}
	it, err := h.iter(view, from, holdfast.Position{Index: durable + 1})
	if err != nil {
		return nil, holdfast.Position{}, err
	}
	defer it.Close()
	changes, next, all, err := h.collect(view, it, from, limit)
	if err == nil {
		err = h.engine.fault("reading the log", it.Error())
	}
	if err != nil {
		return nil, holdfast.Position{}, err
	}
	if all && next.Index <= durable { // the newest entries make no change
		next = holdfast.Position{Index: durable + 1}
	}
	return changes, next, nil
}

// collect returns the changes from the first of the iterator on, and whether these are all.
func (h *history) collect(
	view pebble.Reader, it *pebble.Iterator, from holdfast.Position, limit Limit,
) (changes []Change, next holdfast.Position, all bool, err error) {
	next = from
	bytes := 0
	ok := it.First()
	for ok && len(changes) < limit.Changes {
		p, raw, err := h.changeAt(it)
		if err != nil {
			return nil, holdfast.Position{}, false, err
		}
		ok = it.Next()
		after, err := h.afterImage(view, p, &raw, it)
		if err != nil {
			return nil, holdfast.Position{}, false, err
		}
		if ok && isLink(it.Key()) {
			ok = it.Next()
		}
		bytes += raw.size() + len(after)
		if bytes > limit.Bytes && len(changes) > 0 {
			return changes, next, false, nil
		}
		c, err := raw.decoded(h.keys.shard, p, after)
		if err != nil {
			return nil, holdfast.Position{}, false, h.engine.damaged(h.keys.shard, []byte(raw.key), err)
		}
		changes = append(changes, c)
		next = raw.behind(p)
	}
	return changes, next, !ok, nil
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
		return "", h.engine.damaged(h.keys.shard, []byte(c.key), errLog())
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
		return "", h.engine.damaged(h.keys.shard, it.Key(), err)
	}
	b, ok, err := h.engine.read(view, h.keys.appendChange(nil, p))
	if err != nil {
		return "", err
	}
	next, err := decodeChange(b)
	if !ok || err != nil || !next.hasBefore || next.key != c.key {
		return "", h.engine.damaged(h.keys.shard, it.Key(), errLog())
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
func (h *history) kept(p holdfast.Position) error { return h.keptFrom(h.oldest(), p) }

// keptFrom is kept where the oldest position is known.
func (h *history) keptFrom(oldest, p holdfast.Position) error {
	if isClosed(h.items.dropped) {
		return errDropped(h.keys.shard)
	}
	if p.Compare(oldest) < 0 {
		return holdfast.Errorf(holdfast.Gone, "position %d.%d of shard %d is no longer kept: the oldest is %d.%d",
			p.Index, p.N, h.keys.shard, oldest.Index, oldest.N)
	}
	return nil
}

// iter returns an iterator over the log from a position to another; zero is the beginning, or the
// end.
func (h *history) iter(from pebble.Reader, first, end holdfast.Position) (*pebble.Iterator, error) {
	lower, upper := h.keys.changes()
	if first != (holdfast.Position{}) {
		lower = h.keys.appendChange(nil, first)
	}
	if end != (holdfast.Position{}) {
		upper = h.keys.appendChange(nil, end)
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
		return holdfast.Position{}, change{}, h.engine.damaged(h.keys.shard, it.Key(), err)
	}
	return p, c, nil
}

// newestAt goes to the last change of the newest transaction whose index is at most that, and
// returns it with the tally after it; !ok: there is none that is kept. Indexes have gaps, since
// some entries make no change.
func (h *history) newestAt(it *pebble.Iterator, index uint64) (p holdfast.Position, t tally, ok bool, err error) {
	ok = it.SeekLT(h.keys.appendChange(nil, holdfast.Position{Index: index + 1}))
	for ok && isLink(it.Key()) {
		ok = it.Prev()
	}
	if !ok {
		return holdfast.Position{}, tally{}, false, h.engine.fault("reading the log", it.Error())
	}
	p, c, err := h.changeAt(it)
	if err != nil {
		return holdfast.Position{}, tally{}, false, err
	}
	if t, err = decodeTally(c.tally); err != nil {
		return holdfast.Position{}, tally{}, false, h.engine.damaged(h.keys.shard, it.Key(), err)
	}
	return p, t, true, nil
}

// newest returns the tally of the newest change that is kept; zero if there is none.
func (h *history) newest(from pebble.Reader) (t tally, err error) {
	it, err := h.iter(from, holdfast.Position{}, holdfast.Position{})
	if err != nil {
		return tally{}, err
	}
	defer it.Close()
	if !it.Last() {
		return tally{}, h.engine.fault("opening a shard", it.Error())
	}
	p, c, err := h.changeAt(it)
	if err != nil {
		return tally{}, err
	}
	if t, err = decodeTally(c.tally); err == nil && t.applied != p.Index {
		err = errLog()
	}
	if err != nil {
		return tally{}, h.engine.damaged(h.keys.shard, it.Key(), err)
	}
	return t, nil
}

// lastBefore returns the index of the newest transaction of [from, end) whose tally's time, which
// never falls, is before nanos; !ok if there is none. It bisects, and looks at each step for the
// newest transaction at or before the middle.
func (h *history) lastBefore(
	it *pebble.Iterator, from, end uint64, nanos int64,
) (last uint64, t tally, ok bool, err error) {
	for from < end {
		middle := from + (end-from)/2
		p, then, there, err := h.newestAt(it, middle)
		if err != nil {
			return 0, tally{}, false, err
		}
		if !there || p.Index < from { // all up to the middle is a gap
			from = middle + 1
			continue
		}
		if then.at >= nanos {
			end = p.Index
			continue
		}
		last, t, ok = p.Index, then, true
		from = middle + 1
	}
	return last, t, ok, nil
}

// trimmedTo returns what h.trim becomes if all changes of transactions before a time are removed,
// but for the newest one on disk, and for those from the transaction floor on.
func (h *history) trimmedTo(nanos int64, floor uint64) (trimming, error) {
	h.sequencer.mu.Lock()
	now := h.trim
	h.sequencer.mu.Unlock()
	it, err := h.iter(h.engine.db, holdfast.Position{}, holdfast.Position{})
	if err != nil {
		return trimming{}, err
	}
	defer it.Close()
	newest, _, ok, err := h.newestAt(it, h.sequencer.durable.at.Load())
	if err != nil || !ok || newest.Index <= now.oldest {
		return now, err
	}
	last, t, ok, err := h.lastBefore(it, now.oldest, min(newest.Index, floor), nanos)
	if err != nil || !ok {
		return now, err
	}
	return trimming{oldest: last + 1, logged: t.logged, at: t.at}, nil
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
	h.keys.appendLink(op.Key[:0], made)
	copy(op.Value, to)
	return op.Finish()
}
