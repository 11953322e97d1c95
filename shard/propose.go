package shard

import (
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// A staged entry is one of a kind other than commit on its way into the log: it was staged, then
// proposed, then it is waited for.
type staged struct {
	entry *entry
	batch *pebble.Batch
}

// stage stages an entry with a body. from is what the entry finds. The caller is in the store's
// gate, holds schemas and what must be latched for the entry, and calls propose or discard.
func (sh *Shard) stage(ctx context.Context, x body, from pebble.Reader) (*staged, error) {
	return decide(ctx, sh, func() (body, error) { return x, nil }, from)
}

// decide is stage for a body that depends on what the shard has: it is asked for when the term is
// known in which it is decided, and nil for nothing. Then decide returns nil. What ends with ctx is
// the wait of a shard with a group: for earlier writes whose outcome isn't known, and for that of the
// entry.
func decide(ctx context.Context, sh *Shard, what func() (body, error), from pebble.Reader) (*staged, error) {
	if sh.store.readOnly {
		return nil, errReadOnly()
	}
	if sh.isDropped() {
		return nil, errDropped(sh.id)
	}
	term, err := sh.group.lead(ctx.Done())
	if err != nil {
		return nil, err
	}
	x, err := what()
	if err != nil || x == nil {
		return nil, err
	}
	p := &staged{
		entry: &entry{shard: sh, schema: sh.schema.Load(), term: term, done: ctx.Done(), body: x},
		batch: sh.engine.db.NewBatch(),
	}
	if err := p.entry.stage(p.batch, from); err != nil {
		return nil, errors.Join(err, p.discard())
	}
	return p, nil
}

// propose gives the entry to the log. When it returns, readers see what the entry does, and what was
// latched for it may be unlatched. removal says that the entry needs little space or frees some, so
// that it may use the reserve of a full disk. An error means that nothing was changed, or is
// Unavailable.
func (p *staged) propose(removal bool) error {
	admit := p.entry.shard.store.space.admit
	if removal {
		admit = p.entry.shard.store.space.admitRemoval
	}
	err := admit(p.batch.Len())
	if err == nil {
		err = p.entry.shard.group.entries().propose(p.batch, []*entry{p.entry})
	}
	if err != nil {
		return errors.Join(err, p.discard())
	}
	return nil
}

// wait returns when the entry is on disk, with all entries of the shard before it.
func (p *staged) wait() error {
	sh := p.entry.shard
	if err := sh.group.entries().wait(p.batch); err != nil {
		return err
	}
	sh.sequencer.durable.raise(p.entry.tx.Index)
	return p.batch.Close()
}

// discard drops an entry that isn't proposed.
func (p *staged) discard() error { return p.batch.Close() }

// propose stages and proposes an entry. The caller calls wait on the result.
func (sh *Shard) propose(x body, from pebble.Reader, removal bool) (*staged, error) {
	p, err := sh.stage(context.Background(), x, from)
	if err == nil {
		err = p.propose(removal)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}
