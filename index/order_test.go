package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
	"holdfast/shard"
)

// A pair is a table of one shard with an index of two, by its attribute "a".
type pair struct {
	t         *testing.T
	store     *shard.Store
	source    *shard.Shard
	index     Index
	followers *Followers
	logged    *lines
}

// lines are the lines of a log.
type lines struct {
	mu  sync.Mutex // guards all
	all []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(p))
	return len(p), nil
}

func newPair(t *testing.T) *pair {
	s, err := shard.Open(shard.Options{Dir: "data", FS: vfs.NewMem(), CacheBytes: 1 << 20, MemTableBytes: 1 << 20,
		LogAge: 1})
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{t: t, store: s, logged: &lines{}}
	p.source = openShards(t, s, 1, 1, shard.Schema{Key: tableKey()})[0]
	p.index = newIndex(t, s, 101, 2, tableKey(), tableIndexes()[0])
	p.followers = newFollowers(Options{
		Key: tableKey(), Sources: []*shard.Shard{p.source}, Log: slog.New(slog.NewTextHandler(p.logged, nil)),
	}, p.index)
	p.step() // so that it is filled
	t.Cleanup(func() {
		p.followers.Stop()
		_ = s.Close()
	})
	return p
}

func (p *pair) step() { p.followers.sources[0].step(bg) }

// item returns an item whose entry is in one of the index's shards.
func (p *pair) item(id string, place int) item.Item {
	for n := 0; ; n++ {
		it := item.New(item.Attr{Name: "id", Value: item.Text(id)}, item.Attr{Name: "a", Value: item.Text(fmt.Sprint(n))})
		if key, _, _ := p.index.Index.Entry(tableKey(), it); p.index.shardOf(key) == place {
			return it
		}
	}
}

// put puts an item, and returns the transaction's index.
func (p *pair) put(it item.Item) uint64 {
	p.t.Helper()
	key, err := tableKey().Key(it)
	if err != nil {
		p.t.Fatal(err)
	}
	results, err := p.store.Commit(bg, shard.Commit{Writes: []shard.Write{{Shard: p.source, Key: key,
		Change: func(item.Item) (item.Item, error) { return it, nil }}}})
	if err != nil {
		p.t.Fatal(err)
	}
	return results[0].Tx.Index
}

// drop drops a shard of the index, so that nothing can be submitted to it.
func (p *pair) drop(place int) {
	p.t.Helper()
	id := p.index.Shards[place].ID()
	if err := p.store.Drop(shard.Descriptor{ID: id, Space: holdfast.SpaceID(id)}); err != nil {
		p.t.Fatal(err)
	}
}

// An entry that can't be put into the shard to which it moves stays where it is.
func TestMovesPutBeforeTheyDelete(t *testing.T) {
	for from := range 2 {
		p := newPair(t)
		p.put(p.item("x", from))
		p.step()
		p.put(p.item("x", 1-from))
		p.drop(1 - from)
		p.step()
		if n := len(entriesOf(t, p.index.Shards[from])); n != 1 {
			t.Errorf("from shard %d: got %d entries left there; want 1", from, n)
		}
	}
}

// Two entries that change places are in the index all the time, too.
func TestMovesInBothDirections(t *testing.T) {
	for from := range 2 {
		p := newPair(t)
		p.put(p.item("x", from))
		p.put(p.item("y", 1-from))
		p.step()
		p.put(p.item("x", 1-from))
		p.put(p.item("y", from))
		p.drop(1 - from)
		p.step()
		key, entry, _ := p.index.Index.Entry(tableKey(), p.item("x", from))
		if got := entriesOf(t, p.index.Shards[from])[string(key)]; !got.Equal(entry) {
			t.Errorf("from shard %d: got %v left there; want %v", from, got, entry)
		}
	}
}

// An index whose shard can't be changed is tried again, its failure is logged once, and other
// indexes go on.
func TestAFailureIsLoggedOnceAndStopsNoOther(t *testing.T) {
	p := newPair(t)
	other := newIndex(t, p.store, 201, 1, tableKey(), tableIndexes()[1])
	p.followers.Add(other)
	p.step()
	wrong := shard.Follow{Source: p.source.ID(), To: shard.Progress{Applied: 1 << 40}}
	for _, sh := range p.index.Shards {
		wrong.From = sh.Progress(p.source.ID()).Applied
		if err := sh.Follow(wrong); err != nil {
			t.Fatal(err)
		}
	}
	s := p.followers.sources[0]
	for n := range 3 {
		it := p.item(fmt.Sprint("x", n), 0)
		p.put(it.With("b", item.Text("b")).With("n", item.Value{Type: item.N, Text: "1"}))
		_, _, retry := s.step(bg)
		if retry <= 0 {
			t.Errorf("step %d: got no time for another attempt; want one", n)
		}
		for _, l := range s.links {
			l.retry = time.Time{} // it has passed
		}
	}
	if n := len(entriesOf(t, other.Shards[0])); n != 3 {
		t.Errorf("got %d entries in the other index; want 3", n)
	}
	if n := len(p.logged.all); n != 1 || !strings.Contains(p.logged.all[0], "by-a") {
		t.Errorf("got the log %q; want one line", p.logged.all)
	}
}

// Programs that put and then query see their own puts, while others put.
func TestReadYourWrites(t *testing.T) {
	w := newWorld(t, 1)
	w.followers = Start(Options{Key: tableKey(), Sources: w.sources}, w.indexes...)
	<-w.followers.Filled(1) // as a table is used only then
	var done sync.WaitGroup
	for id := range 4 {
		done.Go(func() {
			for n := range 100 {
				a := fmt.Sprint(id, "/", n%7)
				it := item.New(item.Attr{Name: "id", Value: item.Text(fmt.Sprint(id))}, item.Attr{Name: "a", Value: item.Text(a)},
					item.Attr{Name: "v", Value: item.Text(fmt.Sprint(n))})
				key, err := tableKey().Key(it)
				if err != nil {
					t.Error(err)
					return
				}
				_, err = w.store.Commit(bg, shard.Commit{Writes: []shard.Write{{Shard: ownerOf(w.sources, key), Key: key,
					Change: func(item.Item) (item.Item, error) { return it, nil }}}})
				if err == nil {
					err = w.followers.Wait(bg, 1)
				}
				if err != nil {
					t.Error(err)
					return
				}
				late := w.followers.Lag().Late
				entryKey, entry, _ := w.indexes[0].Index.Entry(tableKey(), it)
				got, err := w.indexes[0].Shard(entryKey).Get(bg, entryKey)
				if late == 0 && (err != nil || !got.Equal(entry)) {
					t.Errorf("got %v, %v; want %v", got, err, entry)
					return
				}
			}
		})
	}
	done.Wait()
	if lag := w.followers.Lag(); lag.Applied == 0 || lag.P99 < lag.P50 {
		t.Errorf("got %+v; want changes counted", lag)
	}
	w.followers.Stop()
	w.followers.Stop()
}

// A query of an index that can't follow waits no longer than its limit or its context.
func TestWaitEnds(t *testing.T) {
	p := newPair(t)
	p.put(p.item("x", 0)) // no goroutine takes it to the index
	ctx, cancel := context.WithCancel(bg)
	cancel()
	if err := p.followers.Wait(ctx, 1); !errors.Is(err, holdfast.Overloaded) {
		t.Errorf("got %v; want Overloaded", err)
	}
	if err := p.followers.Wait(bg, 1); err != nil {
		t.Errorf("got %v; want none after the limit", err)
	}
	if lag := p.followers.Lag(); lag.Late != 1 || lag.Transactions != 1 {
		t.Errorf("got %+v; want one late query and one transaction", lag)
	}
	if got := len(p.followers.sources[0].hurry); got != 1 {
		t.Errorf("got %d hints that a query waits; want one", got)
	}
	p.step()
	if err := p.followers.Wait(ctx, 1); err != nil {
		t.Errorf("nothing lags: got %v; want none", err)
	}
	if err := p.followers.Wait(bg, 9); err != nil {
		t.Errorf("an index that isn't there: got %v; want none", err)
	}
}

// An index that is removed is left alone, and one that is added again continues.
func TestRemove(t *testing.T) {
	p := newPair(t)
	p.followers.Remove(1)
	p.put(p.item("x", 0))
	p.step()
	if n := len(entriesOf(t, p.index.Shards[0])); n != 0 {
		t.Errorf("got %d entries in a removed index; want 0", n)
	}
	p.followers.Add(p.index)
	p.step()
	if n := len(entriesOf(t, p.index.Shards[0])); n != 1 {
		t.Errorf("got %d entries in an index that was added again; want 1", n)
	}
	select {
	case <-p.followers.Filled(1):
	default:
		t.Error("got an index that isn't filled; want one that is")
	}
	if p.followers.Filled(9) != nil {
		t.Error("got a channel for an index that isn't there")
	}
}

// Quantiles are those of the lags that were added, rounded up by a half at most.
func TestLagQuantiles(t *testing.T) {
	var g lags
	if p50, p99, n := g.quantiles(); p50 != 0 || p99 != 0 || n != 0 {
		t.Errorf("got %v, %v of %d; want nothing", p50, p99, n)
	}
	for ms := 1; ms <= 1000; ms++ {
		g.add(time.Duration(ms)*time.Millisecond, 2)
	}
	p50, p99, n := g.quantiles()
	if n != 2000 || p50 < 500*time.Millisecond || p50 > 750*time.Millisecond ||
		p99 < 990*time.Millisecond || p99 > 1485*time.Millisecond {
		t.Errorf("got %v, %v of %d; want about 500 ms, 990 ms of 2000", p50, p99, n)
	}
	for _, lag := range []time.Duration{-1, 0, 1, 2, 3, 1 << 62} {
		if b := bucketOf(lag); b < 0 || b >= len(g.buckets) || lag > 0 && upperOf(b) <= lag && lag < 1<<62 {
			t.Errorf("%d: got bucket %d below %d; want one above it", lag, b, upperOf(b))
		}
	}
}

// Mark leaves no change to be kept that the index has applied, however few there were since the last
// time.
func TestMarkKeepsNothingThatIsApplied(t *testing.T) {
	p := newPair(t)
	before := uint64(0)
	for n := range 5 {
		last := p.put(p.item(fmt.Sprint(n), n%2))
		p.step()
		p.followers.Mark()
		if err := p.store.Trim(bg); err != nil {
			t.Fatal(err)
		}
		// Between the two changes there may be a place without one.
		if at := p.source.Oldest().Index; n > 0 && (at <= before || at > last) {
			t.Errorf("after %d transactions: %d is the oldest that is kept; want one behind %d, up to %d",
				n+1, at, before, last)
		}
		before = last
	}
}
