package router

import (
	"fmt"

	"holdfast/journal"
	"holdfast/mc"
)

// guarded is the route to a member that has a journal, in a sharded pool: a write that fails on the
// member is in its journal before that is said. The member is then down, and answers nothing until it
// has forgotten the keys. So a delete that failed has done its work all the same, and with deletes it
// is answered as one of a key that isn't held: mcrouter's spooled deletes, but for what the member
// serves before it has got them.
type guarded struct {
	to      *destination
	deletes bool
	id      uint64 // of the pool in the ledger
}

func (g guarded) serve(l *lane, q *query) {
	if intentOf(q.request) <= intentReadFirst {
		remote{g.to}.serve(l, q)
		return
	}
	w := &guardedWrite{guarded: g, outer: q}
	w.request, w.taker = detach(q.request), w
	w.note = l.notes.Begin(g.id, w.request.Key)
	remote{g.to}.serve(l, &w.query)
}

// A guardedWrite is a write on its way.
type guardedWrite struct {
	query
	guarded
	outer *query
	note  journal.Note // in the ledger, from before it is sent to the end
}

func (w *guardedWrite) take(l *lane, _ *query, a *answer) {
	if !a.result.failed() || a.result == resultServerError {
		l.notes.End(w.note)
		w.outer.taker.take(l, w.outer, a)
		return
	}
	failure := a.own()
	sent := !a.result.unsent() || a.result == resultBusy
	switch w.to.missed(w.request.Key, sent, fmt.Errorf("a write failed: %v", a.result)) {
	case missedSend:
		remote{w.to}.serve(l, &w.query)
	case missedKept:
		w.journaled(l, &failure, nil)
	case missedBegin:
		w.to.beginAbsence(func(err error) {
			l.loop.Post(func() { l.enter(func() { w.journaled(l, &failure, err) }) })
		})
	}
}

// journaled answers a write that the journal has, unless err.
func (w *guardedWrite) journaled(l *lane, failure *answer, err error) {
	if err == nil {
		l.notes.End(w.note)
	}
	if op := w.request.Op; err == nil && w.deletes && (op == mc.Delete || op == mc.MetaDelete) {
		w.outer.say(l, resultNotFound)
		return
	}
	w.outer.taker.take(l, w.outer, failure)
}
