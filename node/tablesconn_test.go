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

func TestConnectionsClose(t *testing.T) {
	var open connections
	isClosed := func(conn net.Conn) bool {
		return errors.Is(conn.SetDeadline(time.Time{}), io.ErrClosedPipe)
	}
	busy, ended := pipe(t), pipe(t)
	open.changed(busy, fasthttp.StateNew)
	open.changed(ended, fasthttp.StateNew)
	open.changed(busy, fasthttp.StateActive)
	open.changed(ended, fasthttp.StateClosed)
	open.close()
	if !isClosed(busy) || isClosed(ended) {
		t.Errorf("closed: got %v and %v; want the one that hadn't ended", isClosed(busy), isClosed(ended))
	}
	late := pipe(t)
	open.changed(late, fasthttp.StateNew)
	if !isClosed(late) {
		t.Error("a connection that comes after close: got it open; want it closed")
	}
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
		ended <- server.Serve(secureListener{listener, &tls.Config{Certificates: other.TLS.Certificates}, slog.New(slog.DiscardHandler)})
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
		{func() (net.Conn, error) { return net.Dial("tcp", listener.Addr().String()) }, "Client sent an HTTP request to an HTTPS server.\n"},
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
