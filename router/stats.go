package router

import "fmt"

// PoolStats are the counts of a pool's members since they were first used.
type PoolStats struct {
	Name    string
	Members []MemberStats
}

// MemberStats are the counts of one member. Results are by the names of the results.
type MemberStats struct {
	Name     string
	Address  string
	State    string // up, down, returning
	Pending  int    // requests that it owes an answer to
	Requests int64
	Results  map[string]int64
	Connects int64
	Downs    int64
	Probes   int64
	Lanes    LinkStats // its connections

	SoftErrors int64 // time-outs in a row

	Journal JournalStats // of a member that has one
	Refill  RefillStats  // of a replicated pool's member
}

// LinkStats are a member's connections: there may be so many from each event loop.
type LinkStats struct {
	New    int64 // that were never made
	Open   int64
	Closed int64
}

// JournalStats are what a member has missed and not been told yet.
type JournalStats struct {
	Keys  int
	Bytes int64
	Cut   bool // it will be flushed instead
}

// RefillStats are how far a member is that came back and is being filled.
type RefillStats struct {
	Cold   bool  // its misses ask others
	Begun  int64 // how often it has been filled
	Listed int64 // keys of the last list
	Tried  int64 // of those
	Filled int64 // items that it got, in all
}

var stateNames = [...]string{stateUp: "up", stateDown: "down", stateReturning: "returning"}

// Pools are the counts of all pools. Any goroutine; it takes each lane's lock for a moment.
func (r *Router) Pools() []PoolStats {
	t := r.tree.Load()
	pools := make([]PoolStats, len(t.pools))
	for i, p := range t.pools {
		pools[i] = PoolStats{Name: p.options.Name, Members: make([]MemberStats, len(p.members))}
		for j, m := range p.members {
			pools[i].Members[j] = r.memberStats(m)
		}
	}
	return pools
}

func (r *Router) memberStats(m *member) MemberStats {
	s := MemberStats{Name: m.name, Address: cacheAddress, State: stateNames[stateUp], Results: map[string]int64{}}
	if m.to == nil {
		return s
	}
	d := m.to
	s.Address, s.State = d.address, stateNames[d.state.Load()]
	s.Connects, s.Downs, s.Probes = d.counters.connects.Load(), d.counters.downs.Load(), d.counters.probes.Load()
	s.SoftErrors = int64(d.soft.Load())
	if d.outage != nil {
		j := d.outage.journal.Stats()
		s.Journal.Keys, s.Journal.Bytes = j.Keys, j.Bytes
		s.Journal.Cut, _ = d.outage.journal.Cut()
	}
	if f := m.refill; f != nil {
		s.Refill = RefillStats{f.cold.Load(), f.begun.Load(), f.listed.Load(), f.tried.Load(), f.filled.Load()}
	}
	for _, l := range r.lanes {
		l.mu.Lock()
		if d.id < len(l.links) {
			for _, k := range l.links[d.id] {
				s.Requests += k.requests
				s.Pending += k.pending.len()
				if k.conn != nil {
					s.Lanes.Open++
				} else if k.requests > 0 {
					s.Lanes.Closed++
				}
				for result, n := range k.results {
					s.Results[resultNames[result]] += n
				}
			}
		}
		l.mu.Unlock()
	}
	s.Lanes.New = int64(len(r.lanes)*d.settings.links) - s.Lanes.Open - s.Lanes.Closed
	return s
}

func (r *Router) memberLines(dst []byte) []byte {
	for _, p := range r.Pools() {
		for _, m := range p.Members {
			head := fmt.Sprintf("STAT %s:%s:", p.Name, m.Name)
			dst = fmt.Appendf(dst, "%sstate %s\r\n%spending %d\r\n%srequests %d\r\n%sconnects %d\r\n%sdowns %d\r\n",
				head, m.State, head, m.Pending, head, m.Requests, head, m.Connects, head, m.Downs)
			dst = fmt.Appendf(dst, "%sjournal_keys %d\r\n%srefill_listed %d\r\n%srefill_tried %d\r\n%srefill_filled %d\r\n",
				head, m.Journal.Keys, head, m.Refill.Listed, head, m.Refill.Tried, head, m.Refill.Filled)
			for _, name := range resultNames {
				dst = fmt.Appendf(dst, "%s%s %d\r\n", head, name, m.Results[name])
			}
		}
	}
	return dst
}
