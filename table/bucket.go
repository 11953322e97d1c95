package table

import (
	"sync"
	"time"
)

// burst is how much unused throughput a bucket keeps: that of the last five minutes, as DynamoDB
// does.
const burst = 300 * time.Second

// A bucket is a token bucket of capacity units. It fills at its rate up to what burst holds. A
// request may overdraw it, since its cost is known only when it is done; later requests are refused
// until the debt is paid. A nil bucket has no limit.
type bucket struct {
	unitsPerSecond float64
	capacity       float64

	mu    sync.Mutex // guards what follows; no other lock is taken while it is held
	units float64
	at    time.Time // when units was true
}

// newBucket returns a full bucket. A rate of 0 or less is no limit: nil.
func newBucket(unitsPerSecond int64, now time.Time) *bucket {
	if unitsPerSecond <= 0 {
		return nil
	}
	capacity := float64(unitsPerSecond) * burst.Seconds()
	return &bucket{unitsPerSecond: float64(unitsPerSecond), capacity: capacity, units: capacity, at: now}
}

// ready reports whether the bucket has units left at now.
func (b *bucket) ready(now time.Time) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	return b.units > 0
}

// spend takes what an admitted request has consumed.
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
