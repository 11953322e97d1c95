package catalog

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"holdfast"
	"holdfast/item"
	"holdfast/shard"
)

// ShardID is the shard that has the records of a cluster's catalog. It and its space have the same
// ID on all nodes, and no other shard or space of a cluster has it.
const ShardID holdfast.ShardID = 1

// The items of the catalog's shard. Each has a record, but for one, which has the revision.
const (
	itemName     = "name"  // the record's name
	itemValue    = "value" // the record's value, as bytes; of the revision a number
	revisionName = "revision"
)

// Schema returns the schema of the catalog's shard.
func Schema() shard.Schema {
	return shard.Schema{Key: item.KeySchema{Hash: item.KeyAttr{Name: itemName, Type: item.S}}}
}

// Descriptor returns the descriptor of the catalog's shard.
func Descriptor() shard.Descriptor {
	return shard.Descriptor{ID: ShardID, Space: holdfast.SpaceID(ShardID)}
}

// firstID is the first ID that NewSpace draws in a cluster.
const firstID = ShardID + 1

// A replicated is the records of a catalog as items of a shard, which is one of a group's replicas.
//
// Each commit raises the revision, and is refused unless the revision is the one that was read
// last. So contents that are stale are never the base of a commit, although this replica may lead:
// as when it led, another replica led and changed them, and it leads again.
type replicated struct {
	store *shard.Store
	shard *shard.Shard

	// The lock of the Catalog guards what follows.
	at       uint64 // what was read last has all entries of the shard up to this one
	revision uint64 // of what was read last; 0: there are no records
}

var _ Disk = (*replicated)(nil)

// OpenReplicated reads the catalog of a cluster, whose records are the items of a shard.
func OpenReplicated(store *shard.Store, sh *shard.Shard) (*Catalog, error) {
	c := &Catalog{replicated: &replicated{store: store, shard: sh}, mu: make(chan struct{}, 1)}
	c.disk = c.replicated
	if err := c.reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Replicated reports whether the catalog is that of a cluster.
func (c *Catalog) Replicated() bool { return c.replicated != nil }

// Refresh reads the contents again if another node, or a commit whose outcome wasn't known, has
// changed them. It returns them as they were and as they are; entries that are the same are the
// same pointers. It is called between Lock and Unlock.
//
// What this node had reserved of IDs isn't used any more when the contents have changed: another
// node may have drawn them.
func (c *Catalog) Refresh() (before, after Contents, changed bool, err error) {
	before = c.is
	r := c.replicated
	if r == nil {
		return before, before, false, nil
	}
	at := r.visible()
	if at == r.at {
		return before, before, false, nil
	}
	revision, err := r.current()
	if err != nil {
		return before, before, false, err
	}
	if revision == r.revision {
		r.at = at
		return before, before, false, nil
	}
	if err := c.reload(); err != nil {
		return before, before, false, err
	}
	return before, c.is, true, nil
}

// At returns up to which entry of the catalog's shard the contents are those of. It is called
// between Lock and Unlock.
func (c *Catalog) At() uint64 { return c.replicated.at }

// reload reads the contents.
func (c *Catalog) reload() error {
	r := c.replicated
	at := r.visible()
	revision, all, err := r.read()
	if err != nil {
		return err
	}
	is, err := load(all, firstID)
	if err != nil {
		return err
	}
	is.share(&c.is)
	c.is, c.next, r.at, r.revision = is, is.Next, at, revision
	return nil
}

// share takes those entries from others that are the same there.
func (c *Contents) share(others *Contents) {
	share(c.Tables, others.Tables)
	share(c.Backups, others.Backups)
	share(c.Removed, others.Removed)
	if c.Ledger != nil && others.Ledger != nil {
		c.Ledger = others.Ledger // it never changes
	}
	if c.Nodes != nil && others.Nodes != nil && c.Nodes.same(others.Nodes) {
		c.Nodes = others.Nodes
	}
}

func share[E Entry](to, from map[string]E) {
	for name, e := range to {
		if other, ok := from[name]; ok && string(other.encoded().Value) == string(e.encoded().Value) {
			to[name] = other
		}
	}
}

// recordSet is records in memory, sorted by name.
type recordSet []shard.Record

// Records returns those whose names begin with prefix.
func (s recordSet) Records(prefix string) ([]shard.Record, error) {
	from, _ := slices.BinarySearchFunc(s, prefix, func(r shard.Record, p string) int {
		return strings.Compare(r.Name, p)
	})
	to := from
	for to < len(s) && strings.HasPrefix(s[to].Name, prefix) {
		to++
	}
	return s[from:to], nil
}

// Records implements Disk.
func (r *replicated) Records(prefix string) ([]shard.Record, error) {
	_, all, err := r.read()
	if err != nil {
		return nil, err
	}
	return all.Records(prefix)
}

// read returns the revision and all records, as of one entry.
func (r *replicated) read() (revision uint64, all recordSet, err error) {
	c, err := r.shard.Cursor(context.Background(), shard.Span{})
	if err != nil {
		return 0, nil, err
	}
	for err == nil && c.Next() {
		var it item.Item
		if it, err = c.Item(); err != nil {
			break
		}
		name, _ := it.Get(itemName)
		if name.Text == revisionName {
			revision, err = revisionOf(it)
			continue
		}
		value, ok := it.Get(itemValue)
		if !ok || value.Type != item.B {
			err = errRecord(name.Text)
		}
		all = append(all, shard.Record{Name: name.Text, Value: []byte(value.Text)})
	}
	if err := errors.Join(err, c.Err(), c.Close()); err != nil {
		return 0, nil, err
	}
	slices.SortFunc(all, func(a, b shard.Record) int { return strings.Compare(a.Name, b.Name) })
	return revision, all, nil
}

// visible returns the last entry of the shard that a reader sees who begins now. What was applied
// later may not be visible yet.
func (r *replicated) visible() uint64 { return r.shard.End().Index - 1 }

// current returns the revision that the shard has now.
func (r *replicated) current() (uint64, error) {
	key, err := keyOf(revisionName)
	if err != nil {
		return 0, err
	}
	it, err := r.shard.Get(context.Background(), key)
	if err != nil {
		return 0, err
	}
	return revisionOf(it)
}

// SaveRecords implements Disk. It is Refused, and nothing is changed, if the contents that were
// read last aren't those that the shard has; NotLeader if this replica doesn't lead.
func (r *replicated) SaveRecords(ctx context.Context, records []shard.Record, removal bool) error {
	c := shard.Commit{Removal: removal, Writes: make([]shard.Write, 1, 1+len(records))}
	last := map[string]shard.Record{} // of a name that is there twice, the last holds
	for _, rec := range records {
		last[rec.Name] = rec
	}
	for _, name := range slices.Sorted(maps.Keys(last)) {
		var after item.Item
		if value := last[name].Value; value != nil {
			after = itemOf(name, item.Bytes(string(value)))
		}
		key, err := keyOf(name)
		if err != nil {
			return err
		}
		c.Writes = append(c.Writes, shard.Write{
			Shard: r.shard, Key: key, Change: func(item.Item) (item.Item, error) { return after, nil },
		})
	}
	key, err := keyOf(revisionName)
	if err != nil {
		return err
	}
	c.Writes[0] = shard.Write{Shard: r.shard, Key: key, Change: r.raise}
	results, err := r.store.Commit(ctx, c)
	if err != nil {
		return err
	}
	r.at, r.revision = results[0].Tx.Index, r.revision+1
	return nil
}

// raise is the Change of the revision's item.
func (r *replicated) raise(before item.Item) (item.Item, error) {
	is, err := revisionOf(before)
	if err != nil {
		return nil, err
	}
	if is != r.revision {
		return nil, holdfast.Errorf(holdfast.Refused,
			"nothing was changed: the catalog is at revision %d, and this change was decided by revision %d",
			is, r.revision)
	}
	return itemOf(revisionName, item.Value{Type: item.N, Text: strconv.FormatUint(is+1, 10)}), nil
}

// revisionOf returns what the revision's item has; 0 if there is none.
func revisionOf(it item.Item) (uint64, error) {
	if it == nil {
		return 0, nil
	}
	v, _ := it.Get(itemValue)
	n, err := strconv.ParseUint(v.Text, 10, 64)
	if v.Type != item.N || err != nil {
		return 0, errRecord(revisionName)
	}
	return n, nil
}

func itemOf(name string, value item.Value) item.Item {
	return item.New(item.Attr{Name: itemName, Value: item.Text(name)}, item.Attr{Name: itemValue, Value: value})
}

// keyOf returns the key of the item with a name.
func keyOf(name string) (item.Key, error) {
	return Schema().Key.Key(item.New(item.Attr{Name: itemName, Value: item.Text(name)}))
}

func errRecord(name string) error {
	return holdfast.Errorf(holdfast.Corrupt, "record %q of the catalog's shard can't be decoded", name)
}
