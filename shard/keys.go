package shard

import (
	"bytes"
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// A family is the first byte of a key. Keys of a family go on with the number of what they belong
// to (7 bytes) and a kind. The numbers are on disk; 0 began the keys of format 1.
type family byte

const (
	byShard family = 1 // what a shard has for itself; shard 0 has the records
	bySpace family = 2 // what is ordered by hash, so that a range can move to another shard as it is
)

// A kind is what a key is of: the byte behind the family and its number. The numbers are on disk.
type kind byte

// The kinds of a shard.
const (
	kindMeta kind = 1 // + a name: metadata
	// + index (8 bytes) + n (4 bytes): a change; and + a zero byte: the position of the item's next
	// change
	kindLog    kind = 2
	kindRecord kind = 3 // of shard 0: + a record's name: its value
	kindEntry  kind = 4 // + index ID (4 bytes) + the entry's key: of a global index, an item in the form of item.Append
	kindGroup  kind = 5 // + index (8 bytes): an entry of the log of the shard's group
)

// The kinds of a space.
const (
	kindItem   kind = 1  // + item.Key: the position of the change that made the item, and it in the form of item.Append
	kindExpiry kind = 2  // + the item.Key, of which the first two bytes come before second since 1970 (8 bytes): nothing
	kindLock   kind = 3  // + item.Key: a lock
	kindSlot   kind = 16 // and the ID of a local index: + the entry's key: the projected item in the form of item.Append
)

// The lengths of the prefixes of keys.
const (
	prefixBytes = 8 + 1
	entryBytes  = prefixBytes + 4
	sortedBytes = 2 // of an item's key, by which the queue of expiring items is ordered before the second
	expiryBytes = prefixBytes + sortedBytes + 8
	logBytes    = prefixBytes + 8 + 4
)

// records is the shard ID of records.
const records holdfast.ShardID = 0

// The names of kindMeta.
const (
	metaDescriptor = "descriptor" // a Descriptor
	metaCounts     = "counts"     // a tally
	metaTrim       = "trim"       // a trimming
	metaSchema     = "schema"     // a schema
	metaTerms      = "terms"      // the terms of transactions
	metaLoad       = "load"       // a loaded
	metaGroup      = "group"      // the state of the shard's group
	metaMembers    = "members"    // who the members of the shard's group are, once they have changed
)

func appendPrefix(dst []byte, f family, number uint64, of kind) []byte {
	return append(binary.BigEndian.AppendUint64(dst, uint64(f)<<56|number), byte(of))
}

// numberOf returns the number of the shard or space that a key is of.
func numberOf(key []byte) uint64 {
	var number [8]byte
	copy(number[:], key)
	return binary.BigEndian.Uint64(number[:]) & maxID
}

// kindOf returns the kind that a key is of.
func kindOf(key []byte) kind {
	if len(key) < prefixBytes {
		return 0
	}
	return kind(key[prefixBytes-1])
}

// Keys are the keys of a shard. All that depends on where they are on disk is in its methods.
type keys struct {
	shard  holdfast.ShardID
	space  holdfast.SpaceID
	within *item.Range // of the space; nil: all of it
}

// ofShard appends the prefix of keys of a kind of the shard.
func (k keys) ofShard(dst []byte, of kind) []byte {
	return appendPrefix(dst, byShard, uint64(k.shard), of)
}

// ofSpace appends the prefix of keys of a kind of the space.
func (k keys) ofSpace(dst []byte, of kind) []byte {
	return appendPrefix(dst, bySpace, uint64(k.space), of)
}

// owns reports whether an item's key is in the shard's range.
func (k keys) owns(key []byte) bool {
	return k.within == nil || (k.within.From == nil || bytes.Compare(key, k.within.From) >= 0) &&
		(k.within.To == nil || bytes.Compare(key, k.within.To) < 0)
}

func (k keys) appendItem(dst []byte, key item.Key) []byte {
	return append(k.ofSpace(dst, kindItem), key...)
}

// itemOf returns the key of the item that a key is of.
func (k keys) itemOf(key []byte) item.Key { return key[prefixBytes:] }

// itemBytes returns the length of the key of an item.
func (k keys) itemBytes(key item.Key) int { return prefixBytes + len(key) }

// appendEntry appends the key of the entry of an index at a key.
func (k keys) appendEntry(dst []byte, x *item.Index, key item.Key) []byte {
	return append(k.appendEntryPrefix(dst, x), key...)
}

func (k keys) appendEntryPrefix(dst []byte, x *item.Index) []byte {
	if x.Local {
		return k.ofSpace(dst, kindSlot+kind(x.ID))
	}
	return binary.BigEndian.AppendUint32(k.ofShard(dst, kindEntry), x.ID)
}

// entryBytes returns the length of the key of the entry of an index at a key.
func (k keys) entryBytes(x *item.Index, key item.Key) int {
	if x.Local {
		return prefixBytes + len(key)
	}
	return entryBytes + len(key)
}

// appendExpiry appends the key of an item in the queue of expiring items. The queue is ordered by
// the first two bytes of the hash before the second, so that it divides with the range.
func (k keys) appendExpiry(dst []byte, second uint64, key item.Key) []byte {
	dst = append(k.ofSpace(dst, kindExpiry), key[:sortedBytes]...)
	dst = binary.BigEndian.AppendUint64(dst, second)
	return append(dst, key[sortedBytes:]...)
}

// expiryOf returns what a key of the queue of expiring items says.
func (k keys) expiryOf(raw []byte) (second uint64, key item.Key, ok bool) {
	if len(raw) < expiryBytes {
		return 0, nil, false
	}
	key = make(item.Key, 0, len(raw)-8)
	key = append(append(key, raw[prefixBytes:][:sortedBytes]...), raw[expiryBytes:]...)
	return binary.BigEndian.Uint64(raw[prefixBytes+sortedBytes:]), key, true
}

func (k keys) appendChange(dst []byte, p holdfast.Position) []byte {
	dst = binary.BigEndian.AppendUint64(k.ofShard(dst, kindLog), p.Index)
	return binary.BigEndian.AppendUint32(dst, p.N)
}

func (k keys) appendLock(dst []byte, key item.Key) []byte {
	return append(k.ofSpace(dst, kindLock), key...)
}

// lockOf returns the key of the item whose lock a key is of.
func (k keys) lockOf(key []byte) item.Key { return key[prefixBytes:] }

// locks returns the bounds of all locks.
func (k keys) locks() (lower, upper []byte) { return k.inSpace(kindLock, item.Range{}) }

// linkMark follows a change's key in the key of its link.
const linkMark = 0

func (k keys) appendLink(dst []byte, p holdfast.Position) []byte {
	return append(k.appendChange(dst, p), linkMark)
}

// isLink reports whether a key of the log is that of a link.
func isLink(key []byte) bool { return len(key) == logBytes+1 }

// meta returns the key of a shard's metadata of that name.
func (k keys) meta(name string) []byte {
	return append(k.ofShard(nil, kindMeta), name...)
}

// recordKey returns the key of a record.
func recordKey(name string) []byte {
	return append(keys{shard: records}.ofShard(nil, kindRecord), name...)
}

// recordOf returns the name of the record that a key is of.
func recordOf(key []byte) string { return string(key[prefixBytes:]) }

// state returns the bounds of what the shard has for itself.
func (k keys) state() pebble.KeyRange {
	return pebble.KeyRange{Start: k.ofShard(nil, 0), End: keys{shard: k.shard + 1}.ofShard(nil, 0)}
}

// changes returns the bounds of the history of changes and links.
func (k keys) changes() (lower, upper []byte) {
	return k.ofShard(nil, kindLog), k.ofShard(nil, kindLog+1)
}

// inSpace returns the bounds of what the shard has of a kind of its space that is ordered by key.
func (k keys) inSpace(of kind, r item.Range) (lower, upper []byte) {
	lower, upper = k.ofSpace(nil, of), k.ofSpace(nil, of+1)
	from, to := r.From, r.To
	if k.within != nil {
		if bytes.Compare(from, k.within.From) < 0 {
			from = k.within.From
		}
		if to == nil || k.within.To != nil && bytes.Compare(to, k.within.To) > 0 {
			to = k.within.To
		}
	}
	if to != nil {
		upper = append(k.ofSpace(nil, of), to...)
	}
	return append(lower, from...), upper
}

// items returns the bounds of all items.
func (k keys) items() (lower, upper []byte) { return k.inSpace(kindItem, item.Range{}) }

// expiries returns the bounds of the queue of expiring items. If a bound of the shard's range is
// between two hashes with the same first bytes, items of its neighbour are in it, too.
func (k keys) expiries() (lower, upper []byte) {
	lower, upper, _, _ = k.queue()
	return lower, upper
}

// ownExpiries is expiries without what may have items of the neighbours in it. lower may be behind
// upper.
func (k keys) ownExpiries() (lower, upper []byte) {
	_, _, lower, upper = k.queue()
	return lower, upper
}

// queue returns the bounds of expiries and of ownExpiries.
func (k keys) queue() (lower, upper, ownLower, ownUpper []byte) {
	lower, upper = k.ofSpace(nil, kindExpiry), k.ofSpace(nil, kindExpiry+1)
	ownLower, ownUpper = lower, upper
	if k.within == nil {
		return lower, upper, ownLower, ownUpper
	}
	if from := k.within.From; from != nil {
		head, shared := sorted(from)
		lower = append(lower, head...)
		if ownLower = lower; shared {
			ownLower = behind(lower)
		}
	}
	if to := k.within.To; to != nil {
		head, shared := sorted(to)
		ownUpper = append(k.ofSpace(nil, kindExpiry), head...)
		if upper = ownUpper; shared {
			upper = behind(upper)
		}
	}
	return lower, upper, ownLower, ownUpper
}

// sorted returns the bytes of a bound by which the queue of expiring items is ordered first, and
// whether there are keys with the same bytes on both sides of the bound.
func sorted(bound []byte) (head []byte, shared bool) {
	const hashBytes = 8 // that each key has
	if len(bound) <= hashBytes {
		bound = bytes.TrimRight(bound, "\x00")
	}
	return bound[:min(len(bound), sortedBytes)], len(bound) > sortedBytes
}

// whole returns the bounds of all keys of the space.
func (k keys) whole() pebble.KeyRange {
	return pebble.KeyRange{Start: k.ofSpace(nil, 0), End: keys{space: k.space + 1}.ofSpace(nil, 0)}
}

// all returns the bounds of all keys that are the shard's alone, in order. slots are the kinds of
// local indexes that there are in the space.
func (k keys) all(slots ...kind) []pebble.KeyRange {
	all := []pebble.KeyRange{k.state()}
	if k.within == nil || k.within.From == nil && k.within.To == nil {
		return append(all, k.whole())
	}
	add := func(lower, upper []byte) {
		if bytes.Compare(lower, upper) < 0 {
			all = append(all, pebble.KeyRange{Start: lower, End: upper})
		}
	}
	add(k.items())
	add(k.ownExpiries())
	add(k.locks())
	for _, slot := range slots {
		add(k.inSpace(slot, item.Range{}))
	}
	return all
}

// copied returns the bounds of what a copy reads, in order.
func (k keys) copied() []pebble.KeyRange {
	lower, upper := k.items()
	return []pebble.KeyRange{k.state(), {Start: lower, End: upper}}
}

// entries returns the bounds of all entries of an index, be it local or global.
func (k keys) entries(index uint32) []pebble.KeyRange {
	prefix := k.appendEntryPrefix(nil, &item.Index{ID: index})
	all := []pebble.KeyRange{{Start: prefix, End: behind(prefix)}}
	if index <= maxSlot {
		lower, upper := k.inSpace(kindSlot+kind(index), item.Range{})
		all = append(all, pebble.KeyRange{Start: lower, End: upper})
	}
	return all
}

// maxSlot is the greatest ID of a local index. Those are made with their table, with up to 20
// global ones.
const maxSlot = 255 - 1 - uint32(kindSlot)

// span returns the bounds of a range of items or, if x isn't nil, of the entries of an index, and
// the length of the prefix of their keys.
func (k keys) span(x *item.Index, r item.Range) (lower, upper []byte, prefix int) {
	switch {
	case x == nil:
		lower, upper = k.inSpace(kindItem, r)
		prefix = prefixBytes
	case x.Local:
		lower, upper = k.inSpace(kindSlot+kind(x.ID), r)
		prefix = prefixBytes
	default:
		lower = k.appendEntryPrefix(nil, x)
		upper = behind(lower)
		prefix = len(lower)
		if r.To != nil {
			upper = append(bytes.Clone(lower), r.To...)
		}
		lower = append(lower, r.From...)
	}
	if bytes.Compare(lower, upper) > 0 {
		upper = lower
	}
	return lower, upper, prefix
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
