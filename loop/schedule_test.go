package loop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"
)

// A waitLock is the lock of a condition, and reports when somebody waits for that.
type waitLock struct {
	sync.Locker
	waits chan struct{}
}

// Unlock is called by Wait.
func (l waitLock) Unlock() {
	select {
	case l.waits <- struct{}{}:
	default:
	}
	l.Locker.Unlock()
}

// heldConn is a connection whose Read returns what the test sends.
type heldConn struct {
	net.Conn
	reading chan struct{}
	bytes   chan string
}

func (c *heldConn) Read(p []byte) (int, error) {
	c.reading <- struct{}{}
	return copy(p, <-c.bytes), nil
}

// 1. A goroutine's stream reads. 2. A posted function pauses it. 3. The read returns bytes. They
// wait for Resume.
func TestPausedDuringARead(t *testing.T) {
	client, served := net.Pipe()
	defer client.Close()
	conn := &heldConn{Conn: served, reading: make(chan struct{}), bytes: make(chan string)}
	received, waits := make(chan string, 1), make(chan struct{}, 1)
	e := &events{received: func(p []byte) bool { received <- string(p); return false }}
	Go(conn, func(s Stream) Handler {
		e.stream = s
		s.(*goStream).resumed.L = waitLock{&s.(*goStream).mu, waits}
		return e
	}, Limits{})
	await(t, conn.reading, "the stream reads")
	call(t, e.stream, e.stream.Pause)
	conn.bytes <- "x"
	select {
	case <-waits:
	case got := <-received:
		t.Fatalf("received %q while paused", got)
	}
	call(t, e.stream, e.stream.Resume)
	if got := await(t, received, "the bytes come"); got != "x" {
		t.Errorf("got %q; want x", got)
	}
	await(t, conn.reading, "the stream reads again")
	call(t, e.stream, e.stream.Close)
	conn.bytes <- "y"
}

// A scheduled is a handler that does random things, and checks each call against what a stream
// promises. Its fields are for its calls and for posted functions.
type scheduled struct {
	t      *testing.T
	seed   uint64
	random *rand.Rand
	stream Stream
	posted sync.WaitGroup // functions that have not run

	buffer []byte
	shared bool   // buffer is the loop's
	got    []byte // received
	queue  []byte // to be written
	out    []byte // taken by Write and Writev

	kept   []byte // what Received keeps
	copied []byte // a copy of that
	pauses int    // that a posted function will end
	short  bool   // the last write was cut short
	closed bool
	ended  chan error
}

func (s *scheduled) fail(what string) {
	s.t.Helper()
	s.t.Errorf("seed %d: %s", s.seed, what)
}

func (s *scheduled) post(f func()) {
	s.posted.Add(1)
	s.stream.Post(func() {
		defer s.posted.Done()
		f()
	})
}

func (s *scheduled) Buffer(shared []byte) []byte {
	if s.closed || s.kept != nil {
		s.fail("Buffer after Close, or while bytes are kept")
	}
	switch s.shared = true; s.random.IntN(4) {
	case 0:
		s.buffer, s.shared = make([]byte, 1+s.random.IntN(3000)), false
	case 1:
		s.buffer = shared[s.random.IntN(MinShared/2):]
	default:
		s.buffer = shared
	}
	return s.buffer
}

func (s *scheduled) Received(n int) bool {
	if s.closed || s.pauses > 0 || n <= 0 || n > len(s.buffer) {
		s.fail("Received after Close, while paused, or with a wrong length")
	}
	s.got = append(s.got, s.buffer[:n]...)
	switch s.random.IntN(4) {
	case 0:
		s.pause()
	case 1:
		s.write(s.random.IntN(30_000))
	case 2:
		if s.shared {
			s.kept, s.copied = s.buffer[:n], bytes.Clone(s.buffer[:n])
			s.pause()
			return true
		}
	}
	return false
}

// pause has a posted function end the pause, and free what is kept.
func (s *scheduled) pause() {
	s.pauses++
	s.stream.Pause()
	s.post(func() {
		if s.pauses--; s.pauses > 0 || s.closed {
			return
		}
		if !bytes.Equal(s.kept, s.copied) {
			s.fail("kept bytes have changed")
		}
		s.kept, s.copied = nil, nil
		s.stream.Free()
		s.stream.Resume()
	})
}

// write writes so many bytes more; those that are not taken follow with Writable.
func (s *scheduled) write(n int) {
	if s.closed {
		return
	}
	for range n {
		s.queue = append(s.queue, byte(len(s.out)+len(s.queue)))
	}
	if !s.short {
		s.flush()
	}
}

func (s *scheduled) flush() {
	n, err := 0, error(nil)
	if s.random.IntN(2) == 0 {
		n, err = s.stream.Write(s.queue)
	} else {
		var pieces [][]byte
		for rest := s.queue; len(rest) > 0; {
			k := min(len(rest), s.random.IntN(2+len(s.queue)/40)) // some are empty
			pieces, rest = append(pieces, rest[:k]), rest[k:]
		}
		n, err = s.stream.Writev(pieces)
	}
	if err != nil || n < len(s.queue) && !s.stream.Grouped() {
		s.fail(fmt.Sprintf("a write of %d bytes: got %d, %v", len(s.queue), n, err))
	}
	s.out = append(s.out, s.queue[:n]...)
	s.queue = s.queue[n:]
	s.short = len(s.queue) > 0
}

func (s *scheduled) Writable() {
	if s.closed || !s.short {
		s.fail("Writable after Close, or without a write that was cut short")
	}
	s.flush()
}

func (s *scheduled) Ended(err error) {
	if s.closed {
		s.fail("Ended after Close, or twice")
	}
	s.close(s.stream.Close)
	s.ended <- err
}

func (s *scheduled) close(by func()) {
	if !s.closed {
		s.closed = true
		by()
		s.stream.Free()
	}
}

// Random schedules of reads, writes, pauses and closes, of both ends: each call of the handler is
// one that the stream may make then; bytes arrive whole and in order; and the end is the one that
// the other side made. Some streams share a loop.
func TestRandomSchedules(t *testing.T) {
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			l := run(t)
			for seed := range uint64(20) {
				random := rand.New(rand.NewPCG(seed, 0))
				schedules := make([]*schedule, 3)
				for i := range schedules {
					schedules[i] = newSchedule(t, f, l, seed*10+uint64(i))
				}
				for range 80 {
					schedules[random.IntN(len(schedules))].step(random)
				}
				for _, s := range schedules {
					s.end(random.IntN(4))
				}
			}
		})
	}
}

// A schedule is a stream and its client.
type schedule struct {
	*scheduled
	client *net.TCPConn
	sent   []byte      // by the client
	read   chan []byte // all that the client has read, once it has read the end
}

func newSchedule(t *testing.T, f form, l *Loop, seed uint64) *schedule {
	s := &schedule{read: make(chan []byte), scheduled: &scheduled{
		t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 1)), ended: make(chan error, 2),
	}}
	served, client := tcpPair(t)
	s.client = client
	served.(*net.TCPConn).SetWriteBuffer(16 << 10) // so that writes are cut short
	opened := make(chan struct{})
	f.open(t, l, served, func(stream Stream) Handler {
		s.stream = stream
		close(opened)
		return s.scheduled
	})
	await(t, opened, "the stream opens")
	go func() {
		all, _ := io.ReadAll(client) // an error is a reset
		s.read <- all
	}()
	return s
}

func (s *schedule) step(random *rand.Rand) {
	switch random.IntN(5) {
	case 0:
		s.post(func() {
			if !s.closed {
				s.pause()
			}
		})
	case 1:
		n := random.IntN(1 << 18)
		s.post(func() { s.write(n) })
	default:
		p := make([]byte, random.IntN(20_000))
		for i := range p {
			p[i] = byte((len(s.sent) + i) / 3)
		}
		n, err := s.client.Write(p)
		if s.sent = append(s.sent, p[:n]...); err != nil {
			s.t.Fatalf("seed %d: %v", s.seed, err)
		}
	}
}

// end ends the stream from its side at once, or from the client's once all has arrived.
func (s *schedule) end(how int) {
	all := how > 1
	switch how {
	case 0:
		call(s.t, s.stream, func() { s.close(s.stream.Close) })
	case 1:
		call(s.t, s.stream, func() { s.close(s.stream.Reset) })
	default:
		deadline := time.Now().Add(patience)
		for idle := false; !idle; runtime.Gosched() {
			call(s.t, s.stream, func() { idle = len(s.queue) == 0 && len(s.got) == len(s.sent) })
			if time.Now().After(deadline) {
				s.t.Fatalf("seed %d: bytes never come, or are never written", s.seed)
			}
		}
		s.client.CloseWrite()
		if err := await(s.t, s.ended, "the stream ends"); !errors.Is(err, io.EOF) {
			s.t.Errorf("seed %d: ended with %v; want EOF", s.seed, err)
		}
	}
	answers := await(s.t, s.read, "the client has read all")
	s.posted.Wait()
	call(s.t, s.stream, func() {
		if !bytes.HasPrefix(s.sent, s.got) || all && len(s.got) != len(s.sent) {
			s.t.Errorf("seed %d: received %d bytes; want the %d that were sent", s.seed, len(s.got), len(s.sent))
		}
		if !bytes.HasPrefix(s.out, answers) || all && len(answers) != len(s.out) {
			s.t.Errorf("seed %d: the client got %d bytes; want the %d that were written", s.seed, len(answers), len(s.out))
		}
		if len(s.ended) > 0 {
			s.t.Errorf("seed %d: the stream ended twice, or after Close", s.seed)
		}
	})
	s.client.Close()
}
