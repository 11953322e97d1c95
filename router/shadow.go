package router

import (
	"math"
	"sync/atomic"

	"holdfast/mc"
	"holdfast/ring"
	"holdfast/route"
)

// shadow sends a share of the requests to further routes too, whose answers nobody waits for.
type shadow struct {
	target forwarder
	copies []*shadowed
}

// A shadowed is where copies go, and which.
type shadowed struct {
	target      forwarder
	from, to    uint32          // of the keys, by their hash
	keys        map[string]bool // these alone; nil goes by the hash
	share       uint64          // of the requests, of 1<<32
	ring        *ring.Ring      // the owners of the target's keys; nil if the copies are of all members' requests
	first, last int             // the members
	limit       int64           // of open; beyond, the shadow gets no copies
	open        atomic.Int64
}

// newShadowed is without the members.
func newShadowed(target forwarder, o *route.Shadow) *shadowed {
	s := &shadowed{target: target, to: math.MaxUint32, share: 1 << 32, limit: int64(o.MaxInFlight)}
	if len(o.KeyFraction) == 2 { // the ends are truncated, and both belong to it, as in mcrouter's ShadowSettings.cpp
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
