package table

import (
	"context"
	"time"

	"holdfast/shard"
)

// Get returns the item of a key, or what is projected of it; Got.Item is nil if there is none.
// Errors are Invalid, NotFound, Overloaded, and those of package shard.
func (s *Store) Get(ctx context.Context, g Get) (Got, error) {
	t, err := s.tables.serving(g.Table)
	if err != nil {
		return Got{}, err
	}
	key, err := t.schema.Key.Exact(g.Key)
	if err != nil {
		return Got{}, err
	}
	if err := t.checkNested(g.Project.Nested()); err != nil {
		return Got{}, err
	}
	if err := t.throughput.admitRead(nil); err != nil {
		return Got{}, err
	}
	sh, session := t.shard(key), sessionOf(ctx)
	if err := t.readable(ctx, sh, session, g.Consistent); err != nil {
		return Got{}, s.tables.outlived(t, err)
	}
	it, err := sh.Get(ctx, key)
	if err != nil {
		return Got{}, s.tables.outlived(t, err)
	}
	session.see(sh)
	got := Got{Item: g.Project.Apply(it), Capacity: readCapacity(g.Table, readUnits(it.Size(), g.Consistent))}
	t.throughput.spend(got.Capacity)
	return got, nil
}

// readable returns when a shard of the table has what a session has seen, and if the read is to be
// consistent, or it isn't known what the session has seen, all that was acknowledged before the call.
func (t *live) readable(ctx context.Context, sh *shard.Shard, session *Session, consistent bool) error {
	var err error
	switch {
	case !t.replicated:
	case consistent:
		err = shard.Confirm(ctx, sh)
	case session.unsure(sh.ID()):
		err = confirmSoon(ctx, sh, t.tokenWait)
	}
	if err != nil {
		return err
	}
	return session.check(ctx, t, sh)
}

// confirmSoon is shard.Confirm for a session. Like for a token, a replica that doesn't lead waits no
// longer than that, and then the one that leads is asked.
func confirmSoon(ctx context.Context, sh *shard.Shard, wait time.Duration) error {
	if !shard.Leads(sh) {
		var end context.CancelFunc
		ctx, end = context.WithTimeout(ctx, wait)
		defer end()
	}
	return shard.Confirm(ctx, sh)
}
