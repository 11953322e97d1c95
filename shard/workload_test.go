package shard

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

// A workload is a store with writers, readers, trims and flushes at once, and the results that they
// got. Accounts of three shards have 100 coins each at first; writers move coins between them, and
// put and remove other items.
type workload struct {
	t      *testing.T
	seed   uint64
	o      Options
	clock  *clock
	s      *Store
	shards []*Shard
	done   chan struct{} // closed when the writers have ended

	mu      sync.Mutex
	results []reported // of all writes that changed something
}

// A reported is the result of one write.
type reported struct {
	Result
	key string
}

const (
	accounts = 4 // of each shard
	coins    = 100
)

// A tracked state is what a log's changes have made of a shard, with the number of transactions.
type tracked struct {
	items map[string]item.Item
	index uint64
}

func account(n int) item.Item { return thing("account", n, "coins", coins, "g", "account", "v", n) }

func coinsOf(it item.Item) (n int) {
	v, _ := it.Get("coins")
	fmt.Sscan(v.Text, &n)
	return n
}

// newWorkload returns a workload whose log is kept for that long.
func newWorkload(t *testing.T, seed uint64, logAge time.Duration) *workload {
	st := &workload{t: t, seed: seed, clock: newClock(), done: make(chan struct{})}
	st.o = memOptions(vfs.NewMem())
	st.o.Now, st.o.LogAge = st.clock.read, logAge
	st.o.MemTableBytes = 256 << 10 // so that it is flushed now and then
	st.s = openStore(t, st.o)
	for _, id := range []holdfast.ShardID{1, 2, 3} {
		sh := openShard(t, st.s, id)
		st.shards = append(st.shards, sh)
		for n := range accounts {
			st.commit(Commit{Writes: []Write{put(t, sh, account(n))}})
		}
	}
	return st
}

func (st *workload) rng(number uint64) *rand.Rand { return rand.New(rand.NewPCG(st.seed, number)) }

// commit does a commit, and keeps its results.
func (st *workload) commit(c Commit) error {
	results, err := st.s.Commit(bg, c)
	if err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	for i, r := range results {
		if r.Tx.Index > 0 {
			st.results = append(st.results, reported{r, string(c.Writes[i].Key)})
		}
	}
	return nil
}

var errPoor = errors.New("too few coins")

// move moves coins between two accounts, of one shard or of two, if the first has enough.
func (st *workload) move(r *rand.Rand) {
	n, amount := r.Perm(3*accounts), 1+r.IntN(60)
	change := func(place, by int) Write {
		w := put(st.t, st.shards[place%3], account(place/3))
		w.Change = func(before item.Item) (item.Item, error) {
			if coinsOf(before)+by < 0 {
				return nil, errPoor
			}
			return before.With("coins", number(coinsOf(before)+by)), nil
		}
		return w
	}
	err := st.commit(Commit{Writes: []Write{change(n[0], -amount), change(n[1], amount)}})
	if err != nil && err != errPoor {
		st.t.Error(err)
	}
}

// scatter puts or removes some items.
func (st *workload) scatter(r *rand.Rand) {
	var c Commit
	used := map[string]bool{}
	for range 1 + r.IntN(4) {
		sh := st.shards[r.IntN(3)]
		it := thing(fmt.Sprint("id", r.IntN(8)), r.IntN(4), "g", fmt.Sprint(r.IntN(3)), "m", r.IntN(4), "v", r.IntN(1e6),
			"ttl", r.IntN(2e9), "fat", noise(r.IntN(9), r.IntN(3*blobValueBytes)))
		at := fmt.Sprint(sh.id, string(keyOf(st.t, it)))
		if used[at] {
			continue
		}
		used[at] = true
		if r.IntN(3) == 0 {
			c.Writes = append(c.Writes, remove(st.t, sh, it))
		} else {
			c.Writes = append(c.Writes, put(st.t, sh, it))
		}
	}
	if err := st.commit(c); err != nil {
		st.t.Error(err)
	}
}

// total reads all accounts in one snapshot: coins are never missing, nor in two accounts.
func (st *workload) total() {
	var gets []Get
	for _, sh := range st.shards {
		for n := range accounts {
			gets = append(gets, Get{sh, keyOf(st.t, account(n))})
		}
	}
	items, err := st.s.GetAll(bg, gets)
	if err != nil {
		st.t.Error(err)
	}
	sum := 0
	for _, it := range items {
		sum += coinsOf(it)
	}
	if sum != len(gets)*coins {
		st.t.Errorf("seed %d: got %d coins in one snapshot; want %d", st.seed, sum, len(gets)*coins)
	}
}

// A scanResult is what a cursor showed of a shard, and the range of transactions that may be the
// last one that it shows.
type scanResult struct {
	place      int
	index      uint32 // 0: the items
	items      []item.Item
	from, upTo uint64
}

// scan goes through a shard, or through an index of all its items.
func (st *workload) scan(r *rand.Rand) (seen scanResult) {
	seen.place, seen.index = r.IntN(3), uint32(r.IntN(3))
	sh := st.shards[seen.place]
	seen.from = sh.End().Index - 1
	seen.items = all(st.t, sh, Span{Index: seen.index, Reverse: r.IntN(2) == 0})
	seen.upTo = sh.Counts().Applied
	return seen
}

// follow reads a shard's log while it grows and is trimmed: each change once, in order, each
// before-image the after-image before it. What was trimmed before it was read is Gone, never left
// out.
func (st *workload) follow(place int) {
	sh := st.shards[place]
	at, last := holdfast.Position{}, uint64(0)
	newest := map[string]item.Item{}
	for running := true; running; {
		select {
		case <-st.done:
			running = false // and once more
		default:
		}
		changes, next, err := sh.Changes(at, Limit{Changes: 7})
		if errors.Is(err, holdfast.Gone) && at != (holdfast.Position{}) {
			at, newest = holdfast.Position{}, map[string]item.Item{}
			continue
		}
		if err != nil {
			st.t.Error(err)
			return
		}
		for _, c := range changes {
			if at != (holdfast.Position{}) && c.N == 0 && c.Tx.Index <= last {
				st.t.Errorf("seed %d: got transaction %d of shard %d behind %d", st.seed, c.Tx.Index, sh.id, last)
			}
			key := string(changeKey(st.t, c))
			if was, ok := newest[key]; ok && !was.Equal(c.Before) {
				st.t.Errorf("seed %d: %v: got %v before; want %v", st.seed, c.Tx, c.Before, was)
			}
			newest[key], last = c.After, c.Tx.Index
			at = holdfast.Position{Index: c.Tx.Index, N: c.N + 1}
		}
		if at = next; len(changes) > 0 {
			running = true
		}
	}
}

func changeKey(t *testing.T, c Change) item.Key {
	if c.After != nil {
		return keyOf(t, c.After)
	}
	return keyOf(t, c.Before)
}

// All at once: transfers, other commits, snapshots, scans, followers of the logs, trims, expiry's
// deletions, flushes and reclaims. Then the logs must have what each commit reported, and each scan
// must be what the log says of one transaction between those that were on disk before it and those
// that were applied after it.
func TestConcurrentWorkload(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			trimmed := seed == 2 // then only the followers see the whole log
			logAge := time.Hour
			if trimmed {
				logAge = 20 * time.Second
			}
			st := newWorkload(t, seed, logAge)
			scans := st.run()
			if t.Failed() {
				return
			}
			st.total()
			for place, sh := range st.shards {
				invariants(t, sh, testSchema())
				if !trimmed {
					st.compareLog(place, scans)
				} else if sh.Oldest().Index == 1 {
					t.Errorf("seed %d: got nothing of shard %d's log trimmed; want some", seed, sh.id)
				}
			}
			wantNoLocks(t, st.s)
			wantBlobs(t, st.o.FS)
			if err := st.s.Close(); err != nil {
				t.Fatal(err)
			}
			checkStore(t, st.o, 1, 2, 3)
		})
	}
}

// run runs everything until the writers have ended, and returns the scans.
func (st *workload) run() (scans []scanResult) {
	var writers, followers sync.WaitGroup
	write := func(n uint64) {
		r := st.rng(n)
		for range 150 {
			if r.IntN(2) == 0 {
				st.move(r)
			} else {
				st.scatter(r)
			}
			st.clock.advance(time.Duration(r.IntN(2000)) * time.Millisecond)
		}
	}
	var mu sync.Mutex // guards scans
	var others []func()
	for n := range uint64(2) {
		r := st.rng(100 + n)
		others = append(others, func() {
			st.total()
			seen := st.scan(r)
			mu.Lock()
			defer mu.Unlock()
			if len(scans) < 2000 {
				scans = append(scans, seen)
			}
		})
	}
	r := st.rng(200)
	others = append(others, func() {
		if _, err := st.s.Reclaim(bg); err != nil {
			st.t.Error(err)
		}
		st.expire(st.shards[r.IntN(3)])
		if err := st.s.Trim(bg); err != nil {
			st.t.Error(err)
		}
	})
	for place := range st.shards {
		followers.Go(func() { st.follow(place) })
	}
	whileReading(func() {
		for n := range uint64(4) {
			writers.Go(func() { write(n) })
		}
		writers.Wait()
	}, others...)
	close(st.done)
	followers.Wait()
	return scans
}

// expire deletes what has expired, as a table does: if it still has.
func (st *workload) expire(sh *Shard) {
	now := st.clock.read()
	keys, err := sh.Expired(now, 5, 1<<16)
	if err != nil {
		st.t.Error(err)
	}
	for _, key := range keys {
		err := st.commit(Commit{Removal: true, Writes: []Write{{Shard: sh, Key: key, Origin: holdfast.ByExpiry,
			Change: func(before item.Item) (item.Item, error) {
				if second, ok := expiry("ttl", before); ok && int64(second) < now.Unix() {
					return nil, nil
				}
				return before, nil
			}}}})
		if err != nil {
			st.t.Error(err)
		}
	}
}

// compareLog replays the log of a shard, and compares it with the results of commits and the scans.
func (st *workload) compareLog(place int, scans []scanResult) {
	sh := st.shards[place]
	results := map[string]reported{} // by transaction and key
	for _, r := range st.results {
		if r.Tx.Shard == sh.id {
			results[fmt.Sprint(r.Tx.Index, r.key)] = r
		}
	}
	waiting := slices.DeleteFunc(slices.Clone(scans), func(seen scanResult) bool { return seen.place != place })
	state := tracked{items: map[string]item.Item{}}
	for at := (holdfast.Position{}); ; {
		changes, next, err := sh.Changes(at, Limit{})
		if err != nil {
			st.t.Fatal(err)
		}
		if len(changes) == 0 {
			break
		}
		for _, c := range changes {
			if c.Tx.Index != state.index { // a transaction is whole
				waiting = st.unexplained(waiting, state)
				state.index = c.Tx.Index
			}
			key := string(changeKey(st.t, c))
			r, ok := results[fmt.Sprint(c.Tx.Index, key)]
			if !ok || !r.Before.Equal(c.Before) || !r.After.Equal(c.After) || r.Tx != c.Tx {
				st.t.Fatalf("seed %d: the log has %v: %v → %v; the commit reported %+v, %t", st.seed, c.Tx, c.Before,
					c.After, r, ok)
			}
			delete(results, fmt.Sprint(c.Tx.Index, key))
			if state.items[key] = c.After; c.After == nil {
				delete(state.items, key)
			}
		}
		at = next
	}
	if waiting = st.unexplained(waiting, state); len(waiting) > 0 {
		st.t.Errorf("seed %d, shard %d: got %d scans that no transaction explains, the first of %d to %d, index %d: %v",
			st.seed, sh.id, len(waiting), waiting[0].from, waiting[0].upTo, waiting[0].index, waiting[0].items)
	}
	if len(results) > 0 {
		st.t.Errorf("seed %d, shard %d: got %d acknowledged changes that aren't in the log", st.seed, sh.id, len(results))
	}
}

// unexplained returns the scans that a shard's state isn't.
func (st *workload) unexplained(scans []scanResult, state tracked) []scanResult {
	byIndex := map[uint32][]item.Item{}
	return slices.DeleteFunc(scans, func(seen scanResult) bool {
		if state.index < seen.from || state.index > seen.upTo {
			return false
		}
		want, ok := byIndex[seen.index]
		if !ok {
			want = entriesOf(state.items, testSchema(), seen.index)
			byIndex[seen.index] = want
		}
		return slices.EqualFunc(sortedItems(seen.items), want, item.Item.Equal)
	})
}

// entriesOf returns what an index must have, or for index 0 the items, sorted as sortedItems does.
func entriesOf(items map[string]item.Item, schema Schema, index uint32) []item.Item {
	var entries []item.Item
	for _, it := range items {
		if index == 0 {
			entries = append(entries, it)
			continue
		}
		if _, entry, ok := indexOf(schema, index).Entry(schema.Key, it); ok {
			entries = append(entries, entry)
		}
	}
	return sortedItems(entries)
}

// indexOf returns the index of that ID.
func indexOf(schema Schema, id uint32) *item.Index {
	return &schema.Indexes[slices.IndexFunc(schema.Indexes, func(x item.Index) bool { return x.ID == id })]
}

// sortedItems returns items in an order of their own, by the bytes of their form.
func sortedItems(items []item.Item) []item.Item {
	next := slices.Clone(items)
	slices.SortFunc(next, func(a, b item.Item) int {
		return slices.Compare(item.Append(nil, a), item.Append(nil, b))
	})
	return next
}

// invariants compares what a shard has beside its items with the items: each index and the queue of
// expiring items have theirs and no others, and the counts are right.
func invariants(t *testing.T, sh *Shard, schema Schema) {
	t.Helper()
	items := map[string]item.Item{}
	for _, it := range all(t, sh, Span{}) {
		items[string(keyOf(t, it))] = it
	}
	counts := sh.Counts()
	if want := sizes(items); counts.Items != want.Items || counts.ItemBytes != want.Bytes {
		t.Errorf("shard %d: got %d items of %d bytes counted; want %+v", sh.id, counts.Items, counts.ItemBytes, want)
	}
	for _, x := range schema.Indexes {
		want := entriesOf(items, schema, x.ID)
		if got := sortedItems(all(t, sh, Span{Index: x.ID})); !slices.EqualFunc(got, want, item.Item.Equal) {
			t.Errorf("shard %d, index %d: got %v; want %v", sh.id, x.ID, got, want)
		}
		count := Count{Items: int64(len(want))}
		for _, entry := range want {
			count.Bytes += int64(entry.Size())
		}
		if got := counts.Indexes[x.ID]; got != count {
			t.Errorf("shard %d, index %d: got %+v counted; want %+v", sh.id, x.ID, got, count)
		}
	}
}
