package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"holdfast"
	"holdfast/config"
)

// Limits of the HTTP listener, which serves a few people and monitoring systems.
const (
	httpScrapes       = 4
	httpHeaderBytes   = 16 << 10
	httpReadTimeout   = 2 * time.Second
	httpWriteTimeout  = 30 * time.Second
	httpIdleTimeout   = 2 * time.Minute
	httpScrapeTimeout = 10 * time.Second
)

var httpConnections = gateLimits{total: 64, perAddress: 32, reserve: 8}

const healthPath = "/healthz"

// An httpServer is the node's HTTP listener. Its methods do nothing on nil, which is none.
type httpServer struct {
	node     *Node
	listener gatedListener
	server   http.Server
	serving  sync.WaitGroup // accepts connections
}

// listenHTTP binds address, unless there is a listener already; "" is no listener. Requests wait
// until serve.
func listenHTTP(c config.HTTP, n *Node, listener net.Listener) (_ *httpServer, err error) {
	if c.Listen == "" {
		return nil, nil
	}
	if listener == nil {
		if listener, err = net.Listen("tcp", c.Address()); err != nil {
			return nil, err
		}
	}
	h := &httpServer{node: n, listener: gatedListener{listener, newGate(httpConnections)}}
	h.server = http.Server{
		Handler:           markGuests(namedHosts(listener.Addr(), c.Hosts, n.handler())),
		ConnContext:       withGuest,
		ReadHeaderTimeout: httpReadTimeout,
		ReadTimeout:       httpReadTimeout,
		WriteTimeout:      httpWriteTimeout,
		IdleTimeout:       httpIdleTimeout,
		MaxHeaderBytes:    httpHeaderBytes,
		ErrorLog:          slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
	return h, nil
}

func (h *httpServer) serve() {
	if h == nil {
		return
	}
	h.serving.Go(func() {
		err := h.server.Serve(h.listener)
		if !errors.Is(err, http.ErrServerClosed) {
			h.node.fail(fmt.Errorf("http: %w", err))
		}
	})
}

// close closes the listener and waits, for a bounded time, for the requests in flight. It also
// works on a listener that never served, since a failed start closes it.
func (h *httpServer) close() error {
	if h == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	err := h.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = h.server.Close()
	}
	h.listener.Close() // again, if it served
	h.serving.Wait()   // another server may take the listener then
	return err
}

// handler returns what HTTP serves. None of it changes what clients read, or have written.
func (n *Node) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+healthPath, n.serveHealth)
	mux.HandleFunc("GET /version", serveVersion)
	mux.HandleFunc("GET "+statusPath, n.serveStatus)
	n.handleCompare(mux)
	n.handleSteering(mux)
	if n.store != nil {
		mux.HandleFunc("GET /whatif", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, n.store.WhatIf()) })
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.registry(), promhttp.HandlerOpts{
		MaxRequestsInFlight: httpScrapes,
		Timeout:             httpScrapeTimeout,
		ErrorLog:            slog.NewLogLogger(n.log.Handler(), slog.LevelWarn),
	}))
	mux.HandleFunc("GET /{$}", serveIndex)
	return mux
}

// registry is the node's own: nothing is registered globally.
func (n *Node) registry() *prometheus.Registry {
	var parts []prometheus.Collector
	if n.store != nil {
		parts = append(parts, &cacheCollector{source: n.store}, newServerCollector("server", n.server))
	}
	if n.router != nil {
		parts = append(parts, &routerCollector{source: n.router}, newServerCollector("router_server", n.router.server))
	}
	if n.tables != nil {
		parts = append(parts, &tablesCollector{source: n.tables})
		if n.tables.member != nil {
			parts = append(parts, &clusterCollector{source: n.tables.member})
		}
	}
	return newRegistry(parts...)
}

// serveHealth answers 200 while the node serves, and 503 once it drains, and before its cluster is
// formed. Members that are down, a cluster without a leader, and a full disk, are reported in the text
// but are no failure of this node: a restart would repair none of them, and would stop reads that work.
func (n *Node) serveHealth(w http.ResponseWriter, _ *http.Request) {
	if n.stopping.Load() {
		http.Error(w, "stopping", http.StatusServiceUnavailable)
		return
	}
	if n.meeting != nil {
		http.Error(w, n.meeting.waits(), http.StatusServiceUnavailable)
		return
	}
	var faults []string
	if n.tables != nil {
		faults = n.tables.faults()
	}
	if len(faults) == 0 {
		faults = []string{"ok"}
	}
	fmt.Fprintln(w, strings.Join(faults, "\n"))
	if n.router != nil {
		fmt.Fprintln(w, "router:", n.router.health())
	}
}

func serveVersion(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]string{"version": holdfast.Version, "go": runtime.Version()})
}

const index = `Holdfast
/healthz  ok, what the tables lack: disk space, or a leader; and the router's state; 503 before the
          cluster is formed, and while the node stops
/status   the cluster's nodes and the replicas of its shards as this node sees them, as JSON
/compare  POST has the replicas of all shards compared; GET ?round=N says what was found, as JSON
/cluster/transfer
          POST ?node=N has node N lead
/cluster/drain
          POST ?node=N has node N lead nothing any more, and with &undo=true ends that
/metrics  counts and gauges, for Prometheus
/whatif   the hit rate that this traffic would have with less and more memory, as JSON; with a cache
/version  as JSON
`

func serveIndex(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, index) }

func writeJSON(w http.ResponseWriter, v any) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(text, '\n')) // the client may be gone
}
