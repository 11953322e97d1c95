package rpc

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"holdfast"
)

// Stream sends a peer a stream, over a connection of its own, and returns once the peer has taken
// all of it, and done what it does with it. m says what the stream is; next returns its parts, one
// after the other, and io.EOF behind the last. A part may be changed when next is called again.
//
// One part is in memory at each end, and TCP has the sender wait for the receiver: so a peer that
// takes parts slowly slows its stream, and nothing else. The error is next's, or the peer's, which
// then hasn't taken the stream. It is Unavailable if the connection broke, or ctx has ended, so that
// the outcome isn't known; and Overloaded, NotFound, Invalid or Closed if no stream was begun. From
// is this node, whatever m says.
func (t *Transport) Stream(ctx context.Context, m Message, next func() ([]byte, error)) error {
	p, err := t.peerOf(m.To, len(m.Body))
	if err != nil {
		return err
	}
	if p.Addr == "" {
		return holdfast.Errorf(holdfast.NotFound, "node %d has no address: nothing was sent", m.To)
	}
	select {
	case p.sending <- struct{}{}:
		defer func() { <-p.sending }()
	default:
		return holdfast.Errorf(holdfast.Overloaded, "%d streams to node %d are under way", cap(p.sending), m.To)
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	defer context.AfterFunc(p.ctx, end)()
	wire, raw, err := p.connect(ctx, func(nc net.Conn, w way) error { return t.greetLiving(nc, helloStream, w) })
	if err != nil {
		return errStream(m.To, err)
	}
	s := newStream(p, wire, raw, true)
	defer s.close()
	defer context.AfterFunc(ctx, s.close)()
	return s.send(&m, next)
}

// errStream is for a stream whose connection ended, or didn't come about.
func errStream(to holdfast.NodeID, err error) error {
	return holdfast.Errorf(holdfast.Unavailable, "the stream to node %d broke: outcome unknown: %w", to, err)
}

// A stream is a connection for one stream, at one end. Each end sends pings, so that the other
// knows that it is there, whatever it waits for.
type stream struct {
	t    *Transport
	peer *peer
	wire net.Conn
	raw  net.Conn // below TLS
	way  way      // of what this end sends
	in   *frameReader

	writing sync.Mutex // held while a frame is written
	buffer  []byte     // guarded by writing

	closed  chan struct{} // by close
	once    sync.Once
	running sync.WaitGroup
}

func newStream(p *peer, wire, raw net.Conn, dialled bool) *stream {
	s := &stream{t: p.t, peer: p, wire: wire, raw: raw, way: p.t.wayTo(p.id), closed: make(chan struct{})}
	s.in = newFrameReader(s, s.way.back(), dialled, p.t.limits.body)
	s.in.stage = streaming
	s.running.Go(s.ping)
	return s
}

// close ends the stream at this end, and returns once nothing of it runs any more.
func (s *stream) close() {
	s.once.Do(func() {
		close(s.closed)
		s.raw.Close()
	})
	s.running.Wait()
}

// ping sends pings until the stream is closed.
func (s *stream) ping() {
	ticker := time.NewTicker(s.t.limits.ping)
	defer ticker.Stop()
	for {
		select {
		case <-s.closed:
			return
		case <-ticker.C:
			if s.write(&frame{typ: framePing}) != nil {
				return // who reads or writes finds the same
			}
		}
	}
}

// Read reads what the frames are made of.
func (s *stream) Read(b []byte) (int, error) {
	_ = s.raw.SetReadDeadline(time.Now().Add(s.t.limits.streamSilence))
	n, err := s.wire.Read(b)
	if n > 0 {
		s.peer.heard.Store(s.t.now())
	}
	return n, err
}

// next returns the next frame that isn't a ping. The error is a *fault.
func (s *stream) next() (frame, error) {
	for {
		f, err := s.in.next()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = faultf(Silent, "nothing was heard of a stream for %v", s.t.limits.streamSilence)
		}
		if err != nil {
			return frame{}, err
		}
		s.t.counters.received(len(f.body))
		if f.typ != framePing {
			return f, nil
		}
	}
}

// write writes a frame. The error is a *fault.
func (s *stream) write(f *frame) error {
	f.way = s.way
	s.writing.Lock()
	defer s.writing.Unlock()
	s.buffer = f.append(s.buffer[:0], bodySum(f.body))
	for rest := s.buffer; len(rest) > 0; {
		step := rest[:min(len(rest), writeStep)]
		_ = s.raw.SetWriteDeadline(time.Now().Add(s.t.limits.streamSilence))
		if _, err := s.wire.Write(step); errors.Is(err, os.ErrDeadlineExceeded) {
			return faultf(Stalled, "nothing of a stream was read for %v", s.t.limits.streamSilence)
		} else if err != nil {
			return faultOf(Broken, err)
		}
		rest = rest[len(step):]
	}
	s.t.counters.sent(1, len(s.buffer))
	if cap(s.buffer) > keptBuffer {
		s.buffer = nil
	}
	return nil
}

// send sends a stream and waits for the answer. That may come, as a failure, before all is sent.
func (s *stream) send(m *Message, next func() ([]byte, error)) error {
	answered := make(chan error, 1)
	s.running.Go(func() { answered <- s.answer() })
	err := s.write(&frame{typ: frameStream, kind: m.Kind, shard: m.Shard, body: m.Body})
	for err == nil {
		select {
		case err := <-answered:
			return early(err)
		default:
		}
		part, failure := next()
		switch {
		case failure == io.EOF:
			if err = s.write(&frame{typ: frameEnd}); err == nil {
				return <-answered
			}
		case failure != nil:
			return failure
		case len(part) == 0 || len(part) > s.t.limits.body:
			return holdfast.Errorf(holdfast.Invalid, "a part of %d bytes; it may have 1 to %d", len(part),
				s.t.limits.body)
		default:
			err = s.write(&frame{typ: framePart, body: part})
		}
	}
	// If the peer has refused the stream and closed the connection, it has said why before.
	select {
	case refused := <-answered:
		return early(refused)
	case <-time.After(s.t.limits.ping):
	case <-s.closed:
	}
	return errStream(s.peer.id, err)
}

// early returns the error of an answer that came before the end of the stream.
func early(err error) error {
	if err == nil {
		return holdfast.Errorf(holdfast.Unavailable, "a stream was answered before it ended: outcome unknown")
	}
	return err
}

// answer waits for the answer.
func (s *stream) answer() error {
	f, err := s.next()
	switch {
	case err != nil:
		var why *fault
		if errors.As(err, &why) && s.isOpen() {
			s.t.log.add(why, "a stream to a node broke", "node", s.peer.id)
		}
		return errStream(s.peer.id, err)
	case f.typ == frameFailure:
		return errorOf(f.kind, string(f.body))
	}
	return nil
}

func (s *stream) isOpen() bool {
	select {
	case <-s.closed:
		return false
	default:
		return true
	}
}

// acceptStream takes a stream that the peer has begun, whose handshake is done.
func (p *peer) acceptStream(wire, raw net.Conn) {
	s := newStream(p, wire, raw, false)
	defer s.close()
	ctx, end := context.WithCancel(p.ctx)
	defer end()
	defer context.AfterFunc(ctx, s.close)()
	answer := frame{typ: frameAnswer}
	var why *fault
	switch err := s.take(ctx, end); {
	case errors.As(err, &why):
		if s.isOpen() {
			p.t.log.add(why, "a stream of a node broke", "node", p.id)
		}
		return
	case err != nil:
		kind, text := wireError(err)
		answer = frame{typ: frameFailure, kind: kind, body: []byte(text)}
	}
	if s.write(&answer) == nil {
		s.drain()
	}
}

// take takes the stream. end is called when the connection has broken.
func (s *stream) take(ctx context.Context, end context.CancelFunc) error {
	f, err := s.next()
	if err != nil {
		return err
	}
	if f.typ != frameStream {
		return faultf(Unexpected, "a stream begins with a %v", f.typ)
	}
	m := Message{
		From: s.peer.id, To: s.t.options.Node, Kind: f.kind, Shard: f.shard, Body: s.in.own(f),
	}
	if s.t.options.Accept == nil {
		return holdfast.Errorf(holdfast.Refused, "node %d takes no streams", m.To)
	}
	select {
	case s.peer.receiving <- struct{}{}:
		defer func() { <-s.peer.receiving }()
	default:
		return holdfast.Errorf(holdfast.Overloaded, "%d streams of node %d are under way", cap(s.peer.receiving),
			m.From)
	}
	var broken error
	ended := false
	err = s.t.options.Accept(ctx, m, func() ([]byte, error) {
		switch {
		case broken != nil:
			return nil, broken
		case ended:
			return nil, io.EOF
		}
		f, err := s.next()
		if err == nil && f.typ == frameStream {
			err = faultf(Unexpected, "a stream begins within another")
		}
		switch {
		case err != nil:
			broken = err
			end()
			return nil, err
		case f.typ == frameEnd:
			ended = true
			return nil, io.EOF
		}
		return f.body, nil
	})
	switch {
	case broken != nil:
		return broken
	case err == nil && !ended:
		return holdfast.Errorf(holdfast.Unavailable, "the stream wasn't read to its end: outcome unknown")
	}
	return err
}

// drain reads what the sender still sends until it has the answer, and closes the connection: if
// this end did so first, the answer might be lost.
func (s *stream) drain() {
	for began := time.Now(); time.Since(began) < s.t.limits.streamSilence; {
		if _, err := s.in.next(); err != nil {
			return
		}
	}
}
