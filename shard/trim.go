package shard

import (
	"context"

	"github.com/cockroachdb/pebble/v2"
)

// Trim removes the changes that are older than Options.LogAge from the logs of all open shards, and then, if all logs together
// have more than Options.LogBytes, the oldest of them. Each shard keeps its newest transaction.
func (s *Store) Trim(ctx context.Context) error {
	if err := s.gate.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	s.trims.Lock()
	defer s.trims.Unlock()
	cutoff := s.now().Add(-s.logAge).UnixNano()
	for _, sh := range s.opened() {
		if err := sh.trimTo(ctx, cutoff); err != nil {
			return err
		}
	}
	if s.logged() <= s.logBytes {
		return nil
	}
	cutoff, err := s.cutoff(ctx, cutoff, s.logBytes-s.logBytes/trimShare)
	if err != nil {
		return err
	}
	for _, sh := range s.opened() {
		if err := sh.trimTo(ctx, cutoff); err != nil {
			return err
		}
	}
	return nil
}

// trimShare is of Options.LogBytes the part that is trimmed beyond need, so that not each call has something to do.
const trimShare = 16

// logged returns how many bytes the logs of open shards have.
func (s *Store) logged() int64 {
	total := int64(0)
	for _, sh := range s.opened() {
		total += sh.Counts().LogBytes
	}
	return total
}

// cutoff returns the time, not before from, behind which the logs have at most so many bytes. It halves the time that it may be until that is
// a millisecond.
func (s *Store) cutoff(ctx context.Context, from, bytes int64) (int64, error) {
	const millisecond = 1e6
	low, high := from, s.now().UnixNano()
	for _, sh := range s.opened() {
		sh.line.mu.Lock()
		high = max(high, sh.tally.at+1)
		sh.line.mu.Unlock()
	}
	for high-low > millisecond {
		middle := low + (high-low)/2
		held := int64(0)
		for _, sh := range s.opened() {
			if ctx.Err() != nil {
				return 0, ended(ctx)
			}
			h, err := sh.loggedFrom(middle)
			if err != nil {
				return 0, err
			}
			held += h
		}
		if held <= bytes {
			high = middle
		} else {
			low = middle
		}
	}
	return high, nil
}

// loggedFrom returns how many bytes would be kept of a log that is trimmed to a time.
func (sh *Shard) loggedFrom(nanos int64) (int64, error) {
	to, err := sh.trimming(nanos)
	if err != nil {
		return 0, err
	}
	sh.line.mu.Lock()
	defer sh.line.mu.Unlock()
	return int64(sh.tally.logged - to.logged), nil
}

// trimming returns what there would be to know if all changes before a time were removed, but for the newest on disk.
func (sh *Shard) trimming(nanos int64) (trimming, error) {
	sh.line.mu.Lock()
	now := sh.trim
	sh.line.mu.Unlock()
	newest := sh.line.durable.at.Load()
	if newest <= now.oldest {
		return now, nil
	}
	it, err := sh.logIter(sh.store.db, Position{}, Position{})
	if err != nil {
		return trimming{}, err
	}
	defer it.Close()
	oldest, err := sh.firstAt(it, now.oldest, newest, nanos)
	if err != nil || oldest == now.oldest {
		return now, err
	}
	ok := it.SeekLT(appendLogKey(nil, sh.id, Position{Index: oldest}))
	if ok && isLink(it.Key()) {
		ok = it.Prev()
	}
	if !ok {
		return now, sh.store.fault("reading the log", it.Error())
	}
	_, c, err := sh.changeAt(it)
	if err != nil {
		return trimming{}, err
	}
	last, err := decodeTally(c.tally)
	if err != nil {
		return trimming{}, sh.store.damaged(sh.id, it.Key(), err)
	}
	return trimming{oldest: oldest, logged: last.logged, at: c.at}, nil
}

// trimTo removes the changes before a time. It need not wait for the disk: a crash only brings them back.
func (sh *Shard) trimTo(ctx context.Context, nanos int64) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	sh.schemas.RLock() // keeps Drop away
	defer sh.schemas.RUnlock()
	if sh.isDropped() {
		return nil
	}
	to, err := sh.trimming(nanos)
	if err != nil {
		return err
	}
	sh.line.mu.Lock()
	defer sh.line.mu.Unlock()
	from := sh.trim
	if to.oldest <= from.oldest {
		return nil
	}
	if err := sh.store.space.admitRemoval(0); err != nil {
		return err
	}
	sh.trim = to
	b := sh.store.db.NewBatch()
	defer b.Close()
	first := appendLogKey(nil, sh.id, Position{Index: from.oldest})
	end := appendLogKey(nil, sh.id, Position{Index: to.oldest})
	if err := b.DeleteRange(first, end, nil); err != nil {
		return sh.store.fault("trimming", err)
	}
	if err := b.Set(metaKey(sh.id, metaTrim), to.appendTo(nil), nil); err != nil {
		return sh.store.fault("trimming", err)
	}
	return sh.store.handLazily(b)
}

// handLazily gives Pebble a batch that is on disk with the next one that is synced.
func (s *Store) handLazily(b *pebble.Batch) error {
	return s.guardedly(func() error { return s.db.Apply(b, pebble.NoSync) })
}
