package shard

import (
	"context"
	"encoding/binary"
	"sort"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// A Limit is how much Changes returns at most, but always one change if there is one.
type Limit struct {
	Changes int // 0: 1000
	Bytes   int // as they are on disk; 0: 1 MiB
}

// Changes returns the changes from a position on, in order, and the position behind them. They are all on disk. The zero position is
// that of the oldest change that is kept. The error is Gone if from is before it.
func (sh *Shard) Changes(from Position, limit Limit) (changes []Change, next Position, err error) {
	if err := sh.store.gate.enter(); err != nil {
		return nil, Position{}, err
	}
	defer sh.store.gate.leave()
	if limit.Changes <= 0 {
		limit.Changes = 1000
	}
	if limit.Bytes <= 0 {
		limit.Bytes = 1 << 20
	}
	durable := sh.line.durable.at.Load()
	if from != (Position{}) && from.Index > durable {
		return nil, from, sh.kept(from)
	}
	moment := sh.store.db.NewSnapshot()
	defer moment.Close()
	if from == (Position{}) {
		from = sh.Oldest()
	}
	// What is trimmed is gone for readers before it is on disk, so a reader that finds its position kept after it got its
	// snapshot sees all from there on.
	if err := sh.kept(from); err != nil {
		return nil, Position{}, err
	}
	it, err := sh.logIter(moment, from, Position{Index: durable + 1})
	if err != nil {
		return nil, Position{}, err
	}
	defer it.Close()
	changes, next, err = sh.collect(moment, it, from, limit)
	if err == nil {
		err = sh.store.fault("reading the log", it.Error())
	}
	if err != nil {
		return nil, Position{}, err
	}
	return changes, next, nil
}

// collect returns the changes from the first of the iterator on.
func (sh *Shard) collect(moment pebble.Reader, it *pebble.Iterator, from Position, limit Limit) (changes []Change, next Position, err error) {
	next = from
	bytes := 0
	for ok := it.First(); ok && len(changes) < limit.Changes; {
		p, raw, err := sh.changeAt(it)
		if err != nil {
			return nil, Position{}, err
		}
		ok = it.Next()
		after, err := sh.afterImage(moment, p, &raw, it)
		if err != nil {
			return nil, Position{}, err
		}
		if ok && isLink(it.Key()) {
			ok = it.Next()
		}
		bytes += raw.size() + len(after)
		if bytes > limit.Bytes && len(changes) > 0 {
			break
		}
		c, err := raw.decoded(sh.id, p, after)
		if err != nil {
			return nil, Position{}, sh.store.damaged(sh.id, []byte(raw.key), err)
		}
		changes = append(changes, c)
		next = raw.behind(p)
	}
	return changes, next, nil
}

// afterImage returns what the change at p made of its item: the before-image of the change that it is linked to, or the item.
// The iterator is behind the change.
func (sh *Shard) afterImage(moment pebble.Reader, p Position, c *change, it *pebble.Iterator) (raw string, err error) {
	if !c.hasAfter {
		return "", nil
	}
	if it.Valid() && isLink(it.Key()) {
		return sh.linkedImage(moment, c, it)
	}
	is, err := sh.imageIn(moment, item.Key(c.key))
	if err != nil {
		return "", err
	}
	if is.made != p {
		return "", sh.store.damaged(sh.id, []byte(c.key), errLog())
	}
	return is.raw, nil
}

// linkedImage returns the before-image of the change that the link names where the iterator is.
func (sh *Shard) linkedImage(moment pebble.Reader, c *change, it *pebble.Iterator) (raw string, err error) {
	value, err := it.ValueAndErr()
	if err != nil {
		return "", sh.store.fault("reading the log", err)
	}
	p, _, err := cutPosition(string(value))
	if err != nil {
		return "", sh.store.damaged(sh.id, it.Key(), err)
	}
	b, ok, err := sh.store.read(moment, appendLogKey(nil, sh.id, p))
	if err != nil {
		return "", err
	}
	next, err := decodeChange(b)
	if !ok || err != nil || !next.hasBefore || next.key != c.key {
		return "", sh.store.damaged(sh.id, it.Key(), errLog())
	}
	return next.before, nil
}

// behind returns the position behind a change that is at p.
func (c *change) behind(p Position) Position {
	if c.last {
		return Position{Index: p.Index + 1}
	}
	return Position{Index: p.Index, N: p.N + 1}
}

// kept returns the error of a position that is no longer kept, or of a shard that is no more.
func (sh *Shard) kept(p Position) error {
	if sh.isDropped() {
		return errDropped(sh.id)
	}
	if oldest := sh.Oldest(); p.Compare(oldest) < 0 {
		return holdfast.Errorf(holdfast.Gone, "position %d.%d of shard %d is no longer kept: the oldest is %d.%d",
			p.Index, p.N, sh.id, oldest.Index, oldest.N)
	}
	return nil
}

// logIter returns an iterator over the log from a position to another; zero is the beginning, or the end.
func (sh *Shard) logIter(from pebble.Reader, first, end Position) (*pebble.Iterator, error) {
	lower, upper := kindBounds(sh.id, kindLog)
	if first != (Position{}) {
		lower = appendLogKey(nil, sh.id, first)
	}
	if end != (Position{}) {
		upper = appendLogKey(nil, sh.id, end)
	}
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, sh.store.fault("reading the log", err)
	}
	return it, nil
}

// changeAt returns the change where the iterator is.
func (sh *Shard) changeAt(it *pebble.Iterator) (Position, change, error) {
	value, err := it.ValueAndErr()
	if err != nil {
		return Position{}, change{}, sh.store.fault("reading the log", err)
	}
	p, ok := logPosition(it.Key())
	c, err := decodeChange(string(value))
	if !ok && err == nil {
		err = errLog()
	}
	if err != nil {
		return Position{}, change{}, sh.store.damaged(sh.id, it.Key(), err)
	}
	return p, c, nil
}

// Oldest returns the position of the oldest change that is kept, or, if there never was one, of the first that will be.
func (sh *Shard) Oldest() Position {
	sh.line.mu.Lock()
	defer sh.line.mu.Unlock()
	return Position{Index: sh.trim.oldest}
}

// End returns the position behind the last change on disk.
func (sh *Shard) End() Position { return Position{Index: sh.line.durable.at.Load() + 1} }

// Await returns when there is a change at p or behind it, on disk. The error is Closed when the store closes or the shard is dropped,
// and Overloaded when ctx ends.
func (sh *Shard) Await(ctx context.Context, p Position) error {
	s := sh.store
	if err := s.gate.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	for {
		durable := sh.line.durable.at.Load()
		there, err := sh.reaches(p, durable)
		if err != nil || there {
			return err
		}
		rise := sh.line.durable.rises(max(p.Index, durable+1))
		if rise == nil {
			continue
		}
		select {
		case <-rise:
		case <-ctx.Done():
			return ended(ctx)
		case <-sh.dropped:
			return errDropped(sh.id)
		case <-s.closing:
			return errClosed()
		case <-s.broken:
			return errBroken()
		}
	}
}

// reaches says whether the log, which is on disk up to a transaction, has a change at p or behind it. Only where p is within the last
// transaction does it need to look.
func (sh *Shard) reaches(p Position, durable uint64) (bool, error) {
	if p.Index != durable || durable == 0 || p.N == 0 {
		return durable > 0 && p.Index <= durable, nil
	}
	it, err := sh.logIter(sh.store.db, p, Position{Index: durable + 1})
	if err != nil {
		return false, err
	}
	defer it.Close()
	there := it.First()
	return there, sh.store.fault("reading the log", it.Error())
}

// PositionAt returns the position of the first change that is kept and was committed at t or later; behind the last if there is none.
func (sh *Shard) PositionAt(t time.Time) (Position, error) {
	if err := sh.store.gate.enter(); err != nil {
		return Position{}, err
	}
	defer sh.store.gate.leave()
	it, err := sh.logIter(sh.store.db, Position{}, Position{})
	if err != nil {
		return Position{}, err
	}
	defer it.Close()
	index, err := sh.firstAt(it, sh.Oldest().Index, sh.line.durable.at.Load()+1, t.UnixNano())
	return Position{Index: index}, err
}

// firstAt returns the first transaction of [from, end) whose time is at or behind nanos, or end.
func (sh *Shard) firstAt(it *pebble.Iterator, from, end uint64, nanos int64) (uint64, error) {
	if end < from {
		return from, nil
	}
	var failed error
	n := sort.Search(int(end-from), func(i int) bool {
		at, err := sh.timeOf(it, from+uint64(i))
		if err != nil {
			failed = err
		}
		return err != nil || at >= nanos
	})
	return from + uint64(n), failed
}

// timeOf returns the time of a transaction that is kept.
func (sh *Shard) timeOf(it *pebble.Iterator, index uint64) (int64, error) {
	if !it.SeekGE(appendLogKey(nil, sh.id, Position{Index: index})) {
		if err := it.Error(); err != nil {
			return 0, sh.store.fault("reading the log", err)
		}
		return 0, holdfast.Errorf(holdfast.Gone, "transaction %d of shard %d is no longer kept", index, sh.id)
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return 0, sh.store.fault("reading the log", err)
	}
	if len(value) < timeOffset+8 || value[0] != changeVersion {
		return 0, sh.store.damaged(sh.id, it.Key(), errLog())
	}
	return int64(binary.BigEndian.Uint64(value[timeOffset:])), nil
}
