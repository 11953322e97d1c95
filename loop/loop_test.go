package loop

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const patience = 20 * time.Second

// run runs a loop until the test ends.
func run(t testing.TB) *Loop {
	t.Helper()
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		l.Run()
		close(ended)
	}()
	t.Cleanup(func() {
		l.Stop()
		<-ended
	})
	return l
}

func TestPostRunsAllInOrder(t *testing.T) {
	l := run(t)
	var posters sync.WaitGroup
	const posts = 1000
	var last [4]int // of the loop
	done := make(chan struct{})
	for i := range last {
		posters.Go(func() {
			for n := 1; n <= posts; n++ {
				l.Post(func() {
					if last[i] != n-1 {
						t.Errorf("poster %d: %d after %d", i, n, last[i])
					}
					last[i] = n
				})
			}
		})
	}
	posters.Wait()
	l.Post(func() { close(done) })
	<-done
}

func TestPostWakesASleepingLoop(t *testing.T) {
	l := run(t)
	for range 2000 {
		done := make(chan struct{})
		l.Post(func() { close(done) })
		select {
		case <-done:
		case <-time.After(patience):
			t.Fatal("the loop sleeps on")
		}
	}
}

func TestTimers(t *testing.T) {
	l := run(t)
	order := make(chan int, 3)
	l.Post(func() {
		l.After(20*time.Millisecond, func() { order <- 2 })
		never := l.After(10*time.Millisecond, func() { order <- 0 })
		l.After(time.Millisecond, func() {
			order <- 1
			l.Cancel(never)
			l.Cancel(never)
		})
	})
	if a, b := <-order, <-order; a != 1 || b != 2 {
		t.Errorf("timers %d, %d; want 1, 2", a, b)
	}
}

// echo sends back what it gets. It keeps every other piece until a posted function sends it.
type echo struct {
	t      *testing.T
	stream Stream
	buffer []byte
	out    []byte // not sent yet
	calls  int
	kept   bool
	ended  chan error
	inside atomic.Bool // calls come one at a time
}

func (e *echo) enter() {
	if e.inside.Swap(true) {
		e.t.Error("two calls at once")
	}
}

func (e *echo) leave() { e.inside.Store(false) }

func (e *echo) Buffer(shared []byte) []byte {
	if len(shared) < MinShared {
		e.t.Errorf("%d bytes of buffer", len(shared))
	}
	e.buffer = shared
	return shared
}

func (e *echo) Received(n int) bool {
	e.enter()
	defer e.leave()
	e.calls++
	if e.calls%2 == 0 {
		e.out = bytes.Clone(e.buffer[:n])
		e.flush()
		return false
	}
	e.out, e.kept = e.buffer[:n], true // in the loop's memory
	e.stream.Pause()
	e.stream.Post(func() {
		e.enter()
		defer e.leave()
		e.flush()
	})
	return true
}

func (e *echo) flush() {
	half := len(e.out) / 2
	n, err := e.stream.Writev([][]byte{e.out[:half], nil, e.out[half:]})
	if err != nil {
		e.stream.Close()
		return
	}
	e.out = e.out[n:]
	if len(e.out) > 0 {
		e.stream.Pause()
		return
	}
	if e.kept {
		e.kept = false
		e.stream.Free()
	}
	e.stream.Resume()
}

func (e *echo) Writable() {
	e.enter()
	defer e.leave()
	e.flush()
}

func (e *echo) Ended(err error) {
	e.stream.Close()
	e.ended <- err
}

// pair returns a client's end, and the error that ends the other, which echoes.
func pair(t *testing.T, serve func(net.Listener, func(Stream) Handler)) (net.Conn, chan error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	ended := make(chan error, 1)
	serve(listener, func(s Stream) Handler { return &echo{t: t, stream: s, ended: ended} })
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { conn.Close() })
	return conn, ended
}

// overBoth runs a test over a loop's streams and over those of Go.
func overBoth(t *testing.T, test func(*testing.T, net.Conn, chan error)) {
	t.Run("loop", func(t *testing.T) {
		l := run(t)
		conn, ended := pair(t, func(listener net.Listener, opened func(Stream) Handler) {
			accepting := make(chan error)
			l.Post(func() {
				acceptor, err := l.Accept(listener, 10, func(s Socket) { l.Open(s, opened, Limits{}) },
					func(err error) { t.Error(err) })
				if err == nil {
					t.Cleanup(func() { acceptor.Close() })
				}
				accepting <- err
			})
			if err := <-accepting; err != nil {
				t.Fatal(err)
			}
		})
		test(t, conn, ended)
	})
	t.Run("go", func(t *testing.T) {
		conn, ended := pair(t, func(listener net.Listener, opened func(Stream) Handler) {
			acceptor := GoAccept(listener, func(c net.Conn) { Go(c, opened, Limits{}) }, func(err error) { t.Error(err) })
			t.Cleanup(func() { acceptor.Close() })
		})
		test(t, conn, ended)
	})
}

func TestEcho(t *testing.T) {
	overBoth(t, func(t *testing.T, conn net.Conn, ended chan error) {
		sent := bytes.Repeat([]byte("0123456789abcdefg"), 1_000_000) // more than the sockets hold
		go conn.Write(sent)
		got := make([]byte, len(sent))
		if n, err := io.ReadFull(conn, got); err != nil {
			t.Fatalf("after %d bytes: %v", n, err)
		}
		if !bytes.Equal(got, sent) {
			t.Error("the echo differs")
		}
		conn.Close()
		if err := <-ended; err != io.EOF {
			t.Errorf("ended with %v; want EOF", err)
		}
	})
}

func TestReset(t *testing.T) {
	overBoth(t, func(t *testing.T, conn net.Conn, ended chan error) {
		conn.Write([]byte("ab"))
		if _, err := io.ReadFull(conn, make([]byte, 2)); err != nil {
			t.Fatal(err)
		}
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
		if err := <-ended; err == nil || errors.Is(err, io.EOF) {
			t.Errorf("ended with %v; want a reset", err)
		}
	})
}

// A garbage collection stops the world, which a loop that is busy must not hold up.
func TestBusyLoopStopsForTheWorld(t *testing.T) {
	overBoth(t, func(t *testing.T, conn net.Conn, _ chan error) {
		var stop atomic.Bool
		var client sync.WaitGroup
		client.Go(func() {
			for b := make([]byte, 1); !stop.Load(); {
				conn.Write(b)
				if _, err := io.ReadFull(conn, b); err != nil {
					t.Error(err)
					return
				}
			}
		})
		for range 20 {
			runtime.GC()
		}
		stop.Store(true)
		client.Wait()
	})
}

func TestBuffers(t *testing.T) {
	var b buffers
	buffer := b.next()
	copy(buffer, "first")
	first := b.keep(5)
	if second := b.next(); &second[0] == &buffer[0] {
		t.Error("kept bytes would be overwritten")
	}
	slabs := map[*slab]int{first: 1}
	for range 20 {
		b.next()
		slabs[b.keep(receiveBytes)]++
	}
	if string(buffer[:5]) != "first" {
		t.Errorf("kept bytes are %q", buffer[:5])
	}
	for s, kept := range slabs {
		for range kept {
			b.free(s)
		}
		if s.used != 0 || s.kept != 0 {
			t.Errorf("a free slab has %d bytes used, %d pieces kept", s.used, s.kept)
		}
	}
	if len(b.spare) == 0 || len(b.spare) > spareSlabs {
		t.Errorf("%d spare slabs; want 1 to %d", len(b.spare), spareSlabs)
	}
}

// A connection that was dialled is served by a loop like one that was accepted.
func TestAdopt(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	l := run(t)
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	socket, err := Adopt(conn)
	if err != nil {
		t.Fatal(err)
	}
	l.Open(socket, func(s Stream) Handler { return &echo{t: t, stream: s, ended: make(chan error, 1)} }, Limits{})
	peer, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	peer.SetDeadline(time.Now().Add(patience))
	if _, err := peer.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(peer, got); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v; want what was sent", got, err)
	}
}

// What was posted is followed by a call of what Rounded was given, before the loop blocks.
func TestRoundedComesAfterWhatWasPosted(t *testing.T) {
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	posted := false
	l.Rounded(func() {
		if posted {
			l.Stop()
		}
	})
	l.Post(func() { posted = true })
	l.Run()
}
