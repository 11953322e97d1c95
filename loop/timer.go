package loop

import (
	"container/heap"
	"time"
)

// A Timer is a call that Loop.After set for later.
type Timer struct {
	when  time.Time
	f     func()
	index int // in the heap; -1 once it has been called or stopped
}

// timers is a heap of timers, the next one first.
type timers []*Timer

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].when.Before(t[j].when) }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}

func (t *timers) Push(x any) {
	x.(*Timer).index = len(*t)
	*t = append(*t, x.(*Timer))
}

func (t *timers) Pop() any {
	last := len(*t) - 1
	x := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	return x
}

func (t *timers) add(when time.Time, f func()) *Timer {
	timer := &Timer{when: when, f: f}
	heap.Push(t, timer)
	return timer
}

func (t *timers) stop(timer *Timer) {
	if timer.index >= 0 {
		heap.Remove(t, timer.index)
		timer.index = -1
	}
}

// fire calls every timer that is due at now. Timers set meanwhile wait for the next round, so that
// one that sets itself again can't keep the loop.
func (t *timers) fire(now time.Time) {
	var due []*Timer
	for len(*t) > 0 && !(*t)[0].when.After(now) {
		timer := heap.Pop(t).(*Timer)
		timer.index = -1
		due = append(due, timer)
	}
	for _, timer := range due {
		timer.f()
	}
}
