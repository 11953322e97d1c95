package table

import (
	"context"

	"holdfast"
	"holdfast/catalog"
	"holdfast/index"
	"holdfast/shard"
)

// CheckIndexes compares the global indexes of all tables of a disk that nothing changes with their
// items, for shard.Check.
func CheckIndexes(ctx context.Context, disk *shard.Store, report func(shard.Fault)) error {
	c, err := catalog.Open(disk)
	if err != nil {
		return err
	}
	c.Lock()
	defer c.Unlock()
	for _, r := range c.Contents().Tables {
		if r.Copy != nil {
			continue
		}
		if err := checkIndexes(ctx, disk, r, report); err != nil {
			return err
		}
	}
	return nil
}

func checkIndexes(ctx context.Context, disk *shard.Store, r *catalog.Table, report func(shard.Fault)) error {
	sources, err := opening(disk, r.Space, r.Shards, r.Schema())
	if err != nil {
		return err
	}
	for _, x := range r.Entries() {
		g := r.Placed(x.ID)
		if g == nil {
			continue
		}
		entries, err := opening(disk, g.Space, g.Shards, shard.Schema{Key: r.Table.Key, Of: &x})
		if err != nil {
			return err
		}
		entries.Index = x
		err = index.Check(ctx, r.Table.Key, sources, entries, func(f index.Fault) {
			report(shard.Fault{Shard: f.Shard, Kind: "entry", Text: f.Text})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// opening opens shards, with the first hash of each.
func opening(
	disk *shard.Store, space holdfast.SpaceID, parts []catalog.Shard, schema shard.Schema,
) (is index.Index, err error) {
	for i, d := range catalog.Descriptors(space, parts) {
		sh, err := disk.Open(d, schema)
		if err != nil {
			return is, err
		}
		is.Shards, is.Starts = append(is.Shards, sh), append(is.Starts, parts[i].FirstHash())
	}
	return is, nil
}
