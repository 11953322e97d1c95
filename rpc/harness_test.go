package rpc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"holdfast"
)

var testCluster = [16]byte{'t', 'e', 's', 't'}

// testLimits are small and quick, so that they are reached.
func testLimits() limits {
	l := defaultLimits()
	l.ping = 20 * time.Millisecond
	l.silence, l.handshakeTime = time.Hour, time.Hour // tests of these make them shorter
	l.minPause, l.maxPause = time.Millisecond, 20*time.Millisecond
	l.logEvery = 0
	return l
}

func await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("gave up waiting: %s", what)
		}
	}
}

// noLeaks checks at the end of a test that all goroutines that it has started have ended.
func noLeaks(t testing.TB) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		await(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before })
	})
}

// testOptions are those of a node that drops messages and returns requests as they are.
func testOptions(id holdfast.NodeID) Options {
	return Options{
		Node: id, Cluster: testCluster, Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler),
		Receive: func(Message) {},
		Answer:  func(_ context.Context, m Message) ([]byte, error) { return m.Body, nil },
	}
}

func open(t testing.TB, o Options, l limits) *Transport {
	t.Helper()
	tr, err := listenWith(o, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	return tr
}

// introduce makes transports each other's peers and returns once all are connected, both ways.
func introduce(t testing.TB, all ...*Transport) {
	t.Helper()
	peers := make(map[holdfast.NodeID]Peer)
	for _, tr := range all {
		peers[tr.options.Node] = Peer{Addr: tr.Addr().String()}
	}
	for _, tr := range all {
		tr.SetPeers(peers)
	}
	for _, from := range all {
		for _, to := range all {
			if from != to {
				awaitCalls(t, from, to.options.Node)
			}
		}
	}
}

// awaitCalls waits until calls from a node to another are answered.
func awaitCalls(t testing.TB, from *Transport, to holdfast.NodeID) {
	t.Helper()
	await(t, "a call is answered", func() bool {
		_, err := from.Call(t.Context(), Message{To: to})
		return err == nil
	})
}

// pair returns two nodes, 1 and 2, that are connected.
func pair(t testing.TB, l limits, one, two func(*Options)) (*Transport, *Transport) {
	t.Helper()
	noLeaks(t)
	var all [2]*Transport
	for n, change := range []func(*Options){one, two} {
		o := testOptions(holdfast.NodeID(n + 1))
		if change != nil {
			change(&o)
		}
		all[n] = open(t, o, l)
	}
	introduce(t, all[0], all[1])
	return all[0], all[1]
}

// count returns how often a fault was counted.
func (t *Transport) count(f Fault) uint64 { return t.Counts().Faults[f] }

func wantKind(t testing.TB, err error, kind holdfast.Kind) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("got the error %v; want one of kind %v", err, kind)
	}
}

// A proxy forwards connections to a target, as long as a test lets it.
type proxy struct {
	t        testing.TB
	listener net.Listener
	target   string
	running  sync.WaitGroup

	// change is called with what a connection carries in one direction. It may change the bytes,
	// and false cuts the connection behind them.
	change func(b []byte) (forward []byte, goOn bool)

	mu     sync.Mutex // guards all below
	opened sync.Cond  // held has become false
	held   bool       // nothing is forwarded, and connections stay
	conns  []net.Conn
	closed bool
}

func newProxy(t testing.TB, target string, change func(b []byte) ([]byte, bool)) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, listener: l, target: target, change: change}
	p.opened.L = &p.mu
	p.running.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) peer() Peer { return Peer{Addr: p.listener.Addr().String()} }

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			in.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, in, out)
		if p.closed {
			in.Close()
			out.Close()
		}
		p.mu.Unlock()
		p.running.Go(func() { p.forward(in, out) })
		p.running.Go(func() { p.forward(out, in) })
	}
}

func (p *proxy) forward(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	b := make([]byte, 16<<10)
	for {
		n, err := from.Read(b)
		p.mu.Lock()
		for p.held && !p.closed {
			p.opened.Wait()
		}
		p.mu.Unlock()
		forward, goOn := b[:n], true
		if p.change != nil {
			forward, goOn = p.change(forward)
		}
		if _, failed := to.Write(forward); err != nil || failed != nil || !goOn {
			return
		}
	}
}

// hold has the proxy forward nothing more, or go on.
func (p *proxy) hold(held bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = held
	p.opened.Broadcast()
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.opened.Broadcast()
	p.mu.Unlock()
	p.listener.Close()
	p.cut()
	p.running.Wait()
}

// dialRaw connects to a node as a stranger does.
func dialRaw(t testing.TB, to *Transport) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", to.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// dialAs connects to a node as the peer of this ID does, after the handshake.
func dialAs(t testing.TB, to *Transport, id holdfast.NodeID) (net.Conn, way) {
	t.Helper()
	c := dialRaw(t, to)
	w := way{cluster: testCluster, from: id, to: to.options.Node}
	if err := greet(c, w); err != nil {
		t.Fatal(err)
	}
	return c, w
}

// bytesOf returns a frame as it is on the wire.
func bytesOf(f frame) []byte { return f.append(nil, bodySum(f.body)) }

// awaitEnd waits until the other end has closed the connection.
func awaitEnd(t testing.TB, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection stays open")
	}
}
