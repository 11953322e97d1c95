package node

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

func TestTablesHeaderLimit(t *testing.T) {
	n := open(t, tablesConfig(t))
	for bytes, want := range map[int]int{
		tablesHeaderBytes - 1<<10: http.StatusOK,
		2 * tablesHeaderBytes:     http.StatusRequestHeaderFieldsTooLarge,
	} {
		req, err := http.NewRequest(http.MethodGet, "http://"+n.TablesAddr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X", strings.Repeat("x", bytes))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("a header of %d bytes: got %d; want %d", bytes, res.StatusCode, want)
		}
	}
}

// comeTo is come, and wants the connection admitted. A gate for tables doesn't look at ports.
func comeTo(t *testing.T, g *gate, address string) *guest {
	t.Helper()
	c := come(g, address+":1", int64(len(g.guests))+1)
	if c == nil {
		t.Fatalf("a connection of %s is not admitted", address)
	}
	return c
}

func TestGateCloses(t *testing.T) {
	g := newTablesGate(8)
	busy, ended := comeTo(t, g, "10.0.0.1"), comeTo(t, g, "10.0.0.1")
	busy.begins()
	for range 2 { // fasthttp closes once more what the gate has closed
		if err := ended.Close(); err != nil {
			t.Fatal(err)
		}
	}
	g.close()
	if !busy.isClosed() || len(g.guests) != 0 || len(g.byAddress) != 0 {
		t.Errorf("got %d connections, closed %v; want none", len(g.guests), busy.isClosed())
	}
	if come(g, "10.0.0.1:1", 9) != nil {
		t.Error("a connection is admitted after close")
	}
}

// At the limit, the connection that never sent a request is replaced, then the one that has waited
// longest, never one with a request.
func TestGateMakesSpace(t *testing.T) {
	g := newTablesGate(4)
	all := map[string]*guest{}
	for i, name := range []string{"a", "b", "c", "d"} {
		all[name] = comeTo(t, g, []string{"10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.2"}[i])
	}
	for name, idleSince := range map[string]int64{"a": 0, "b": 10, "d": 20} {
		if all[name].begins(); idleSince > 0 {
			all[name].ends(time.Unix(0, idleSince))
		}
	}
	wantClosed(t, all, "")
	all["e"] = comeTo(t, g, "10.0.0.2")
	all["e"].begins()
	wantClosed(t, all, "c")
	all["f"] = comeTo(t, g, "10.0.0.2")
	all["f"].begins()
	wantClosed(t, all, "b c")
}

// One address has no more than its share: another connection of it takes the place of an idle one
// of its own, or is refused.
func TestGateOfOneAddress(t *testing.T) {
	g := newTablesGate(4)
	var all []*guest
	for range 3 {
		all = append(all, comeTo(t, g, "10.0.0.1"))
		all[len(all)-1].begins()
	}
	if come(g, "10.0.0.1:4", 4) != nil {
		t.Error("a fourth of 4 is admitted; want it refused")
	}
	other := comeTo(t, g, "10.0.0.2")
	all[1].ends(time.Unix(0, 10))
	if come(g, "[::ffff:10.0.0.1]:5", 11) == nil {
		t.Error("not admitted; want the place of an idle one")
	}
	if !all[1].isClosed() || other.isClosed() {
		t.Errorf("got closed %v and %v; want the idle one of that address", all[1].isClosed(), other.isClosed())
	}
}

// A waitLock is the lock of a condition, and reports when somebody waits for that.
type waitLock struct {
	sync.Locker
	waits chan struct{}
}

// Unlock is called by Wait.
func (l waitLock) Unlock() {
	l.waits <- struct{}{}
	l.Locker.Unlock()
}

// If all have requests in flight, a new one waits for one to end.
func TestGateWaits(t *testing.T) {
	g := newTablesGate(2)
	waits := make(chan struct{}, 1)
	g.freed.L = waitLock{&g.mu, waits}
	first, second := comeTo(t, g, "10.0.0.1"), comeTo(t, g, "10.0.0.2")
	first.begins()
	second.begins()
	entered := make(chan *guest, 1)
	go func() { entered <- come(g, "10.0.0.3:1", 3) }()
	<-waits
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	third := <-entered
	if third == nil {
		t.Fatal("not admitted; want the place of the one that ended")
	}
	third.begins()
	go func() { entered <- come(g, "10.0.0.4:1", 4) }()
	<-waits
	g.stop()
	if <-entered != nil || third.isClosed() {
		t.Errorf("a connection is admitted after the end, or one with a request closed")
	}
}

// More idle connections than there may be keep nobody out.
func TestIdleConnectionsKeepNobodyOut(t *testing.T) {
	c := tablesConfig(t)
	c.Tables.Connections = 8
	n := open(t, c)
	for range 3 * c.Tables.Connections {
		conn, err := net.Dial("tcp", n.TablesAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	expectTables(t, n, "ListTables", "{}", "TableNames")
}

// A connection of which fasthttp says that it waits for a request is idle, also below TLS.
func TestServedConnectionsBecomeIdle(t *testing.T) {
	for name, wrap := range map[string]func(c *tablesConn) net.Conn{
		"plain": func(c *tablesConn) net.Conn { return c },
		"TLS":   func(c *tablesConn) net.Conn { return &secureConn{Conn: tls.Server(c, nil)} },
	} {
		c := &tablesConn{}
		c.prepare(newTablesGate(1), &fakeConn{from: "10.0.0.1:1"}, time.Now())
		for _, step := range []struct {
			state        fasthttp.ConnState
			idle, served bool
		}{
			{fasthttp.StateNew, true, false},
			{fasthttp.StateActive, false, true},
			{fasthttp.StateIdle, true, true},
			{fasthttp.StateActive, false, true},
			{fasthttp.StateClosed, false, true},
		} {
			connState(wrap(c), step.state)
			if idle := c.idle.Load() != 0; idle != step.idle || c.served.Load() != step.served {
				t.Errorf("%s, %v: got idle %v, served %v; want %v, %v",
					name, step.state, idle, c.served.Load(), step.idle, step.served)
			}
		}
	}
	c := tablesConfig(t)
	c.Tables.Connections = 4
	n := open(t, c)
	for range 2 * c.Tables.Connections { // each is kept by its own transport, and by the node
		client := http.Client{Transport: &http.Transport{}}
		res, err := client.Get("http://" + n.TablesAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		defer client.CloseIdleConnections()
	}
}

// A failingListener has errors first, then connections.
type failingListener struct {
	net.Listener
	errors []error
}

func (l *failingListener) Accept() (net.Conn, error) {
	if len(l.errors) == 0 {
		conn, _ := net.Pipe()
		return conn, nil
	}
	err := l.errors[0]
	l.errors = l.errors[1:]
	return nil, err
}

func TestPatientListener(t *testing.T) {
	full := &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	l := patientListener{&failingListener{errors: []error{full, net.ErrClosed}}, slog.New(slog.DiscardHandler)}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v; want the error that doesn't pass", err)
	}
	if conn, err := l.Accept(); err != nil || conn == nil {
		t.Errorf("got %v, %v; want a connection", conn, err)
	}
}

func TestSecureListener(t *testing.T) {
	other := httptest.NewTLSServer(nil) // for its certificate
	defer other.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("secure") }}
	ended := make(chan error)
	go func() {
		ended <- server.Serve(secureListener{listener, &tls.Config{Certificates: other.TLS.Certificates},
			slog.New(slog.DiscardHandler)})
	}()
	defer func() {
		if err := errors.Join(listener.Close(), <-ended); err != nil {
			t.Error(err)
		}
	}()
	for _, test := range []struct {
		dial func() (net.Conn, error)
		want string
	}{
		{func() (net.Conn, error) {
			return tls.Dial("tcp", listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		}, "secure"},
		{func() (net.Conn, error) { return net.Dial("tcp", listener.Addr().String()) },
			"Client sent an HTTP request to an HTTPS server.\n"},
	} {
		conn, err := test.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != test.want {
			t.Errorf("got %d %q, %v; want %q", res.StatusCode, body, err, test.want)
		}
	}
}
