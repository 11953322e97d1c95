package node

import (
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A gate limits the connections of a listener and still admits active clients. With a plain limit,
// clients that send half a header, or nothing, would keep all others out until a time-out. So at
// the limit a new connection replaces an idle one: one of its own address where that address has
// used its share, else any.
//
// What happens when no connection is idle differs by the listener: see gateLimits.
type gate struct {
	limits gateLimits

	mu        sync.Mutex // guards all below
	freed     sync.Cond  // a guest has left, or closed is set
	guests    map[*guest]struct{}
	byAddress map[netip.Addr]int // guests of each address; never 0
	closed    bool               // nothing is admitted any more
}

// gateLimits are numbers of connections, and what happens when all of them have a request in
// flight.
type gateLimits struct {
	total      int
	perAddress int

	// reserve is how many connections are admitted besides total when none is idle. They are for
	// health checks only: without them a busy node would be taken out of service.
	reserve int
	// waits has a new connection wait until another ends, where it would be refused otherwise.
	// Nothing is accepted meanwhile, so an address whose share is in use by requests is refused at
	// once: otherwise it could fill the gate, and then keep the other addresses waiting.
	waits bool
	// unservedFirst replaces the connections that never sent a request before those that did.
	unservedFirst bool
}

// A guest is a connection that the gate has admitted, or is asked to admit.
type guest struct {
	net.Conn
	gate     *gate
	address  netip.Addr // without its port; zero if it has none
	reserved bool       // admitted to the reserve; constant once it is admitted

	idle   atomic.Int64 // since when it has waited for a request, Unix nanoseconds; 0 during a request
	served atomic.Bool  // a request has begun
}

// Why a connection isn't admitted.
var (
	errTooMany      = errors.New("too many connections")
	errAddressShare = errors.New("the address has too many connections")
)

func newGate(limits gateLimits) *gate {
	g := &gate{limits: limits, guests: map[*guest]struct{}{}, byAddress: map[netip.Addr]int{}}
	g.freed.L = &g.mu
	return g
}

// prepare makes conn a connection that g may be asked to admit. It is idle from now on.
func (c *guest) prepare(g *gate, conn net.Conn, now time.Time) {
	c.Conn, c.gate = conn, g
	if at, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
		c.address = at.Addr().Unmap()
	}
	c.ends(now)
}

// begins notes that a request has begun, ends that it has been answered.
func (c *guest) begins() {
	c.idle.Store(0)
	c.served.Store(true)
}

func (c *guest) ends(now time.Time) { c.idle.Store(now.UnixNano()) }

// Close is net.Conn's.
func (c *guest) Close() error {
	defer c.gate.leave(c)
	return c.Conn.Close()
}

// admit lets c in, in the place of an idle guest where that is needed. The error is one of those
// above, or net.ErrClosed after stop. The caller closes what isn't admitted.
func (g *gate) admit(c *guest) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for !g.closed {
		over := g.byAddress[c.address] >= g.limits.perAddress
		switch {
		case over && g.evict(g.idlest(c.address, true)):
		case over && g.limits.waits:
			return errAddressShare
		case len(g.guests) < g.limits.total:
		case g.evict(g.idlest(c.address, false)):
		case g.limits.waits:
			g.freed.Wait()
			continue
		case len(g.guests) < g.limits.total+g.limits.reserve:
			c.reserved = true
		default:
			return errTooMany
		}
		g.guests[c] = struct{}{}
		g.byAddress[c.address]++
		return nil
	}
	return net.ErrClosed
}

// idlest returns the idle guest to replace, of one address or of all; nil if none is idle. The
// caller holds mu.
func (g *gate) idlest(address netip.Addr, only bool) (victim *guest) {
	served, since := true, int64(0)
	for c := range g.guests {
		idle := c.idle.Load()
		if idle == 0 || only && c.address != address {
			continue
		}
		s := g.limits.unservedFirst && c.served.Load()
		if victim == nil || served && !s || served == s && idle < since {
			victim, served, since = c, s, idle
		}
	}
	return victim
}

// evict closes a guest and takes it out; false if it is nil. The caller holds mu.
func (g *gate) evict(c *guest) bool {
	if c == nil {
		return false
	}
	g.remove(c)
	_ = c.Conn.Close()
	return true
}

// leave takes out a guest that was closed.
func (g *gate) leave(c *guest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(c)
	g.freed.Signal()
}

// remove does nothing if c is not in, or not any more. The caller holds mu.
func (g *gate) remove(c *guest) {
	if _, in := g.guests[c]; !in {
		return
	}
	delete(g.guests, c)
	if g.byAddress[c.address]--; g.byAddress[c.address] == 0 {
		delete(g.byAddress, c.address)
	}
}

// stop has the gate admit nothing more, and ends the wait of admit. Guests stay.
func (g *gate) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	g.freed.Broadcast()
}

// close also closes all guests. It sends no TLS close_notify, which might block.
func (g *gate) close() {
	g.stop()
	g.mu.Lock()
	all := slices.Collect(maps.Keys(g.guests))
	g.mu.Unlock()
	for _, c := range all {
		_ = c.Close()
	}
}
