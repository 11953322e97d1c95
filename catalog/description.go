package catalog

import (
	"slices"
	"time"

	"holdfast/item"
)

// A Throughput is a number of capacity units per second.
type Throughput struct{ Read, Write int64 }

// A Billing is how a table's throughput is limited.
type Billing uint8

// The billing modes.
const (
	Provisioned Billing = iota
	OnDemand
)

// A View says which images a stream's records have.
type View uint8

// The views of streams; 0 is no stream.
const (
	KeysOnly View = iota + 1
	NewImage
	OldImage
	NewAndOldImages
)

// A Definition is what a table is created from.
type Definition struct {
	Name               string
	Key                item.KeySchema
	Indexes            []IndexDefinition // in the order of the request, local ones first
	Billing            Billing
	Throughput         Throughput // where provisioned
	OnDemandLimit      Throughput // MaxReadRequestUnits, MaxWriteRequestUnits; 0 or −1: no limit
	Warm               Throughput `json:",omitzero"` // WarmThroughput; 0: not requested. It is reported, without effect
	Stream             View
	Tags               map[string]string
	DeletionProtection bool
	Class              string // STANDARD or STANDARD_INFREQUENT_ACCESS; "" was not given
	Encryption         string // SSE type: "KMS", or ""
}

// An IndexDefinition is an index with its settings.
type IndexDefinition struct {
	Index         item.Index // the store gives it its ID
	Throughput    Throughput
	OnDemandLimit Throughput
	Warm          Throughput `json:",omitzero"`
}

// A Status is the state of a table or an index.
type Status uint8

// The states of tables and indexes.
const (
	Active Status = iota + 1
	Creating
	Updating
	Deleting
)

// A Description describes a table. A caller must not change it.
type Description struct {
	Definition
	ID               string // UUID
	Status           Status
	Created          time.Time
	Items, ItemBytes int64
	Indexes          []IndexDescription // in place of Definition.Indexes
	// ISO time that names the latest stream; "" if there never was one
	StreamLabel                              string
	StreamOn                                 bool
	TTL                                      TTL
	LastIncrease, LastDecrease, LastOnDemand time.Time // of throughput and billing; zero: never
	DecreasesToday                           int64
	Restored                                 *Restored // nil: it wasn't restored
	PointInTime                              PointInTime
	Attributes                               []item.KeyAttr // AttributeDefinitions in the order of the request
}

// An IndexDescription describes an index.
type IndexDescription struct {
	IndexDefinition
	Status                     Status
	Backfilling                bool
	Items, ItemBytes           int64
	LastIncrease, LastDecrease time.Time // of throughput; zero: never
	DecreasesToday             int64
}

// TTL says whether, and by which attribute, items expire.
type TTL struct {
	Attr string
	On   bool
}

// TimeUnit is the unit in which answers give times.
const TimeUnit = time.Millisecond

// PointInTime is the period to whose points in time a table can be restored. Earliest is a multiple
// of TimeUnit, so that it can be restored to when an answer gave it.
type PointInTime struct {
	On               bool
	Earliest, Latest time.Time
}

// Restored is what a table was restored from.
type Restored struct {
	At           time.Time
	SourceTable  string
	SourceBackup string // its ID; "" for a point in time
	InProgress   bool
}

// A BackupDescription describes a backup of a table.
type BackupDescription struct {
	ID           string // 14 digits of Milliseconds since 1970, "-", 8 hex digits: sorts by time
	Name         string
	Table        Description // as it was
	Created      time.Time
	Ready        bool  // it can be restored: until then its status is CREATING
	Items, Bytes int64 // 0 until it is ready
}

// HasIndex reports whether the table has an index of that name.
func (d *Description) HasIndex(name string) bool {
	return slices.ContainsFunc(d.Indexes, func(x IndexDescription) bool { return x.Index.Name == name })
}

// Age sets the number of today's decreases of throughput to 0 if the last one wasn't today.
func (d *Description) Age(now time.Time) {
	today := now.UTC().Truncate(24 * time.Hour)
	if d.LastDecrease.Before(today) {
		d.DecreasesToday = 0
	}
	for i := range d.Indexes {
		if d.Indexes[i].LastDecrease.Before(today) {
			d.Indexes[i].DecreasesToday = 0
		}
	}
}
