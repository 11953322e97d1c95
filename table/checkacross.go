package table

import (
	"context"

	"holdfast/catalog"
	"holdfast/index"
	"holdfast/shard"
)

// CheckAcross compares the global indexes of all tables of a disk that nothing changes with their
// items, and what transactions have locked with their decisions, for shard.Check. The shards of a
// cluster's node aren't compared: each has applied as much of its group's log as it has got.
func CheckAcross(ctx context.Context, disk *shard.Store, report func(shard.Fault)) error {
	c, err := catalog.OpenOnDisk(disk)
	if err != nil {
		return err
	}
	if c.Replicated() {
		return nil
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
	if l := c.Contents().Ledger; l != nil {
		shards, err := openAll(disk, catalog.Descriptors(l.Space, l.Shards), shard.LedgerSchema())
		if err != nil {
			return err
		}
		return disk.UseLedger(shards[0]).Check(ctx, report)
	}
	return nil
}

func checkIndexes(ctx context.Context, disk *shard.Store, r *catalog.Table, report func(shard.Fault)) error {
	sources, err := openPlaced(disk, r.Space, r.Shards, r.Schema())
	if err != nil {
		return err
	}
	for _, x := range r.Entries() {
		g := r.Placed(x.ID)
		if g == nil {
			continue
		}
		entries, err := openIndex(disk, r, x, g)
		if err != nil {
			return err
		}
		err = index.Check(ctx, r.Table.Key, sources, entries, func(f index.Fault) {
			report(shard.Fault{Shard: f.Shard, Kind: "entry", Text: f.Text})
		})
		if err != nil {
			return err
		}
	}
	return nil
}
