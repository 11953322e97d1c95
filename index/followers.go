package index

import (
	"context"
	"encoding/binary"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast"
	"holdfast/item"
	"holdfast/shard"
)

// waitLimit is how long a query waits for its index at most.
const waitLimit = 200 * time.Millisecond

// Options are what the followers of a table's indexes are started with.
type Options struct {
	Key     item.KeySchema // of the table
	Sources []*shard.Shard // the table's
	Log     *slog.Logger
	Now     func() time.Time // default time.Now; the store's

	// For tests; zero: the defaults.
	stepChanges, fillItems int // about how many changes are read, and items added, at once
	submit                 func(*shard.Shard, shard.Follow) error
}

// An Index is a global index with its shards.
type Index struct {
	Index  item.Index
	Shards []*shard.Shard
	Starts []uint64 // the first hash of each shard, rising from 0
}

// shardOf returns the place of the shard that has the entries of a key.
func (x *Index) shardOf(key item.Key) int {
	hash := binary.BigEndian.Uint64(key)
	n, found := slices.BinarySearch(x.Starts, hash)
	if found {
		return n
	}
	return n - 1
}

// Shard returns the shard that has the entry of a key, or would have it. All entries with one
// partition key are in one shard.
func (x *Index) Shard(key item.Key) *shard.Shard { return x.Shards[x.shardOf(key)] }

// Followers are the followers of a table's global indexes.
type Followers struct {
	sources []*source
	log     *slog.Logger
	lags    lags
	late    atomic.Uint64 // queries that waited for waitLimit in vain
	cancel  context.CancelFunc
	done    sync.WaitGroup
	once    sync.Once

	indexes atomic.Pointer[[]*followed] // by the order of Add; replaced with mu held
	mu      sync.Mutex                  // held by Add and Remove; taken before source.mu
}

// A followed is an index with its links, one for each source.
type followed struct {
	Index
	links  []*link
	filled chan struct{} // closed when all links are whole
	left   atomic.Int64  // links that aren't
}

// Start registers followers for the sources, and starts them.
func Start(o Options, indexes ...Index) *Followers {
	f := newFollowers(o, indexes...)
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	for _, s := range f.sources {
		f.done.Go(func() { s.run(ctx) })
	}
	return f
}

// newFollowers registers followers that don't run.
func newFollowers(o Options, indexes ...Index) *Followers {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.submit == nil {
		o.submit = (*shard.Shard).Follow
	}
	if o.stepChanges == 0 {
		o.stepChanges = stepChanges
	}
	if o.fillItems == 0 {
		o.fillItems = fillItems
	}
	f := &Followers{log: o.Log, cancel: func() {}}
	f.indexes.Store(&[]*followed{})
	for _, sh := range o.Sources {
		f.sources = append(f.sources, newSource(sh, o, &f.lags))
	}
	for _, x := range indexes {
		f.Add(x)
	}
	return f
}

// Stop ends the followers. What they haven't applied is applied after the next Start. It may be
// called more than once.
func (f *Followers) Stop() {
	f.once.Do(func() {
		f.cancel()
		f.done.Wait()
		for _, s := range f.sources {
			s.close()
		}
	})
}

// Mark writes how far the indexes are, so that a trim keeps no changes for them that they have
// applied.
func (f *Followers) Mark() {
	for _, s := range f.sources {
		s.mark()
	}
}

// Add has an index follow. If it doesn't follow a source yet, it is filled first.
func (f *Followers) Add(x Index) {
	f.mu.Lock()
	defer f.mu.Unlock()
	added := &followed{Index: x, filled: make(chan struct{})}
	for _, s := range f.sources {
		added.links = append(added.links, newLink(added, s))
	}
	unfilled := 0
	for _, l := range added.links {
		if !l.whole() {
			unfilled++
		}
	}
	added.left.Store(int64(unfilled))
	if unfilled == 0 {
		close(added.filled)
	}
	next := append(slices.Clone(*f.indexes.Load()), added)
	f.indexes.Store(&next)
	for i, s := range f.sources {
		s.add(added.links[i])
	}
}

// Remove ends an index's following. When it returns nothing is applied to its shards any more.
func (f *Followers) Remove(id uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gone := f.index(id)
	if gone == nil {
		return
	}
	next := slices.DeleteFunc(slices.Clone(*f.indexes.Load()), func(x *followed) bool { return x == gone })
	f.indexes.Store(&next)
	for i, s := range f.sources {
		s.remove(gone.links[i])
	}
}

// index returns the index of that ID, or nil.
func (f *Followers) index(id uint32) *followed {
	for _, x := range *f.indexes.Load() {
		if x.Index.Index.ID == id {
			return x
		}
	}
	return nil
}

// Filled returns a channel that is closed once an index has the entries of all items that were
// there when it was added; nil if there is no such index.
func (f *Followers) Filled(id uint32) <-chan struct{} {
	x := f.index(id)
	if x == nil {
		return nil
	}
	return x.filled
}

// Wait waits until an index that is filled has applied the changes that were durable when Wait was
// called, but no longer than 200 ms. The error is that of a context that ended before.
func (f *Followers) Wait(ctx context.Context, id uint32) error {
	x := f.index(id)
	if x == nil {
		return nil
	}
	for i, l := range x.links {
		if !l.at.reached(l.source.reader.Durable()) {
			return f.wait(ctx, x.links[i:])
		}
	}
	return nil
}

// Applied returns the newest transaction of each source whose changes an index has applied, with
// those of all before it. A read that begins afterwards sees them.
func (f *Followers) Applied(id uint32) []holdfast.TxID {
	x := f.index(id)
	if x == nil {
		return nil
	}
	all := make([]holdfast.TxID, len(x.links))
	for i, l := range x.links {
		all[i] = l.source.shard.At(l.at.load())
	}
	return all
}

// wait waits for links, the first of which lags.
func (f *Followers) wait(ctx context.Context, links []*link) error {
	targets := make([]uint64, len(links))
	for i, l := range links {
		targets[i] = l.source.reader.Durable()
	}
	limit := time.NewTimer(waitLimit)
	defer limit.Stop()
	for i, l := range links {
		for {
			rise := l.at.rises(targets[i])
			if rise == nil {
				break
			}
			l.source.expect()
			select {
			case <-rise:
			case <-limit.C:
				f.late.Add(1)
				return nil
			case <-ctx.Done():
				return holdfast.Errorf(holdfast.Overloaded, "the request was canceled: %w", ctx.Err())
			}
		}
	}
	return nil
}

// A Lag is how far indexes are behind their table.
type Lag struct {
	Transactions uint64        // durable and not applied yet, of the source that has the most
	P50, P99     time.Duration // from when changes were durable until they were applied, since Start
	Applied      uint64        // changes since Start
	Late         uint64        // queries that didn't wait any longer, since Start
}

// Lag returns how far the indexes are behind.
func (f *Followers) Lag() Lag {
	is := Lag{Late: f.late.Load()}
	for _, x := range *f.indexes.Load() {
		for _, l := range x.links {
			if durable, at := l.source.reader.Durable(), l.at.load(); durable > at {
				is.Transactions = max(is.Transactions, durable-at)
			}
		}
	}
	is.P50, is.P99, is.Applied = f.lags.quantiles()
	return is
}
