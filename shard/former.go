package shard

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
)

// The keys of format 1 begin with the shard's ID (8 bytes, of which the first is zero, so that they
// differ from all of today's) and a byte for the kind. A start takes them over: the records when
// the store is opened, a shard when it is (takeover.go).
const (
	formerItem   = 1 // + item.Key
	formerEntry  = 2 // + index ID (4 bytes) + the entry's key
	formerExpiry = 3 // + second since 1970 (8 bytes) + item.Key
	formerChange = 4 // + index (8 bytes) + n (4 bytes); a link has a zero byte behind it
	formerMeta   = 5 // + a name
	formerRecord = 6 // of shard 0: + a record's name
	formerEnd    = 7

	formerPrefixBytes = 8 + 1
)

// formerKeys are the keys of a shard in format 1.
type formerKeys struct{ shard holdfast.ShardID }

func (k formerKeys) prefix(kind byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(k.shard)), kind)
}

// kind returns the bounds of all keys of one kind.
func (k formerKeys) kind(kind byte) pebble.KeyRange {
	return pebble.KeyRange{Start: k.prefix(kind), End: k.prefix(kind + 1)}
}

// entries returns the bounds of the entries of an index.
func (k formerKeys) entries(index uint32) pebble.KeyRange {
	start := binary.BigEndian.AppendUint32(k.prefix(formerEntry), index)
	return pebble.KeyRange{Start: start, End: behind(start)}
}

// all returns the bounds of all keys.
func (k formerKeys) all() pebble.KeyRange {
	return pebble.KeyRange{Start: k.prefix(0), End: k.prefix(formerEnd)}
}

// meta returns the key of metadata of that name.
func (k formerKeys) meta(name string) []byte { return append(k.prefix(formerMeta), name...) }

// formerShards returns the bounds of the keys of all shards in format 1, without the records.
func formerShards() pebble.KeyRange {
	return pebble.KeyRange{Start: formerKeys{records + 1}.prefix(0), End: []byte{1}}
}

// formerShardOf returns the shard that a key of format 1 is of.
func formerShardOf(key []byte) holdfast.ShardID {
	return holdfast.ShardID(binary.BigEndian.Uint64(key))
}

// The guard is a record in the place where format 1 had tables. The program that knew only format 1
// takes a control file of a later version for a damaged one, and its recovery would write another,
// and remove all shards that no record names, as it doesn't find the records. But it reads the
// records first, and stops at one of a version that it doesn't know, before it changes anything.
const (
	guardName  = "table/(of a later version of this program)"
	guardValue = `{"Version":1000000}`
)

// guardKey returns the key of the guard.
func guardKey() []byte { return append(formerKeys{records}.prefix(formerRecord), guardName...) }
