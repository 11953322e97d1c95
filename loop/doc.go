// Package loop is event loops over sockets, with timers and wake-ups.
//
// On Linux a Loop is raw epoll on one OS thread that owns its streams: nothing in it is locked
// except the queue of Post. It polls without waiting, yields the processor once, polls again, and
// only then blocks: under load a block and the wake-up after it cost more than the request that
// they bring (measured: 1.04 to 1.43 times the requests). What can't block (a poll without
// waiting, recv and send on a non-blocking socket) is a raw system call, which bypasses the Go
// scheduler; the poll that may block is an ordinary one, so that the scheduler can reuse its
// processor meanwhile. A busy loop is still stopped for garbage collection and preempted like
// any goroutine: between its system calls it runs ordinary Go code.
//
// Elsewhere, and for what can't be polled (TLS), a stream is a goroutine over a net.Conn that
// drives the same Handler: see Go.
//
// A program that runs n loops should have GOMAXPROCS of at least n+1: a busy loop keeps its
// processor, and with none to spare other goroutines wait until the scheduler preempts a loop,
// after 10 ms. The package itself sets nothing global.
//
// Methods are for the loop's own goroutine unless they say otherwise.
package loop

// MinShared is how many bytes the shared buffer of Handler.Room has at least.
const MinShared = 4 << 10

// A Handler is what a stream's events go to. Its calls come one at a time: on Linux on the stream's
// loop, else on the stream's goroutine or that of a Post, under the stream's lock.
type Handler interface {
	// Room returns where the next bytes are to go: shared, which is the loop's and at least MinShared
	// long, or its rest after bytes that the handler put in front, or memory of the handler's own. It
	// must not be empty.
	Room(shared []byte) []byte

	// Received says that n bytes, n > 0, stand at the start of what Room returned. It returns true
	// to keep what it has of shared until Stream.Free; the stream must then be paused until that,
	// unless that is at the end of the group (Loop.Grouped). Otherwise shared is the loop's again.
	Received(n int) (keep bool)

	// Writable says that the socket takes more, after a Write that was cut short.
	Writable()

	// Ended says that the stream has ended by itself: io.EOF when the peer closed it, else its
	// error. It comes at most once, not after Close, and nothing but posted functions comes after
	// it. The handler calls Close.
	Ended(err error)
}

// A Stream is a connected socket of a loop. Its methods are for its handler's calls and for
// functions that came by Post, except those that say otherwise.
type Stream interface {
	// Write sends as much of p as the socket takes without waiting. When that is not all, Writable
	// follows. A stream of Go waits, a bounded time, and takes all. An error is final.
	Write(p []byte) (int, error)
	// Writev is Write of several pieces in order.
	Writev(pieces [][]byte) (int, error)

	// Pause stops Received, Resume lets it come again. The socket's own buffer fills meanwhile.
	Pause()
	Resume()
	// Free gives back what Received kept.
	Free()

	// Close ends the stream. No call of Handler comes after it.
	Close()
	// Reset is Close that throws away what was written and has not left this machine: the peer gets a
	// reset, and nothing of it later.
	Reset()
	// Abort has a Write that waits fail. Any goroutine.
	Abort()

	// Grouped reports whether the handler's calls come on a loop, in groups of several streams':
	// see Loop.Grouped. It never changes.
	Grouped() bool

	// Post has f called in turn with the handler's calls, also after Close. Any goroutine.
	Post(f func())
	// Now is the time in Unix nanoseconds as the loop last read it: some milliseconds old at most
	// while it is busy. Any goroutine.
	Now() int64
	// FD is the file descriptor, which names the connection in logs; it never changes. Any goroutine.
	FD() int
	// LocalAddr and RemoteAddr are the socket's ends as "tcp:127.0.0.1:11211", "tcp6:[::1]:11211"
	// or "unix:/path", "" when unknown. Any goroutine, before Close.
	LocalAddr() string
	RemoteAddr() string
}
