package shard

import "holdfast"

// A way is that of an entry whose group does one of two things before the other: it acknowledges the
// entry, and applies it.
//
//	SemiSync   the entry is committed, applied, and thereby acknowledged; there is no way
//	Async      it is acknowledged, then committed and applied
//	Sync       it is committed and applied, then acknowledged; and so is SemiSync with many followers
//
// An entry that is acknowledged first may be lost yet, so nothing shows what it does: readers see
// what is applied. Another write of its items must be decided by what it does, and can't be before
// that is certain: so its latches stay until it is applied, or is known never to be.
type way struct {
	async bool
	early chan holdfast.TxID // gets the entry's place at the first of the two, if the other comes later
	ended chan struct{}      // closed at the other; then tx and err are set
	tx    holdfast.TxID
	err   error
}

// goOn proposes an entry.
func goOn(g Group, p Proposal) *way {
	w := &way{async: p.Acknowledge.Mode == holdfast.Async, early: make(chan holdfast.TxID, 1),
		ended: make(chan struct{})}
	p.Early = w.early
	go func() {
		w.tx, w.err = g.Propose(p)
		close(w.ended)
	}()
	return w
}

// applied returns when the entry is applied, or never will be here. The caller is the only one that
// waits for it.
func (w *way) applied() {
	if w.async {
		<-w.ended
		return
	}
	select {
	case <-w.early:
	case <-w.ended:
	}
}

// acknowledged returns when an entry is acknowledged whose propose has returned. w is its way; nil:
// it has been.
func (w *way) acknowledged(e *entry) error {
	if w == nil || w.async {
		return nil
	}
	select {
	case <-w.ended:
		return w.err
	case <-e.done:
		return errUnknown(e.shard)
	}
}

// unapplied reports whether an entry was acknowledged, and may not be applied yet. w may be nil.
func (w *way) unapplied() bool { return w != nil && w.async }
