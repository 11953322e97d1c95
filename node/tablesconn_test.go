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
	"net/netip"
	"os"
	"slices"
	"strings"
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

// isClosed says whether a connection of pipe is closed.
func isClosed(conn net.Conn) bool {
	return errors.Is(conn.SetDeadline(time.Time{}), io.ErrClosedPipe)
}

// admitted has a connection of an address admitted.
func admitted(t *testing.T, list *connections, address string) *tablesConn {
	t.Helper()
	conn := &tablesConn{Conn: pipe(t), list: list, address: netip.MustParseAddr(address)}
	conn.idle.Store(int64(len(list.all)) + 1)
	if err := list.admit(conn); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestConnectionsClose(t *testing.T) {
	list := newConnections(8)
	busy, ended := admitted(t, list, "10.0.0.1"), admitted(t, list, "10.0.0.1")
	list.changed(busy, fasthttp.StateActive)
	if err := ended.Close(); err != nil {
		t.Fatal(err)
	}
	list.close()
	if !isClosed(busy.Conn) || len(list.all) != 0 || len(list.byAddress) != 0 {
		t.Errorf("got %d connections, closed %v; want none", len(list.all), isClosed(busy.Conn))
	}
	late := &tablesConn{Conn: pipe(t), list: list}
	if err := list.admit(late); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a connection that comes after close: got %v; want it refused", err)
	}
}

// Where there is no room, the connection goes that never asked anything, then the one that has
// waited longest, never one with a request.
func TestConnectionsMakeRoom(t *testing.T) {
	list := newConnections(4)
	first, second, third := admitted(t, list, "10.0.0.1"), admitted(t, list, "10.0.0.1"), admitted(t, list, "10.0.0.1")
	fourth := admitted(t, list, "10.0.0.2")
	list.changed(first, fasthttp.StateActive)
	list.changed(second, fasthttp.StateActive)
	list.changed(second, fasthttp.StateIdle)
	list.changed(fourth, fasthttp.StateActive)
	list.changed(fourth, fasthttp.StateIdle)
	second.idle.Store(10)
	fourth.idle.Store(20)
	closed := func(want ...*tablesConn) {
		t.Helper()
		for i, c := range []*tablesConn{first, second, third, fourth} {
			if got := isClosed(c.Conn); got != slices.Contains(want, c) {
				t.Errorf("connection %d: got closed %v; want %v", i+1, got, !got)
			}
		}
	}
	closed()
	fifth := admitted(t, list, "10.0.0.2")
	list.changed(fifth, fasthttp.StateActive)
	closed(third)
	sixth := admitted(t, list, "10.0.0.2")
	list.changed(sixth, fasthttp.StateActive)
	closed(third, second)
}

// One address has no more than its share: another connection of it takes the place of an idle one
// of its own, or is refused.
func TestConnectionsOfOneAddress(t *testing.T) {
	list := newConnections(4)
	var all []*tablesConn
	for range 3 {
		all = append(all, admitted(t, list, "10.0.0.1"))
		list.changed(all[len(all)-1], fasthttp.StateActive)
	}
	refused := &tablesConn{Conn: pipe(t), list: list, address: netip.MustParseAddr("10.0.0.1")}
	if err := list.admit(refused); !errors.Is(err, errTooMany) {
		t.Errorf("a fourth of 4: got %v; want it refused", err)
	}
	other := admitted(t, list, "10.0.0.2")
	list.changed(all[1], fasthttp.StateIdle)
	admitted(t, list, "10.0.0.1")
	if !isClosed(all[1].Conn) || isClosed(other.Conn) {
		t.Errorf("got closed %v and %v; want the idle one of that address", isClosed(all[1].Conn), isClosed(other.Conn))
	}
}

// If all have requests under way, a new one waits for one to end.
func TestConnectionsWait(t *testing.T) {
	list := newConnections(2)
	first, second := admitted(t, list, "10.0.0.1"), admitted(t, list, "10.0.0.2")
	list.changed(first, fasthttp.StateActive)
	list.changed(second, fasthttp.StateActive)
	entered := make(chan error, 1)
	go func() {
		entered <- list.admit(&tablesConn{Conn: pipe(t), list: list, address: netip.MustParseAddr("10.0.0.3")})
	}()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-entered; err != nil {
		t.Errorf("got %v; want the place of the one that ended", err)
	}
	go func() {
		entered <- list.admit(&tablesConn{Conn: pipe(t), list: list, address: netip.MustParseAddr("10.0.0.4")})
	}()
	list.stop()
	if err := <-entered; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v; want the end", err)
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

func pipe(t *testing.T) net.Conn {
	conn, other := net.Pipe()
	t.Cleanup(func() {
		conn.Close()
		other.Close()
	})
	return conn
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
