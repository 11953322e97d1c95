package wire

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bradfitz/gomemcache/memcache"
)

// The pools of real memcacheds behind the router in the tests of clients.
var routedPools = []struct {
	name string
	more []string
}{
	{"sharded", nil},
	{"ketama", []string{"hash: {placement: ketama, function: fnv1a_64}"}},
	{"replicated", []string{"kind: replicated"}},
}

// TestRouterGomemcache runs gomemcache through the router.
func TestRouterGomemcache(t *testing.T) {
	for _, pool := range routedPools {
		t.Run(pool.name, func(t *testing.T) {
			t.Parallel()
			router, _ := routed(t, 3, pool.more...)
			c := memcache.New(router.addr)
			t.Cleanup(func() { c.Close() })
			c.Timeout = patience
			gomemcacheItems(t, c)
			gomemcacheMany(t, c)
			gomemcacheCAS(t, c)
			gomemcacheNumbers(t, c)
			gomemcacheTouch(t, c)
			if err := c.Ping(); err != nil {
				t.Errorf("ping: %v", err)
			}
		})
	}
}

// TestRouterPymemcache runs Debian's pymemcache through the router; the script asserts.
func TestRouterPymemcache(t *testing.T) {
	const python = "/usr/bin/python3" // Debian's own, which finds Debian's packages
	if exec.Command(python, "-c", "import pymemcache").Run() != nil {
		missing(t, "pymemcache")
	}
	for _, pool := range routedPools {
		t.Run(pool.name, func(t *testing.T) {
			t.Parallel()
			router, _ := routed(t, 3, pool.more...)
			host, port, err := net.SplitHostPort(router.addr)
			if err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(python, "-c", pymemcache, host, port).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}

// TestRouterLibmemcached runs libmemcached's tools through the router.
func TestRouterLibmemcached(t *testing.T) {
	find(t, "memcping")
	router, _ := routed(t, 3)
	dir := t.TempDir()
	for name, value := range map[string]string{"greeting": "hello, world", "other": strings.Repeat("v", 500_000)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		line   string // the tool and its arguments, --servers left out
		out    string // its output, or a part of it
		failed bool
	}{
		{line: "memcping"},
		{line: "memccp greeting other"},
		{line: "memccat greeting", out: "hello, world"},
		{line: "memccat other", out: strings.Repeat("v", 500_000)},
		{line: "memcexist greeting"},
		{line: "memcexist nothing", failed: true},
		{line: "memctouch --expire=100 greeting"},
		{line: "memcstat", out: "router_members: 3"},
		{line: "memcrm other"},
		{line: "memccat other", failed: true},
		{line: "memcslap --concurrency=4 --execute-number=500 --initial-load=1000"},
		{line: "memcflush"},
		{line: "memccat greeting", failed: true},
	} {
		args := strings.Fields(test.line)
		cmd := exec.Command(find(t, args[0]), append([]string{"--servers=" + router.addr}, args[1:]...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if (err != nil) != test.failed || !strings.Contains(string(out), test.out) {
			t.Errorf("%s: got %v, %s; want failed %v, %s", test.line, err, short(out), test.failed, short([]byte(test.out)))
		}
	}
}

// TestRouterMemcaslap runs libmemcached's load generator through the router, and has it verify a
// tenth of its reads.
func TestRouterMemcaslap(t *testing.T) {
	tool := find(t, "memcaslap")
	for _, pool := range routedPools {
		t.Run(pool.name, func(t *testing.T) {
			router, _ := routed(t, 3, pool.more...)
			out, err := exec.Command(tool, "-s", router.addr, "-T", "2", "-c", "8", "-x", "20000", "-v", "0.1").CombinedOutput()
			if err != nil || !strings.Contains(string(out), "get_misses: 0") ||
				!strings.Contains(string(out), "verify_failed: 0") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestRouterMetaCommands sends meta commands through the router to real memcacheds.
func TestRouterMetaCommands(t *testing.T) {
	for _, pool := range routedPools {
		t.Run(pool.name, func(t *testing.T) {
			router, _ := routed(t, 3, pool.more...)
			c := dial(t, router)
			for _, talk := range [][2]string{
				{"ms a 1 T100 F7 O1 k\r\n1\r\nmg a v f s k O2\r\n", "HD O1 ka\r\nVA 1 f7 s1 ka O2\r\n1\r\n"},
				{"ms YmluYXJ5 1 b\r\n2\r\nmg YmluYXJ5 v b k\r\n", "HD\r\nVA 1 kYmluYXJ5 b\r\n2\r\n"},
				{"mg none v q\r\nmg a v q\r\nmd none q\r\nms b 1 q\r\n3\r\nmn\r\n", "VA 1\r\n1\r\nNF\r\nMN\r\n"},
				{"ms c 1 ME\r\n1\r\nms c 1 ME\r\n2\r\nmd c\r\nmd c\r\nmg c v\r\n", "HD\r\nNS\r\nHD\r\nNF\r\nEN\r\n"},
				{"ma n N0 J5 v\r\nma n v D3\r\n", "VA 1\r\n5\r\nVA 1\r\n8\r\n"},
				{"get a b none\r\nmg b v\r\ngets none\r\n", "VALUE a 7 1\r\n1\r\nVALUE b 0 1\r\n3\r\nEND\r\nVA 1\r\n3\r\nEND\r\n"},
			} {
				if _, err := c.Write([]byte(talk[0])); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, len(talk[1]))
				if err := readFull(c, got); err != nil || string(got) != talk[1] {
					t.Fatalf("%q: got %q, %v; want %q", talk[0], got, err, talk[1])
				}
			}
		})
	}
}
