package server

import (
	"bytes"
	"net"
	"strings"
	"time"

	"holdfast/mc"
)

// stats answers the command stats: the server's part of a group first, then the backend's.
func (a admin) stats(args [][]byte) {
	s, out := a.server, a.batch.Out
	word := ""
	if len(args) > 0 {
		word = string(args[0])
	}
	switch word {
	case "":
		out = report{s}.general(out)
	case "settings":
		out = report{s}.settings(out)
	case "conns":
		a.batch.Out = append(report{s}.connections(out), mc.End...)
		return
	case "reset":
		s.resetStats()
		a.answer("RESET\r\n")
		return
	case "detail":
		a.statsDetail(args)
		return
	case "cachedump":
		if s.options.NoDump {
			a.answer("CLIENT_ERROR stats cachedump not allowed\r\n")
			return
		}
	}
	a.backendStats(out, string(bytes.Join(args, []byte(" "))))
}

// backendStats ends a listing, or answers ERROR if the backend doesn't know the group.
func (a admin) backendStats(out []byte, group string) {
	known := false
	if reporter := a.server.optional.stats; reporter != nil {
		out, known = reporter.Stats(out, group)
	}
	if !known && group != "" && group != "settings" {
		a.answer(answerError)
		return
	}
	a.batch.Out = append(out, mc.End...)
}

func (a admin) statsDetail(args [][]byte) {
	word := ""
	if len(args) > 1 {
		word = string(args[1])
	}
	switch {
	case a.server.options.NoDump:
		a.answer("CLIENT_ERROR stats detail not allowed\r\n")
	case word == "on" || word == "off":
		if a.server.optional.prefixes == nil {
			a.answer(answerError)
			return
		}
		a.server.optional.prefixes.Detail(word == "on")
		a.answer(mc.OK)
	case word == "dump":
		a.backendStats(a.batch.Out, "detail dump")
	default:
		a.answer("CLIENT_ERROR usage: stats detail on|off|dump\r\n")
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
		Connections: s.conns.open.Load(), MaxConnections: int64(s.options.MaxConnections), Threads: int64(len(s.lanes)),
		Watchers: int64(s.watch.len()), TotalConnections: s.conns.total.Load(), RejectedConnections: s.conns.rejected.Load(),
		ListenDisabled: s.conns.pauses.Load(), AuthCommands: s.authCommands.Load(), AuthErrors: s.authErrors.Load(),
		TLSErrors: s.tlsErrors.Load(), PendingRefused: s.pending.refused.Load(), PendingBytes: s.pending.bytes.Load(),
		WaitingBytes: s.waitingBytes.Load(),
		WatchLines:   s.watch.sent.Load(), WatchSkipped: s.watch.skipped.Load(),
	}
	for _, l := range s.lanes {
		st.BytesRead += l.bytesRead.Load()
		st.BytesWritten += l.bytesWritten.Load()
		st.Yields += l.yields.Load()
		st.IdleKicks += l.idleKicks.Load()
	}
	st.ListenDisabledTime = s.conns.pausedTime()
	return st
}

// resetStats is memcached's: counters, not gauges.
func (s *Server) resetStats() {
	for _, n := range []interface{ Store(int64) }{&s.conns.total, &s.conns.rejected, &s.conns.pauses,
		&s.authCommands, &s.authErrors,
		&s.tlsErrors, &s.pending.refused, &s.watch.sent, &s.watch.skipped} {
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

// peerOf is a client's address, a stream's, as the log of connections shows it.
func peerOf(remote string) string {
	network, address, _ := strings.Cut(remote, ":")
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "rip=unix rport=0 transport=local"
	}
	return "rip=" + host + " rport=" + port + " transport=" + network[:len("tcp")]
}
