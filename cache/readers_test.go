package cache

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"holdfast/mc"
)

// A slowReader has requested a large value and not read all of it yet.
type slowReader struct {
	*client
	want string
}

// TestReadersKeepValues has readers of large values that take their time, while the values are
// replaced, deleted, flushed, expired and evicted, and their items moved: each reads what was there
// when it asked, and the memory of the values is free once nobody reads them.
func TestReadersKeepValues(t *testing.T) {
	seed := testSeed(t)
	r := rand.New(rand.NewPCG(seed, 0))
	clock := newFakeClock()
	s := openStore(t, Options{MemoryBytes: 8 << 20, Now: clock.now, Detail: true})
	c := newClient(t, s)
	values := map[string]string{} // what keys hold, unless they were evicted
	var readers []slowReader
	steps, hits := 4000, 0
	if testing.Short() {
		steps = 1000
	}
	for range steps {
		key := fmt.Sprint("k", r.IntN(30))
		switch op := r.IntN(20); {
		case op < 6:
			value := strings.Repeat(fmt.Sprintf("%07d,", r.IntN(1e7)), 4000+r.IntN(60_000))
			c.do(fmt.Sprintf("set %s 0 %d %d\r\n%s\r\n", key, r.IntN(2)*(1+r.IntN(30)), len(value), value))
			values[key] = value
		case op < 8:
			c.do("delete " + key + "\r\n")
		case op < 9:
			c.do(fmt.Sprintf("set small%d 0 0 3000\r\n%03000d\r\n", r.IntN(2000), 1))
		case op < 10:
			clock.pass(s, time.Duration(r.IntN(5))*time.Second)
		case op == 10 && r.IntN(10) == 0:
			c.do("flush_all\r\n")
		case op < 15:
			reader := newClient(t, s)
			if _, err := reader.d.Decode([]byte("get "+key+"\r\n"), reader.b); err != nil {
				t.Fatal(err)
			}
			s.Serve(reader.b)
			if len(reader.b.Pinned) > 0 {
				value := values[key]
				readers = append(readers, slowReader{reader, fmt.Sprintf("VALUE %s 0 %d\r\n%s\r\nEND\r\n", key, len(value), value)})
				hits++
			}
		case len(readers) > 0:
			n := r.IntN(len(readers))
			readers[n].finish(seed)
			readers[n] = readers[len(readers)-1]
			readers = readers[:len(readers)-1]
		}
	}
	for _, reader := range readers {
		reader.finish(seed)
	}
	if hits < steps/50 {
		t.Errorf("%d large values were read; want more", hits)
	}
	if got := s.segments.pinned.Load(); got != 0 {
		t.Errorf("%d bytes are pinned; want none", got)
	}
	checkAccounts(t, s)
	c.do("flush_all\r\n")
	clock.pass(s, time.Second)
	s.segments.mu.Lock()
	for s.evictor.victim.seg != none { // stores would sweep it
		s.evictor.sweep(&s.evictor.victim, math.MaxInt)
	}
	s.segments.mu.Unlock()
	if n := s.Snapshot(); n.Items != 0 || n.SmallBytes+n.MainBytes != 0 {
		t.Errorf("after a flush %d items, %d bytes of segments in rings; want none", n.Items, n.SmallBytes+n.MainBytes)
	}
}

// finish reads the rest of the answer.
func (r *slowReader) finish(seed uint64) {
	r.t.Helper()
	r.collect()
	if got := string(r.out); got != r.want {
		r.t.Fatalf("seed %d: got %d bytes, %.40q…; want %d, %.40q…", seed, len(got), got, len(r.want), r.want)
	}
}

// events records what an observer sees, as text.
type events struct {
	wants bool
	seen  []string
}

func (e *events) Wants() bool { return e.wants }

func (e *events) add(format string, args ...any) {
	e.seen = append(e.seen, fmt.Sprintf(format, args...))
}

func (e *events) Fetched(key []byte, status string, class, conn, valueBytes int) {
	e.add("fetched %s %s class %d conn %d bytes %d", key, status, class, conn, valueBytes)
}

func (e *events) Stored(key []byte, status, command string, ttl time.Duration, class, conn, valueBytes int) {
	e.add("stored %s %s by %s ttl %v class %d conn %d bytes %d", key, status, command, ttl, class, conn, valueBytes)
}

func (e *events) Evicted(key []byte, read bool, ttl, unread time.Duration, class, valueBytes int) {
	e.add("evicted %s read %v ttl %v unread %v class %d bytes %d", key, read, ttl, unread, class, valueBytes)
}

func (e *events) Deleted(key []byte, command string, class, valueBytes int) {
	e.add("deleted %s by %s class %d bytes %d", key, command, class, valueBytes)
}

// TestObserver: an observer that wants events gets one for each command, and one that doesn't gets
// none.
func TestObserver(t *testing.T) {
	s := openStore(t, Options{})
	var e events
	s.Observe(&e)
	c := newClient(t, s)
	c.b.Conn = 9
	c.want("set quiet 0 0 1|x|get quiet|delete quiet", "STORED|VALUE quiet 0 1|x|END|DELETED")
	if len(e.seen) > 0 {
		t.Errorf("got %q; want nothing", e.seen)
	}
	e.wants = true
	const missed = "fetched %s not_found class 0 conn 9 bytes 0"
	for _, test := range []struct {
		do   string
		want []string
	}{
		{"set k 0 60 3|abc", []string{fmt.Sprintf(missed, "k"), "stored k stored by set ttl 1m0s class 1 conn 9 bytes 3"}},
		{"add k 0 0 1|x", []string{fmt.Sprintf(missed, "k"), "stored k not_stored by add ttl 0s class 1 conn 9 bytes 1"}},
		{"cas k 0 0 1 999|x", []string{fmt.Sprintf(missed, "k"), "stored k exists by cas ttl 0s class 1 conn 9 bytes 1"}},
		{"cas n 0 0 1 999|x", []string{fmt.Sprintf(missed, "n"), "stored n not_found by cas ttl 0s class 1 conn 9 bytes 1"}},
		{"ms k 2 MA|de", []string{fmt.Sprintf(missed, "k"), "stored k stored by append ttl 0s class 1 conn 9 bytes 2"}},
		{"get k n", []string{"fetched k found class 1 conn 9 bytes 5", fmt.Sprintf(missed, "n")}},
		{"mg k s", []string{"fetched k found class 1 conn 9 bytes 5"}},
		{"gat 0 k", []string{"fetched k found class 1 conn 9 bytes 5"}},
		{"delete n", nil},
		{"md k C7", nil},
		{"md k", []string{"deleted k by md class 1 bytes 5"}},
		{"set k 0 0 1|x", []string{fmt.Sprintf(missed, "k"), "stored k stored by set ttl 0s class 1 conn 9 bytes 1"}},
		{"delete k", []string{"deleted k by delete class 1 bytes 1"}},
	} {
		e.seen = nil
		c.do(strings.ReplaceAll(test.do, "|", "\r\n") + "\r\n")
		if got, want := strings.Join(e.seen, "\n"), strings.Join(test.want, "\n"); got != want {
			t.Errorf("%s:\n got %s\nwant %s", test.do, got, want)
		}
	}
}

// TestObserverSeesEvictions: there is an event for each eviction that is counted, and none for
// items that expire.
func TestObserverSeesEvictions(t *testing.T) {
	clock := newFakeClock()
	s := openStore(t, Options{MemoryBytes: 1 << 20, Now: clock.now})
	c := newClient(t, s)
	c.want("set gone 0 5 1|x", "STORED")
	clock.pass(s, 10*time.Second)
	e := &events{wants: true}
	s.Observe(e)
	for i := range 3000 {
		set := mc.Request{Op: mc.Set, Key: fmt.Append(nil, "k", i), Value: make([]byte, 1000), NoReply: true}
		c.b.Requests, c.b.Next = append(c.b.Requests[:0], set), 0
		s.Serve(c.b)
	}
	evicted := uint64(0)
	for _, event := range e.seen {
		if strings.HasPrefix(event, "evicted ") {
			evicted++
			if !strings.HasPrefix(event, "evicted k") || !strings.HasSuffix(event, "bytes 1000") ||
				!strings.Contains(event, "read false ttl -1ns unread 0s class ") {
				t.Fatalf("got %q", event)
			}
		}
	}
	if n := s.Snapshot(); evicted == 0 || evicted != n.EvictedRead+n.EvictedUnread {
		t.Errorf("%d events of evictions; want %d", evicted, n.EvictedRead+n.EvictedUnread)
	}
}
