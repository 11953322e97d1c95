package shard

import (
	"errors"
	"slices"
	"sync/atomic"

	"holdfast"
)

// A way is that of an entry from when it is proposed to its group until its outcome is known. Two
// things happen to it, which its acknowledgement puts in order:
//
//	SemiSync   the entry is committed, applied, and thereby acknowledged
//	Async      it is acknowledged, then committed and applied
//	Sync       it is committed and applied, then acknowledged; and so is SemiSync with many followers
//
// An entry that isn't applied may be lost yet, so nothing shows what it does: readers see what is
// applied. Other commits are decided by it, see overlay.
type way struct {
	shard  *Shard
	term   uint64 // in which the entry is decided
	async  bool
	behind []*way // by which it was decided, until it has a place or an outcome

	// The first is closed when the entry is applied, or it is certain that it never will be, or it isn't
	// known; then fate says which: nil, or an error. The second is closed when it is acknowledged, or
	// won't be; then err is nil or says why. By default both are the same.
	applied, acknowledged chan struct{}
	fate, err             error
	tx                    holdfast.TxID // set before the first of them that is closed without an error

	refused atomic.Bool // fate is an error by which the entry never will be applied
	early   bool        // Early was called; the group's
	stripes []int       // where the overlay has its images; set before it is proposed
	one     [1]int      // the memory of a commit's that has one
}

func newWay(e *entry, behind []*way) *way {
	w := &way{shard: e.shard, term: e.term, async: e.acknowledge.Mode == holdfast.Async,
		behind: slices.Clone(behind), applied: make(chan struct{})}
	w.acknowledged, w.stripes = w.applied, w.one[:0]
	if e.acknowledge != (holdfast.Acknowledge{}) {
		w.acknowledged = make(chan struct{})
	}
	return w
}

// Stands implements Proposer. What was decided by an entry that will never be is refused with it, so
// that no entry is in the log without those that it was decided by.
func (w *way) Stands() error {
	for _, b := range w.behind {
		if b.refused.Load() {
			return b.fate
		}
	}
	w.behind = nil
	return nil
}

// Early implements Proposer.
func (w *way) Early(tx holdfast.TxID) {
	if w.acknowledged == w.applied {
		return
	}
	w.early, w.tx = true, tx
	if w.async {
		close(w.acknowledged)
		return
	}
	w.land(nil)
}

// Ended implements Proposer.
func (w *way) Ended(tx holdfast.TxID, err error) {
	if !w.early {
		w.tx = tx
	}
	w.behind = nil
	if !w.early || !w.async {
		w.err = err
	}
	if !w.early || w.async {
		w.land(err)
	}
	if w.acknowledged != w.applied && (!w.early || !w.async) {
		close(w.acknowledged)
	}
}

// land notes what has become of the entry: whoever looks at what the shard has applied finds it by now.
func (w *way) land(fate error) {
	w.fate = fate
	w.refused.Store(fate != nil && !errors.Is(fate, holdfast.Unavailable))
	w.shard.group.overlay.remove(w)
	close(w.applied)
}

// waitApplied returns when the entry is applied; other outcomes are errors. It is Unavailable if done is
// closed first.
func (w *way) waitApplied(done <-chan struct{}) error {
	if !closedBefore(done, w.applied) {
		return errUnknown(w.shard)
	}
	return w.fate
}

// waitAcknowledged returns when the entry is acknowledged, and what it was decided by is committed.
// That is implied but for one that is acknowledged before it is committed: behind are the ways of
// those that it was decided by. The error is Unavailable if done is closed first.
func (w *way) waitAcknowledged(done <-chan struct{}, behind []*way) error {
	if !closedBefore(done, w.acknowledged) {
		return errUnknown(w.shard)
	}
	if w.err != nil || !w.async {
		return w.err
	}
	for _, b := range behind {
		if !closedBefore(done, b.applied) {
			return errUnknown(w.shard)
		}
		if b.fate != nil {
			return w.waitApplied(done) // which won't be either
		}
	}
	return nil
}

// closedBefore waits for a channel to be closed. It returns false if done is closed first.
func closedBefore(done, wanted <-chan struct{}) bool {
	if isClosed(wanted) {
		return true
	}
	select {
	case <-wanted:
		return true
	case <-done:
		return false
	}
}
