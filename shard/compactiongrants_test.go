package shard

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// A fakeCompacting is a database with compactions that wait.
type fakeCompacting struct {
	mu       sync.Mutex
	allowed  int
	waiting  int
	begun    []pebble.CompactionGrantHandle
	asked    int // whether one waits
	declines bool
}

func (f *fakeCompacting) GetAllowedWithoutPermission() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.allowed
}

func (f *fakeCompacting) GetWaitingCompaction() (bool, pebble.WaitingCompaction) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	return f.waiting > 0, pebble.WaitingCompaction{}
}

func (f *fakeCompacting) Schedule(h pebble.CompactionGrantHandle) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.declines {
		return false
	}
	f.waiting--
	f.begun = append(f.begun, h)
	return true
}

// set changes the database, and returns how many compactions it has begun by itself a second later.
func (f *fakeCompacting) set(change func()) int {
	f.mu.Lock()
	change()
	f.mu.Unlock()
	time.Sleep(time.Second)
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.begun)
}

// A compaction that is refused begins when another has ended, or more may run, also if nobody says so.
// While none waits, the database is left alone.
func TestCompactionGrants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := &fakeCompacting{allowed: 1}, newCompactionGrants()
		c.Register(2, f)
		try := func(want bool) {
			t.Helper()
			if got, _ := c.TrySchedule(); got != want {
				t.Fatalf("got %v; want %v", got, want)
			}
		}
		try(true)
		try(false)
		if n := f.set(func() { f.waiting = 2 }); n != 0 {
			t.Errorf("got %d begun beyond the one that may run", n)
		}
		c.Done()
		if n := f.set(func() {}); n != 1 {
			t.Errorf("got %d begun after the first has ended; want one", n)
		}
		if n := f.set(func() { f.allowed = 2 }); n != 2 {
			t.Errorf("got %d begun when two may run; want two", n)
		}
		try(false)
		f.set(func() { f.waiting, f.declines = 1, true })
		c.Done()
		if n := f.set(func() {}); n != 2 {
			t.Errorf("got %d begun that were declined", n)
		}
		if n := f.set(func() { f.declines = false }); n != 3 {
			t.Errorf("got %d begun after it was declined once; want three", n)
		}
		c.Done()
		c.Done()
		f.set(func() { f.asked = 0 })
		time.Sleep(time.Hour)
		synctest.Wait()
		if f.asked > 400 {
			t.Errorf("got %d looks in an hour while nothing waits; want few", f.asked)
		}
		try(true)
		c.Unregister()
		try(false)
		c.Done()
		if n := f.set(func() { f.waiting = 1 }); n != 3 {
			t.Error("got a compaction after the database was closed")
		}
	})
}
