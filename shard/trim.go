package shard

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
)

// Trim removes the changes that are older than Options.LogAge from the logs of all open shards that
// have no group or whose replica here leads it, and then, if all these logs together have more than
// Options.LogBytes, the oldest changes. Each shard keeps its newest transaction, and the changes that
// a follower hasn't applied. The ledger keeps its newest transaction only: nothing reads its changes,
// and neither its age nor its size is that of a stream or of what a restore needs.
func (s *Store) Trim(ctx context.Context) error {
	if err := s.gate.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	s.trims.Lock()
	defer s.trims.Unlock()
	cutoff := s.now().Add(-s.logAge).UnixNano()
	shards := led(s.opened())
	if err := trimAll(ctx, shards, cutoff); err != nil {
		return err
	}
	if logged(shards) <= s.logBytes {
		return nil
	}
	cutoff, err := s.cutoff(ctx, shards, cutoff, s.logBytes-s.logBytes/trimShare)
	if err != nil {
		return err
	}
	return trimAll(ctx, shards, cutoff)
}

// led returns those of the shards whose entries are decided here: a log is trimmed by the replica that
// leads, for all of them.
func led(shards []*Shard) []*Shard {
	return slices.DeleteFunc(shards, func(sh *Shard) bool {
		_, err := sh.group.leads()
		return err != nil
	})
}

// trimAll removes the changes before a time from the logs of shards, with one sync.
func trimAll(ctx context.Context, shards []*Shard, nanos int64) error {
	var trims []*staged
	var failed error
	for _, sh := range shards {
		p, err := sh.trimTo(ctx, nanos)
		if errors.Is(err, holdfast.NotLeader) || errors.Is(err, holdfast.Refused) {
			continue // another replica leads now
		}
		if err != nil {
			failed = err
			break
		}
		if p != nil {
			trims = append(trims, p)
		}
	}
	for _, p := range trims {
		failed = errors.Join(failed, p.wait())
	}
	return failed
}

// trimShare is the part of Options.LogBytes, a sixteenth, that is trimmed beyond need, so that not
// each call has something to do.
const trimShare = 16

// logged returns how many bytes the logs of shards have.
func logged(shards []*Shard) int64 {
	total := int64(0)
	for _, sh := range shards {
		total += sh.Counts().LogBytes
	}
	return total
}

// cutoff returns the time, not before from, after which the logs have at most so many bytes. It
// bisects the time down to a millisecond.
func (s *Store) cutoff(ctx context.Context, shards []*Shard, from, bytes int64) (int64, error) {
	const millisecond = 1e6
	low, high := from, s.now().UnixNano()
	for _, sh := range shards {
		sh.sequencer.mu.Lock()
		high = max(high, sh.tally.at+1)
		sh.sequencer.mu.Unlock()
	}
	for high-low > millisecond {
		middle := low + (high-low)/2
		held := int64(0)
		for _, sh := range shards {
			if ctx.Err() != nil {
				return 0, ended(ctx)
			}
			h, err := loggedFrom(sh, middle)
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
func loggedFrom(sh *Shard, nanos int64) (int64, error) {
	to, err := sh.history.trimmedTo(nanos, math.MaxUint64)
	if err != nil {
		return 0, err
	}
	sh.sequencer.mu.Lock()
	defer sh.sequencer.mu.Unlock()
	return int64(sh.tally.logged - to.logged), nil
}

// trimTo proposes to remove the changes before a time, unless there are none: then it returns nil.
func (sh *Shard) trimTo(ctx context.Context, nanos int64) (*staged, error) {
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	sh.schemas.RLock() // keeps Drop away
	defer sh.schemas.RUnlock()
	if sh.isDropped() {
		return nil, nil
	}
	if l := sh.store.ledger.Load(); l != nil && l.shard == sh {
		nanos = math.MaxInt64
	}
	p, err := decide(ctx, sh, func() (body, error) {
		to, err := sh.history.trimmedTo(nanos, floor(sh))
		if err != nil || to.oldest <= sh.Oldest().Index {
			return nil, err
		}
		return &trimBody{to}, nil
	}, sh.engine.db)
	if err != nil || p == nil {
		return nil, err
	}
	return p, p.propose(true)
}

// A trimBody removes the changes before a place in the log of changes. Its form for a log is that of
// the trimming.
type trimBody struct{ to trimming }

func decodeTrim(r *reader) (body, error) {
	to, err := decodeTrimming(r.rest)
	if err != nil {
		return nil, errEntry()
	}
	r.rest = ""
	return &trimBody{to}, nil
}

func (x *trimBody) kind() entryKind { return entryTrim }

func (x *trimBody) appendTo(dst []byte) []byte { return x.to.appendTo(dst) }

func (x *trimBody) stage(*entry, *pebble.Batch, pebble.Reader) error { return nil }

func (x *trimBody) apply(e *entry, b *pebble.Batch) error {
	from := e.shard.history.trim.oldest
	if x.to.oldest <= from || x.to.oldest > e.tx.Index {
		return holdfast.Errorf(holdfast.Invalid, "entry %v trims to %d: the oldest is %d", e.tx, x.to.oldest, from)
	}
	first := e.shard.keys.appendChange(nil, holdfast.Position{Index: from})
	end := e.shard.keys.appendChange(nil, holdfast.Position{Index: x.to.oldest})
	if err := b.DeleteRange(first, end, nil); err != nil {
		return err
	}
	return b.Set(e.shard.keys.meta(metaTrim), x.to.appendTo(nil), nil)
}

// install raises the oldest position before a reader can miss a change: see history.changes.
func (x *trimBody) install(e *entry) { e.shard.history.trim = x.to }
