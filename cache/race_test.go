package cache

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"holdfast/mc"
)

// TestAppendsAreNotLost appends to one value from several clients. An append that needs memory
// unlocks the item between reading it and publishing the result; an append of another client in
// between must not be lost.
func TestAppendsAreNotLost(t *testing.T) {
	s := openStore(t, Options{Lanes: 4})
	newClient(t, s).want("set log 0 0 0|", "STORED")
	const clients, appends = 4, 2000
	var wg sync.WaitGroup
	for n := range clients {
		wg.Go(func() {
			c := newClient(t, s)
			c.b.Lane = n
			for range appends {
				if got := c.do(fmt.Sprintf("append log 0 0 3\r\n%d, \r\n", n)); got != mc.Stored {
					t.Errorf("append: got %q", got)
				}
			}
		})
	}
	wg.Wait()
	got := newClient(t, s).do("get log\r\n")
	for n := range clients {
		if found := strings.Count(got, fmt.Sprintf("%d, ", n)); found != appends {
			t.Errorf("%d appends of client %d; want %d", found, n, appends)
		}
	}
}

// TestFlushBesideAppends: an append comes before the flush, so its item is gone, or after it, so
// there is nothing to append to.
func TestFlushBesideAppends(t *testing.T) {
	s := openStore(t, Options{Lanes: 2})
	c, other := newClient(t, s), newClient(t, s)
	other.b.Lane = 1
	for range 1000 {
		c.want("set k 0 0 1|x|set n 0 0 1|1", "STORED|STORED")
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range 20 {
				other.do(fmt.Sprintf("append k 0 0 %d\r\n%s\r\nincr n 7\r\nmd k I\r\n", i, strings.Repeat("y", i)))
			}
		})
		c.do("flush_all\r\n")
		wg.Wait()
		c.want("get k n", "END")
	}
}

// TestReturningKeysGoToMain: a key that comes back soon after its eviction has a ghost.
func TestReturningKeysGoToMain(t *testing.T) {
	s := openStore(t, Options{MemoryBytes: 4 << 20, Seed: 1})
	c := newClient(t, s)
	set := func(key string) { c.do(fmt.Sprintf("set %s 0 0 500\r\n%s\r\n", key, strings.Repeat("v", 500))) }
	for i := range 20_000 {
		set(fmt.Sprint("fill", i))
	}
	toMain := 0
	const keys = 20
	for i := range keys {
		key := fmt.Sprint("again", i)
		set(key)
		for j := 0; c.do("mg "+key+" u\r\n") != "EN\r\n"; j++ {
			set(fmt.Sprint("more", i, ":", j))
		}
		set(key)
		if strings.Contains(c.do("me "+key+"\r\n"), " cls=2 ") {
			toMain++
		}
	}
	if toMain < keys*9/10 {
		t.Errorf("%d of %d keys came back to the main ring; want nearly all", toMain, keys)
	}
}

// TestPinnedIsBounded: clients that request large values and read nothing can't pin all of the
// memory.
func TestPinnedIsBounded(t *testing.T) {
	s := openStore(t, Options{MemoryBytes: 16 << 20})
	c := newClient(t, s)
	c.want("set small 0 0 1|x", "STORED")
	value := strings.Repeat("v", 500_000)
	var readers []*client
	for i := range 100 {
		if got := c.do(fmt.Sprintf("set big%d 0 0 %d\r\n%s\r\n", i, len(value), value)); got != mc.Stored {
			t.Fatalf("set %d: %q", i, got)
		}
		r := newClient(t, s)
		if _, err := r.d.Decode(fmt.Appendf(nil, "get big%d small\r\n", i), r.b); err != nil {
			t.Fatal(err)
		}
		s.Serve(r.b)
		readers = append(readers, r)
		c.do("get small\r\n")
	}
	if got := s.segments.pinned.Load(); got > 9<<20 {
		t.Errorf("%d bytes are pinned; want half of 16 MiB and one value", got)
	}
	c.want("get small", "VALUE small 0 1|x|END")
	for _, r := range readers {
		r.collect()
	}
	if got := s.segments.pinned.Load(); got != 0 {
		t.Errorf("%d bytes are pinned; want none", got)
	}
}

// TestExpiryBesideAppend: an item expires, by a clock that is ahead of the batch's, between reading
// it and publishing the result. The batch's time counts; with the clock's, apply looped for ever.
func TestExpiryBesideAppend(t *testing.T) {
	clock := newFakeClock()
	s := openStore(t, Options{Now: clock.now})
	newClient(t, s).want("set k 0 5 1|x", "STORED")
	r := mc.Request{Op: mc.Append, Key: []byte("k"), Value: []byte("and more")}
	r.Hash = s.index.hash(r.Key)
	began := s.lifetimes.now.Load()
	s.lifetimes.now.Store(began + 10)
	m := mutation{kind: appendTo, r: &r, now: began}
	if got := s.lanes[0].apply(&m); got != stored {
		t.Errorf("append: got %v; want stored", got)
	}
	newClient(t, s).want("get k", "END")
}
