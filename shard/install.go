package shard

import (
	"context"
	"sync/atomic"

	"holdfast"
)

// An install is whether a snapshot is being put in place of a shard's state. The keys change in one
// step, and what the shard has in memory a moment later, so
//
//   - a reader that has looked into the database waits until no install is under way before it
//     returns: then the durable watermark, and with it a session's token, has what was read;
//   - a reader that looks into memory and into the database looks at count before and afterwards, and
//     begins again if it has changed.
type install struct {
	count atomic.Uint64                 // rises when one begins
	ends  atomic.Pointer[chan struct{}] // closed when the one under way ends; nil: there is none
}

// begin is called with sequencer.mu held, which the caller keeps until it has called end.
func (x *install) begin() (end func()) {
	ends := make(chan struct{})
	x.ends.Store(&ends)
	x.count.Add(1)
	return func() {
		x.ends.Store(nil)
		close(ends)
	}
}

// wait returns when no install is under way, and how many there were.
func (x *install) wait(ctx context.Context, e *engine) (count uint64, err error) {
	for {
		count = x.count.Load()
		ends := x.ends.Load()
		if ends == nil {
			return count, nil
		}
		select {
		case <-*ends:
		case <-ctx.Done():
			return 0, ended(ctx)
		case <-e.broken:
			return 0, errBroken()
		}
	}
}

// Install puts the state that a snapshot has in place of the shard's, which must be older. It is
// called by the goroutine that calls ApplyAll, never while the shard is dropped. Readers see the old
// state or the new one, whole, and so does a start after a crash; when Install returns, the new one
// is on disk. The error is Invalid if not all chunks were received, or the shard's state isn't older,
// and Full if there is no space. After any error nothing was changed, and Install may be called
// again.
//
// The sorted tables of the snapshot have range deletions of what was there before beside their keys,
// and Pebble takes all tables in one change of its version: excising the old keys instead would take
// a change of its own for each of the shard's ranges.
//
// The log of the shard's group, and its state, stay as they are.
func (r Replica) Install(from *Receiver) error { return r.install(from, nil, nil) }

// InstallWithLog is Install, and in the same step it empties the log of the shard's group, which goes
// on behind the last transaction of the snapshot, and sets the group's state. Nothing else changes the
// log and the state meanwhile.
func (r Replica) InstallWithLog(from *Receiver, log *GroupLog, state []byte) error {
	return r.install(from, log, state)
}

// install is InstallWithLog, if there is a log, or Install.
func (r Replica) install(from *Receiver, log *GroupLog, state []byte) error {
	sh := r.shard
	if err := sh.store.gate.enter(); err != nil {
		return err
	}
	defer sh.store.gate.leave()
	if err := installable(sh, from); err != nil {
		return err
	}
	if !sh.store.space.hasSpace() {
		return errFull()
	}
	rest := &tableFiles{store: sh.store}
	defer rest.remove()
	if err := from.tables.addRest(rest, sh.keys, from.head.slots); err != nil {
		return err
	}
	if log != nil {
		if err := log.addReset(rest, state); err != nil {
			return sh.engine.fault("installing a snapshot", err)
		}
	}
	if err := flush(sh); err != nil {
		return err
	}
	paths := append(rest.paths, from.tables.whole.paths...)
	err := exchange(sh, &from.state, func() error {
		return sh.engine.fault("installing a snapshot", sh.engine.db.Ingest(context.Background(), paths))
	})
	if err == nil && log != nil {
		log.reset(from.head.tx.Index)
	}
	if err == nil {
		from.end(holdfast.Errorf(holdfast.Invalid, "the snapshot of shard %d was installed before", sh.id))
	}
	return err
}

// flush has Pebble write what it has in memory into sorted tables: before readers of the shard wait, and
// before Pebble has commits of all shards wait for it, since the old state must be below the new one.
func flush(sh *Shard) error {
	flushed, err := sh.engine.db.AsyncFlush()
	if err != nil {
		return sh.engine.fault("installing a snapshot", err)
	}
	select {
	case <-flushed:
		return nil
	case <-sh.store.closing:
		return errClosed()
	case <-sh.engine.broken:
		return errBroken()
	}
}

// installable returns an error unless a snapshot may replace a shard's state.
func installable(sh *Shard, from *Receiver) error {
	switch now := ReplicaOf(sh).Applied(); {
	case from.shard != sh:
		return holdfast.Errorf(holdfast.Invalid, "a snapshot of shard %d can't be installed as shard %d",
			from.shard.id, sh.id)
	case from.failed != nil:
		return from.failed
	case !from.complete:
		return holdfast.Errorf(holdfast.Invalid, "the snapshot of shard %d isn't complete", sh.id)
	case sh.isDropped():
		return errDropped(sh.id)
	case from.head.tx.Index <= now.Index || from.head.tx.Term < sh.terms.newest():
		return holdfast.Errorf(holdfast.Invalid, "the snapshot as of %v is too old: the shard is at %v", from.head.tx,
			now)
	}
	return nil
}

// exchange has ingest change what a shard has on disk, and then changes what it has in memory.
//
//  1. held is raised, so that a reader of items looks for locks in the database;
//  2. the install begins, so that readers wait before they return;
//  3. readers can see the new state;
//  4. what the shard has in memory is changed, the durable watermark last;
//  5. the install ends, and held is lowered.
func exchange(sh *Shard, to *snapshotState, ingest func() error) error {
	sh.sequencer.mu.Lock()
	defer sh.sequencer.mu.Unlock()
	sh.locks.held.Add(1)
	sh.locks.ever.Add(1)
	defer sh.locks.held.Add(-1)
	end := sh.sequencer.install.begin()
	defer end()
	if err := ingest(); err != nil {
		return err
	}
	forgetChecksum(sh, "the replica has installed a snapshot")
	index, terms := to.tally.applied, to.terms
	sh.tally, sh.history.trim, sh.follows = to.tally, to.trim, to.follows
	sh.terms.all.Store(&terms)
	sh.adopt(to.schema.Schema, to.schema.version)
	sh.locks.replace(to.locks.prepared())
	if sh.recent != nil {
		sh.recent.restart(index)
	}
	sh.sequencer.applied.Store(index)
	sh.sequencer.durable.raise(index)
	return nil
}
