package router

import (
	"holdfast/mc"
	"holdfast/upstream"
)

// A query is one request with the taker of its answer. A forwarder that is given a query calls
// taker.take exactly once, or has another one do so, with the lane locked. The query and what its
// request borrows stay valid until then.
type query struct {
	request *mc.Request
	taker   taker
	lane    *lane // the one that has sent it to an upstream
}

// Receive takes the upstream's answer.
func (q *query) Receive(a *upstream.Answer) { q.taker.take(q.lane, q, a) }

// A taker receives the answer to a query. What the answer borrows is valid during the call.
type taker interface {
	take(l *lane, q *query, a *upstream.Answer)
}

// A forwarder answers a query itself, or passes it, or a query of its own, to other forwarders.
type forwarder interface {
	forward(l *lane, q *query)
}

// fail answers q with a failure of this router's own.
func (q *query) fail(l *lane, r upstream.Result, text string) {
	l.scratch = mc.AppendServerError(l.scratch[:0], text)
	q.taker.take(l, q, &upstream.Answer{Result: r, Wire: l.scratch})
}

// respond answers q with a result that is no failure, in the form that its command has for it.
func (q *query) respond(l *lane, r upstream.Result) {
	l.scratch = appendAnswer(l.scratch[:0], q.request, r)
	q.taker.take(l, q, &upstream.Answer{Result: r, Wire: l.scratch})
}

// respondAbsent answers q as if there were no item: with a miss, or as a write that found none.
func (q *query) respondAbsent(l *lane) { q.respond(l, absentResult(q.request)) }

// absentResult returns the result of a request on a server that has no items and stores none.
func absentResult(r *mc.Request) upstream.Result {
	switch r.Op {
	case mc.Get, mc.Gets, mc.Gat, mc.Gats, mc.MetaGet, mc.MetaDebug:
		return upstream.Miss
	case mc.Delete, mc.Incr, mc.Decr, mc.Touch, mc.CAS, mc.MetaDelete, mc.MetaArithmetic:
		return upstream.NotFound
	case mc.FlushAll:
		return upstream.Done
	}
	return upstream.NotStored
}

// appendAnswer appends the answer for a result that has neither a value nor a number.
func appendAnswer(b []byte, r *mc.Request, result upstream.Result) []byte {
	if r.Op.IsMeta() {
		return appendMetaAnswer(b, r, result)
	}
	switch result {
	case upstream.Miss:
		return b
	case upstream.NotStored:
		return append(b, mc.NotStored...)
	case upstream.Exists:
		return append(b, mc.Exists...)
	case upstream.NotFound:
		return append(b, mc.NotFound...)
	case upstream.Done:
	default:
		panic("router: no answer for " + result.String())
	}
	switch r.Op {
	case mc.Delete:
		return append(b, mc.Deleted...)
	case mc.Touch:
		return append(b, mc.Touched...)
	case mc.FlushAll:
		return append(b, mc.OK...)
	}
	return append(b, mc.Stored...)
}

func appendMetaAnswer(b []byte, r *mc.Request, result upstream.Result) []byte {
	switch result {
	case upstream.Miss:
		b = append(b, mc.EN...)
	case upstream.NotStored:
		b = append(b, mc.NS...)
	case upstream.Exists:
		b = append(b, mc.EX...)
	case upstream.NotFound:
		b = append(b, mc.NF...)
	default:
		b = append(b, mc.HD...)
	}
	if r.Op == mc.MetaDebug {
		return append(b, mc.CRLF...)
	}
	for token, rest := mc.Token(r.Args); token != nil; token, rest = mc.Token(rest) {
		switch token[0] {
		case 'O':
			b = append(append(b, ' '), token...)
		case 'k':
			b = mc.AppendMetaKey(b, r.Key, r.Has('b'))
		}
	}
	return append(b, mc.CRLF...)
}

// silent reports whether r asks that this result is not answered: by noreply, or by the flag q.
func silent(r *mc.Request, result upstream.Result) bool {
	if !r.NoReply {
		return false
	}
	switch r.Op {
	case mc.MetaGet:
		return result == upstream.Miss
	case mc.MetaSet, mc.MetaDelete, mc.MetaArithmetic:
		return result == upstream.Done || result == upstream.Hit
	}
	return true
}
