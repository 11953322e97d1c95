package node

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// connections are those of the tables' clients. They are bounded together and for each address.
// At the limit, a new connection closes an idle one, so that idle clients don't keep others out:
// first those that never sent a request, of them the one that has waited longest.
type connections struct {
	most    int // together
	mostOne int // of one address

	mu        sync.Mutex // guards what follows
	all       map[*tablesConn]struct{}
	byAddress map[netip.Addr]int
	left      chan struct{} // closed when a connection ends, while accepting waits for that; nil: nothing waits
	closed    bool
}

// Of all connections, one address may have three quarters.
const addressPart, addressParts = 3, 4

func newConnections(most int) *connections {
	return &connections{
		most: most, mostOne: max(1, most*addressPart/addressParts),
		all: map[*tablesConn]struct{}{}, byAddress: map[netip.Addr]int{},
	}
}

// admit adds a connection to those that are open. At the limit it closes an idle one or waits until
// one ends. An error means that conn is not admitted.
func (c *connections) admit(conn *tablesConn) error {
	for {
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return net.ErrClosed
		}
		over := c.byAddress[conn.address] >= c.mostOne
		if !over && len(c.all) < c.most {
			c.all[conn] = struct{}{}
			c.byAddress[conn.address]++
			c.mu.Unlock()
			return nil
		}
		victim := c.idlest(conn.address, over)
		var left chan struct{}
		if victim == nil && !over {
			left = make(chan struct{})
			c.left = left
		}
		c.mu.Unlock()
		switch {
		case victim != nil:
			_ = victim.Close()
		case over:
			return errTooMany
		default:
			<-left
		}
	}
}

var errTooMany = errors.New("the address has too many connections")

// idlest returns the idle connection to close first, of one address or of all; nil if none is idle.
// The caller holds mu.
func (c *connections) idlest(address netip.Addr, only bool) (victim *tablesConn) {
	served, since := true, int64(0)
	for conn := range c.all {
		idle := conn.idle.Load()
		if idle == 0 || only && conn.address != address {
			continue
		}
		if s := conn.served.Load(); victim == nil || served && !s || served == s && idle < since {
			victim, served, since = conn, s, idle
		}
	}
	return victim
}

// remove takes out a connection that was closed.
func (c *connections) remove(conn *tablesConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.all[conn]; !ok {
		return
	}
	delete(c.all, conn)
	if c.byAddress[conn.address]--; c.byAddress[conn.address] == 0 {
		delete(c.byAddress, conn.address)
	}
	c.wake()
}

// wake lets a waiting admit check again. The caller holds mu.
func (c *connections) wake() {
	if c.left != nil {
		close(c.left)
		c.left = nil
	}
}

// changed is fasthttp's ConnState.
func (c *connections) changed(conn net.Conn, state fasthttp.ConnState) {
	if secure, ok := conn.(*secureConn); ok {
		conn = secure.NetConn()
	}
	of, ok := conn.(*tablesConn)
	if !ok {
		return
	}
	switch state {
	case fasthttp.StateActive:
		of.idle.Store(0)
		of.served.Store(true)
	case fasthttp.StateIdle:
		of.idle.Store(time.Now().UnixNano())
	}
}

// close closes all connections, and those that come later. It sends no TLS close_notify, which might
// block.
func (c *connections) close() {
	c.mu.Lock()
	c.closed = true
	c.wake()
	all := slices.Collect(maps.Keys(c.all))
	c.mu.Unlock()
	for _, conn := range all {
		_ = conn.Close()
	}
}

// A tablesConn is a client's connection, below TLS.
type tablesConn struct {
	net.Conn
	list      *connections
	address   netip.Addr
	idle      atomic.Int64 // since when it waits for a request, in nanoseconds since 1970; 0: a request is under way
	served    atomic.Bool  // a request has begun
	preface   preface
	closeOnce sync.Once
}

// Close implements net.Conn.
func (c *tablesConn) Close() error {
	defer c.closeOnce.Do(func() { c.list.remove(c) })
	return c.Conn.Close()
}

// A boundedListener accepts as many connections as there may be.
type boundedListener struct {
	net.Listener
	list  *connections
	plain bool // without TLS, so that an HTTP/2 client is recognized by its first bytes
	log   *slog.Logger
}

func (l boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		of := &tablesConn{Conn: conn, list: l.list}
		if at, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
			of.address = at.Addr().Unmap()
		}
		if !l.plain {
			of.preface.done = true
		}
		of.idle.Store(time.Now().UnixNano())
		if err := l.list.admit(of); err != nil {
			_ = conn.Close()
			l.log.Debug("tables: connection refused", "client", of.address.String(), "err", err)
			if errors.Is(err, net.ErrClosed) {
				return nil, err
			}
			continue
		}
		return of, nil
	}
}

// Close implements net.Listener. It ends an Accept that waits for a connection to close.
func (l boundedListener) Close() error {
	l.list.stop()
	return l.Listener.Close()
}

// stop ends the waiting in admit; open connections stay open.
func (c *connections) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.wake()
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
