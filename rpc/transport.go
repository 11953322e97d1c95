package rpc

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"holdfast"
	"holdfast/pulse"
)

// A Transport is a node's end of all connections to its peers.
type Transport struct {
	options  Options
	limits   limits
	listener net.Listener
	start    time.Time
	log      *faultLog
	counters counters
	meet     func(*view) (view, error) // answers a node that isn't in a cluster; nil: they are refused

	change     sync.Mutex // guards changes of peers
	peers      atomic.Pointer[map[holdfast.NodeID]*peer]
	introduced chan struct{} // closed when there were peers first

	ctx     context.Context // ends with Close
	end     context.CancelFunc
	running sync.WaitGroup // all goroutines
}

// Listen returns a Transport that listens and has no peers yet. The error is Invalid if the options
// are wrong, and Failed if the address can't be listened on.
func Listen(o Options) (*Transport, error) { return listenWith(o, defaultLimits()) }

func listenWith(o Options, l limits) (*Transport, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Answer == nil {
		o.Answer = func(context.Context, Message) ([]byte, error) {
			return nil, holdfast.Errorf(holdfast.Invalid, "node %d answers no requests", o.Node)
		}
	}
	listener, err := bound(o.Listener, o.Listen, o.TLS)
	if err != nil {
		return nil, err
	}
	t := newTransport(o, l, listener)
	if o.Formed != nil || o.Stranger != nil || o.Join != nil {
		t.meet = o.answerView
	}
	t.running.Go(t.accept)
	t.running.Go(t.pulse)
	return t, nil
}

// newTransport returns a Transport that doesn't accept connections yet.
func newTransport(o Options, l limits, listener net.Listener) *Transport {
	t := &Transport{
		options: o, limits: l, listener: listener, start: time.Now(),
		log: &faultLog{log: o.Log, every: l.logEvery}, introduced: make(chan struct{}),
	}
	t.peers.Store(&map[holdfast.NodeID]*peer{})
	t.ctx, t.end = context.WithCancel(context.Background())
	return t
}

// Addr returns the address that the Transport listens on.
func (t *Transport) Addr() net.Addr { return t.listener.Addr() }

// now returns the time since the start, in nanoseconds; it is never 0.
func (t *Transport) now() int64 { return int64(time.Since(t.start)) + 1 }

func (t *Transport) wayTo(id holdfast.NodeID) way {
	return way{cluster: t.options.Cluster, from: t.options.Node, to: id}
}

// SetPeers replaces the peers. This node itself is left out. Connections to peers that aren't any
// more, or whose address or name has changed, are dropped. Until it is called first, nodes that
// dial this one wait.
func (t *Transport) SetPeers(peers map[holdfast.NodeID]Peer) {
	t.change.Lock()
	defer t.change.Unlock()
	old := *t.peers.Load()
	next := make(map[holdfast.NodeID]*peer, len(peers))
	var began []*peer
	for id, with := range peers {
		switch was := old[id]; {
		case id == t.options.Node || id == 0:
		case was != nil && was.Peer == with:
			next[id] = was
		default:
			next[id] = t.newPeer(id, with)
			if was != nil {
				next[id].heard.Store(was.heard.Load())
			}
			began = append(began, next[id])
		}
	}
	if t.ctx.Err() != nil {
		return
	}
	t.peers.Store(&next)
	select {
	case <-t.introduced:
	default:
		close(t.introduced)
	}
	for id, was := range old {
		if next[id] != was {
			was.stop()
		}
	}
	for _, p := range began {
		t.running.Go(p.keepConnected)
	}
}

// Send sends a message to a peer, or drops and counts it: see the package. It doesn't block, and
// has copied the body when it returns. From is this node, whatever m says.
func (t *Transport) Send(m Message) {
	c, err := t.connTo(m.To, len(m.Body))
	if err != nil {
		t.counters.away.Add(1)
		return
	}
	f := frame{typ: frameMessage, kind: m.Kind, way: c.way, shard: m.Shard, body: m.Body}
	switch _, how := c.out.add(&f); how {
	case full:
		t.counters.full.Add(1)
	case gone:
		t.counters.away.Add(1)
	}
}

// Call sends a request to a peer and returns its answer, which the caller owns. The body may be
// changed when Call has returned. What errors mean is said at the package. From is this node,
// whatever m says.
func (t *Transport) Call(ctx context.Context, m Message) ([]byte, error) {
	c, err := t.connTo(m.To, len(m.Body))
	if err != nil {
		t.counters.away.Add(1)
		return nil, err
	}
	return c.call(ctx, &m)
}

// connTo returns the connection on which a message or request goes to a peer.
func (t *Transport) connTo(id holdfast.NodeID, bodyBytes int) (*conn, error) {
	p, err := t.peerOf(id, bodyBytes)
	if err != nil {
		return nil, err
	}
	c := p.out.Load()
	if c == nil {
		return nil, holdfast.Errorf(holdfast.Refused, "there is no connection to node %d: nothing was changed", id)
	}
	return c, nil
}

// peerOf returns the peer to which a body is to go.
func (t *Transport) peerOf(id holdfast.NodeID, bodyBytes int) (*peer, error) {
	if t.ctx.Err() != nil {
		return nil, holdfast.Errorf(holdfast.Closed, "the node is stopping: nothing was changed")
	}
	if bodyBytes > t.limits.body {
		return nil, holdfast.Errorf(holdfast.Invalid, "a body of %d bytes; it may have %d", bodyBytes, t.limits.body)
	}
	p := (*t.peers.Load())[id]
	if p == nil {
		return nil, holdfast.Errorf(holdfast.NotFound, "node %d is no peer of node %d", id, t.options.Node)
	}
	return p, nil
}

// Heard returns when anything was last received from a peer, pings too; the zero time: never.
func (t *Transport) Heard(id holdfast.NodeID) time.Time {
	if p := (*t.peers.Load())[id]; p != nil {
		if at := p.heard.Load(); at != 0 {
			return t.start.Add(time.Duration(at))
		}
	}
	return time.Time{}
}

// Close drops all connections, and returns when no goroutine of the Transport runs any more: calls
// of Receive and Answer have ended, too.
func (t *Transport) Close() error {
	t.change.Lock()
	t.end()
	t.change.Unlock()
	err := t.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil // a second Close
	}
	for _, p := range *t.peers.Load() {
		p.stop()
	}
	t.running.Wait()
	return err
}

// pulse has all connections checked, and pings sent, until Close.
func (t *Transport) pulse() {
	timer := pulse.New(t.limits.ping)
	defer timer.Stop()
	last := t.now()
	for {
		select {
		case <-t.ctx.Done():
			return
		case <-timer.C:
			timer.Again()
		}
		now := t.now()
		t.tick(last, now)
		last = now
	}
}

// tick checks all connections. last is when it was called before.
func (t *Transport) tick(last, now int64) {
	// If this process itself was stopped or starved, what the peers have sent meanwhile hasn't been
	// read yet. Their connections are given until the next tick.
	if now-last > 2*int64(t.limits.ping) {
		return
	}
	for _, p := range *t.peers.Load() {
		for _, c := range p.conns() {
			c.check(now)
		}
	}
}
