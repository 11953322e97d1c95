package node

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
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
	n.http.listener.gate.mu.Lock()
	defer n.http.listener.gate.mu.Unlock()
	if got := len(n.http.listener.gate.guests); got > httpConnections.total {
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

// come has a connection from an address ask g for admission at a time. It returns nil if it isn't
// admitted.
func come(g *gate, from string, at int64) *guest {
	c := &guest{}
	c.prepare(g, &fakeConn{from: from}, time.Unix(0, at))
	if g.admit(c) != nil {
		return nil
	}
	return c
}

func (c *guest) isClosed() bool { return c.Conn.(*fakeConn).closed }

// wantClosed names those of the guests that were closed.
func wantClosed(t *testing.T, guests map[string]*guest, want string) {
	t.Helper()
	var closed []string
	for _, name := range slices.Sorted(maps.Keys(guests)) {
		if guests[name].isClosed() {
			closed = append(closed, name)
		}
	}
	if got := strings.Join(closed, " "); got != want {
		t.Errorf("got %q closed; want %q", got, want)
	}
}

func TestGateWithReserve(t *testing.T) {
	g := newGate(gateLimits{total: 4, perAddress: 2, reserve: 1})
	at := int64(0)
	all := map[string]*guest{}
	enter := func(name, from string) {
		t.Helper()
		at++
		if all[name] = come(g, from, at); all[name] == nil {
			t.Fatalf("%s is not admitted", name)
		}
	}
	enter("a", "10.0.0.1:1")
	enter("b", "10.0.0.1:2")
	enter("c", "10.0.0.2:1")
	enter("d", "10.0.0.1:3") // the third of its address
	wantClosed(t, all, "a")
	all["b"].begins()
	enter("e", "10.0.0.1:4") // b has a request
	wantClosed(t, all, "a d")
	enter("f", "10.0.0.3:1")
	enter("g", "10.0.0.4:1") // the fifth: c has waited for the longest
	wantClosed(t, all, "a c d")
	for c := range g.guests {
		c.begins()
	}
	enter("h", "10.0.0.1:5") // none is idle, also of its address
	if !all["h"].reserved {
		t.Error("h has no place of the reserve")
	}
	all["h"].begins()
	if again := come(g, "10.0.0.6:1", at); again != nil {
		t.Error("one more is admitted, although the reserve is in use")
	}
	all["b"].ends(time.Unix(0, at))
	enter("i", "10.0.0.6:1")
	wantClosed(t, all, "a b c d")
	if all["i"].reserved {
		t.Error("i has a place of the reserve; want that of b, which has been answered")
	}
}

// gateModel is what gateLimits say, by a sorted list.
type gateModel struct {
	limits gateLimits
	guests []*guest
}

// admit returns what is to become of c: who leaves for it, whether it is admitted, and whether to
// the reserve. wait says that it waits.
func (m *gateModel) admit(c *guest) (victim *guest, admitted, reserved, wait bool) {
	idle := slices.DeleteFunc(slices.Clone(m.guests), func(g *guest) bool { return g.idle.Load() == 0 })
	slices.SortFunc(idle, func(a, b *guest) int {
		if m.limits.unservedFirst && a.served.Load() != b.served.Load() {
			if a.served.Load() {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.idle.Load(), b.idle.Load())
	})
	mine := func(g *guest) bool { return g.address == c.address }
	own := slices.DeleteFunc(slices.Clone(m.guests), func(g *guest) bool { return !mine(g) })
	if len(own) >= m.limits.perAddress {
		if i := slices.IndexFunc(idle, mine); i >= 0 {
			return idle[i], true, false, false
		}
		if m.limits.waits {
			return nil, false, false, false
		}
	}
	switch {
	case len(m.guests) < m.limits.total:
		return nil, true, false, false
	case len(idle) > 0:
		return idle[0], true, false, false
	case m.limits.waits:
		return nil, false, false, true
	}
	reserved = len(m.guests) < m.limits.total+m.limits.reserve
	return nil, reserved, reserved, false
}

func TestGateAgainstModel(t *testing.T) {
	for _, limits := range []gateLimits{
		{total: 6, perAddress: 3, reserve: 2},
		{total: 6, perAddress: 4, waits: true, unservedFirst: true},
	} {
		for seed := range uint64(100) {
			random := rand.New(rand.NewPCG(seed, 0))
			g, m := newGate(limits), &gateModel{limits: limits}
			leaves := func(c *guest) {
				m.guests = slices.DeleteFunc(m.guests, func(other *guest) bool { return other == c })
			}
			for step := range int64(300) {
				var some *guest
				if len(m.guests) > 0 {
					some = m.guests[random.IntN(len(m.guests))]
				}
				switch what := random.IntN(8); {
				case some == nil || what < 4:
					c := &guest{}
					c.prepare(g, &fakeConn{from: fmt.Sprintf("10.0.0.%d:1", random.IntN(4))}, time.Unix(0, step+1))
					victim, admitted, reserved, wait := m.admit(c)
					if wait {
						continue // TestGateWaits
					}
					if got := g.admit(c) == nil; got != admitted || c.reserved != reserved {
						t.Fatalf("limits %+v, seed %d, step %d: got admitted %v, reserved %v; want %v, %v",
							limits, seed, step, got, c.reserved, admitted, reserved)
					}
					if victim != nil && !victim.isClosed() {
						t.Fatalf("limits %+v, seed %d, step %d: the wrong one was closed, or none", limits, seed, step)
					}
					if leaves(victim); admitted {
						m.guests = append(m.guests, c)
					}
				case what < 6:
					some.begins()
				case what < 7:
					some.ends(time.Unix(0, step+1))
				default:
					some.Close()
					leaves(some)
				}
				if len(g.guests) != len(m.guests) || slices.ContainsFunc(m.guests, (*guest).isClosed) {
					t.Fatalf("limits %+v, seed %d, step %d: got %d guests; want %d, all of them open",
						limits, seed, step, len(g.guests), len(m.guests))
				}
			}
		}
	}
}

// TestReservedPlace checks that the reserve's connections have health checks answered, and nothing
// else.
func TestReservedPlace(t *testing.T) {
	n := open(t, testConfig())
	limit := func(reserve int) {
		n.http.listener.gate.mu.Lock()
		defer n.http.listener.gate.mu.Unlock()
		n.http.listener.gate.limits = gateLimits{total: 0, perAddress: 100, reserve: reserve}
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
		n.http.listener.gate.mu.Lock()
		defer n.http.listener.gate.mu.Unlock()
		return len(n.http.listener.gate.guests) == 0
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
