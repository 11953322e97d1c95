package node

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"holdfast/session"
)

// Of all connections, one address may have three quarters.
const addressPart, addressParts = 3, 4

// newTablesGate returns the gate of the tables' listener, for so many connections. When none is
// idle, a new one waits: an SDK's request should wait rather than fail.
func newTablesGate(total int) *gate {
	return newGate(gateLimits{
		total: total, perAddress: max(1, total*addressPart/addressParts), waits: true, unservedFirst: true,
	})
}

// connState is fasthttp's ConnState.
func connState(conn net.Conn, state fasthttp.ConnState) {
	c := tablesConnOf(conn)
	if c == nil {
		return
	}
	switch state {
	case fasthttp.StateActive:
		c.begins()
	case fasthttp.StateIdle:
		c.ends(time.Now())
	}
}

// tablesConnOf returns the connection that conn is, or has below TLS; nil if there is none.
func tablesConnOf(conn net.Conn) *tablesConn {
	if secure, ok := conn.(*secureConn); ok {
		conn = secure.NetConn()
	}
	c, _ := conn.(*tablesConn)
	return c
}

// sessionOfConn returns the session that a client's connection is; nil: it is none.
func sessionOfConn(conn net.Conn) *session.Connection {
	if c := tablesConnOf(conn); c != nil {
		return &c.session
	}
	return nil
}

// A tablesConn is a client's connection, below TLS.
type tablesConn struct {
	guest
	preface preface
	session session.Connection // used if connections are sessions
}

// A boundedListener accepts the connections that its gate admits.
type boundedListener struct {
	net.Listener
	gate  *gate
	plain bool // without TLS, so that an HTTP/2 client is recognized by its first bytes
	log   *slog.Logger
}

func (l boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &tablesConn{}
		c.prepare(l.gate, conn, time.Now())
		c.preface.done = !l.plain
		err = l.gate.admit(&c.guest)
		if err == nil {
			return c, nil
		}
		_ = conn.Close()
		l.log.Debug("tables: connection refused", "client", c.address.String(), "err", err)
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
	}
}

// Close implements net.Listener. It ends an Accept that waits for a connection to close.
func (l boundedListener) Close() error {
	l.gate.stop()
	return l.Listener.Close()
}

// A patientListener retries after temporary errors, such as too many open files, where fasthttp
// would stop serving.
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

// A secureListener is like tls.NewListener's, and logs why a handshake failed.
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
