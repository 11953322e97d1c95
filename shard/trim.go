package shard

import (
	"context"
	"math"

	"holdfast"
)

// Trim removes the changes that are older than Options.LogAge from the logs of all open shards, and
// then, if all logs together have more than Options.LogBytes, the oldest changes. Each shard keeps
// its newest transaction, and the changes that a follower hasn't applied.
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

// trimShare is the part of Options.LogBytes, a sixteenth, that is trimmed beyond need, so that not
// each call has something to do.
const trimShare = 16

// logged returns how many bytes the logs of open shards have.
func (s *Store) logged() int64 {
	total := int64(0)
	for _, sh := range s.opened() {
		total += sh.Counts().LogBytes
	}
	return total
}

// cutoff returns the time, not before from, after which the logs have at most so many bytes. It
// bisects the time down to a millisecond.
func (s *Store) cutoff(ctx context.Context, from, bytes int64) (int64, error) {
	const millisecond = 1e6
	low, high := from, s.now().UnixNano()
	for _, sh := range s.opened() {
		sh.sequencer.mu.Lock()
		high = max(high, sh.tally.at+1)
		sh.sequencer.mu.Unlock()
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

// loggedFrom returns how many bytes of the log would be kept if it were trimmed to a time, and no
// follower needed more: then what one follower keeps doesn't cost other shards their changes.
func (sh *Shard) loggedFrom(nanos int64) (int64, error) {
	to, err := sh.history.trimmedTo(nanos, math.MaxUint64)
	if err != nil {
		return 0, err
	}
	sh.sequencer.mu.Lock()
	defer sh.sequencer.mu.Unlock()
	return int64(sh.tally.logged - to.logged), nil
}

// trimTo removes the changes before a time. It doesn't wait for the disk: a crash only brings them
// back.
func (sh *Shard) trimTo(ctx context.Context, nanos int64) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	sh.schemas.RLock() // keeps Drop away
	defer sh.schemas.RUnlock()
	if sh.isDropped() {
		return nil
	}
	to, err := sh.history.trimmedTo(nanos, floor(sh))
	if err != nil {
		return err
	}
	sh.sequencer.mu.Lock()
	defer sh.sequencer.mu.Unlock()
	from := sh.history.trim
	if to.oldest <= from.oldest {
		return nil
	}
	if err := sh.store.space.admitRemoval(0); err != nil {
		return err
	}
	sh.history.trim = to
	b := sh.engine.db.NewBatch()
	defer b.Close()
	first := sh.keys.appendChange(nil, holdfast.Position{Index: from.oldest})
	end := sh.keys.appendChange(nil, holdfast.Position{Index: to.oldest})
	if err := b.DeleteRange(first, end, nil); err != nil {
		return sh.engine.fault("trimming", err)
	}
	if err := b.Set(sh.keys.meta(metaTrim), to.appendTo(nil), nil); err != nil {
		return sh.engine.fault("trimming", err)
	}
	return sh.engine.submitNoSync(b)
}
