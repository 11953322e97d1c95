package table

import (
	"sync"
	"time"
)

// burst is how much unused throughput a bucket keeps: that of the last five minutes, as DynamoDB does.
const burst = 300 * time.Second

// A bucket is provisioned throughput. It fills with its units a second up to what burst holds, and may be overdrawn by one
// request, since what a request costs is known only when it is done: the ones behind it wait until the debt is paid.
// A nil bucket has no bound.
type bucket struct {
	unitsPerSecond float64
	capacity       float64

	mu    sync.Mutex // guards what follows; nothing is taken while it is held
	units float64
	at    time.Time // when units was true
}

// newBucket returns a full bucket. A rate of 0 or less is no bound: nil.
func newBucket(unitsPerSecond int64, now time.Time) *bucket {
	if unitsPerSecond <= 0 {
		return nil
	}
	capacity := float64(unitsPerSecond) * burst.Seconds()
	return &bucket{unitsPerSecond: float64(unitsPerSecond), capacity: capacity, units: capacity, at: now}
}

// ready says whether the bucket has anything left at now.
func (b *bucket) ready(now time.Time) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	return b.units > 0
}

// spend takes what a request that was let in has consumed.
func (b *bucket) spend(units float64, now time.Time) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	b.units -= units
}

func (b *bucket) fill(now time.Time) {
	if passed := now.Sub(b.at); passed > 0 {
		b.units = min(b.capacity, b.units+passed.Seconds()*b.unitsPerSecond)
		b.at = now
	}
}
