package upstream

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/loop"
)

// A steppedClock stands still until a test steps it. Every wait that begins is put into waits, and
// every one that is stopped before its end into stopped.
type steppedClock struct {
	waits, stopped chan time.Duration

	mu     sync.Mutex // guards what follows
	now    time.Time
	timers map[*steppedTimer]struct{}
}

type steppedTimer struct {
	due time.Time
	f   func()
}

func newSteppedClock() *steppedClock {
	return &steppedClock{
		waits: make(chan time.Duration, 1000), stopped: make(chan time.Duration, 1000),
		now: time.Unix(2_000_000_000, 0), timers: map[*steppedTimer]struct{}{},
	}
}

func (c *steppedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *steppedClock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &steppedTimer{c.now.Add(d), f}
	c.timers[t] = struct{}{}
	c.waits <- d
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, found := c.timers[t]
		if found {
			delete(c.timers, t)
			c.stopped <- d
		}
		return found
	}
}

// step advances the clock and calls what is due.
func (c *steppedClock) step(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	var due []func()
	for t := range c.timers {
		if !t.due.After(c.now) {
			delete(c.timers, t)
			due = append(due, t.f)
		}
	}
	c.mu.Unlock()
	for _, f := range due {
		f()
	}
}

// steps steps over the next n waits, and returns how long they were.
func (c *steppedClock) steps(n int) (waits []time.Duration) {
	for range n {
		wait := <-c.waits
		waits = append(waits, wait)
		c.step(wait)
	}
	return waits
}

// on returns a set whose lane isn't run, and an upstream of it at a socket that nobody listens on.
func on(t *testing.T, clock Clock, o Settings) (*Set, *Upstream) {
	t.Helper()
	l, err := loop.New()
	if err != nil {
		t.Fatal(err)
	}
	set := NewSet([]*Lane{NewLane(l)}, slog.New(slog.NewTextHandler(io.Discard, nil)), clock)
	return set, set.Add(Identity{Address: "unix:" + filepath.Join(t.TempDir(), "s")}, o, nil, nil)
}

// listen has an upstream's socket answer each line.
func listen(t *testing.T, u *Upstream, answer func(line string) string) {
	t.Helper()
	listener, err := net.Listen(u.network())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go answerLines(conn, answer)
		}
	}()
}

func answerLines(conn net.Conn, answer func(line string) string) {
	defer conn.Close()
	for in := bufio.NewScanner(conn); in.Scan(); {
		if _, err := io.WriteString(conn, answer(in.Text())); err != nil {
			return
		}
	}
}

// A probe waits twice as long after each failure, up to a limit, and brings the upstream up as soon
// as one is answered. An upstream that is released is probed no more.
func TestProbes(t *testing.T) {
	clock := newSteppedClock()
	o := Settings{Timeout: time.Minute, Connect: time.Minute, Links: 1, ProbeMin: time.Second, ProbeMax: 5 * time.Second}
	set, u := on(t, clock, o)
	up := &upWatcher{up: make(chan bool, 1)}
	u.Watch(up)
	u.TakeDown(io.EOF)
	s := time.Second
	if got, want := clock.steps(5), []time.Duration{s, 2 * s, 4 * s, 5 * s, 5 * s}; !slices.Equal(got, want) {
		t.Errorf("waits between probes: %v; want %v", got, want)
	}
	wait := <-clock.waits // the fifth probe has failed
	if got := u.Stats(); got.State != StateDown || got.Probes != 5 {
		t.Errorf("%s after %d probes; want it down after 5", got.State, got.Probes)
	}
	listen(t, u, func(string) string { return "VERSION 1\r\n" })
	clock.step(wait)
	<-up.up
	clock.step(3 * s)
	if got := u.UpFor(); got != 3*s {
		t.Errorf("up for %v; want %v", got, 3*s)
	}
	u.TakeDown(io.EOF)
	<-clock.waits
	set.Release(u)
	<-clock.stopped
}

// An upWatcher is called when the upstream comes up.
type upWatcher struct{ up chan bool }

func (*upWatcher) WentDown()     {}
func (*upWatcher) ComingUp(bool) {}
func (w *upWatcher) CameUp()     { w.up <- true }
func (*upWatcher) Flushed()      {}

// Deletes that are owed are sent again after longer and longer waits, until the upstream accepts
// them; then the key is read again, and its note ends.
func TestOwedDeletesAreSentAgain(t *testing.T) {
	clock := newSteppedClock()
	_, u := on(t, clock, Settings{Timeout: time.Minute, Connect: time.Minute})
	var mu sync.Mutex
	accepts, asked := false, 0
	listen(t, u, func(line string) string {
		mu.Lock()
		defer mu.Unlock()
		asked++
		if line == "delete k" && accepts {
			return "DELETED\r\n"
		}
		return "SERVER_ERROR away\r\n"
	})
	ended := make(chan bool)
	u.Owed.Add([]byte("k"), func() { close(ended) })
	s := time.Second
	if got, want := clock.steps(6), []time.Duration{s, 2 * s, 4 * s, 8 * s, 10 * s, 10 * s}; !slices.Equal(got, want) {
		t.Errorf("waits: %v; want %v", got, want)
	}
	wait := <-clock.waits
	if mu.Lock(); asked != 6 || !u.Owed.Has([]byte("k")) {
		t.Errorf("sent %d times, owed: %v; want 6 times, and owed", asked, u.Owed.Has([]byte("k")))
	}
	accepts = true
	mu.Unlock()
	clock.step(wait)
	<-ended
	if u.Owed.Has([]byte("other")) {
		t.Error("a key that wasn't refused is owed")
	}
}

// The fence waits for the upstream's earlier connections to end: as long as it lists one of ours,
// or, where that can't be known, for the time-out.
func TestFence(t *testing.T) {
	const self, ours = "STAT 1:addr pipe:pipe\r\n", "STAT 2:addr tcp:10.0.0.1:1\r\n"
	const theirs = "STAT 3:addr tcp:10.0.0.2:1\r\n"
	const timeout = 2 * time.Second
	for _, test := range []struct {
		name      string
		listed    []string // by each "stats conns", the last one from then on
		strangers bool
		waits     int // for the clock
		fully     bool
	}{
		{"none of ours is left", []string{self + theirs + "END\r\n"}, false, 0, false},
		{"ours ends later", []string{self + ours + "END\r\n", self + ours + "END\r\n", self + "END\r\n"}, false, 2, false},
		{"ours stays", []string{self + ours + "END\r\n"}, false, 0, true},
		{"a proxy that lists nothing", []string{"END\r\n"}, false, 0, true},
		{"a server without the command", []string{"ERROR\r\n"}, false, 0, true},
		{"connections of an earlier process", []string{self + "END\r\n"}, true, 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			clock := newSteppedClock()
			began := clock.Now()
			_, u := on(t, clock, Settings{Timeout: timeout})
			near, far := net.Pipe()
			defer near.Close()
			asked := 0
			go answerLines(far, func(string) string {
				asked++
				return test.listed[min(asked, len(test.listed))-1]
			})
			a := &Outage{of: u, local: []string{"tcp:10.0.0.1:1"}, strangers: test.strangers}
			done := make(chan error)
			go func() { done <- a.fence(t.Context(), newSide(near, time.Minute)) }()
			waits := 0
			for {
				select {
				case wait := <-clock.waits:
					waits++
					clock.step(wait)
					continue
				case err := <-done:
					if err != nil {
						t.Fatal(err)
					}
				}
				break
			}
			if passed := clock.Now().Sub(began); test.fully != (passed >= timeout) || !test.fully && waits != test.waits {
				t.Errorf("it took %v and %d waits; want %d waits, or %v if %v", passed, waits, test.waits, timeout, test.fully)
			}
			if len(a.local) != 0 || a.strangers {
				t.Errorf("earlier connections after the fence: %s, %v; want none", strings.Join(a.local, " "), a.strangers)
			}
		})
	}
}
