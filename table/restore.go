package table

import (
	"context"
	"time"

	"holdfast"
	"holdfast/catalog"
)

// RestoreBackup begins to restore a table from a backup. Until it has all items and its indexes are
// filled, its status is Creating and its items can't be read. It has no tags, stream or TTL.
// Errors: NotFound, Exists if the target does or the backup isn't ready, Invalid.
func (s *Store) RestoreBackup(
	ctx context.Context, id, target string, o catalog.Overrides,
) (catalog.Description, error) {
	s.catalog.Lock()
	defer s.catalog.Unlock()
	b, err := s.installer.backup(id)
	if err != nil {
		return catalog.Description{}, err
	}
	if b.Copy != nil {
		return catalog.Description{}, backupInUse(id)
	}
	source := catalog.Restored{At: b.Backup.Created, SourceTable: b.Backup.Table.Name, SourceBackup: id}
	return s.restore(ctx, &b.Backup.Table, target, source, catalog.Copying{Backup: id}, b.Shards, o)
}

// SetPointInTime sets whether a table can be restored to points in time, from now on and as far
// back as the log of changes reaches. Errors: NotFound, Exists while the table is being made.
func (s *Store) SetPointInTime(ctx context.Context, table string, on bool) (catalog.PointInTime, error) {
	s.catalog.Lock()
	defer s.catalog.Unlock()
	old, err := s.installer.table(table)
	if err != nil {
		return catalog.PointInTime{}, err
	}
	if old.Table.Status == catalog.Creating {
		return catalog.PointInTime{}, inUse("created", table)
	}
	r := old.Clone()
	switch {
	case on && r.Since.IsZero():
		r.Since = s.now()
	case !on:
		r.Since = time.Time{}
	}
	if err := s.installer.amend(ctx, r); err != nil {
		return catalog.PointInTime{}, err
	}
	return s.tables.table(table).pointInTime(s.now()), nil
}

// restoreTime is the form of times in messages: RFC 3339, with as many digits as clients can say.
const restoreTime = "2006-01-02T15:04:05.000Z07:00"

// RestorePointInTime begins to restore a table from another as that was at a time; the zero time is
// now. See RestoreBackup. Errors: NotFound; Exists; Failed if the source can't be restored so; Gone
// for a time that is too early or in the future; Invalid.
func (s *Store) RestorePointInTime(
	ctx context.Context, source, target string, at time.Time, o catalog.Overrides,
) (catalog.Description, error) {
	s.catalog.Lock()
	defer s.catalog.Unlock()
	from, err := s.installer.table(source)
	if err != nil {
		return catalog.Description{}, err
	}
	p := s.tables.table(source).pointInTime(s.now())
	if !p.On {
		return catalog.Description{}, holdfast.Errorf(holdfast.Failed,
			"Point in time recovery is not enabled for table '%s'", source)
	}
	switch {
	case at.IsZero():
		at = p.Latest
	case at.Before(p.Earliest) || at.After(p.Latest):
		return catalog.Description{}, holdfast.Errorf(holdfast.Gone,
			"The specified restore time is not within the valid range: %s to %s",
			p.Earliest.UTC().Format(restoreTime), p.Latest.UTC().Format(restoreTime))
	}
	restored := catalog.Restored{At: at, SourceTable: source}
	return s.restore(ctx, &from.Table, target, restored, catalog.Copying{At: at, Table: source}, from.Shards, o)
}

// restore puts a table whose shards are to be copied into the catalog. from are the shards that they
// are copied from. The catalog is locked.
func (s *Store) restore(
	ctx context.Context, as *catalog.Description, target string, source catalog.Restored, c catalog.Copying,
	from []catalog.Shard,
	o catalog.Overrides,
) (catalog.Description, error) {
	if err := s.installer.vacant(target); err != nil {
		return catalog.Description{}, err
	}
	r, err := o.NewTable(as, target, source, c, s.now())
	if err != nil {
		return catalog.Description{}, err
	}
	if r.Space, r.Shards, err = s.catalog.NewSpace(ctx, catalog.Ranges(from)); err != nil {
		return catalog.Description{}, err
	}
	if _, err = s.catalog.PlaceIndexes(ctx, r); err != nil {
		return catalog.Description{}, err
	}
	if err := beginCopy(ctx, s.installer, r, catalog.Descriptors(r.Space, r.Shards)); err != nil {
		return catalog.Description{}, err
	}
	return s.tables.publish(r, opened{}, 0).describe(s.now()), nil
}
