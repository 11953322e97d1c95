package table

import (
	"cmp"
	"context"
	"slices"

	"holdfast/catalog"
	"holdfast/shard"
)

// takeOver gives the global indexes of tables that are on disk in an older form shards of their own,
// and takes all shards over if the directory is of format 1: those of backups, too, which otherwise a
// restore opens. The catalog is locked.
func (i *installer) takeOver(ctx context.Context) error {
	for _, r := range i.catalog.Contents().Tables {
		if err := i.placeIndexes(ctx, r); err != nil {
			return err
		}
	}
	former, err := shard.HasFormat1(i.disk)
	if err != nil || !former {
		return err
	}
	for _, one := range formerShards(i.catalog.Contents()) {
		if _, err := i.disk.Open(one.is, one.schema); err != nil {
			return err
		}
	}
	return nil
}

// A formerShard is a shard that may be in format 1, with what it is opened with.
type formerShard struct {
	is     shard.Descriptor
	schema shard.Schema
}

// formerShards returns all shards that a directory of format 1 can have, by rising ID. That is the order
// of their keys there, so that few of the files in which they are have keys of a shard that was taken
// over beside those of one that wasn't.
func formerShards(is catalog.Contents) (all []formerShard) {
	add := func(shards []shard.Descriptor, schema shard.Schema) {
		for _, d := range shards {
			all = append(all, formerShard{d, schema})
		}
	}
	for _, r := range is.Tables {
		if r.Copy == nil {
			add(catalog.Descriptors(r.Space, r.Shards), r.Schema())
		}
		add(catalog.Descriptors(r.Space, r.Closed), shard.Schema{Key: r.Table.Key})
	}
	for _, r := range is.Removed {
		if len(r.Streams) > 0 {
			add(catalog.Descriptors(r.Space, r.Shards), shard.Schema{Key: r.Key})
		}
	}
	for _, b := range is.Backups {
		if b.Copy == nil { // otherwise its shards are removed, and copied again
			add(catalog.Descriptors(b.Space, b.Shards), shard.Schema{Key: b.Backup.Table.Key})
		}
	}
	slices.SortFunc(all, func(a, b formerShard) int { return cmp.Compare(a.is.ID, b.is.ID) })
	return all
}
