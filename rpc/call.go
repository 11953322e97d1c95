package rpc

import (
	"context"
	"sync"
	"time"

	"holdfast"
)

// calls are the requests that wait for an answer on a connection that this end has dialled.
type calls struct {
	mu     sync.Mutex // guards all below
	last   uint64     // ID
	wait   map[uint64]*call
	closed bool
}

// A call is a request that waits.
type call struct{ answer chan result } // of one place, and filled at most once

type result struct {
	body []byte
	err  error
	lost bool // the connection was dropped: there is no answer
}

// add returns a new call and its ID. The error is Overloaded if there are too many, and Refused if
// the connection was dropped.
func (c *calls) add(most int) (*call, uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, 0, errNotSent
	case len(c.wait) >= most:
		return nil, 0, holdfast.Errorf(holdfast.Overloaded, "%d requests to the node are in flight", len(c.wait))
	case c.wait == nil:
		c.wait = make(map[uint64]*call)
	}
	c.last++
	w := &call{answer: make(chan result, 1)}
	c.wait[c.last] = w
	return w, c.last, nil
}

// finish gives a call its result, unless it has ended.
func (c *calls) finish(id uint64, r result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.wait[id]; w != nil {
		delete(c.wait, id)
		w.answer <- r
	}
}

// waits says whether a call still waits.
func (c *calls) waits(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wait[id] != nil
}

// forget ends a call, and says whether it had no result yet.
func (c *calls) forget(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, waited := c.wait[id]
	delete(c.wait, id)
	return waited
}

func (c *calls) failAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for id, w := range c.wait {
		delete(c.wait, id)
		w.answer <- result{lost: true}
	}
}

var errNotSent = holdfast.Errorf(holdfast.Refused, "the connection to the node broke before the request was sent: "+
	"nothing was changed")

// call sends a request and waits for its answer.
func (c *conn) call(ctx context.Context, m *Message) ([]byte, error) {
	f := frame{typ: frameRequest, kind: m.Kind, way: c.way, shard: m.Shard, body: m.Body}
	if deadline, ok := ctx.Deadline(); ok {
		f.timeout = timeoutOf(time.Until(deadline))
	}
	if err := ctx.Err(); err != nil {
		return nil, holdfast.Errorf(holdfast.Refused, "the request wasn't sent: %w", err)
	}
	w, id, err := c.calls.add(c.t.limits.calls)
	if err != nil {
		return nil, err
	}
	f.id = id
	number, how := c.out.add(&f)
	if how != queued {
		c.calls.forget(id)
		if how == full {
			c.t.counters.full.Add(1)
			return nil, holdfast.Errorf(holdfast.Overloaded, "the queue to node %d is full", c.peer.id)
		}
		return nil, errNotSent
	}
	select {
	case r := <-w.answer:
		return c.resultOf(number, r)
	case <-ctx.Done():
	}
	if !c.calls.forget(id) {
		return c.resultOf(number, <-w.answer)
	}
	c.out.add(&frame{typ: frameCancel, way: c.way, id: id}) // if there is no space, the deadline ends it there, too
	return nil, holdfast.Errorf(holdfast.Unavailable, "node %d hasn't answered: outcome unknown: %w", c.peer.id,
		context.Cause(ctx))
}

func (c *conn) resultOf(number uint64, r result) ([]byte, error) {
	switch {
	case r.lost && c.out.wasTaken(number):
		return nil, holdfast.Errorf(holdfast.Unavailable, "the connection to node %d broke before it has answered: "+
			"outcome unknown", c.peer.id)
	case r.lost:
		return nil, errNotSent
	}
	return r.body, r.err
}

// take takes a frame of a connection that this end has dialled.
func (c *conn) take(f frame) error {
	if f.typ == framePing || !c.calls.waits(f.id) {
		return nil
	}
	r := result{}
	if f.typ == frameAnswer {
		r.body = c.in.own(f)
	} else {
		r.err = errorOf(f.kind, string(f.body))
	}
	c.calls.finish(f.id, r)
	return nil
}

// timeoutOf returns what a frame says of the time that is left, in milliseconds, rounded up.
func timeoutOf(left time.Duration) uint32 {
	ms := (left + time.Millisecond - 1) / time.Millisecond
	return uint32(min(max(ms, 1), 1<<32-1))
}
