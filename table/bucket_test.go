package table

import (
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	b := newBucket(10, at)
	steps := []struct {
		after time.Duration
		spend float64
		ready bool // before it is spent
	}{
		{0, 2999, true}, // full: five minutes' worth
		{0, 1, true},
		{0, 0, false},
		{100 * time.Millisecond, 21, true}, // one unit came, and may be overdrawn
		{time.Second, 0, false},            // 10 of 20
		{time.Second, 0, false},            // all paid, nothing left
		{time.Second, 0, true},
		{time.Hour, 3000, true}, // no more than five minutes' worth
		{0, 0, false},
	}
	for i, step := range steps {
		at = at.Add(step.after)
		if got := b.ready(at); got != step.ready {
			t.Errorf("step %d: ready: got %v; want %v", i, got, step.ready)
		}
		b.spend(step.spend, at)
	}
}

func TestBucketWithoutBound(t *testing.T) {
	for _, units := range []int64{0, -1} {
		b := newBucket(units, time.Now())
		b.spend(1e12, time.Now())
		if !b.ready(time.Now()) {
			t.Errorf("a bucket of %d units: got not ready; want no bound", units)
		}
	}
}
