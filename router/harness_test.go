package router

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/cache"
	"holdfast/loop"
	"holdfast/mc"
	"holdfast/route"
	"holdfast/server"
)

// patience bounds every wait of these tests.
const patience = 20 * time.Second

var quiet = slog.New(slog.DiscardHandler)

// A running is a router whose loops run until the test ends.
type running struct {
	*Router
	t     testing.TB
	loops []*loop.Loop
	stop  func() // as the end of the test does
}

// run runs a router with o on as many loops as it is to have lanes.
func run(t testing.TB, o route.Options, lanes int) *running {
	t.Helper()
	return runWith(t, o, lanes, Parts{})
}

// runWith is run with further parts.
func runWith(t testing.TB, o route.Options, lanes int, parts Parts) *running {
	t.Helper()
	r := &running{t: t}
	for range lanes {
		l, err := loop.New()
		if err != nil {
			t.Fatal(err)
		}
		r.loops = append(r.loops, l)
	}
	var err error
	parts.Loops, parts.Log = r.loops, quiet
	if r.Router, err = New(o, parts); err != nil {
		t.Fatal(err)
	}
	var ended sync.WaitGroup
	for _, l := range r.loops {
		ended.Go(l.Run)
	}
	r.stop = sync.OnceFunc(func() {
		for _, l := range r.loops {
			l.Stop()
		}
		ended.Wait()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// ask sends requests by a lane as one connection's input, and returns the answers to all of them.
func (r *running) ask(lane int, requests string) string { return r.askFrom(lane, requests, true) }

// askFrom is ask from the lane's loop, or from a goroutine beside it, as for a connection over TLS.
func (r *running) askFrom(lane int, requests string, onLoop bool) string {
	var d mc.Decoder
	input := []byte(requests)
	out := ""
	for len(input) > 0 {
		done := make(chan struct{}, 1)
		b := mc.NewBatch(func(*mc.Batch) { done <- struct{}{} })
		b.Lane, b.OnLoop = lane, onLoop
		used, err := d.Decode(input, b)
		if err != nil || used == 0 {
			r.t.Errorf("%.60q: %v", input, err)
			return out
		}
		input = input[used:]
		for b.Next < len(b.Requests) {
			if onLoop {
				r.loops[lane].Post(func() { r.Serve(b) })
			} else {
				r.Serve(b)
			}
			select {
			case <-done:
			case <-time.After(patience):
				r.t.Errorf("%.60q: no answer", requests)
				return out
			}
			out += string(b.Out)
			b.ResetOut()
		}
	}
	return out
}

// want checks the answer to requests.
func (r *running) want(lane int, requests, want string) {
	r.t.Helper()
	if got := r.ask(lane, requests); got != want {
		r.t.Errorf("%q: got %q; want %q", requests, got, want)
	}
}

// await waits until f is true.
func await(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// state is that of a pool's member.
func (r *running) state(pool, member int) string { return r.Pools()[pool].Members[member].State }

// A cacheServer is a cache of ours behind a listener of its own.
type cacheServer struct {
	store  *cache.Store
	server *server.Server
}

func (s *cacheServer) address() string { return s.server.Addrs()[0].String() }

func startCache(t testing.TB) *cacheServer {
	t.Helper()
	store, err := cache.Open(cache.Options{MemoryBytes: 16 << 20, Lanes: 1})
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(server.Options{
		Listeners: []server.Listener{{Address: "127.0.0.1:0"}}, Threads: 1, Logger: quiet,
	}, store)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Shutdown(t.Context())
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return &cacheServer{store, s}
}

// A cutter is a way to a member that can be cut.
type cutter struct {
	to       string
	listener net.Listener

	mu    sync.Mutex // guards all below
	open  map[net.Conn]bool
	cut   bool // connections are closed as they come
	stall sync.RWMutex
	chop  atomic.Int64 // more than 0: so many bytes go on at once

	answers atomic.Pointer[func(answer []byte)] // is given what the member says before it goes on
}

func startCutter(t testing.TB, to string) *cutter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{to: to, listener: listener, open: map[net.Conn]bool{}}
	var ended sync.WaitGroup
	ended.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			ended.Go(func() { c.pass(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		c.setCut(true)
		ended.Wait()
	})
	return c
}

func (c *cutter) address() string { return c.listener.Addr().String() }

// setCut closes what is open, and what comes, or lets connections be made again.
func (c *cutter) setCut(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	if cut {
		for conn := range c.open {
			conn.Close()
		}
		clear(c.open)
	}
}

// holding has the next answer that contains mark wait until release is called. held is closed once
// the member has said it.
func (c *cutter) holding(mark string) (held <-chan struct{}, release func()) {
	said, goOn := make(chan struct{}), make(chan struct{})
	hold := func(answer []byte) {
		if bytes.Contains(answer, []byte(mark)) {
			c.answers.Store(nil)
			close(said)
			<-goOn
		}
	}
	c.answers.Store(&hold)
	return said, sync.OnceFunc(func() { close(goOn) })
}

// keep notes a connection; false if the way is cut.
func (c *cutter) keep(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		conn.Close()
		return false
	}
	c.open[conn] = true
	return true
}

func (c *cutter) pass(conn net.Conn) {
	defer conn.Close()
	if !c.keep(conn) {
		return
	}
	member, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer member.Close()
	if !c.keep(member) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { c.copy(member, conn, false) })
	both.Go(func() { c.copy(conn, member, true) })
	both.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
	delete(c.open, member)
}

// copy passes bytes on, except while stalled.
func (c *cutter) copy(to, from net.Conn, answers bool) {
	defer to.Close()
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		for rest := buffer[:n]; len(rest) > 0 && err == nil; {
			piece := rest
			if chop := int(c.chop.Load()); chop > 0 {
				piece = rest[:min(chop, len(rest))]
			}
			rest = rest[len(piece):]
			if f := c.answers.Load(); f != nil && answers {
				(*f)(piece)
			}
			c.stall.RLock()
			if _, failed := to.Write(piece); failed != nil {
				err = io.ErrClosedPipe
			}
			c.stall.RUnlock()
		}
		if err != nil {
			return
		}
	}
}
