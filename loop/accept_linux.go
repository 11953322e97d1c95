package loop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// socket is a connected descriptor, non-blocking.
type socket struct{ fd int }

// acceptor is a listener's descriptor on a loop.
type acceptor struct {
	loop       *Loop
	file       *os.File // a duplicate of the listener's; closing it ends the events
	fd         int
	generation int32
	accepted   func(Socket)
	failed     func(error)
	watching   bool
	paused     atomic.Bool
	closed     bool
	closing    sync.Once
}

// Accept accepts the connections of listener on the loop. It closes listener itself, whose
// descriptor it has duplicated. accepted is called on the loop for each connection, failed with the
// error of an accept that will be tried again later, such as that the process has no descriptor
// left. backlog > 0 sets the listener's. Before Run, or on the loop.
func (l *Loop) Accept(listener net.Listener, backlog int, accepted func(Socket), failed func(error)) (Acceptor, error) {
	defer closeKeepingPath(listener)
	filer, ok := listener.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("listener %v has no file descriptor", listener.Addr())
	}
	file, err := filer.File()
	if err != nil {
		return nil, fmt.Errorf("listener %v: %w", listener.Addr(), err)
	}
	fd := int(file.Fd())
	if backlog > 0 {
		if err := syscall.Listen(fd, backlog); err != nil {
			file.Close()
			return nil, fmt.Errorf("listener %v: backlog %d: %w", listener.Addr(), backlog, err)
		}
	}
	// Connections inherit these: small writes are sent at once, and a dead client is detected in the
	// end. On a unix socket the first fails, which does no harm.
	syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1)
	if err := syscall.SetNonblock(fd, true); err != nil { // File has made it blocking
		file.Close()
		return nil, fmt.Errorf("listener %v: %w", listener.Addr(), err)
	}
	a := &acceptor{loop: l, file: file, fd: fd, generation: l.nextGeneration(), accepted: accepted, failed: failed}
	if err := l.add(fd, a, a.generation, syscall.EPOLLIN); err != nil {
		file.Close()
		return nil, fmt.Errorf("listener %v: %w", listener.Addr(), err)
	}
	a.watching = true
	return a, nil
}

// closeKeepingPath closes a listener whose descriptor has been duplicated. A unix socket's path
// must stay.
func closeKeepingPath(listener net.Listener) {
	if u, ok := listener.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	listener.Close()
}

func (a *acceptor) ready(uint32) {
	for range acceptRound {
		if a.paused.Load() || a.closed {
			return
		}
		fd, _, err := syscall.Accept4(a.fd, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		switch {
		case err == nil:
			a.accepted(Socket{socket{fd: fd}})
		case errors.Is(err, syscall.EAGAIN):
			return
		case errors.Is(err, syscall.EINTR), errors.Is(err, syscall.ECONNABORTED):
		default:
			a.failed(os.NewSyscallError("accept4", err))
			a.watch(false)
			a.loop.After(acceptPause, func() { a.watch(!a.paused.Load()) })
			return
		}
	}
}

// watch starts or stops the acceptor's events.
func (a *acceptor) watch(on bool) {
	if a.closed || on == a.watching {
		return
	}
	op := syscall.EPOLL_CTL_DEL
	if on {
		op = syscall.EPOLL_CTL_ADD
	}
	if err := a.loop.control(op, a.fd, a.generation, syscall.EPOLLIN); err != nil {
		a.failed(err)
		return
	}
	a.watching = on
}

func (a *acceptor) FD() int { return a.fd }
func (a *acceptor) Pause()  { a.setPaused(true) }
func (a *acceptor) Resume() { a.setPaused(false) }

func (a *acceptor) setPaused(paused bool) {
	a.paused.Store(paused)
	a.loop.Post(func() { a.watch(!a.paused.Load()) })
}

// Close has the loop close the listener, unless the loop has stopped or never ran.
func (a *acceptor) Close() error {
	a.closing.Do(func() {
		a.loop.Post(func() {
			a.watch(false)
			a.closed = true
			a.loop.forget(a.fd, a.generation)
			a.file.Close()
		})
	})
	return nil
}

// Open has the loop serve a socket with the handler that opened returns, called on the loop. Any
// goroutine.
func (l *Loop) Open(s Socket, opened func(Stream) Handler, _ Limits) {
	l.Post(func() { l.open(s.fd, opened) })
}

// Adopt makes a Socket of conn, which it closes: of one that was dialled, say. conn is a TCP or
// unix connection; others (TLS) are served by Go. Any goroutine.
func Adopt(conn net.Conn) (Socket, error) {
	defer conn.Close() // the Socket is a duplicate of its descriptor
	filer, ok := conn.(interface{ File() (*os.File, error) })
	if !ok {
		return Socket{}, fmt.Errorf("connection to %v has no file descriptor", conn.RemoteAddr())
	}
	file, err := filer.File()
	if err != nil {
		return Socket{}, fmt.Errorf("connection to %v: %w", conn.RemoteAddr(), err)
	}
	defer file.Close()
	fd, err := duplicate(int(file.Fd())) // since closing file would close its own
	if err != nil {
		return Socket{}, fmt.Errorf("connection to %v: %w", conn.RemoteAddr(), err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // Fd has made it blocking
		syscall.Close(fd)
		return Socket{}, fmt.Errorf("connection to %v: %w", conn.RemoteAddr(), err)
	}
	return Socket{socket{fd: fd}}, nil
}

// Refuse writes as much of last as the socket accepts without waiting, and closes the connection.
func (s Socket) Refuse(last string) {
	send(s.fd, []byte(last))
	syscall.Close(s.fd)
}
