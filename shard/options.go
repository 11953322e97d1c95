package shard

import (
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

// Options are what a Store is opened with.
type Options struct {
	Dir string // is created if it is missing
	FS  vfs.FS // default: the disk

	// Beside are names of files that aren't the store's, and may be in a directory that becomes a
	// store's. Otherwise such a directory must be empty.
	Beside []string

	// CacheBytes are for blocks of sorted tables; default 128 MiB. Changes that aren't in sorted
	// tables yet take memory beside it.
	CacheBytes int64

	// MemTableBytes is how many bytes of changes become sorted tables at once; default 64 MiB. Up to
	// twice as many are in memory, and four logs of that length on disk.
	MemTableBytes int64

	LogAge   time.Duration // how long changes are kept; default 24 h
	LogBytes int64         // of all shards' logs, about; the oldest go first; default 8 GiB
	// ReserveBytes is how much of the disk writes leave free, so that compactions and deletions can go
	// on; default 256 MiB.
	ReserveBytes int64
	ReadOnly     bool // for a check of a directory

	// ChecksumBytesPerSecond is how much of a shard is read for a checksum, at most; default 32 MiB.
	ChecksumBytesPerSecond int64

	Log  *slog.Logger
	Now  func() time.Time // default time.Now
	Boot string           // identifies the machine's boot; default: the system's

	unreserved bool   // no disk space is kept free
	term       uint64 // of what is proposed; 0: one that each shard draws at its first entry

	tableBytes int // of keys and values in a sorted table that a builder makes; default copyTableBytes
	batchBytes int // that are taken over from format 1 in one batch; default takeoverBatchBytes

	// Fatal is called once if Pebble's log or manifest can't be written: then what is on disk isn't
	// known until it is opened again. By default it ends the process, with status 1. If it returns,
	// all later writes get Unavailable.
	Fatal func(error)
}

// A Schema is what a shard needs to know of its table.
type Schema struct {
	Key     item.KeySchema
	Indexes []item.Index
	TTL     string // the attribute with the second since 1970 after which an item has expired; "" is none

	// Of, unless it is nil, says that the shard is one of a global index, whose table's key is Key: its
	// items are the entries. It has no indexes then.
	Of *item.Index
}

// keyOf returns the key at which an item is.
func (s *Schema) keyOf(it item.Item) (item.Key, error) {
	if s.Of == nil {
		return s.Key.Key(it)
	}
	key, _, ok := s.Of.Entry(s.Key, it)
	if !ok {
		return nil, holdfast.Errorf(holdfast.Corrupt, "it is no entry of index %d", s.Of.ID)
	}
	return key, nil
}

// A Write is what a commit does with one item.
type Write struct {
	Shard *Shard
	Key   item.Key
	// Change returns what the item becomes; nil is no item. If it returns before, or an item that
	// Equals it, nothing is changed and nothing is logged: a check without a change is a Write whose
	// Change returns before. Its error ends the whole commit, and is returned as it is. Change may be
	// called more than once, must keep nothing, and must not call the store.
	Change func(before item.Item) (after item.Item, err error)
	Origin holdfast.Origin
}

// A Record is a small named value beside the shards. A nil Value deletes it.
type Record struct {
	Name  string
	Value []byte
}

// A Commit is writes of which all are done or none. No key of a shard may be in it twice.
type Commit struct {
	Writes []Write

	// Token, if not "", makes the commit happen only once in TokenAge. A later commit with the token
	// gets ErrCommitted, or ErrTokenReused if its digest is another, and one at the same time waits
	// until this one has ended.
	Token  string
	Digest []byte // identifies what is asked for

	// Removal says that the commit frees disk space in the end, so that it may use the reserve of a
	// full disk.
	Removal bool

	// Acknowledge is what the commit waits for if its shards have groups. A commit that is a
	// transaction waits for the default at least.
	Acknowledge holdfast.Acknowledge
}

// A Result is what a Write did.
type Result struct {
	Before, After item.Item
	Tx            holdfast.TxID // zero if nothing was changed
}

// A Span is which entries a cursor goes through.
type Span struct {
	Index   uint32 // 0: the items themselves
	Range   item.Range
	Reverse bool
}

// A Change is what a commit did to one item. An image of nil is no item.
type Change = holdfast.Change[item.Item]

// Counts are how much a shard holds.
type Counts struct {
	Items     int64
	ItemBytes int64            // as item.Item.Size counts
	Indexes   map[uint32]Count // by Index.ID
	Applied   uint64           // the index of its last transaction
	LogBytes  int64
}

// A Count is the entries of an index.
type Count struct{ Items, Bytes int64 }

func (o *Options) setDefaults() {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCacheBytes
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = defaultMemTable
	}
	if o.LogAge == 0 {
		o.LogAge = 24 * time.Hour
	}
	if o.LogBytes == 0 {
		o.LogBytes = 8 << 30
	}
	if o.ReserveBytes == 0 {
		o.ReserveBytes = 256 << 20
	}
	if o.ChecksumBytesPerSecond == 0 {
		o.ChecksumBytesPerSecond = 32 << 20
	}
	if o.Log == nil {
		o.Log = discard()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Fatal == nil {
		o.Fatal = exit
	}
	if o.Boot == "" {
		o.Boot = bootID()
	}
	if o.tableBytes == 0 {
		o.tableBytes = copyTableBytes
	}
	if o.batchBytes == 0 {
		o.batchBytes = takeoverBatchBytes
	}
}
