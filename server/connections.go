package server

import (
	"sync"
	"sync/atomic"
	"time"

	"holdfast/loop"
)

// connections counts those that are open. Over the maximum it refuses new ones, or pauses the
// listeners, so that new ones wait in the backlog. Its methods may be called from any goroutine.
type connections struct {
	max   int64
	pause bool // Options.WaitOverMax

	open     atomic.Int64
	total    atomic.Int64
	rejected atomic.Int64
	draining atomic.Bool
	emptied  chan struct{} // closed when no connection is left while draining

	pauses atomic.Int64 // how often the listeners were paused

	mu        sync.Mutex // guards what follows, and the closing of emptied
	acceptors []loop.Acceptor
	paused    bool
	since     time.Time     // when paused became true
	pausedFor time.Duration // in all, before since
}

func newConnections(o *Options) *connections {
	return &connections{max: int64(o.MaxConnections), pause: o.WaitOverMax, emptied: make(chan struct{})}
}

// add has a listener paused together with the others.
func (c *connections) add(a loop.Acceptor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acceptors = append(c.acceptors, a)
	if c.paused {
		a.Pause()
	}
}

// admit counts a connection in. It returns false, and doesn't count it, if there are too many.
func (c *connections) admit() bool {
	n := c.open.Add(1)
	if n > c.max && !c.pause {
		c.rejected.Add(1)
		c.leave()
		return false
	}
	c.total.Add(1)
	if n >= c.max && c.pause {
		c.pauseListeners()
	}
	return true
}

// leave counts a connection out.
func (c *connections) leave() {
	n := c.open.Add(-1)
	if n == 0 && c.draining.Load() {
		c.empty()
	}
	if c.pause && n < c.max {
		c.resumeListeners()
	}
}

// empty closes emptied, once.
func (c *connections) empty() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.emptied:
	default:
		close(c.emptied)
	}
}

func (c *connections) pauseListeners() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused {
		return
	}
	c.paused = true
	c.since = time.Now()
	c.pauses.Add(1)
	for _, a := range c.acceptors {
		a.Pause()
	}
}

func (c *connections) resumeListeners() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.paused || c.draining.Load() {
		return
	}
	c.paused = false
	c.pausedFor += time.Since(c.since)
	for _, a := range c.acceptors {
		a.Resume()
	}
}

// accepting is 1, or 0 while the listeners are paused.
func (c *connections) accepting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused {
		return 0
	}
	return 1
}

// pausedTime is how long the listeners were paused in all, without a pause that lasts.
func (c *connections) pausedTime() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pausedFor
}
