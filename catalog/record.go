package catalog

import (
	"crypto/rand"
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
	tablePrefix   = "table/"   // and the table's name: a Table
	removedPrefix = "removed/" // and the ID of a table or backup that was: a Removed
	backupPrefix  = "backup/"  // and the backup's ID: a Backup
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

// A Table is the record of a table. Work that takes long (filling an index, copying shards …) is
// written into it before it begins and taken out when it is done: the record is the queue of the
// background work, which survives a crash.
type Table struct {
	Version   int
	Table     Description // without counts
	Shards    []Part
	NextIndex uint32    // an ID that no index of the table has had, nor any above it
	Streams   []Stream  // the oldest first
	FillTTL   bool      // the queue of expiring items is to be filled
	ClearTTL  bool      // the queue of expiring items is to be emptied, before it is filled
	Since     time.Time // from when it can be restored as it was; zero: it can't
	Copy      *Copying  // what its shards are copied from, until they are
}

// A Part is a shard of a table.
type Part struct {
	ID    holdfast.ShardID
	Start uint64 // the first hash; it goes up to the next part's
}

// A Copying is where shards come from.
type Copying struct {
	At     time.Time // as they were then
	Backup string    // the ID of the backup that they are of, or ""
	Table  string    // the table that they are of, or ""
}

// A Removed is shards that are still to be removed: of a table, once its streams are no longer
// kept, or of a backup.
type Removed struct {
	Version int
	Name    string // of the table; "" is a backup
	ID      string
	Key     item.KeySchema
	Shards  []Part
	Indexes []uint32 // IDs of indexes whose entries are removed at once
	Streams []Stream
	Until   time.Time // then all of it is removed
}

// A Backup is the record of a backup: a snapshot of a table, in shards of its own.
type Backup struct {
	Version int
	Backup  BackupDescription
	Shards  []Part
	Copy    *Copying // until it is complete
}

// nextIDs are IDs that have never been used.
type nextIDs struct {
	Version int
	Shard   holdfast.ShardID
}

// Clone returns a copy that can be changed.
func (r *Table) Clone() *Table {
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

// Schema returns the schema of the table's shards: an index has entries from when it begins to be
// filled until it begins to be removed, and the queue of expiring items gets none while it is to be
// emptied.
func (r *Table) Schema() shard.Schema {
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

// Index returns the index of that name, or nil.
func (r *Table) Index(name string) *IndexDescription {
	for i := range r.Table.Indexes {
		if r.Table.Indexes[i].Index.Name == name {
			return &r.Table.Indexes[i]
		}
	}
	return nil
}

// UpdateStatus sets the table's status by what is still under way.
func (r *Table) UpdateStatus() {
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
		panic(fmt.Sprintf("catalog: record %s: %v", name, err)) // our own types, which JSON has
	}
	return shard.Record{Name: name, Value: value}
}

func (r *Table) recordName() string     { return tablePrefix + r.Table.Name }
func (r *Table) addTo(c *Contents)      { c.Tables[r.Table.Name] = r }
func (r *Table) removeFrom(c *Contents) { delete(c.Tables, r.Table.Name) }

// encoded returns a table as a record of the disk.
func (r *Table) encoded() shard.Record {
	c := *r
	c.Version = formOf(&r.Table)
	return encode(r.recordName(), &c)
}

func (b *Backup) recordName() string     { return backupPrefix + b.Backup.ID }
func (b *Backup) addTo(c *Contents)      { c.Backups[b.Backup.ID] = b }
func (b *Backup) removeFrom(c *Contents) { delete(c.Backups, b.Backup.ID) }

// encoded returns a backup as a record of the disk.
func (b *Backup) encoded() shard.Record {
	c := *b
	c.Version = formOf(&b.Backup.Table)
	return encode(b.recordName(), &c)
}

func (r *Removed) recordName() string     { return removedPrefix + r.ID }
func (r *Removed) addTo(c *Contents)      { c.Removed[r.ID] = r }
func (r *Removed) removeFrom(c *Contents) { delete(c.Removed, r.ID) }

// encoded returns shards that are to be removed as a record of the disk.
func (r *Removed) encoded() shard.Record { return encode(r.recordName(), r) }

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
	case *Table, *Backup:
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

// Rest returns the shards that are still to be removed when a table is removed at now. ends is that
// of BeginStream.
func (r *Table) Rest(now time.Time, ends []holdfast.Position) *Removed {
	gone := &Removed{Version: version, Name: r.Table.Name, ID: r.Table.ID, Key: r.Table.Key, Shards: r.Shards, Until: now}
	ended := r.Clone()
	ended.endStream(now, ends)
	for _, st := range ended.Streams {
		if until := st.Ended.Add(StreamAge); until.After(now) {
			gone.Streams = append(gone.Streams, st)
			gone.Until = until // the last of them ended last
		}
	}
	for _, x := range r.Table.Indexes {
		gone.Indexes = append(gone.Indexes, x.Index.ID)
	}
	return gone
}

// Discarded returns the shards of a backup, or of a copy that failed, as shards that are to be
// removed at once.
func Discarded(id string, parts []Part, now time.Time) *Removed {
	return &Removed{Version: version, ID: id, Shards: parts, Until: now}
}

// NewBackupID returns an ID in DynamoDB's form.
func NewBackupID(now time.Time) string {
	var b [4]byte
	rand.Read(b[:]) // never fails, as its documentation says
	return fmt.Sprintf("%014d-%x", now.UnixMilli(), b)
}
