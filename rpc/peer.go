package rpc

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast"
)

// A peer is another node as this one knows it.
type peer struct {
	Peer
	t     *Transport
	id    holdfast.NodeID
	heard atomic.Int64         // when something was received, as Transport.now has it; 0: never
	out   atomic.Pointer[conn] // that this node has dialled; nil: none
	kick  chan struct{}        // of one place: the peer is there, so there is no reason to wait

	mu sync.Mutex // guards in
	in *conn      // that the peer has dialled; nil: none

	sending, receiving chan struct{} // have an element for each stream to the peer, and from it

	ctx context.Context // ends when it is no peer any more
	end context.CancelFunc
}

func (t *Transport) newPeer(id holdfast.NodeID, with Peer) *peer {
	p := &peer{
		Peer: with, t: t, id: id, kick: make(chan struct{}, 1),
		sending: make(chan struct{}, t.limits.streams), receiving: make(chan struct{}, t.limits.streams),
	}
	p.ctx, p.end = context.WithCancel(t.ctx)
	return p
}

// stop drops the peer's connections for good.
func (p *peer) stop() {
	p.end()
	for _, c := range p.conns() {
		c.drop(errStopped)
	}
}

var errStopped = faultf(Replaced, "it is no peer any more, or its address or name has changed")

// conns returns the connections with the peer.
func (p *peer) conns() []*conn {
	p.mu.Lock()
	in := p.in
	p.mu.Unlock()
	return slices.DeleteFunc([]*conn{in, p.out.Load()}, func(c *conn) bool { return c == nil })
}

// keepConnected dials the peer whenever there is no connection, until it is stopped.
func (p *peer) keepConnected() {
	if p.Addr == "" {
		return
	}
	pause := p.t.limits.minPause
	for p.ctx.Err() == nil {
		c, err := p.dial()
		kick := p.kick
		if err == nil {
			p.t.options.Log.Info("connected to a node", "node", p.id, "addr", p.Addr)
			c.run(nil)
			p.out.Store(nil)
			kick = nil // or two nodes that drop each other's connections at once would never pause
			if time.Since(c.began) > p.t.limits.maxPause {
				pause = p.t.limits.minPause
			}
		}
		timer := time.NewTimer(pause/2 + rand.N(pause/2+1))
		select {
		case <-timer.C:
		case <-kick:
		case <-p.ctx.Done():
		}
		timer.Stop()
		pause = min(2*pause, p.t.limits.maxPause)
	}
}

// dial returns a new connection to the peer, whose handshake is done. A failure was counted.
func (p *peer) dial() (*conn, error) {
	wire, raw, err := p.connect(p.ctx, p.t.greetPeer)
	if err != nil {
		return nil, err
	}
	p.heard.Store(p.t.now())
	c := p.t.newConn(p, wire, raw, true)
	p.out.Store(c)
	if p.ctx.Err() != nil { // stop may have looked before
		c.drop(errStopped)
	}
	return c, nil
}

// connect connects to the peer and greets it. A failure was counted, unless ctx has ended, which ends
// with the peer's.
func (p *peer) connect(
	ctx context.Context, greet func(nc net.Conn, w way) error,
) (wire, raw net.Conn, err error) {
	soon, end := context.WithTimeout(ctx, p.t.limits.handshakeTime)
	defer end()
	wire, raw, err = p.t.options.TLS.dial(soon, p.Peer)
	if err == nil {
		opened := raw // raw is nil when an error is returned, maybe before the function has run
		stop := context.AfterFunc(ctx, func() { opened.Close() })
		err = greet(wire, p.t.wayTo(p.id))
		stop()
		if err != nil {
			raw.Close()
		}
	}
	if err != nil {
		if ctx.Err() == nil {
			var f *fault
			errors.As(err, &f)
			p.t.log.add(f, "no connection to a node", "node", p.id, "addr", p.Addr)
		}
		return nil, nil, err
	}
	inTime(raw)
	return wire, raw, nil
}

// accept takes connections until Close.
func (t *Transport) accept() {
	places := make(chan struct{}, t.limits.handshakes)
	pause := time.Millisecond
	for {
		raw, err := t.listener.Accept()
		switch {
		case t.ctx.Err() != nil:
			if err == nil {
				raw.Close()
			}
			return
		case err != nil: // too many open files, say
			t.options.Log.Error("accepting connections of nodes", "err", err)
			select {
			case <-time.After(pause):
			case <-t.ctx.Done():
			}
			pause = min(2*pause, time.Second)
			continue
		}
		pause = time.Millisecond
		select {
		case places <- struct{}{}:
			t.running.Go(func() { t.welcome(raw, func() { <-places }) })
		default:
			raw.Close()
			t.log.add(faultf(Crowded, "%d others are in their handshake", cap(places)), "a connection was refused",
				"addr", raw.RemoteAddr().String())
		}
	}
}

// welcome does the handshake of a connection that was accepted, calls done, and serves it until it
// is dropped.
func (t *Transport) welcome(raw net.Conn, done func()) {
	p, kind, wire, err := t.shake(raw)
	done()
	if err != nil {
		if t.ctx.Err() == nil {
			var f *fault
			errors.As(err, &f)
			t.log.add(f, "a connection was refused", "addr", raw.RemoteAddr().String())
		}
		raw.Close()
		return
	}
	switch {
	case p == nil: // a meeting, which is over
		raw.Close()
		return
	case kind == helloStream:
		p.acceptStream(wire, raw)
		return
	}
	c := t.newConn(p, wire, raw, false)
	former := p.replace(c)
	if former != nil {
		former.drop(faultf(Replaced, "the peer has dialled again"))
	}
	c.run(former)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.in == c {
		p.in = nil
	}
}

// shake does the handshake of a connection that was accepted, and all of a meeting, for which there
// is no peer. The error is a *fault.
func (t *Transport) shake(raw net.Conn) (*peer, helloKind, net.Conn, error) {
	ctx, end := context.WithTimeout(t.ctx, t.limits.handshakeTime)
	defer end()
	stop := context.AfterFunc(t.ctx, func() { raw.Close() })
	defer stop()
	deadline, _ := ctx.Deadline()
	raw.SetDeadline(deadline)
	wire, err := t.options.TLS.accept(ctx, raw)
	if err != nil {
		return nil, 0, nil, err
	}
	p, kind, err := t.answerHello(wire)
	if err != nil {
		return nil, 0, nil, err
	}
	inTime(raw)
	return p, kind, wire, nil
}

// replace makes a connection that the peer has dialled its only one, and returns the former one.
func (p *peer) replace(c *conn) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	former := p.in
	p.in = c
	if p.ctx.Err() != nil { // stop may have looked before
		c.drop(errStopped)
	}
	p.heard.Store(p.t.now())
	select {
	case p.kick <- struct{}{}:
	default:
	}
	return former
}
