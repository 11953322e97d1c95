package router

import (
	"fmt"

	"holdfast/journal"
	"holdfast/mc"
)

// guarded is the route to a member that has a journal, in a sharded pool: a write that fails on the
// member is in its journal before that is said. The member is then down, and answers nothing until
// it has forgotten the keys. So a delete that failed has done its work all the same, and with
// deletes it is answered as one of a key that isn't held: mcrouter's spooled deletes, but for what
// the member serves before it has got them. A delete that the member refuses with SERVER_ERROR is
// owed to it.
type guarded struct {
	to      *upstream
	deletes bool
	id      uint64 // of the pool in the ledger
}

func (g guarded) forward(l *lane, q *query) {
	if g.deletes && intentOf(q.request) != intentWrite && g.to.owes(q.request.Key) {
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
	note  journal.Note // in the ledger, from before it is sent to the end
}

func (w *guardedWrite) take(l *lane, _ *query, a *answer) {
	switch {
	case a.result == resultServerError && w.deletes && isDelete(w.request):
		if w.to.owe(w.request.Key, func() { w.end(l) }) {
			w.outer.respond(l, resultNotFound)
			return
		}
	case !a.result.failed(), a.result == resultServerError:
		l.notes.End(w.note)
		w.outer.taker.take(l, w.outer, a)
		return
	}
	failure := a.own()
	w.to.afterMissed(l, w.to.missed(w.request.Key, a.result.countsAsSent(), fmt.Errorf("a write failed: %v", a.result)),
		func() { upstreamRoute{w.to}.forward(l, &w.query) },
		func(err error) { w.journaled(l, &failure, err) })
}

// end drops the write from the ledger. It is called on any goroutine.
func (w *guardedWrite) end(l *lane) { l.loop.Post(func() { l.enter(func() { l.notes.End(w.note) }) }) }

// isDelete reports whether the request deletes whatever is held.
func isDelete(r *mc.Request) bool {
	return r.Op == mc.Delete || r.Op == mc.MetaDelete && intentOf(r) == intentWrite
}

// journaled answers a write whose key is in the journal, unless there is an error.
func (w *guardedWrite) journaled(l *lane, failure *answer, err error) {
	if err == nil {
		l.notes.End(w.note)
	}
	if op := w.request.Op; err == nil && w.deletes && (op == mc.Delete || op == mc.MetaDelete) {
		w.outer.respond(l, resultNotFound)
		return
	}
	w.outer.taker.take(l, w.outer, failure)
}
