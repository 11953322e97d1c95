package loop

import "time"

// How accepting behaves under load.
const (
	acceptRound = 16                     // connections accepted before other events have their turn
	acceptPause = 100 * time.Millisecond // after the system refused a descriptor (EMFILE): trying at once would spin
)

// An Acceptor accepts the connections of one listener.
type Acceptor interface {
	// Pause leaves further connections in the listener's backlog until Resume. Any goroutine.
	Pause()
	Resume()
	// Close closes the listener. Any goroutine; a connection may still be accepted while it returns.
	Close() error
	// FD is the listener's file descriptor, for logs. Any goroutine.
	FD() int
}

// A Socket is an accepted connection that is not served yet: pass it to Loop.Open, or Refuse it.
// Its content depends on the system.
type Socket struct{ socket }

// Limits are those of a goroutine's stream: see Go.
type Limits struct {
	// Stall is how long a write may make no progress before the stream counts as broken: a client
	// that never reads holds a goroutine and the answers. Default a minute.
	Stall time.Duration
}

func (l Limits) stall() time.Duration {
	if l.Stall <= 0 {
		return time.Minute
	}
	return l.Stall
}
