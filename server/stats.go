package server

import (
	"bytes"
	"cmp"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"holdfast/mc"
)

// stats answers the command stats: the server's part of a group first, then the backend's.
func (c *conn) stats(args [][]byte) {
	s, out := c.server, c.work.batch.Out
	word := ""
	if len(args) > 0 {
		word = string(args[0])
	}
	switch word {
	case "":
		out = s.generalStats(out)
	case "settings":
		out = s.settingsStats(out)
	case "conns":
		c.work.batch.Out = append(s.connStats(out), mc.End...)
		return
	case "reset":
		s.resetStats()
		c.answer("RESET\r\n")
		return
	case "detail":
		c.statsDetail(args)
		return
	case "cachedump":
		if s.options.NoDump {
			c.answer("CLIENT_ERROR stats cachedump not allowed\r\n")
			return
		}
	}
	c.backendStats(out, string(bytes.Join(args, []byte(" "))))
}

// backendStats ends a listing, or answers ERROR if the backend doesn't know the group.
func (c *conn) backendStats(out []byte, group string) {
	known := false
	if reporter := c.server.optional.stats; reporter != nil {
		out, known = reporter.Stats(out, group)
	}
	if !known && group != "" && group != "settings" {
		c.answer(answerError)
		return
	}
	c.work.batch.Out = append(out, mc.End...)
}

func (c *conn) statsDetail(args [][]byte) {
	word := ""
	if len(args) > 1 {
		word = string(args[1])
	}
	switch {
	case c.server.options.NoDump:
		c.answer("CLIENT_ERROR stats detail not allowed\r\n")
	case word == "on" || word == "off":
		if c.server.optional.prefixes == nil {
			c.answer(answerError)
			return
		}
		c.server.optional.prefixes.Detail(word == "on")
		c.answer(mc.OK)
	case word == "dump":
		c.backendStats(c.work.batch.Out, "detail dump")
	default:
		c.answer("CLIENT_ERROR usage: stats detail on|off|dump\r\n")
	}
}

// Stats are the server's own counters. All but the first four rise only.
type Stats struct {
	Connections    int64 // now
	MaxConnections int64
	Threads        int64
	Watchers       int64 // now

	TotalConnections    int64
	RejectedConnections int64 // over the maximum
	ListenDisabled      int64 // how often the listeners had to wait, with Options.WaitOverMax
	ListenDisabledTime  time.Duration
	BytesRead           int64
	BytesWritten        int64
	Yields              int64 // how often a connection had to wait for its next turn
	IdleKicks           int64
	AuthCommands        int64
	AuthErrors          int64
	TLSErrors           int64 // failed handshakes
	PendingRefused      int64 // requests refused for lack of memory to read them: see Options.PendingBytes
	WaitingBytes        int64 // now: answers that wait for clients to read: see Options.WaitingBytes
	PendingBytes        int64 // now: memory of requests that have come in part
	WatchLines          int64
	WatchSkipped        int64
}

// Stats reads the counters.
func (s *Server) Stats() Stats {
	st := Stats{
		Connections: s.open.Load(), MaxConnections: int64(s.options.MaxConnections), Threads: int64(len(s.lanes)),
		Watchers: int64(s.watch.len()), TotalConnections: s.total.Load(), RejectedConnections: s.rejected.Load(),
		ListenDisabled: s.over.times.Load(), AuthCommands: s.authCommands.Load(), AuthErrors: s.authErrors.Load(),
		TLSErrors: s.tlsErrors.Load(), PendingRefused: s.requestsRefused.Load(), PendingBytes: s.pendingBytes.Load(),
		WaitingBytes: s.waitingBytes.Load(),
		WatchLines:   s.watch.sent.Load(), WatchSkipped: s.watch.skipped.Load(),
	}
	for _, l := range s.lanes {
		st.BytesRead += l.bytesRead.Load()
		st.BytesWritten += l.bytesWritten.Load()
		st.Yields += l.yields.Load()
		st.IdleKicks += l.idleKicks.Load()
	}
	s.over.mu.Lock()
	st.ListenDisabledTime = s.over.duration
	s.over.mu.Unlock()
	return st
}

// resetStats is memcached's: counters, not gauges.
func (s *Server) resetStats() {
	for _, n := range []interface{ Store(int64) }{&s.total, &s.rejected, &s.over.times, &s.authCommands, &s.authErrors,
		&s.tlsErrors, &s.requestsRefused, &s.watch.sent, &s.watch.skipped} {
		n.Store(0)
	}
	for _, l := range s.lanes {
		for _, n := range []interface{ Store(int64) }{&l.bytesRead, &l.bytesWritten, &l.yields, &l.idleKicks} {
			n.Store(0)
		}
	}
	if s.optional.resetter != nil {
		s.optional.resetter.ResetStats()
	}
}

// generalStats are the server's part of "stats", under memcached's names, those that count
// something of memcached's own as 0.
func (s *Server) generalStats(out []byte) []byte {
	st, now := s.Stats(), time.Now()
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	out = stat(out, "pid", os.Getpid())
	out = stat(out, "uptime", int64(now.Sub(s.started)/time.Second))
	out = stat(out, "time", now.Unix())
	out = stat(out, "version", s.options.Version)
	out = stat(out, "libevent", "none") // some tools want the line
	out = stat(out, "pointer_size", strconv.IntSize)
	out = stat(out, "rusage_user", seconds(usage.Utime))
	out = stat(out, "rusage_system", seconds(usage.Stime))
	out = stat(out, "max_connections", st.MaxConnections)
	out = stat(out, "curr_connections", st.Connections)
	out = stat(out, "total_connections", st.TotalConnections)
	if !s.options.WaitOverMax {
		out = stat(out, "rejected_connections", st.RejectedConnections)
	}
	out = stat(out, "connection_structures", st.Connections)
	out = stat(out, "response_obj_oom", 0)
	out = stat(out, "response_obj_count", 0)
	out = stat(out, "response_obj_bytes", st.WaitingBytes)
	out = stat(out, "read_buf_count", 0)
	out = stat(out, "read_buf_bytes", st.PendingBytes)
	out = stat(out, "read_buf_bytes_free", 0)
	out = stat(out, "read_buf_oom", st.PendingRefused)
	out = stat(out, "reserved_fds", 0)
	out = stat(out, "auth_cmds", st.AuthCommands)
	out = stat(out, "auth_errors", st.AuthErrors)
	if s.options.IdleTimeout > 0 {
		out = stat(out, "idle_kicks", st.IdleKicks)
	}
	out = stat(out, "bytes_read", st.BytesRead)
	out = stat(out, "bytes_written", st.BytesWritten)
	out = stat(out, "accepting_conns", s.accepting())
	out = stat(out, "listen_disabled_num", st.ListenDisabled)
	out = stat(out, "time_in_listen_disabled_us", st.ListenDisabledTime.Microseconds())
	out = stat(out, "threads", st.Threads)
	out = stat(out, "conn_yields", st.Yields)
	out = stat(out, "log_worker_dropped", 0)
	out = stat(out, "log_worker_written", st.WatchLines)
	out = stat(out, "log_watcher_skipped", st.WatchSkipped)
	out = stat(out, "log_watcher_sent", st.WatchLines)
	out = stat(out, "log_watchers", st.Watchers)
	if s.tls != nil {
		out = stat(out, "ssl_handshake_errors", st.TLSErrors)
		out = stat(out, "time_since_server_cert_refresh", int64(s.tls.age()/time.Second))
	}
	out = stat(out, "unexpected_napi_ids", 0)
	return stat(out, "round_robin_fallback", 0)
}

// accepting is 1, or 0 while the listeners wait for a connection to close.
func (s *Server) accepting() int {
	s.over.mu.Lock()
	defer s.over.mu.Unlock()
	if s.over.stopped {
		return 0
	}
	return 1
}

// settingsStats are the server's part of "stats settings".
func (s *Server) settingsStats(out []byte) []byte {
	o := &s.options
	out = stat(out, "maxconns", o.MaxConnections)
	out = stat(out, "tcpport", s.port())
	out = stat(out, "udpport", 0)
	out = stat(out, "inter", s.hosts())
	out = stat(out, "verbosity", s.verbosity.Load())
	out = stat(out, "domain_socket", orNull(o.UnixSocket))
	out = stat(out, "umask", strconv.FormatUint(uint64(o.UnixSocketMode), 8))
	out = stat(out, "shutdown_command", yesNo(o.ShutdownCommand))
	out = stat(out, "num_threads", len(s.lanes))
	out = stat(out, "num_threads_per_udp", 0)
	out = stat(out, "reqs_per_event", o.BatchRequests)
	out = stat(out, "tcp_backlog", o.Backlog)
	out = stat(out, "binding_protocol", o.Protocol)
	out = stat(out, "auth_enabled_sasl", yesNo(s.auth != nil && o.Protocol != Text))
	out = stat(out, "auth_enabled_ascii", s.asciiAuth())
	out = stat(out, "item_size_max", o.ItemMaxBytes)
	out = stat(out, "maxconns_fast", yesNo(!o.WaitOverMax))
	out = stat(out, "lru_crawler", yesNo(!s.crawlerOff.Load()))
	out = stat(out, "flush_enabled", yesNo(!o.NoFlush))
	out = stat(out, "dump_enabled", yesNo(!o.NoDump))
	out = stat(out, "idle_timeout", int64(o.IdleTimeout/time.Second))
	out = stat(out, "watcher_logbuf_size", o.WatchBytes)
	out = stat(out, "worker_logbuf_size", 0)
	out = stat(out, "read_buf_mem_limit", o.PendingBytes)
	out = stat(out, "inline_ascii_response", "no")
	for _, setting := range o.Settings {
		out = stat(out, setting.Name, setting.Value)
	}
	return s.tlsSettings(out)
}

// asciiAuth is the file of who may speak the text protocol, as "stats settings" shows it.
func (s *Server) asciiAuth() string {
	if s.options.Protocol == Binary {
		return "no"
	}
	return cmp.Or(s.options.AuthFile, "no")
}

func (s *Server) tlsSettings(out []byte) []byte {
	o := &s.options.TLS
	versions := map[uint16]string{0x301: "tlsv1.0", 0x302: "tlsv1.1", 0x304: "tlsv1.3"}
	out = stat(out, "ssl_enabled", yesNo(s.tls != nil))
	out = stat(out, "ssl_chain_cert", orNull(o.Certificate))
	out = stat(out, "ssl_key", orNull(o.Key))
	out = stat(out, "ssl_verify_mode", o.VerifyMode)
	out = stat(out, "ssl_keyformat", 1) // OpenSSL's number for PEM
	out = stat(out, "ssl_ciphers", "NULL")
	out = stat(out, "ssl_ca_cert", orNull(o.CA))
	out = stat(out, "ssl_session_cache", "no")
	out = stat(out, "ssl_kernel_tls", "no")
	return stat(out, "ssl_min_version", cmp.Or(versions[o.MinVersion], "tlsv1.2"))
}

// connStats are "stats conns": the listeners, then the connections by file descriptor.
func (s *Server) connStats(out []byte) []byte {
	type row struct {
		fd   int
		text []byte
	}
	var rows []row
	for _, l := range s.listeners {
		fd := l.fd()
		out = fmt.Appendf(out, "STAT %d:addr %s\r\nSTAT %d:state conn_listening\r\nSTAT %d:secs_since_last_cmd %d\r\n",
			fd, l.describe(), fd, fd, int64(time.Since(s.started)/time.Second))
	}
	states := map[uint32]string{phaseIdle: "conn_read", phasePartial: "conn_nread", phaseServing: "conn_parse_cmd",
		phaseWriting: "conn_mwrite", phaseWatching: "conn_watch"}
	now := time.Now().UnixNano()
	s.eachConn(func(c *conn) { // a connection leaves its lane before its descriptor is closed
		fd := c.stream.FD()
		local, remote := c.stream.LocalAddr(), c.stream.RemoteAddr()
		if remote == "unix:" {
			remote = local // a unix socket's client has no name
		}
		rows = append(rows, row{fd, fmt.Appendf(nil, "STAT %d:addr %s\r\nSTAT %d:listen_addr %s\r\nSTAT %d:state %s\r\nSTAT %d:secs_since_last_cmd %d\r\n",
			fd, remote, fd, local, fd, states[c.phase.Load()],
			fd, max(0, (now-c.active.Load())/int64(time.Second)))})
	})
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.fd, b.fd) })
	for _, r := range rows {
		out = append(out, r.text...)
	}
	return out
}

// peer is the client's address as the log of connections shows it.
func (c *conn) peer() string {
	network, address, _ := strings.Cut(c.stream.RemoteAddr(), ":")
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "rip=unix rport=0 transport=local"
	}
	return "rip=" + host + " rport=" + port + " transport=" + network[:len("tcp")]
}

func (s *Server) port() int {
	for _, l := range s.listeners {
		if tcp, ok := l.addr.(*net.TCPAddr); ok {
			return tcp.Port
		}
	}
	return 0
}

func (s *Server) hosts() string {
	var hosts []string
	for _, l := range s.listeners {
		if tcp, ok := l.addr.(*net.TCPAddr); ok {
			hosts = append(hosts, tcp.IP.String())
		}
	}
	return orNull(strings.Join(hosts, ","))
}

func stat[T any](out []byte, name string, value T) []byte {
	return fmt.Appendf(out, "STAT %s %v\r\n", name, value)
}

func seconds(t syscall.Timeval) string { return fmt.Sprintf("%d.%06d", t.Sec, t.Usec) }

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func orNull(s string) string { return cmp.Or(s, "NULL") }
