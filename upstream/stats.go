package upstream

// Stats are an upstream's counts since it was first used.
type Stats struct {
	State      State
	Pending    int // requests that it owes an answer to
	Requests   int64
	Results    []int64 // by Result; nil if no lane has sent anything
	Connects   int64
	Downs      int64
	Probes     int64
	SoftErrors int64 // time-outs in a row
	Links      LinkStats
	Journal    JournalStats // of an upstream that has one
}

// LinkStats are the connections to an upstream: there may be so many from each event loop.
type LinkStats struct {
	New    int64 // that were never made
	Open   int64
	Closed int64
}

// JournalStats are what an upstream has missed and that has not been deleted on it yet.
type JournalStats struct {
	Keys  int
	Bytes int64
	Cut   bool // it will be flushed instead
}

// Stats may be called on any goroutine. It takes each lane's lock for a moment.
func (d *Upstream) Stats() Stats {
	s := Stats{
		State: d.State(), Connects: d.counters.connects.Load(), Downs: d.counters.downs.Load(),
		Probes: d.counters.probes.Load(), SoftErrors: int64(d.soft.Load()),
	}
	if d.Outage != nil {
		j := d.Outage.journal.Stats()
		s.Journal.Keys, s.Journal.Bytes = j.Keys, j.Bytes
		s.Journal.Cut, _ = d.Outage.journal.Cut()
	}
	for _, l := range d.lanes {
		l.Lock()
		for _, k := range l.linksTo(d) {
			k.addTo(&s)
		}
		l.Unlock()
	}
	s.Links.New = int64(len(d.lanes)*d.Settings.Links) - s.Links.Open - s.Links.Closed
	return s
}

// addTo adds the link's counts. The lane is locked.
func (k *link) addTo(s *Stats) {
	s.Requests += k.requests
	s.Pending += k.pending.len()
	if k.conn != nil {
		s.Links.Open++
	} else if k.requests > 0 {
		s.Links.Closed++
	}
	if s.Results == nil {
		s.Results = make([]int64, len(k.results))
	}
	for result, n := range k.results {
		s.Results[result] += n
	}
}
