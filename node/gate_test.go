package node

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestHealthBesideHalfRequests has 300 clients that send half of a header and wait. Health checks
// are answered all the same, and so is a client that was there before and asks on.
func TestHealthBesideHalfRequests(t *testing.T) {
	n := open(t, testConfig())
	address := n.HTTPAddr().String()
	for i := range 300 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: local"); err != nil && i < 30 {
			t.Fatal(err)
		}
		if i%50 == 0 {
			if status, body := get(t, n, "/healthz"); status != http.StatusOK {
				t.Errorf("beside %d half requests: got %d, %q", i, status, body)
			}
		}
	}
	if status, _ := get(t, n, "/healthz"); status != http.StatusOK {
		t.Errorf("beside 300 half requests: got %d", status)
	}
	n.http.gate.mu.Lock()
	defer n.http.gate.mu.Unlock()
	if got := len(n.http.gate.guests); got > httpConnections.total {
		t.Errorf("got %d connections; want %d at most", got, httpConnections.total)
	}
}

// fakeConn is a connection from an address.
type fakeConn struct {
	net.Conn
	from   string
	closed bool
}

func (c *fakeConn) RemoteAddr() net.Addr { return addr(c.from) }
func (c *fakeConn) Close() error         { c.closed = true; return nil }

type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) }

func TestGate(t *testing.T) {
	clock := time.Unix(0, 0)
	g := newGate(nil, gateLimits{total: 4, perAddress: 2, reserve: 1})
	g.now = func() time.Time { clock = clock.Add(time.Second); return clock }
	conns := map[string]*fakeConn{}
	come := func(name, from string) *guest {
		conns[name] = &fakeConn{from: from}
		return g.admit(conns[name])
	}
	wantOpen := func(names string) {
		t.Helper()
		open := ""
		for _, name := range strings.Split("a b c d e f g h", " ") {
			if conn := conns[name]; conn != nil && !conn.closed {
				open += name
			}
		}
		if open != names {
			t.Errorf("open are %s; want %s", open, names)
		}
	}
	come("a", "10.0.0.1:1")
	b := come("b", "10.0.0.1:2")
	c := come("c", "10.0.0.2:1")
	come("d", "10.0.0.1:3") // the third of its address
	wantOpen("bcd")
	b.serving(1)
	come("e", "10.0.0.1:4") // b has a request
	wantOpen("bce")
	come("f", "10.0.0.3:1")
	come("g", "10.0.0.4:1") // the fifth: c has waited for the longest
	wantOpen("befg")
	if c.busy = 0; g.guests[c] != (struct{}{}) || len(g.guests) != 4 {
		t.Errorf("got %d guests; want 4", len(g.guests))
	}
	for guest := range g.guests {
		guest.busy = 1
	}
	if h := come("h", "10.0.0.5:1"); h == nil || !h.reserved {
		t.Errorf("got %+v; want a place of the reserve", h)
	} else {
		h.busy = 1
	}
	if again := come("a", "10.0.0.6:1"); again != nil {
		t.Errorf("got %+v; want no place", again)
	}
	b.busy = 0
	if again := come("a", "10.0.0.6:1"); again == nil || again.reserved || !conns["b"].closed {
		t.Errorf("got %+v; want the place of b, which has been answered", again)
	}
}

// TestReservedPlace checks that the reserve's connections have health checks answered, and nothing
// else.
func TestReservedPlace(t *testing.T) {
	n := open(t, testConfig())
	limit := func(reserve int) {
		n.http.gate.mu.Lock()
		defer n.http.gate.mu.Unlock()
		n.http.gate.limits = gateLimits{total: 0, perAddress: 100, reserve: reserve}
	}
	limit(1)
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/metrics": http.StatusServiceUnavailable} {
		if status, body := getAlone(t, n, path); status != want {
			t.Errorf("%s: got %d, %q; want %d", path, status, body, want)
		}
	}
	limit(0)
	if status, _ := getAlone(t, n, "/healthz"); status != http.StatusServiceUnavailable {
		t.Errorf("without a place: got %d; want 503", status)
	}
}

// getAlone asks on a connection of its own, which it closes.
func getAlone(t *testing.T, n *Node, path string) (status int, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", n.HTTPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.0\r\n\r\n", path)
	answer, err := io.ReadAll(conn)
	if err != nil && len(answer) == 0 {
		t.Fatal(err)
	}
	await(t, "the connection is gone", func() bool {
		n.http.gate.mu.Lock()
		defer n.http.gate.mu.Unlock()
		return len(n.http.gate.guests) == 0
	})
	fmt.Sscanf(string(answer), "HTTP/1.%d %d", new(int), &status)
	return status, string(answer)
}

// TestHosts asks by names that lead here and aren't this server's, as a web page would have a
// browser do.
func TestHosts(t *testing.T) {
	for _, test := range []struct {
		listen string
		hosts  []string
		host   string
		want   int
	}{
		{"127.0.0.1:0", nil, "evil.example:7070", http.StatusMisdirectedRequest},
		{"127.0.0.1:0", nil, "127.0.0.1.evil.example", http.StatusMisdirectedRequest},
		{"127.0.0.1:0", nil, "localhost.evil.example:7070", http.StatusMisdirectedRequest},
		{"127.0.0.1:0", nil, "localhost:7070", http.StatusOK},
		{"127.0.0.1:0", nil, "LOCALHOST.", http.StatusOK},
		{"127.0.0.1:0", nil, "127.0.0.1", http.StatusOK},
		{"127.0.0.1:0", nil, "[::1]:7070", http.StatusOK},
		{"127.0.0.1:0", []string{"cache.example"}, "cache.example:7070", http.StatusOK},
		{"127.0.0.1:0", []string{"cache.example"}, "other.example", http.StatusMisdirectedRequest},
		{"0.0.0.0:0", nil, "cache.example", http.StatusOK},
		{"0.0.0.0:0", []string{"cache.example"}, "other.example", http.StatusMisdirectedRequest},
	} {
		addr, err := net.ResolveTCPAddr("tcp", test.listen)
		if err != nil {
			t.Fatal(err)
		}
		handler := namedHosts(addr, test.hosts, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		request, answer := httptest.NewRequest(http.MethodGet, "/metrics", nil), httptest.NewRecorder()
		request.Host = test.host
		handler.ServeHTTP(answer, request)
		if answer.Code != test.want {
			t.Errorf("%s with %v, asked for %q: got %d; want %d", test.listen, test.hosts, test.host, answer.Code, test.want)
		}
	}
	n := open(t, testConfig())
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n.HTTPAddr().String()+"/metrics",
		nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "evil.example"
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("of a node: got %d; want 421", answer.StatusCode)
	}
}
