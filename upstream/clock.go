package upstream

import "time"

// A Clock says what time it is, and waits. It is an option, so that a simulation can own it.
// Deadlines of sockets are the operating system's, and those of requests on links are the loop's.
type Clock interface {
	// Now returns the time. It doesn't go back.
	Now() time.Time
	// AfterFunc calls f on a goroutine of its own once d has passed, unless stop is called before.
	// Stop reports whether f won't be called.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// SystemClock is the system's.
type SystemClock struct{}

// Now returns time.Now.
func (SystemClock) Now() time.Time { return time.Now() }

// AfterFunc is time.AfterFunc.
func (SystemClock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	return time.AfterFunc(d, f).Stop
}

// After returns a channel that is closed once d has passed, unless stop is called before.
func After(c Clock, d time.Duration) (passed <-chan struct{}, stop func() bool) {
	done := make(chan struct{})
	return done, c.AfterFunc(d, func() { close(done) })
}

// Wait returns true once d has passed, or false if end is closed before.
func Wait(c Clock, d time.Duration, end <-chan struct{}) bool {
	passed, stop := After(c, d)
	select {
	case <-passed:
		return true
	case <-end:
		stop()
		return false
	}
}
