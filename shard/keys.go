package shard

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

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
	kindLock   kind = 7 // + item.Key: a lock
	kindEnd    kind = 8
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

// Keys are the keys of a shard. All that depends on where they are on disk is in its methods.
type keys struct{ shard holdfast.ShardID }

func (k keys) appendPrefix(dst []byte, of kind) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(k.shard))
	return append(dst, byte(of))
}

// shardOf returns the shard that a key is of.
func shardOf(key []byte) holdfast.ShardID { return holdfast.ShardID(binary.BigEndian.Uint64(key)) }

func (k keys) appendItem(dst []byte, key item.Key) []byte {
	return append(k.appendPrefix(dst, kindItem), key...)
}

// itemOf returns the key of the item that a key is of.
func (k keys) itemOf(key []byte) item.Key { return key[prefixBytes:] }

// itemBytes returns the length of the key of an item.
func (k keys) itemBytes(key item.Key) int { return prefixBytes + len(key) }

// appendEntry appends the key of the entry of an index at a key.
func (k keys) appendEntry(dst []byte, x *item.Index, key item.Key) []byte {
	return append(k.appendEntryPrefix(dst, x.ID), key...)
}

func (k keys) appendEntryPrefix(dst []byte, index uint32) []byte {
	return binary.BigEndian.AppendUint32(k.appendPrefix(dst, kindEntry), index)
}

// entryBytes returns the length of the key of the entry of an index at a key.
func (k keys) entryBytes(_ *item.Index, key item.Key) int { return entryBytes + len(key) }

func (k keys) appendExpiry(dst []byte, second uint64, key item.Key) []byte {
	dst = binary.BigEndian.AppendUint64(k.appendPrefix(dst, kindExpiry), second)
	return append(dst, key...)
}

// expiryOf returns what a key of the queue of expiring items says.
func (k keys) expiryOf(raw []byte) (second uint64, key item.Key, ok bool) {
	if len(raw) < expiryBytes {
		return 0, nil, false
	}
	return binary.BigEndian.Uint64(raw[prefixBytes:]), raw[expiryBytes:], true
}

func (k keys) appendChange(dst []byte, p holdfast.Position) []byte {
	dst = binary.BigEndian.AppendUint64(k.appendPrefix(dst, kindLog), p.Index)
	return binary.BigEndian.AppendUint32(dst, p.N)
}

func (k keys) appendLock(dst []byte, key item.Key) []byte {
	return append(k.appendPrefix(dst, kindLock), key...)
}

// lockOf returns the key of the item whose lock a key is of.
func (k keys) lockOf(key []byte) item.Key { return key[prefixBytes:] }

// locks returns the bounds of all locks.
func (k keys) locks() (lower, upper []byte) { return k.kind(kindLock) }

// linkMark follows a change's key in the key of its link.
const linkMark = 0

func (k keys) appendLink(dst []byte, p holdfast.Position) []byte {
	return append(k.appendChange(dst, p), linkMark)
}

// isLink reports whether a key of the log is that of a link.
func isLink(key []byte) bool { return len(key) == logBytes+1 }

// meta returns the key of a shard's metadata of that name.
func (k keys) meta(name string) []byte {
	return append(k.appendPrefix(nil, kindMeta), name...)
}

// recordKey returns the key of a record.
func recordKey(name string) []byte {
	return append(keys{records}.appendPrefix(nil, kindRecord), name...)
}

// recordOf returns the name of the record that a key is of.
func recordOf(key []byte) string { return string(key[prefixBytes:]) }

// kind returns the bounds of all keys of one kind.
func (k keys) kind(of kind) (lower, upper []byte) {
	return k.appendPrefix(nil, of), k.appendPrefix(nil, of+1)
}

// items returns the bounds of all items.
func (k keys) items() (lower, upper []byte) { return k.kind(kindItem) }

// expiries returns the bounds of the queue of expiring items.
func (k keys) expiries() (lower, upper []byte) { return k.kind(kindExpiry) }

// changes returns the bounds of the history of changes and links.
func (k keys) changes() (lower, upper []byte) { return k.kind(kindLog) }

// all returns the bounds of all keys.
func (k keys) all() []pebble.KeyRange {
	return []pebble.KeyRange{{Start: k.appendPrefix(nil, 0), End: k.appendPrefix(nil, kindEnd)}}
}

// entries returns the bounds of all entries of an index.
func (k keys) entries(index uint32) []pebble.KeyRange {
	prefix := k.appendEntryPrefix(nil, index)
	return []pebble.KeyRange{{Start: prefix, End: behind(prefix)}}
}

// span returns the bounds of a range of items or, if x isn't nil, of the entries of an index, and
// the length of the prefix of their keys.
func (k keys) span(x *item.Index, r item.Range) (lower, upper []byte, prefix int) {
	if x == nil {
		lower, upper = k.items()
	} else {
		lower = k.appendEntryPrefix(nil, x.ID)
		upper = behind(lower)
	}
	prefix = len(lower)
	if r.To != nil {
		upper = append(append([]byte(nil), lower...), r.To...)
	}
	return append(lower, r.From...), upper, prefix
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
