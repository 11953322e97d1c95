package shard

import (
	"sync"
	"sync/atomic"
)

// A gate counts the calls in progress. Once it is shut, no call enters.
type gate struct {
	calls atomic.Int64 // in progress; plus shut, once it is shut
	once  sync.Once
	idle  chan struct{} // closed once it is shut and no call is in progress
}

// shut is added to the number of calls when no more may enter.
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

// shut lets no more calls in, and waits for those in progress. It returns false if the gate was
// shut before.
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
