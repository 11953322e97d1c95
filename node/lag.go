package node

import (
	"context"
	"sync"
	"time"

	"holdfast"
	"holdfast/group"
	"holdfast/pulse"
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

// lags are how long replicas are behind: those of groups that this node leads, and its own. A look
// observes the replicas that are awake. Nothing of the others is touched, which don't change: that
// one slept at a look is noted when it is observed again.
type lags struct {
	mu     sync.Mutex // guards what follows
	marks  map[holdfast.ShardID]*marked
	stands map[holdfast.ShardID]standing
	looks  int       // so many looks have ended
	looked time.Time // when the last of them was

	end     context.CancelFunc // nil: nothing runs
	running sync.WaitGroup
}

// A marked is a group that this node leads, with its marks.
type marked struct {
	lagMarks
	look int // the last look by which it was observed
}

func newLags() *lags {
	return &lags{marks: map[holdfast.ShardID]*marked{}, stands: map[holdfast.ShardID]standing{}}
}

// follow begins to look at the replicas.
func (l *lags) follow(rs *replicas) {
	ctx, end := context.WithCancel(context.Background())
	l.end = end
	l.running.Go(func() {
		tick := pulse.New(lagEvery)
		defer tick.Stop()
		for {
			select {
			case now := <-tick.C:
				tick.Again()
				l.look(group.Awake(rs.host), rs.status, now)
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

// look observes the replicas that are awake. status returns the state of one; nil: it was stopped.
func (l *lags) look(awake []holdfast.ShardID, status func(holdfast.ShardID) *group.Status, now time.Time) {
	for _, id := range awake {
		if s := status(id); s != nil {
			l.observe(id, s, now, 1)
		}
		if status(id) == nil { // maybe only now, and was forgotten before it was observed
			l.forget(id)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looks++
	l.looked = now
}

// observe notes the state of a replica at a time. ahead is 1 in a look, which hasn't ended yet, and 0
// otherwise.
func (l *lags) observe(id holdfast.ShardID, s *group.Status, now time.Time, ahead int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.Match == nil {
		delete(l.marks, id)
	} else {
		m := l.marks[id]
		switch {
		case m == nil:
			m = &marked{}
			l.marks[id] = m
		case m.look < l.looks: // it slept at the last look
			m.rest(l.looked)
		}
		least := s.Committed
		for _, of := range []map[holdfast.NodeID]uint64{s.Match, s.Learning} {
			for _, match := range of {
				least = min(least, match)
			}
		}
		m.lagMarks = m.lagMarks.observe(s.Committed, now).upTo(least)
		m.look = max(m.look, l.looks+ahead)
	}
	if s.Applied >= s.Committed {
		delete(l.stands, id)
	} else if was, ok := l.stands[id]; !ok || was.applied != s.Applied {
		l.stands[id] = standing{s.Applied, now}
	}
}

// rest notes that nothing has changed until a time.
func (l lagMarks) rest(until time.Time) { l[len(l)-1].last = until }

// forget forgets a replica that was stopped.
func (l *lags) forget(id holdfast.ShardID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.marks, id)
	delete(l.stands, id)
}

// behind returns for how long a replica of a group that this node leads is behind.
func (l *lags) behind(id holdfast.ShardID, match uint64, now time.Time) (d time.Duration, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.marks[id]; m != nil {
		return m.lag(match, now)
	}
	return 0, false
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
