package node

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// A gate is an HTTP listener that limits connections and still admits active clients. With a plain
// limit, clients that send half a header, or nothing, would keep all others out until a time-out:
// health checks would fail, and a cluster would take the node out of service. So a new connection
// replaces the one that has been without a request for the longest time: one of its own address
// where that address has used its share, else any. If every connection has a request in flight, the
// new one gets a place in the reserve, which answers health checks only. If the reserve is full, it
// is refused.
type gate struct {
	net.Listener
	limits gateLimits
	now    func() time.Time

	mu     sync.Mutex // guards all below, and the fields of guests that say so
	guests map[*guest]struct{}
}

// gateLimits are numbers of connections.
type gateLimits struct {
	total      int
	perAddress int
	reserve    int // besides total
}

// A guest is a connection that the gate has let in.
type guest struct {
	net.Conn
	gate     *gate
	address  netip.Addr // without its port; zero if it has none
	reserved bool       // health checks only

	busy  int       // requests that are being answered; guarded by gate.mu
	since time.Time // since when busy is 0; guarded by gate.mu
}

func newGate(l net.Listener, limits gateLimits) *gate {
	return &gate{Listener: l, limits: limits, now: time.Now, guests: map[*guest]struct{}{}}
}

// refusal is sent to a connection that isn't let in. It is less than any socket's buffer.
const refusal = "HTTP/1.1 503 Service Unavailable\r\n" +
	"Connection: close\r\nContent-Length: 21\r\n\r\ntoo many connections\n"

// Accept is net.Listener's.
func (g *gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if admitted := g.admit(conn); admitted != nil {
			return admitted, nil
		}
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = conn.Write([]byte(refusal))
		_ = conn.Close()
	}
}

// admit returns nil if there is no place.
func (g *gate) admit(conn net.Conn) *guest {
	in := &guest{Conn: conn, gate: g}
	if at, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
		in.address = at.Addr()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	same, longest, longestSame := 0, (*guest)(nil), (*guest)(nil)
	for other := range g.guests {
		mine := other.address == in.address
		if mine {
			same++
		}
		if other.busy > 0 {
			continue
		}
		longest = longer(longest, other)
		if mine {
			longestSame = longer(longestSame, other)
		}
	}
	switch {
	case same >= g.limits.perAddress && longestSame != nil:
		g.evict(longestSame)
	case len(g.guests) < g.limits.total:
	case longest != nil:
		g.evict(longest)
	case len(g.guests) < g.limits.total+g.limits.reserve:
		in.reserved = true
	default:
		return nil
	}
	in.since = g.now()
	g.guests[in] = struct{}{}
	return in
}

// longer is the guest that has waited for the longer time. a may be nil.
func longer(a, b *guest) *guest {
	if a == nil || b.since.Before(a.since) {
		return b
	}
	return a
}

// evict needs g.mu.
func (g *gate) evict(out *guest) {
	delete(g.guests, out)
	_ = out.Conn.Close()
}

// Close is net.Conn's.
func (c *guest) Close() error {
	c.gate.mu.Lock()
	delete(c.gate.guests, c)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}

// serving counts a request in, or out with -1.
func (c *guest) serving(n int) {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	c.busy += n
	c.since = c.gate.now()
}

type guestKey struct{}

// context is http.Server's ConnContext, with which handler finds the connection of a request.
func (g *gate) context(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, guestKey{}, conn)
}

// handler counts the requests of each connection. On connections of the reserve only health checks
// are answered.
func (g *gate) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(guestKey{}).(*guest); ok {
			c.serving(1)
			defer c.serving(-1)
			if c.reserved && r.URL.Path != healthPath {
				w.Header().Set("Connection", "close")
				http.Error(w, "too many connections", http.StatusServiceUnavailable)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
