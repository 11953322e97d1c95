package shard

import (
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
)

// An entryLog is what shards need of a log: it puts their entries in order, has them applied in that
// order, and makes them durable. The log of a group of replicas can be one as well as singleLog.
//
// The order of a shard's entries is the order in which they become durable, so that what is durable
// is always a prefix of the log. Entries of different shards have no order, unless the caller makes
// one with order.
type entryLog interface {
	// propose puts each entry at the next place in the log of its shard: it sets their tx and their
	// at, which is the same for all of them. It has them applied in b, in which they are staged, by
	// entry.apply, which needs sequencer.mu, one after the other in the order of their places, and
	// submits b. When it returns, readers see them, although they may not be durable, and it has
	// called seen. What is latched for the entries must stay latched until then. Entries are sorted by
	// their shards' IDs, one for each shard. After an error none was applied: if it is NotLeader or
	// Refused, none will ever be; after any other it isn't known whether they will.
	propose(b *pebble.Batch, entries []*entry) error

	// proposeLazily is propose for entries for which nobody waits: they become durable at the latest
	// when a later one of their shard does, or with flush. sequencer.lazy says that there are some.
	proposeLazily(b *pebble.Batch, entries []*entry) error

	// wait returns when the entries that were proposed with b are durable, and all entries of their
	// shards before them. propose must have returned.
	wait(b *pebble.Batch) error

	// order returns when no entry of any shard that is proposed from now on can become durable
	// without these, whose propose or proposeLazily has returned.
	order(entries []*entry) error

	// flush returns when all entries of a shard are durable whose propose or proposeLazily has
	// returned.
	flush(sh *Shard) error
}

// A singleLog is the log of shards that have one replica. It doesn't keep the entries: an entry is
// on disk as the batch in which it is applied, and one sync serves all batches that wait. Batches
// become durable in the order in which they are submitted, whatever shards they are of.
type singleLog struct {
	engine *engine
	now    func() time.Time
}

// propose implements entryLog.
func (l *singleLog) propose(b *pebble.Batch, entries []*entry) error {
	lockAll(entries)
	defer unlockAll(entries)
	if err := l.apply(b, entries); err != nil {
		return err
	}
	if err := l.engine.submit(b); err != nil {
		return err
	}
	seen(entries)
	return nil
}

// proposeLazily implements entryLog.
func (l *singleLog) proposeLazily(b *pebble.Batch, entries []*entry) error {
	lockAll(entries)
	defer unlockAll(entries)
	for _, e := range entries {
		e.shard.sequencer.lazy.Store(e.shard.tally.applied + 1) // before anybody can wait for it
	}
	if err := l.apply(b, entries); err != nil {
		return err
	}
	if err := l.engine.submitNoSync(b); err != nil {
		return err
	}
	seen(entries)
	return nil
}

// lockAll locks sequencer.mu of the entries' shards. A defer for each of them would allocate.
func lockAll(entries []*entry) {
	for _, e := range entries {
		e.shard.sequencer.mu.Lock()
	}
}

func unlockAll(entries []*entry) {
	for _, e := range entries {
		e.shard.sequencer.mu.Unlock()
	}
}

// apply gives the entries their places, and applies them. sequencer.mu of their shards is held.
func (l *singleLog) apply(b *pebble.Batch, entries []*entry) error {
	at := l.now().UnixNano()
	for _, e := range entries {
		at = max(at, e.shard.tally.at, e.shard.floor)
	}
	for _, e := range entries {
		e.tx = holdfast.TxID{Shard: e.shard.id, Term: e.shard.terms.draw(), Index: e.shard.tally.applied + 1}
		e.at = at
		if err := e.apply(b); err != nil {
			return err
		}
	}
	return nil
}

// wait implements entryLog.
func (l *singleLog) wait(b *pebble.Batch) error { return l.engine.syncWait(b) }

// order implements entryLog.
func (l *singleLog) order([]*entry) error { return nil }

// flush implements entryLog.
func (l *singleLog) flush(*Shard) error { return l.engine.sync() }
