package router

import (
	"sync"
	"time"

	"holdfast/mc"
)

// delayedFlushes are the flushes with a delay of pools whose members have journals, or that are
// filled from others. Each member gets the flush_all with its delay too. But it flushes by its own
// clock, and not at all if it is restarted or comes back before the delay has passed. Then:
//
//  1. Member C is down. flush_all 60 is acknowledged, and C is flushed when it comes back, at once.
//  2. A set of k goes to A, B and C.
//  3. After the 60 seconds A and B lose k. Reads of k at C find it, as does a copy from C to A.
//
// So after the delay the router flushes the pool itself, in order with its writes and copies. A
// router that is restarted before that doesn't.
type delayedFlushes struct {
	mu     sync.Mutex             // guards timers
	timers map[string]func() bool // the flushes to come, by what stops them
}

// set flushes the pool after delay, instead of at the time that was set before. 0 only cancels
// that.
func (f *delayedFlushes) set(r *Router, pool string, delay time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if stop := f.timers[pool]; stop != nil {
		stop()
		delete(f.timers, pool)
	}
	if delay <= 0 {
		return
	}
	if f.timers == nil {
		f.timers = map[string]func() bool{}
	}
	f.timers[pool] = r.clock.AfterFunc(delay, func() { r.flushPool(pool) })
}

// stop cancels all flushes.
func (f *delayedFlushes) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, stop := range f.timers {
		stop()
	}
}

// flushPool flushes the pool of this name in the current tree, if there is one.
func (r *Router) flushPool(name string) {
	l := r.lanes[0]
	l.loop.Post(func() {
		l.Enter(func() {
			t := r.tree.Load()
			for _, p := range t.pools {
				if p.options.Name == name {
					request := &mc.Request{Op: mc.FlushAll}
					t.flushing(forwardFunc(p.flush)).forward(l, &query{request: request, taker: discard{}})
				}
			}
		})
	})
}

// flushDelay returns the delay of a flush_all; 0 if it is due now.
func flushDelay(r *mc.Request, now time.Time) time.Duration {
	switch {
	case !r.HasExptime || r.Exptime <= 0:
		return 0
	case r.Exptime > maxRelative:
		return time.Unix(r.Exptime, 0).Sub(now)
	}
	return time.Duration(r.Exptime) * time.Second
}
