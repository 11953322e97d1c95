package discover

import "sync/atomic"

// Stats counts the lookups of a name. The zero value is ready.
type Stats struct {
	lookups  atomic.Int64
	failures atomic.Int64
	members  atomic.Int64
}

// Lookups returns the number of lookups.
func (s *Stats) Lookups() int64 { return s.lookups.Load() }

// Failures returns the number of lookups that failed or returned nothing.
func (s *Stats) Failures() int64 { return s.failures.Load() }

// Members returns the length of the last list.
func (s *Stats) Members() int { return int(s.members.Load()) }

func (s *Stats) count(members []Member, err error) {
	s.lookups.Add(1)
	if err != nil {
		s.failures.Add(1)
		return
	}
	s.members.Store(int64(len(members)))
}
