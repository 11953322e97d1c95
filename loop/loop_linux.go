package loop

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	roundEvents = 256 // events that one poll returns at most
	groupEvents = 8   // events between two calls of the function of Grouped
	busyRounds  = 4   // busy polls between two calls of the function of Rounded
	clockRounds = 32  // busy polls between two readings of the clock
)

// A Loop is one event loop. Make it with New, run it with Run.
type Loop struct {
	epoll, wake int // file descriptors: the epoll instance, and an eventfd that ends its wait
	events      [roundEvents]syscall.EpollEvent
	sources     []watched // by file descriptor; a nil source where this loop has none
	generation  int32     // of the source added last
	buffers     buffers
	timers      timers
	grouped     func() // see Grouped
	rounded     func() // see Rounded
	unrounded   int    // busy polls since then
	rounds      int    // busy polls since the clock was read
	stopped     bool

	now atomic.Int64 // Unix nanoseconds when the clock was read last

	mu      sync.Mutex // guards posted
	posted  []func()
	running []func()    // those that run now; swapped with posted
	waiting atomic.Bool // functions are posted
	asleep  atomic.Bool // the loop blocks, or is about to: a Post must write to wake
}

// A source handles the events of a file descriptor.
type source interface {
	ready(events uint32)
}

// watched is a source with the generation that its events carry. The generation distinguishes it
// from an earlier source with the same descriptor, whose events may still be in the round that
// closed it.
type watched struct {
	source     source
	generation int32
}

// New returns a loop without streams. The error names the resource that the system refused.
func New() (*Loop, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wake, err := newEventFD()
	if err != nil {
		syscall.Close(epoll)
		return nil, err
	}
	l := &Loop{epoll: epoll, wake: wake}
	l.readClock()
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(wake)}
	if err := syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, wake, &event); err != nil {
		l.Close()
		return nil, fmt.Errorf("epoll_ctl of an eventfd: %w", err)
	}
	return l, nil
}

// Run handles events until Stop. It locks the calling goroutine to its OS thread. It is called
// once.
func (l *Loop) Run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for !l.stopped {
		l.dispatchAll(l.wait())
		if l.waiting.Load() {
			l.runPosted()
		}
		l.runTimers()
	}
	l.Close()
}

// dispatchAll passes n events to their sources.
func (l *Loop) dispatchAll(n int) {
	for i := range n {
		l.dispatch(&l.events[i])
		if l.grouped != nil && (i%groupEvents == groupEvents-1 || i == n-1) {
			l.grouped()
		}
	}
}

// Grouped has f called after every few events, and before the loop polls again. In f a handler may
// do for several streams at once what it deferred when their bytes were received. Before Run.
func (l *Loop) Grouped(f func()) { l.grouped = f }

// Rounded has f called when a poll finds nothing more, before the loop yields or blocks, and at
// least after every few rounds of events. In f a handler may write at once what several events
// produced for one stream. Before Run.
func (l *Loop) Rounded(f func()) { l.rounded = f }

// Stop ends Run after the functions that were posted before. It doesn't close streams. Any
// goroutine.
func (l *Loop) Stop() {
	l.Post(func() { l.stopped = true })
}

// Post has f called on the loop, after those posted before. Any goroutine; it never waits.
func (l *Loop) Post(f func()) {
	l.mu.Lock()
	l.posted = append(l.posted, f)
	l.mu.Unlock()
	// 1. The loop sets asleep. 2. It checks waiting. 3. It blocks. A Post after 1 writes to the
	// eventfd, and a Post before 1 is seen at 2.
	l.waiting.Store(true)
	if l.asleep.Load() {
		writeEventFD(l.wake)
	}
}

// After has f called on the loop once d has passed. It is called on the loop.
func (l *Loop) After(d time.Duration, f func()) *Timer {
	return l.timers.add(time.Now().Add(d), f)
}

// Cancel removes a timer that has not fired. It is called on the loop.
func (l *Loop) Cancel(t *Timer) { l.timers.stop(t) }

// Now is the time in Unix nanoseconds as the loop last read it. Any goroutine.
func (l *Loop) Now() int64 { return l.now.Load() }

// wait returns how many of l.events are new. It blocks only after two polls found nothing.
func (l *Loop) wait() int {
	n := epollPoll(l.epoll, l.events[:])
	if l.unrounded++; l.rounded != nil && (n == 0 || l.unrounded >= busyRounds) {
		l.unrounded = 0
		l.rounded()
	}
	if n > 0 || l.waiting.Load() {
		return n
	}
	schedYield()
	if n = epollPoll(l.epoll, l.events[:]); n > 0 {
		return n
	}
	l.readClock()
	l.asleep.Store(true)
	defer l.asleep.Store(false)
	if l.waiting.Load() {
		return 0
	}
	n = epollBlock(l.epoll, l.events[:], l.untilTimer())
	l.readClock()
	return n
}

// untilTimer returns how many milliseconds the loop may block, -1 for ever.
func (l *Loop) untilTimer() int {
	if len(l.timers) == 0 {
		return -1
	}
	d := l.timers[0].when.Sub(time.Unix(0, l.Now()))
	return int(max(0, min((d+time.Millisecond-1)/time.Millisecond, 1<<30)))
}

func (l *Loop) dispatch(event *syscall.EpollEvent) {
	if int(event.Fd) == l.wake {
		drainEventFD(l.wake)
		return
	}
	if w := &l.sources[event.Fd]; w.source != nil && w.generation == event.Pad {
		w.source.ready(event.Events)
	}
}

func (l *Loop) runPosted() {
	l.waiting.Store(false)
	l.mu.Lock()
	l.posted, l.running = l.running[:0], l.posted
	l.mu.Unlock()
	for i, f := range l.running {
		f()
		l.running[i] = nil
	}
}

func (l *Loop) runTimers() {
	if l.rounds++; l.rounds >= clockRounds {
		l.readClock()
	}
	if len(l.timers) > 0 && l.rounds == 0 {
		l.timers.fire(time.Unix(0, l.Now()))
	}
}

func (l *Loop) readClock() {
	l.now.Store(time.Now().UnixNano())
	l.rounds = -1 // so that runTimers, which counts it, sees 0 in the round of a new reading
}

// add passes the events of fd to s, which is of the given generation, from now on.
func (l *Loop) add(fd int, s source, generation int32, events uint32) error {
	for len(l.sources) <= fd {
		l.sources = append(l.sources, make([]watched, max(64, len(l.sources)))...)
	}
	l.sources[fd] = watched{s, generation}
	return l.control(syscall.EPOLL_CTL_ADD, fd, generation, events)
}

// forget removes the source that add set, unless the descriptor belongs to another source by now.
func (l *Loop) forget(fd int, generation int32) {
	if fd < len(l.sources) && l.sources[fd].generation == generation {
		l.sources[fd] = watched{}
	}
}

func (l *Loop) control(op, fd int, generation int32, events uint32) error {
	event := syscall.EpollEvent{Events: events, Fd: int32(fd), Pad: generation}
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(l.epoll, op, fd, &event))
}

func (l *Loop) nextGeneration() int32 {
	l.generation++
	return l.generation
}

// Close frees what a loop holds that never ran; Run does it otherwise.
func (l *Loop) Close() {
	syscall.Close(l.epoll)
	syscall.Close(l.wake)
}
