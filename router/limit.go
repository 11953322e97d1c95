package router

import (
	"cmp"
	"sync"
	"time"

	"holdfast/mc"
	"holdfast/route"
	"holdfast/upstream"
)

// A bucket of tokens is filled at a rate, up to its burst. The caller chooses the unit of time,
// which must not decrease: seconds, or requests.
type bucket struct {
	rate, burst float64

	mu     sync.Mutex // guards what follows
	tokens float64
	at     float64 // the time up to which it is filled
}

func newBucket(rate, burst float64) *bucket { return &bucket{rate: rate, burst: burst, tokens: burst} }

// spend takes a token, and reports whether there was one.
func (b *bucket) spend(at float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at > b.at {
		b.tokens = min(b.burst, b.tokens+(at-b.at)*b.rate)
		b.at = at
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// A class is a group of operations that limits and policies distinguish, as mcrouter does.
type class uint8

const (
	classRead class = iota
	classUpdate
	classDelete
	classOther // touch, incr, decr and the like
	classes
)

func classOf(op mc.Op) class {
	switch op {
	case mc.Get, mc.Gets, mc.Gat, mc.Gats, mc.MetaGet, mc.MetaDebug:
		return classRead
	case mc.Set, mc.Add, mc.Replace, mc.Append, mc.Prepend, mc.CAS, mc.MetaSet:
		return classUpdate
	case mc.Delete, mc.MetaDelete:
		return classDelete
	}
	return classOther
}

// rateLimit refuses requests of a class above its rate, over all lanes.
type rateLimit struct {
	target  forwarder
	buckets [classes]*bucket // nil is no limit
	clock   clock
}

func newRateLimit(target forwarder, r route.Rates, c clock) *rateLimit {
	limit := &rateLimit{target: target, clock: c}
	for class, l := range map[class][2]float64{
		classRead: {r.Gets, r.GetsBurst}, classUpdate: {r.Sets, r.SetsBurst}, classDelete: {r.Deletes, r.DeletesBurst},
	} {
		if rate, burst := l[0], l[1]; rate > 0 {
			limit.buckets[class] = newBucket(rate, max(1, cmp.Or(burst, rate)))
		}
	}
	return limit
}

func (r *rateLimit) forward(l *lane, q *query) {
	if b := r.buckets[classOf(q.request.Op)]; b != nil && !b.spend(r.clock.seconds()) {
		q.fail(l, upstream.Busy, "too many requests")
		return
	}
	r.target.forward(l, q)
}

// A clock returns the time since a fixed point in time, and never goes back.
type clock func() time.Duration

func newClock(now func() time.Time, start time.Time) clock {
	return func() time.Duration { return now().Sub(start) }
}

func (c clock) seconds() float64 { return c().Seconds() }

// outstandingLimit limits how many requests are in flight at once, over all lanes. Others wait for
// their turn. The number of waiting requests is bounded by what the clients' connections may have
// in flight.
type outstandingLimit struct {
	target forwarder
	limit  int

	mu      sync.Mutex // guards what follows; nothing is locked with it
	open    int
	waiting []waiting
}

// A waiting is a function that is called later, on its lane.
type waiting struct {
	lane *lane
	run  func()
}

// post calls run on the lane, soon. Any goroutine may call it.
func (w waiting) post() { w.lane.loop.Post(func() { w.lane.Enter(w.run) }) }

func (o *outstandingLimit) forward(l *lane, q *query) {
	o.mu.Lock()
	if o.open >= o.limit {
		o.waiting = append(o.waiting, waiting{l, func() { o.send(l, q) }})
		o.mu.Unlock()
		return
	}
	o.open++
	o.mu.Unlock()
	o.send(l, q)
}

// send forwards a request that is counted in open.
func (o *outstandingLimit) send(l *lane, q *query) {
	s := &outstanding{outer: q, limit: o}
	s.request, s.taker = q.request, s
	o.target.forward(l, &s.query)
}

// An outstanding is a query that is counted by its limit until it is answered.
type outstanding struct {
	query
	outer *query
	limit *outstandingLimit
}

func (s *outstanding) take(l *lane, _ *query, a *upstream.Answer) {
	s.limit.leave()
	s.outer.taker.take(l, s.outer, a)
}

// leave ends a request, and sends the one that has waited longest.
func (o *outstandingLimit) leave() {
	o.mu.Lock()
	if len(o.waiting) == 0 {
		o.open--
		o.mu.Unlock()
		return
	}
	next := o.waiting[0]
	o.waiting = o.waiting[1:]
	o.mu.Unlock()
	next.post()
}
