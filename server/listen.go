package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"holdfast/loop"
)

// answerTooMany is sent to a connection over the maximum, as by memcached.
const answerTooMany = "ERROR Too many open connections\r\n"

// handshakeTimeout bounds a TLS handshake.
const handshakeTimeout = 10 * time.Second

// A listener is one address.
type listener struct {
	server   *Server
	entry    int // mc.Batch.Entry of its connections' batches
	addr     net.Addr
	tls      tlsMode
	protocol Protocol
	socket   net.Listener // until accept gives it to a loop
	failing  atomic.Bool  // the last accept failed

	mu       sync.Mutex    // guards acceptor
	acceptor loop.Acceptor // nil until accept
}

// tlsMode is whether a listener's clients must use TLS, and show a certificate.
type tlsMode int

const (
	plain tlsMode = iota
	withTLS
	mutualTLS
)

// bind opens the listeners.
func (s *Server) bind() error {
	for _, l := range s.options.Listeners {
		socket, err := listen(l.Address)
		if err != nil {
			s.closeListeners()
			return err // it names the address
		}
		s.addListener(socket, s.modeOf(l), cmp.Or(l.Protocol, s.options.Protocol))
	}
	if path := s.options.UnixSocket; path != "" {
		socket, err := listenUnix(path, s.options.UnixSocketMode)
		if err != nil {
			s.closeListeners()
			return err
		}
		s.addListener(socket, plain, s.options.Protocol)
	}
	return nil
}

func (s *Server) addListener(socket net.Listener, mode tlsMode, protocol Protocol) {
	s.listeners = append(s.listeners, &listener{
		server: s, entry: len(s.listeners), addr: socket.Addr(), tls: mode, protocol: protocol, socket: socket,
	})
}

// modeOf is how a listener treats TLS.
func (s *Server) modeOf(l Listener) tlsMode {
	switch {
	case s.tls == nil || l.TLS == TLSOff:
		return plain
	case l.TLS == TLSMutual:
		return mutualTLS
	}
	return withTLS
}

// listen binds an address, or takes over a listening socket that the process was started with:
// fd:N.
func listen(address string) (net.Listener, error) {
	number, inherited := strings.CutPrefix(address, "fd:")
	if !inherited {
		return net.Listen(networkOf(address), address)
	}
	n, err := strconv.ParseUint(number, 10, 31)
	if err != nil {
		return nil, fmt.Errorf("%s names no descriptor", address)
	}
	file := os.NewFile(uintptr(n), address)
	socket, err := net.FileListener(file) // a copy of it
	if err != nil {
		return nil, fmt.Errorf("%s is no listening socket: %w", address, err)
	}
	file.Close()
	return socket, nil
}

// networkOf is the network to listen on: 0.0.0.0 means IPv4 only, as for memcached; package net
// would listen on both.
func networkOf(address string) string {
	if a, err := netip.ParseAddrPort(address); err == nil && a.Addr().Is4() {
		return "tcp4"
	}
	return "tcp"
}

// listenUnix listens at path. An existing socket is replaced if no process listens on it.
func listenUnix(path string, mode os.FileMode) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
		if conn, err := net.Dial("unix", path); err == nil {
			conn.Close()
			return nil, &net.OpError{Op: "listen", Net: "unix", Addr: &net.UnixAddr{Name: path, Net: "unix"},
				Err: syscall.EADDRINUSE}
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	socket, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	// Nothing is accepted before this, and by the usual umask only the owner may connect meanwhile.
	if err := os.Chmod(path, mode); err != nil {
		socket.Close()
		return nil, err
	}
	return socket, nil
}

// accept starts accepting. Loop 0 accepts for all and deals connections to the lanes in turn.
func (s *Server) accept() error {
	for _, l := range s.listeners {
		acceptor, err := l.accept()
		if err != nil {
			s.closeListeners()
			return err
		}
		l.setAcceptor(acceptor)
		s.conns.add(acceptor)
	}
	return nil
}

func (l *listener) accept() (loop.Acceptor, error) {
	if l.tls != plain {
		return loop.GoAccept(l.socket, l.acceptTLS, l.failed), nil
	}
	return l.server.lanes[0].loop.Accept(l.socket, l.server.options.Backlog, l.accepted, l.failed)
}

func (l *listener) accepted(socket loop.Socket) {
	s := l.server
	l.succeeded()
	if !s.conns.admit() {
		socket.Refuse(answerTooMany)
		return
	}
	lane := s.pickLane()
	lane.loop.Open(socket, func(stream loop.Stream) loop.Handler { return l.opened(lane, stream) }, s.limits())
}

func (l *listener) acceptTLS(conn net.Conn) {
	s := l.server
	l.succeeded()
	if !s.conns.admit() {
		conn.Close() // before the handshake there is no way to say why
		return
	}
	go func() {
		secure := tls.Server(conn, s.tls.config(l.tls == mutualTLS))
		ctx, cancel := context.WithTimeout(s.handshakes, handshakeTimeout)
		defer cancel()
		if err := secure.HandshakeContext(ctx); err != nil {
			s.tlsErrors.Add(1)
			s.conns.leave()
			conn.Close()
			return
		}
		lane := s.pickLane()
		loop.Go(secure, func(stream loop.Stream) loop.Handler { return l.opened(lane, stream) }, s.limits())
	}()
}

// failed logs the first of several failures in a row.
func (l *listener) failed(err error) {
	if !l.failing.Swap(true) && !l.server.conns.draining.Load() {
		l.server.log.Warn("cannot accept connections; retrying", "address", l.addr.String(), "err", err)
	}
}

func (l *listener) succeeded() {
	if l.failing.Load() {
		l.failing.Store(false)
	}
}

func (s *Server) limits() loop.Limits { return loop.Limits{Stall: s.options.StallTimeout} }

func (s *Server) pickLane() *lane {
	return s.lanes[(s.nextLane.Add(1)-1)%uint32(len(s.lanes))]
}

// opened makes a connection on its lane.
func (l *listener) opened(lane *lane, stream loop.Stream) *conn {
	s := l.server
	known := s.auth == nil
	c := &conn{server: s, lane: lane, entry: l.entry, stream: stream, grouped: stream.Grouped(),
		dialect: newDialect(s, l.protocol, known), login: login{server: s, known: known}}
	c.in.pending = &s.pending
	c.active.Store(stream.Now())
	lane.add(c)
	s.watch.connNew(c)
	if s.conns.draining.Load() {
		stream.Post(c.drain)
	}
	return c
}

// connClosed removes a connection from its lane and from the count.
func (s *Server) connClosed(c *conn, reason closeReason) {
	s.watch.connClose(c, reason)
	c.lane.remove(c)
	s.conns.leave()
}

func (l *listener) setAcceptor(a loop.Acceptor) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acceptor = a
}

func (l *listener) getAcceptor() loop.Acceptor {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acceptor
}

func (l *listener) close() error {
	acceptor := l.getAcceptor()
	if acceptor == nil {
		return l.socket.Close()
	}
	err := acceptor.Close()
	if u, ok := l.addr.(*net.UnixAddr); ok {
		os.Remove(u.Name)
	}
	return err
}

func (s *Server) closeListeners() error {
	var errs []error
	for _, l := range s.listeners {
		errs = append(errs, l.close())
	}
	return errors.Join(errs...)
}

// fd is the listener's file descriptor, 0 while it does not accept yet.
func (l *listener) fd() int {
	if acceptor := l.getAcceptor(); acceptor != nil {
		return acceptor.FD()
	}
	return 0
}

// describe is the address as "stats conns" shows it.
func (l *listener) describe() string {
	switch a := l.addr.(type) {
	case *net.UnixAddr:
		return "unix:" + a.Name
	case *net.TCPAddr:
		if a.IP.To4() == nil {
			return "tcp6:" + a.String()
		}
	}
	return "tcp:" + l.addr.String()
}
