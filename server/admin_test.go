package server

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"holdfast/mc"
)

// The answers are those of memcached-debug 1.6.40.
func TestAdminAnswers(t *testing.T) {
	s := start(t, Options{Debug: true, Version: "1.6.40-test"}, newMemory())
	c := dial(t, s)
	for _, tt := range []struct{ command, want string }{
		{"version", "VERSION 1.6.40-test\r\n"},
		{"version x", "VERSION 1.6.40-test\r\n"},
		{"verbosity", mc.BadLine},
		{"verbosity a", mc.BadLine},
		{"verbosity 1", mc.OK},
		{"verbosity 1 noreply\r\nmn", "MN\r\n"},
		{"stats reset", "RESET\r\n"},
		{"stats nonsense", "ERROR\r\n"},
		{"stats items", "STAT group items\r\nEND\r\n"},
		{"stats detail", "CLIENT_ERROR usage: stats detail on|off|dump\r\n"},
		{"stats detail foo", "CLIENT_ERROR usage: stats detail on|off|dump\r\n"},
		{"stats detail on", mc.OK},
		{"stats detail dump", "STAT group detail dump\r\nEND\r\n"},
		{"slabs", "ERROR\r\n"},
		{"slabs foo", "ERROR\r\n"},
		{"slabs automove 1", mc.OK},
		{"slabs reassign 1 2", "CLIENT_ERROR slab reassignment disabled\r\n"},
		{"lru", "ERROR\r\n"},
		{"lru mode foo", "ERROR\r\n"},
		{"lru mode flat", mc.OK},
		{"lru_crawler", "ERROR\r\n"},
		{"lru_crawler enable", mc.OK},
		{"lru_crawler disable", mc.OK},
		{"lru_crawler crawl 1", mc.OK},
		{"lru_crawler tocrawl x", mc.BadLine},
		{"lru_crawler sleep 100", mc.OK},
		{"lru_crawler sleep 2000000", "CLIENT_ERROR sleep must be one second or less\r\n"},
		{"lru_crawler metadump all", mc.End},
		{"lru_crawler mgdump all", "EN\r\n"},
		{"watch foo", "ERROR\r\n"},
		{"cache_memlimit", "ERROR\r\n"},
		{"cache_memlimit 4", "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n"},
		{"cache_memlimit 64", "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n"},
		{"cache_memlimit 2000000", "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n"},
		{"cache_memlimit 2000000000", "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n"},
		{"refresh_certs", "Error TLS not enabled\r\n"},
		{"misbehave", "ERROR\r\n"},
		{"debugtime", "ERROR\r\n"},
		{"debugtime x", "ERROR\r\n"},
		{"debugtime 1", mc.OK},
		{"debugtime p", mc.OK},
	} {
		t.Run(tt.command, func(t *testing.T) {
			c.t = t
			c.ask(tt.command+"\r\n", tt.want)
		})
	}
	c.t = t
	if got := s.Verbosity(); got != 1 {
		t.Errorf("verbosity %d; want 1", got)
	}
	m := s.backend.(*memory)
	c.send("quit\r\nmn\r\n")
	c.wantEnd()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.detail || !m.paused || m.clock != time.Second || m.resets != 1 {
		t.Errorf("detail %v, paused %v, clock %v, resets %d; want true, true, 1s, 1", m.detail, m.paused, m.clock, m.resets)
	}
}

// A backend that only serves requests gets the answers that the optional interfaces' comments name.
func TestBackendWithoutOptionalInterfaces(t *testing.T) {
	store := newMemory()
	s := start(t, Options{Debug: true}, mc.HandlerFunc(store.Serve))
	c := dial(t, s)
	for _, tt := range []struct{ command, want string }{
		{"set a 0 0 1\r\nb", mc.Stored},
		{"get a", get("a", "b")},
		{"stats items", "ERROR\r\n"},
		{"stats reset", "RESET\r\n"},
		{"stats detail on", "CLIENT_ERROR stats detail not allowed\r\n"},
		{"stats cachedump 1 1", "CLIENT_ERROR stats cachedump not allowed\r\n"},
		{"lru_crawler metadump all", answerNoMetadump},
		{"lru_crawler mgdump all", answerNoMgdump},
		{"debugtime p", "ERROR\r\n"},
	} {
		t.Run(tt.command, func(t *testing.T) {
			c.t = t
			c.ask(tt.command+"\r\n", tt.want)
		})
	}
	c.t = t
	if got := c.stats("")["threads"]; got != "2" {
		t.Errorf("stats: threads %q; want the server's own lines", got)
	}
	if got := c.stats("settings")["dump_enabled"]; got != "no" {
		t.Errorf("stats settings: dump_enabled %q; want no", got)
	}
}

func TestStats(t *testing.T) {
	s := start(t, Options{Threads: 2, MaxConnections: 77}, newMemory())
	c := dial(t, s)
	c.ask("mn\r\n", "MN\r\n")
	stats := c.stats("")
	for name, want := range map[string]string{
		"pid": fmt.Sprint(os.Getpid()), "version": "1.6.40", "pointer_size": "64", "curr_connections": "1",
		"total_connections": "1", "max_connections": "77", "threads": "2", "bytes_read": "11", "bytes_written": "4",
		"accepting_conns": "1", "curr_items": "0",
	} {
		if got := stats[name]; got != want {
			t.Errorf("%s %q; want %q", name, got, want)
		}
	}
	settings := c.stats("settings")
	for name, want := range map[string]string{"maxconns": "77", "num_threads": "2", "domain_socket": "NULL",
		"group": "settings"} {
		if got := settings[name]; got != want {
			t.Errorf("settings: %s %q; want %q", name, got, want)
		}
	}
}

func TestStatsConns(t *testing.T) {
	s := start(t, Options{}, newMemory())
	half, c := dial(t, s), dial(t, s)
	half.ask("mn\r\nset foo 0 0 6\r\n", "MN\r\n")
	until(t, "half a request is pending", func() bool {
		found := false
		s.eachConn(func(c *conn) { found = found || c.phase.Load() == phasePartial })
		return found
	})
	c.send("stats conns\r\n")
	var lines strings.Builder
	for line := ""; line != mc.End; {
		line = c.line()
		lines.WriteString(line)
	}
	for _, want := range []string{
		`STAT \d+:addr tcp:127\.0\.0\.1:\d+\r\nSTAT \d+:state conn_listening\r\nSTAT \d+:secs_since_last_cmd \d+\r\n`,
		`STAT \d+:addr tcp:` + regexp.QuoteMeta(half.LocalAddr().String()) + `\r\nSTAT \d+:listen_addr tcp:` +
			regexp.QuoteMeta(s.Addrs()[0].String()) + `\r\nSTAT \d+:state conn_nread\r\n`,
		`STAT \d+:state conn_parse_cmd\r\n`,
	} {
		if !regexp.MustCompile(want).MatchString(lines.String()) {
			t.Errorf("no %s in\n%s", want, lines.String())
		}
	}
}

func TestMetadump(t *testing.T) {
	overEach(t, Options{}, func(t *testing.T, s *Server, m *memory, dial func() *client) {
		const n = 50_000 // more than sockets hold
		m.mu.Lock()
		m.dumpStep = 5000
		for i := range n {
			m.values[fmt.Sprintf("key-%05d-%s", i, strings.Repeat("k", 100))] = nil
		}
		m.mu.Unlock()
		c := dial()
		c.send("lru_crawler metadump all\r\nget none\r\n")
		for i := range n {
			if got, want := c.line(), fmt.Sprintf("key=key-%05d-", i); !strings.HasPrefix(got, want) {
				t.Fatalf("got %q; want %q", got, want)
			}
		}
		c.want(mc.End + mc.End)
		c.ask("mn\r\nlru_crawler metadump all\r\n", "MN\r\nERROR cannot pipeline other commands before metadump\r\n")
	})
}

func TestNoDumpNoWatchNoFlush(t *testing.T) {
	s := start(t, Options{NoDump: true, NoWatch: true, NoFlush: true}, newMemory())
	c := dial(t, s)
	c.ask("lru_crawler metadump all\r\n", "ERROR metadump not allowed\r\n")
	c.ask("lru_crawler mgdump all\r\n", "ERROR key dump not allowed\r\n")
	c.ask("stats cachedump 1 1\r\n", "CLIENT_ERROR stats cachedump not allowed\r\n")
	c.ask("stats detail dump\r\n", "CLIENT_ERROR stats detail not allowed\r\n")
	c.ask("watch\r\n", "CLIENT_ERROR watch commands not allowed\r\n")
	c.ask("flush_all\r\n", "CLIENT_ERROR flush_all not allowed\r\n")
}

func TestAuthentication(t *testing.T) {
	file := filepath.Join(t.TempDir(), "auth")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("foo:bar\nbaaaz:quux") // no newline at the end
	s := start(t, Options{AuthFile: file, after: atOnce}, newMemory())
	c := dial(t, s)
	for _, b := range "get foo\r\nset foo 0 0 7\r\nfoo bab\r\n" {
		c.send(string(b))
	}
	c.want("CLIENT_ERROR unauthenticated\r\nCLIENT_ERROR authentication failure\r\n")
	c.ask("set foo 0 0 6\r\nfoobar\r\n", "CLIENT_ERROR bad authentication token format\r\n")
	c.ask("set foo 0 0 7\r\nfoo barxx", "CLIENT_ERROR bad command line termination\r\n")
	c.ask("set foo 0 0 7\r\nfoo bar\r\nget foo\r\n", mc.Stored+mc.End)
	dial(t, s).ask("set x 0 0 10\r\nbaaaz quux\r\n", mc.Stored)

	write("foo:new\n")
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	c.ask("get foo\r\n", mc.End) // who is in stays in
	d := dial(t, s)
	d.ask("set foo 0 0 7\r\nfoo bar\r\n", "CLIENT_ERROR authentication failure\r\n")
	d.ask("set foo 0 0 7\r\nfoo new\r\n", mc.Stored)

	write("nonsense\n")
	if err := s.Reload(); err == nil {
		t.Error("a malformed file: no error")
	}
	dial(t, s).ask("set foo 0 0 7\r\nfoo new\r\n", mc.Stored) // what was read before stays

	long := dial(t, s)
	long.ask(strings.Repeat("x", 3000), answerLineTooLong)
	long.wantEnd()
	if st := s.Stats(); st.AuthCommands != 6 || st.AuthErrors != 2 {
		t.Errorf("%d commands, %d errors; want 6, 2", st.AuthCommands, st.AuthErrors)
	}
}
