package shard

import (
	"context"
	"errors"

	"holdfast"
)

// Confirm returns when the shard's replica here has applied all that was acknowledged before the
// call, by whatever replica: what is read afterwards is at least as new. A shard that has no group is
// so at once. The error is that of Group.Read, or NotLeader if the group hasn't started here.
//
// An acknowledged transaction over several shards may have locks in this one yet, if a reader of
// another replica has seen its decision already. So if there are any, the decisions are confirmed too,
// in this order: a transaction that was decided before the call has been resolved in the shard by
// then, or its locks, which are older than its decision, are there.
func Confirm(ctx context.Context, sh *Shard) error {
	if err := sh.group.read(ctx); err != nil {
		return err
	}
	l := sh.store.ledger.Load()
	if l == nil || sh.locks.held.Load() == 0 {
		return nil
	}
	return l.shard.group.read(ctx)
}

// read returns when the replica has applied all that was acknowledged before the call.
func (m *membership) read(ctx context.Context) error {
	l := m.log.Load()
	switch {
	case m.shard.isDropped():
		return errDropped(m.shard.id)
	case l == nil:
		return nil
	case l.group == nil:
		return errNotStarted(m.shard.id)
	}
	return l.group.Read(ctx)
}

// Leads reports whether the shard's replica here leads its group at the moment.
func Leads(sh *Shard) bool {
	term, err := sh.group.leads()
	return err == nil && term != 0
}

// Verify is Reached for a transaction that somebody has seen before the call, once the replica has
// all that was committed until then: what isn't here is Lost. It is Behind if this replica leads in
// the term of the transaction, which may be acknowledged before it is committed: then it is on its
// way. Other errors are those of Confirm.
func Verify(ctx context.Context, sh *Shard, tx holdfast.TxID) error {
	if err := Confirm(ctx, sh); err != nil {
		return err
	}
	err := sh.Reached(tx)
	if errors.Is(err, holdfast.Behind) && !sh.group.leadsIn(tx.Term) {
		return holdfast.Errorf(holdfast.Lost, "transaction %v was lost: the replicas have all that was committed, and "+
			"the newest is %v", tx, ReplicaOf(sh).Applied())
	}
	return err
}

// Await returns when a transaction is on disk, with all before it. The error is Lost if it never will
// be, since it isn't in the shard's log; Behind if ctx ends first; Closed if the shard was dropped, or
// the store is closed.
func Await(ctx context.Context, sh *Shard, tx holdfast.TxID) error {
	for {
		next := sh.sequencer.durable.at.Load() + 1
		err := sh.Reached(tx)
		if !errors.Is(err, holdfast.Behind) {
			return err
		}
		rise := sh.sequencer.durable.rises(next)
		if rise == nil {
			continue
		}
		select {
		case <-rise:
		case <-ctx.Done():
			return err
		case <-sh.dropped:
			return errDropped(sh.id)
		case <-sh.store.closing:
			return errClosed()
		case <-sh.engine.broken:
			return errBroken()
		}
	}
}
