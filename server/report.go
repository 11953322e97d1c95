package server

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A report writes the server's part of the command stats.
type report struct{ *Server }

// general is the server's part of "stats", under memcached's names, those that count
// something of memcached's own as 0.
func (s report) general(out []byte) []byte {
	st, now := s.Stats(), time.Now()
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	out = stat(out, "pid", os.Getpid())
	out = stat(out, "uptime", int64(now.Sub(s.started)/time.Second))
	out = stat(out, "time", now.Unix())
	out = stat(out, "version", s.options.Version)
	out = stat(out, "libevent", "none") // some tools require the line
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
	out = stat(out, "accepting_conns", s.conns.accepting())
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

// settings is the server's part of "stats settings".
func (s report) settings(out []byte) []byte {
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

// asciiAuth is the file of users for the text protocol, as "stats settings" shows it.
func (s report) asciiAuth() string {
	if s.options.Protocol == Binary {
		return "no"
	}
	return cmp.Or(s.options.AuthFile, "no")
}

func (s report) tlsSettings(out []byte) []byte {
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

// connections is "stats conns": the listeners, then the connections by file descriptor.
func (s report) connections(out []byte) []byte {
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
		rows = append(rows, row{fd, fmt.Appendf(nil,
			"STAT %d:addr %s\r\nSTAT %d:listen_addr %s\r\nSTAT %d:state %s\r\nSTAT %d:secs_since_last_cmd %d\r\n",
			fd, remote, fd, local, fd, states[c.phase.Load()],
			fd, max(0, (now-c.active.Load())/int64(time.Second)))})
	})
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.fd, b.fd) })
	for _, r := range rows {
		out = append(out, r.text...)
	}
	return out
}

func (s report) port() int {
	for _, l := range s.listeners {
		if tcp, ok := l.addr.(*net.TCPAddr); ok {
			return tcp.Port
		}
	}
	return 0
}

func (s report) hosts() string {
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
