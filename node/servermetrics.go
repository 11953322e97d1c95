package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"holdfast/server"
)

// A serverSource is what the listeners' metrics show: a *server.Server.
type serverSource interface{ Stats() server.Stats }

// A serverCollector reads a server's counters once a scrape.
type serverCollector struct {
	source serverSource

	connections, connectionsLimit                metric
	accepted, rejected, idleClosed               metric
	acceptPauses, acceptPaused                   metric
	bytesRead, bytesWritten, yields              metric
	pendingBytes, waitingBytes, pendingRefused   metric
	authRequests, tlsErrors, watchers, watchSkip metric
}

// newServerCollector returns a collector whose metrics begin with name: "server" for the cache's
// listeners, "router_server" for the router's.
func newServerCollector(name string, source serverSource) *serverCollector {
	name += "_"
	return &serverCollector{
		source:           source,
		connections:      gauge(name+"connections", "Connections open."),
		connectionsLimit: gauge(name+"connections_limit", "Connections that may be open at once."),
		accepted:         counter(name+"connections_total", "Connections accepted."),
		rejected: counter(name+"connections_rejected_total",
			"Connections closed at once because the limit was reached."),
		idleClosed: counter(name+"connections_idle_closed_total",
			"Connections closed because they were idle for too long."),
		acceptPauses: counter(name+"accept_pauses_total",
			"How often accepting was paused because the limit was reached."),
		acceptPaused: counter(name+"accept_paused_seconds_total", "Total time during which accepting was paused."),
		bytesRead:    counter(name+"read_bytes_total", "Bytes received from clients."),
		bytesWritten: counter(name+"written_bytes_total", "Bytes sent to clients."),
		yields: counter(name+"yields_total",
			"How often a connection with more requests yielded to the others."),
		pendingBytes:   gauge(name+"pending_bytes", "Memory of incomplete requests."),
		waitingBytes:   gauge(name+"waiting_bytes", "Bytes of answers that clients have not read yet."),
		pendingRefused: counter(name+"pending_refused_total", "Requests refused for lack of memory to receive them."),
		authRequests: counter(name+"auth_requests_total", "Authentication attempts by result.",
			"result"),
		tlsErrors: counter(name+"tls_errors_total", "TLS handshakes that failed."),
		watchers:  gauge(name+"watchers", "Clients that watch the log by the command watch."),
		watchSkip: counter(name+"watch_skipped_lines_total",
			"Lines of the log that watchers missed because they read too slowly."),
	}
}

// Describe is prometheus.Collector's.
func (c *serverCollector) Describe(out chan<- *prometheus.Desc) {
	describeAll(out, c.connections, c.connectionsLimit, c.accepted, c.rejected, c.idleClosed, c.acceptPauses,
		c.acceptPaused, c.bytesRead, c.bytesWritten, c.yields, c.pendingBytes, c.waitingBytes, c.pendingRefused,
		c.authRequests, c.tlsErrors, c.watchers, c.watchSkip)
}

// Collect is prometheus.Collector's.
func (c *serverCollector) Collect(out chan<- prometheus.Metric) {
	n := c.source.Stats()
	put(out, c.connections, n.Connections)
	put(out, c.connectionsLimit, n.MaxConnections)
	put(out, c.accepted, n.TotalConnections)
	put(out, c.rejected, n.RejectedConnections)
	put(out, c.idleClosed, n.IdleKicks)
	put(out, c.acceptPauses, n.ListenDisabled)
	put(out, c.acceptPaused, n.ListenDisabledTime.Seconds())
	put(out, c.bytesRead, n.BytesRead)
	put(out, c.bytesWritten, n.BytesWritten)
	put(out, c.yields, n.Yields)
	put(out, c.pendingBytes, n.PendingBytes)
	put(out, c.waitingBytes, n.WaitingBytes)
	put(out, c.pendingRefused, n.PendingRefused)
	put(out, c.authRequests, n.AuthCommands-min(n.AuthCommands, n.AuthErrors), "ok")
	put(out, c.authRequests, n.AuthErrors, "refused")
	put(out, c.tlsErrors, n.TLSErrors)
	put(out, c.watchers, n.Watchers)
	put(out, c.watchSkip, n.WatchSkipped)
}
