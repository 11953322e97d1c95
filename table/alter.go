package table

import (
	"context"
	"time"

	"holdfast/catalog"
)

// Alter changes a table. Settings take effect at once, although the response's status is Updating
// and it has the old throughput, as DynamoDB's does; an index is filled or removed in the
// background, and the table is Updating until that is done. Errors: NotFound, Exists while another
// change is under way, Limit for more than one index added or removed, Invalid.
func (s *Store) Alter(ctx context.Context, a catalog.Alteration) (catalog.Description, error) {
	s.catalog.Lock()
	defer s.catalog.Unlock()
	old, err := s.installer.table(a.Table)
	if err != nil {
		return catalog.Description{}, err
	}
	r, now := old.Clone(), catalog.Milliseconds(s.now())
	response, err := r.Alter(&a, now)
	if err != nil {
		return catalog.Description{}, err
	}
	if err := s.tables.table(a.Table).alterable(old, &a, s.now()); err != nil {
		return catalog.Description{}, err
	}
	if a.Stream != nil {
		if err := r.AlterStream(*a.Stream, now, ends(s.tables.table(a.Table).shards)); err != nil {
			return catalog.Description{}, err
		}
	}
	if _, err := s.catalog.PlaceIndexes(ctx, r); err != nil {
		return catalog.Description{}, err
	}
	r.UpdateStatus()
	if err := s.installer.replace(ctx, r, false); err != nil {
		return catalog.Description{}, err
	}
	t := s.tables.table(a.Table)
	t.pending.Store(uint32(catalog.Updating))
	d := t.describe(s.now())
	d.Status = catalog.Updating
	response.Apply(&d)
	return d, nil
}

// alterable returns an error unless the table, whose record is r, may be altered at now. An index
// that is being filled may be removed.
func (t *live) alterable(r *catalog.Table, a *catalog.Alteration, now time.Time) error {
	if r.Table.Status == catalog.Updating && len(a.Indexes) == 1 && a.Indexes[0].Delete != "" {
		if x := r.Index(a.Indexes[0].Delete); x != nil && x.Status == catalog.Creating {
			return nil
		}
	}
	return t.busy(now)
}
