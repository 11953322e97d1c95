// Package loop provides event loops over sockets, with timers and wake-ups.
//
// On Linux a Loop is raw epoll on one OS thread that owns its streams: nothing in it is locked
// except the queue of Post. It polls without waiting, yields the processor once, polls again, and
// only then blocks: under load, blocking and waking up cost more than the request that ends the
// wait (measured: 1.04 to 1.43 times the requests). System calls that can't block (a poll without
// waiting, recv and send on a non-blocking socket) are raw ones, which bypass the Go scheduler; the
// poll that may block is an ordinary one, so that the scheduler can reuse its processor meanwhile.
// A busy loop is still stopped for garbage collection and preempted like any goroutine: between its
// system calls it runs ordinary Go code.
//
// On other systems, and for connections that can't be polled (TLS), a stream is a goroutine over a
// net.Conn that drives the same Handler: see Go.
//
// A program that runs n loops should have GOMAXPROCS of at least n+1: a busy loop keeps its
// processor, and with none to spare other goroutines wait until the scheduler preempts a loop,
// after 10 ms. The package itself sets nothing global.
//
// Methods are for the loop's own goroutine unless they say otherwise.
package loop

// MinShared is the smallest size of the shared buffer of Handler.Buffer.
const MinShared = 4 << 10

// A Handler receives a stream's events. Its methods are called one at a time: on Linux on the
// stream's loop, else on the stream's goroutine or that of a Post, under the stream's lock.
type Handler interface {
	// Buffer returns the memory for the next bytes: shared, which is the loop's and at least MinShared
	// long, or its rest after bytes that the handler put in front, or memory of the handler's own. It
	// must not be empty.
	Buffer(shared []byte) []byte

	// Received is called when n bytes, n > 0, have been received at the start of what Buffer returned.
	// It returns true to keep its part of shared until Stream.Free; the stream must then be paused
	// until Free, unless Free is called at the end of the group (Loop.Grouped). If it returns false,
	// shared is the loop's again.
	Received(n int) (keep bool)

	// Writable is called when the socket accepts bytes again after a Write that was cut short.
	Writable()

	// Ended is called when the stream has ended by itself, with io.EOF if the other side closed it,
	// else with the error. It is called at most once, not after Close, and only posted functions are
	// called after it. The handler then calls Close.
	Ended(err error)
}

// A Stream is a connected socket of a loop. Its methods may be called by its handler's methods and
// by functions given to Post; those that say "any goroutine", by any.
type Stream interface {
	// Write sends as much of p as the socket accepts without waiting. When that is not all, Writable
	// is called later. A goroutine's stream waits, a bounded time, until all is sent. An error is
	// final.
	Write(p []byte) (int, error)
	// Writev is Write of several pieces in order.
	Writev(pieces [][]byte) (int, error)

	// Pause stops calls of Received, Resume allows them again. The socket's own buffer fills
	// meanwhile.
	Pause()
	Resume()
	// Free releases what Received kept.
	Free()

	// Close ends the stream. The handler isn't called any more.
	Close()
	// Reset is Close that discards what was written and has not left this machine: the other side gets
	// a reset, and none of that later.
	Reset()
	// Abort makes a Write that waits fail. Any goroutine.
	Abort()

	// Grouped reports whether the handler's calls come on a loop, in groups of several streams':
	// see Loop.Grouped. It never changes.
	Grouped() bool

	// Post has f called, never at the same time as the handler, also after Close. Any goroutine.
	Post(f func())
	// Now is the time in Unix nanoseconds as the loop last read it, at most some milliseconds ago
	// while the loop is busy. Any goroutine.
	Now() int64
	// FD is the file descriptor, which names the connection in logs; it never changes. Any goroutine.
	FD() int
	// LocalAddr and RemoteAddr are the socket's ends as "tcp:127.0.0.1:11211", "tcp6:[::1]:11211"
	// or "unix:/path", "" when unknown. Any goroutine, before Close.
	LocalAddr() string
	RemoteAddr() string
}
