package table

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
	"holdfast/shard"
)

// fillIndex writes the entries of an index for a slice of the items. After the last slice it marks
// the index as filled.
func (w *worker) fillIndex(ctx context.Context, r *catalog.Table, x item.Index, shards []*shard.Shard) error {
	key := fmt.Sprintf("%s/index/%d", r.Table.ID, x.ID)
	done, err := w.fill(ctx, key, shards, func(sh *shard.Shard, from item.Key) (item.Key, error) {
		return sh.Backfill(ctx, x.ID, from, fillBatch)
	})
	if errors.Is(err, holdfast.Invalid) {
		return nil // the schema has no such index: it is being removed
	}
	if err != nil || !done {
		return err
	}
	return w.installer.finish(ctx, r.Table.Name, r.Table.ID, false, func(r *catalog.Table) bool {
		i := slices.IndexFunc(r.Table.Indexes, func(have catalog.IndexDescription) bool { return have.Index.ID == x.ID })
		if i < 0 || r.Table.Indexes[i].Status != catalog.Creating {
			return false
		}
		r.Table.Indexes[i].Status, r.Table.Indexes[i].Backfilling = catalog.Active, false
		return true
	})
}

// fillTTL adds a slice of the items that have the attribute to the queue of expiring items.
func (w *worker) fillTTL(ctx context.Context, r *catalog.Table, shards []*shard.Shard) error {
	attr := r.Table.TTL.Attr
	done, err := w.fill(ctx, r.Table.ID+"/ttl/"+attr, shards, func(sh *shard.Shard, from item.Key) (item.Key, error) {
		return sh.BackfillTTL(ctx, from, fillBatch)
	})
	if err != nil || !done {
		return err
	}
	return w.installer.finish(ctx, r.Table.Name, r.Table.ID, false, func(r *catalog.Table) bool {
		filled := r.FillTTL && !r.ClearTTL && r.Table.TTL.Attr == attr
		if filled {
			r.FillTTL = false
		}
		return filled
	})
}

// clearTTL empties the queue of expiring items. If there is a new attribute, the shards get it only
// afterwards.
func (w *worker) clearTTL(ctx context.Context, name, id string, shards []*shard.Shard) error {
	maps.DeleteFunc(w.filled, func(key string, _ progress) bool { return strings.HasPrefix(key, id+"/ttl/") })
	for _, sh := range shards {
		if err := sh.ClearTTL(); err != nil {
			return err
		}
	}
	return w.installer.finish(ctx, name, id, true, func(r *catalog.Table) bool {
		r.ClearTTL = false
		return true
	})
}

// fill goes through the items of shards, a slice at each call, and reports when it is done.
func (w *worker) fill(
	ctx context.Context, key string, shards []*shard.Shard, batch func(*shard.Shard, item.Key) (item.Key, error),
) (done bool, err error) {
	p := w.filled[key]
	for range fillSlice {
		if p.shard == len(shards) {
			delete(w.filled, key)
			return true, nil
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		next, err := batch(shards[p.shard], p.from)
		if err != nil {
			return false, err
		}
		if p.from = next; next == nil {
			p.shard++
		}
		w.filled[key] = p
	}
	return false, nil
}
