package table

import "context"

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
	if err := session.check(t, sh); err != nil {
		return Got{}, err
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
