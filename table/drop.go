package table

import (
	"context"

	"holdfast/catalog"
	"holdfast/shard"
)

// drop removes shards whose time has come, and their record: the background part of Remove.
func (w *worker) drop(ctx context.Context, gone *catalog.Removed) error {
	if err := w.dropIndexes(gone); err != nil {
		return err
	}
	if err := w.dropAll(gone.Space, gone.Shards); err != nil {
		return err
	}
	return w.installer.forget(ctx, gone)
}

// dropIndexes drops the shards of the global indexes of a removed table.
func (w *worker) dropIndexes(gone *catalog.Removed) error {
	for _, g := range gone.Global {
		if err := w.dropAll(g.Space, g.Shards); err != nil {
			return err
		}
	}
	return nil
}

// clearRemoved drops the index entries of a removed table whose streams are still kept.
func (w *worker) clearRemoved(ctx context.Context, gone *catalog.Removed) error {
	if err := w.dropIndexes(gone); err != nil {
		return err
	}
	for _, sh := range w.tables.logsOf(gone.ID) {
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
	cleared.Indexes, cleared.Global = nil, nil
	return w.catalog.Update(ctx, catalog.Revision{Put: []catalog.Entry{&cleared}, Removal: true})
}
