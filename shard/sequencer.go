package shard

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast"
	"holdfast/item"
)

// stripes is the number of latches, and of marks, that the keys of a shard are spread over; a power
// of two. Keys of one partition share theirs, since a stripe is chosen by the hash that keys begin
// with.
const stripes = 512

// stripeOf returns the stripe of a hash. Its high bits select the shard, so the low ones are used.
func stripeOf(hash uint64) int { return int(hash & (stripes - 1)) }

// A sequencer is the order of a shard's transactions, or of the commits that change records: it
// gives each its index, and knows up to which of them, the durable watermark, all are on disk.
//
// A commit raises a mark before its batch can be seen, and a reader looks at the mark after it has
// read. So a reader that saw something of transaction i finds the mark at i or higher:
//
//  1. a commit sets marks[s] = i and applied = i, with mu held;
//  2. Pebble makes its batch visible;
//  3. a reader reads it, and finds marks[s] ≥ i;
//  4. the reader waits until durable ≥ marks[s];
//  5. the commit's sync is done, and it raises durable to i, which ends the reader's wait.
type sequencer struct {
	// latches guard the items of their stripe from when a commit reads them until its batch is
	// submitted. They are taken in rising order.
	latches [stripes]turnLock
	// marks are the last transaction that changed items or entries of each stripe; rise with mu held.
	marks [stripes]atomic.Uint64

	// mu guards the order: it is held from when a transaction gets its index until its batch is
	// submitted. It is taken after latches.
	mu      sync.Mutex
	applied atomic.Uint64 // the last index that was given; rises with mu held
	lazy    atomic.Uint64 // the last index that is submitted without a sync; rises with mu held
	durable watermark     // the last transaction that is on disk, with all before it
	flush   func() error  // returns when all that was submitted is durable
	engine  *engine       // whose end is that of all waits
	install install       // of a snapshot, in place of the shard's state
}

// A watermark is an index that only rises, with the goroutines that wait for it.
type watermark struct {
	at   atomic.Uint64
	mu   sync.Mutex
	rise chan struct{} // closed at the next rise; nil if nobody waits; guarded by mu

	// For followers, whose lag counts from there; guarded by mu.
	now   func() time.Time // nil: there are none
	since time.Time        // of the first rise behind the last takeTime; zero: there was none
}

// keepTime has the watermark note the time of rises from now on; nil: no longer.
func (w *watermark) keepTime(now func() time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now, w.since = now, time.Time{}
}

// takeTime returns the time of the first rise since the last call; zero: there was none.
func (w *watermark) takeTime() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	since := w.since
	w.since = time.Time{}
	return since
}

// raise sets the watermark to at least index.
func (w *watermark) raise(index uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if index <= w.at.Load() {
		return
	}
	w.at.Store(index)
	if w.now != nil && w.since.IsZero() {
		w.since = w.now()
	}
	if w.rise != nil {
		close(w.rise)
		w.rise = nil
	}
}

// rises returns a channel that is closed at the next rise, or nil if the watermark is at index
// already.
func (w *watermark) rises(index uint64) <-chan struct{} {
	if w.at.Load() >= index {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.at.Load() >= index {
		return nil
	}
	if w.rise == nil {
		w.rise = make(chan struct{})
	}
	return w.rise
}

// waitDurable waits until all transactions up to index are on disk. If no sync of any of them may be
// under way, it begins one. It also waits for the end of an install that is under way, of which the
// caller may have seen the state before the durable watermark has risen.
func (q *sequencer) waitDurable(ctx context.Context, index uint64) error {
	if _, err := q.install.wait(ctx, q.engine); err != nil {
		return err
	}
	for {
		rise := q.durable.rises(index)
		if rise == nil {
			return nil
		}
		if q.lazy.Load() > q.durable.at.Load() {
			if err := ctx.Err(); err != nil {
				return ended(ctx)
			}
			if err := q.sync(); err != nil {
				return err
			}
			continue
		}
		select {
		case <-rise:
		case <-ctx.Done():
			return ended(ctx)
		case <-q.engine.broken:
			return errBroken()
		}
	}
}

// sync makes all transactions that were submitted durable.
func (q *sequencer) sync() error {
	q.mu.Lock() // until then, the batch of the last one may not have been submitted
	last := q.applied.Load()
	q.mu.Unlock()
	if err := q.flush(); err != nil {
		return err
	}
	q.durable.raise(last)
	return nil
}

// latchAll latches the stripes of keys in order, and returns what unlatches them.
func (q *sequencer) latchAll(keys []item.Key) (unlatch func()) {
	latched := make([]int, len(keys))
	for i, key := range keys {
		latched[i] = stripeOf(key.Hash())
	}
	slices.Sort(latched)
	latched = slices.Compact(latched)
	for _, stripe := range latched {
		q.latches[stripe].Lock()
	}
	return func() {
		for _, stripe := range latched {
			q.latches[stripe].Unlock()
		}
	}
}

// ended returns the error of a request whose context ended before it changed anything.
func ended(ctx context.Context) error {
	return holdfast.Errorf(holdfast.Overloaded, "the request was canceled: %w", ctx.Err())
}

func errReadOnly() error {
	return holdfast.Errorf(holdfast.Invalid, "the store was opened for reading only")
}

func errClosed() error { return holdfast.Errorf(holdfast.Closed, "the store is closed") }

func errDropped(id holdfast.ShardID) error {
	return holdfast.Errorf(holdfast.Closed, "shard %d was dropped", id)
}
