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

	Replicas  Replicas      // of a cluster's node; nil: this node is alone
	Nodes     int           // of the cluster, each of which has a replica of each shard; default 1
	TokenWait time.Duration // how long a read waits for what its session has seen; default 100 ms
}

// defaultTokenWait is about ten round trips of a commit.
const defaultTokenWait = 100 * time.Millisecond

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
	Consistent bool // costs twice as much; on a node alone every read is consistent
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
