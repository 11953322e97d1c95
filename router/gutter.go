package router

import (
	"fmt"
	"time"

	"holdfast/journal"
	"holdfast/mc"
)

// guttered is a sharded pool before another, the gutter, which takes the keys of members that are
// down, for a short time each. Like a replicated pool it serves nothing older than what was
// acknowledged:
//
//  1. A member that fails a write goes down, and the key goes into its journal, before the gutter
//     gets the write. So do the keys of writes while it is down. It answers again once it has
//     forgotten them (outage).
//  2. What the gutter holds then is not read any more, but would be if the member went down again
//     soon. So for as long as that may live, writes to the member delete in the gutter, too.
//  3. Members of the gutter that fail a write have journals as well.
//  4. Writes under one key come one after the other (latches), so that none reaches the gutter
//     after a later one has deleted there.
type guttered struct {
	sharded
	gutter  func() forwarder // that of the other pool, which may be made later
	ttl     time.Duration
	latches *latches
	id      uint64 // in the ledger
}

// gutterSlack is how much longer than its TTL an item may live: memcached counts whole seconds.
const gutterSlack = 2 * time.Second

func (g *guttered) forward(l *lane, q *query) {
	m := g.members[g.ring.Owner(q.request.Key)]
	if intentOf(q.request) <= intentReadFirst {
		hash := keyHash(q.request.Key)
		wait := latched{lane: l, read: true, run: func() { g.read(l, m, q) }}
		// its client may have sent the write that waits
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

// read asks the owner, or if that is down the gutter.
func (g *guttered) read(l *lane, m *member, q *query) {
	if !m.up() {
		g.gutter().forward(l, q)
		return
	}
	m.route.forward(l, &query{request: q.request, taker: gutterRead{g, q}})
}

// gutterRead is a read of the owner, and if that fails of the gutter.
type gutterRead struct {
	pool  *guttered
	outer *query
}

func (r gutterRead) take(l *lane, _ *query, a *answer) {
	if a.result.failed() {
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
	asked   *mc.Request // its own copy of the outer one's
	hash    uint64
	open    int // answers to come
	best    answer
	refused bool // the owner has refused it, and is sent a delete of the key

	noted     journal.Note // in the ledger, from before anything is sent to the end
	forgetful bool         // a journal could not take the key: the note stays
}

func (w *gutterWrite) begin(l *lane) {
	w.taker, w.request = w, w.asked
	w.open = 1
	w.noted = l.notes.Begin(w.pool.id, w.asked.Key)
	if w.drains() {
		w.open++
		forget := &query{request: deleteOf(w.asked), taker: takeFunc(func(l *lane, _ *query, _ *answer) { w.finishPart(l) })}
		w.pool.gutter().forward(l, forget) // one that fails is in the journal of the gutter's member
	}
	w.owner.route.forward(l, &w.query)
}

// drains reports whether the gutter may hold what it got while the owner was down.
func (w *gutterWrite) drains() bool {
	d := w.owner.to
	return d != nil && d.up() && d.now().UnixNano()-d.upSince.Load() < int64(w.pool.ttl+gutterSlack)
}

// take has the owner's answer.
func (w *gutterWrite) take(l *lane, _ *query, a *answer) {
	switch {
	case w.refused && a.result.failed():
		w.missed(l, resultClosed, false)
	case w.refused:
		w.finishPart(l)
	case a.result == resultServerError: // it may hold what it held before
		w.keep(a)
		w.refused = true
		w.request = deleteOf(w.asked)
		w.owner.route.forward(l, &w.query)
	case a.result.failed():
		w.keep(a)
		// What depends on what is held is not tried twice.
		w.missed(l, a.result, a.result.unsent() || intentOf(w.asked) == intentWrite)
	default:
		w.keep(a)
		w.finishPart(l)
	}
}

// missed has the owner's journal keep the key, and then the gutter take the write, if it may.
func (w *gutterWrite) missed(l *lane, r result, again bool) {
	d := w.owner.to
	next := func(err error) {
		switch {
		case err != nil:
			w.forgetful = true
			w.keep(&answer{result: resultServerError, wire: mc.AppendServerError(nil, err.Error())})
			w.finishPart(l)
		case again:
			capped := capExptime(w.asked, w.pool.ttl, l.router.now())
			w.pool.gutter().forward(l, &query{request: capped, taker: takeFunc(func(l *lane, _ *query, a *answer) {
				w.keep(a)
				w.finishPart(l)
			})})
		default:
			w.finishPart(l)
		}
	}
	d.afterMissed(l, d.missed(w.asked.Key, r.countsAsSent(), fmt.Errorf("a write failed: %v", r)),
		func() { w.owner.route.forward(l, &w.query) }, next)
}

func (w *gutterWrite) keep(a *answer) {
	w.best = a.own()
}

// finishPart answers once all have.
func (w *gutterWrite) finishPart(l *lane) {
	if w.open--; w.open > 0 {
		return
	}
	w.outer.taker.take(l, w.outer, &w.best)
	if !w.forgetful {
		l.notes.End(w.noted)
	}
	w.pool.latches.release(w.asked.Key, w.hash)
}

// takeFunc is a taker that is a function.
type takeFunc func(l *lane, q *query, a *answer)

func (f takeFunc) take(l *lane, q *query, a *answer) { f(l, q, a) }
