package table

import (
	"bytes"
	"context"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
	"holdfast/shard"
)

// beginCopy puts a new backup, or a table that is to be restored, into the catalog, and leaves what
// is to be copied to the worker. In a cluster all nodes open its shards as soon as they find it in
// the catalog, and this one leads them. The catalog is locked.
func beginCopy(ctx context.Context, i *installer, e catalog.Entry, shards []shard.Descriptor) error {
	ctx, cancel := i.cluster.ended(ctx)
	defer cancel()
	if err := i.commit(ctx, catalog.Revision{Put: []catalog.Entry{e}}); err != nil {
		return err
	}
	i.wake()
	if i.cluster == nil {
		return nil
	}
	err := i.cluster.follow()
	if err == nil {
		err = i.cluster.replicas.Lead(ctx, idsOf(shards))
	}
	return i.cluster.followed(err)
}

// record puts a changed entry into the catalog that requests don't see otherwise.
func record(ctx context.Context, i *installer, e catalog.Entry) error {
	i.catalog.Lock()
	defer i.catalog.Unlock()
	if err := i.cluster.changeable(); err != nil {
		return err
	}
	if err := i.commit(ctx, catalog.Revision{Put: []catalog.Entry{e}}); err != nil {
		return err
	}
	return i.cluster.followed(nil)
}

// completeRestore ends the restore of a table whose shards have been copied.
func (i *installer) completeRestore(ctx context.Context, r *catalog.Table) error {
	i.catalog.Lock()
	defer i.catalog.Unlock()
	if err := i.cluster.changeable(); err != nil {
		return err
	}
	ctx, cancel := i.cluster.ended(ctx)
	defer cancel()
	// Its tags may have changed; it can't have been removed.
	done := i.catalog.Contents().Tables[r.Table.Name].Clone()
	done.Copy = nil
	done.UpdateStatus()
	o, err := openNew(i, done)
	if err != nil {
		return err
	}
	markWhole(i, done, o)
	if err := i.commit(ctx, catalog.Revision{Put: []catalog.Entry{done}}); err != nil {
		return err
	}
	if i.cluster != nil {
		if o, err = leadTable(ctx, i, done, o); err != nil {
			return i.cluster.followed(err)
		}
	}
	i.tables.publish(done, o, 0)
	i.wake()
	return i.cluster.followed(nil)
}

// markWhole notes in the record of a table that has just been restored how far its shards are.
// Without that, a node whose replicas lag behind the catalog would serve a part of the table.
func markWhole(i *installer, r *catalog.Table, o opened) {
	if i.cluster != nil && r.Table.Restored != nil && !r.Table.Restored.InProgress && r.Whole == nil {
		r.Whole = ends(o.shards)
	}
}

// abandonRestore removes a table that can't be restored.
func (i *installer) abandonRestore(ctx context.Context, r *catalog.Table, now time.Time) error {
	i.catalog.Lock()
	defer i.catalog.Unlock()
	if err := i.cluster.changeable(); err != nil {
		return err
	}
	rest := catalog.Discarded(r.Table.ID, r.Space, r.Shards, now)
	rest.Global = r.Global
	return i.removeTable(ctx, r, rest)
}

// A source is the shards that others are copied from, in any order, and the key of their table.
type source struct {
	shards []*shard.Shard
	key    item.KeySchema
}

// of returns the shard whose range is that of another.
func (s source) of(d *shard.Descriptor) (*shard.Shard, error) {
	for _, sh := range s.shards {
		if is := sh.Descriptor(); bytes.Equal(is.From, d.From) && bytes.Equal(is.To, d.To) {
			return sh, nil
		}
	}
	return nil, holdfast.Errorf(holdfast.Corrupt, "a copy has a shard from %x to %x, and its source has none",
		d.From, d.To)
}

// sourceOf returns the shards that are to be copied.
func (i *installer) sourceOf(c *catalog.Copying) (source, error) {
	i.catalog.Lock()
	defer i.catalog.Unlock()
	if c.Backup == "" {
		t := i.tables.table(c.Table)
		return source{t.shards, t.schema.Key}, nil
	}
	b := i.catalog.Contents().Backups[c.Backup]
	key := b.Backup.Table.Key
	shards, err := openAll(i.disk, catalog.Descriptors(b.Space, b.Shards), shard.Schema{Key: key})
	return source{shards, key}, err
}
