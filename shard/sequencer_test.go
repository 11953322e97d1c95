package shard

import (
	"context"
	"errors"
	"math/rand/v2"
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
			q.engine = &engine{broken: make(chan struct{})}
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
			for _, index := range rng.Perm(highest + 1) { // later syncs may be acknowledged first
				q.durable.raise(uint64(index))
				durable = max(durable, uint64(index))
				synctest.Wait()
				if late := rng.Uint64N(highest + 1); (q.durable.rises(late) == nil) != (late <= durable) {
					t.Fatalf("durable %d: got a late wait for %d over: %t", durable, late, late > durable)
				}
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
		q.engine = &engine{broken: broken}
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

// A gate lets no call in once it is shut, and shut returns when the last one has left.
func TestGateWaitsForCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{idle: make(chan struct{})}
		for range 2 {
			if err := g.enter(); err != nil {
				t.Fatal(err)
			}
		}
		var shut atomic.Bool
		go func() {
			if !g.shut() {
				t.Error("got a gate that was shut before")
			}
			shut.Store(true)
		}()
		for range 2 {
			synctest.Wait()
			if shut.Load() {
				t.Error("got shut back with a call within")
			}
			if err := g.enter(); !errors.Is(err, holdfast.Closed) {
				t.Errorf("got %v; want closed", err)
			}
			g.leave()
		}
		synctest.Wait()
		if !shut.Load() {
			t.Error("got shut waiting after the last call has left")
		}
		if g.shut() {
			t.Error("got the gate shut for the first time twice")
		}
	})
}
