package shard

import (
	"encoding/binary"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
)

// Clear removes the entries of an index that is no longer in the schema.
func (sh *Shard) Clear(index uint32) error {
	if index == expiryQueue {
		return holdfast.Errorf(holdfast.Invalid, "shard %d has no index %d", sh.id, index)
	}
	return sh.clear(index)
}

// ClearTTL removes the queue of expiring items, when the schema has no TTL.
func (sh *Shard) ClearTTL() error { return sh.clear(expiryQueue) }

// clear proposes a clear, and returns when it is on disk.
func (sh *Shard) clear(index uint32) error {
	if err := sh.store.gate.enter(); err != nil {
		return err
	}
	defer sh.store.gate.leave()
	sh.schemas.RLock()
	p, err := sh.propose(&clearBody{index}, sh.engine.db, true)
	sh.schemas.RUnlock()
	if err != nil {
		return err
	}
	return p.wait()
}

// A clearBody removes all entries of an index, or the queue of expiring items. Its form for a log is
// the index's ID, a varint.
type clearBody struct {
	index uint32 // or expiryQueue
}

func decodeClear(r *reader) (body, error) { return &clearBody{uint32(r.uvarint())}, nil }

func (x *clearBody) kind() entryKind { return entryClear }

func (x *clearBody) appendTo(dst []byte) []byte { return binary.AppendUvarint(dst, uint64(x.index)) }

func (x *clearBody) stage(e *entry, b *pebble.Batch, from pebble.Reader) error {
	if x.index == expiryQueue {
		if e.schema.TTL != "" {
			return holdfast.Errorf(holdfast.Invalid, "shard %d has items that expire", e.shard.id)
		}
		return e.shard.engine.removeExpiries(b, from, e.shard.keys)
	}
	if e.schema.index(x.index) != nil {
		return holdfast.Errorf(holdfast.Invalid, "index %d is in the schema of shard %d", x.index, e.shard.id)
	}
	return removeRanges(b, e.shard.keys.entries(x.index))
}

func (x *clearBody) apply(e *entry, _ *pebble.Batch) error {
	e.next.indexes = slices.DeleteFunc(e.next.indexes, func(have indexTally) bool { return have.id == x.index })
	return nil
}

func (x *clearBody) install(*entry) {}
