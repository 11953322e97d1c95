package shard

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// A proposed entry was given to the log, and readers see what it does. It may not be durable yet.
type proposed struct {
	entry *entry
	batch *pebble.Batch
}

// propose stages an entry that isn't a commit's, and gives it to the log. The caller is in the
// store's gate, holds schemas and what must be latched for the entry, and calls wait on the result.
// from is what the entry finds. removal says that the entry frees space, so that it may use the
// reserve of a full disk. An error means that nothing was changed, or is Unavailable.
func (sh *Shard) propose(x body, from pebble.Reader, removal bool) (*proposed, error) {
	if sh.isDropped() {
		return nil, errDropped(sh.id)
	}
	p := &proposed{
		entry: &entry{shard: sh, schema: sh.schema.Load(), body: x},
		batch: sh.engine.db.NewBatch(),
	}
	err := p.entry.stage(p.batch, from)
	if err == nil {
		admit := sh.store.space.admit
		if removal {
			admit = sh.store.space.admitRemoval
		}
		err = admit(p.batch.Len())
	}
	if err == nil {
		err = sh.store.entries.propose(p.batch, []*entry{p.entry})
	}
	if err != nil {
		return nil, errors.Join(err, p.batch.Close())
	}
	return p, nil
}

// wait returns when the entry is on disk, with all entries of the shard before it.
func (p *proposed) wait() error {
	sh := p.entry.shard
	if err := sh.store.entries.wait(p.batch); err != nil {
		return err
	}
	sh.sequencer.durable.raise(p.entry.tx.Index)
	return p.batch.Close()
}
