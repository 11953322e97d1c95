package router

import (
	"bytes"

	"holdfast/mc"
)

// A localRoute is the cache of this process as a member.
type localRoute struct {
	cache mc.Handler
}

func (m localRoute) forward(l *lane, q *query) {
	b := mc.NewBatch(func(*mc.Batch) {})
	b.Lane, b.OnLoop = l.index, true
	r := *q.request
	r.Last, r.NoReply, r.Hash = false, false, 0
	b.Requests = append(b.Requests, r)
	m.cache.Serve(b)
	wire := flatten(b)
	a := answer{result: resultMiss, wire: wire}
	if len(wire) > 0 {
		a.result = m.result(wire, q.request)
	}
	q.taker.take(l, q, &a)
	for _, p := range b.Pinned {
		p.Release()
	}
}

// flatten returns the answers with large values where they belong.
func flatten(b *mc.Batch) []byte {
	if len(b.Pinned) == 0 {
		return b.Out
	}
	var wire []byte
	at := 0
	for _, p := range b.Pinned {
		wire = append(wire, b.Out[at:p.At]...)
		at = p.At
		for _, piece := range p.Bytes {
			wire = append(wire, piece...)
		}
	}
	return append(wire, b.Out[at:]...)
}

func (m localRoute) result(wire []byte, r *mc.Request) result {
	if bytes.HasPrefix(wire, valueWord) {
		return resultHit
	}
	if bytes.HasPrefix(wire, vaWord) {
		return found(r)
	}
	p := pending{query: &query{request: r}, form: formOf(r.Op)}
	result, ok := lineResult(wire, &p)
	if !ok {
		return resultServerError
	}
	return result
}
