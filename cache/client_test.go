package cache

import (
	"strings"
	"testing"
	"time"

	"holdfast/mc"
)

// A client speaks the protocol to a store, without a socket.
type client struct {
	t     testing.TB
	store *Store
	d     mc.Decoder
	b     *mc.Batch
	out   []byte
}

func newClient(t testing.TB, s *Store) *client {
	c := &client{t: t, store: s}
	c.b = mc.NewBatch(func(*mc.Batch) {})
	return c
}

// do serves the requests in text and returns all answers.
func (c *client) do(text string) string {
	c.t.Helper()
	in := []byte(text)
	c.out = c.out[:0]
	for len(in) > 0 {
		c.b.Reset()
		used, err := c.d.Decode(in, c.b)
		if err != nil {
			c.t.Fatalf("decode %.60q: %v", in, err)
		}
		if used == 0 && len(c.b.Requests) == 0 {
			c.t.Fatalf("%.60q is not a complete request", in)
		}
		for c.b.Next < len(c.b.Requests) {
			c.store.Serve(c.b)
			c.collect()
		}
		in = in[used:]
	}
	return string(c.out)
}

// collect inserts the pinned values at their places in the answer, and releases them.
func (c *client) collect() {
	at := 0
	for _, p := range c.b.Pinned {
		c.out = append(c.out, c.b.Out[at:p.At]...)
		at = p.At
		for _, part := range p.Bytes {
			c.out = append(c.out, part...)
		}
		p.Release()
	}
	c.out = append(c.out, c.b.Out[at:]...)
	c.b.ResetOut()
}

// want fails the test unless the answers to text are answer; both have "|" for line ends.
func (c *client) want(text, answer string) {
	c.t.Helper()
	text = strings.ReplaceAll(text, "|", "\r\n") + "\r\n"
	answer = strings.ReplaceAll(answer, "|", "\r\n")
	if answer != "" {
		answer += "\r\n"
	}
	if got := c.do(text); got != answer {
		c.t.Errorf("%q: got %q; want %q", text, got, answer)
	}
}

// A fakeClock is a clock that tests advance.
type fakeClock struct{ at time.Time }

func newFakeClock() *fakeClock                      { return &fakeClock{time.Unix(1_800_000_000, 0)} }
func (c *fakeClock) now() time.Time                 { return c.at }
func (c *fakeClock) pass(s *Store, d time.Duration) { c.at = c.at.Add(d); s.Tick() }

// openStore opens a store on Go's heap, where the race detector sees it.
func openStore(t testing.TB, o Options) *Store {
	t.Helper()
	o.Heap = o.File == ""
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.checkInvariants(t)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// checkInvariants compares counts with what they count, and checks that each item and segment is
// where it belongs. Nothing else may use the store.
func (s *Store) checkInvariants(t testing.TB) {
	t.Helper()
	items, bytes := int64(0), int64(0)
	live := make([]uint32, len(s.segments.table))
	for n := range s.index.buckets.Load() {
		s.index.eachInBucket(n, func(slot uint64, it item) {
			items++
			bytes += int64(it.memoryBytes())
			live[s.segmentOf(location(slot))] += uint32(it.size())
			h := s.index.hash(it.key())
			if tagOf(h) != slot>>tagShift || bucketNumber(h, s.index.buckets.Load()) != n {
				t.Errorf("bucket %d holds %q, which belongs in bucket %d", n, it.key(), bucketNumber(h, s.index.buckets.Load()))
			}
			if it.dead() {
				t.Errorf("%q is present and dead", it.key())
			}
			seg := &s.segments.table[s.segmentOf(location(slot))]
			if main := slot&mainMark != 0; main != (seg.ring == 1) {
				t.Errorf("%q says main ring %v, and its segment ring %d", it.key(), main, seg.ring)
			}
		})
	}
	if items != s.index.items.Load() || bytes != s.index.bytes.Load() {
		t.Errorf("index: %d items of %d bytes; counted %d of %d", items, bytes, s.index.items.Load(), s.index.bytes.Load())
	}
	states := map[uint32]uint32{}
	for id := range s.segments.table {
		seg := &s.segments.table[id]
		states[seg.state]++
		if seg.live != live[id] && seg.state != chunk {
			t.Errorf("segment %d in state %d: %d live bytes; counted %d", id, seg.state, live[id], seg.live)
		}
		if seg.pins != 0 {
			t.Errorf("segment %d has pins %#x", id, seg.pins)
		}
	}
	s.segments.check(t)
	s.index.checkOverflow(t)
	if got := s.index.state.chunks + s.index.state.overflow + s.evictor.ghosts.state.chunks; states[table] != got {
		t.Errorf("%d segments of tables; counted %d", states[table], got)
	}
}
