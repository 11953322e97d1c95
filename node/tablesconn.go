package node

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// connections are those that are open. fasthttp closes idle ones only.
type connections struct {
	mu     sync.Mutex // guards all below
	all    map[net.Conn]struct{}
	closed bool
}

// changed is fasthttp's ConnState.
func (c *connections) changed(conn net.Conn, state fasthttp.ConnState) {
	switch state {
	case fasthttp.StateNew:
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.closed {
			_ = conn.Close()
			return
		}
		if c.all == nil {
			c.all = make(map[net.Conn]struct{})
		}
		c.all[conn] = struct{}{}
	case fasthttp.StateClosed:
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.all, conn)
	}
}

// close closes all connections, and those that come.
func (c *connections) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for conn := range c.all {
		if secure, ok := conn.(*secureConn); ok {
			conn = secure.NetConn() // without a farewell, which might wait
		}
		_ = conn.Close()
	}
}

// A patientListener goes on after errors that pass, such as too many open files, where fasthttp would give up.
type patientListener struct {
	net.Listener
	log *slog.Logger
}

// acceptPause is how long a patientListener waits after an error.
const acceptPause = 100 * time.Millisecond

func (l patientListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		var temporary interface{ Temporary() bool }
		if err == nil || !errors.As(err, &temporary) || !temporary.Temporary() {
			return conn, err
		}
		l.log.Debug("tables: accept", "err", err)
		time.Sleep(acceptPause)
	}
}

// A secureListener is tls.NewListener's with words for what goes wrong in a handshake.
type secureListener struct {
	net.Listener
	config *tls.Config
	log    *slog.Logger
}

func (l secureListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &secureConn{tls.Server(conn, l.config), l.log}, nil
}

type secureConn struct {
	*tls.Conn
	log *slog.Logger
}

// Handshake is called by fasthttp before it reads.
func (c *secureConn) Handshake() error {
	err := c.Conn.Handshake()
	if err == nil {
		return nil
	}
	c.log.Debug("tables: TLS handshake", "client", c.RemoteAddr().String(), "err", err)
	var plain tls.RecordHeaderError
	if errors.As(err, &plain) && plain.Conn != nil && beginsHTTP(plain.RecordHeader) {
		_, _ = io.WriteString(plain.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
	}
	return err
}

// beginsHTTP says whether what isn't TLS is HTTP.
func beginsHTTP(b [5]byte) bool {
	switch string(b[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}
