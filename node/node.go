// Package node assembles a process's parts, starts them in order and stops them in order. They are
// a cache with its memcached listeners, a router with its own, tables with the listener for
// DynamoDB's API, each of which may be missing, and an HTTP listener for health, metrics and the
// what-if curve.
//
// A node that is a process of its own, of a cluster whose nodes meet, calls Meet before: at the
// first start that forms the cluster, and HTTP alone is served, with 503 for /healthz. The sockets
// that it has bound stay bound for Open, which starts:
//
//  1. the store, with the items of its file if that is valid;
//  2. the sockets: the cache's, the router's, the tables' together with their directory, and in a
//     cluster that for the other nodes, then HTTP's. A taken port or directory ends the start before
//     anything is served;
//  3. the router's pools, once the DNS names among their members have been looked up;
//  4. the ticker, which advances the store's clock once per second;
//  5. the cache's server, then the router's, whose members may be that cache, the tables', which in a
//     cluster take part in their groups from here on, and last HTTP;
//  6. the polling of the configuration's files and of DNS names.
//
// Close stops in this order: /healthz answers 503; the polling of files and names ends; the
// router's server drains, for a bounded time, and the router closes; the cache's server drains
// likewise, then the tables', whose directory closes; HTTP ends; the ticker ends; the store closes,
// which leaves its file clean. A cluster's node hands over what it leads before its tables close, and
// the nodes of OpenNodes all drain before the first of them closes. So a request in flight in the
// router can still use the cache of this process.
//
// While a node runs, the router's pools and routes may change: by a changed file, by Reload, and by
// DNS. A reload drops no request, and a file that is refused changes nothing.
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

	"holdfast"
	"holdfast/cache"
	"holdfast/config"
	"holdfast/discover"
	"holdfast/group"
	"holdfast/server"
)

// drainTimeout is how long Close waits for requests in flight.
const drainTimeout = 5 * time.Second

// Options are what a Node is made from.
type Options struct {
	Config       config.Config
	WithoutCache bool // there is no cache, whatever Config.Cache says
	Debug        bool // the cache server's commands for tests, misbehave and debugtime
	Verbosity    int  // memcached's, which "stats settings" shows

	WatchBytes int       // what a watcher's log may hold; 0 is the server's default
	Settings   []Setting // additional lines of "stats settings"

	Source Source // of Config
	// Read reads the configuration again, for a reload of the router: when a file of Source has
	// changed, and for Reload. It returns the source when it fails, too. Nil: the router stays as it
	// is.
	Read      func() (config.Config, Source, error)
	FilesPoll time.Duration // how often the files are checked for changes; default 1 s

	Resolver   discover.Resolver // of members' names; default Go's own
	NamesEvery time.Duration     // how often names are looked up; default that of package discover

	Log *slog.Logger
	Now func() time.Time // default time.Now

	// Replace is the node, lost for good, in whose place this one joins its cluster, with a directory that
	// is empty: Meet does that. 0: this node is none that joins.
	Replace holdfast.NodeID

	bound  sockets              // that Meet has left, and Open takes
	groups func(*group.Options) // nil, or changes what the replicas get, in tests
}

// A Source is what a configuration was read from.
type Source struct {
	Files []string // the file, and those that it imports; none if it came otherwise
	Text  []byte   // the content of the file
}

// A Setting is a line of "stats settings".
type Setting = server.Setting

// A Node is one process's parts.
type Node struct {
	options Options

	log    *slog.Logger
	now    func() time.Time
	store  *cache.Store   // nil without a cache
	server *server.Server // likewise
	router *routing       // nil without one
	tables *tables        // nil without any
	http   *httpServer    // nil without one

	meeting *meeting // of a node that has HTTP alone until its cluster is formed; else nil

	stopping  atomic.Bool
	cut       atomic.Bool // tick has reported that the memory file was truncated
	failed    chan error  // holds the first failure of a running part
	endTick   chan struct{}
	ticking   sync.WaitGroup
	closeOnce sync.Once
	closeErr  error
}

// A ListenError reports an address that can't be listened on.
type ListenError struct {
	Setting string // cache.listen, router.listen or http.listen
	Err     error  // names the address; errors.Is(Err, syscall.EADDRINUSE) if it is taken
}

func (e *ListenError) Error() string { return e.Setting + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ListenError) Unwrap() error { return e.Err }

// Open starts a node. o.Config must have passed its Check.
func Open(o Options) (*Node, error) {
	n := newNode(o)
	err := n.open()
	if err == nil {
		err = n.start(n.memberAddresses())
	}
	if err != nil {
		return nil, errors.Join(err, n.stop(), n.options.bound.close())
	}
	return n, nil
}

func newNode(o Options) *Node {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Node{options: o, log: o.Log, now: o.Now, failed: make(chan error, 1), endTick: make(chan struct{})}
}

// open opens what start then starts. It doesn't stop what it has opened when it fails; stop does.
func (n *Node) open() (err error) {
	o := &n.options
	if !o.WithoutCache {
		if err := n.openCache(*o); err != nil {
			return err
		}
	}
	if o.Config.Router != nil {
		if n.router, err = openRouting(*o, n.store); err != nil {
			return err
		}
	}
	if o.Config.Tables.On() {
		if n.tables, err = openTables(o, n); err != nil {
			n.tables = nil // it is closed
			return err
		}
	}
	if n.http, err = listenHTTP(o.Config.HTTP, n, take(&o.bound.http)); err != nil {
		return &ListenError{"http.listen", err}
	}
	return nil
}

func (n *Node) openCache(o Options) (err error) {
	if n.store, err = cache.Open(cacheOptions(o)); err != nil {
		return err
	}
	n.logWarmth(o.Config.Cache.MemoryFile)
	if n.server, err = server.New(serverOptions(o), n.store); err != nil {
		return serverError("cache", err)
	}
	n.store.Observe(observed{n.server.Watch()})
	return nil
}

// start has the parts serve. members are the addresses of the cluster's nodes for each other.
func (n *Node) start(members map[holdfast.NodeID]string) error {
	if n.router != nil {
		if err := n.router.connect(); err != nil {
			return err
		}
	}
	if n.store != nil {
		n.ticking.Go(n.tick)
		if err := n.server.Start(); err != nil {
			return err
		}
	}
	if n.router != nil {
		if err := n.router.start(); err != nil {
			return err
		}
	}
	if n.tables != nil {
		n.tables.serve(members)
	}
	n.http.serve()
	return nil
}

// serverError returns a ListenError if a section's socket can't be bound.
func serverError(section string, err error) error {
	var socket *net.OpError
	if errors.As(err, &socket) && socket.Op == "listen" {
		return &ListenError{section + ".listen", err}
	}
	return fmt.Errorf("%s: %w", section, err)
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

// CacheAddrs are the addresses of the cache's listeners, the Unix socket last; none without a
// cache.
func (n *Node) CacheAddrs() []net.Addr {
	if n.server == nil {
		return nil
	}
	return n.server.Addrs()
}

// RouterAddrs are the addresses of the router's listeners, the Unix socket last; none without a
// router.
func (n *Node) RouterAddrs() []net.Addr {
	if n.router == nil {
		return nil
	}
	return n.router.server.Addrs()
}

// TablesAddr is where clients of DynamoDB's API connect, nil without tables.
func (n *Node) TablesAddr() net.Addr {
	if n.tables == nil {
		return nil
	}
	return n.tables.listener.Addr()
}

// HTTPAddr is the address of the HTTP listener, nil without one.
func (n *Node) HTTPAddr() net.Addr {
	if n.http == nil {
		return nil
	}
	return n.http.listener.Addr()
}

// Asked is closed when a client of the cache has asked for shutdown.
func (n *Node) Asked() <-chan struct{} {
	if n.server == nil {
		return nil
	}
	return n.server.Asked()
}

// Failed delivers the error of a part that ended by itself. The caller then closes the node.
func (n *Node) Failed() <-chan error { return n.failed }

// fail keeps the first failure.
func (n *Node) fail(err error) {
	select {
	case n.failed <- err:
	default:
	}
}

// Reload rereads what may change while the node runs: users, keys, certificates, and the router's
// pools and routes. If one can't be read or used, the one in use stays.
func (n *Node) Reload() error {
	var errs []error
	if n.server != nil {
		errs = append(errs, n.server.Reload())
	}
	if n.router != nil {
		errs = append(errs, n.router.server.Reload(), n.router.reload())
	}
	if n.tables != nil {
		errs = append(errs, n.tables.reload())
	}
	return errors.Join(errs...)
}

// Close stops the node; see the package's doc for the order.
func (n *Node) Close() error {
	n.closeOnce.Do(func() {
		n.stopping.Store(true)
		err := n.drain()
		if n.tables != nil && n.tables.member != nil {
			n.tables.member.steering.leave()
		}
		n.closeErr = errors.Join(err, n.end())
	})
	return n.closeErr
}

// stop also works on a node that has started in part.
func (n *Node) stop() error { return errors.Join(n.drain(), n.end()) }

// drain has clients get the answers to what they have sent, and no more.
func (n *Node) drain() error {
	var errs []error
	if n.router != nil {
		errs = append(errs, n.router.close())
	}
	if n.server != nil {
		errs = append(errs, shutdown(n.server))
	}
	if n.tables != nil {
		errs = append(errs, n.tables.drain())
	}
	return errors.Join(errs...)
}

// end stops what drain has left.
func (n *Node) end() error {
	var errs []error
	if n.tables != nil {
		errs = append(errs, n.tables.end())
	}
	errs = append(errs, n.http.close())
	close(n.endTick)
	n.ticking.Wait()
	if n.store != nil {
		if err := n.store.Close(); !n.cut.Load() {
			errs = append(errs, err) // otherwise tick has reported it
		}
	}
	return errors.Join(errs...)
}

// shutdown drains a server. Connections that it had to close are logged by the server and are no
// error.
func shutdown(s *server.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// tick advances the store's clock as each second begins, until the store can no longer be used.
func (n *Node) tick() {
	for {
		now := n.now()
		timer := time.NewTimer(now.Truncate(time.Second).Add(time.Second).Sub(now))
		select {
		case <-timer.C:
			if err := n.store.CheckFile(); err != nil {
				n.cut.Store(true)
				n.fail(err)
				return
			}
			n.store.Tick()
		case <-n.endTick:
			timer.Stop()
			return
		}
	}
}
