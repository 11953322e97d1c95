package router

import (
	"fmt"

	"holdfast/upstream"
)

// PoolStats are the counts of a pool's members since they were first used.
type PoolStats struct {
	Name    string
	Members []MemberStats
}

// MemberStats are the counts of one member.
type MemberStats struct {
	Name     string
	Address  string
	State    string // up, down, returning
	Pending  int    // requests that it has not answered yet
	Requests int64
	Results  map[string]int64 // by the name of the result
	Connects int64
	Downs    int64
	Probes   int64
	Lanes    upstream.LinkStats // its connections

	SoftErrors int64 // time-outs in a row

	Journal upstream.JournalStats // of a member that has one
	Refill  RefillStats           // of a replicated pool's member
}

// RefillStats are the progress of a member that came back and is being filled.
type RefillStats struct {
	Cold   bool  // its misses are looked up on other members
	Begun  int64 // how often filling has begun
	Listed int64 // keys in the last list
	Tried  int64 // keys of that list that were looked up
	Filled int64 // items that it got, of all lists
}

// Pools returns the counts of all pools. It may be called on any goroutine, and takes each lane's
// lock briefly.
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
	s := MemberStats{Name: m.name, Address: cacheAddress, State: upstream.StateUp.String(), Results: map[string]int64{}}
	if m.to == nil {
		return s
	}
	of := m.to.Stats()
	s.Address, s.State = m.to.Address, of.State.String()
	s.Pending, s.Requests, s.Lanes = of.Pending, of.Requests, of.Links
	s.Connects, s.Downs, s.Probes, s.SoftErrors = of.Connects, of.Downs, of.Probes, of.SoftErrors
	s.Journal = of.Journal
	for i, n := range of.Results {
		s.Results[upstream.Result(i).String()] = n
	}
	if f := m.refill; f != nil {
		s.Refill = RefillStats{f.cold.Load(), f.begun.Load(), f.listed.Load(), f.tried.Load(), f.filled.Load()}
	}
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
			for r := upstream.Hit; r <= upstream.Closed; r++ {
				dst = fmt.Appendf(dst, "%s%s %d\r\n", head, r, m.Results[r.String()])
			}
		}
	}
	return dst
}
