package node

import (
	"context"
	"net"
	"net/http"
	"time"
)

// A gatedListener is the HTTP listener with its gate. If every connection has a request in flight,
// a new one gets a place in the gate's reserve, which answers health checks only, or is refused at
// once: a monitor retries.
type gatedListener struct {
	net.Listener
	gate *gate
}

// refusal is sent to a connection that isn't admitted. It is less than any socket's buffer.
const refusal = "HTTP/1.1 503 Service Unavailable\r\n" +
	"Connection: close\r\nContent-Length: 21\r\n\r\ntoo many connections\n"

// Accept is net.Listener's.
func (l gatedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &guest{}
		c.prepare(l.gate, conn, time.Now())
		if l.gate.admit(c) == nil {
			return c, nil
		}
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = conn.Write([]byte(refusal))
		_ = conn.Close()
	}
}

type guestKey struct{}

// withGuest is http.Server's ConnContext, with which markGuests finds the connection of a request.
func withGuest(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, guestKey{}, conn)
}

// markGuests marks connections busy while their requests are answered. On connections of the
// reserve only health checks are answered.
func markGuests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(guestKey{}).(*guest); ok {
			c.begins()
			defer func() { c.ends(time.Now()) }()
			if c.reserved && r.URL.Path != healthPath {
				w.Header().Set("Connection", "close")
				http.Error(w, "too many connections", http.StatusServiceUnavailable)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
