package loop

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// These tests hold for every Stream, whether a loop or a goroutine serves it, and run over both. On
// systems without epoll both are goroutines.

// events is a handler that is made of functions; a nil one does nothing.
type events struct {
	stream   Stream
	buffer   []byte
	received func(p []byte) bool
	writable func()
	ended    func(error)
}

func (e *events) Buffer(shared []byte) []byte { e.buffer = shared; return shared }

func (e *events) Received(n int) bool {
	if e.received == nil {
		return false
	}
	return e.received(e.buffer[:n])
}

func (e *events) Writable() {
	if e.writable != nil {
		e.writable()
	}
}

func (e *events) Ended(err error) {
	e.stream.Close()
	if e.ended != nil {
		e.ended(err)
	}
}

// A form is a kind of stream: open serves conn, on l if it is a loop's, with the handler that
// opened returns.
type form struct {
	name string
	open func(t *testing.T, l *Loop, conn net.Conn, opened func(Stream) Handler)
}

var forms = []form{
	{"loop", func(t *testing.T, l *Loop, conn net.Conn, opened func(Stream) Handler) {
		socket, err := Adopt(conn)
		if err != nil {
			t.Fatal(err)
		}
		l.Open(socket, opened, Limits{})
	}},
	{"go", func(_ *testing.T, _ *Loop, conn net.Conn, opened func(Stream) Handler) { Go(conn, opened, Limits{}) }},
}

// overForms runs a test over each form. serve opens one end of a new connection with a handler and
// returns the other end.
func overForms(t *testing.T, test func(t *testing.T, serve func(e *events) *net.TCPConn)) {
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			test(t, func(e *events) *net.TCPConn {
				served, client := tcpPair(t)
				opened := make(chan struct{})
				f.open(t, run(t), served, func(s Stream) Handler {
					e.stream = s
					close(opened)
					return e
				})
				await(t, opened, "the stream opens")
				return client
			})
		})
	}
}

func tcpPair(t *testing.T) (served net.Conn, client *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	served, err = listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return served, conn.(*net.TCPConn)
}

func await[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("waited in vain until %s", what)
	}
	return v
}

// call runs f in turn with the handler's calls and waits for its end.
func call(t *testing.T, s Stream, f func()) {
	t.Helper()
	done := make(chan struct{})
	s.Post(func() { f(); close(done) })
	await(t, done, "a posted function runs")
}

// A stream that is closed by its own handler, while bytes are still coming, has no more calls but
// those of functions that were posted.
func TestNoCallAfterClose(t *testing.T) {
	overForms(t, func(t *testing.T, serve func(*events) *net.TCPConn) {
		var calls atomic.Int64
		e := &events{}
		e.received = func([]byte) bool {
			if calls.Add(1) == 3 {
				e.stream.Close()
				e.stream.Close() // is allowed
			} else if calls.Load() > 3 {
				t.Error("Received after Close")
			}
			return false
		}
		e.writable = func() { t.Error("Writable, though nothing was cut short") }
		e.ended = func(err error) { t.Errorf("Ended with %v after Close", err) }
		client := serve(e)
		for {
			if _, err := client.Write([]byte("x")); err != nil {
				break // the reset has come
			}
			runtime.Gosched()
		}
		ran := false
		call(t, e.stream, func() { ran = true })
		if !ran || calls.Load() != 3 {
			t.Errorf("posted function ran: %v; %d calls; want true and 3", ran, calls.Load())
		}
	})
}

// A write that is cut short is followed by Writable once the client reads, and by as many as it
// takes; Close between the two is followed by none.
func TestPartialWrites(t *testing.T) {
	sent := make([]byte, 16<<20) // more than the sockets hold
	for i := range sent {
		sent[i] = byte(i >> 8)
	}
	overForms(t, func(t *testing.T, serve func(*events) *net.TCPConn) {
		e, left := &events{}, sent
		done := make(chan struct{})
		write := func() {
			half := len(left) / 2
			n, err := e.stream.Writev([][]byte{left[:half], nil, left[half:]})
			if err != nil {
				t.Errorf("after %d bytes: %v", len(sent)-len(left), err)
			}
			if left = left[n:]; len(left) == 0 {
				close(done)
			}
		}
		e.writable = write
		client := serve(e)
		e.stream.Post(write)
		got := make([]byte, len(sent))
		if n, err := io.ReadFull(client, got); err != nil {
			t.Fatalf("after %d bytes: %v", n, err)
		}
		await(t, done, "all is written")
		if !bytes.Equal(got, sent) {
			t.Error("the bytes arrive changed, or in another order")
		}
	})
}

// Writev takes more pieces than one system call, and empty ones.
func TestManyPieces(t *testing.T) {
	overForms(t, func(t *testing.T, serve func(*events) *net.TCPConn) {
		e := &events{}
		client := serve(e)
		var pieces [][]byte
		var want []byte
		for i := range 1000 {
			p := bytes.Repeat([]byte{byte(i)}, i%7)
			pieces, want = append(pieces, p), append(want, p...)
		}
		call(t, e.stream, func() {
			if n, err := e.stream.Writev(pieces); n != len(want) || err != nil {
				t.Errorf("Writev: %d, %v; want %d", n, err, len(want))
			}
		})
		got := make([]byte, len(want))
		if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("got other bytes (%v)", err)
		}
	})
}

// A paused stream receives nothing until it resumes, and then all of it in order. Pause and Resume
// come from posted functions of several goroutines.
func TestPauseKeepsOrder(t *testing.T) {
	overForms(t, func(t *testing.T, serve func(*events) *net.TCPConn) {
		const total = 1 << 20
		var got []byte
		paused, all := false, make(chan struct{})
		e := &events{}
		e.received = func(p []byte) bool {
			if paused {
				t.Error("Received while paused")
			}
			if got = append(got, p...); len(got) == total {
				close(all)
			}
			return false
		}
		client := serve(e)
		var others, posted sync.WaitGroup
		post := func(f func()) {
			posted.Add(1)
			e.stream.Post(func() { f(); posted.Done() })
		}
		for range 3 {
			others.Go(func() {
				for range 100 {
					post(func() { paused = true; e.stream.Pause() })
					runtime.Gosched()
					post(func() { paused = false; e.stream.Resume() })
				}
			})
		}
		sent := make([]byte, total)
		for i := range sent {
			sent[i] = byte(i / 251)
		}
		others.Go(func() {
			for p := range slices.Chunk(sent, 1000) {
				client.Write(p)
			}
		})
		others.Wait()
		posted.Wait() // posts to a goroutine's stream may overtake each other: the last may be a Pause
		call(t, e.stream, func() { paused = false; e.stream.Resume() })
		await(t, all, "all bytes come")
		call(t, e.stream, func() {
			if !bytes.Equal(got, sent) {
				t.Error("the bytes arrive changed, or in another order")
			}
		})
	})
}

// What comes while a stream is paused waits, and comes after Resume.
func TestPausedReceivesNothing(t *testing.T) {
	overForms(t, func(t *testing.T, serve func(*events) *net.TCPConn) {
		received := make(chan string, 2)
		e := &events{}
		e.received = func(p []byte) bool { received <- string(p); return false }
		client := serve(e)
		call(t, e.stream, e.stream.Pause)
		if _, err := client.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		for range 20 { // a loop polls before each of these, and finds what came
			call(t, e.stream, func() {})
		}
		if len(received) > 0 {
			t.Error("Received while paused")
		}
		call(t, e.stream, e.stream.Resume)
		if got := await(t, received, "the bytes come"); got != "x" {
			t.Errorf("got %q; want x", got)
		}
	})
}

// What Received keeps stays as it is while others use the loop's buffers, until Free.
func TestKeptBytesStay(t *testing.T) {
	overForms(t, func(t *testing.T, serve func(*events) *net.TCPConn) {
		kept := make(chan []byte, 1)
		e := &events{}
		e.received = func(p []byte) bool {
			e.stream.Pause()
			kept <- p
			return true
		}
		client := serve(e)
		for round := range 50 {
			want := bytes.Repeat([]byte{byte(round + 1)}, 1+round*11)
			if _, err := client.Write(want); err != nil {
				t.Fatal(err)
			}
			p := await(t, kept, "bytes come")
			call(t, e.stream, func() {
				if !bytes.Equal(p, want[:len(p)]) {
					t.Errorf("round %d: kept bytes have changed", round)
				}
				e.stream.Free()
				e.stream.Free() // is allowed
				e.stream.Resume()
			})
			for rest := len(want) - len(p); rest > 0; { // what came in a second piece
				p := await(t, kept, "the rest comes")
				rest -= len(p)
				call(t, e.stream, func() { e.stream.Free(); e.stream.Resume() })
			}
		}
	})
}

// Ended is called once when the client closes, with EOF, also on a stream that was paused then.
func TestEndedIsCalledOnce(t *testing.T) {
	overForms(t, func(t *testing.T, serve func(*events) *net.TCPConn) {
		for _, pause := range []bool{false, true} {
			ended := make(chan error, 2)
			e := &events{ended: func(err error) { ended <- err }}
			client := serve(e)
			if pause {
				call(t, e.stream, e.stream.Pause)
			}
			client.CloseWrite()
			call(t, e.stream, e.stream.Resume)
			if err := await(t, ended, "Ended is called"); err != io.EOF {
				t.Errorf("paused %v: ended with %v; want EOF", pause, err)
			}
			call(t, e.stream, func() { e.stream.Resume() }) // after the end: nothing
			if len(ended) != 0 {
				t.Errorf("paused %v: ended a second time, with %v", pause, <-ended)
			}
		}
	})
}

// Reset gives the peer a reset rather than an orderly end.
func TestResetIsSeen(t *testing.T) {
	overForms(t, func(t *testing.T, serve func(*events) *net.TCPConn) {
		e := &events{}
		client := serve(e)
		call(t, e.stream, func() { e.stream.Reset(); e.stream.Reset() })
		if n, err := client.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("read %d, %v; want a reset", n, err)
		}
	})
}

// A handler's calls and posted functions of many goroutines come one at a time.
func TestCallsComeOneAtATime(t *testing.T) {
	overForms(t, func(t *testing.T, serve func(*events) *net.TCPConn) {
		const goroutines, posts = 8, 200
		count, inside := 0, false // unguarded on purpose: the race detector watches
		alone := func(f func()) {
			if inside {
				t.Error("two calls at once")
			}
			inside = true
			f()
			runtime.Gosched()
			inside = false
		}
		e := &events{}
		e.received = func([]byte) bool { alone(func() {}); return false }
		client := serve(e)
		var posters, posted sync.WaitGroup
		posted.Add(goroutines * posts)
		for range goroutines {
			posters.Go(func() {
				for range posts {
					e.stream.Post(func() { alone(func() { count++ }); posted.Done() })
				}
			})
		}
		for range 200 {
			client.Write([]byte("x"))
		}
		posters.Wait()
		posted.Wait()
		call(t, e.stream, func() {
			if count != goroutines*posts {
				t.Errorf("%d functions ran; want %d", count, goroutines*posts)
			}
		})
	})
}

// The names of a stream's ends are those of the client's the other way round.
func TestAddresses(t *testing.T) {
	overForms(t, func(t *testing.T, serve func(*events) *net.TCPConn) {
		e := &events{}
		client := serve(e)
		local, remote := "tcp:"+client.RemoteAddr().String(), "tcp:"+client.LocalAddr().String()
		if e.stream.LocalAddr() != local || e.stream.RemoteAddr() != remote || e.stream.FD() <= 0 {
			t.Errorf("got %s, %s, descriptor %d; want %s, %s",
				e.stream.LocalAddr(), e.stream.RemoteAddr(), e.stream.FD(), local, remote)
		}
	})
}

// Timers fire in the order of their times, never before, whichever way they were set and others of
// them stopped: a heap against a sorted list.
func TestTimersAgainstAList(t *testing.T) {
	type entry struct {
		when  int64
		id    int
		timer *Timer
	}
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		var heap timers
		var list []entry
		var fired []int
		base := time.Unix(1000, 0)
		now := int64(0)
		for id := range 300 {
			switch {
			case random.IntN(4) > 0 || len(list) == 0:
				when := now + random.Int64N(50)
				timer := heap.add(base.Add(time.Duration(when)), func() { fired = append(fired, id) })
				list = append(list, entry{when, id, timer})
			case random.IntN(2) == 0:
				i := random.IntN(len(list))
				heap.stop(list[i].timer)
				heap.stop(list[i].timer)
				list = slices.Delete(list, i, i+1)
			default:
				now += random.Int64N(20)
				slices.SortStableFunc(list, func(a, b entry) int { return int(a.when - b.when) })
				due := 0
				for due < len(list) && list[due].when <= now {
					due++
				}
				fired = nil
				heap.fire(base.Add(time.Duration(now)))
				if len(fired) != due {
					t.Fatalf("seed %d, time %d: %d timers fired; want %d", seed, now, len(fired), due)
				}
				for i, id := range fired {
					j := slices.IndexFunc(list[:due], func(e entry) bool { return e.id == id })
					if j < 0 || list[j].when != list[i].when {
						t.Fatalf("seed %d, time %d: timer %d fired out of order", seed, now, id)
					}
				}
				for _, e := range list[:due] {
					heap.stop(e.timer) // after it fired: nothing
				}
				list = list[due:]
			}
			if len(heap) != len(list) {
				t.Fatalf("seed %d: %d timers are set; want %d", seed, len(heap), len(list))
			}
		}
	}
}

// A timer that is set while others fire waits for the next round, also where it is due.
func TestTimersSetWhileFiring(t *testing.T) {
	var heap timers
	now, fired := time.Unix(1000, 0), 0
	var again func()
	again = func() { fired++; heap.add(now, again) }
	heap.add(now, again)
	for round := 1; round <= 3; round++ {
		heap.fire(now)
		if fired != round {
			t.Fatalf("round %d: %d timers fired", round, fired)
		}
	}
}

// A timer that sets itself again, and a function that posts itself again, leave the loop time for
// others.
func TestNoTimerKeepsTheLoop(t *testing.T) {
	l := run(t)
	done := make(chan struct{})
	turns := 0
	var again, post func()
	again = func() { l.After(0, again) }
	post = func() {
		if turns++; turns < 1000 {
			l.Post(post)
			return
		}
		close(done)
	}
	l.Post(again)
	l.Post(post)
	await(t, done, "the posts run beside the timer")
}

// Run ends at Stop, after what was posted before it.
func TestStopRunsWhatWasPostedBefore(t *testing.T) {
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for range 100 {
		l.Post(func() { ran++ })
	}
	l.Stop()
	l.Run()
	if ran != 100 {
		t.Errorf("%d functions ran; want 100", ran)
	}
}
