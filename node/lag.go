package node

import (
	"context"
	"sync"
	"time"

	"holdfast"
	"holdfast/group"
)

// How often the groups are looked at for how far their replicas are behind, and the marks that are
// kept of each.
const (
	lagEvery    = time.Second
	maxLagMarks = 32
)

// A lagMark says that a leader's newest committed entry was this one, as far as it was looked at.
type lagMark struct {
	index       uint64
	first, last time.Time // when it was
}

// lagMarks say of a group when its leader had committed what. They are for how long a replica is
// behind: that is the time since the replica's newest entry was the newest one that was committed.
// Entries have times, but those of their leaders' clocks, and most have none.
//
// The older marks are, the farther they are apart, so that 32 are enough for a replica that is away
// for days.
type lagMarks []lagMark // by rising index

// observe notes what is committed at a time.
func (l lagMarks) observe(committed uint64, at time.Time) lagMarks {
	if n := len(l); n > 0 && l[n-1].index >= committed {
		l[n-1].last = at
		return l
	}
	if len(l) == maxLagMarks {
		l = l.thinned()
	}
	return append(l, lagMark{committed, at, at})
}

// thinned leaves out every second mark of the older half, but not the oldest.
func (l lagMarks) thinned() lagMarks {
	var kept lagMarks
	for i, m := range l {
		if i >= len(l)/2 || i%2 == 0 {
			kept = append(kept, m)
		}
	}
	return kept
}

// lag returns for how long a replica has lacked what is committed, which has the log up to match on
// its disk. more: it may be longer, since this node hasn't led for longer.
func (l lagMarks) lag(match uint64, now time.Time) (behind time.Duration, more bool) {
	if len(l) == 0 || match >= l[len(l)-1].index {
		return 0, false
	}
	for i := len(l) - 1; i >= 0; i-- {
		if l[i].index <= match {
			return now.Sub(l[i].last), false
		}
	}
	return now.Sub(l[0].first), true
}

// upTo leaves out the marks that nobody needs whose log is up to match.
func (l lagMarks) upTo(match uint64) lagMarks {
	for len(l) > 1 && l[1].index <= match {
		l = l[1:]
	}
	return l
}

// A standing is since when a replica hasn't applied anything, although there is something.
type standing struct {
	applied uint64
	since   time.Time
}

// lags are how long replicas are behind: those of groups that this node leads, and its own.
type lags struct {
	mu     sync.Mutex // guards marks and stands
	marks  map[holdfast.ShardID]lagMarks
	stands map[holdfast.ShardID]standing

	end     context.CancelFunc // nil: nothing runs
	running sync.WaitGroup
}

func newLags() *lags {
	return &lags{marks: map[holdfast.ShardID]lagMarks{}, stands: map[holdfast.ShardID]standing{}}
}

// follow begins to look at the replicas.
func (l *lags) follow(all func() []placed) {
	ctx, end := context.WithCancel(context.Background())
	l.end = end
	l.running.Go(func() {
		tick := time.NewTicker(lagEvery)
		defer tick.Stop()
		for {
			select {
			case now := <-tick.C:
				l.look(all(), now)
			case <-ctx.Done():
				return
			}
		}
	})
}

// stop ends that.
func (l *lags) stop() {
	if l.end != nil {
		l.end()
		l.running.Wait()
	}
}

// look observes all replicas of the node, and forgets others.
func (l *lags) look(all []placed, now time.Time) {
	is := map[holdfast.ShardID]bool{}
	for _, r := range all {
		is[r.id] = true
		if r.Asleep() {
			l.rest(r.id, now)
			continue
		}
		s := r.Status()
		l.observe(r.id, &s, now)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.marks {
		if !is[id] {
			delete(l.marks, id)
		}
	}
	for id := range l.stands {
		if !is[id] {
			delete(l.stands, id)
		}
	}
}

// observe notes the state of a replica at a time.
func (l *lags) observe(id holdfast.ShardID, s *group.Status, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.Match == nil {
		delete(l.marks, id)
	} else {
		marks := l.marks[id].observe(s.Committed, now)
		least := s.Committed
		for _, of := range []map[holdfast.NodeID]uint64{s.Match, s.Learning} {
			for _, match := range of {
				least = min(least, match)
			}
		}
		l.marks[id] = marks.upTo(least)
	}
	if s.Applied >= s.Committed {
		delete(l.stands, id)
	} else if was, ok := l.stands[id]; !ok || was.applied != s.Applied {
		l.stands[id] = standing{s.Applied, now}
	}
}

// rest notes that nothing has changed in a group since it was observed: it sleeps.
func (l *lags) rest(id holdfast.ShardID, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if marks := l.marks[id]; len(marks) > 0 {
		marks[len(marks)-1].last = now
	}
}

// behind returns for how long a replica of a group that this node leads is behind.
func (l *lags) behind(id holdfast.ShardID, match uint64, now time.Time) (d time.Duration, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.marks[id].lag(match, now)
}

// still returns for how long this node's replica has applied nothing, although there is something.
func (l *lags) still(id holdfast.ShardID, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s, ok := l.stands[id]; ok {
		return now.Sub(s.since)
	}
	return 0
}
