package node

import (
	"math/rand/v2"
	"testing"
	"time"

	"holdfast"
	"holdfast/group"
)

// The marks say of a replica at least for how long it has lacked something, and not much more: as
// much as they are apart there. There are few of them, however long a replica is away.
func TestLagMarks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	start := time.Unix(1e9, 0)
	for range 200 {
		var marks lagMarks
		now, committed := start, uint64(rng.IntN(100))
		last := map[uint64]time.Time{} // by entry: when it was seen as the newest one last
		var seen []uint64
		match := committed
		for range rng.IntN(400) {
			now = now.Add(time.Duration(1+rng.IntN(3)) * time.Second)
			if rng.IntN(3) > 0 {
				committed += uint64(1 + rng.IntN(50))
			}
			if match < committed && rng.IntN(20) == 0 {
				match += uint64(rng.IntN(int(committed-match) + 1))
			}
			marks = marks.observe(committed, now).upTo(match)
			last[committed] = now
			seen = append(seen, committed)
			if len(marks) > maxLagMarks {
				t.Fatalf("got %d marks; want at most %d", len(marks), maxLagMarks)
			}

			truth := time.Duration(0)
			if match < committed {
				at := start
				for _, index := range seen {
					if index <= match {
						at = last[index]
					}
				}
				truth = now.Sub(at)
			}
			got, more := marks.lag(match, now)
			if more != (match < seen[0]) {
				t.Fatalf("got %v, %v for an entry %d, with marks from %d on", got, more, match, seen[0])
			}
			if !more && (got < truth || (got == 0) != (match >= committed)) {
				t.Fatalf("got %v, %v for an entry %d of %d; want at least %v", got, more, match, committed, truth)
			}
			if len(seen) < maxLagMarks && got != truth && !more {
				t.Fatalf("got %v while no mark is left out; want %v", got, truth)
			}
			if got > 4*truth+time.Minute {
				t.Fatalf("got %v; want about %v", got, truth)
			}
		}
	}
}

// A replica that was behind when this node began to lead may have been so for longer.
func TestLagBeforeTheReign(t *testing.T) {
	l, now := newLags(), time.Unix(1e9, 0)
	status := func(match, applied uint64) *group.Status {
		return &group.Status{Committed: 10, Applied: applied, Match: map[holdfast.NodeID]uint64{1: 10, 2: match}}
	}
	l.observe(1, status(4, 10), now, 0)
	now = now.Add(3 * time.Second)
	l.observe(1, status(4, 10), now, 0)
	if got, more := l.behind(1, 4, now.Add(time.Second)); got != 4*time.Second || !more {
		t.Errorf("got %v, %v; want more than four seconds", got, more)
	}
	if got, more := l.behind(1, 10, now); got != 0 || more {
		t.Errorf("got %v, %v; want that it isn't behind", got, more)
	}
	l.observe(1, &group.Status{Committed: 10, Applied: 10}, now, 0) // another node leads
	if got, more := l.behind(1, 4, now); got != 0 || more || len(l.marks) != 0 {
		t.Errorf("got %v, %v; want that nothing is known", got, more)
	}
}

// A replica that falls behind when its group wakes is behind since then, and not since the group fell
// asleep.
func TestLagAfterASleep(t *testing.T) {
	l, now := newLags(), time.Unix(1e9, 0)
	status := func(committed, match uint64) *group.Status {
		return &group.Status{Committed: committed, Applied: committed,
			Match: map[holdfast.NodeID]uint64{1: committed, 2: match}}
	}
	present := map[holdfast.ShardID]*group.Status{1: status(10, 10)}
	is := func(id holdfast.ShardID) *group.Status { return present[id] }
	awake := []holdfast.ShardID{1}
	l.look(awake, is, now)
	for range 3600 {
		now = now.Add(time.Second)
		l.look(nil, is, now)
	}
	present[1] = status(11, 10)
	now = now.Add(time.Second)
	l.look(awake, is, now)
	if got, more := l.behind(1, 10, now); got != time.Second || more {
		t.Errorf("got %v, %v; want a second", got, more)
	}
	for range 10 {
		now = now.Add(time.Second)
		l.look(awake, is, now)
	}
	if got, more := l.behind(1, 10, now); got != 11*time.Second || more {
		t.Errorf("got %v, %v; want eleven seconds", got, more)
	}

	// Somebody asks while the group sleeps, and it wakes before the next look.
	present[1] = status(11, 11)
	l.look(awake, is, now)
	for range 60 {
		now = now.Add(time.Second)
		l.look(nil, is, now)
	}
	now = now.Add(time.Second / 2)
	l.observe(1, status(12, 11), now, 0)
	if got, more := l.behind(1, 11, now); got != time.Second/2 || more {
		t.Errorf("asked between looks: got %v, %v; want half a second", got, more)
	}

	delete(present, 1)
	l.look(awake, is, now)
	if len(l.marks) != 0 {
		t.Error("got marks of a replica that was stopped")
	}
}

// A replica stands still while it applies nothing of what is committed.
func TestStandingStill(t *testing.T) {
	l, now := newLags(), time.Unix(1e9, 0)
	for _, step := range []struct {
		applied uint64
		want    time.Duration
	}{{7, 0}, {7, time.Second}, {7, 2 * time.Second}, {8, 0}, {8, time.Second}, {10, 0}, {10, 0}, {9, 0}} {
		l.observe(1, &group.Status{Committed: 10, Applied: step.applied}, now, 0)
		if got := l.still(1, now); got != step.want {
			t.Errorf("at entry %d: got %v; want %v", step.applied, got, step.want)
		}
		now = now.Add(time.Second)
	}
	l.forget(1)
	if len(l.stands) != 0 || len(l.marks) != 0 {
		t.Errorf("got %v and %v of replicas that are gone; want nothing", l.stands, l.marks)
	}
}
