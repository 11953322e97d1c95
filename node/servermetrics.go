package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"holdfast/server"
)

// A serverSource is what the listeners' metrics show: a *server.Server.
type serverSource interface{ Stats() server.Stats }

var (
	connections      = gauge("server_connections", "Connections open.")
	connectionsLimit = gauge("server_connections_limit", "Connections that may be open at once.")
	accepted         = counter("server_connections_total", "Connections accepted.")
	rejected         = counter("server_connections_rejected_total", "Connections closed at once, as there were too many.")
	idleClosed       = counter("server_connections_idle_closed_total", "Connections closed because they were idle for too long.")
	acceptPauses     = counter("server_accept_pauses_total", "How often new connections had to wait, as there were too many.")
	acceptPaused     = counter("server_accept_paused_seconds_total", "How long new connections had to wait in all.")
	bytesRead        = counter("server_read_bytes_total", "Bytes received from clients.")
	bytesWritten     = counter("server_written_bytes_total", "Bytes sent to clients.")
	yields           = counter("server_yields_total", "How often a connection with more to do let the others have their turn.")
	pendingBytes     = gauge("server_pending_bytes", "Memory of requests that have come in part.")
	waitingBytes     = gauge("server_waiting_bytes", "Answers that wait for clients to read them.")
	pendingRefused   = counter("server_pending_refused_total", "Requests refused for lack of memory to receive them.")
	authRequests     = counter("server_auth_requests_total", "Clients that gave a name and a password, by what came of it.", "result")
	tlsErrors        = counter("server_tls_errors_total", "TLS handshakes that failed.")
	watchers         = gauge("server_watchers", "Clients that watch the log.")
	watchSkipped     = counter("server_watch_skipped_lines_total", "Lines of the log that watchers missed because they read too slowly.")
)

// A serverCollector reads the server's counters once a scrape.
type serverCollector struct{ source serverSource }

// Describe is prometheus.Collector's.
func (c *serverCollector) Describe(out chan<- *prometheus.Desc) {
	describeAll(out, connections, connectionsLimit, accepted, rejected, idleClosed, acceptPauses, acceptPaused, bytesRead,
		bytesWritten, yields, pendingBytes, waitingBytes, pendingRefused, authRequests, tlsErrors, watchers, watchSkipped)
}

// Collect is prometheus.Collector's.
func (c *serverCollector) Collect(out chan<- prometheus.Metric) {
	n := c.source.Stats()
	put(out, connections, n.Connections)
	put(out, connectionsLimit, n.MaxConnections)
	put(out, accepted, n.TotalConnections)
	put(out, rejected, n.RejectedConnections)
	put(out, idleClosed, n.IdleKicks)
	put(out, acceptPauses, n.ListenDisabled)
	put(out, acceptPaused, n.ListenDisabledTime.Seconds())
	put(out, bytesRead, n.BytesRead)
	put(out, bytesWritten, n.BytesWritten)
	put(out, yields, n.Yields)
	put(out, pendingBytes, n.PendingBytes)
	put(out, waitingBytes, n.WaitingBytes)
	put(out, pendingRefused, n.PendingRefused)
	put(out, authRequests, n.AuthCommands-min(n.AuthCommands, n.AuthErrors), "ok")
	put(out, authRequests, n.AuthErrors, "refused")
	put(out, tlsErrors, n.TLSErrors)
	put(out, watchers, n.Watchers)
	put(out, watchSkipped, n.WatchSkipped)
}
