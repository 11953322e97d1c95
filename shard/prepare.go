package shard

import (
	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// A prepare is the body of the entry by which a transaction over several shards locks what it will
// change in one of them. The entry's time is the one that the shard proposes for the transaction.
//
// In the form in which a log keeps it it has the transaction's ID (16 bytes), the key of its
// decision in the ledger, preceded by its length, the number of shards that it changes and the ID of
// each (varints), and the effects, as a commit's.
type prepare struct {
	id       txnID
	decision item.Key
	shards   []holdfast.ShardID // rising
	effects  []effect           // without before-images; they aren't the entry's, since they change nothing yet
}

func (p *prepare) kind() entryKind { return entryPrepare }

// appendTo implements body.
func (p *prepare) appendTo(dst []byte) []byte {
	return appendEffects(appendTransaction(dst, p.id, p.decision, p.shards), p.effects)
}

func decodePrepare(r *reader) (body, error) {
	p := &prepare{}
	p.id, p.decision, p.shards = cutTransaction(r)
	var err error
	if p.effects, err = decodeEffects(r); err != nil {
		return nil, err
	}
	return p, nil
}

// stage implements body: it adds the locks.
func (p *prepare) stage(e *entry, b *pebble.Batch, from pebble.Reader) error {
	var key, value []byte
	for i := range p.effects {
		f := &p.effects[i]
		if err := p.free(e.shard, f.key, from); err != nil {
			return err
		}
		l := lock{id: p.id, decision: p.decision, shards: p.shards, place: i, effect: *f}
		key, value = e.shard.keys.appendLock(key[:0], f.key), l.appendTo(value[:0])
		if err := b.Set(key, value, nil); err != nil {
			return err
		}
	}
	return nil
}

// free returns an error if an item is locked. What is locked by what was noted may be resolved by an
// entry of the same batch, which readers can't see yet: what the batch has counts.
func (p *prepare) free(sh *Shard, key item.Key, from pebble.Reader) error {
	if sh.locks.at(key) == nil {
		return nil
	}
	_, locked, err := sh.locks.read(from, key)
	if err == nil && locked {
		err = holdfast.Errorf(holdfast.Invalid, "transaction %v: an item of shard %d is locked already", p.id, sh.id)
	}
	return err
}

// apply implements body.
func (p *prepare) apply(*entry, *pebble.Batch) error { return nil }

// install implements body.
func (p *prepare) install(e *entry) {
	all := &prepared{id: p.id, decision: p.decision, shards: p.shards}
	for i := range p.effects {
		all.keys = append(all.keys, p.effects[i].key)
	}
	e.shard.locks.add(all)
}
