package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/loop"
)

// A Server listens, serves connections on its lanes, and drains. Make it with New, then Serve; or
// Start and Shutdown.
type Server struct {
	options  Options
	backend  Backend
	optional optional // of backend
	log      *slog.Logger

	listeners []*listener
	lanes     []*lane
	nextLane  atomic.Uint32
	works     sync.Pool      // of *work, for connections that are on no loop
	running   sync.WaitGroup // the lanes' goroutines

	auth  *authFile
	tls   *certificates
	watch *Watch
	conns *connections

	started      time.Time
	authCommands atomic.Int64
	authErrors   atomic.Int64
	tlsErrors    atomic.Int64
	verbosity    atomic.Int64
	crawlerOff   atomic.Bool // by lru_crawler disable, for stats settings

	pending      pending      // memory of requests that have come in part
	waitingBytes atomic.Int64 // memory of answers whose clients don't read

	handshakes    context.Context // of TLS; ended by endHandshakes
	endHandshakes context.CancelFunc
	begun         atomic.Bool // the lanes run
	stopOnce      sync.Once
	asked         chan struct{} // closed by the command shutdown
	askOnce       sync.Once
}

// New binds the addresses; connections wait until Start. An error for an address that another
// process has is syscall.EADDRINUSE (errors.Is) and names the address.
func New(o Options, backend Backend) (*Server, error) {
	o.setDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	s := &Server{
		options: o, backend: backend, optional: optionalOf(backend), log: o.Logger, started: time.Now(),
		conns: newConnections(&o), asked: make(chan struct{}),
	}
	s.options.NoDump = s.options.NoDump || s.optional.dumper == nil
	s.handshakes, s.endHandshakes = context.WithCancel(context.Background())
	s.pending.limit = o.PendingBytes
	s.verbosity.Store(int64(o.Verbosity))
	s.watch = newWatch(o.WatchBytes)
	if o.AuthFile != "" {
		auth, err := openAuthFile(o.AuthFile)
		if err != nil {
			return nil, err
		}
		s.auth = auth
	}
	if o.TLS.Certificate != "" {
		certificates, err := openCertificates(o.TLS, o.Logger)
		if err != nil {
			return nil, err
		}
		s.tls = certificates
	}
	if err := s.bind(); err != nil {
		return nil, err
	}
	for i := range o.Threads {
		lane, err := newLane(s, i)
		if err != nil {
			s.closeListeners()
			s.closeLanes()
			return nil, fmt.Errorf("event loop %d: %w", i, err)
		}
		s.lanes = append(s.lanes, lane)
	}
	return s, nil
}

// closeLanes frees loops that have not run.
func (s *Server) closeLanes() {
	for _, l := range s.lanes {
		l.loop.Close()
	}
}

// Serve starts the server and runs it until ctx is done or a client asks for shutdown. Then it
// drains, for up to Options.DrainTimeout, and returns nil.
func (s *Server) Serve(ctx context.Context) error {
	if err := s.Start(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-s.asked:
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.DrainTimeout)
	defer cancel()
	if err := s.Shutdown(limited); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// Start begins to accept and serve. It is called once.
func (s *Server) Start() error {
	if err := s.accept(); err != nil {
		return err
	}
	s.begun.Store(true)
	for _, l := range s.lanes {
		l.loop.Post(l.sweepLater)
		s.running.Add(1)
		go func() {
			defer s.running.Done()
			l.loop.Run()
		}()
	}
	return nil
}

// Loops are the event loops, by mc.Batch.Lane, for a backend that has sockets of its own on them.
func (s *Server) Loops() []*loop.Loop {
	loops := make([]*loop.Loop, len(s.lanes))
	for i, l := range s.lanes {
		loops[i] = l.loop
	}
	return loops
}

// Asked is closed when a client has asked for shutdown, which Options.ShutdownCommand allows.
func (s *Server) Asked() <-chan struct{} { return s.asked }

// Shutdown stops accepting, drains in-flight requests and closes all connections. If ctx ends
// before that, it closes the remaining connections and returns ctx.Err(). Afterwards the backend
// gets no batch; the answers to those that it still has may be dropped.
func (s *Server) Shutdown(ctx context.Context) error {
	var err error
	s.stopOnce.Do(func() { err = s.stop(ctx) })
	return err
}

func (s *Server) stop(ctx context.Context) error {
	// 1. draining is set: no listener accepts, a connection that comes to rest closes itself, and the
	// last to close closes emptied. 2. Connections at rest are closed here. Those opened between
	// look at draining.
	s.conns.draining.Store(true)
	s.closeListeners()
	s.endHandshakes()
	if !s.begun.Load() {
		s.closeLanes()
		return nil
	}
	s.eachConn(func(c *conn) { c.stream.Post(c.drain) })
	if s.conns.open.Load() == 0 {
		s.conns.empty()
	}
	var err error
	select {
	case <-s.conns.emptied:
	case <-ctx.Done():
		err = ctx.Err()
		s.log.Warn("connections closed before their answers were sent", "connections", s.conns.open.Load())
		s.abort()
	}
	for _, l := range s.lanes {
		l.loop.Stop()
	}
	s.running.Wait()
	return err
}

// abortTimeout is how long abort waits for connections to close.
const abortTimeout = time.Second

// abort closes the connections that are left.
func (s *Server) abort() {
	s.eachConn(func(c *conn) {
		c.stream.Abort()
		c.stream.Post(func() { c.close(closeShutdown) })
	})
	select {
	case <-s.conns.emptied:
	case <-time.After(abortTimeout):
	}
}

// drain closes a connection that has nothing to answer. The others check draining in rest.
func (c *conn) drain() {
	if c.work == nil {
		c.close(closeShutdown)
	}
}

// Addrs are the addresses that the server listens at, by mc.Batch.Entry: in the order of Options,
// the unix socket last; a port 0 has become the port that the system chose.
func (s *Server) Addrs() []net.Addr {
	var addrs []net.Addr
	for _, l := range s.listeners {
		addrs = append(addrs, l.addr)
	}
	return addrs
}

// Watch returns where the backend reports events for the command watch.
func (s *Server) Watch() *Watch { return s.watch }

// Verbosity is the level that the command verbosity set last.
func (s *Server) Verbosity() int { return int(s.verbosity.Load()) }

// Reload rereads the authentication file and the certificates, as at SIGHUP. What can't be read
// stays as it was.
func (s *Server) Reload() error {
	var errs []error
	if s.auth != nil {
		errs = append(errs, s.auth.load())
	}
	if s.tls != nil {
		errs = append(errs, s.tls.load())
	}
	return errors.Join(errs...)
}

func (s *Server) eachConn(f func(*conn)) {
	for _, l := range s.lanes {
		l.each(f)
	}
}
