package shard

import "holdfast"

// A Limit is how much Changes returns at most, but always one change if there is one.
type Limit struct {
	Changes int // 0: 1000
	Bytes   int // as they are on disk; 0: 1 MiB
}

// Changes returns the changes from a position on, in order, and the position behind them. All of
// them are on disk. The zero position is that of the oldest change that is kept. The error is Gone
// if from is before it. Not each index has a change. Behind the last change on disk, next is End.
func (sh *Shard) Changes(from holdfast.Position, limit Limit) (changes []Change, next holdfast.Position, err error) {
	if err := sh.store.gate.enter(); err != nil {
		return nil, holdfast.Position{}, err
	}
	defer sh.store.gate.leave()
	if limit.Changes <= 0 {
		limit.Changes = 1000
	}
	if limit.Bytes <= 0 {
		limit.Bytes = 1 << 20
	}
	return sh.history.changes(from, limit)
}

// Oldest returns the first position that is kept: that of the oldest change, or before it, if what
// comes before it makes no change.
func (sh *Shard) Oldest() holdfast.Position { return sh.history.oldest() }

// End returns the position behind the last entry on disk.
func (sh *Shard) End() holdfast.Position {
	return holdfast.Position{Index: sh.sequencer.durable.at.Load() + 1}
}
