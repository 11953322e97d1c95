package server

import (
	"fmt"
	"io/fs"
	"log/slog"
	"runtime"
	"time"

	"holdfast/mc"
)

// Options are what a Server is made from. The zero value of a field means its default.
type Options struct {
	// Listeners are the TCP addresses. Without any, and without UnixSocket, it is DefaultAddress.
	Listeners []Listener
	// UnixSocket is a path to listen at. An existing socket is replaced if no process listens on it.
	UnixSocket     string
	UnixSocketMode fs.FileMode // memcached's -a; default 0700

	Threads        int  // event loops; default 4 or the number of processors, if that is less
	MaxConnections int  // default 1024
	WaitOverMax    bool // leave connections over the maximum in the backlog, rather than refuse them: no_maxconns_fast
	Backlog        int  // of each listener; default 1024

	// IdleTimeout closes connections that have asked nothing for so long; 0 never does.
	IdleTimeout time.Duration
	// StallTimeout closes a connection that has sent half a request, or reads nothing of its answers,
	// without a byte of progress for so long: both hold memory that an idle one doesn't. Default
	// a minute: long beside any network, short enough that a client can't collect them.
	StallTimeout time.Duration
	// DrainTimeout is how long Serve waits for connections to get their answers when it stops.
	// Default 5 s.
	DrainTimeout time.Duration

	// requests that are served before the connection's answers are written; default mc.MaxRequests,
	// above which it has no effect
	BatchRequests int
	ItemMaxBytes  int // memcached's -I: a larger item is refused while it is read; default 1 MiB
	// PendingBytes bounds the memory of all requests that have come in part. Over it a request is
	// refused with SERVER_ERROR; over half of it, those that have been incomplete for long are given
	// up. Default 128 MiB or sixteen of the largest items.
	PendingBytes int64

	// WaitingBytes bounds the answers that wait for clients to read, pinned values included: over it,
	// a client that takes nothing for a second is closed, not only after StallTimeout. Default 64 MiB.
	WaitingBytes int64

	Protocol Protocol // what clients may speak; default Text
	TLS      TLS      // used when TLS.Certificate is set
	AuthFile string   // lines "user:password"; clients must show one first, by -Y's set or by SASL. "" asks for none

	Version string // what "version" answers; default "1.6.40"

	ShutdownCommand bool // memcached's -A
	NoWatch         bool // -W
	NoDump          bool // -X; set for a Backend that is no Dumper
	NoFlush         bool // -F
	Debug           bool // the commands misbehave and debugtime, for tests
	Verbosity       int  // the first level, for stats settings: see Server.Verbosity

	WatchBytes int       // what a watcher's log may hold before lines are dropped; default 256 KiB
	Settings   []Setting // what stats settings shows beside the settings of the server and the backend

	Logger *slog.Logger // default slog.Default()

	after func(time.Duration, func()) // time.AfterFunc; tests have their own
}

// A Listener is a TCP address that clients connect to.
type Listener struct {
	Address  string    // "host:port", or "fd:N" for a listening socket that the process was started with
	TLS      ListenTLS // default TLSAuto
	Protocol Protocol  // default Options.Protocol
}

// ListenTLS is how a listener treats TLS.
type ListenTLS uint8

// The values of ListenTLS.
const (
	TLSAuto   ListenTLS = iota // TLS if Options.TLS has a certificate, else none
	TLSOff                     // none
	TLSMutual                  // TLS, and every client must show a certificate
)

// A Setting is a line of stats settings.
type Setting struct{ Name, Value string }

// DefaultAddress is memcached's port on this machine only.
const DefaultAddress = "127.0.0.1:11211"

func (o *Options) setDefaults() {
	if len(o.Listeners) == 0 && o.UnixSocket == "" {
		o.Listeners = []Listener{{Address: DefaultAddress}}
	}
	setDefault(&o.Protocol, Text)
	setDefault(&o.UnixSocketMode, 0o700)
	setDefault(&o.Threads, min(4, runtime.NumCPU()))
	setDefault(&o.MaxConnections, 1024)
	setDefault(&o.Backlog, 1024)
	setDefault(&o.StallTimeout, time.Minute)
	setDefault(&o.DrainTimeout, 5*time.Second)
	setDefault(&o.BatchRequests, mc.MaxRequests)
	setDefault(&o.ItemMaxBytes, 1<<20)
	setDefault(&o.PendingBytes, max(128<<20, 16*int64(o.ItemMaxBytes)))
	setDefault(&o.WaitingBytes, 64<<20)
	setDefault(&o.Version, "1.6.40")
	setDefault(&o.WatchBytes, 256<<10)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.after == nil {
		o.after = func(d time.Duration, f func()) { time.AfterFunc(d, f) }
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Limits of what Options accept.
const (
	maxThreads     = 256
	minPendingSize = 64 << 10
)

func (o *Options) check() error {
	switch {
	case o.Threads < 1 || o.Threads > maxThreads:
		return fmt.Errorf("threads: %d; at least 1, at most %d", o.Threads, maxThreads)
	case o.MaxConnections < 1:
		return fmt.Errorf("maximum connections: %d; at least 1", o.MaxConnections)
	case o.Backlog < 1:
		return fmt.Errorf("backlog: %d; at least 1", o.Backlog)
	case o.BatchRequests < 1:
		return fmt.Errorf("requests in a batch: %d; at least 1", o.BatchRequests)
	case o.IdleTimeout < 0 || o.StallTimeout < 0 || o.DrainTimeout < 0:
		return fmt.Errorf("a time-out is negative")
	case o.PendingBytes < minPendingSize:
		return fmt.Errorf("memory for pending requests: %d bytes; at least %d", o.PendingBytes, minPendingSize)
	case o.WaitingBytes < 0:
		return fmt.Errorf("memory for waiting answers: %d bytes", o.WaitingBytes)
	case o.Protocol > Binary:
		return fmt.Errorf("protocol: %d", o.Protocol)
	case o.UnixSocketMode&^0o777 != 0:
		return fmt.Errorf("access mask of the unix socket: %o; at most 777", o.UnixSocketMode)
	}
	for _, l := range o.Listeners {
		switch {
		case l.Protocol > Binary:
			return fmt.Errorf("listener %s: protocol: %d", l.Address, l.Protocol)
		case l.TLS > TLSMutual:
			return fmt.Errorf("listener %s: TLS: %d", l.Address, l.TLS)
		case l.TLS == TLSMutual && o.TLS.Certificate == "":
			return fmt.Errorf("listener %s: mutual TLS needs a certificate", l.Address)
		}
	}
	return nil
}
