package server

import (
	"sync"
	"sync/atomic"
	"time"

	"holdfast/loop"
)

// A lane is an event loop with its connections and what they need in turn.
type lane struct {
	server *Server
	loop   *loop.Loop
	index  int

	bytesRead    atomic.Int64
	bytesWritten atomic.Int64
	yields       atomic.Int64
	idleKicks    atomic.Int64

	mu    sync.Mutex // guards conns and works; connections with TLS share the lane from their goroutines
	conns map[*conn]struct{}
	works []*work // free ones

	_ [64]byte // lanes don't share a cache line
}

// What a lane keeps for the next batch.
const (
	spareWorks    = 16
	spareOutBytes = 1 << 20 // answers with a larger buffer leave it to the garbage collector
)

func newLane(s *Server, index int) (*lane, error) {
	l, err := loop.New()
	if err != nil {
		return nil, err
	}
	return &lane{server: s, loop: l, index: index, conns: map[*conn]struct{}{}}, nil
}

// takeWork gives c what it needs to answer.
func (l *lane) takeWork(c *conn) *work {
	l.mu.Lock()
	var w *work
	if last := len(l.works) - 1; last >= 0 {
		w = l.works[last]
		l.works = l.works[:last]
	}
	l.mu.Unlock()
	if w == nil {
		w = newWork(l.index)
	}
	w.conn = c
	w.written, w.answers = 0, 0
	w.batch.Conn = c.stream.FD()
	return w
}

// putWork takes it back; its answers have been released.
func (l *lane) putWork(w *work) {
	w.batch.Reset()
	w.conn = nil
	w.state.Store(idle)
	w.dump = dump{}
	if cap(w.batch.Out) > spareOutBytes {
		w.batch.Out = nil
	}
	l.mu.Lock()
	if len(l.works) < spareWorks {
		l.works = append(l.works, w)
	}
	l.mu.Unlock()
}

func (l *lane) add(c *conn) {
	l.mu.Lock()
	l.conns[c] = struct{}{}
	l.mu.Unlock()
}

func (l *lane) remove(c *conn) {
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

// each calls f with every connection; f may not open or close any.
func (l *lane) each(f func(*conn)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		f(c)
	}
}

// How often a lane looks for connections that have waited too long.
const (
	sweepShare = 4 // the shortest time-out is exceeded by at most one of so many parts
	sweepMax   = 5 * time.Second
	sweepMin   = 5 * time.Millisecond
)

// sweepLater sets the next sweep. Connections have no timers of their own: thousands of them would
// each move in a heap with every request.
func (l *lane) sweepLater() {
	shortest := l.server.options.StallTimeout
	if idle := l.server.options.IdleTimeout; idle > 0 {
		shortest = min(shortest, idle)
	}
	l.loop.After(max(sweepMin, min(shortest/sweepShare, sweepMax)), func() {
		l.sweep(time.Now().UnixNano())
		l.sweepLater()
	})
}

func (l *lane) sweep(now int64) {
	l.each(func(c *conn) {
		if c.expired(now) {
			c.stream.Post(func() { c.expire(now) })
		}
	})
}

// expired reports whether c has waited too long for its client.
func (c *conn) expired(now int64) bool {
	waited := time.Duration(now - c.active.Load())
	idle := c.server.options.IdleTimeout
	switch c.phase.Load() {
	case phaseIdle:
		return idle > 0 && waited > idle
	case phasePartial:
		return waited > c.server.options.StallTimeout || idle > 0 && waited > idle
	case phaseWriting:
		return waited > c.server.options.StallTimeout
	}
	return false
}

// expire closes c if it has not moved since it was found expired.
func (c *conn) expire(now int64) {
	if c.closed || !c.expired(now) {
		return
	}
	if c.phase.Load() == phaseWriting {
		c.close(closeError)
		return
	}
	c.lane.idleKicks.Add(1)
	c.close(closeIdle)
}
