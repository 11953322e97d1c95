package shard

import (
	"sync"
	"sync/atomic"
)

// A gate counts the calls that are under way, until it is shut.
type gate struct {
	calls atomic.Int64 // and shut
	once  sync.Once
	idle  chan struct{} // closed once it is shut and no call is under way
}

// shut is added to the number of calls when no more may begin.
const shut = 1 << 62

func (g *gate) enter() error {
	if g.calls.Add(1)&shut != 0 {
		g.leave()
		return errClosed()
	}
	return nil
}

func (g *gate) leave() {
	if g.calls.Add(-1) == shut {
		g.once.Do(func() { close(g.idle) })
	}
}

// shut lets no more calls in, and waits for those under way. It returns false if that was done before.
func (g *gate) shut() bool {
	if g.calls.Or(shut)&shut != 0 {
		return false
	}
	g.calls.Add(1)
	g.leave()
	<-g.idle
	return true
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
