package node

import (
	"context"
	"sync"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/rpc"
	"holdfast/session"
)

// The requests about sessions, by the first byte of their body. The rest is the session's name.
const (
	askLease = 'l' // of the leading node
	askClaim = 'c' // likewise
)

// sessions are this node's part in the sessions of its clients: what it keeps of them, and the leases
// that it gives while it leads.
type sessions struct {
	keeper  *session.Keeper
	grants  *session.Grants // nil: the node is alone
	leading forwarder       // of requests about sessions; used in a cluster

	end     context.CancelFunc
	running sync.WaitGroup
}

// newSessions returns the sessions of a node; m is nil if it is alone.
func newSessions(m *member, leads func() bool, now func() time.Time) *sessions {
	s := &sessions{}
	options := session.Options{Now: now}
	if m != nil {
		options.Peers, options.Now = s, time.Now
		s.lead(m, leads)
	}
	s.keeper = session.New(options)
	ctx, end := context.WithCancel(context.Background())
	s.end = end
	s.running.Go(func() { s.keeper.Run(ctx) })
	return s
}

// lead prepares what the node does for the others while it leads.
func (s *sessions) lead(m *member, leads func() bool) {
	s.grants = session.NewGrants(session.GrantOptions{
		Lead: func() (uint64, error) {
			if r := m.replicas.of(catalog.ShardID); r != nil {
				return r.Lead()
			}
			return 0, holdfast.Errorf(holdfast.NotLeader, "nothing was changed: this node is starting")
		},
		Confirm: func(ctx context.Context) error {
			if r := m.replicas.of(catalog.ShardID); r != nil {
				return r.Read(ctx)
			}
			return holdfast.Errorf(holdfast.NotLeader, "nothing was changed: this node is starting")
		},
		Forget: func(ctx context.Context, node holdfast.NodeID, name string) error {
			if node == m.is.Node {
				s.keeper.Forget(name)
				return nil
			}
			_, err := m.transport.Call(ctx, rpc.Message{To: node, Kind: kindForget, Body: []byte(name)})
			return err
		},
	})
	f := &s.leading
	f.self, f.members, f.leads, f.leader = m.is.Node, m.forwarder.members, leads, m.forwarder.leader
	f.call = func(ctx context.Context, to holdfast.NodeID, request []byte) ([]byte, error) {
		return m.transport.Call(ctx, rpc.Message{To: to, Kind: kindSession, Body: request})
	}
	f.answer = func(ctx context.Context, request []byte) ([]byte, error) {
		return nil, s.answer(ctx, m.is.Node, request)
	}
}

// Lease implements session.Peers. A lease that comes late is of no use, so it isn't waited for.
func (s *sessions) Lease(ctx context.Context) error {
	ctx, end := context.WithTimeout(ctx, session.Lease)
	defer end()
	_, err := s.leading.once(ctx, []byte{askLease})
	return err
}

// Claim implements session.Peers.
func (s *sessions) Claim(ctx context.Context, name string) error {
	_, err := s.leading.Forward(ctx, append([]byte{askClaim}, name...))
	return err
}

// answer answers a request of a node about sessions. The error is NotLeader if this node doesn't lead.
func (s *sessions) answer(ctx context.Context, from holdfast.NodeID, request []byte) error {
	switch {
	case len(request) == 1 && request[0] == askLease:
		return s.grants.Lease(ctx, from)
	case len(request) > 1 && request[0] == askClaim:
		return s.grants.Claim(ctx, from, string(request[1:]))
	}
	return holdfast.Errorf(holdfast.Invalid, "no request about sessions begins like this: %.10q", request)
}

// stop ends what renews the lease. It may be called on nil.
func (s *sessions) stop() {
	if s == nil {
		return
	}
	s.end()
	s.running.Wait()
}
