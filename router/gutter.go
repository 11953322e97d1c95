package router

import (
	"fmt"
	"time"

	"holdfast/journal"
	"holdfast/mc"
	"holdfast/upstream"
)

// guttered is a sharded pool with a gutter: another pool, which takes the keys of members that are
// down, with short TTLs. Like a replicated pool it serves no value older than the last acknowledged
// write:
//
//  1. A member that fails a write goes down, and the key is added to its journal before the gutter
//     gets the write. So are the keys of the writes while it is down. It serves again once these
//     keys are deleted on it (outage).
//  2. Then the items in the gutter are no longer read, but they would be if the member went down
//     again soon. So for as long as those items may live, writes to the member also delete the key
//     in the gutter.
//  3. The gutter's members have journals too, for the writes that they fail.
//  4. Writes of one key are sent one after the other (latches), so that none reaches the gutter
//     after the delete of a later one.
type guttered struct {
	sharded
	gutter  func() forwarder // returns the route of the gutter, which may be built later
	ttl     time.Duration
	latches *latches
	id      uint64 // in the ledger
}

// gutterSlack is how much longer than its TTL an item may live, since memcached counts whole
// seconds.
const gutterSlack = 2 * time.Second

func (g *guttered) forward(l *lane, q *query) {
	m := g.members[g.ring.Owner(q.request.Key)]
	if intentOf(q.request) <= intentReadFirst {
		hash := keyHash(q.request.Key)
		wait := latched{lane: l, read: true, run: func() { g.read(l, m, q) }}
		// a write that waits may be of this read's client, sent before the read
		if !g.latches.busy(hash) || !g.latches.await(q.request.Key, hash, -1, wait) {
			g.read(l, m, q)
		}
		return
	}
	w := &gutterWrite{pool: g, owner: m, outer: q, asked: detach(q.request), hash: keyHash(q.request.Key)}
	if g.latches.acquire(w.asked.Key, w.hash, latched{lane: l, run: func() { w.begin(l) }}) {
		w.begin(l)
	}
}

// read asks the owner, or the gutter if the owner is down.
func (g *guttered) read(l *lane, m *member, q *query) {
	if !m.up() {
		g.gutter().forward(l, q)
		return
	}
	m.route.forward(l, &query{request: q.request, taker: gutterRead{g, q}})
}

// A gutterRead is a read from the owner, and from the gutter if the owner fails.
type gutterRead struct {
	pool  *guttered
	outer *query
}

func (r gutterRead) take(l *lane, _ *query, a *upstream.Answer) {
	if a.Result.Failed() {
		r.pool.gutter().forward(l, r.outer)
		return
	}
	r.outer.taker.take(l, r.outer, a)
}

// A gutterWrite is a write in flight to the owner of its key, or to the gutter.
type gutterWrite struct {
	query
	pool    *guttered
	owner   *member
	outer   *query
	asked   *mc.Request // a copy of the outer request that borrows nothing
	hash    uint64
	open    int // answers to come
	best    upstream.Answer
	refused bool // the owner has refused the write, and is sent a delete of the key

	noted       journal.Note // in the ledger, from before the write is sent until it ends
	unjournaled bool         // a journal could not store the key: the note stays
}

func (w *gutterWrite) begin(l *lane) {
	w.taker, w.request = w, w.asked
	w.open = 1
	w.noted = l.notes.Begin(w.pool.id, w.asked.Key)
	if w.clearsGutter() {
		w.open++
		clear := &query{request: deleteOf(w.asked), taker: takeFunc(
			func(l *lane, _ *query, _ *upstream.Answer) { w.finishPart(l) })}
		w.pool.gutter().forward(l, clear) // if it fails, the key is in the journal of the gutter's member
	}
	w.owner.route.forward(l, &w.query)
}

// clearsGutter reports whether the gutter may hold items from when the owner was down.
func (w *gutterWrite) clearsGutter() bool {
	d := w.owner.to
	return d != nil && d.Up() && d.UpFor() < w.pool.ttl+gutterSlack
}

// take takes the owner's answer.
func (w *gutterWrite) take(l *lane, _ *query, a *upstream.Answer) {
	switch {
	case w.refused && a.Result.Failed():
		w.missed(l, upstream.Closed, false)
	case w.refused:
		w.finishPart(l)
	case a.Result == upstream.ServerError: // the owner may hold the item from before
		w.keep(a)
		w.refused = true
		w.request = deleteOf(w.asked)
		w.owner.route.forward(l, &w.query)
	case a.Result.Failed():
		w.keep(a)
		// A write that depends on what is held isn't tried twice.
		w.missed(l, a.Result, a.Result.Unsent() || intentOf(w.asked) == intentWrite)
	default:
		w.keep(a)
		w.finishPart(l)
	}
}

// missed adds the key to the owner's journal, and then sends the write to the gutter if again is
// true.
func (w *gutterWrite) missed(l *lane, r upstream.Result, again bool) {
	owner := w.owner.to.Outage
	next := func(err error) {
		switch {
		case err != nil:
			w.unjournaled = true
			w.keep(&upstream.Answer{Result: upstream.ServerError, Wire: mc.AppendServerError(nil, err.Error())})
			w.finishPart(l)
		case again:
			capped := capExptime(w.asked, w.pool.ttl, l.router.now())
			w.pool.gutter().forward(l, &query{request: capped, taker: takeFunc(func(l *lane, _ *query, a *upstream.Answer) {
				w.keep(a)
				w.finishPart(l)
			})})
		default:
			w.finishPart(l)
		}
	}
	owner.Missed(l.Lane, w.asked.Key, r.CountsAsSent(), fmt.Errorf("a write failed: %v", r),
		func() { w.owner.route.forward(l, &w.query) }, next)
}

func (w *gutterWrite) keep(a *upstream.Answer) {
	w.best = a.Own()
}

// finishPart answers the client once all answers have come.
func (w *gutterWrite) finishPart(l *lane) {
	if w.open--; w.open > 0 {
		return
	}
	w.outer.taker.take(l, w.outer, &w.best)
	if !w.unjournaled {
		l.notes.End(w.noted)
	}
	w.pool.latches.release(w.asked.Key, w.hash)
}

// takeFunc is a taker that is a function.
type takeFunc func(l *lane, q *query, a *upstream.Answer)

func (f takeFunc) take(l *lane, q *query, a *upstream.Answer) { f(l, q, a) }
