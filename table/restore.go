package table

import (
	"context"
	"slices"
	"time"

	"holdfast"
	"holdfast/item"
)

// Overrides are the settings in which a restored table differs. A nil setting is that of the
// source.
type Overrides struct {
	Billing       *Billing
	Throughput    *Throughput
	OnDemandLimit *Throughput
	Global, Local []IndexDefinition // the indexes that it gets, with their throughput; empty but not nil: none
	Encryption    *string
}

// RestoreBackup begins to restore a table from a backup. Until it has all items and its indexes are
// filled, its status is Creating and its items can't be read. It has no tags, stream or TTL.
// Errors: NotFound, Exists if the target does or the backup isn't ready, Invalid.
func (s *Store) RestoreBackup(ctx context.Context, id, target string, o Overrides) (Description, error) {
	s.catalog.mu.Lock()
	defer s.catalog.mu.Unlock()
	b, err := s.catalog.backup(id)
	if err != nil {
		return Description{}, err
	}
	if b.Copy != nil {
		return Description{}, holdfast.Errorf(holdfast.Exists, "Backup is being used by another operation: %s", id)
	}
	source := &Restored{At: b.Backup.Created, SourceTable: b.Backup.Table.Name, SourceBackup: id}
	return s.restore(ctx, &b.Backup.Table, target, source, &copying{Backup: id}, len(b.Shards), o)
}

// SetPointInTime sets whether a table can be restored to points in time, from now on and as far
// back as the log of changes reaches. Errors: NotFound, Exists while the table is being made.
func (s *Store) SetPointInTime(ctx context.Context, table string, on bool) (PointInTime, error) {
	s.catalog.mu.Lock()
	defer s.catalog.mu.Unlock()
	old, err := s.catalog.table(table)
	if err != nil {
		return PointInTime{}, err
	}
	if old.Table.Status == Creating {
		return PointInTime{}, inUse("created", table)
	}
	r := old.clone()
	switch {
	case on && r.Since.IsZero():
		r.Since = s.now()
	case !on:
		r.Since = time.Time{}
	}
	if err := s.catalog.amend(ctx, r); err != nil {
		return PointInTime{}, err
	}
	return s.tables.table(table).pointInTime(s.now()), nil
}

// RestorePointInTime begins to restore a table from another as that was at a time; the zero time is
// now. See RestoreBackup. Errors: NotFound; Exists; Failed if the source can't be restored so; Gone
// for a time that is too early or in the future; Invalid.
func (s *Store) RestorePointInTime(
	ctx context.Context, source, target string, at time.Time, o Overrides,
) (Description, error) {
	s.catalog.mu.Lock()
	defer s.catalog.mu.Unlock()
	from, err := s.catalog.table(source)
	if err != nil {
		return Description{}, err
	}
	p := s.tables.table(source).pointInTime(s.now())
	if !p.On {
		return Description{}, holdfast.Errorf(holdfast.Failed, "Point in time recovery is not enabled for table '%s'", source)
	}
	if at.IsZero() {
		at = p.Latest
	}
	if at.Before(p.Earliest) || at.After(p.Latest) {
		return Description{}, holdfast.Errorf(holdfast.Gone, "The specified restore time is not within the valid range: %s "+
			"to %s",
			p.Earliest.UTC().Format(time.RFC3339), p.Latest.UTC().Format(time.RFC3339))
	}
	restored := &Restored{At: at, SourceTable: source}
	return s.restore(ctx, &from.Table, target, restored, &copying{At: at, Table: source}, len(from.Shards), o)
}

// restore puts a table whose shards are to be copied into the catalog. catalog.mu is held.
func (s *Store) restore(
	ctx context.Context, as *Description, target string, source *Restored, c *copying, shards int, o Overrides,
) (Description, error) {
	if err := s.catalog.vacant(target); err != nil {
		return Description{}, err
	}
	d, err := o.definition(as)
	if err != nil {
		return Description{}, err
	}
	d.Name = target
	r, err := newRecord(d, definitions(as, d), Creating, s.now())
	if err != nil {
		return Description{}, err
	}
	source.InProgress = true
	r.Table.Restored, r.Copy = source, c
	r.updateStatus()
	r.Shards = s.catalog.newShards(shards)
	if err := s.catalog.commit(ctx, revision{put: []entry{r}, shards: true}); err != nil {
		return Description{}, err
	}
	t := s.tables.publish(r, nil, 0)
	s.catalog.wake()
	return t.describe(s.now()), nil
}

// definition returns the definition of a restored table.
func (o *Overrides) definition(as *Description) (Definition, error) {
	d := Definition{
		Key: as.Key, Billing: as.Billing, Throughput: as.Throughput, OnDemandLimit: as.OnDemandLimit, Class: as.Class,
		Encryption: as.Encryption,
	}
	if o.Billing != nil {
		d.Billing = *o.Billing
	}
	if o.Throughput != nil {
		d.Throughput = *o.Throughput
	}
	if o.OnDemandLimit != nil {
		d.OnDemandLimit = *o.OnDemandLimit
	}
	if o.Encryption != nil {
		d.Encryption = *o.Encryption
	}
	if d.Billing == OnDemand {
		d.Throughput = Throughput{}
	} else if d.Throughput.Read < 1 || d.Throughput.Write < 1 {
		return d, invalid("One or more parameter values were invalid: " +
			"ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED")
	}
	local, err := chosen(as, o.Local, true)
	if err != nil {
		return d, err
	}
	global, err := chosen(as, o.Global, false)
	if err != nil {
		return d, err
	}
	d.Indexes = append(local, global...)
	for i := range d.Indexes {
		if x := &d.Indexes[i]; d.Billing == OnDemand {
			x.Throughput = Throughput{}
		} else if !x.Index.Local && x.Throughput.Read < 1 {
			x.Throughput = d.Throughput
		}
	}
	return d, nil
}

// chosen returns the local or the global indexes that a restored table gets: those of override,
// which the source must have, or, if that is nil, all.
func chosen(as *Description, override []IndexDefinition, local bool) ([]IndexDefinition, error) {
	var all []IndexDefinition
	for _, x := range as.Indexes {
		if x.Index.Local == local && x.Status != Deleting {
			all = append(all, x.IndexDefinition)
		}
	}
	if override == nil {
		return all, nil
	}
	some := make([]IndexDefinition, 0, len(override))
	for _, x := range override {
		i := slices.IndexFunc(all, func(have IndexDefinition) bool {
			return have.Index.Name == x.Index.Name && sameNames(have.Index.Key, x.Index.Key)
		})
		if i < 0 {
			return nil, invalid("One or more parameter values were invalid: The indexes provided should match existing "+
				"secondary indexes; "+
				"there is no such index: %s", x.Index.Name)
		}
		have := all[i]
		have.Throughput, have.OnDemandLimit = x.Throughput, x.OnDemandLimit
		some = append(some, have)
	}
	return some, nil
}

// sameNames reports whether two keys have the same attributes in the same places, of whatever
// types.
func sameNames(a, b item.IndexKey) bool {
	return slices.Equal(attrNames(a.Hash), attrNames(b.Hash)) && slices.Equal(attrNames(a.Range), attrNames(b.Range))
}

// definitions returns the attributes that the keys of a restored table need.
func definitions(as *Description, d Definition) []item.KeyAttr {
	used := d.Key.Names()
	for _, x := range d.Indexes {
		used = append(used, x.Index.Key.Names()...)
	}
	var needed []item.KeyAttr
	for _, a := range as.Attributes {
		if slices.Contains(used, a.Name) {
			needed = append(needed, a)
		}
	}
	return needed
}
