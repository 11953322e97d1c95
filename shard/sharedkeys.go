package shard

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"
)

// Shared reports whether a key of a store's database is of what the replicas of a shard have in
// common, so that replicas at one index are equal in it, byte for byte. What isn't is a node's own:
// the records, and the logs of groups with their state. docs/formats.md has the keys.
//
// sharedKeys goes through these keys of one shard.
func Shared(key []byte) bool {
	switch {
	case len(key) < prefixBytes:
		return false
	case family(key[0]) == bySpace:
		return true
	case family(key[0]) != byShard || numberOf(key) == uint64(records) || kindOf(key) == kindGroup:
		return false
	}
	return kindOf(key) != kindMeta || !bytes.Equal(key[prefixBytes:], []byte(metaGroup))
}

// SharedKeys are the keys of a shard that its replicas have in common, in order, as they can be seen
// through a reader. It is for one goroutine.
type sharedKeys struct {
	shard *Shard
	from  pebble.Reader
	spans []snapshotSpan   // that weren't read to their ends
	iter  *pebble.Iterator // of the first of those, at the next key; nil: it wasn't begun
}

// at returns the key that the reader is at and its value, which are valid until the next call of a
// method; a nil key behind the last.
func (k *sharedKeys) at() (key, value []byte, err error) {
	for len(k.spans) > 0 {
		span := &k.spans[0]
		if k.iter == nil {
			k.iter, err = k.from.NewIter(&pebble.IterOptions{LowerBound: span.lower, UpperBound: span.upper})
			if err != nil {
				return nil, nil, k.shard.engine.fault("reading a shard", err)
			}
			k.iter.First()
		}
		for ; k.iter.Valid(); k.iter.Next() {
			if !span.shared || ownsExpiry(k.shard.keys, k.iter.Key()) {
				value, err = k.iter.ValueAndErr()
				return k.iter.Key(), value, k.shard.engine.fault("reading a shard", err)
			}
		}
		err := k.iter.Close() // which returns the iterator's error, too
		k.iter, k.spans = nil, k.spans[1:]
		if err != nil {
			return nil, nil, k.shard.engine.fault("reading a shard", err)
		}
	}
	return nil, nil, nil
}

// next goes to the next key. at has returned one.
func (k *sharedKeys) next() { k.iter.Next() }

// pause closes the iterator, so that what it has in memory may be freed. The next call of at goes on
// where this one would have. A later error of the iterator is met there again.
func (k *sharedKeys) pause() {
	if k.iter == nil {
		return
	}
	if k.iter.Valid() {
		k.spans[0].lower = bytes.Clone(k.iter.Key())
		_ = k.iter.Close()
		k.iter = nil
	}
}

// close ends the reading.
func (k *sharedKeys) close() {
	if k.iter != nil {
		_ = k.iter.Close()
	}
	k.iter, k.spans = nil, nil
}

// ownsExpiry reports whether a key of the queue of expiring items is of an item in the shard's range.
func ownsExpiry(k keys, raw []byte) bool {
	_, key, ok := k.expiryOf(raw)
	return ok && k.owns(key)
}
