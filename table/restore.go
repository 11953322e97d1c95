package table

import (
	"context"
	"errors"
	"slices"
	"time"

	"holdfast"
	"holdfast/item"
	"holdfast/shard"
)

// Overrides are what a restored table has differently. What is nil stays.
type Overrides struct {
	Billing       *Billing
	Throughput    *Throughput
	OnDemandLimit *Throughput
	Global, Local []IndexDefinition // which of the indexes it shall have, with what throughput; empty but not nil: none
	Encryption    *string
}

// RestoreBackup begins to make a table of a backup. Its status is Creating, and its items can't be reached, until it has them
// all and its indexes are filled. It has no tags, stream or TTL. Errors: NotFound, Exists if the target does or the backup isn't
// ready, Invalid.
func (s *Store) RestoreBackup(ctx context.Context, id, target string, o Overrides) (Description, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.backup(id)
	if err != nil {
		return Description{}, err
	}
	if b.Copy != nil {
		return Description{}, holdfast.Errorf(holdfast.Exists, "Backup is being used by another operation: %s", id)
	}
	source := &Restored{At: b.Backup.Created, SourceTable: b.Backup.Table.Name, SourceBackup: id}
	return s.restore(ctx, &b.Backup.Table, target, source, &copying{Backup: id}, len(b.Shards), o)
}

// SetPointInTime says whether a table can be restored as it was at any time since now, as long as the log of changes has them.
// Errors: NotFound, Exists while the table is being made.
func (s *Store) SetPointInTime(ctx context.Context, table string, on bool) (PointInTime, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.table(table)
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
	if err := s.amend(ctx, r); err != nil {
		return PointInTime{}, err
	}
	return s.pointInTime(s.tables.Load().byName[table]), nil
}

// RestorePointInTime begins to make a table of another as that was at a time; the zero time is now. See RestoreBackup. Errors:
// NotFound; Exists; Failed if the source can't be restored so; Gone for a time that is too early or in the future; Invalid.
func (s *Store) RestorePointInTime(ctx context.Context, source, target string, at time.Time, o Overrides) (Description, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, err := s.table(source)
	if err != nil {
		return Description{}, err
	}
	p := s.pointInTime(s.tables.Load().byName[source])
	if !p.On {
		return Description{}, holdfast.Errorf(holdfast.Failed, "Point in time recovery is not enabled for table '%s'", source)
	}
	if at.IsZero() {
		at = p.Latest
	}
	if at.Before(p.Earliest) || at.After(p.Latest) {
		return Description{}, holdfast.Errorf(holdfast.Gone, "The specified restore time is not within the valid range: %s to %s",
			p.Earliest.UTC().Format(time.RFC3339), p.Latest.UTC().Format(time.RFC3339))
	}
	restored := &Restored{At: at, SourceTable: source}
	return s.restore(ctx, &from.Table, target, restored, &copying{At: at, Table: source}, len(from.Shards), o)
}

// restore puts a table whose shards are to be copied into the catalog. s.mu is held.
func (s *Store) restore(
	ctx context.Context, as *Description, target string, source *Restored, c *copying, shards int, o Overrides,
) (Description, error) {
	if err := s.vacant(target); err != nil {
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
	r.settle()
	var next shard.Record
	r.Shards, next = s.newShards(shards)
	if err := s.save(ctx, r.encoded(), next); err != nil {
		return Description{}, err
	}
	s.catalog[target] = r
	t := s.newLive(r, nil)
	s.publish(t)
	s.wake()
	return s.describe(t), nil
}

// definition returns what a table is restored as.
func (o *Overrides) definition(as *Description) (Definition, error) {
	d := Definition{
		Key: as.Key, Billing: as.Billing, Throughput: as.Throughput, OnDemandLimit: as.OnDemandLimit, Class: as.Class, Encryption: as.Encryption,
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

// chosen returns the local or the global indexes that a restored table shall have: those of override, which must be there, or if
// that is nil all.
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
			return nil, invalid("One or more parameter values were invalid: The indexes provided should match existing secondary indexes; "+
				"there is no such index: %s", x.Index.Name)
		}
		have := all[i]
		have.Throughput, have.OnDemandLimit = x.Throughput, x.OnDemandLimit
		some = append(some, have)
	}
	return some, nil
}

// sameNames says whether two keys have the same attributes in the same places, of whatever types.
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

// fillTable copies the shards of a table that is being restored: the background's part of restore. If the log no longer reaches
// back to the time, there will be no such table.
func (s *Store) fillTable(ctx context.Context, r *record) error {
	from, err := s.sourceOf(r)
	if err == nil {
		_, err = s.copyShards(ctx, from, r.Shards, r.Copy.At)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if isGone(err) {
		return s.giveUp(ctx, r, err)
	}
	if err != nil {
		return err
	}
	done := s.catalog[r.Table.Name].clone() // its tags may have changed; it can't have been removed
	done.Copy = nil
	done.settle()
	shards, err := s.openShards(done)
	if err != nil {
		return err
	}
	if err := s.save(ctx, done.encoded()); err != nil {
		return err
	}
	s.catalog[r.Table.Name] = done
	s.publish(s.newLive(done, shards))
	return nil
}

// sourceOf returns the shards that a table is restored from.
func (s *Store) sourceOf(r *record) ([]*shard.Shard, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Copy.Backup == "" {
		return s.tables.Load().byName[r.Copy.Table].shards, nil
	}
	b := s.backups[r.Copy.Backup]
	return s.openParts(b.Shards, shard.Schema{Key: b.Backup.Table.Key})
}

// giveUp removes a table that can't be restored. s.mu is held.
func (s *Store) giveUp(ctx context.Context, r *record, cause error) error {
	gone := s.discard(r.Table.ID, r.Shards)
	if err := s.saveRemoval(ctx, shard.Record{Name: tablePrefix + r.Table.Name}, encode(removedPrefix+gone.ID, gone)); err != nil {
		return err
	}
	delete(s.catalog, r.Table.Name)
	s.removed[gone.ID] = gone
	s.withdraw(r.Table.Name)
	s.log.Error("restore given up", "table", r.Table.Name, "source", r.Copy.Table, "at", r.Copy.At, "err", cause)
	return nil
}

func isGone(err error) bool { return errors.Is(err, holdfast.Gone) }
