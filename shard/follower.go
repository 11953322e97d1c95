package shard

import (
	"context"
	"math"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast"
	"holdfast/item"
)

// The limits of recent changes. A follower that is further behind reads the history.
const (
	recentChanges = 8192
	recentBytes   = 4 << 20 // as item.Size counts both images
)

// A recent is a shard's newest changes in memory, for its followers, which read them as soon as they
// are durable and mostly needn't read the history. A shard has one while it has followers.
//
// The images of a change are those that the commit returns, and are never changed. They may keep a
// request's text in memory until the followers have read them.
type recent struct {
	mu        sync.Mutex // guards what follows; taken after sequencer.mu
	behind    uint64     // all changes of transactions with higher indexes are there
	changes   []Change   // in order
	bytes     int        // of their images
	followers map[*Follower]struct{}
}

// add adds the changes of an entry. sequencer.mu is held.
func (t *recent) add(e *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := time.Unix(0, e.changed)
	for i := range e.effects {
		f := &e.effects[i]
		t.changes = append(t.changes, Change{
			Tx: e.tx, N: uint32(i), At: at, Origin: f.origin, Before: f.before.item, After: f.after,
		})
		t.bytes += f.before.item.Size() + f.after.Size()
	}
	if len(t.changes) > recentChanges || t.bytes > recentBytes {
		t.drop(t.changes[len(t.changes)/2].Tx.Index)
	}
}

// drop drops the changes of the transactions up to one. mu is held.
func (t *recent) drop(upTo uint64) {
	if upTo <= t.behind {
		return
	}
	n := 0
	for ; n < len(t.changes) && t.changes[n].Tx.Index <= upTo; n++ {
		t.bytes -= t.changes[n].Before.Size() + t.changes[n].After.Size()
	}
	rest := copy(t.changes, t.changes[n:])
	clear(t.changes[rest:])
	t.changes = t.changes[:rest]
	t.behind = upTo
}

// restart drops all changes, since those up to a transaction have not all passed here.
func (t *recent) restart(behind uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.changes)
	t.behind, t.changes, t.bytes = behind, t.changes[:0], 0
}

// read returns the changes of the transactions behind one, up to another, but about limit at most
// and of whole transactions only, and the last transaction that they are of. !ok says that recent
// doesn't have them.
func (t *recent) read(from, to uint64, limit int) (changes []Change, last uint64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if from < t.behind {
		return nil, 0, false
	}
	first, end := t.place(from+1), t.place(to+1)
	if end-first > limit {
		to = t.changes[first+limit-1].Tx.Index
		end = t.place(to + 1)
	}
	return append([]Change(nil), t.changes[first:end]...), to, true
}

// place returns how many changes are of transactions before one.
func (t *recent) place(index uint64) int {
	return sort.Search(len(t.changes), func(i int) bool { return t.changes[i].Tx.Index >= index })
}

// A Follower reads the durable changes of a shard in order, and keeps those that it hasn't applied
// from being trimmed. It is for one goroutine at a time, except for Close, and must be closed.
type Follower struct {
	shard   *Shard
	applied atomic.Uint64
}

// NewFollower registers a follower that has applied the changes of the transactions up to one. A
// later call of Store.Trim keeps the others, so followers are registered before the first.
func NewFollower(sh *Shard, applied uint64) *Follower {
	f := &Follower{shard: sh}
	f.applied.Store(applied)
	sh.sequencer.mu.Lock()
	defer sh.sequencer.mu.Unlock()
	if sh.recent == nil {
		sh.recent = &recent{behind: sh.tally.applied, followers: map[*Follower]struct{}{}}
		sh.sequencer.durable.keepTime(sh.store.now)
	}
	sh.recent.mu.Lock()
	defer sh.recent.mu.Unlock()
	sh.recent.followers[f] = struct{}{}
	return f
}

// Close ends the registration.
func (f *Follower) Close() {
	sh := f.shard
	sh.sequencer.mu.Lock()
	defer sh.sequencer.mu.Unlock()
	if sh.recent == nil {
		return
	}
	sh.recent.mu.Lock()
	defer sh.recent.mu.Unlock()
	delete(sh.recent.followers, f)
	if len(sh.recent.followers) == 0 {
		sh.recent = nil
		sh.sequencer.durable.keepTime(nil)
	}
}

// Applied says that the follower needs the changes of the transactions up to one no longer. It must
// have submitted what it made of them.
func (f *Follower) Applied(index uint64) {
	if index > f.applied.Load() {
		f.applied.Store(index)
	}
}

// Changes returns about limit of the durable changes behind a transaction, up to another, and the
// transaction to which they go: they are of whole transactions, and none up to that is missing. It
// is from if nothing behind that is durable. The error is Gone if the changes are no longer kept.
func (f *Follower) Changes(from, upTo uint64, limit int) (changes []Change, to uint64, err error) {
	sh := f.shard
	if err := sh.store.gate.enter(); err != nil {
		return nil, from, err
	}
	defer sh.store.gate.leave()
	if sh.isDropped() {
		return nil, from, errDropped(sh.id)
	}
	upTo = min(upTo, f.Durable())
	if upTo <= from {
		return nil, from, nil
	}
	sh.sequencer.mu.Lock()
	t := sh.recent
	sh.sequencer.mu.Unlock()
	if t != nil {
		if changes, to, ok := t.read(from, upTo, limit); ok {
			return changes, to, nil
		}
	}
	return sh.history.whole(from, upTo, limit)
}

// Release says that the changes of the transactions up to one needn't be kept in memory for this
// follower.
func (f *Follower) Release(index uint64) {
	f.shard.sequencer.mu.Lock()
	t := f.shard.recent
	f.shard.sequencer.mu.Unlock()
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.followers) == 1 {
		t.drop(index)
	}
}

// whole returns changes as Follower.Changes does, from the history.
func (h *history) whole(from, upTo uint64, limit int) (changes []Change, to uint64, err error) {
	at := holdfast.Position{Index: from + 1}
	changes, next, err := h.changes(at, Limit{Changes: limit, Bytes: recentBytes})
	if err != nil {
		return nil, from, err
	}
	for next.N != 0 {
		more, then, err := h.changes(next, Limit{Changes: 1, Bytes: 1})
		if err != nil {
			return nil, from, err
		}
		changes, next = append(changes, more...), then
	}
	for n := len(changes); n > 0 && changes[n-1].Tx.Index > upTo; n-- {
		changes, next.Index = changes[:n-1], upTo+1
	}
	if len(changes) == 0 {
		return nil, upTo, nil // the transactions up to it have no changes
	}
	return changes, next.Index - 1, nil
}

// Durable returns the shard's last transaction that is on disk, with all before it. It may be
// called concurrently with all else.
func (f *Follower) Durable() uint64 { return f.shard.sequencer.durable.at.Load() }

// More returns a channel that is closed when a transaction behind one is durable; nil: it is.
func (f *Follower) More(index uint64) <-chan struct{} {
	return f.shard.sequencer.durable.rises(index + 1)
}

// Since returns when the first transaction became durable since the last call; zero: none did.
func (f *Follower) Since() time.Time { return f.shard.sequencer.durable.takeTime() }

// floor returns the first transaction whose changes a follower of a shard still needs.
func floor(sh *Shard) uint64 {
	sh.sequencer.mu.Lock()
	t := sh.recent
	sh.sequencer.mu.Unlock()
	if t == nil {
		return math.MaxUint64
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	first := uint64(math.MaxUint64)
	for f := range t.followers {
		first = min(first, f.applied.Load()+1)
	}
	return first
}

// Items are some of a shard's items in order of their keys, as of a transaction.
type Items struct {
	Items []Keyed
	Next  item.Key // from which on there are more; nil: there are none
	Index uint64   // all transactions up to this one are seen, which are durable, and none behind it
}

// Items returns the shard's items from a key on: up to n, and of about so many bytes as item.Size
// counts, but at least one if there is one.
func (f *Follower) Items(ctx context.Context, from item.Key, n, bytes int) (Items, error) {
	sh := f.shard
	if err := sh.store.gate.enter(); err != nil {
		return Items{}, err
	}
	defer sh.store.gate.leave()
	lower, upper, prefix := sh.keys.span(nil, item.Range{From: from})
	// A batch is visible once it was submitted, which is done with sequencer.mu held.
	sh.sequencer.mu.Lock()
	it, err := sh.engine.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	all := Items{Index: sh.tally.applied}
	sh.sequencer.mu.Unlock()
	if err != nil {
		return Items{}, sh.engine.fault("scanning", err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		key := append(item.Key(nil), it.Key()[prefix:]...)
		if len(all.Items) > 0 && (len(all.Items) >= n || bytes <= 0) {
			all.Next = key
			break
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return Items{}, sh.engine.fault("scanning", err)
		}
		is, err := decodeImage(string(value))
		if err != nil {
			return Items{}, sh.engine.damaged(sh.id, it.Key(), err)
		}
		all.Items = append(all.Items, Keyed{Key: key, Item: is.item})
		bytes -= is.item.Size()
	}
	if err := it.Error(); err != nil {
		return Items{}, sh.engine.fault("scanning", err)
	}
	if sh.isDropped() {
		return Items{}, errDropped(sh.id)
	}
	return all, sh.sequencer.waitDurable(ctx, all.Index)
}
