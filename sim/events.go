package sim

import (
	"container/heap"
	"crypto/sha256"
	"fmt"
	"hash"
	"testing/synctest"
	"time"
)

// Events are what happens in a run, one after the other in virtual time. All that one of them has
// caused in any goroutine is over before the next one happens, or waits for a later event. So what a
// run does is decided by the order of events, and never by the order of goroutines.
type events struct {
	began   time.Time // in virtual time
	queue   eventQueue
	planned int          // events so far
	settled func()       // is called when an event is over
	log     func(string) // nil, or gets each line of the trace
	trace   hash.Hash    // of all lines
	err     error        // ends the run
}

func newEvents(log func(string)) *events {
	return &events{log: log, trace: sha256.New()}
}

// now returns the virtual time since the begin of the run.
func (e *events) now() time.Duration { return time.Since(e.began) }

// after plans an event.
func (e *events) after(wait time.Duration, do func()) {
	e.planned++
	heap.Push(&e.queue, event{e.now() + wait, e.planned, do})
}

// runUntil lets events happen until done returns true, and reports whether it did before the limit.
func (e *events) runUntil(limit time.Duration, done func() bool) bool {
	for e.err == nil && !done() {
		if len(e.queue) == 0 || e.queue[0].at > limit {
			return false
		}
		next := heap.Pop(&e.queue).(event)
		if wait := next.at - e.now(); wait > 0 {
			time.Sleep(wait)
		}
		next.do()
		synctest.Wait()
		e.settled()
	}
	return e.err == nil
}

// fail ends the run.
func (e *events) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf(format, args...)
		e.note("failed: %v", e.err)
	}
}

// note adds a line to the trace.
func (e *events) note(format string, args ...any) {
	line := fmt.Sprintf("%12v ", e.now()) + fmt.Sprintf(format, args...)
	_, _ = e.trace.Write([]byte(line + "\n"))
	if e.log != nil {
		e.log(line)
	}
}

// An event happens at a time since the begin of the run. Of those at one time, the one that was
// planned first comes first.
type event struct {
	at     time.Duration
	number int
	do     func()
}

// An eventQueue implements heap.Interface.
type eventQueue []event

func (q eventQueue) Len() int { return len(q) }

func (q eventQueue) Less(i, j int) bool {
	if q[i].at != q[j].at {
		return q[i].at < q[j].at
	}
	return q[i].number < q[j].number
}

func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *eventQueue) Push(x any) { *q = append(*q, x.(event)) }

// Pop implements heap.Interface.
func (q *eventQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
