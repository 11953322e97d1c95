package shard

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"holdfast"
)

// A wait ends when the durable watermark has reached its index, and not before, whatever the order
// of the waits and of the syncs.
func TestWaitsForTheWatermark(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 3))
			var q sequencer
			q.broken = make(chan struct{})
			const highest = 30
			var done [highest + 1]atomic.Bool
			for _, index := range rng.Perm(highest + 1) {
				go func() {
					if err := q.waitDurable(context.Background(), uint64(index)); err != nil {
						t.Errorf("got %v; want none", err)
					}
					done[index].Store(true)
				}()
			}
			durable := uint64(0)
			for _, index := range rng.Perm(highest + 1) { // acknowledgements of later syncs may come first
				q.durable.raise(uint64(index))
				durable = max(durable, uint64(index))
				synctest.Wait()
				for i := range done {
					if got := done[i].Load(); got != (uint64(i) <= durable) {
						t.Fatalf("durable %d: got the wait for %d over: %t", durable, i, got)
					}
				}
			}
		})
	}
}

// A wait for what never becomes durable ends with its context, or when the engine is broken.
func TestWaitsThatEndOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q sequencer
		broken := make(chan struct{})
		q.broken = broken
		ctx, cancel := context.WithCancel(context.Background())
		var given, waiting error
		go func() { given = q.waitDurable(ctx, 1) }()
		go func() { waiting = q.waitDurable(context.Background(), 1) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		if !errors.Is(given, holdfast.Overloaded) || waiting != nil {
			t.Errorf("context ended: got %v, and %v of the other; want overloaded, and none yet", given, waiting)
		}
		close(broken)
		synctest.Wait()
		if !errors.Is(waiting, holdfast.Unavailable) {
			t.Errorf("broken: got %v; want unavailable", waiting)
		}
	})
}

// After a gate was shut no call is within, and none gets in.
func TestGateShutsOnce(t *testing.T) {
	g := gate{idle: make(chan struct{})}
	var within atomic.Int64
	var calls, shuts sync.WaitGroup
	for range 8 {
		calls.Go(func() {
			for g.enter() == nil {
				within.Add(1)
				within.Add(-1)
				g.leave()
			}
		})
	}
	var first atomic.Int64
	for range 3 {
		shuts.Go(func() {
			if g.shut() {
				first.Add(1)
				if n := within.Load(); n != 0 {
					t.Errorf("got %d calls within a gate that is shut", n)
				}
			}
			<-g.idle
		})
	}
	shuts.Wait()
	calls.Wait()
	if n := first.Load(); n != 1 {
		t.Errorf("got %d calls that shut the gate; want one", n)
	}
	if err := g.enter(); !errors.Is(err, holdfast.Closed) {
		t.Errorf("got %v; want closed", err)
	}
}
