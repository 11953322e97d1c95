package shard

import (
	"encoding/binary"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
)

// A GroupLog is the log of a shard's group as this node has it on disk, and what the group must not
// forget beside it, its state. What entries and state say is the group's matter.
//
// Its methods may be called concurrently. One LogBatch at a time has changes of it.
type GroupLog struct {
	store *Store
	keys  keys

	mu          sync.Mutex
	first, last uint64 // first = last + 1: there are no entries
}

// OpenGroupLog returns the log of the group of a shard. There is one at a time for each shard.
func OpenGroupLog(s *Store, id holdfast.ShardID) (*GroupLog, error) {
	if err := s.gate.enter(); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	l := &GroupLog{store: s, keys: keys{shard: id}, first: 1}
	lower, upper := groupEntries(l.keys)
	it, err := s.engine.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, s.engine.fault("reading", err)
	}
	defer it.Close()
	if it.First() {
		l.first = groupIndex(it.Key())
		it.Last()
		l.last = groupIndex(it.Key())
	}
	return l, s.engine.fault("reading", it.Error())
}

// Bounds returns the indexes of the first and the last entry; first is behind last if there is none.
func (l *GroupLog) Bounds() (first, last uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first, l.last
}

// State returns the state; nil: there is none.
func (l *GroupLog) State() ([]byte, error) {
	if err := l.store.gate.enter(); err != nil {
		return nil, err
	}
	defer l.store.gate.leave()
	raw, ok, err := l.store.engine.read(l.store.engine.db, l.keys.meta(metaGroup))
	if err != nil || !ok {
		return nil, err
	}
	return []byte(raw), nil
}

// Members returns what is known of the members of the group, as Replica.ApplyChanged or SetMembers
// has written it last; nil: they are those that the state says.
func (l *GroupLog) Members() ([]byte, error) {
	if err := l.store.gate.enter(); err != nil {
		return nil, err
	}
	defer l.store.gate.leave()
	raw, ok, err := l.store.engine.read(l.store.engine.db, l.keys.meta(metaMembers))
	if err != nil || !ok {
		return nil, err
	}
	return []byte(raw), nil
}

// Entries returns entries from one index up to before another, as many as have maxBytes, but one at
// least. The error is Gone for an entry that isn't there, and Corrupt for one that should be.
func (l *GroupLog) Entries(from, to uint64, maxBytes int) ([]string, error) {
	if err := l.store.gate.enter(); err != nil {
		return nil, err
	}
	defer l.store.gate.leave()
	if first, last := l.Bounds(); from < first || from >= to || to > last+1 {
		return nil, holdfast.Errorf(holdfast.Gone,
			"the log of the group of shard %d has the entries %d to %d, and not %d to %d",
			l.keys.shard, first, last, from, to-1)
	}
	it, err := l.store.engine.db.NewIter(&pebble.IterOptions{
		LowerBound: groupEntry(l.keys, from), UpperBound: groupEntry(l.keys, to),
	})
	if err != nil {
		return nil, l.store.engine.fault("reading", err)
	}
	defer it.Close()
	var entries []string
	bytes, next := 0, from
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, l.store.engine.fault("reading", err)
		}
		if bytes += len(value); len(entries) > 0 && bytes > maxBytes {
			return entries, nil
		}
		if groupIndex(it.Key()) != next {
			break
		}
		entries, next = append(entries, string(value)), next+1
	}
	if err := it.Error(); err != nil {
		return nil, l.store.engine.fault("reading", err)
	}
	if next < to {
		return nil, holdfast.Errorf(holdfast.Corrupt, "the log of the group of shard %d has no entry %d",
			l.keys.shard, next)
	}
	return entries, nil
}

// addReset writes tables that delete all entries and set the state.
func (l *GroupLog) addReset(to *tableFiles, state []byte) error {
	if err := to.begin(); err != nil {
		return err
	}
	if err := to.set(l.keys.meta(metaGroup), state); err != nil {
		return err
	}
	if err := to.end(); err != nil {
		return err
	}
	if err := to.begin(); err != nil {
		return err
	}
	if err := to.table.DeleteRange(groupEntries(l.keys)); err != nil {
		return err
	}
	return to.end()
}

// reset notes that there are no entries, and that the next one follows an index.
func (l *GroupLog) reset(index uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.first, l.last = index+1, index
}

// Bytes returns about how many bytes the entries have, as the database estimates it. It needn't count
// what was written just now.
func (l *GroupLog) Bytes() (uint64, error) {
	if err := l.store.gate.enter(); err != nil {
		return 0, err
	}
	defer l.store.gate.leave()
	lower, upper := groupEntries(l.keys)
	n, err := l.store.engine.db.EstimateDiskUsage(lower, upper)
	return n, l.store.engine.fault("reading", err)
}

// A LogBatch is what the groups of a store's shards write at once. It isn't safe for concurrent use.
type LogBatch struct {
	store  *Store
	batch  *pebble.Batch
	bounds []logBounds // that the logs have afterwards
	err    error       // the first
}

type logBounds struct {
	log         *GroupLog
	first, last uint64
}

// NewLogBatch returns an empty batch, of which Commit must be called.
func NewLogBatch(s *Store) *LogBatch { return &LogBatch{store: s, batch: s.engine.db.NewBatch()} }

// of returns the bounds of a log with what is in the batch.
func (b *LogBatch) of(l *GroupLog) *logBounds {
	i := slices.IndexFunc(b.bounds, func(x logBounds) bool { return x.log == l })
	if i < 0 {
		i = len(b.bounds)
		first, last := l.Bounds()
		b.bounds = append(b.bounds, logBounds{l, first, last})
	}
	return &b.bounds[i]
}

func (b *LogBatch) note(err error) {
	if b.err == nil {
		b.err = err
	}
}

// Append adds entries, the first of which has an index of at most one behind the log's last: those
// that the log has from there on go. If the log is empty, it begins with them.
func (b *LogBatch) Append(l *GroupLog, index uint64, entries [][]byte) {
	x := b.of(l)
	switch {
	case len(entries) == 0:
		return
	case x.first > x.last:
		x.first = index
	case index < x.first || index > x.last+1:
		b.note(holdfast.Errorf(holdfast.Invalid, "entry %d can't follow entry %d in the log of the group of shard %d",
			index, x.last, l.keys.shard))
		return
	case index <= x.last:
		b.note(b.batch.DeleteRange(groupEntry(l.keys, index), groupEntry(l.keys, x.last+1), nil))
	}
	for i, raw := range entries {
		b.note(b.batch.Set(groupEntry(l.keys, index+uint64(i)), raw, nil))
	}
	x.last = index + uint64(len(entries)) - 1
}

// SetState sets the state of a group.
func (b *LogBatch) SetState(l *GroupLog, state []byte) {
	b.note(b.batch.Set(l.keys.meta(metaGroup), state, nil))
}

// SetMembers sets what is known of the members of a group, of which nothing is applied yet. Later
// it goes with the entries that the shard applies.
func (b *LogBatch) SetMembers(l *GroupLog, members []byte) {
	b.note(b.batch.Set(l.keys.meta(metaMembers), members, nil))
}

// Trim removes the entries before an index.
func (b *LogBatch) Trim(l *GroupLog, index uint64) {
	x := b.of(l)
	if index = min(index, x.last+1); index <= x.first {
		return
	}
	b.note(b.batch.DeleteRange(groupEntry(l.keys, x.first), groupEntry(l.keys, index), nil))
	x.first = index
}

// Commit writes the batch, and returns when it is on disk with all that the store has written
// before, or, if it isn't to be synced, when it will be there before all that is written later. The
// error is Full if nothing was written, and Commit may be called again; after any other error what is
// on disk isn't known.
func (b *LogBatch) Commit(sync bool) error {
	s := b.store
	if err := s.gate.enter(); err != nil {
		return err
	}
	defer s.gate.leave()
	if b.err != nil {
		return b.err
	}
	if err := s.space.admit(b.batch.Len()); err != nil {
		return err
	}
	if err := b.write(sync); err != nil {
		return err
	}
	for _, x := range b.bounds {
		x.log.mu.Lock()
		x.log.first, x.log.last = x.first, x.last
		x.log.mu.Unlock()
	}
	return b.batch.Close()
}

func (b *LogBatch) write(sync bool) error {
	switch e := b.store.engine; {
	case !sync:
		return e.submitNoSync(b.batch)
	case b.batch.Empty(): // Pebble wouldn't sync anything
		return e.sync()
	default:
		return e.write(b.batch)
	}
}

// checkGroup looks for gaps in the log of the shard's group.
func (k *shardCheck) checkGroup() error {
	lower, upper := groupEntries(k.shard.keys)
	next := uint64(0)
	return k.each(lower, upper, 0, func(key []byte, _ string) error {
		index := groupIndex(key)
		if next > 0 && index != next {
			k.wrong("group", "entry %d follows where %d should", index, next)
		}
		next = index + 1
		return nil
	})
}

// groupEntry returns the key of an entry of the log of a shard's group.
func groupEntry(k keys, index uint64) []byte {
	return binary.BigEndian.AppendUint64(k.ofShard(nil, kindGroup), index)
}

// groupEntries returns the bounds of the log of a shard's group.
func groupEntries(k keys) (lower, upper []byte) {
	return k.ofShard(nil, kindGroup), k.ofShard(nil, kindGroup+1)
}

// groupIndex returns the index of the entry that a key of a group's log is of.
func groupIndex(key []byte) uint64 { return binary.BigEndian.Uint64(key[prefixBytes:]) }
