package shard

import "context"

// changeInGroup proposes the entry of a commit of one shard. What an entry follows from is staged when
// it is applied.
func (t *commit) changeInGroup(ctx context.Context, p *part) error {
	bytes := 0
	for i := range p.entry.effects {
		f := &p.entry.effects[i]
		bytes += 2*len(f.encoded) + len(f.before.raw) + 3*len(f.key) + changeOverhead
	}
	if err := t.store.space.admitBatch(ctx, bytes, t.Removal); err != nil {
		return err
	}
	p.entry.acknowledge = t.Acknowledge
	w, err := p.shard.group.log.Load().begin(&p.entry, t.behind)
	if err != nil {
		return err
	}
	t.way, t.wrote = w, p
	return nil
}

// waitInGroup returns when what changeInGroup has proposed is acknowledged.
func (t *commit) waitInGroup(ctx context.Context) error {
	if err := t.way.waitAcknowledged(ctx.Done(), t.behind); err != nil {
		return err
	}
	for _, w := range t.wrote.writes {
		t.results[w].Tx = t.way.tx
	}
	return nil
}

// allStand returns when it is known what becomes of all that a commit which changes nothing was decided
// by, and whether all of it is committed. If not, the commit may have been decided by what never was.
// The error is Overloaded if done is closed first.
func allStand(done <-chan struct{}, behind []*way) (stand bool, err error) {
	for _, b := range behind {
		if !closedBefore(done, b.applied) {
			return false, errEarlier(b.shard.id)
		}
		if b.fate != nil {
			return false, nil
		}
	}
	return true, nil
}
