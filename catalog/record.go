package catalog

import (
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"time"

	"holdfast"
	"holdfast/item"
	"holdfast/shard"
)

// A Table is the record of a table. Work that takes long (filling an index, copying shards …) is
// written into it before it begins and taken out when it is done: the record is the queue of the
// background work, which survives a crash.
type Table struct {
	Version   int
	Table     Description // without counts
	Space     holdfast.SpaceID
	Shards    []Shard // which divide all keys among them, by rising range
	Closed    []Shard `json:",omitempty"` // whose range others have taken over; kept for the streams
	NextIndex uint32  // an ID that no index of the table has had, nor any above it
	// Global has the shards of the global indexes that have entries or are being filled.
	Global []GlobalIndex `json:",omitempty"`
	// Beside has the IDs of global indexes whose entries lie beside their items, as they did before
	// version 3, and are still to be removed.
	Beside   []uint32  `json:",omitempty"`
	Streams  []Stream  // the oldest first
	FillTTL  bool      // the queue of expiring items is to be filled
	ClearTTL bool      // the queue of expiring items is to be emptied, before it is filled
	Since    time.Time // from when it can be restored as it was; zero: it can't
	Copy     *Copying  // what its shards are copied from, until they are
	// Whole is, of a restored table of a cluster, the position from which on each shard has all
	// that the table had when it became active. A replica that isn't as far has a part of it.
	Whole map[holdfast.ShardID]holdfast.Position `json:",omitempty"`
}

// A GlobalIndex is where the entries of a global index are: in a space of its own.
type GlobalIndex struct {
	ID     uint32 // of the index in its table
	Space  holdfast.SpaceID
	Shards []Shard
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
	Space   holdfast.SpaceID
	Shards  []Shard
	Indexes []uint32 // IDs of indexes whose entries are removed at once
	// Global has the shards of global indexes, which are removed at once.
	Global  []GlobalIndex `json:",omitempty"`
	Streams []Stream
	Until   time.Time // then all of it is removed
}

// A Backup is the record of a backup: a snapshot of a table, in shards of its own.
type Backup struct {
	Version int
	Backup  BackupDescription
	Space   holdfast.SpaceID
	Shards  []Shard
	Copy    *Copying // until it is complete
}

// Clone returns a copy that can be changed.
func (r *Table) Clone() *Table {
	c := *r
	c.Table.Indexes = slices.Clone(r.Table.Indexes)
	c.Global, c.Beside = slices.Clone(r.Global), slices.Clone(r.Beside)
	c.Table.Attributes = slices.Clone(r.Table.Attributes)
	c.Table.Tags = maps.Clone(r.Table.Tags)
	c.Streams = slices.Clone(r.Streams)
	for i := range c.Streams {
		c.Streams[i].Last = maps.Clone(r.Streams[i].Last)
	}
	if r.Table.Restored != nil {
		restored := *r.Table.Restored
		c.Table.Restored = &restored
	}
	return &c
}

// Schema returns the schema of the table's shards, which have the entries of local indexes beside
// their items. The queue of expiring items gets none while it is to be emptied.
func (r *Table) Schema() shard.Schema {
	s := shard.Schema{Key: r.Table.Key}
	for _, x := range r.Table.Indexes {
		if x.Index.Local {
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

// Rest returns the shards that are still to be removed when a table is removed at now. ends is that
// of BeginStream.
func (r *Table) Rest(now time.Time, ends map[holdfast.ShardID]holdfast.Position) *Removed {
	gone := &Removed{
		Name: r.Table.Name, ID: r.Table.ID, Key: r.Table.Key, Space: r.Space, Shards: slices.Concat(r.Shards, r.Closed),
		Global: r.Global, Until: now,
	}
	ended := r.Clone()
	ended.endStream(now, ends)
	for _, st := range ended.Streams {
		if until := st.Ended.Add(StreamAge); until.After(now) {
			gone.Streams = append(gone.Streams, st)
			gone.Until = until // the last of them ended last
		}
	}
	gone.Indexes = slices.Clone(r.Beside)
	for _, x := range r.Table.Indexes {
		if x.Index.Local {
			gone.Indexes = append(gone.Indexes, x.Index.ID)
		}
	}
	return gone
}

// Discarded returns the shards of a backup, or of a copy that failed, as shards that are to be
// removed at once.
func Discarded(id string, space holdfast.SpaceID, shards []Shard, now time.Time) *Removed {
	return &Removed{ID: id, Space: space, Shards: shards, Until: now}
}

// NewBackupID returns an ID in DynamoDB's form.
func NewBackupID(now time.Time) string {
	var b [4]byte
	rand.Read(b[:]) // never fails, as its documentation says
	return fmt.Sprintf("%014d-%x", now.UnixMilli(), b)
}
