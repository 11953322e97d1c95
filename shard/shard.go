package shard

import (
	"context"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// A Shard is one shard of a store.
type Shard struct {
	store   *Store
	engine  *engine // the store's
	id      holdfast.ShardID
	is      Descriptor
	keys    keys
	dropped chan struct{} // closed by Drop
	items   items
	history history

	// schemas is held for reading from before a commit's latches until its batch is submitted; for
	// writing while the schema is replaced or the shard dropped.
	schemas turnLock
	schema  atomic.Pointer[schema]

	sequencer sequencer
	floor     int64   // the least time of what is proposed from now on; guarded by sequencer.mu
	tally     tally   // after the last transaction; guarded by sequencer.mu
	recent    *recent // nil: the shard has no followers; guarded by sequencer.mu

	// follows is how far the shard follows its sources, if it has any; guarded by sequencer.mu.
	follows follows
	group   membership
	locks   locks // of transactions over several shards
	terms   terms
	sweep   sweep // the search for expired items

	// checksum is the last that was begun; nil: none of what the shard is now. Guarded by sequencer.mu.
	checksum *checksumming
}

// Open returns the shard of that descriptor: the one that is open, with whatever schema it has, or
// the one that is on disk, or a new one. If the schema on disk is another one, Open changes it, and
// returns when that is on disk. There is one *Shard for each ID until Drop. The error is Corrupt if
// another descriptor is on disk.
func (s *Store) Open(d Descriptor, to Schema) (*Shard, error) {
	if err := s.gate.enter(); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	if err := d.check(to); err != nil {
		return nil, err
	}
	sh, wait, err := beginOpen(s, &d, to)
	if err == nil && wait != nil {
		err = wait()
	}
	if err != nil {
		return nil, err
	}
	return sh, nil
}

// beginOpen is Open but for the wait for the disk, so that the syncs of shards that are opened at
// the same time are one.
func beginOpen(s *Store, d *Descriptor, to Schema) (sh *Shard, wait func() error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sh := s.shards[d.ID]; sh != nil {
		if !sh.is.equal(d) {
			return nil, nil, errContradicted(d)
		}
		return sh, nil, nil
	}
	if err := takeOver(s, d, to); err != nil {
		return nil, nil, err
	}
	sh = newShard(s, *d)
	if err := sh.load(s.engine.db); err != nil {
		return nil, nil, err
	}
	described, err := d.compare(s.engine)
	if err != nil {
		return nil, nil, err
	}
	sh.sequencer.applied.Store(sh.tally.applied)
	sh.sequencer.durable.raise(sh.tally.applied)
	if wait, err = sh.begin(to, described); err != nil {
		return nil, nil, err
	}
	s.shards[d.ID] = sh
	return sh, wait, nil
}

// newShard returns a shard that isn't loaded yet.
func newShard(s *Store, d Descriptor) *Shard {
	sh := &Shard{store: s, engine: s.engine, id: d.ID, is: d, keys: d.keys(), dropped: make(chan struct{})}
	sh.sequencer.engine = s.engine
	sh.sequencer.flush = func() error { return sh.group.entries().flush(sh) }
	sh.group.shard = sh
	sh.items = items{engine: s.engine, keys: sh.keys, dropped: sh.dropped}
	sh.locks = locks{engine: s.engine, keys: sh.keys}
	sh.history = history{
		engine: s.engine, keys: sh.keys, items: &sh.items, sequencer: &sh.sequencer, trim: trimming{oldest: 1},
	}
	sh.schema.Store(&schema{})
	sh.terms.init()
	sh.terms.own = s.term
	return sh
}

// load reads the shard's metadata in what can be seen through from. The tally is that of its newest
// change, unless there is a newer one in kindMeta.
func (sh *Shard) load(from pebble.Reader) error {
	raw, ok, err := sh.engine.read(from, sh.keys.meta(metaCounts))
	if err != nil {
		return err
	}
	if ok {
		if sh.tally, err = decodeTally(raw); err != nil {
			return sh.engine.damaged(sh.id, []byte(metaCounts), err)
		}
	}
	raw, ok, err = sh.engine.read(from, sh.keys.meta(metaTrim))
	if err != nil {
		return err
	}
	if ok {
		if sh.history.trim, err = decodeTrimming(raw); err != nil {
			return sh.engine.damaged(sh.id, []byte(metaTrim), err)
		}
	}
	if err := sh.follows.load(sh.engine, from, sh.keys, &sh.tally); err != nil {
		return err
	}
	if err := sh.locks.load(from); err != nil {
		return err
	}
	raw, ok, err = sh.engine.read(from, sh.keys.meta(metaSchema))
	if err != nil {
		return err
	}
	if ok {
		is, err := decodeSchema(raw)
		if err != nil {
			return sh.engine.damaged(sh.id, []byte(metaSchema), err)
		}
		sh.schema.Store(is)
	}
	if _, ok, err = sh.engine.read(from, sh.keys.meta(metaGroup)); err != nil {
		return err
	}
	if ok {
		sh.group.log.Store(&groupLog{})
	}
	newest, err := sh.history.newest(from)
	if err != nil {
		return err
	}
	if newest.applied > sh.tally.applied {
		sh.tally = newest
	}
	return sh.terms.load(sh.engine, from, sh.keys)
}

// Drop removes all keys of a shard, its log too. Later commits and reads of it get Closed. Drop may
// use the reserve of a full disk; the error is Full when only the last bytes of that are free. It
// may be repeated, and be called for a shard that isn't open.
//
// A drop is no entry of the shard's log, since the log goes with the shard: nobody could find the
// entry afterwards. That a shard is to be dropped is known to the catalog of tables, and is there
// until Drop has returned.
func (s *Store) Drop(d Descriptor) error {
	if err := s.gate.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	if err := d.check(Schema{}); err != nil {
		return err
	}
	s.mu.Lock()
	sh := s.shards[d.ID]
	delete(s.shards, d.ID)
	s.mu.Unlock()
	if sh != nil {
		sh.schemas.Lock()
		close(sh.dropped)
		sh.schemas.Unlock()
	}
	removed, err := s.engine.clearShard(d.keys(), nil)
	if err != nil {
		return err
	}
	s.reclaimer.note(removed)
	return nil
}

// isDropped reports whether the shard was dropped.
func (sh *Shard) isDropped() bool {
	return isClosed(sh.dropped)
}

// ID returns the shard's ID.
func (sh *Shard) ID() holdfast.ShardID { return sh.id }

// Descriptor returns what the shard is. The caller must not change what its fields refer to.
func (sh *Shard) Descriptor() Descriptor { return sh.is }

// Get returns the item at a key, or nil, when it is on disk.
func (sh *Shard) Get(ctx context.Context, key item.Key) (item.Item, error) {
	if err := sh.store.gate.enter(); err != nil {
		return nil, err
	}
	defer sh.store.gate.leave()
	if sh.locks.held.Load() != 0 {
		return sh.store.ledger.Load().get(ctx, sh, key)
	}
	it, err := sh.items.get(sh.engine.db, key)
	if err != nil {
		return nil, err
	}
	return it, sh.sequencer.waitDurable(ctx, sh.sequencer.marks[stripeOf(key.Hash())].Load())
}

// Counts returns how much the shard holds, including commits that aren't on disk yet.
func (sh *Shard) Counts() Counts {
	sh.sequencer.mu.Lock()
	defer sh.sequencer.mu.Unlock()
	return sh.tally.counts(sh.history.trim.logged)
}

// counts returns the tally in the form for callers. trimmed is how many bytes of the log were
// trimmed.
func (t *tally) counts(trimmed uint64) Counts {
	c := Counts{
		Items: t.items, ItemBytes: t.bytes, Applied: t.applied, LogBytes: int64(t.logged - trimmed),
		Indexes: make(map[uint32]Count, len(t.indexes)),
	}
	for i := range t.indexes {
		x := &t.indexes[i]
		c.Indexes[x.id] = Count{Items: x.items, Bytes: x.bytes}
	}
	return c
}
