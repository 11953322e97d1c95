package router

import (
	"holdfast/ring"
	"holdfast/route"
	"holdfast/upstream"
)

// A pool is a set of members that hold items together. Its route forwards a query to the member or
// members that are responsible for its key.
type pool struct {
	options *route.Pool
	members []*member
	route   forwarder

	replicated *replicated // behind route; nil if the pool is sharded
}

// A member is an upstream, or the cache of this process, in its role in a pool.
type member struct {
	name  string
	to    *upstream.Upstream // nil: the cache of this process
	route forwarder

	refill *refill // nil unless the pool is replicated and the member is an upstream
}

// An upstreamRoute forwards to one upstream, over a link of the lane.
type upstreamRoute struct{ to *upstream.Upstream }

func (m upstreamRoute) forward(l *lane, q *query) {
	var hash uint64
	if m.to.Links > 1 {
		hash = keyHash(q.request.Key)
	}
	q.lane = l
	l.Enqueue(m.to, hash, q.request, q)
}

// keyHash is FNV-1a with its halves mixed, for choices that no other process has to repeat.
func keyHash(key []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range key {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h ^ h>>32
}

func (m *member) up() bool { return m.to == nil || m.to.Up() }

// sharded forwards a query to the member that owns its key.
type sharded struct {
	ring    *ring.Ring
	members []*member
	kept    bool // keys have their /region/cluster/, without which they are placed
}

func (s *sharded) forward(l *lane, q *query) { s.owner(q.request.Key).route.forward(l, q) }

func (s *sharded) owner(key []byte) *member {
	if s.kept {
		key = withoutCluster(key)
	}
	return s.members[s.ring.Owner(key)]
}

// ejecting is a sharded pool that sends the keys of a member that is down to the others.
type ejecting struct{ sharded }

func (s *ejecting) forward(l *lane, q *query) {
	i := s.ring.OwnerAmong(q.request.Key, s.memberUp)
	if i < 0 {
		q.fail(l, upstream.Down, "no member is up")
		return
	}
	s.members[i].route.forward(l, q)
}

func (s *ejecting) memberUp(i int) bool { return s.members[i].up() }

// missOnError marks failed reads, so that the client gets a miss unless a route above finds a
// better answer: Pool.OnError.
type missOnError struct{ to forwarder }

func (m missOnError) forward(l *lane, q *query) {
	if !q.request.Op.Reads() {
		m.to.forward(l, q)
		return
	}
	m.to.forward(l, &query{request: q.request, taker: missTaker{q}})
}

type missTaker struct{ outer *query }

func (m missTaker) take(l *lane, _ *query, a *upstream.Answer) {
	if a.Result.Failed() {
		failure := *a
		failure.Missed = true
		a = &failure
	}
	m.outer.taker.take(l, m.outer, a)
}
