package node

import (
	"bytes"
	"context"
	"errors"
	"slices"
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

// unexecuted are the kinds of errors after which a request may be sent again: it wasn't executed, and
// another node may lead by now. Overloaded isn't one of them, since repeating would add to the load.
var unexecuted = []holdfast.Kind{holdfast.NotLeader, holdfast.Refused, holdfast.NotFound, holdfast.Closed}

// A forwarder has requests executed by the node that leads. It is dynamodb.Peers.
type forwarder struct {
	self   holdfast.NodeID
	leads  func() bool            // the tables of this node lead
	leader func() holdfast.NodeID // the node that leads the group of the catalog; 0: none is known
	call   func(ctx context.Context, to holdfast.NodeID, request []byte) ([]byte, error)
	answer func(ctx context.Context, request []byte) ([]byte, error) // by this node; owns the request

	forwarded, repeated, failed atomic.Uint64 // requests; requests that were sent again; that weren't answered
}

func (f *forwarder) init(m *member) {
	f.self = m.is.Node
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

// Leads implements dynamodb.Peers.
func (f *forwarder) Leads() bool { return f.leads() }

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
	switch leader := f.leader(); {
	case leader == 0:
		return nil, holdfast.Errorf(holdfast.Refused, "nothing was changed: no node is known to lead")
	case leader != f.self:
		return f.call(ctx, leader, request)
	case !f.leads():
		return nil, holdfast.Errorf(holdfast.NotLeader, "nothing was changed: node %d is about to lead", f.self)
	}
	return f.answer(ctx, bytes.Clone(request))
}
