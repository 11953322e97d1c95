//go:build !linux

package loop

import (
	"net"
	"sync"
	"time"
)

// A Loop calls posted functions and timers one at a time; its streams have goroutines of their own.
type Loop struct {
	mu     sync.Mutex // guards posted
	posted []func()
	wake   chan struct{} // of capacity one: something was posted

	timers  timers // of the loop's goroutine, or of New's before Run
	rounded func() // see Rounded
	stopped bool
}

// New returns a loop without streams.
func New() (*Loop, error) { return &Loop{wake: make(chan struct{}, 1)}, nil }

// Run calls what is posted until Stop. It is called once.
func (l *Loop) Run() {
	for !l.stopped {
		l.wait()
		l.mu.Lock()
		posted := l.posted
		l.posted = nil
		l.mu.Unlock()
		for _, f := range posted {
			f()
		}
		l.timers.fire(time.Now())
		if l.rounded != nil {
			l.rounded()
		}
	}
}

// Close frees what a loop holds that never ran; Run does it otherwise.
func (l *Loop) Close() {}

func (l *Loop) wait() {
	if len(l.timers) == 0 {
		<-l.wake
		return
	}
	timer := time.NewTimer(time.Until(l.timers[0].when))
	defer timer.Stop()
	select {
	case <-l.wake:
	case <-timer.C:
	}
}

// Stop ends Run after the functions that were posted before. Any goroutine.
func (l *Loop) Stop() { l.Post(func() { l.stopped = true }) }

// Post has f called on the loop, after those posted before. Any goroutine; it never waits.
func (l *Loop) Post(f func()) {
	l.mu.Lock()
	l.posted = append(l.posted, f)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// After has f called on the loop once d has passed. It is called on the loop.
func (l *Loop) After(d time.Duration, f func()) *Timer { return l.timers.add(time.Now().Add(d), f) }

// Grouped has no effect: see Stream.Grouped.
func (l *Loop) Grouped(func()) {}

// Rounded has f called after each round of posted functions and timers: see the Linux version.
// Streams have no rounds here.
func (l *Loop) Rounded(f func()) { l.rounded = f }

// Cancel removes a timer that has not fired. It is called on the loop.
func (l *Loop) Cancel(t *Timer) { l.timers.stop(t) }

// Now is the time in Unix nanoseconds. Any goroutine.
func (l *Loop) Now() int64 { return time.Now().UnixNano() }

// Accept accepts the connections of listener on a goroutine; see the Linux version. The backlog is
// the system's.
func (l *Loop) Accept(listener net.Listener, _ int, accepted func(Socket), failed func(error)) (Acceptor, error) {
	return GoAccept(listener, func(conn net.Conn) { accepted(Socket{socket{conn}}) }, failed), nil
}

type socket struct{ conn net.Conn }

// Adopt makes conn a Socket. It doesn't fail here.
func Adopt(conn net.Conn) (Socket, error) { return Socket{socket{conn}}, nil }

// Open serves a socket on a goroutine of its own: see Go. Any goroutine.
func (l *Loop) Open(s Socket, opened func(Stream) Handler, limits Limits) { Go(s.conn, opened, limits) }

// Refuse writes last and closes the connection.
func (s Socket) Refuse(last string) {
	s.conn.SetWriteDeadline(time.Now().Add(time.Second))
	s.conn.Write([]byte(last))
	s.conn.Close()
}
