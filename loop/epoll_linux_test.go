package loop

import (
	"io"
	"net"
	"syscall"
	"testing"
)

// onLoop opens one end of a connection on l, and returns the other.
func onLoop(t *testing.T, l *Loop, e *events) *net.TCPConn {
	t.Helper()
	served, client := tcpPair(t)
	socket, err := Adopt(served)
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan struct{})
	l.Open(socket, func(s Stream) Handler {
		e.stream = s
		close(opened)
		return e
	}, Limits{})
	await(t, opened, "the stream opens")
	return client
}

// Two streams have events in one round, and the handler of the first closes the other: 1. its event
// is dropped; 2. a stream that takes its descriptor in that round doesn't get it either.
func TestClosedWithinARound(t *testing.T) {
	for _, reuse := range []bool{false, true} {
		l := run(t)
		var streams [2]*events
		done := make(chan struct{})
		closeOther := func(i int) func([]byte) bool {
			return func([]byte) bool {
				other := streams[1-i].stream
				fd := other.FD()
				other.Close()
				if reuse {
					takeDescriptor(t, l, fd, func() { t.Error("a new stream got the event of the one before it") })
				}
				l.Post(func() { close(done) })
				return false
			}
		}
		var clients [2]*net.TCPConn
		for i := range streams {
			streams[i] = &events{received: closeOther(i), ended: func(err error) {
				if err != io.EOF { // that of the test's end
					t.Errorf("ended with %v", err)
				}
			}}
			clients[i] = onLoop(t, l, streams[i])
		}
		blocked, goOn := make(chan struct{}), make(chan struct{})
		l.Post(func() { close(blocked); <-goOn })
		await(t, blocked, "the loop is busy")
		for _, c := range clients {
			c.Write([]byte("x"))
		}
		close(goOn)
		await(t, done, "one has closed the other")
		call(t, streams[0].stream, func() {})
	}
}

// takeDescriptor opens a stream, of a socket that nothing is sent to, with the descriptor fd.
func takeDescriptor(t *testing.T, l *Loop, fd int, asked func()) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Error(err)
		return
	}
	if pair[0] != fd {
		if err := syscall.Dup3(pair[0], fd, syscall.O_CLOEXEC); err != nil {
			t.Error(err)
		}
		syscall.Close(pair[0])
	}
	t.Cleanup(func() { syscall.Close(pair[1]) })
	l.open(fd, func(s Stream) Handler {
		l.Post(s.Close) // after the round
		return &unasked{asked: asked}
	})
}

// unasked is a handler that nothing should come to.
type unasked struct {
	events
	asked func()
}

func (r *unasked) Buffer(shared []byte) []byte { r.asked(); return shared }

// What epoll watches follows what the stream wants, and no event comes that it doesn't want: with
// the wrong ones a loop would spin.
func TestWatchedEvents(t *testing.T) {
	l := run(t)
	e := &events{received: func([]byte) bool { return false }}
	client := onLoop(t, l, e)
	s := e.stream.(*stream)
	watched := func(what string, want uint32) {
		t.Helper()
		for range 20 { // rounds in which the loop hears of what has happened
			call(t, s, func() {})
		}
		call(t, s, func() {
			if s.events != want {
				t.Errorf("%s: epoll watches %#x; want %#x", what, s.events, want)
			}
		})
	}
	watched("at first", syscall.EPOLLIN)
	call(t, s, s.Pause)
	watched("paused, nothing has come", syscall.EPOLLIN)
	client.Write([]byte("x"))
	watched("paused, bytes have come", 0)
	call(t, s, s.Resume)
	watched("resumed", syscall.EPOLLIN)
	written := make(chan struct{})
	left := make([]byte, 16<<20)
	e.writable = func() {
		n, _ := s.Write(left)
		if left = left[n:]; len(left) == 0 {
			close(written)
		}
	}
	call(t, s, e.writable)
	watched("a write was cut short", syscall.EPOLLIN|syscall.EPOLLOUT)
	go drainAll(client)
	await(t, written, "all is written")
	watched("all is written", syscall.EPOLLIN)
	call(t, s, s.Close)
}

func drainAll(c net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		if _, err := c.Read(buffer); err != nil {
			return
		}
	}
}
