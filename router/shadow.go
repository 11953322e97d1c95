package router

import (
	"sync/atomic"

	"holdfast/mc"
	"holdfast/ring"
)

// shadow sends a share of the requests to further routes too, whose answers nobody waits for.
type shadow struct {
	target route
	copies []*shadowed
}

// maxShadowed is how many requests a shadow may owe an answer to; beyond, it gets no more.
const maxShadowed = 10_000

// A shadowed is where copies go, and which.
type shadowed struct {
	to          route
	from, below float64    // of the keys, by their hash
	ring        *ring.Ring // the owners of the target's keys; nil if the copies are of all members' requests
	first, last int        // the members
	open        atomic.Int64
}

func (s *shadow) serve(l *lane, q *query) {
	var own *mc.Request
	for _, to := range s.copies {
		if !to.wants(q.request.Key) || to.open.Load() >= maxShadowed {
			continue
		}
		if own == nil {
			own = detach(q.request)
		}
		to.open.Add(1)
		c := &counted{outer: &query{taker: nobody{}}, count: &to.open}
		c.request, c.taker = own, c
		to.to.serve(l, &c.query)
	}
	s.target.serve(l, q)
}

func (s *shadowed) wants(key []byte) bool {
	if at := spreadOf(key).fraction(); at < s.from || at >= s.below {
		return false
	}
	if s.ring == nil {
		return true
	}
	owner := s.ring.Owner(key)
	return owner >= s.first && owner <= s.last
}
