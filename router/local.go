package router

import (
	"sync/atomic"

	"holdfast/mc"
	"holdfast/upstream"
)

// A localRoute forwards to the cache of this process, a member without an upstream.
type localRoute struct {
	cache mc.Handler
}

func (m localRoute) forward(l *lane, q *query) {
	c := &localCall{lane: l, query: q}
	c.batch = mc.NewBatch(func(*mc.Batch) {
		if c.steps.Add(1) == callSteps {
			l.loop.Post(func() { l.Enter(c.finish) })
		}
	})
	b := c.batch
	b.Lane, b.OnLoop = l.index, true
	r := *q.request
	r.Last, r.NoReply, r.Hash = false, false, 0
	b.Requests = append(b.Requests, r)
	m.cache.Serve(b)
	if c.steps.Add(1) == callSteps {
		c.finish()
	}
}

// A localCall is one request to the cache. The cache may call Done before Serve returns, as it does
// now, or later and on any goroutine. The lane is locked while Serve runs. So the second of the two
// finishes the call: Serve's return on the lane, or Done, which posts finish to the lane.
type localCall struct {
	lane  *lane
	query *query
	batch *mc.Batch
	steps atomic.Int32 // of callSteps
}

// callSteps are Serve's return and Done.
const callSteps = 2

// finish passes the answer to the query's taker. The lane is locked.
func (c *localCall) finish() {
	q, wire := c.query, flatten(c.batch)
	a := upstream.Answer{Result: upstream.ServerError, Wire: wire}
	if r, ok := upstream.ParseResult(wire, q.request); ok {
		a.Result = r
	}
	q.taker.take(c.lane, q, &a)
	for _, p := range c.batch.Pinned {
		p.Release()
	}
}

// flatten returns the batch's answers with the pinned values in their places.
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
