package mrc

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestMatchesExactCurve compares the estimate with the exact LRU stack distances of all requests,
// at 1/4 to 4 times a memory size that holds a tenth of the bytes.
func TestMatchesExactCurve(t *testing.T) {
	keys, requests := 300_000, 600_000
	if testing.Short() {
		keys, requests = 100_000, 300_000
	}
	fixed := func(uint64) int { return 148 }
	spread := func(key uint64) int { return 64 << (mix(key) % 8) * (16 + int(mix(key)>>8%16)) / 16 }
	zipf := func(exponent float64) func(int, *rand.Rand) uint64 {
		draw := newZipf(exponent, keys)
		return func(_ int, r *rand.Rand) uint64 { return draw(r) }
	}
	var (
		uniform = func(_ int, r *rand.Rand) uint64 { return r.Uint64N(uint64(keys / 4)) }
		popular = zipf(0.9)
		loop    = func(i int, r *rand.Rand) uint64 { // a loop, a scan that never returns, and popular keys
			switch i % 4 {
			case 0:
				return 1<<32 + uint64(i/4)%uint64(keys/13)
			case 1:
				return 2<<32 + uint64(i)
			}
			return popular(i, r)
		}
		phases = func(i int, r *rand.Rand) uint64 { // other keys are popular after each tenth
			return uint64(i/(requests/10))<<32 + popular(i, r)
		}
	)
	for _, test := range []struct {
		name    string
		key     func(int, *rand.Rand) uint64
		size    func(uint64) int
		options Options
	}{
		{"zipf 0.7", zipf(0.7), fixed, Options{MaxRate: 1}},
		{"zipf 0.9", zipf(0.9), fixed, Options{MaxRate: 1}},
		{"zipf 1.1", zipf(1.1), fixed, Options{MaxRate: 1}},
		{"zipf 0.9, sizes 64 B to 16 KiB", zipf(0.9), spread, Options{MaxRate: 1}},
		{"uniform", uniform, fixed, Options{MaxRate: 1}},
		{"uniform, sizes 64 B to 16 KiB", uniform, spread, Options{MaxRate: 1}},
		{"zipf, scan and loop", loop, fixed, Options{MaxRate: 1}},
		{"zipf, scan and loop, sizes 64 B to 16 KiB", loop, spread, Options{MaxRate: 1}},
		{"changing keys", phases, fixed, Options{MaxRate: 1}},
		{"zipf 0.9 from 1 in 20", zipf(0.9), fixed, Options{MaxRate: 0.05}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			trace := make([]access, requests)
			for i := range trace {
				key := test.key(i, r)
				trace[i] = access{key, test.size(key)}
			}
			for _, bounded := range []bool{false, true} {
				checkTrace(t, trace, test.options, bounded, 0.02)
			}
		})
	}
}

// An access is a get and, on a miss, a set.
type access struct {
	key   uint64
	bytes int
}

// checkTrace fails the test if the estimate's mean absolute error is above the limit.
func checkTrace(t *testing.T, trace []access, o Options, bounded bool, limit float64) {
	t.Helper()
	exact := exactCurve(trace)
	base := exact.allBytes / 10
	var at []int64
	for eighths := int64(2); eighths <= 32; eighths += 2 {
		at = append(at, base*eighths/8)
	}
	if bounded {
		o.MaxBytes = 4 * base
	}
	var requests uint64
	o.Requests = func() uint64 { return requests }
	s := New(o)
	for i, a := range trace {
		requests++
		hash := mix(a.key)
		if !s.Sampled(hash) {
			continue
		}
		if exact.distances[i] <= base {
			s.Get(hash, a.bytes)
			continue
		}
		s.Get(hash, 0)
		s.Set(hash, a.bytes)
	}
	stats := s.Stats()
	if most := max(o.MaxKeys, defaultMaxKeys); stats.Keys > most {
		t.Errorf("the sample holds %d keys; want at most %d", stats.Keys, most)
	}
	var sum float64
	text := ""
	for _, p := range s.Curve(at) {
		want := exact.hitRatio(p.MemoryBytes)
		sum += math.Abs(p.HitRatio - want)
		text += fmt.Sprintf(" %.3f/%.3f", p.HitRatio, want)
	}
	mean := sum / float64(len(at))
	t.Logf("bounded %v: mean absolute error %.4f, rate %.4f, keys %d, sampled %d; got/want%s",
		bounded, mean, stats.Rate, stats.Keys, stats.SampledRequests, text)
	if mean > limit {
		t.Errorf("bounded %v: mean absolute error %.4f; want at most %.2f", bounded, mean, limit)
	}
}

func TestSampleStaysWithinMaxKeys(t *testing.T) {
	s := New(Options{MaxKeys: 100, MaxRate: 1})
	rate := 1.0
	for key := range uint64(100_000) {
		if hash := mix(key); s.Sampled(hash) {
			s.Set(hash, 100)
		}
		stats := s.Stats()
		if stats.Keys > 100 {
			t.Fatalf("after %d keys the sample holds %d; want at most 100", key+1, stats.Keys)
		}
		if stats.Rate > rate {
			t.Fatalf("after %d keys the rate rose from %v to %v", key+1, rate, stats.Rate)
		}
		rate = stats.Rate
	}
	if got := s.Stats(); got.Keys != 100 || math.Abs(got.Rate-0.001) > 0.0003 {
		t.Errorf("got %d keys at rate %v; want 100 at about 0.001", got.Keys, got.Rate)
	}
}

// With MaxBytes a stream of new keys removes old ones from the sample, rather than lower the rate.
func TestMaxBytesKeepsRate(t *testing.T) {
	s := New(Options{MaxKeys: 1000, MaxRate: 0.1, MaxBytes: 100 * 5000})
	for key := range uint64(1_000_000) {
		if hash := mix(key); s.Sampled(hash) {
			s.Get(hash, 0)
			s.Set(hash, 100)
		}
	}
	if got := s.Stats(); got.Rate < 0.0999 || got.Keys < 450 || got.Keys > 502 {
		t.Errorf("got %d keys at rate %v; want about 500 at 0.1", got.Keys, got.Rate)
	}
	if got := s.Curve([]int64{100 * 5000})[0].HitRatio; got != 0 {
		t.Errorf("hit ratio of keys that never return: got %v; want 0", got)
	}
}

func TestLargeItemIsAHitAtALowRate(t *testing.T) {
	s := New(Options{MaxRate: 0.01, MaxBytes: 1 << 20})
	const hash = 1 << 40
	s.Set(hash, 512<<10) // represents 50 MiB, and yet fits in 1 MiB
	s.Get(hash, 512<<10)
	if got := s.Curve([]int64{1 << 19, 1 << 20}); got[0].HitRatio > 0.01 || got[1].HitRatio != 1 {
		t.Errorf("got %v; want misses in 512 KiB, hits in 1 MiB", got)
	}
}

func TestSmallScripts(t *testing.T) {
	type script struct {
		name string
		do   func(s *Sampler)
		at   int64
		want float64
	}
	for _, test := range []script{
		{"nothing", func(s *Sampler) {}, 1000, 0},
		{"first use is a miss", func(s *Sampler) { s.Get(1, 100) }, 1000, 0},
		{"second use is a hit", func(s *Sampler) { s.Get(1, 100); s.Get(1, 100) }, 1000, 0.5},
		{"a miss without a set takes no memory", func(s *Sampler) { s.Get(1, 0); s.Get(1, 0) }, 1000, 0},
		{"a set is no request", func(s *Sampler) { s.Set(1, 100); s.Get(1, 100) }, 1000, 1},
		{"evicted from the cache, still in the sample", func(s *Sampler) { s.Set(1, 100); s.Get(1, 0) }, 1000, 1},
		{"too far down", func(s *Sampler) { s.Set(1, 100); s.Set(2, 950); s.Get(1, 0) }, 1000, 0},
		{"a larger memory reaches it", func(s *Sampler) { s.Set(1, 100); s.Set(2, 950); s.Get(1, 0) }, 1200, 1},
		{"a set renews the size", func(s *Sampler) { s.Set(1, 100); s.Set(2, 950); s.Set(2, 10); s.Get(1, 0) }, 1000, 1},
		{"deleted", func(s *Sampler) { s.Set(1, 100); s.Delete(1); s.Get(1, 0) }, 1000, 0},
		{"a deleted item weighs nothing", func(s *Sampler) {
			s.Set(1, 100)
			s.Set(2, 950)
			s.Delete(2)
			s.Get(1, 0)
		}, 1000, 1},
		{"all deleted", func(s *Sampler) { s.Set(1, 100); s.DeleteAll(); s.Set(2, 50); s.Get(1, 0) }, 1000, 0},
		{"deleting the unknown", func(s *Sampler) { s.Set(1, 100); s.Delete(2); s.Get(1, 0) }, 1000, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := New(Options{MaxRate: 1})
			test.do(s)
			if got := s.Curve([]int64{test.at})[0]; got != (Point{test.at, test.want}) {
				t.Errorf("got %v; want %v", got, Point{test.at, test.want})
			}
		})
	}
}

// The sample of even traffic has a fair share of the keys, so the correction is by chance alone.
func TestAdjustsEvenTraffic(t *testing.T) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 2))
		trace := make([]access, 200_000)
		for i := range trace {
			trace[i] = access{seed<<40 + r.Uint64N(100_000), 100}
		}
		checkTrace(t, trace, Options{MaxRate: 0.02}, false, 0.02)
	}
}

// The count of all requests corrects for a hot key outside the sample (SHARDS-adj).
func TestAdjustsForHotKeysOutsideTheSample(t *testing.T) {
	requests := uint64(0)
	s := New(Options{MaxRate: 0.25, Requests: func() uint64 { return requests }})
	const hot, cold = 1 << 63, 1 << 40
	for i := range uint64(1000) {
		requests += 4 // a hot key outside the sample, three times of four
		if s.Sampled(hot) {
			t.Fatal("the hot key is in the sample; want it outside")
		}
		if i%4 == 0 { // each key of the sample represents four
			s.Get(cold+i, 0)
		}
	}
	if got := s.Curve([]int64{1 << 20})[0].HitRatio; got < 0.7 || got > 0.75 {
		t.Errorf("got hit ratio %v; want nearly 0.75", got)
	}
}

func TestAgeingFollowsTraffic(t *testing.T) {
	requests := uint64(0)
	s := New(Options{MaxRate: 1, Window: 1000, Requests: func() uint64 { return requests }})
	for key := range uint64(5000) { // only misses
		requests++
		s.Get(mix(key), 0)
	}
	s.Set(7, 100)
	for range 10_000 { // only hits
		requests++
		s.Get(7, 100)
	}
	if got := s.Curve([]int64{1000})[0].HitRatio; got < 0.99 {
		t.Errorf("hit ratio after ten windows of hits: got %v; want nearly 1", got)
	}
}

func TestResetForgets(t *testing.T) {
	s := New(Options{MaxRate: 1, MaxKeys: 50})
	feed := func() []Point {
		r := rand.New(rand.NewPCG(5, 6))
		for range 5000 {
			hash := mix(r.Uint64N(200))
			s.Get(hash, 0)
			s.Set(hash, 100)
		}
		return s.Curve([]int64{1000, 5000, 20_000})
	}
	first := feed()
	s.Reset()
	if got := s.Stats(); got != (Stats{Rate: got.Rate}) || got.Rate < 0.999 {
		t.Errorf("after Reset: got %+v; want nothing sampled, at rate 1", got)
	}
	if again := feed(); !slices.Equal(first, again) {
		t.Errorf("the same traffic gave %v, and after Reset %v", first, again)
	}
}

func TestDefaults(t *testing.T) {
	s := New(Options{})
	if got := s.Stats().Rate; math.Abs(got-0.01) > 1e-9 {
		t.Errorf("rate: got %v; want 0.01", got)
	}
	if got := s.options.MaxKeys; got != 8192 {
		t.Errorf("MaxKeys: got %d; want 8192", got)
	}
}

func TestAllocatesNothing(t *testing.T) {
	s := New(Options{MaxKeys: 64, MaxRate: 1, MaxBytes: 20_000, Window: 100})
	r := rand.New(rand.NewPCG(3, 4))
	if n := testing.AllocsPerRun(10_000, func() {
		hash := mix(r.Uint64N(1000))
		if s.Sampled(hash) {
			s.Get(hash, 0)
			s.Set(hash, 100)
			s.Delete(mix(r.Uint64N(1000)))
		}
	}); n != 0 {
		t.Errorf("%v allocations per request; want none", n)
	}
}

func TestConcurrentUse(t *testing.T) {
	s := New(Options{MaxKeys: 64, MaxRate: 1})
	done := make(chan struct{})
	for g := range uint64(4) {
		go func() {
			defer func() { done <- struct{}{} }()
			r := rand.New(rand.NewPCG(g, 0))
			for range 5000 {
				if hash := mix(r.Uint64N(1000)); s.Sampled(hash) {
					s.Get(hash, 100)
					s.Delete(mix(r.Uint64N(1000)))
				}
			}
			s.Curve([]int64{1000})
			s.Stats()
		}()
	}
	for range 4 {
		<-done
	}
	if got := s.Stats().Keys; got > 64 {
		t.Errorf("the sample holds %d keys; want at most 64", got)
	}
}
