package shard

import (
	"encoding/binary"

	"holdfast"
	"holdfast/item"
)

// A kind is what a key of the store names: the byte after the shard's ID. The numbers are on disk.
type kind byte

const (
	// + item.Key: the position of the change that made the item, and the item in the form of
	// item.Append
	kindItem   kind = 1
	kindEntry  kind = 2 // + index ID (4 bytes) + the entry's key: the projected item in the form of item.Append
	kindExpiry kind = 3 // + second since 1970 (8 bytes) + item.Key: nothing
	// + index (8 bytes) + n (4 bytes): a change; and + a zero byte: the position of the item's next
	// change
	kindLog    kind = 4
	kindMeta   kind = 5 // + a name: metadata of a shard
	kindRecord kind = 6 // of shard 0: + a record's name: its value
	kindEnd    kind = 7
)

// The lengths of the prefixes of keys.
const (
	prefixBytes = 8 + 1
	entryBytes  = prefixBytes + 4
	expiryBytes = prefixBytes + 8
	logBytes    = prefixBytes + 8 + 4
)

// records is the shard ID of records.
const records holdfast.ShardID = 0

// The names of kindMeta.
const (
	metaCounts = "counts" // a tally
	metaTrim   = "trim"   // a trimming
)

func appendPrefix(dst []byte, id holdfast.ShardID, k kind) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(id))
	return append(dst, byte(k))
}

// shardOf returns the shard that a key is of.
func shardOf(key []byte) holdfast.ShardID { return holdfast.ShardID(binary.BigEndian.Uint64(key)) }

func appendItemKey(dst []byte, id holdfast.ShardID, key item.Key) []byte {
	return append(appendPrefix(dst, id, kindItem), key...)
}

func appendEntryPrefix(dst []byte, id holdfast.ShardID, index uint32) []byte {
	return binary.BigEndian.AppendUint32(appendPrefix(dst, id, kindEntry), index)
}

func appendExpiryKey(dst []byte, id holdfast.ShardID, second uint64, key item.Key) []byte {
	dst = binary.BigEndian.AppendUint64(appendPrefix(dst, id, kindExpiry), second)
	return append(dst, key...)
}

func appendLogKey(dst []byte, id holdfast.ShardID, p holdfast.Position) []byte {
	dst = binary.BigEndian.AppendUint64(appendPrefix(dst, id, kindLog), p.Index)
	return binary.BigEndian.AppendUint32(dst, p.N)
}

// linkMark follows a change's key in the key of its link.
const linkMark = 0

func appendLinkKey(dst []byte, id holdfast.ShardID, p holdfast.Position) []byte {
	return append(appendLogKey(dst, id, p), linkMark)
}

// isLink reports whether a key of the log is that of a link.
func isLink(key []byte) bool { return len(key) == logBytes+1 }

func metaKey(id holdfast.ShardID, name string) []byte {
	return append(appendPrefix(nil, id, kindMeta), name...)
}

func recordKey(name string) []byte {
	return append(appendPrefix(nil, records, kindRecord), name...)
}

// kindBounds returns the bounds of all keys of one kind of a shard.
func kindBounds(id holdfast.ShardID, k kind) (lower, upper []byte) {
	return appendPrefix(nil, id, k), appendPrefix(nil, id, k+1)
}

// shardBounds returns the bounds of all keys of a shard.
func shardBounds(id holdfast.ShardID) (lower, upper []byte) {
	return appendPrefix(nil, id, 0), appendPrefix(nil, id, kindEnd)
}

// spanBounds returns the bounds of a span, and the length of the prefix of its keys.
func spanBounds(id holdfast.ShardID, s Span) (lower, upper []byte, prefix int) {
	if s.Index == 0 {
		lower, upper = kindBounds(id, kindItem)
	} else {
		lower = appendEntryPrefix(nil, id, s.Index)
		upper = behind(lower)
	}
	prefix = len(lower)
	if s.Range.To != nil {
		upper = append(append([]byte(nil), lower...), s.Range.To...)
	}
	return append(lower, s.Range.From...), upper, prefix
}

// behind returns the least key greater than all that begin with prefix, which has a byte other than
// 0xFF.
func behind(prefix []byte) []byte {
	next := append([]byte(nil), prefix...)
	for i := len(next) - 1; ; i-- {
		next[i]++
		if next[i] != 0 {
			return next[:i+1]
		}
	}
}

// logPosition returns the position that a key of the log names.
func logPosition(key []byte) (holdfast.Position, bool) {
	if len(key) != logBytes {
		return holdfast.Position{}, false
	}
	return holdfast.Position{
		Index: binary.BigEndian.Uint64(key[prefixBytes:]),
		N:     binary.BigEndian.Uint32(key[prefixBytes+8:]),
	}, true
}
