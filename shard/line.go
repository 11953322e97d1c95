package shard

import (
	"context"
	"sync"
	"sync/atomic"

	"holdfast"
)

// stripes is among how many latches and marks the keys of a shard are spread. Keys of one partition share theirs, since a
// stripe is chosen by the hash that keys begin with. It is a power of two.
const stripes = 512

// stripeOf returns the stripe of a hash. The high bits say which shard it is, so the low ones are taken.
func stripeOf(hash uint64) int { return int(hash & (stripes - 1)) }

// A line is the order of a shard's transactions, or of the commits that change records, and how far it is on disk.
//
// A mark is raised before the batch that it stands for can be seen, and a reader looks at it after it has read. So a reader
// that saw something of transaction i finds the mark at i or higher:
//
//  1. a commit sets marks[s] = i and applied = i, with mu;
//  2. Pebble makes its batch visible;
//  3. a reader reads it, and finds marks[s] ≥ i;
//  4. the reader waits until durable ≥ marks[s];
//  5. the commit's sync is done, and it raises durable to i, which lets the reader go.
type line struct {
	latches [stripes]sync.Mutex    // guard the items of their stripe from when a commit reads them until it has applied its batch
	marks   [stripes]atomic.Uint64 // the last transaction that changed items or entries of the stripe; rise with mu
	mu      sync.Mutex             // guards the order: held from when a transaction gets its index until its batch is applied; taken after latches
	applied atomic.Uint64          // the last index that was given; rises with mu
	durable waterline              // the last that is on disk, with all before it
}

// A waterline is an index that only rises, and those who wait for it.
type waterline struct {
	at   atomic.Uint64
	mu   sync.Mutex
	rise chan struct{} // closed at the next rise; nil if nobody waits; guarded by mu
}

// raise sets the line to at least index.
func (w *waterline) raise(index uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if index <= w.at.Load() {
		return
	}
	w.at.Store(index)
	if w.rise != nil {
		close(w.rise)
		w.rise = nil
	}
}

// rises returns what is closed when the line rises, or nil if it is at index already.
func (w *waterline) rises(index uint64) <-chan struct{} {
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

// settled waits until the line is on disk up to index.
func (s *Store) settled(ctx context.Context, l *line, index uint64) error {
	for {
		rise := l.durable.rises(index)
		if rise == nil {
			return nil
		}
		select {
		case <-rise:
		case <-ctx.Done():
			return ended(ctx)
		case <-s.broken:
			return errBroken()
		}
	}
}

// ended returns the error of a request whose context has ended before it changed anything.
func ended(ctx context.Context) error {
	return holdfast.Errorf(holdfast.Overloaded, "the request was given up: %w", ctx.Err())
}

// errBroken is the error of commits whose outcome is unknown, or that come after one.
func errBroken() error {
	return holdfast.Errorf(holdfast.Unavailable, "the disk failed, and nothing can be written until a restart")
}

func errClosed() error { return holdfast.Errorf(holdfast.Closed, "the store is closed") }

func errDropped(id holdfast.ShardID) error {
	return holdfast.Errorf(holdfast.Closed, "shard %d was dropped", id)
}

// A gate counts the calls that are under way, until it is shut.
type gate struct {
	calls atomic.Int64 // and shut
	once  sync.Once
	idle  chan struct{} // closed once it is shut and no call is under way
}

// shut is added to the number of calls when no more may begin.
const shut = 1 << 62

func (g *gate) enter() error {
	if g.calls.Add(1)&shut != 0 {
		g.leave()
		return errClosed()
	}
	return nil
}

func (g *gate) leave() {
	if g.calls.Add(-1) == shut {
		g.once.Do(func() { close(g.idle) })
	}
}

// shut lets no more calls in, and waits for those under way. It returns false if that was done before.
func (g *gate) shut() bool {
	if g.calls.Or(shut)&shut != 0 {
		return false
	}
	g.calls.Add(1)
	g.leave()
	<-g.idle
	return true
}
