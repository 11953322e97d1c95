package table

import (
	"cmp"

	"holdfast"
	"holdfast/shard"
)

// hasSpace returns holdfast.Full if the disk takes no commits but removals.
func hasSpace(disk *shard.Store) error {
	if disk.Space().Full {
		return holdfast.Errorf(holdfast.Full, "the disk is full: writes are refused until there is space")
	}
	return nil
}

// each decodes the records whose names begin with prefix.
func each[T any](disk *shard.Store, prefix string, do func(*T) error) error {
	records, err := disk.Records(prefix)
	if err != nil {
		return err
	}
	for _, r := range records {
		v := new(T)
		if err := decode(r, v); err != nil {
			return err
		}
		if err := do(v); err != nil {
			return err
		}
	}
	return nil
}

// Schemas returns the schemas of the shards that the catalog on a disk names, for shard.Check.
// Shards that are being copied, and those that are to be removed, are left out.
func Schemas(disk *shard.Store) (map[holdfast.ShardID]shard.Schema, error) {
	all := map[holdfast.ShardID]shard.Schema{}
	add := func(parts []part, schema shard.Schema) {
		for _, p := range parts {
			all[p.ID] = schema
		}
	}
	err := each(disk, tablePrefix, func(r *record) error {
		if schema := r.schema(); r.Copy == nil {
			if r.FillTTL {
				schema.TTL = "" // the queue needn't agree with the items yet
			}
			add(r.Shards, schema)
		}
		return nil
	})
	if err == nil {
		err = each(disk, removedPrefix, func(r *removed) error {
			if len(r.Streams) > 0 {
				add(r.Shards, shard.Schema{Key: r.Key})
			}
			return nil
		})
	}
	if err == nil {
		err = each(disk, backupPrefix, func(b *backup) error {
			if b.Copy == nil {
				add(b.Shards, shard.Schema{Key: b.Backup.Table.Key})
			}
			return nil
		})
	}
	return all, err
}

// Names returns a name for each of the shards that the catalog on a disk names, for shard.Recover:
// also for those that are being copied and those that are to be removed.
func Names(disk *shard.Store) (map[holdfast.ShardID]string, error) {
	all := map[holdfast.ShardID]string{}
	add := func(parts []part, name string) {
		for _, p := range parts {
			all[p.ID] = name
		}
	}
	err := each(disk, tablePrefix, func(r *record) error {
		add(r.Shards, "table "+r.Table.Name)
		return nil
	})
	if err == nil {
		err = each(disk, removedPrefix, func(r *removed) error {
			add(r.Shards, "removed "+cmp.Or(r.Name, "backup"))
			return nil
		})
	}
	if err == nil {
		err = each(disk, backupPrefix, func(b *backup) error {
			add(b.Shards, "backup "+b.Backup.Name)
			return nil
		})
	}
	return all, err
}
