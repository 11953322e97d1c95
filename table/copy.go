package table

import (
	"context"
	"errors"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
	"holdfast/shard"
)

// fillBackup copies a table's shards into a backup: the background part of Backup. All shards are
// copied as of the same time, so that no transaction is in it by half. If the log no longer reaches
// back to that time, the backup is begun again with a later one.
func (w *worker) fillBackup(ctx context.Context, b *catalog.Backup) error {
	counts, err := w.copyShards(ctx, b.Copy, b.Space, b.Shards)
	done := *b
	switch {
	case isGone(err):
		again := *b.Copy
		again.At = w.tables.table(again.Table).time(w.now()) // a table that is copied can't be removed
		done.Copy = &again
		done.Backup.Created = catalog.Milliseconds(again.At)
	case err != nil:
		return err
	default:
		done.Copy = nil
		done.Backup.Ready, done.Backup.Items, done.Backup.Bytes = true, counts.Items, counts.ItemBytes
	}
	return record(ctx, w.installer, &done)
}

// copyShards fills each of new shards with what the one with its range held at the time of the
// copy, and returns how much that is. It first removes what an earlier attempt left in them. In a
// cluster, shards that were filled so by the node that was active before stay as they are.
func (w *worker) copyShards(
	ctx context.Context, c *catalog.Copying, space holdfast.SpaceID, to []catalog.Shard,
) (sum shard.Counts, err error) {
	if err := hasSpace(w.disk); err != nil {
		return sum, err // dropping what is there would use the reserve in vain
	}
	source, err := w.installer.sourceOf(c)
	if err != nil {
		return sum, err
	}
	for _, sh := range to {
		d := sh.Descriptor(space)
		from, err := source.of(&d)
		if err != nil {
			return sum, err
		}
		counts, err := w.copyShard(ctx, from, d, source.key, c.At)
		if err != nil {
			return sum, err
		}
		sum.Items += counts.Items
		sum.ItemBytes += counts.ItemBytes
	}
	return sum, nil
}

// copyShard fills a new shard.
func (w *worker) copyShard(
	ctx context.Context, from *shard.Shard, to shard.Descriptor, key item.KeySchema, at time.Time,
) (shard.Counts, error) {
	if w.installer.cluster == nil {
		if err := w.disk.Drop(to); err != nil {
			return shard.Counts{}, err
		}
		return w.disk.Copy(ctx, from, to, at)
	}
	sh, err := w.disk.Open(to, shard.Schema{Key: key}) // it is open
	if err != nil {
		return shard.Counts{}, err
	}
	return shard.Load(ctx, from, sh, at)
}

// fillTable copies the shards of a table that is being restored: the background part of restore. If
// the log no longer reaches back to the time, the restore is abandoned and the table removed.
func (w *worker) fillTable(ctx context.Context, r *catalog.Table) error {
	_, err := w.copyShards(ctx, r.Copy, r.Space, r.Shards)
	switch {
	case isGone(err):
		return w.giveUp(ctx, r, err)
	case err != nil:
		return err
	}
	return w.installer.completeRestore(ctx, r)
}

// giveUp removes a table that can't be restored.
func (w *worker) giveUp(ctx context.Context, r *catalog.Table, cause error) error {
	if err := w.installer.abandonRestore(ctx, r, w.now()); err != nil {
		return err
	}
	w.log.Error("a table can't be restored, and is removed", "table", r.Table.Name, "source", r.Copy.Table, "at",
		r.Copy.At, "err", cause)
	return nil
}

func isGone(err error) bool { return errors.Is(err, holdfast.Gone) }
