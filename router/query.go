package router

import (
	"holdfast/mc"
	"holdfast/upstream"
)

// A query is one request with the taker of its answer. Whoever is given a query calls taker.take
// exactly once, with the lane locked. The query and what its request borrows stay valid until then.
type query struct {
	request *mc.Request
	taker   taker
	lane    *lane // that has sent it to an upstream
}

// Receive takes the upstream's answer.
func (q *query) Receive(a *upstream.Answer) { q.taker.take(q.lane, q, a) }

// A taker takes answers. What the answer borrows is valid during the call.
type taker interface {
	take(l *lane, q *query, a *upstream.Answer)
}

// A forwarder answers a query, or sends it, or a query of its own, on to others.
type forwarder interface {
	forward(l *lane, q *query)
}

// fail answers q with a failure that this router found.
func (q *query) fail(l *lane, r upstream.Result, text string) {
	l.scratch = mc.AppendServerError(l.scratch[:0], text)
	q.taker.take(l, q, &upstream.Answer{Result: r, Wire: l.scratch})
}

// respond answers q with a result that is no failure, as its command words it.
func (q *query) respond(l *lane, r upstream.Result) {
	l.scratch = appendAnswer(l.scratch[:0], q.request, r)
	q.taker.take(l, q, &upstream.Answer{Result: r, Wire: l.scratch})
}

// respondAbsent answers q as if nothing were held anywhere: a miss, or a write that found nothing.
func (q *query) respondAbsent(l *lane) { q.respond(l, absentResult(q.request)) }

// absentResult is the result of a request where nothing is held and nothing is kept.
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

// appendAnswer appends the words in which a result other than a hit or a number is said.
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
		panic("router: no words for " + result.String())
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

// silent reports whether the client of r wants no answer of this result: noreply, or q.
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
