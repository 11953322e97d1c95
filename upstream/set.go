package upstream

import (
	"iter"
	"log/slog"
	"maps"

	"holdfast/journal"
)

// A Set is the upstreams of a router, each with a count of its uses: by members of pools, in the
// trees that are not released yet. It isn't safe for concurrent use.
type Set struct {
	lanes      []*Lane
	log        *slog.Logger
	clock      Clock
	byIdentity map[Identity]*Upstream
	ids        int // of upstreams, made so far
}

// NewSet returns an empty set, whose upstreams have links from the lanes.
func NewSet(lanes []*Lane, log *slog.Logger, clock Clock) *Set {
	return &Set{lanes: lanes, log: log, clock: clock, byIdentity: map[Identity]*Upstream{}}
}

// Use returns the upstream with this identity, with one use more; nil if there is none.
func (s *Set) Use(id Identity) *Upstream {
	d := s.byIdentity[id]
	if d != nil {
		d.uses++
	}
	return d
}

// Add makes an upstream that isn't in the set, with one use. It has an outage if it has a journal,
// and is down then if that has something that it missed: see StartProbing. The marker may be nil.
func (s *Set) Add(id Identity, o Settings, j *journal.Journal, marker Marker) *Upstream {
	d := &Upstream{Identity: id, Settings: o, log: s.log, clock: s.clock, lanes: s.lanes, uses: 1}
	d.closed = make(chan struct{})
	d.id = s.ids // never used again: a batch of an old tree may still go by it
	s.ids++
	d.upSince.Store(s.clock.Now().UnixNano())
	d.Owed.of = d
	if j != nil {
		d.Outage = &Outage{of: d, journal: j, marker: marker}
		if j.InOutage() {
			d.downAt = s.clock.Now()
			d.state.Store(StateDown)
		}
	}
	s.byIdentity[id] = d
	return d
}

// Release gives one use of the upstream back. With the last one it is closed: its probes end, and
// its links once they have brought what is in line.
func (s *Set) Release(d *Upstream) {
	if d.uses--; d.uses > 0 {
		return
	}
	close(d.closed)
	delete(s.byIdentity, d.Identity)
	for _, l := range s.lanes {
		l.loop.Post(func() { l.drop(d) })
	}
}

// All returns the upstreams in no order.
func (s *Set) All() iter.Seq[*Upstream] { return maps.Values(s.byIdentity) }
