package pulse

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestUntil(t *testing.T) {
	const every = 800 * time.Millisecond
	for _, test := range []struct{ now, want time.Duration }{
		{0, every},
		{time.Millisecond, every - time.Millisecond},
		{every / 2, every / 2},
		{every - 100*time.Millisecond, 100 * time.Millisecond},
		{every - 99*time.Millisecond, every + 99*time.Millisecond}, // the timer was early
		{every - time.Nanosecond, every + time.Nanosecond},
		{7 * every, every},
	} {
		if got := Until(time.Unix(0, int64(test.now)), every); got != test.want {
			t.Errorf("at %v: got %v; want %v", test.now, got, test.want)
		}
	}
}

// Work with several intervals, begun at any times, is due at the same moments, and misses none.
func TestMoments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		moments, fired := map[time.Time]bool{}, 0
		var timers []*Timer
		for _, every := range []time.Duration{200 * time.Millisecond, time.Second, 500 * time.Millisecond} {
			time.Sleep(37 * time.Millisecond)
			timers = append(timers, New(every))
		}
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
			var of *Timer
			select {
			case <-timers[0].C:
				of = timers[0]
			case <-timers[1].C:
				of = timers[1]
			case <-timers[2].C:
				of = timers[2]
			}
			of.Again()
			moments[time.Now()] = true
			fired++
		}
		if fired < 50+10+20-2 || len(moments) > 61 {
			t.Errorf("got %d times of work at %d moments; want 80 at 60", fired, len(moments))
		}
	})
}
