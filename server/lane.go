package server

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/loop"
	"holdfast/mc"
)

// A lane is an event loop with its connections, and what they need while they are served.
type lane struct {
	server *Server
	loop   *loop.Loop
	index  int

	bytesRead    atomic.Int64
	bytesWritten atomic.Int64
	yields       atomic.Int64
	idleKicks    atomic.Int64

	works   []*work     // free ones, for connections on the loop
	spare   int         // bytes of their buffers
	group   []*conn     // whose batches serveGroup serves
	batches []*mc.Batch // those, while it does

	mu    sync.Mutex // guards conns; connections with TLS share the lane from their goroutines
	conns map[*conn]struct{}

	_ [64]byte // lanes don't share a cache line
}

// What a lane keeps for the next batch.
const (
	spareWorks    = 512
	spareBytes    = 16 << 20
	spareOutBytes = 1 << 20 // answers with a larger buffer leave it to the garbage collector
)

func newLane(s *Server, index int) (*lane, error) {
	l, err := loop.New()
	if err != nil {
		return nil, err
	}
	lane := &lane{server: s, loop: l, index: index, conns: map[*conn]struct{}{}}
	if s.optional.prefetcher != nil {
		l.Grouped(lane.serveGroup)
	}
	return lane, nil
}

// takeWork gives c what it needs to answer.
func (l *lane) takeWork(c *conn) *work {
	var w *work
	if last := len(l.works) - 1; c.grouped && last >= 0 {
		w = l.works[last]
		l.works = l.works[:last]
		l.spare -= w.bytes()
	} else if !c.grouped {
		w, _ = l.server.works.Get().(*work)
	}
	if w == nil {
		w = newWork()
	}
	w.conn = c
	w.written, w.answers = 0, 0
	w.batch.Binary = c.dialect.binary != nil
	w.batch.Lane, w.batch.OnLoop, w.batch.Entry, w.batch.Conn = l.index, c.grouped, c.entry, c.stream.FD()
	return w
}

// putWork takes w back; its answers have been released.
func (l *lane) putWork(w *work) {
	grouped := w.conn.grouped
	w.batch.Reset()
	w.batch.Carry = w.batch.Carry[:0]
	w.conn = nil
	w.dump = dump{}
	if cap(w.batch.Out) > spareOutBytes {
		w.batch.Out = nil
	}
	switch {
	case !grouped:
		l.server.works.Put(w)
	case len(l.works) < spareWorks && l.spare+w.bytes() <= spareBytes:
		l.works = append(l.works, w)
		l.spare += w.bytes()
	}
}

// smallBatch is the largest batch that waits for others, so that their accesses to memory overlap.
// A larger batch has enough accesses of its own.
const smallBatch = 4

// putOff leaves c's batch to serveGroup, if it is worth that, and reports whether it did.
func (l *lane) putOff(c *conn) bool {
	requests := c.work.batch.Requests
	if l.server.optional.prefetcher == nil || !c.grouped ||
		len(requests) == 0 || len(requests) > smallBatch || requests[0].Op.Admin() {
		return false
	}
	l.group = append(l.group, c)
	return true
}

// serveGroup serves the batches that were put off.
func (l *lane) serveGroup() {
	if len(l.group) > 1 {
		l.batches = l.batches[:0]
		for _, c := range l.group {
			l.batches = append(l.batches, c.work.batch)
		}
		l.server.optional.prefetcher.Prefetch(l.batches)
	}
	for i, c := range l.group {
		l.group[i] = nil
		c.proceed()
	}
	l.group = l.group[:0]
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

// How often a lane checks for connections that have waited too long.
const (
	sweepShare = 4 // the shortest time-out is exceeded by at most one of so many parts
	sweepMax   = time.Second
	sweepMin   = 5 * time.Millisecond
)

// shortStall takes the place of Options.StallTimeout for connections that read nothing, when more
// answers wait than Options.WaitingBytes, and for requests that come in part: see shed.
const shortStall = time.Second

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
			if c.phase.Load() == phaseWriting {
				c.stream.Abort() // a Write that waits keeps expire from coming
			}
			c.stream.Post(func() { c.expire(now) })
		}
	})
	l.shed(now)
}

// shed gives up requests that have been incomplete for long, the oldest first, while all of them
// together hold more than half of their limit: the other half is for requests that arrive at the
// speed of a network. Otherwise some dozens of clients that each send half of a large set could
// keep others from setting theirs for StallTimeout, or for ever if they send another byte now and
// then.
func (l *lane) shed(now int64) {
	over := l.server.pending.bytes.Load() - l.server.pending.limit/2
	if over <= 0 {
		return
	}
	var old []*conn
	l.each(func(c *conn) {
		if c.incomplete(now) {
			old = append(old, c)
		}
	})
	slices.SortFunc(old, func(a, b *conn) int { return cmp.Compare(a.in.since.Load(), b.in.since.Load()) })
	for _, c := range old {
		if over <= 0 {
			return
		}
		over -= c.in.held.Load()
		c.stream.Post(func() {
			if !c.closed && c.incomplete(now) {
				c.server.pending.refused.Add(1)
				c.giveUp(answerNoMemory)
			}
		})
	}
}

// incomplete reports whether a large request of c has been coming in for more than shortStall.
func (c *conn) incomplete(now int64) bool {
	return c.phase.Load() == phasePartial && c.in.held.Load() > 0 && time.Duration(now-c.in.since.Load()) > shortStall
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
		return waited > c.server.stallTimeout()
	}
	return false
}

// stallTimeout is how long a client may read nothing of its answers.
func (s *Server) stallTimeout() time.Duration {
	if s.waitingBytes.Load() > s.options.WaitingBytes {
		return min(shortStall, s.options.StallTimeout)
	}
	return s.options.StallTimeout
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
	if c.phase.Load() == phasePartial {
		c.giveUp(answerTooSlow)
		return
	}
	c.close(closeIdle)
}
