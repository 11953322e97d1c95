package table

import (
	"log/slog"
	"time"

	"holdfast/item"
	"holdfast/shard"
)

// Options are what a Store is opened with.
type Options struct {
	Disk           *shard.Store
	ShardsPerTable int  // of tables that are created from now on; default 1
	Throttle       bool // whether provisioned throughput is enforced
	Log            *slog.Logger
	Now            func() time.Time // default time.Now
}

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

// PointInTime is the period to whose points in time a table can be restored.
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

// Capacity is what a request consumed, in units. Transactions consume twice as much.
type Capacity struct {
	Table                 string
	Read, Write           float64                  // sums
	TableRead, TableWrite float64                  // of the table itself
	Indexes               map[string]IndexCapacity // nil: none
}

// IndexCapacity is an index's part.
type IndexCapacity struct {
	Local       bool
	Read, Write float64
}

// A Get asks for one item.
type Get struct {
	Table      string
	Key        item.Item
	Project    *item.Projection
	Consistent bool // costs twice as much; every read is consistent
}

// Got is the response to a Get.
type Got struct {
	Item     item.Item // nil: there is none
	Capacity Capacity
}

// A Put, a Delete and an Update change one item; a Check changes none.
type (
	Put struct {
		Table string
		Item  item.Item
		If    *item.Condition
	}
	Delete struct {
		Table string
		Key   item.Item
		If    *item.Condition
	}
	Update struct {
		Table  string
		Key    item.Item
		Change *item.Update // nil changes nothing, but creates the item if there is none
		If     *item.Condition
		Legacy bool // AttributeUpdates: an item from which attributes are only deleted isn't created
	}
	Check struct {
		Table string
		Key   item.Item
		If    *item.Condition
	}
)

// Written is what a write did.
type Written struct {
	Before, After item.Item // nil: there was, or is, none
	Capacity      Capacity
	Collection    *Collection // of tables with local indexes
}

// A Collection is the items that share a partition key in a table with local indexes.
type Collection struct {
	Table string
	Key   item.Item // the partition key
	Bytes int64     // of items and their entries
}

// A Select says what a query or scan returns.
type Select uint8

// The selections. SelectDefault is all attributes of a table, or those that an index projects.
const (
	SelectDefault Select = iota
	SelectAll
	SelectProjected
	SelectCount
	SelectSome // those of Project
)

// A Query asks for items of one partition key, in order. A Scan asks for all.
type (
	Query struct {
		Table, Index string // Index "" is the table
		Key          *item.KeyCondition
		Filter       *item.Condition
		Project      *item.Projection
		Select       Select
		Limit        int // items that are examined; 0 is no limit
		Reverse      bool
		Start        item.Item // the last key of the page before; nil: from the first
		Consistent   bool
	}
	Scan struct {
		Table, Index      string
		Filter            *item.Condition
		Project           *item.Projection
		Select            Select
		Limit             int
		Start             item.Item
		Segment, Segments int // Segments 0: not parallel
		Consistent        bool
	}
)

// A Page is the response to a Query or Scan.
type Page struct {
	Items          []item.Item // nil for SelectCount
	Count, Scanned int
	Last           item.Item // where the next page starts; nil: that was all
	Capacity       Capacity
}

// A BatchWrite is a put or a delete of a batch: exactly one is set.
type BatchWrite struct {
	Put    *Put
	Delete *Delete
}

// An Action is a part of a transaction: exactly one is set.
type Action struct {
	Put    *Put
	Delete *Delete
	Update *Update
	Check  *Check
}

// A Transaction is up to 100 actions, of which all are done or none.
type Transaction struct {
	Actions []Action
	Token   string   // ClientRequestToken; "" is none
	Digest  [32]byte // of the request without its token: another digest with the same token is refused
}

// A ConditionError is the error of a condition that doesn't hold. It is holdfast.Failed.
type ConditionError struct {
	Item item.Item // the present item; nil: there is none
}

// A CanceledError is the error of a canceled transaction. It is holdfast.Canceled.
type CanceledError struct {
	Reasons []Reason // one for each action, in order
}

// A Reason is why an action canceled its transaction.
type Reason struct {
	// "None", "ConditionalCheckFailed", "TransactionConflict", "ValidationError",
	// "ItemCollectionSizeLimitExceeded", …
	Code    string
	Message string
	Item    item.Item // of ConditionalCheckFailed: the present item
}
