package rpc

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A conn is a connection whose handshake is done. Its reader and writer are goroutines, which end
// once it is dropped.
type conn struct {
	t       *Transport
	peer    *peer
	dialled bool // by this end, which then sends messages and requests; otherwise it answers
	wire    net.Conn
	raw     net.Conn // below TLS. It is closed instead of wire, whose Close may wait for the other end
	way     way      // of what this end sends
	out     *queue
	in      *frameReader
	began   time.Time

	calls    calls    // if dialled
	requests requests // otherwise

	reading atomic.Int64 // when the reader began to wait for bytes; 0: it isn't waiting
	writing atomic.Int64 // when the writer began to wait for the other end; 0: it isn't waiting

	ctx  context.Context // ends when the connection is dropped
	end  context.CancelFunc
	once sync.Once
	done chan struct{} // closed when nothing is read any more
}

// writeStep is how much is written at once: a write makes progress with each step.
const writeStep = 256 << 10

func (t *Transport) newConn(p *peer, wire, raw net.Conn, dialled bool) *conn {
	c := &conn{
		t: t, peer: p, dialled: dialled, wire: wire, raw: raw, way: t.wayTo(p.id), began: time.Now(),
		out: newQueue(t.limits.queueBytes, t.limits.queueFrames), done: make(chan struct{}),
	}
	c.ctx, c.end = context.WithCancel(t.ctx)
	c.in = newFrameReader(c, c.way.back(), dialled, t.limits.body)
	return c
}

// run has the connection read and write until it is dropped. It reads once the connection that it
// replaces, if any, isn't read any more, so that messages of a peer come one at a time.
func (c *conn) run(former *conn) {
	c.t.running.Go(c.write)
	if former != nil {
		<-former.done
	}
	c.read()
	close(c.done)
}

func (c *conn) read() {
	handle := c.answer
	if c.dialled {
		handle = c.take
	}
	for {
		f, err := c.in.next()
		if err == nil {
			c.t.counters.received(len(f.body))
			err = handle(f)
		}
		if err != nil {
			c.drop(err)
			return
		}
	}
}

// Read reads what the frames are made of, and notes that the peer is heard.
func (c *conn) Read(b []byte) (int, error) {
	c.reading.Store(c.t.now())
	n, err := c.wire.Read(b)
	c.reading.Store(0)
	if n > 0 {
		c.peer.heard.Store(c.t.now())
	}
	return n, err
}

func (c *conn) write() {
	for {
		batch, frames, ok := c.out.take()
		if !ok {
			return
		}
		for rest := batch; len(rest) > 0; {
			step := rest[:min(len(rest), writeStep)]
			c.writing.Store(c.t.now())
			if _, err := c.wire.Write(step); err != nil {
				c.drop(faultOf(Broken, err))
				return
			}
			rest = rest[len(step):]
		}
		c.writing.Store(0)
		c.t.counters.sent(frames, len(batch))
		c.out.giveBack(batch)
	}
}

// check drops the connection if the other end sends nothing, or reads nothing, for too long. It
// sends a ping if there was nothing else to send.
func (c *conn) check(now int64) {
	limit := int64(c.t.limits.silence)
	if since := c.reading.Load(); since != 0 && now-since > limit {
		c.drop(faultf(Silent, "nothing was heard for %v", c.t.limits.silence))
	}
	if since := c.writing.Load(); since != 0 && now-since > limit {
		c.drop(faultf(Stalled, "nothing was read for %v", c.t.limits.silence))
	}
	c.out.addIfIdle(&frame{typ: framePing, way: c.way})
}

// drop ends the connection for a reason, a *fault. Only the first reason counts.
func (c *conn) drop(reason error) {
	c.once.Do(func() {
		var f *fault
		if !errors.As(reason, &f) {
			f = faultOf(Broken, reason)
		}
		if c.t.ctx.Err() == nil {
			c.t.log.add(f, "connection between nodes lost", "node", c.peer.id, "dialled", c.dialled)
		}
		c.end()
		c.raw.Close()
		c.t.counters.lost.Add(uint64(c.out.close()))
		c.calls.failAll()
	})
}
