package shard

import (
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
)

// An entryLog is what shards need of a log: it puts their entries in order and makes them durable.
type entryLog interface {
	// propose gives each entry the next place in the log of its shard, and all of them one time, and
	// has them applied in b, where they are staged. Readers see them when it returns, before they are
	// durable. The order of a shard's entries is the order in which they become durable.
	propose(b *pebble.Batch, entries []*entry) error

	// wait returns when the entries that were proposed with b are durable.
	wait(b *pebble.Batch) error
}

// A singleLog is the log of shards that have one replica. It doesn't keep the entries: an entry is
// on disk as the batch in which it is applied, and one sync serves all batches that wait.
type singleLog struct {
	engine *engine
	now    func() time.Time
}

// propose implements entryLog. The entries are sorted by their shards' IDs.
func (l *singleLog) propose(b *pebble.Batch, entries []*entry) error {
	at := l.now().UnixNano()
	for _, e := range entries {
		e.shard.sequencer.mu.Lock()
		defer e.shard.sequencer.mu.Unlock()
		at = max(at, e.shard.tally.at)
	}
	for _, e := range entries {
		e.tx = holdfast.TxID{Shard: e.shard.id, Term: term, Index: e.shard.tally.applied + 1}
		e.at = at
		if err := e.apply(b); err != nil {
			return err
		}
	}
	return l.engine.submit(b)
}

// wait implements entryLog.
func (l *singleLog) wait(b *pebble.Batch) error { return l.engine.syncWait(b) }

// term is the term of all transactions of shards that have one replica.
const term = 1
