package router

import (
	"fmt"

	"holdfast/journal"
	"holdfast/mc"
	"holdfast/upstream"
)

// guarded is the route to a member with a journal, in a sharded pool. If a write fails on the
// member, its key is added to the journal before the client is answered. The member is then down,
// and serves nothing until the keys in its journal are deleted on it. So a delete that failed takes
// effect all the same, and with deletes set it is answered as if the key were not held. These are
// mcrouter's spooled deletes, except that the member serves no stale items before it gets them. A
// delete that the member refuses with SERVER_ERROR is sent again until the member accepts it.
type guarded struct {
	to      *upstream.Upstream
	deletes bool   // deletes never fail
	id      uint64 // of the pool in the ledger
}

func (g guarded) forward(l *lane, q *query) {
	if g.deletes && intentOf(q.request) != intentWrite && g.to.Owed.Has(q.request.Key) {
		q.respondAbsent(l)
		return
	}
	if intentOf(q.request) <= intentReadFirst {
		upstreamRoute{g.to}.forward(l, q)
		return
	}
	w := &guardedWrite{guarded: g, outer: q}
	w.request, w.taker = detach(q.request), w
	w.note = l.notes.Begin(g.id, w.request.Key)
	upstreamRoute{g.to}.forward(l, &w.query)
}

// A guardedWrite is a write in flight.
type guardedWrite struct {
	query
	guarded
	outer *query
	note  journal.Note // in the ledger, from before the write is sent until it ends
}

func (w *guardedWrite) take(l *lane, _ *query, a *upstream.Answer) {
	switch {
	case a.Result == upstream.ServerError && w.deletes && isDelete(w.request):
		if w.to.Owed.Add(w.request.Key, func() { w.end(l) }) {
			w.outer.respond(l, upstream.NotFound)
			return
		}
	case !a.Result.Failed(), a.Result == upstream.ServerError:
		l.notes.End(w.note)
		w.outer.taker.take(l, w.outer, a)
		return
	}
	failure := a.Own()
	cause := fmt.Errorf("a write failed: %v", a.Result)
	w.to.Outage.Missed(l.Lane, w.request.Key, a.Result.CountsAsSent(), cause,
		func() { upstreamRoute{w.to}.forward(l, &w.query) },
		func(err error) { w.journaled(l, &failure, err) })
}

// end removes the write from the ledger. Any goroutine may call it.
func (w *guardedWrite) end(l *lane) { l.loop.Post(func() { l.Enter(func() { l.notes.End(w.note) }) }) }

// isDelete reports whether the request deletes the key without a condition.
func isDelete(r *mc.Request) bool {
	return r.Op == mc.Delete || r.Op == mc.MetaDelete && intentOf(r) == intentWrite
}

// journaled answers a write whose key was added to the journal, or with an error may not have been.
func (w *guardedWrite) journaled(l *lane, failure *upstream.Answer, err error) {
	if err == nil {
		l.notes.End(w.note)
	}
	if op := w.request.Op; err == nil && w.deletes && (op == mc.Delete || op == mc.MetaDelete) {
		w.outer.respond(l, upstream.NotFound)
		return
	}
	w.outer.taker.take(l, w.outer, failure)
}
