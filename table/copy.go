package table

import (
	"context"
	"errors"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/shard"
)

// fillBackup copies a table's shards into a backup: the background part of Backup. All shards are
// copied as of the same time, so that no transaction is in it by half. If the log no longer reaches
// back to that time, the backup is begun again with a later one.
func (w *worker) fillBackup(ctx context.Context, b *catalog.Backup) error {
	t := w.tables.table(b.Copy.Table)
	counts, err := w.copyShards(ctx, t.shards, b.Shards, b.Copy.At)
	done := *b
	switch {
	case isGone(err):
		again := *b.Copy
		again.At = w.now()
		done.Copy = &again
		done.Backup.Created = catalog.Milliseconds(again.At)
	case err != nil:
		return err
	default:
		done.Copy = nil
		done.Backup.Ready, done.Backup.Items, done.Backup.Bytes = true, counts.Items, counts.ItemBytes
	}
	return w.catalog.Update(ctx, catalog.Revision{Put: []catalog.Entry{&done}})
}

// copyShards fills new shards with what others held at a time, and returns how much that is. It
// first removes what an earlier attempt left in them.
func (w *worker) copyShards(
	ctx context.Context, from []*shard.Shard, to []catalog.Shard, at time.Time,
) (sum shard.Counts, err error) {
	if err := hasSpace(w.disk); err != nil {
		return sum, err // dropping what is there would use the reserve in vain
	}
	for i, p := range to {
		if err := w.disk.Drop(p.ID); err != nil {
			return sum, err
		}
		counts, err := w.disk.Copy(ctx, from[i], p.ID, at)
		if err != nil {
			return sum, err
		}
		sum.Items += counts.Items
		sum.ItemBytes += counts.ItemBytes
	}
	return sum, nil
}

// fillTable copies the shards of a table that is being restored: the background part of restore. If
// the log no longer reaches back to the time, the restore is abandoned and the table removed.
func (w *worker) fillTable(ctx context.Context, r *catalog.Table) error {
	from, err := w.installer.sourceOf(r)
	if err == nil {
		_, err = w.copyShards(ctx, from, r.Shards, r.Copy.At)
	}
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
