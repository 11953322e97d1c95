package wire

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestLibmemcached runs libmemcached's tools against Holdfast.
func TestLibmemcached(t *testing.T) {
	find(t, "memcping")
	server := start(t, holdfast(t))
	dir := t.TempDir()
	for name, value := range map[string]string{"greeting": "hello, world", "other": strings.Repeat("v", 500_000)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name   string
		line   string // the tool and its arguments, --servers left out
		out    string // its output, or a part of it
		failed bool
	}{
		{name: "ping", line: "memcping"},
		{name: "store", line: "memccp greeting other"},
		{name: "fetch", line: "memccat greeting", out: "hello, world"},
		{name: "fetch much", line: "memccat other", out: strings.Repeat("v", 500_000)},
		{name: "exists", line: "memcexist greeting"},
		{name: "exists not", line: "memcexist nothing", failed: true},
		{name: "touch", line: "memctouch --expire=100 greeting"},
		{name: "touch of a miss", line: "memctouch --expire=100 nothing", failed: true},
		{name: "stat", line: "memcstat", out: "curr_items: 2"},
		{name: "remove", line: "memcrm other"},
		{name: "fetch what is gone", line: "memccat other", failed: true},
		{name: "load", line: "memcslap --concurrency=4 --execute-number=500 --initial-load=1000"},
		{name: "flush", line: "memcflush"},
		{name: "fetch what was flushed", line: "memccat greeting", failed: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := strings.Fields(test.line)
			cmd := exec.Command(find(t, args[0]), append([]string{"--servers=" + server.addr}, args[1:]...)...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			if (err != nil) != test.failed || !strings.Contains(string(out), test.out) {
				t.Errorf("%s: got %v, %s; want failed %v, %s", test.line, err, short(out), test.failed, short([]byte(test.out)))
			}
		})
	}
}

// TestMemccapable runs libmemcached's test of a server, of both protocols.
func TestMemccapable(t *testing.T) {
	tool := find(t, "memccapable")
	server := start(t, holdfast(t))
	host, port, err := net.SplitHostPort(server.addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, protocol := range []struct{ name, flag string }{{"ascii", "-a"}, {"binary", "-b"}} {
		out, err := exec.Command(tool, "-h", host, "-p", port, protocol.flag).CombinedOutput()
		passed := regexp.MustCompile(protocol.name+` [a-z ]*?\s+\[pass\]`).FindAll(out, -1)
		if err != nil || len(passed) < 25 {
			t.Errorf("%s: got %v and %d that passed; want at least 25\n%s", protocol.name, err, len(passed), out)
		}
	}
}

// TestMemcaslap runs libmemcached's load generator against Holdfast, and has it verify a tenth of
// its reads.
func TestMemcaslap(t *testing.T) {
	tool := find(t, "memcaslap")
	server := start(t, holdfast(t))
	out, err := exec.Command(tool, "-s", server.addr, "-T", "2", "-c", "8", "-x", "20000", "-v", "0.1").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "get_misses: 0") ||
		!strings.Contains(string(out), "verify_failed: 0") {
		t.Errorf("%v\n%s", err, out)
	}
}
