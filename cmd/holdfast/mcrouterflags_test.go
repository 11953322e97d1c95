package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"holdfast/config"
	"holdfast/route"
)

// readRouter reads a router's configuration as the command does.
func readRouter(t *testing.T, args ...string) *config.Router {
	t.Helper()
	f, cmd := newRouterFlags()
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	if err := f.checkRefused(); err != nil {
		t.Fatal(err)
	}
	r, err := f.reading(cmd.Flags())
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := r.read()
	if err != nil {
		t.Fatal(err)
	}
	return c.Router
}

const oneServer = `{"pools": {"main": {"servers": ["127.0.0.1:1"]}}, "route": {"type": "PoolRoute", "pool": "main", "shadows": [{"target": "NullRoute"}]}}`

// An option that protects is never taken with a warning: the router would be open.
func TestWhatProtectsIsRefused(t *testing.T) {
	for name := range refusedToggles {
		for _, args := range [][]string{{"--" + name}, {"--" + name + "=1"}, {"--" + name + "=true"}} {
			var stdout, stderr strings.Builder
			code := run(t.Context(), append([]string{"mcrouter", "--config", oneServer, "--validate-config"}, args...),
				&stdout, &stderr)
			if code != 1 || !strings.Contains(stderr.String(), "--"+name+" isn't supported: ") {
				t.Errorf("%v: got exit code %d, %q; want it refused", args, code, stderr.String())
			}
		}
		readRouter(t, "--config", oneServer, "--"+name+"=0", "--"+name+"=false")
	}
	for _, args := range [][]string{
		{"--ssl-port", "5001", "--server-pem-cert-path", "/c", "--server-pem-key-path", "/k",
			"--ssl-require-peer-certs"}, // by which authority?
		{"--carbon-router-name", "Other"},
	} {
		var stdout, stderr strings.Builder
		if code := run(t.Context(), append([]string{"mcrouter", "--config", oneServer, "--validate-config"}, args...),
			&stdout, &stderr); code != 1 {
			t.Errorf("%v: got exit code %d; want it refused", args, code)
		}
	}
}

// A security option of a pool or of a server is an error, never a warning.
func TestWhatProtectsInTheFileIsRefused(t *testing.T) {
	for _, option := range []string{
		`"use_ssl": true`, `"security_mech": "tls"`, `"security_mech_within_dc": "tls"`, `"security_mech_cross_dc": "tls"`,
		`"ssl_service_identity": "x"`, `"acl": {}`, `"servers": ["127.0.0.1:1:ascii:ssl"]`,
	} {
		text := `{"pools": {"main": {` + option + `, "servers": ["127.0.0.1:1"]}}, "route": "PoolRoute|main"}`
		if strings.HasPrefix(option, `"servers"`) {
			text = `{"pools": {"main": {` + option + `}}, "route": "PoolRoute|main"}`
		}
		var stdout, stderr strings.Builder
		if code := run(t.Context(), []string{"mcrouter", "--config", text, "--validate-config"}, &stdout,
			&stderr); code != 1 {
			t.Errorf("%s: got exit code %d, %q; want it refused", option, code, stderr.String())
		}
	}
}

// What mcrouter does without being told, and what its flags change.
func TestMcroutersFlags(t *testing.T) {
	r := readRouter(t, "--config", oneServer)
	if !r.DisableFlushAll || r.ReadsOnly || r.UnknownCluster != route.UnknownRefused ||
		r.Pools[0].OnError != route.ErrorAsError ||
		r.ItemMax != 1<<30 || r.Route.Shadows[0].MaxInFlight != 1000 {
		t.Errorf("got %+v; want mcrouter's defaults", r)
	}
	r = readRouter(t, "--config", oneServer, "--enable-flush-cmd", "--allow-only-gets",
		"--send-invalid-route-to-default", "--miss-on-get-errors",
		"--target-max-shadow-requests", "2", "--retry-timeout", "20", "--proxy-threads", "3")
	if r.DisableFlushAll || !r.ReadsOnly || r.UnknownCluster != route.UnknownToDefault ||
		r.Pools[0].OnError != route.ErrorAsMiss ||
		r.Route.Shadows[0].MaxInFlight != 2 || r.Pools[0].ProbeMin.Milliseconds() != 20 || r.Threads != 3 {
		t.Errorf("got %+v; want what the flags say", r)
	}
	r = readRouter(t, "--config", oneServer, "--target-max-shadow-requests=0", "--proxy-threads", "auto", "--gets",
		"--skip-sanity-checks", "-d", "-D", "x",
		"--disable-miss-on-get-errors", "--additional-config-params", "a:b", "--service-name", "s", "--carbon-router-name",
		"Memcache", "--rss-limit-mb", "1")
	if r.Route.Shadows[0].MaxInFlight != route.DefaultMaxShadowed || r.Threads != 0 {
		t.Errorf("got %+v; want no limit of mcrouter's, and as many threads as there are processors", r)
	}
	proxies := `{"route": {"type": "if", "condition": "@equals(%num-proxies%,@int(17))", "is_true": "ErrorRoute", "is_false": "NullRoute"}}`
	if r = readRouter(t, "--config", proxies, "--num-proxies", "17"); r.Route.Kind != route.KindError {
		t.Errorf("got %+v; want the number of threads in a macro", r.Route)
	}
	macro := strings.Replace(oneServer, `"NullRoute"`, `"%way%"`, 1)
	if r = readRouter(t, "--config", macro, "--additional-config-params",
		"way:ErrorRoute|%service-name%"); r.Route.Shadows[0].Route.Kind != route.KindError {
		t.Errorf("got %+v; want the parameter", r.Route)
	}
}

func TestVerbosityHasALevel(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"-v 3 -p 1", "-v=3 -p 1"}, {"-v -p 1", "-v -p 1"}, {"-v=2", "-v=2"}, {"-p 1 -v", "-p 1 -v"},
		{"-v file:f", "-v file:f"},
	} {
		if got := strings.Join(joinVerbosity(strings.Fields(test.args)), " "); got != test.want {
			t.Errorf("%s: got %s; want %s", test.args, got, test.want)
		}
	}
	var stdout, stderr strings.Builder
	if code := run(t.Context(), []string{"mcrouter", "-v", "3", "--config", oneServer, "--validate-config"}, &stdout,
		&stderr); code != 0 {
		t.Errorf("got exit code %d, %q", code, stderr.String())
	}
}

// The program serves the listening socket that it was started with.
func TestRouterOnAnInheritedSocket(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config", oneServer, "--listen-sock-fd", "3", "--num-proxies", "1")
	cmd.Args[0] = "mcrouter"
	cmd.Env = append(os.Environ(), asMain+"=1")
	cmd.ExtraFiles = []*os.File{file}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, listener.Addr().String(), "version\r\n", "\r\n"); !strings.HasPrefix(got, "VERSION ") {
		t.Errorf("got %q", got)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	for _, fd := range []string{"0", "1x", "99"} {
		if code := run(t.Context(), []string{"holdfast", "router", "--config", oneServer, "--listen", "fd:" + fd},
			io.Discard, io.Discard); code != 1 {
			t.Errorf("fd:%s: got exit code %d; want it refused", fd, code)
		}
	}
}

// Names in a file may hold what a terminal takes for orders.
func TestNoControlCharactersReachATerminal(t *testing.T) {
	const evil = "\x1b[31m\x07\x9b\u202e"
	named := `{"pools": {"a\u001b[31m\u0007\u009b\u202e\n": {"servers": ["127.0.0.1:1"]}}, "route": "PoolRoute|a\u001b[31m\u0007\u009b\u202e\n"}`
	path := writeFile(t, "m.json", `{"pools": {}, "route": {"type": "X\u001b[2J\u009b", "y\u001b[0m": 1}}`)
	for _, args := range [][]string{
		{"route", "k" + evil, "--config", named},
		{"route", "k", "--op", evil, "--config", named},
		{"route", "k", "--listen", evil, "--config", named},
		{"route", "k", "--config", path},
		{"route", "k", "--config", "none" + evil},
		{"config", "convert", path},
		{"router", "--config", strings.Replace(named, "PoolRoute|a", "PoolRoute|b", 1)},
	} {
		var stdout, stderr strings.Builder
		run(t.Context(), append([]string{"holdfast"}, args...), &stdout, &stderr)
		output := stdout.String() + stderr.String()
		if output == "" || strings.ContainsFunc(strings.ReplaceAll(output, "\n", ""),
			func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u202e' || r == 0xfffd }) {
			t.Errorf("%q: got %q; want no control characters", args, output)
		}
	}
}
