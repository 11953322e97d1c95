package index

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// A watermark is a transaction's index that only rises, with the goroutines that wait for it.
type watermark struct {
	at   atomic.Uint64
	mu   sync.Mutex
	rise chan struct{} // closed at the next rise; nil if nobody waits; guarded by mu
}

func (w *watermark) load() uint64 { return w.at.Load() }

func (w *watermark) reached(index uint64) bool { return w.at.Load() >= index }

// raise sets the watermark to at least index.
func (w *watermark) raise(index uint64) {
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

// rises returns a channel that is closed at the next rise, or nil if the watermark is at index.
func (w *watermark) rises(index uint64) <-chan struct{} {
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

// Lags counts how long changes took to be applied, in buckets whose bounds rise by a half or a
// third.
type lags struct {
	buckets [2 * 64]atomic.Uint64
}

// add counts n changes. Their lag is that of the oldest.
func (g *lags) add(lag time.Duration, n int) {
	g.buckets[bucketOf(lag)].Add(uint64(n))
}

// bucketOf returns the bucket of a lag: two for each power of two.
func bucketOf(lag time.Duration) int {
	v := uint64(max(lag, 1))
	n := bits.Len64(v) - 1
	if n == 0 {
		return 0
	}
	return 2*n + int(v>>(n-1)&1)
}

// upperOf returns the upper bound of a bucket.
func upperOf(bucket int) time.Duration {
	n, half := bucket/2, bucket%2
	if n == 0 {
		return 2
	}
	return time.Duration(uint64(2+half+1) << (n - 1))
}

// quantiles returns the median and the 99th percentile, rounded up to a bucket's bound, and how
// many changes there were.
func (g *lags) quantiles() (p50, p99 time.Duration, n uint64) {
	var counts [len(g.buckets)]uint64
	for i := range g.buckets {
		counts[i] = g.buckets[i].Load()
		n += counts[i]
	}
	below := uint64(0)
	for i, count := range counts {
		if below <= n/2 && below+count > n/2 {
			p50 = upperOf(i)
		}
		if below <= n*99/100 && below+count > n*99/100 {
			p99 = upperOf(i)
		}
		below += count
	}
	return p50, p99, n
}
