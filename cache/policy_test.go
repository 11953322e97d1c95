package cache

import (
	"math"
	"math/rand/v2"
	"testing"

	"holdfast/mc"
)

// sizes are the capacities of caches in items, as shares of a trace's distinct keys.
var sizes = []float64{0.005, 0.016, 0.05, 0.16, 0.50}

const (
	// agreement is how far the store's misses may differ from the simulation's, relative to them.
	agreement = 0.02
	// mostToPeer is the largest ratio of the store's misses to those of memcached's policy.
	mostToPeer = 1.04
)

// TestHitsOfPolicy plays a synthetic trace into the store, and compares its misses with those of
// the simulation with as many items.
func TestHitsOfPolicy(t *testing.T) {
	requests := 400_000
	if testing.Short() {
		requests = 30_000
	}
	checkPolicy(t, objectTrace(1, requests))
}

// checkPolicy plays keys, which are numbers from 0, into a store of each size.
func checkPolicy(t *testing.T, keys []uint32) {
	t.Helper()
	distinct := 0
	for _, key := range keys {
		distinct = max(distinct, int(key)+1)
	}
	for _, share := range sizes {
		p := playerFor(t, share*float64(distinct))
		got, items := p.play(keys), p.meanItems()
		policy := misses(newS3FIFO(distinct, items), keys)
		peer := misses(newSlabLRU(distinct, items), keys)
		t.Logf("%4.1f %% of %d keys, values of %d bytes, %d items: store %.2f %%, policy %.2f %%, memcached's policy %.2f %%",
			100*share, distinct, len(p.value), items, 100*got, 100*policy, 100*peer)
		if math.Abs(got/policy-1) > agreement {
			t.Errorf("%.1f %% of the keys: %.3f %% of the requests miss; want %.3f %%, as in the simulation",
				100*share, 100*got, 100*policy)
		}
		if got > mostToPeer*peer {
			t.Errorf("%.1f %% of the keys: %.3f %% miss; want %.3f %% at most, which is memcached's and 4 %% more",
				100*share, 100*got, 100*mostToPeer*peer)
		}
	}
}

// objectTrace imitates the traffic of a web application's database objects: some objects are always
// popular, by a Zipf distribution; sessions read a few objects of their own often within a short
// time, and then never again; and jobs read a whole table once. Keys are numbered in order of
// appearance.
func objectTrace(seed uint64, requests int) []uint32 {
	const (
		popular      = 20_000 // objects
		skew         = 1.1
		sessions     = 300 // at a time
		sessionKeys  = 8
		sessionReads = 40
		rows         = 5_000 // of the table that a job reads
	)
	rng := rand.New(rand.NewPCG(seed, 0))
	zipf := rand.NewZipf(rng, skew, 10, popular-1)
	type session struct{ first, reads uint64 }
	active := make([]session, sessions)
	fresh, row := uint64(popular+rows), uint64(0)
	numbers := map[uint64]uint32{}
	keys := make([]uint32, requests)
	for i := range keys {
		var key uint64
		switch n := rng.IntN(100); {
		case n < 60:
			key = zipf.Uint64()
		case n < 90:
			s := &active[rng.IntN(sessions)]
			if s.reads == 0 {
				*s = session{fresh, sessionReads}
				fresh += sessionKeys
			}
			s.reads--
			key = s.first + rng.Uint64N(sessionKeys)
		default:
			key = popular + row%rows
			row++
		}
		number, ok := numbers[key]
		if !ok {
			number = uint32(len(numbers))
			numbers[key] = number
		}
		keys[i] = number
	}
	return keys
}

// A player requests keys as an application does: a get, and after a miss a set.
type player struct {
	store *Store
	batch *mc.Batch
	key   [20]byte
	value []byte

	sum, samples float64 // of the items held since evictions began
}

// playerFor returns a player for a store that holds about this many items. Values are so large that
// the memory has a few megabytes at least; with less, there are too few segments for a policy.
func playerFor(t *testing.T, items float64) *player {
	const leastBytes, overheadBytes = 3 << 20, 60
	value := 1000
	for items*float64(value+overheadBytes) < leastBytes {
		value *= 2
	}
	s := openStore(t, Options{MemoryBytes: int64(items*float64(value+overheadBytes)*1.05) + 2*minSegmentBytes,
		Seed: 1, Now: newFakeClock().now})
	return &player{store: s, batch: mc.NewBatch(func(*mc.Batch) {}), value: make([]byte, value)}
}

// play plays keys and returns the share of requests that miss.
func (p *player) play(keys []uint32) float64 {
	missed := 0
	copy(p.key[:], "key-0000000000000000")
	for i, key := range keys {
		for at, n := len(p.key)-1, key; at > 3; at, n = at-1, n/10 {
			p.key[at] = byte('0' + n%10)
		}
		if p.request(mc.Request{Op: mc.Get, Key: p.key[:]}) == 0 {
			missed++
			p.request(mc.Request{Op: mc.Set, Key: p.key[:], Value: p.value})
		}
		if i%64 == 0 && p.store.evictor.losses.EvictedRead+p.store.evictor.losses.EvictedUnread > 0 {
			p.sum += float64(p.store.index.items.Load())
			p.samples++
		}
	}
	return float64(missed) / float64(len(keys))
}

// request serves r and returns the length of the answer without a large value.
func (p *player) request(r mc.Request) int {
	p.batch.Requests = append(p.batch.Requests[:0], r)
	p.batch.Next = 0
	p.batch.ResetOut()
	p.store.Serve(p.batch)
	for _, pin := range p.batch.Pinned {
		pin.Release()
	}
	return len(p.batch.Out)
}

// meanItems returns the mean number of items in the store since it was full.
func (p *player) meanItems() int {
	if p.samples == 0 {
		return int(p.store.index.items.Load())
	}
	return int(p.sum/p.samples + 0.5)
}

// TestGhostsAreAsManyAsItems: there is space for about as many ghosts as items, for any size of a
// chunk.
func TestGhostsAreAsManyAsItems(t *testing.T) {
	for _, items := range []float64{300, 3000} {
		p := playerFor(t, items)
		p.play(objectTrace(3, 40_000))
		ghosts, held := p.store.evictor.ghosts.state.sets*ghostWays, float64(p.store.index.items.Load())
		if low, high := 0.8*held, 1.2*held; float64(ghosts) < low || float64(ghosts) > high {
			t.Errorf("space for %d ghosts; want %.0f to %.0f", ghosts, low, high)
		}
	}
}

// TestGhostSet: a set is a queue of 32 fingerprints, each of which is found once.
func TestGhostSet(t *testing.T) {
	s := openStore(t, Options{MemoryBytes: 1 << 20, Seed: 1})
	s.segments.mu.Lock()
	defer s.segments.mu.Unlock()
	s.index.items.Store(ghostWays) // one set
	s.evictor.ghosts.resize(uint64(s.index.items.Load()))
	s.index.items.Store(0)
	hash := func(i int) uint64 { return uint64(i) << 48 }
	for n := 1; n <= 2*ghostWays; n++ {
		for i := 0; i <= n; i++ { // 0 and 1 have one fingerprint
			s.evictor.ghosts.add(hash(i))
		}
		for i := n; i > 1; i-- {
			if got, want := s.evictor.ghosts.take(hash(i)), i > n-ghostWays; got != want {
				t.Fatalf("ghost %d of %d: found %v; want %v", i, n, got, want)
			}
			if s.evictor.ghosts.take(hash(i)) {
				t.Fatalf("ghost %d of %d: found twice", i, n)
			}
		}
		for range 2 * ghostWays { // take what is left in the queue
			s.evictor.ghosts.take(hash(1))
		}
	}
}
