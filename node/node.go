// Package node assembles a process's parts, starts them in order and stops them in order. Today
// they are one cache, its memcached listeners and an HTTP listener for health, metrics and the
// what-if curve.
//
// Open starts:
//
//  1. the store, warm where its file allows;
//  2. the sockets, memcached's and then HTTP's: a taken port ends the start before anything is served;
//  3. the ticker, which moves the store's clock once a second;
//  4. the memcached server, and last HTTP.
//
// Close stops: /healthz says so and answers 503; the server drains, for a bounded time; HTTP ends;
// the ticker ends; the store closes, which leaves its file clean.
//
// A Node's methods may be called from any goroutine; nothing here is global, so that a test may
// have several. Errors of Open name what could not start; ListenError is that of a socket.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/cache"
	"holdfast/config"
	"holdfast/server"
)

// drainTimeout is how long Close lets connections have their answers.
const drainTimeout = 5 * time.Second

// Options are what a Node is made from.
type Options struct {
	Config    config.Config
	Debug     bool // the server's commands for tests, misbehave and debugtime
	Verbosity int  // memcached's, which "stats settings" shows

	WatchBytes int       // what a watcher's log may hold; 0 is the server's default
	Settings   []Setting // more for "stats settings"

	Log *slog.Logger
	Now func() time.Time // default time.Now
}

// A Setting is a line of "stats settings".
type Setting = server.Setting

// A Node is one process's parts.
type Node struct {
	log    *slog.Logger
	now    func() time.Time
	store  *cache.Store
	server *server.Server
	http   *httpServer // nil without one

	stopping  atomic.Bool
	failed    chan error // holds the first failure of a running part
	endTick   chan struct{}
	tickEnded chan struct{}
	closeOnce sync.Once
	closeErr  error
}

// A ListenError is an address that could not be listened at.
type ListenError struct {
	Setting string // cache.listen or http.listen
	Err     error  // names the address; errors.Is(Err, syscall.EADDRINUSE) if it is taken
}

func (e *ListenError) Error() string { return e.Setting + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ListenError) Unwrap() error { return e.Err }

// Open starts a node. o.Config must have passed its Check.
func Open(o Options) (*Node, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	n := &Node{log: o.Log, now: o.Now, failed: make(chan error, 1), endTick: make(chan struct{}), tickEnded: make(chan struct{})}
	if err := n.open(o); err != nil {
		return nil, err
	}
	return n, nil
}

func (n *Node) open(o Options) (err error) {
	if n.store, err = cache.Open(cacheOptions(o)); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.store.Close())
		}
	}()
	n.logWarmth(o.Config.Cache.MemoryFile)
	if n.server, err = server.New(serverOptions(o), n.store); err != nil {
		return serverError(err)
	}
	n.store.Observe(observed{n.server.Watch()})
	if n.http, err = listenHTTP(o.Config.HTTP.Address(), n); err != nil {
		return errors.Join(&ListenError{"http.listen", err}, n.shutdownServer())
	}
	go n.tick()
	if err = n.server.Start(); err != nil {
		n.endTicks()
		return errors.Join(err, n.http.close(), n.shutdownServer())
	}
	n.http.serve()
	return nil
}

// serverError tells a socket that can't be bound from other failures.
func serverError(err error) error {
	var socket *net.OpError
	if errors.As(err, &socket) && socket.Op == "listen" {
		return &ListenError{"cache.listen", err}
	}
	return fmt.Errorf("cache: %w", err)
}

func (n *Node) logWarmth(file string) {
	if file == "" {
		return
	}
	warm, why := n.store.Warm()
	switch {
	case warm:
		n.log.Info("the cache starts warm", "file", file, "items", n.store.Snapshot().Items)
	case why != "":
		n.log.Warn("the cache starts empty", "file", file, "err", why)
	}
}

// CacheAddrs are the addresses of the memcached listeners, the Unix socket last.
func (n *Node) CacheAddrs() []net.Addr { return n.server.Addrs() }

// HTTPAddr is the address of the HTTP listener, nil without one.
func (n *Node) HTTPAddr() net.Addr {
	if n.http == nil {
		return nil
	}
	return n.http.listener.Addr()
}

// Asked is closed when a client has asked for shutdown.
func (n *Node) Asked() <-chan struct{} { return n.server.Asked() }

// Failed brings the error of a part that ended by itself. The caller then closes the node.
func (n *Node) Failed() <-chan error { return n.failed }

// fail keeps the first failure.
func (n *Node) fail(err error) {
	select {
	case n.failed <- err:
	default:
	}
}

// Reload reads the files again that may change while the node runs: users and certificates. Where
// one can't be read, what was read before stays.
func (n *Node) Reload() error { return n.server.Reload() }

// Close stops the node; see the package's doc for the order.
func (n *Node) Close() error {
	n.closeOnce.Do(func() {
		n.stopping.Store(true)
		errServer := n.shutdownServer()
		errHTTP := n.http.close()
		n.endTicks()
		n.closeErr = errors.Join(errServer, errHTTP, n.store.Close())
	})
	return n.closeErr
}

// shutdownServer drains the server. That it had to cut connections off is logged, and no error.
func (n *Node) shutdownServer() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := n.server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// tick moves the store's clock as each second begins.
func (n *Node) tick() {
	defer close(n.tickEnded)
	for {
		now := n.now()
		timer := time.NewTimer(now.Truncate(time.Second).Add(time.Second).Sub(now))
		select {
		case <-timer.C:
			n.store.Tick()
		case <-n.endTick:
			timer.Stop()
			return
		}
	}
}

func (n *Node) endTicks() {
	close(n.endTick)
	<-n.tickEnded
}
