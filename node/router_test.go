package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"holdfast/config"
	"holdfast/route"
)

// patience bounds every wait of these tests.
const patience = 20 * time.Second

// await waits until f is true.
func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// addressOf is where a node's cache listens.
func addressOf(n *Node) string { return n.CacheAddrs()[0].String() }

// poolOf is a sharded pool.
func poolOf(name string, members ...string) route.Pool {
	p := route.Pool{Name: name}
	for _, m := range members {
		p.Members = append(p.Members, route.Member{Address: m})
	}
	return p
}

// routerOptions are of a router alone over pools, on a free port.
func routerOptions(pools ...route.Pool) Options {
	c := config.Default()
	c.Tables.Listen = ""
	c.Router = config.NewRouter(route.Options{Pools: pools})
	c.Router.Listen = []config.RouterListener{{Listener: config.Listener{Address: "127.0.0.1:0",
		Mode: config.DefaultMode}}}
	c.Router.Threads = 2
	c.HTTP.Listen = "127.0.0.1:0"
	return Options{Config: c, WithoutCache: true, Log: slog.New(slog.DiscardHandler), FilesPoll: 5 * time.Millisecond}
}

func openRouter(t *testing.T, o Options) *Node {
	t.Helper()
	n, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// dialTo connects to any listener.
func dialTo(t *testing.T, address net.Addr) net.Conn {
	t.Helper()
	conn, err := net.Dial(address.Network(), address.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestRouterOverCaches(t *testing.T) {
	a, b := open(t, testConfig()), open(t, testConfig())
	n := openRouter(t, routerOptions(poolOf("main", addressOf(a), addressOf(b))))
	if n.CacheAddrs() != nil || n.Asked() != nil {
		t.Error("a router alone has a cache")
	}
	conn := dialTo(t, n.RouterAddrs()[0])
	for i := range 50 {
		ask(t, conn, fmt.Sprintf("set k%d 0 0 1\r\nx\r\nget k%d\r\n", i, i),
			fmt.Sprintf("STORED\r\nVALUE k%d 0 1\r\nx\r\nEND\r\n", i))
	}
	onA, onB := a.store.Snapshot().Items, b.store.Snapshot().Items
	if onA == 0 || onB == 0 || onA+onB != 50 {
		t.Errorf("got %d and %d items; want 50 on both together, some on each", onA, onB)
	}
	if _, body := get(t, n, "/healthz"); body != "ok\nrouter: 1 pools, 2 members, 2 up, 0 down, 0 returning\n" {
		t.Errorf("got %q; want two members that are up", body)
	}
	if status, _ := get(t, n, "/whatif"); status != 404 {
		t.Errorf("/whatif: got %d; want 404 without a cache", status)
	}
	_, body := get(t, n, "/metrics")
	for _, want := range []string{`result="hit"`, "holdfast_router_member_up", "holdfast_router_server_connections 1", `pool="main"`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	if strings.Contains(body, "holdfast_cache_items") {
		t.Error("a router alone has metrics of a cache")
	}
}

func TestRouterOverOwnCache(t *testing.T) {
	o := routerOptions(poolOf("main", "cache"))
	own := testConfig()
	o.WithoutCache, o.Config.Cache = false, own.Cache
	n := openRouter(t, o)
	ask(t, dialTo(t, n.RouterAddrs()[0]), "set a 0 0 1\r\nx\r\n", "STORED\r\n")
	ask(t, dial(t, n), "get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n")
	if _, body := get(t, n, "/metrics"); !strings.Contains(body, "holdfast_server_connections 1") ||
		!strings.Contains(body, "holdfast_router_server_connections 1") {
		t.Error("want metrics of both servers")
	}
}

func TestListenersWithRoutes(t *testing.T) {
	a, b := open(t, testConfig()), open(t, testConfig())
	o := routerOptions(poolOf("a", addressOf(a)), poolOf("b", addressOf(b)))
	socket := filepath.Join(t.TempDir(), "s")
	listener := func(address, pool string) config.RouterListener {
		return config.RouterListener{
			Listener: config.Listener{Address: address, Mode: config.DefaultMode},
			Route:    &route.Route{Kind: route.KindPool, Pool: pool},
		}
	}
	o.Config.Router.Listen = append([]config.RouterListener{listener("unix:"+socket, "b"), listener("localhost:0", "b")},
		o.Config.Router.Listen...)
	n := openRouter(t, o)
	addrs := n.RouterAddrs() // the Unix socket is last
	ask(t, dialTo(t, addrs[0]), "set k 0 0 1\r\nb\r\n", "STORED\r\n")
	ask(t, dialTo(t, addrs[2]), "get k\r\n", "VALUE k 0 1\r\nb\r\nEND\r\n")
	main := dialTo(t, addrs[1])
	ask(t, main, "get k\r\n", "END\r\n")
	ask(t, main, "set k 0 0 1\r\na\r\n", "STORED\r\n")
	ask(t, dialTo(t, addrs[0]), "get k\r\nflush_all\r\n", "VALUE k 0 1\r\nb\r\nEND\r\nOK\r\n")
	ask(t, main, "get k\r\n", "VALUE k 0 1\r\na\r\nEND\r\n") // only pool b was flushed
}

func TestTakenRouterAddress(t *testing.T) {
	holder, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	o := routerOptions(poolOf("main", "127.0.0.1:1"))
	o.Config.Router.Listen[0].Address = holder.Addr().String()
	_, err = Open(o)
	var listen *ListenError
	if !errors.As(err, &listen) || listen.Setting != "router.listen" || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v; want a taken address of router.listen", err)
	}
}

// A fileOfRouter is a configuration file whose router has one pool.
type fileOfRouter struct {
	t    *testing.T
	path string
}

func (f fileOfRouter) write(text string) {
	f.t.Helper()
	beside := f.path + ".new"
	if err := os.WriteFile(beside, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(beside, f.path); err != nil {
		f.t.Fatal(err)
	}
}

func (f fileOfRouter) pool(name string, members ...string) {
	f.t.Helper()
	const file = `
router:
  listen: ['127.0.0.1:0']
  threads: 2
  pools:
    - name: %s
      members: [%s]
tables:
  listen: ''
http:
  listen: 127.0.0.1:0
`
	f.write(fmt.Sprintf(file, name, strings.Join(members, ", ")))
}

func (f fileOfRouter) load() (config.Config, error) {
	text, err := config.ReadFile(f.path)
	if err != nil {
		return config.Config{}, err
	}
	return config.Parse(text)
}

// options have the node read the file.
func (f fileOfRouter) options() Options {
	f.t.Helper()
	c, err := f.load()
	if err != nil {
		f.t.Fatal(err)
	}
	o := routerOptions()
	o.Config = c
	o.Source.Files = []string{f.path}
	o.Read = func() (config.Config, Source, error) {
		c, err := f.load()
		return c, o.Source, err
	}
	return o
}

func newFile(t *testing.T) fileOfRouter {
	return fileOfRouter{t, filepath.Join(t.TempDir(), "holdfast.yaml")}
}

func (n *Node) poolNames() string {
	var names []string
	for _, p := range n.router.pools() {
		names = append(names, p.Name)
	}
	return strings.Join(names, " ")
}

// While clients ask, the pool is replaced again and again, by a changed file and as by SIGHUP. Both
// pools have the same member, so each answer is known.
func TestReloadDropsNoRequest(t *testing.T) {
	cache := open(t, testConfig())
	f := newFile(t)
	f.pool("pool0", addressOf(cache))
	n := openRouter(t, f.options())
	ask(t, dial(t, cache), "set k 0 0 1\r\nx\r\n", "STORED\r\n")

	var stop atomic.Bool
	var clients sync.WaitGroup
	for range 4 {
		conn := dialTo(t, n.RouterAddrs()[0])
		clients.Go(func() {
			const request, want = "get k\r\nset o 0 0 1\r\ny\r\nmg k v\r\n", "VALUE k 0 1\r\nx\r\nEND\r\nSTORED\r\nVA 1\r\nx\r\n"
			got := make([]byte, len(want))
			for !stop.Load() {
				if _, err := io.WriteString(conn, request); err != nil {
					t.Error(err)
					return
				}
				if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
					t.Errorf("got %q, %v; want %q", got, err, want)
					return
				}
			}
		})
	}
	for i := 1; i <= 10; i++ {
		name := fmt.Sprintf("pool%d", i)
		f.pool(name, addressOf(cache))
		if i%2 == 0 {
			if err := n.Reload(); err != nil {
				t.Error(err)
			}
		}
		await(t, name, func() bool { return n.poolNames() == name })
	}
	stop.Store(true)
	clients.Wait()
}

func TestBadFileIsRefused(t *testing.T) {
	a, b := open(t, testConfig()), open(t, testConfig())
	f := newFile(t)
	f.pool("good", addressOf(a))
	o := f.options()
	var log lockedBuffer
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	n := openRouter(t, o)
	conn := dialTo(t, n.RouterAddrs()[0])
	ask(t, conn, "set k 0 0 1\r\nx\r\n", "STORED\r\n")

	refused := int64(0)
	for _, bad := range []string{
		"router:\n  pools:\n    - name: bad\n      members: [nowhere]\n",
		"router: [", "cache:\n  memory: 64MiB\n", "",
	} {
		refused++
		f.write(bad)
		await(t, "a refusal", func() bool { _, n := n.router.reloadCounts(); return n == refused })
		ask(t, conn, "get k\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n")
	}
	if err := n.Reload(); err == nil {
		t.Error("Reload: got no error of a bad file")
	}
	if got := log.String(); !strings.Contains(got, "router.pools[0]") || !strings.Contains(got, "nowhere") {
		t.Errorf("got %q; want the fault with its path", got)
	}
	f.pool("better", addressOf(b))
	await(t, "the better pool", func() bool { return n.poolNames() == "better" })
	ask(t, conn, "get k\r\n", "END\r\n")
	f.write("router:\n  listen: ['127.0.0.1:1']\n  threads: 1\n  pools:\n" +
		"    - name: last\n      members: ['" + addressOf(b) + "']\n")
	await(t, "the last pool", func() bool { return n.poolNames() == "last" })
	want := `settings="[http router.listen router.threads]"`
	await(t, "a line with "+want, func() bool { return strings.Contains(log.String(), want) })
}

// A lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.String()
}

// Members that are down are no reason to restart the router, so /healthz answers 200 also without a
// member that is up, and counts them.
func TestHealthWithoutMembers(t *testing.T) {
	a, b := open(t, testConfig()), open(t, testConfig())
	n := openRouter(t, routerOptions(poolOf("main", addressOf(a), addressOf(b))))
	conn := dialTo(t, n.RouterAddrs()[0])
	go io.Copy(io.Discard, conn)
	var gets strings.Builder // of enough keys that each member owns some
	for i := range 50 {
		fmt.Fprintf(&gets, "get k%d\r\n", i)
	}
	for i, member := range []*Node{a, b} {
		if err := member.Close(); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("ok\nrouter: 1 pools, 2 members, %d up, %d down, 0 returning\n", 1-i, i+1)
		await(t, want, func() bool {
			io.WriteString(conn, gets.String()) // so that the router notices
			_, body := get(t, n, "/healthz")
			return body == want
		})
	}
	if status, _ := get(t, n, "/healthz"); status != http.StatusOK {
		t.Errorf("without a member: got %d; want 200", status)
	}
}
