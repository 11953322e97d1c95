package table

import (
	"context"

	"holdfast/catalog"
	"holdfast/shard"
)

// drop removes shards whose time has come, and their record: the background part of Remove.
func (w *worker) drop(ctx context.Context, gone *catalog.Removed) error {
	for _, d := range catalog.Descriptors(gone.Space, gone.Shards) {
		if err := w.disk.Drop(d); err != nil {
			return err
		}
	}
	w.reclaimer.due.Store(true)
	return w.installer.forget(ctx, gone)
}

// clearRemoved drops the index entries of a removed table whose streams are still kept.
func (w *worker) clearRemoved(ctx context.Context, gone *catalog.Removed) error {
	for _, sh := range w.installer.streamsOf(gone) {
		if err := sh.SetSchema(shard.Schema{Key: gone.Key}); err != nil {
			return err
		}
		for _, id := range gone.Indexes {
			if err := sh.Clear(id); err != nil {
				return err
			}
		}
	}
	cleared := *gone
	cleared.Indexes = nil
	return w.catalog.Update(ctx, catalog.Revision{Put: []catalog.Entry{&cleared}, Removal: true})
}
