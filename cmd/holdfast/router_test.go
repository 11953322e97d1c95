package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/config"
)

// startRouter runs the router command, on a free port unless args say another.
func startRouter(t *testing.T, args ...string) (p *process, address string) {
	t.Helper()
	p = start(t, "holdfast", append([]string{"router", "--num-proxies", "1"}, args...)...)
	return p, p.await(`routing for memcached clients.*addresses="?([^" ]+)`)[1]
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	replaceText(t, path, text)
	return path
}

func replaceText(t *testing.T, path, text string) {
	t.Helper()
	if err := replaceFile(path, path+".new", []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func ourConfigOf(members ...string) string {
	return "router:\n  listen: ['127.0.0.1:0']\n  pools:\n    - name: main\n      members: [" +
		strings.Join(members, ", ") + "]\nhttp:\n  listen: ''\n"
}

func mcrouterConfigOf(members ...string) string {
	return fmt.Sprintf(`{"pools": {"main": {"servers": ["%s"]}}, "route": "PoolRoute|main"} // as mcrouter has it`,
		strings.Join(members, `", "`))
}

func twemproxyConfigOf(members ...string) string {
	text := "main:\n  listen: 127.0.0.1:0\n  hash: fnv1a_64\n  distribution: ketama\n  servers:\n"
	for _, m := range members {
		text += "   - " + m + ":1\n"
	}
	return text
}

// The real program with each of the three kinds of file, before two real caches.
func TestRouterOfEachKindOfFile(t *testing.T) {
	_, one := startCache(t)
	_, two := startCache(t)
	for _, test := range []struct{ name, text string }{
		{"holdfast.yaml", ourConfigOf(one, two)},
		{"mcrouter.json", mcrouterConfigOf(one, two)},
		{"nutcracker.yml", twemproxyConfigOf(one, two)},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, address := startRouter(t, "--config", writeFile(t, test.name, test.text), "--listen", "127.0.0.1:0")
			request, want := "", ""
			for i := range 20 {
				request += fmt.Sprintf("set k%d 0 0 1\r\nx\r\nget k%d none\r\n", i, i)
				want += fmt.Sprintf("STORED\r\nVALUE k%d 0 1\r\nx\r\nEND\r\n", i)
			}
			if got := ask(t, address, request+"mn\r\n", "MN\r\n"); got != want+"MN\r\n" {
				t.Errorf("got %q; want %q", got, want)
			}
			for _, cache := range []string{one, two} {
				if got := ask(t, cache, "stats\r\nflush_all\r\n", "OK\r\n"); strings.Contains(got, "STAT curr_items 0\r\n") {
					t.Errorf("nothing is on %s", cache)
				}
			}
			p.signal(syscall.SIGTERM)
			p.exits(0)
		})
	}
}

func TestRouterFollowsItsFile(t *testing.T) {
	_, one := startCache(t)
	_, two := startCache(t)
	path := writeFile(t, "mcrouter.json", mcrouterConfigOf(one))
	p, address := startRouter(t, "-f", path, "-p", "0", "--enable-qos", "--stats-root=/x")
	if !strings.Contains(p.seen.String(), "have no effect here: --enable-qos --stats-root") {
		t.Errorf("got %q; want a word on the options that do nothing", p.seen.String())
	}
	ask(t, address, "set k 0 0 1\r\nx\r\n", "STORED\r\n")
	replaceText(t, path, mcrouterConfigOf(two))
	p.await("pools and routes were reloaded")
	if got := ask(t, address, "get k\r\n", "END\r\n"); got != "END\r\n" {
		t.Errorf("got %q; want a miss on the other server", got)
	}
	replaceText(t, path, `{"pools": {}, "route": "PoolRoute|none"}`)
	p.await("refused.*none")
	p.signal(syscall.SIGHUP)
	p.await("previous configuration stays in use")
	ask(t, address, "set k 0 0 1\r\nx\r\n", "STORED\r\n")
	replaceText(t, path, mcrouterConfigOf(one))
	p.signal(syscall.SIGHUP)
	p.await("pools and routes were reloaded")
	if got := ask(t, address, "get k\r\n", "END\r\n"); !strings.Contains(got, "x") {
		t.Errorf("got %q; want the item of the first server", got)
	}
	p.signal(syscall.SIGINT)
	p.exits(0)
}

func TestUpWithRouter(t *testing.T) {
	path := writeFile(t, "holdfast.yaml", "router:\n  listen: ['127.0.0.1:0']\n  pools:\n    - name: own\n      "+
		"members: [cache]\n")
	p := start(t, "holdfast", "up", "--config", path, "--cache-listen", "127.0.0.1:0", "--http-listen", "",
		"--tables-listen", "")
	cache := p.await(`memcached clients on (\S+),`)[1]
	address := p.await(`clients of the router on (\S+), with the pools own`)[1]
	ask(t, address, "set k 0 0 1\r\nx\r\n", "STORED\r\n")
	if got := ask(t, cache, "get k\r\n", "END\r\n"); !strings.Contains(got, "x") {
		t.Errorf("got %q; want the router's item in the cache", got)
	}
	p.signal(syscall.SIGTERM)
	p.exits(0)
}

func TestRouterThatCannotStart(t *testing.T) {
	holder, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	taken := holder.Addr().String()
	good := writeFile(t, "holdfast.yaml", ourConfigOf("127.0.0.1:1"))
	for _, test := range []struct {
		args []string
		want []string
	}{
		{nil, []string{"--config FILE"}},
		{[]string{"--config", "/no/such/file"}, []string{"/no/such/file"}},
		{
			[]string{"--config", writeFile(t, "a.yaml", "cache:\n  memory: 64MiB\n")},
			[]string{"a.yaml:\nrouter: the section is missing"},
		},
		{
			[]string{"--config", writeFile(t, "b.yaml", ourConfigOf("nowhere"))},
			[]string{"b.yaml:\nrouter.pools[0]", "nowhere"},
		},
		{
			[]string{"--config", writeFile(t, "c.json", `{"pools": {}, "route": "BlackholeRoute"}`)},
			[]string{"c.json:\nroute"},
		},
		{[]string{"--config", writeFile(t, "d.yml", "a:\n  servers: [x]\n")}, []string{"d.yml:\n"}},
		{[]string{"--config", writeFile(t, "e.yaml", ourConfigOf("cache"))}, []string{"this process has no cache"}},
		{
			[]string{"--config", good, "--listen", taken},
			[]string{"The router can't listen on " + taken, "holdfast router --config " + good + " --listen 127.0.0.1:"},
		},
		{
			[]string{"--config", good, "--http-listen", taken},
			[]string{"HTTP can't listen on " + taken, "holdfast router --config " + good + " --http-listen 127.0.0.1:"},
		},
		{[]string{"--config", good, "--no-such-option"}, []string{"--no-such-option"}},
	} {
		output := start(t, "holdfast", append([]string{"router"}, test.args...)...).exits(1)
		for _, want := range test.want {
			if !strings.Contains(output, want) {
				t.Errorf("%v: got %q; want %q in it", test.args, output, want)
			}
		}
	}
	if output := start(t, "mcrouter", "--validate-config", "--config", "file:"+good).exits(0); !strings.Contains(output,
		"holdfast.yaml: ok") {
		t.Errorf("got %q; want ok", output)
	}
}

func TestRouterFlags(t *testing.T) {
	read := func(args ...string) config.Config {
		t.Helper()
		f, cmd := newRouterFlags()
		if err := cmd.ParseFlags(args); err != nil {
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
		return c
	}
	text := mcrouterConfigOf("10.0.0.1:11211")
	text = strings.TrimSuffix(text, " // as mcrouter has it")
	c := read("--config-str", text, "-p", "5000,5001", "-a", "/spool", "-t", "250", "--probe-timeout-initial", "20",
		"--probe-timeout-max=40",
		"--failures-until-tko", "7", "--num-proxies", "3", "--disable-miss-on-get-errors", "--max-conns", "77",
		"--big-value-split-threshold", "4096")
	r, pool := c.Router, c.Router.Pools[0]
	if got := []string{r.Listen[0].Address, r.Listen[1].Address}; got[0] != "127.0.0.1:5000" ||
		got[1] != "127.0.0.1:5001" {
		t.Errorf("got %v; want the ports on loopback", got)
	}
	if r.Journal.Folder != "/spool" || r.Threads != 3 || r.Connections != 77 || c.HTTP.Listen != "" {
		t.Errorf("got %+v, HTTP at %q; want the flags' settings and no HTTP", r, c.HTTP.Listen)
	}
	if pool.Timeout != 250*time.Millisecond || pool.ProbeMin != 20*time.Millisecond ||
		pool.ProbeMax != 40*time.Millisecond ||
		pool.SoftErrors != 7 || pool.OnError != "error" || pool.ChunkBytes != 4096 {
		t.Errorf("got %+v; want the flags' settings", pool)
	}
	c = read("--config", text, "--listen-addresses", "0.0.0.0,::", "-p", "5000", "--unix-domain-sock", "/s",
		"--server-timeout-ms", "9", "--asynclog-disable", "-a", "/spool")
	var got []string
	for _, l := range c.Router.Listen {
		got = append(got, l.Address)
	}
	if want := "0.0.0.0:5000 [::]:5000 unix:/s"; strings.Join(got, " ") != want {
		t.Errorf("got %v; want %s", got, want)
	}
	if c.Router.Journal.Folder != "" || c.Router.Pools[0].Journal || c.Router.Pools[0].Timeout != 9*time.Millisecond {
		t.Errorf("got %+v; want no journal's folder, and 9 ms", c.Router.Options)
	}
	if c = read("--config", text); c.Router.Listen[0].Address != "127.0.0.1:"+defaultRouterPort {
		t.Errorf("got %v; want the default address", c.Router.Listen)
	}
	path := writeFile(t, "two.yml", twemproxyConfigOf("127.0.0.1:1")+
		strings.ReplaceAll(strings.Replace(twemproxyConfigOf("127.0.0.1:2"), "main", "other", 1), ":0", ":22122"))
	if c = read("--config", path, "--listen", "127.0.0.1:22122"); c.Router.Listen[0].Route == nil ||
		c.Router.Listen[0].Route.Pool != "other" {
		t.Errorf("got %+v; want the listener's own route", c.Router.Listen)
	}
}

func TestRouteCommand(t *testing.T) {
	path := writeFile(t, "holdfast.yaml", `router:
  listen:
    - 127.0.0.1:11212
    - address: 127.0.0.1:11213
      route: all
  pools:
    - name: main
      members: [127.0.0.1:1]
    - name: all
      kind: replicated
      members: [127.0.0.1:2, cache]
`)
	for _, test := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"k", "--config", path}, 0, []string{"pool main", "\n  member 127.0.0.1:1"}},
		{
			[]string{"k", "--config", path, "--op", "delete", "--listen", "127.0.0.1:11213"},
			0,
			[]string{"pool all", "member 127.0.0.1:2", "member cache"},
		},
		{[]string{"k", "--config", path, "--op", "flush_all"}, 1, []string{"flush_all"}},
		{[]string{"k", "--config", path, "--listen", "127.0.0.1:1"}, 1, []string{"doesn't listen at 127.0.0.1:1"}},
		{[]string{strings.Repeat("k", 251), "--config", path}, 1, []string{"250 bytes"}},
		{[]string{"k"}, 1, []string{"--config FILE"}},
	} {
		var stdout, stderr strings.Builder
		code := run(t.Context(), append([]string{"holdfast", "route"}, test.args...), &stdout, &stderr)
		output := stdout.String() + stderr.String()
		if code != test.code {
			t.Errorf("%v: got exit code %d; want %d; output %q", test.args, code, test.code, output)
		}
		for _, want := range test.want {
			if !strings.Contains(output, want) {
				t.Errorf("%v: got %q; want %q in it", test.args, output, want)
			}
		}
	}
}

func TestRouterLogFile(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	path := writeFile(t, "holdfast.yaml", ourConfigOf("127.0.0.1:1"))
	p := start(t, "holdfast", "router", "--config", path, "--listen", "no-such-host.invalid:1", "-L", log)
	p.exits(1)
	if _, err := os.Stat(log); err != nil {
		t.Errorf("got %v; want a log", err)
	}
}
