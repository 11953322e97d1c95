package loop

import (
	"io"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"unsafe"
)

// maxPieces is how many pieces one writev takes; Linux allows 1024.
const maxPieces = 64

// stream is a non-blocking socket on a loop.
type stream struct {
	loop       *Loop
	handler    Handler
	fd         int
	generation int32
	events     uint32 // what epoll watches; 0 when the descriptor is not in it
	held       *slab  // what Received kept

	paused bool
	short  bool // a write was cut short: Writable is to be called
	closed bool
}

// open serves a connected non-blocking socket with the handler that opened returns.
func (l *Loop) open(fd int, opened func(Stream) Handler) {
	s := &stream{loop: l, fd: fd, generation: l.nextGeneration(), events: syscall.EPOLLIN}
	s.handler = opened(s)
	if s.closed {
		return
	}
	if err := l.add(fd, s, s.generation, s.events); err != nil {
		s.handler.Ended(err)
	}
}

// ready handles one event, with one recv at most, so that no stream keeps the loop busy.
func (s *stream) ready(events uint32) {
	const broken = syscall.EPOLLERR | syscall.EPOLLHUP
	if s.short && events&(syscall.EPOLLOUT|broken) != 0 {
		s.short = false
		s.handler.Writable()
		if s.closed {
			return
		}
		s.watch()
	}
	if events&(syscall.EPOLLIN|broken) == 0 {
		return
	}
	if s.paused {
		s.watch() // epoll doesn't know of the pause yet
		return
	}
	s.receive()
}

func (s *stream) receive() {
	buffer := s.handler.Buffer(s.loop.buffers.next())
	n, errno := receive(s.fd, buffer)
	switch {
	case errno == syscall.EAGAIN || errno == syscall.EINTR:
	case errno != 0:
		s.handler.Ended(os.NewSyscallError("recv", errno))
	case n == 0:
		s.handler.Ended(io.EOF)
	default:
		if s.handler.Received(n) {
			s.held = s.loop.buffers.keep(receiveBytes - cap(buffer) + n)
		}
	}
}

// watch registers the events that the stream wants with epoll, if they differ from those that it
// watches. A pause is registered only once an event comes during it, which saves two system calls
// for each batch that is answered before the next one arrives. A stream that wants nothing is
// removed from epoll, which would report a broken connection regardless; it finds the error when it
// resumes.
func (s *stream) watch() {
	var events uint32
	if !s.paused {
		events |= syscall.EPOLLIN
	}
	if s.short {
		events |= syscall.EPOLLOUT
	}
	if events == s.events {
		return
	}
	op := syscall.EPOLL_CTL_MOD
	switch {
	case s.events == 0:
		op = syscall.EPOLL_CTL_ADD
	case events == 0:
		op = syscall.EPOLL_CTL_DEL
	}
	s.events = events
	if err := s.loop.control(op, s.fd, s.generation, events); err != nil {
		s.Post(func() {
			if !s.closed {
				s.handler.Ended(err)
			}
		})
	}
}

func (s *stream) Write(p []byte) (int, error) {
	n, errno := send(s.fd, p)
	return s.wrote(n, len(p), errno)
}

func (s *stream) Writev(pieces [][]byte) (int, error) {
	var vector [maxPieces]syscall.Iovec
	written := 0
	for len(pieces) > 0 {
		used, size := 0, 0
		for used < maxPieces && len(pieces) > 0 {
			if p := pieces[0]; len(p) > 0 {
				vector[used].Base = unsafe.SliceData(p)
				vector[used].SetLen(len(p))
				size += len(p)
				used++
			}
			pieces = pieces[1:]
		}
		n, errno := writev(s.fd, vector[:used])
		n, err := s.wrote(n, size, errno)
		written += n
		if err != nil || n < size {
			return written, err
		}
	}
	return written, nil
}

// wrote turns the result of a system call into Write's. After a write that was cut short, it has
// Writable called.
func (s *stream) wrote(n, size int, errno syscall.Errno) (int, error) {
	switch errno {
	case 0:
	case syscall.EAGAIN, syscall.EINTR:
		n = 0
	default:
		return 0, os.NewSyscallError("send", errno)
	}
	if n < size {
		s.short = true
		s.watch()
	}
	return n, nil
}

func (s *stream) Pause() { s.paused = true }

func (s *stream) Resume() {
	s.paused = false
	if s.events&syscall.EPOLLIN == 0 && !s.closed {
		s.watch()
	}
}

func (s *stream) Free() {
	if s.held != nil {
		s.loop.buffers.free(s.held)
		s.held = nil
	}
}

func (s *stream) Close() {
	if s.closed {
		return
	}
	s.closed = true
	s.loop.forget(s.fd, s.generation)
	syscall.Close(s.fd) // the kernel removes it from epoll with its last descriptor
}

func (s *stream) Reset() {
	if !s.closed {
		// On a unix socket this changes nothing: what was written is with the peer already.
		syscall.SetsockoptLinger(s.fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
		s.Close()
	}
}

func (s *stream) Abort()        {} // no write waits
func (s *stream) Grouped() bool { return true }
func (s *stream) Post(f func()) { s.loop.Post(f) }
func (s *stream) Now() int64    { return s.loop.Now() }
func (s *stream) FD() int       { return s.fd }

func (s *stream) LocalAddr() string  { return addrOf(syscall.Getsockname(s.fd)) }
func (s *stream) RemoteAddr() string { return addrOf(syscall.Getpeername(s.fd)) }

func addrOf(address syscall.Sockaddr, err error) string {
	if err != nil {
		return ""
	}
	switch a := address.(type) {
	case *syscall.SockaddrInet4:
		return tcpName(netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)))
	case *syscall.SockaddrInet6:
		return tcpName(netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port)))
	case *syscall.SockaddrUnix:
		return "unix:" + strings.TrimSuffix(a.Name, "@") // which stands for no name
	}
	return ""
}
