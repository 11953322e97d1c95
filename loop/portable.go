package loop

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Sizes of a goroutine's receive buffer. It is small while the connection receives little, since
// each connection has one even while it is idle.
const (
	smallBufferBytes = MinShared
	largeBufferBytes = receiveBytes
	writeBytes       = 64 << 10 // one write to the connection at most, each within Limits.Stall
)

// Go serves conn on a goroutine of its own, for systems without epoll and for connections that
// aren't bare sockets (TLS). It calls opened, which makes the handler, and returns.
func Go(conn net.Conn, opened func(Stream) Handler, limits Limits) {
	s := &goStream{conn: conn, stall: limits.stall(), fd: fdOf(conn)}
	s.resumed.L = &s.mu
	s.mu.Lock() // so that a function posted from inside opened waits until there is a handler
	s.handler = opened(s)
	s.mu.Unlock()
	go s.run()
}

// goStream is a connection that a goroutine reads. The handler's calls, from that goroutine and
// from those of Post, come one at a time by mu.
type goStream struct {
	conn    net.Conn
	handler Handler
	stall   time.Duration
	fd      int

	mu      sync.Mutex // held during every call of handler, so around all below
	resumed sync.Cond  // paused or closed has changed
	paused  bool
	closed  bool
}

func (s *goStream) run() {
	buffer := make([]byte, smallBufferBytes)
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if !s.awaitResume() {
			return
		}
		into := s.handler.Buffer(buffer)
		s.mu.Unlock()
		n, err := s.conn.Read(into)
		s.mu.Lock()
		if !s.awaitResume() { // a posted function may have paused it
			return
		}
		if n > 0 {
			size := bufferBytes(len(buffer), n, n == len(into))
			if keep := s.handler.Received(n); keep || len(buffer) != size {
				buffer = make([]byte, size)
			}
		}
		if err != nil && !s.closed {
			s.handler.Ended(err)
			return
		}
	}
}

// awaitResume waits while the stream is paused; false once it is closed.
func (s *goStream) awaitResume() bool {
	for s.paused && !s.closed {
		s.resumed.Wait()
	}
	return !s.closed
}

// bufferBytes returns the size of the next buffer, after n bytes were received into one of size
// bytes.
func bufferBytes(size, n int, full bool) int {
	switch {
	case full:
		return largeBufferBytes
	case n <= smallBufferBytes/2:
		return smallBufferBytes
	}
	return size
}

// Write waits until conn has taken p, or for the stall limit without progress.
func (s *goStream) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		if err := s.conn.SetWriteDeadline(time.Now().Add(s.stall)); err != nil {
			return written, err
		}
		n, err := s.conn.Write(p[written:min(len(p), written+writeBytes)])
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

func (s *goStream) Writev(pieces [][]byte) (int, error) {
	written := 0
	for _, p := range pieces {
		n, err := s.Write(p)
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

func (s *goStream) Pause() { s.paused = true }

func (s *goStream) Resume() {
	s.paused = false
	s.resumed.Signal()
}

// Free does nothing: the garbage collector frees what Received kept.
func (s *goStream) Free() {}

func (s *goStream) Close() {
	if s.closed {
		return
	}
	s.closed = true
	s.resumed.Signal()
	s.conn.Close()
}

func (s *goStream) Reset() {
	if tcp, ok := s.conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	s.Close()
}

func (s *goStream) Abort() { s.conn.Close() }

func (s *goStream) Grouped() bool { return false }

// Post calls f on a goroutine of its own, since that of the stream may be reading.
func (s *goStream) Post(f func()) {
	go func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		f()
	}()
}

func (s *goStream) Now() int64         { return time.Now().UnixNano() }
func (s *goStream) FD() int            { return s.fd }
func (s *goStream) LocalAddr() string  { return nameOf(s.conn.LocalAddr()) }
func (s *goStream) RemoteAddr() string { return nameOf(s.conn.RemoteAddr()) }

func nameOf(a net.Addr) string {
	switch a := a.(type) {
	case *net.TCPAddr:
		return tcpName(a.AddrPort())
	case *net.UnixAddr:
		return "unix:" + strings.TrimSuffix(a.Name, "@") // which stands for no name
	}
	return ""
}

// tcpName names an address; one of IPv4 on a socket of IPv6 by what it is.
func tcpName(a netip.AddrPort) string {
	a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	if a.Addr().Is4() {
		return "tcp:" + a.String()
	}
	return "tcp6:" + a.String()
}

// fdOf returns the descriptor under a connection or listener, 0 if it has none.
func fdOf(conn any) int {
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = wrapped.NetConn()
	}
	found := 0
	if c, ok := conn.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			raw.Control(func(fd uintptr) { found = int(fd) })
		}
	}
	return found
}

// goAcceptor accepts on a goroutine.
type goAcceptor struct {
	listener net.Listener
	mu       sync.Mutex // guards what follows
	resumed  sync.Cond
	paused   bool
	closed   bool
}

// GoAccept accepts the connections of listener on a goroutine, and calls accepted, which must not
// wait, with each. It calls failed with the error of an accept, and then tries again.
func GoAccept(listener net.Listener, accepted func(net.Conn), failed func(error)) Acceptor {
	a := &goAcceptor{listener: listener}
	a.resumed.L = &a.mu
	go a.run(accepted, failed)
	return a
}

func (a *goAcceptor) run(accepted func(net.Conn), failed func(error)) {
	for a.open() {
		conn, err := a.listener.Accept()
		switch {
		case err == nil:
			accepted(conn)
		case a.open():
			failed(err)
			time.Sleep(acceptPause)
		}
	}
}

// open waits while the acceptor is paused; false once it is closed.
func (a *goAcceptor) open() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.paused && !a.closed {
		a.resumed.Wait()
	}
	return !a.closed
}

func (a *goAcceptor) FD() int { return fdOf(a.listener) }
func (a *goAcceptor) Pause()  { a.set(func() { a.paused = true }) }
func (a *goAcceptor) Resume() { a.set(func() { a.paused = false }) }

func (a *goAcceptor) Close() error {
	a.set(func() { a.closed = true })
	return a.listener.Close()
}

func (a *goAcceptor) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
	a.resumed.Signal()
}
