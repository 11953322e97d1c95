package shard

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
)

// A resolve is the body of the entry that ends a transaction over several shards in one of them. If
// it was committed, what its locks say becomes changes, at the transaction's time, which may be
// earlier than that of what was committed here since the prepare. In either case the locks go.
//
// In the form in which a log keeps it it has the transaction's ID (16 bytes), a byte that is 1 if it
// was committed, and its time in nanoseconds since 1970 (8 bytes).
type resolve struct {
	id        txnID
	committed bool
	at        int64
	known     []effect // with their before-images, if they are known; else stage reads the locks
}

func (r *resolve) kind() entryKind { return entryResolve }

// appendTo implements body.
func (r *resolve) appendTo(dst []byte) []byte {
	dst = append(dst, r.id[:]...)
	committed := byte(0)
	if r.committed {
		committed = 1
	}
	return binary.BigEndian.AppendUint64(append(dst, committed), uint64(r.at))
}

func decodeResolve(from *reader) (body, error) {
	r := &resolve{}
	for i := range r.id {
		r.id[i] = from.octet()
	}
	committed := from.octet()
	if committed > 1 {
		return nil, errEntry()
	}
	r.committed, r.at = committed == 1, int64(from.fixed())
	return r, nil
}

// stage implements body: it removes the locks, and makes what they say the entry's effects.
func (r *resolve) stage(e *entry, b *pebble.Batch, from pebble.Reader) error {
	p := e.shard.locks.of(r.id)
	if p == nil {
		return holdfast.Errorf(holdfast.Invalid, "transaction %v has locked nothing in shard %d", r.id, e.shard.id)
	}
	if r.committed {
		if err := r.takeEffects(e, p, from); err != nil {
			return err
		}
	}
	for _, key := range p.keys {
		if err := b.Delete(e.shard.keys.appendLock(nil, key), nil); err != nil {
			return err
		}
	}
	return e.stageEffects(b, from)
}

// takeEffects sets the entry's effects.
func (r *resolve) takeEffects(e *entry, p *prepared, from pebble.Reader) error {
	if r.known != nil {
		e.effects = r.known
		return nil
	}
	e.effects = make([]effect, len(p.keys))
	for i, key := range p.keys {
		l, ok, err := e.shard.locks.read(from, key)
		if err != nil {
			return err
		}
		if !ok || l.id != r.id {
			return e.shard.engine.damaged(e.shard.id, e.shard.keys.appendLock(nil, key), errLock())
		}
		e.effects[i] = l.effect
	}
	return e.readBefore(from)
}

// apply implements body.
func (r *resolve) apply(e *entry, b *pebble.Batch) error {
	if !r.committed {
		return nil
	}
	e.next.at = max(e.next.at, r.at)
	return e.applyEffects(b, r.at)
}

// install implements body. What was locked is forgotten when readers can see what became of it.
func (r *resolve) install(*entry) {}

// seen is called by a log when readers can see what entries do.
func seen(entries []*entry) {
	for _, e := range entries {
		if r, ok := e.body.(*resolve); ok {
			e.shard.locks.remove(r.id)
		}
	}
}
