package catalog

import (
	"encoding/json"
	"fmt"

	"holdfast"
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

// The versions of the records' forms. A record of a later version is refused; one of an earlier
// version gets the present form when it is read.
const (
	// entryVersion is that of a Table, Backup or Removed that is written. Those of versions 1 and 2
	// have shards and streams by place. Version 2 was that of a table or backup with an index whose
	// key has several attributes in a part.
	entryVersion = 3
	nextVersion  = 1 // of a nextIDs
)

// nextIDs are IDs that have never been used.
type nextIDs struct {
	Version int
	Shard   holdfast.ShardID
}

// A form is a record that can be read from the disk.
type form interface {
	// decode reads a value of a version up to latest.
	decode(version int, value []byte) error
	latest() int
}

// decode reads a record of the disk.
func decode(r shard.Record, into form) error {
	var head struct{ Version int }
	err := json.Unmarshal(r.Value, &head)
	if err == nil && (head.Version < 1 || head.Version > into.latest()) {
		err = fmt.Errorf("version %d, but this program knows up to %d", head.Version, into.latest())
	}
	if err == nil {
		err = into.decode(head.Version, r.Value)
	}
	if err != nil {
		return holdfast.Errorf(holdfast.Corrupt, "record %q of the catalog: %w", r.Name, err)
	}
	return nil
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
func (r *Table) latest() int            { return entryVersion }

// encoded returns a table as a record of the disk.
func (r *Table) encoded() shard.Record {
	c := *r
	c.Version = entryVersion
	return encode(r.recordName(), &c)
}

func (r *Table) decode(version int, value []byte) error {
	if version == entryVersion {
		return json.Unmarshal(value, r)
	}
	old := struct {
		*Table
		Shards  []placedShard
		Streams []placedStream
	}{Table: r}
	if err := json.Unmarshal(value, &old); err != nil {
		return err
	}
	for _, x := range r.Table.Indexes {
		if !x.Index.Local {
			r.Beside = append(r.Beside, x.Index.ID)
		}
	}
	var err error
	r.Space, r.Shards = upgradeShards(old.Shards)
	r.Streams, err = upgradeStreams(r.Shards, old.Streams)
	return err
}

func (b *Backup) recordName() string     { return backupPrefix + b.Backup.ID }
func (b *Backup) addTo(c *Contents)      { c.Backups[b.Backup.ID] = b }
func (b *Backup) removeFrom(c *Contents) { delete(c.Backups, b.Backup.ID) }
func (b *Backup) latest() int            { return entryVersion }

// encoded returns a backup as a record of the disk.
func (b *Backup) encoded() shard.Record {
	c := *b
	c.Version = entryVersion
	return encode(b.recordName(), &c)
}

func (b *Backup) decode(version int, value []byte) error {
	if version == entryVersion {
		return json.Unmarshal(value, b)
	}
	old := struct {
		*Backup
		Shards []placedShard
	}{Backup: b}
	if err := json.Unmarshal(value, &old); err != nil {
		return err
	}
	b.Space, b.Shards = upgradeShards(old.Shards)
	return nil
}

func (r *Removed) recordName() string     { return removedPrefix + r.ID }
func (r *Removed) addTo(c *Contents)      { c.Removed[r.ID] = r }
func (r *Removed) removeFrom(c *Contents) { delete(c.Removed, r.ID) }
func (r *Removed) latest() int            { return entryVersion }

// encoded returns shards that are to be removed as a record of the disk.
func (r *Removed) encoded() shard.Record {
	c := *r
	c.Version = entryVersion
	return encode(r.recordName(), &c)
}

func (r *Removed) decode(version int, value []byte) error {
	if version == entryVersion {
		return json.Unmarshal(value, r)
	}
	old := struct {
		*Removed
		Shards  []placedShard
		Streams []placedStream
	}{Removed: r}
	if err := json.Unmarshal(value, &old); err != nil {
		return err
	}
	var err error
	r.Space, r.Shards = upgradeShards(old.Shards)
	r.Streams, err = upgradeStreams(r.Shards, old.Streams)
	return err
}

func (n *nextIDs) latest() int                      { return nextVersion }
func (n *nextIDs) decode(_ int, value []byte) error { return json.Unmarshal(value, n) }
