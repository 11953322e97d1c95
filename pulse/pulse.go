// Package pulse has the periodic work of a process begin at the same moments: those of the wall
// clock's time that are multiples of its interval. A process that has nothing else to do wakes for
// all of it at once, which costs little more than waking for one: timers that begin anywhere wake it
// for each, and waking is what an idle process spends most on. The processes of a cluster send each
// other what is periodic in the same moments, as far as their clocks agree, so that what arrives
// finds a process awake. Nothing depends on that.
package pulse

import "time"

// A Timer says when an interval has passed. It is used by one goroutine.
type Timer struct {
	*time.Timer               // its channel has an element when the interval has passed
	every       time.Duration // the interval
}

// New returns a Timer for the first interval.
func New(every time.Duration) *Timer {
	return &Timer{time.NewTimer(Until(time.Now(), every)), every}
}

// Again begins the next interval, once the channel's element was taken. Intervals that were missed
// meanwhile are left out.
func (t *Timer) Again() { t.Reset(Until(time.Now(), t.every)) }

// Until returns how long it is from now to the next beginning of an interval, but to the one after
// that if that is almost now: the wall clock may be a little behind the clock of timers, and would have
// the same moment come twice.
func Until(now time.Time, every time.Duration) time.Duration {
	left := every - time.Duration(now.UnixNano()%int64(every))
	if left < every/8 {
		left += every
	}
	return left
}
