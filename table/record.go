package table

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"holdfast"
	"holdfast/item"
	"holdfast/shard"
)

// The names of the catalog's records. Each value is JSON with a Version; docs/formats.md describes
// them.
const (
	tablePrefix   = "table/"   // and the table's name: a record
	removedPrefix = "removed/" // and the ID of a table or backup that was: a removed
	backupPrefix  = "backup/"  // and the backup's ID: a backup
	nextName      = "next"     // a nextIDs
)

// The versions of the records' forms. A record of a later version is refused.
const (
	version = 1

	// multiKeyVersion is that of a table or backup with an index whose key has several attributes
	// in a part, which are lists then. Else the form is version's, and tables without such an index
	// keep that number, so that a program that knows no other can go back to them.
	multiKeyVersion = 2
)

// A record is a table in the catalog. Work that takes long (filling an index, copying shards …) is
// written into it before it begins and taken out when it is done: the record is the queue of the
// background work, which survives a crash. A record in the catalog is immutable: a change clones
// it.
type record struct {
	Version   int
	Table     Description // without counts
	Shards    []part
	NextIndex uint32    // an ID that no index of the table has had, nor any above it
	Streams   []stream  // the oldest first
	FillTTL   bool      // the queue of expiring items is to be filled
	ClearTTL  bool      // the queue of expiring items is to be emptied, before it is filled
	Since     time.Time // from when it can be restored as it was; zero: it can't
	Copy      *copying  // what its shards are copied from, until they are
}

// A part is a shard of a table.
type part struct {
	ID    holdfast.ShardID
	Start uint64 // the first hash; it goes up to the next part's
}

// A copying is where shards come from.
type copying struct {
	At     time.Time // as they were then
	Backup string    // the ID of the backup that they are of, or ""
	Table  string    // the table that they are of, or ""
}

// A stream is the changes of a table between two positions of each shard.
type stream struct {
	Label   string
	View    View
	Created time.Time
	Ended   time.Time // zero: it hasn't ended
	First   []holdfast.Position
	Last    []holdfast.Position // nil: it hasn't ended
}

// A removed is shards that are still to be removed: of a table, once its streams are no longer
// kept, or of a backup.
type removed struct {
	Version int
	Name    string // of the table; "" is a backup
	ID      string
	Key     item.KeySchema
	Shards  []part
	Indexes []uint32 // IDs of indexes whose entries are removed at once
	Streams []stream
	Until   time.Time // then all of it is removed

	open []*shard.Shard // to read streams from; nil if there are none
}

// A backup is a snapshot of a table, in shards of its own.
type backup struct {
	Version int
	Backup  Backup
	Shards  []part
	Copy    *copying // until it is complete
}

// nextIDs are IDs that have never been used.
type nextIDs struct {
	Version int
	Shard   holdfast.ShardID
}

// clone returns a copy that can be changed.
func (r *record) clone() *record {
	c := *r
	c.Table.Indexes = slices.Clone(r.Table.Indexes)
	c.Table.Attributes = slices.Clone(r.Table.Attributes)
	c.Table.Tags = maps.Clone(r.Table.Tags)
	c.Streams = slices.Clone(r.Streams)
	if r.Table.Restored != nil {
		restored := *r.Table.Restored
		c.Table.Restored = &restored
	}
	return &c
}

// schema returns the schema of the table's shards: an index has entries from when it begins to be
// filled until it begins to be removed, and the queue of expiring items gets none while it is to be
// emptied.
func (r *record) schema() shard.Schema {
	s := shard.Schema{Key: r.Table.Key}
	for _, x := range r.Table.Indexes {
		if x.Status != Deleting {
			s.Indexes = append(s.Indexes, x.Index)
		}
	}
	if r.Table.TTL.On && !r.ClearTTL {
		s.TTL = r.Table.TTL.Attr
	}
	return s
}

// index returns the index of that name, or nil.
func (r *record) index(name string) *IndexDescription {
	for i := range r.Table.Indexes {
		if r.Table.Indexes[i].Index.Name == name {
			return &r.Table.Indexes[i]
		}
	}
	return nil
}

// updateStatus sets the table's status by what is still under way.
func (r *record) updateStatus() {
	r.Table.Status = Active
	for _, x := range r.Table.Indexes {
		if x.Status == Creating || x.Status == Deleting {
			r.Table.Status = Updating
		}
	}
	if restored := r.Table.Restored; restored != nil && restored.InProgress {
		restored.InProgress = r.Copy != nil || r.Table.Status == Updating
		if restored.InProgress {
			r.Table.Status = Creating
		}
	}
}

// encode returns a value of the catalog as a record of the disk.
func encode(name string, v any) shard.Record {
	value, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("table: record %s: %v", name, err)) // our own types, which JSON has
	}
	return shard.Record{Name: name, Value: value}
}

func (r *record) recordName() string     { return tablePrefix + r.Table.Name }
func (r *record) addTo(c *contents)      { c.tables[r.Table.Name] = r }
func (r *record) removeFrom(c *contents) { delete(c.tables, r.Table.Name) }

// encoded returns a table as a record of the disk.
func (r *record) encoded() shard.Record {
	c := *r
	c.Version = formOf(&r.Table)
	return encode(r.recordName(), &c)
}

func (b *backup) recordName() string     { return backupPrefix + b.Backup.ID }
func (b *backup) addTo(c *contents)      { c.backups[b.Backup.ID] = b }
func (b *backup) removeFrom(c *contents) { delete(c.backups, b.Backup.ID) }

// encoded returns a backup as a record of the disk.
func (b *backup) encoded() shard.Record {
	c := *b
	c.Version = formOf(&b.Backup.Table)
	return encode(b.recordName(), &c)
}

func (r *removed) recordName() string     { return removedPrefix + r.ID }
func (r *removed) addTo(c *contents)      { c.removed[r.ID] = r }
func (r *removed) removeFrom(c *contents) { delete(c.removed, r.ID) }

// encoded returns shards that are to be removed as a record of the disk.
func (r *removed) encoded() shard.Record { return encode(r.recordName(), r) }

// formOf returns the version of the form that a table's record has.
func formOf(d *Description) int {
	if slices.ContainsFunc(d.Indexes, func(x IndexDescription) bool { return x.Index.Key.Multi() }) {
		return multiKeyVersion
	}
	return version
}

// decode reads a value of the catalog.
func decode(r shard.Record, v any) error {
	var form struct{ Version int }
	err := json.Unmarshal(r.Value, &form)
	latest := version
	switch v.(type) {
	case *record, *backup:
		latest = multiKeyVersion
	}
	if err == nil && (form.Version < version || form.Version > latest) {
		err = fmt.Errorf("version %d, but this program knows up to %d", form.Version, latest)
	}
	if err == nil {
		err = json.Unmarshal(r.Value, v)
	}
	if err != nil {
		return holdfast.Errorf(holdfast.Corrupt, "record %q of the catalog: %w", r.Name, err)
	}
	return nil
}
