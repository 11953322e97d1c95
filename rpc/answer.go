package rpc

import (
	"context"
	"sync"
	"time"

	"holdfast"
)

// requests are those of a peer that are answered at the moment, on a connection that it has
// dialled.
type requests struct {
	mu    sync.Mutex // guards all below
	ends  map[uint64]context.CancelFunc
	bytes int // of their bodies, and of the answers' that wait to be sent
}

// add says whether a request may begin. There may be more of them than the peer has calls in
// flight, which may have given up some. It returns a fault if one of its ID is in flight.
func (r *requests) add(id uint64, size int, l *limits, end context.CancelFunc) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch _, twice := r.ends[id]; {
	case twice:
		return false, faultf(Unexpected, "a second request with the ID %d", id)
	case len(r.ends) >= 2*l.calls, r.bytes+size > l.requestBytes && r.bytes > 0:
		return false, nil
	case r.ends == nil:
		r.ends = make(map[uint64]context.CancelFunc)
	}
	r.ends[id] = end
	r.bytes += size
	return true, nil
}

// hold counts the bytes of an answer.
func (r *requests) hold(size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes += size
}

func (r *requests) remove(id uint64, size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.ends, id)
	r.bytes -= size
}

func (r *requests) cancel(id uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if end := r.ends[id]; end != nil {
		end()
	}
}

// answer takes a frame of a connection that the peer has dialled.
func (c *conn) answer(f frame) error {
	switch f.typ {
	case frameMessage:
		c.t.options.Receive(c.message(f, f.body))
	case frameRequest:
		return c.begin(f)
	case frameCancel:
		c.requests.cancel(f.id)
	}
	return nil
}

func (c *conn) message(f frame, body []byte) Message {
	return Message{From: c.peer.id, To: c.t.options.Node, Kind: f.kind, Shard: f.shard, Body: body}
}

// begin has a request answered.
func (c *conn) begin(f frame) error {
	ctx, end := c.ctx, context.CancelFunc(nil)
	if f.timeout > 0 {
		ctx, end = context.WithTimeout(ctx, time.Duration(f.timeout)*time.Millisecond)
	} else {
		ctx, end = context.WithCancel(ctx)
	}
	size := len(f.body)
	fits, err := c.requests.add(f.id, size, &c.t.limits, end)
	if !fits {
		end()
		if err == nil {
			c.fail(f.id, holdfast.Errorf(holdfast.Overloaded, "node %d has too many requests of node %d in flight",
				c.t.options.Node, c.peer.id))
		}
		return err
	}
	m := c.message(f, c.in.own(f))
	c.t.running.Go(func() {
		defer end()
		body, err := c.t.options.Answer(ctx, m)
		c.requests.hold(len(body))
		defer c.requests.remove(f.id, size+len(body)) // once the answer is queued: few may wait for space
		switch {
		case err != nil:
			c.fail(f.id, err)
		case len(body) > c.t.limits.body:
			c.fail(f.id, holdfast.Errorf(holdfast.Limit, "the answer has %d bytes; it may have %d", len(body),
				c.t.limits.body))
		default:
			c.out.addWaiting(&frame{typ: frameAnswer, way: c.way, id: f.id, body: body})
		}
	})
	return nil
}

// fail answers a request with an error.
func (c *conn) fail(id uint64, err error) {
	kind, text := wireError(err)
	c.out.addWaiting(&frame{typ: frameFailure, kind: kind, way: c.way, id: id, body: []byte(text)})
}
