package shard

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// A Shard is one shard of a store.
type Shard struct {
	store   *Store
	id      holdfast.ShardID
	dropped chan struct{} // closed by Drop

	schemas sync.RWMutex // held for reading from before a commit's latches until its batch is applied; for writing by who changes what follows
	schema  atomic.Pointer[schema]

	line  line
	tally tally    // behind the last transaction; guarded by line.mu
	trim  trimming // guarded by line.mu
}

// A schema is a Schema, and whether any of its indexes lacks entries.
type schema struct {
	Schema
	filling bool
}

// Open returns the shard of that ID: the one that is open, with whatever schema it has, or the one that is on disk, or a new
// one. There is one *Shard for each ID until Drop. The ID isn't 0.
func (s *Store) Open(id holdfast.ShardID, to Schema) (*Shard, error) {
	if err := s.gate.enter(); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	if id == records {
		return nil, holdfast.Errorf(holdfast.Invalid, "shard 0 is none")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sh := s.shards[id]; sh != nil {
		return sh, nil
	}
	sh := &Shard{store: s, id: id, dropped: make(chan struct{})}
	if err := sh.load(); err != nil {
		return nil, err
	}
	sh.line.applied.Store(sh.tally.applied)
	sh.line.durable.raise(sh.tally.applied)
	sh.adopt(to)
	s.shards[id] = sh
	return sh, nil
}

// load reads what the shard knows of itself: its newest change has the tally, unless there is a newer one in kindMeta.
func (sh *Shard) load() error {
	raw, ok, err := sh.store.read(sh.store.db, metaKey(sh.id, metaCounts))
	if err != nil {
		return err
	}
	if ok {
		if sh.tally, err = decodeTally(raw); err != nil {
			return sh.store.damaged(sh.id, []byte(metaCounts), err)
		}
	}
	sh.trim = trimming{oldest: 1}
	raw, ok, err = sh.store.read(sh.store.db, metaKey(sh.id, metaTrim))
	if err != nil {
		return err
	}
	if ok {
		if sh.trim, err = decodeTrimming(raw); err != nil {
			return sh.store.damaged(sh.id, []byte(metaTrim), err)
		}
	}
	return sh.loadNewest()
}

func (sh *Shard) loadNewest() error {
	it, err := sh.logIter(sh.store.db, Position{}, Position{})
	if err != nil {
		return err
	}
	defer it.Close()
	if !it.Last() {
		return sh.store.fault("opening a shard", it.Error())
	}
	p, c, err := sh.changeAt(it)
	if err != nil {
		return err
	}
	newest, err := decodeTally(c.tally)
	if err == nil && newest.applied != p.Index {
		err = errLog()
	}
	if err != nil {
		return sh.store.damaged(sh.id, it.Key(), err)
	}
	if newest.applied > sh.tally.applied {
		sh.tally = newest
	}
	return nil
}

// adopt makes to the schema. Either nobody uses the shard yet, or schemas is held for writing.
func (sh *Shard) adopt(to Schema) {
	sh.line.mu.Lock()
	defer sh.line.mu.Unlock()
	next := &schema{Schema: to}
	for i := range to.Indexes {
		sh.tally.addIndex(to.Indexes[i].ID)
		next.filling = next.filling || sh.tally.index(to.Indexes[i].ID).filling
	}
	sh.schema.Store(next)
}

// Drop removes all that the shard has, its log too. Commits and reads of it that come later get Closed. It may use the
// reserve of a full disk, is Full when that has only its last bytes, and may be repeated, or be called for a shard that isn't open.
func (s *Store) Drop(id holdfast.ShardID) error {
	if err := s.gate.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	if id == records {
		return holdfast.Errorf(holdfast.Invalid, "shard 0 is none")
	}
	s.mu.Lock()
	sh := s.shards[id]
	delete(s.shards, id)
	s.mu.Unlock()
	if sh != nil {
		sh.schemas.Lock()
		close(sh.dropped)
		sh.schemas.Unlock()
	}
	if err := s.clear(shardBounds(id)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped = append(s.dropped, id)
	return nil
}

// clear removes all keys between two, and returns when that is on disk.
func (s *Store) clear(lower, upper []byte) error {
	if err := s.space.admitRemoval(0); err != nil {
		return err
	}
	b := s.db.NewBatch()
	defer b.Close()
	if err := b.DeleteRange(lower, upper, nil); err != nil {
		return s.fault("removing", err)
	}
	return s.write(b)
}

// isDropped says whether the shard was dropped.
func (sh *Shard) isDropped() bool {
	select {
	case <-sh.dropped:
		return true
	default:
		return false
	}
}

// ID returns the shard's ID.
func (sh *Shard) ID() holdfast.ShardID { return sh.id }

// Schema returns the schema that commits go by.
func (sh *Shard) Schema() Schema { return sh.schema.Load().Schema }

// SetSchema has commits go by another schema. When it returns, none is under way that goes by the old one. Items that were
// there before get their entries by Backfill and BackfillTTL; the entries of an index that is gone are removed by
// Clear.
func (sh *Shard) SetSchema(to Schema) error {
	if err := sh.store.gate.enter(); err != nil {
		return err
	}
	defer sh.store.gate.leave()
	sh.schemas.Lock()
	defer sh.schemas.Unlock()
	if sh.isDropped() {
		return errDropped(sh.id)
	}
	sh.adopt(to)
	return nil
}

// Get returns the item at a key, or nil. It is never one that isn't on disk.
func (sh *Shard) Get(ctx context.Context, key item.Key) (item.Item, error) {
	if err := sh.store.gate.enter(); err != nil {
		return nil, err
	}
	defer sh.store.gate.leave()
	it, err := sh.itemIn(sh.store.db, key)
	if err != nil {
		return nil, err
	}
	return it, sh.store.settled(ctx, &sh.line, sh.line.marks[stripeOf(key.Hash())].Load())
}

// itemIn returns the item at a key in what can be seen through from, which may not be on disk yet.
func (sh *Shard) itemIn(from pebble.Reader, key item.Key) (item.Item, error) {
	was, err := sh.imageIn(from, key)
	return was.item, err
}

// imageIn returns the item at a key as an image. The item shares the strings of its form on disk.
func (sh *Shard) imageIn(from pebble.Reader, key item.Key) (image, error) {
	var room [128]byte
	full := appendItemKey(room[:0], sh.id, key)
	raw, ok, err := sh.store.read(from, full)
	if err != nil {
		return image{}, err
	}
	if sh.isDropped() {
		return image{}, errDropped(sh.id)
	}
	if !ok {
		return image{}, nil
	}
	was, err := decodeImage(raw)
	if err != nil {
		return image{}, sh.store.damaged(sh.id, full, err)
	}
	return was, nil
}

// decodeImage returns the image of an item's value.
func decodeImage(raw string) (was image, err error) {
	if was.made, was.raw, err = cutPosition(raw); err != nil {
		return image{}, err
	}
	if was.item, err = item.Decode(was.raw); err != nil {
		return image{}, err
	}
	return was, nil
}

// Counts returns how much the shard holds, commits included that aren't on disk yet.
func (sh *Shard) Counts() Counts {
	sh.line.mu.Lock()
	defer sh.line.mu.Unlock()
	return sh.tally.counts(sh.trim.logged)
}

// counts returns the tally as a caller gets it, when so many bytes of the log were trimmed.
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

// clock returns the time of a transaction that comes behind one at last: time never falls within a shard.
func (s *Store) clock(last int64) int64 { return max(s.now().UnixNano(), last) }
