package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"holdfast"
	"holdfast/config"
	"holdfast/node"
)

// gcPercent lets the heap grow to five times its live size before a collection. Items are outside
// of the heap, so its live size is a few megabytes of buffers, and a collection costs the event
// loops more than the memory is worth.
const gcPercent = 400

// heapBytes is the heap size above which collections run more often than by gcPercent: clients that
// don't read their responses may make the heap large for a while.
const heapBytes = 512 << 20

// besideTablesBytes is the part of the heap for the cache and the router, where tables have a limit
// of their own, tables.memory.
const besideTablesBytes = 128 << 20

// A service is a node, or a cluster of several, to serve until a signal ends it.
type service struct {
	options node.Options
	nodes   []config.Config              // of a cluster's nodes; none: there is one node, that of options
	ready   func(all []*node.Node) error // called once everything listens

	// meet is called before the node is opened, unless it is nil. It may take as long as other nodes
	// take to start; a signal that stops the service ends its context.
	meet func(context.Context, *node.Options) error
}

// A running service is a *node.Node or a *node.Nodes.
type running interface {
	Asked() <-chan struct{}
	Failed() <-chan error
	Reload() error
	Close() error
}

// open starts the service, and returns its nodes, too.
func (s *service) open() (running, []*node.Node, error) {
	if len(s.nodes) == 0 {
		n, err := node.Open(s.options)
		return n, []*node.Node{n}, err
	}
	ns, err := node.OpenNodes(s.options, s.nodes)
	if err != nil {
		return nil, nil, err
	}
	return ns, ns.All(), nil
}

// serve runs the service until SIGTERM, SIGINT or memcached's SIGUSR1, a client's shutdown or the
// end of ctx; it then drains, and returns nil. SIGHUP reads the users, the certificates, and the
// router's pools and routes again. A second signal ends the process at once.
func serve(ctx context.Context, s service) error {
	log := s.options.Log
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, append(stopSignals, syscall.SIGHUP)...)
	defer signal.Stop(signals)
	tuneRuntime(&s)
	if s.meet != nil {
		if stopped, err := s.meetUntil(ctx, signals); stopped || err != nil {
			return startError(err)
		}
	}
	n, all, err := s.open()
	if err != nil {
		return startError(err)
	}
	if err := s.ready(all); err != nil {
		return errors.Join(err, n.Close())
	}
	for {
		select {
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				reload(n, log)
				continue
			}
			signal.Reset(stopSignals...)
			log.Info("stopping", "signal", sig.String())
			return n.Close()
		case <-n.Asked():
			log.Info("stopping", "signal", "a client's shutdown")
			return n.Close()
		case err := <-n.Failed():
			return errors.Join(err, n.Close())
		case <-ctx.Done():
			return n.Close()
		}
	}
}

// meetUntil has the node meet others until a signal stops that, which is no error.
func (s *service) meetUntil(ctx context.Context, signals <-chan os.Signal) (stopped bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	met := make(chan error, 1)
	go func() { met <- s.meet(ctx, &s.options) }()
	for {
		select {
		case err := <-met:
			stopped = err != nil && ctx.Err() != nil && errors.Is(err, holdfast.Canceled)
			if stopped {
				err = nil
			}
			return stopped, err
		case sig := <-signals:
			if sig != syscall.SIGHUP { // there is nothing to read again yet
				s.options.Log.Info("stopping", "signal", sig.String())
				cancel()
			}
		}
	}
}

func reload(n running, log *slog.Logger) {
	if err := n.Reload(); err != nil {
		log.Error("the reload failed; the previous configuration stays in use", "err", err)
		return
	}
	log.Info("users and certificates were reloaded")
}

// tuneRuntime sets the number of event loops and adapts the Go runtime to it. A busy loop keeps its
// processor (Go's P), so there is one more for everything else; see package loop.
func tuneRuntime(s *service) {
	o := &s.options
	processors := runtime.GOMAXPROCS(0) // respects a container's limit
	busy := resolveLoops(&o.Config, processors)
	if len(s.nodes) > 0 {
		s.nodes[0].Cache, s.nodes[0].Router = o.Config.Cache, o.Config.Router
	}
	runtime.GOMAXPROCS(max(processors, busy+1))
	if read := o.Read; read != nil {
		o.Read = func() (config.Config, node.Source, error) {
			c, source, err := read()
			resolveLoops(&c, processors)
			return c, source, err
		}
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		limit := int64(heapBytes)
		if o.Config.Tables.On() {
			limit = besideTablesBytes + tablesHeapBytes(s)
		}
		debug.SetMemoryLimit(limit)
	}
}

func tablesHeapBytes(s *service) (sum int64) {
	if len(s.nodes) == 0 {
		return node.TablesHeapBytes(&s.options.Config)
	}
	for i := range s.nodes {
		sum += node.TablesHeapBytes(&s.nodes[i])
	}
	return sum
}

// resolveLoops replaces 0 by the default number of event loops, and returns the total. A cache has
// one loop per processor. A router has one fewer, but at least one: each of its requests crosses
// the kernel's network four times, and a loop that waits for a processor makes all its clients wait
// (decisions/0012).
func resolveLoops(c *config.Config, processors int) int {
	c.Cache.Threads = cmp.Or(c.Cache.Threads, processors)
	if c.Router == nil {
		return c.Cache.Threads
	}
	r := *c.Router
	r.Threads = cmp.Or(r.Threads, max(1, processors-1))
	c.Router = &r
	return c.Cache.Threads + r.Threads
}

// startError adds the address to the error of a start that failed because it is in use.
func startError(err error) error {
	var listen *node.ListenError
	if !errors.As(err, &listen) {
		return err
	}
	var op *net.OpError
	if !errors.Is(err, syscall.EADDRINUSE) || !errors.As(err, &op) || op.Addr == nil {
		return listen
	}
	return &takenError{listen, op.Addr.String()}
}

// A takenError reports an address that another program listens on.
type takenError struct {
	*node.ListenError
	address string
}

// Unwrap returns the error that node reported.
func (e *takenError) Unwrap() error { return e.ListenError }

// another suggests a different address: the next port, or a path beside the one in use.
func (e *takenError) another() string {
	host, port, err := net.SplitHostPort(e.address)
	if err != nil {
		return "unix:" + e.address + ".2"
	}
	n, err := strconv.Atoi(port)
	if err != nil || n >= 65535 {
		return net.JoinHostPort(host, "0")
	}
	return net.JoinHostPort(host, strconv.Itoa(n+1))
}

// warnIfOpen logs a warning if anyone who can connect may use the service, as is the default of
// memcached and of other routers.
func warnIfOpen(what, authFile string, tls config.TLS, addrs []net.Addr, log *slog.Logger) {
	if authFile != "" || tls.Clients == config.ClientsChecked {
		return
	}
	for _, addr := range addrs {
		if tcp, ok := addr.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
			log.Warn("whoever reaches this address may use the "+what+": listen on 127.0.0.1, or ask for a password",
				"address", addr.String())
			return
		}
	}
}

func addressList(addrs []net.Addr) string {
	texts := make([]string, len(addrs))
	for i, addr := range addrs {
		texts[i] = addr.String()
	}
	return strings.Join(texts, " ")
}
