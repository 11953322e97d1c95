package router

import (
	"bytes"
	"encoding/base64"

	"holdfast/mc"
	"holdfast/upstream"
)

// detach copies what r borrows, for a request that outlives its batch.
func detach(r *mc.Request) *mc.Request {
	own := *r
	own.Key = bytes.Clone(r.Key)
	own.Value = bytes.Clone(r.Value)
	own.Args = bytes.Clone(r.Args)
	return &own
}

// A rewrite is a query with another key than its outer query's. Its answer gets that one's key
// back.
type rewrite struct {
	query
	outer *query
}

// rewritten returns the query for inner, which is outer's request with another key. Inner may
// borrow what outer's request does.
func rewritten(outer *query, inner *mc.Request) *query {
	w := &rewrite{outer: outer}
	w.request, w.taker = inner, w
	return &w.query
}

func (w *rewrite) take(l *lane, _ *query, a *upstream.Answer) {
	restored := *a
	if a.Result == upstream.Hit || w.request.Has('k') && !a.Result.Failed() && a.Result != upstream.ClientError {
		restored.Wire = restoreKey(a.Wire, w.request, w.outer.request)
	}
	w.outer.taker.take(l, w.outer, &restored)
}

// restoreKey returns the answer with the key that the client asked for.
func restoreKey(wire []byte, inner, outer *mc.Request) []byte {
	var first mc.Answer
	block, ok := first.Parse(wire)
	if !ok {
		return wire
	}
	switch {
	case first.Kind == mc.AnswerValue || first.Kind == mc.AnswerME:
		first.Key = outer.Key
	case inner.Op.IsMeta() && inner.Has('k'):
		first.Args = replaceFlag(first.Args, 'k', wireKey(outer))
	default:
		return wire
	}
	return appendWhole(make([]byte, 0, len(wire)+len(outer.Key)), &first, block)
}

// wireKey returns the request's key as it is in a meta answer: in base64 with the flag b.
func wireKey(r *mc.Request) []byte {
	if r.Has('b') {
		return base64.StdEncoding.AppendEncode(nil, r.Key)
	}
	return r.Key
}
