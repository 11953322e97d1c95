package catalog

import (
	"cmp"
	"slices"

	"holdfast"
	"holdfast/shard"
)

// A reading is what the contents are read from. A Disk is one.
type reading interface {
	Records(prefix string) ([]shard.Record, error)
}

// load returns the contents that the records on a disk are of. If there are none, the first ID that
// is drawn is next.
func load(disk reading, next holdfast.ShardID) (Contents, error) {
	c := Contents{
		Tables: map[string]*Table{}, Backups: map[string]*Backup{}, Removed: map[string]*Removed{}, Next: next,
	}
	err := each(disk, nextName, func(ids *nextIDs) { c.Next = ids.Shard })
	if err == nil {
		err = each(disk, tablePrefix, func(r *Table) { r.addTo(&c) })
	}
	if err == nil {
		err = each(disk, removedPrefix, func(r *Removed) { r.addTo(&c) })
	}
	if err == nil {
		err = each(disk, backupPrefix, func(b *Backup) { b.addTo(&c) })
	}
	if err == nil {
		err = each(disk, ledgerName, func(l *Ledger) { l.addTo(&c) })
	}
	if err == nil {
		err = each(disk, nodesName, func(n *Nodes) { n.addTo(&c) })
	}
	return c, err
}

// each decodes the records whose names begin with prefix.
func each[T any, F interface {
	*T
	form
}](disk reading, prefix string, do func(*T)) error {
	records, err := disk.Records(prefix)
	if err != nil {
		return err
	}
	for _, r := range records {
		v := new(T)
		if err := decode(r, F(v)); err != nil {
			return err
		}
		do(v)
	}
	return nil
}

// Schemas returns the schemas of the shards that the catalog on a disk names, for shard.Check.
// Shards that are being copied, and those that are to be removed, are left out. That of the catalog
// of a cluster is among them.
func Schemas(disk *shard.Store) (map[holdfast.ShardID]shard.Schema, error) {
	from, err := onDisk(disk)
	if err != nil {
		return nil, err
	}
	all, err := schemasOf(from)
	if _, ok := from.(*replicated); ok && err == nil {
		all[ShardID] = Schema()
	}
	return all, err
}

// onDisk returns the records of the catalog that is on a disk, be it that of one node, which has
// that of the ledger from its first start on, or that of a cluster.
func onDisk(disk *shard.Store) (Disk, error) {
	if records, err := disk.Records(""); err != nil || len(records) > 0 {
		return disk, err
	}
	all, err := shard.OnDisk(disk)
	if err != nil || !slices.ContainsFunc(all, func(d shard.Descriptor) bool { return d.ID == ShardID }) {
		return disk, err
	}
	sh, err := disk.Open(Descriptor(), Schema())
	return &replicated{store: disk, shard: sh}, err
}

// OpenOnDisk reads the catalog that is on a disk which nothing changes: that of one node, or that
// of a cluster.
func OpenOnDisk(disk *shard.Store) (*Catalog, error) {
	from, err := onDisk(disk)
	if err != nil {
		return nil, err
	}
	c, err := Open(from)
	if err == nil {
		c.replicated, _ = from.(*replicated)
	}
	return c, err
}

func schemasOf(disk reading) (map[holdfast.ShardID]shard.Schema, error) {
	c, err := load(disk, 1)
	if err != nil {
		return nil, err
	}
	all := map[holdfast.ShardID]shard.Schema{}
	add := func(shards []Shard, schema shard.Schema) {
		for _, p := range shards {
			all[p.ID] = schema
		}
	}
	for _, r := range c.Tables {
		if schema := r.Schema(); r.Copy == nil {
			if r.FillTTL {
				schema.TTL = "" // the queue needn't agree with the items yet
			}
			add(r.Shards, schema)
			add(r.Closed, shard.Schema{Key: r.Table.Key})
			addIndexes(r, add)
		}
	}
	for _, r := range c.Removed {
		if len(r.Streams) > 0 {
			add(r.Shards, shard.Schema{Key: r.Key})
		}
	}
	for _, b := range c.Backups {
		if b.Copy == nil {
			add(b.Shards, shard.Schema{Key: b.Backup.Table.Key})
		}
	}
	if c.Ledger != nil {
		add(c.Ledger.Shards, shard.LedgerSchema())
	}
	return all, nil
}

// addIndexes adds the shards of a table's global indexes.
func addIndexes(r *Table, add func([]Shard, shard.Schema)) {
	for _, x := range r.Entries() {
		if g := r.Placed(x.ID); g != nil {
			add(g.Shards, shard.Schema{Key: r.Table.Key, Of: &x})
		}
	}
}

// Names returns a name for each of the shards that the catalog on a disk names, for shard.Recover:
// also for those that are being copied and those that are to be removed.
func Names(disk *shard.Store) (map[holdfast.ShardID]string, error) {
	from, err := onDisk(disk)
	if err != nil {
		return nil, err
	}
	all, err := namesOf(from)
	if _, ok := from.(*replicated); ok && err == nil {
		all[ShardID] = "catalog of tables"
	}
	return all, err
}

func namesOf(disk reading) (map[holdfast.ShardID]string, error) {
	c, err := load(disk, 1)
	if err != nil {
		return nil, err
	}
	all := map[holdfast.ShardID]string{}
	add := func(shards []Shard, name string) {
		for _, p := range shards {
			all[p.ID] = name
		}
	}
	for _, r := range c.Tables {
		add(r.Shards, "table "+r.Table.Name)
		add(r.Closed, "table "+r.Table.Name)
		for _, g := range r.Global {
			add(g.Shards, "an index of table "+r.Table.Name)
		}
	}
	for _, r := range c.Removed {
		add(r.Shards, "removed "+cmp.Or(r.Name, "backup"))
		for _, g := range r.Global {
			add(g.Shards, "a removed index of "+r.Name)
		}
	}
	for _, b := range c.Backups {
		add(b.Shards, "backup "+b.Backup.Name)
	}
	if c.Ledger != nil {
		add(c.Ledger.Shards, "ledger of transactions")
	}
	return all, nil
}
