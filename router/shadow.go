package router

import (
	"math"
	"sync/atomic"

	"holdfast/mc"
	"holdfast/ring"
	"holdfast/route"
)

// shadow sends copies of a share of the requests to further routes, whose answers are dropped.
type shadow struct {
	target forwarder
	copies []*shadowed
}

// A shadowed is a route that gets copies, and the choice of the requests that are copied.
type shadowed struct {
	target      forwarder
	from, to    uint32          // the first and the last hash of the keys
	keys        map[string]bool // these keys alone; nil: the hash decides
	share       uint64          // of the requests, of 1<<32
	ring        *ring.Ring      // the owners of the target's keys; nil: requests to all members are copied
	first, last int             // the members whose requests are copied, with ring
	limit       int64           // the largest value of open
	open        atomic.Int64    // copies in flight
}

// newShadowed returns a shadowed without the choice of members.
func newShadowed(target forwarder, o *route.Shadow) *shadowed {
	s := &shadowed{target: target, to: math.MaxUint32, share: 1 << 32, limit: int64(o.MaxInFlight)}
	if len(o.KeyFraction) == 2 { // the ends are truncated and inclusive, as in mcrouter's ShadowSettings.cpp
		s.from, s.to = uint32(o.KeyFraction[0]*math.MaxUint32), uint32(o.KeyFraction[1]*math.MaxUint32)
	}
	if o.Requests > 0 {
		s.share = uint64(o.Requests * (1 << 32))
	}
	for _, key := range o.Keys {
		if s.keys == nil {
			s.keys = map[string]bool{}
		}
		s.keys[key] = true
	}
	return s
}

func (s *shadow) forward(l *lane, q *query) {
	var own *mc.Request
	for _, to := range s.copies {
		if !to.wants(l, q.request.Key) || to.open.Load() >= to.limit {
			continue
		}
		if own == nil {
			own = detach(q.request)
		}
		to.open.Add(1)
		c := &counted{outer: &query{taker: discard{}}, count: &to.open}
		c.request, c.taker = own, c
		to.target.forward(l, &c.query)
	}
	s.target.forward(l, q)
}

func (s *shadowed) wants(l *lane, key []byte) bool {
	return s.wantsKey(key) && (s.share >= 1<<32 || l.rand()>>32 < s.share)
}

func (s *shadowed) wantsKey(key []byte) bool {
	if s.keys != nil {
		return s.keys[string(ring.SharedPart(key))]
	}
	if s.from > 0 || s.to < math.MaxUint32 {
		if at := ring.SharedHash(key); at < s.from || at > s.to {
			return false
		}
	}
	if s.ring == nil {
		return true
	}
	owner := s.ring.Owner(key)
	return owner >= s.first && owner <= s.last
}
