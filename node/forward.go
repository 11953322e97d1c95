package node

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/rpc"
)

// How long a request waits for a node that leads, and how often it looks for one.
const (
	forwardPatience = 1500 * time.Millisecond
	forwardEvery    = 20 * time.Millisecond
)

// leaderlessPatience is for how long after a leader was lost requests wait for another: a majority
// mostly elects one in that time. Those that come later are refused at once, until one leads.
const leaderlessPatience = 800 * time.Millisecond

// formerPatience is for how long a node that has lost its leadership is waited for. If it still
// runs, it finds out sooner what has become of what it was executing, or that this can't be known.
const formerPatience = 700 * time.Millisecond

// unexecuted are the kinds of errors after which a request may be sent again: it wasn't executed, and
// another node may lead by now. Overloaded isn't one of them, since repeating would add to the load.
var unexecuted = []holdfast.Kind{holdfast.NotLeader, holdfast.Refused, holdfast.NotFound, holdfast.Closed}

// A forwarder has requests executed by the node that leads. It is dynamodb.Peers.
type forwarder struct {
	self    holdfast.NodeID
	members func() []holdfast.NodeID
	leads   func() bool            // the tables of this node lead, whether it hands over or not
	leader  func() holdfast.NodeID // the node that leads the group of the catalog; 0: none is known
	call    func(ctx context.Context, to holdfast.NodeID, request []byte) ([]byte, error)
	answer  func(ctx context.Context, request []byte) ([]byte, error) // by this node; owns the request

	forwarded, repeated, failed atomic.Uint64 // requests; requests that were sent again; that weren't answered

	executing pause // requests that this node executes as the one that leads

	mu     sync.Mutex // guards what follows
	reign  *reign     // of the node that leads; nil: none is known
	former *reign     // the one before it; nil: none
	lost   time.Time  // when the leader was lost, if none is known; zero: none was known since the start
}

// A reign is the time in which a node leads. ctx ends formerPatience later.
type reign struct {
	leader holdfast.NodeID
	ctx    context.Context
	end    context.CancelCauseFunc
	over   *time.Timer // calls end; nil: the node leads
}

var errFormer = errors.New("it has lost the leadership")

func (f *forwarder) init(m *member) {
	f.self, f.members = m.is.Node, m.roster.members
	f.leader = func() holdfast.NodeID {
		if r := m.replicas.of(catalog.ShardID); r != nil {
			return r.Leader()
		}
		return 0
	}
	f.call = func(ctx context.Context, to holdfast.NodeID, request []byte) ([]byte, error) {
		return m.transport.Call(ctx, rpc.Message{To: to, Kind: kindRequest, Body: request})
	}
	f.answer = func(ctx context.Context, request []byte) ([]byte, error) {
		return m.handler.Load().Answer(ctx, request)
	}
}

// Begin implements dynamodb.Peers.
func (f *forwarder) Begin() bool {
	if !f.executing.begin() {
		return false
	}
	if !f.leads() {
		f.executing.done()
		return false
	}
	return true
}

// Done implements dynamodb.Peers.
func (f *forwarder) Done() { f.executing.done() }

// Forward implements dynamodb.Peers. While no node leads, or the one that does hasn't begun to serve,
// the request waits for a bounded time. It is sent again only if it wasn't executed for certain.
func (f *forwarder) Forward(ctx context.Context, request []byte) ([]byte, error) {
	f.forwarded.Add(1)
	response, err := f.forward(ctx, request)
	if err != nil {
		f.failed.Add(1)
	}
	return response, err
}

func (f *forwarder) forward(ctx context.Context, request []byte) ([]byte, error) {
	patience := time.NewTimer(forwardPatience)
	defer patience.Stop()
	for try := 0; ; try++ {
		response, err := f.once(ctx, request)
		if err == nil || !slices.ContainsFunc(unexecuted, func(k holdfast.Kind) bool { return errors.Is(err, k) }) {
			return response, err
		}
		if f.leaderless() > leaderlessPatience {
			return nil, err
		}
		if try == 0 {
			f.repeated.Add(1)
		}
		select {
		case <-time.After(forwardEvery):
		case <-patience.C:
			return nil, err
		case <-ctx.Done():
			return nil, err
		}
	}
}

// once has the node that leads execute a request.
func (f *forwarder) once(ctx context.Context, request []byte) ([]byte, error) {
	leader := f.leader()
	reign := f.observe(leader)
	switch {
	case reign == nil:
		return nil, holdfast.Errorf(holdfast.Refused, "nothing was changed: node %d knows no leader, so it isn't "+
			"connected to a majority of the nodes %v, or they haven't elected one yet: repeat the request, here or at "+
			"another node; \"holdfast status\" shows which nodes were heard", f.self, f.members())
	case leader != f.self:
		return f.ask(ctx, reign, request)
	case !f.leads():
		return nil, holdfast.Errorf(holdfast.NotLeader, "nothing was changed: node %d is about to lead", f.self)
	case f.executing.paused():
		return nil, holdfast.Errorf(holdfast.NotLeader, "nothing was changed: node %d hands over to another", f.self)
	}
	return f.answer(ctx, bytes.Clone(request))
}

// ask has another node execute a request. If that loses its leadership meanwhile, it may be one
// that doesn't run any more, though its connections are open.
func (f *forwarder) ask(ctx context.Context, r *reign, request []byte) ([]byte, error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	defer context.AfterFunc(r.ctx, func() { end(context.Cause(r.ctx)) })()
	return f.call(ctx, r.leader, request)
}

// observe notes which node leads, 0 if none is known, and returns its reign. It is called again and
// again, also while there are no requests.
func (f *forwarder) observe(leader holdfast.NodeID) *reign {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.reign
	switch {
	case was == nil && leader == 0:
		if f.lost.IsZero() {
			f.lost = time.Now()
		}
		return nil
	case was != nil && was.leader == leader:
		return was
	case was != nil:
		was.over = time.AfterFunc(formerPatience, func() { was.end(errFormer) })
		f.reign, f.former, f.lost = nil, was, time.Now()
	}
	if leader == 0 {
		return nil
	}
	if f.former != nil && f.former.leader == leader && f.former.over.Stop() {
		f.reign, f.former = f.former, nil // it was out of reach for a moment
		f.reign.over = nil
		return f.reign
	}
	f.reign = &reign{leader: leader}
	f.reign.ctx, f.reign.end = context.WithCancelCause(context.Background())
	return f.reign
}

// leaderless returns for how long no node has been known to lead; 0: one is.
func (f *forwarder) leaderless() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reign != nil || f.lost.IsZero() {
		return 0
	}
	return time.Since(f.lost)
}
