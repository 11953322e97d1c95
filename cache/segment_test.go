package cache

import (
	"math/rand/v2"
	"testing"
)

// newSegments returns free segments on Go's heap.
func newSegments(t testing.TB, memoryBytes int64) *segments {
	t.Helper()
	a, _, _, err := openArena(Options{Heap: true, MemoryBytes: memoryBytes})
	if err != nil {
		t.Fatal(err)
	}
	s := &segments{arena: a, table: a.segmentTable()}
	s.reset()
	return s
}

// check walks all lists. Each segment must be in the place that its state says: the free list, a
// ring, or neither. Chunks of large values count for their ring.
func (s *segments) check(t testing.TB) {
	t.Helper()
	seen := make([]bool, len(s.table))
	visit := func(id uint32, where string, states ...uint32) *segment {
		if int(id) >= len(s.table) || seen[id] {
			t.Fatalf("segment %d in %s: is no segment, or is in a list already", id, where)
		}
		seen[id] = true
		seg := &s.table[id]
		for _, state := range states {
			if seg.state == state {
				return seg
			}
		}
		t.Fatalf("segment %d in %s has state %d; want one of %v", id, where, seg.state, states)
		return nil
	}
	freeCount := uint32(0)
	for id := s.freeHead; id != none; id = s.table[id].next {
		visit(id, "the free list", free)
		freeCount++
	}
	if freeCount != s.freeCount {
		t.Errorf("%d segments in the free list; counted %d", freeCount, s.freeCount)
	}
	counts := [2]uint32{}
	for r := range s.rings {
		last := none
		for id := s.rings[r].head; id != none; id = s.table[id].next {
			seg := visit(id, "a ring", open, sealed)
			if seg.prev != last || int(seg.ring) != r {
				t.Errorf("segment %d of ring %d: follows %d in ring %d; want %d", id, r, seg.prev, seg.ring, last)
			}
			if isOpen := s.open[r][seg.class] == id; isOpen != (seg.state == open) {
				t.Errorf("segment %d of ring %d, class %d: state %d, and open %v", id, r, seg.class, seg.state, isOpen)
			}
			last = id
			counts[r]++
		}
		if s.rings[r].tail != last {
			t.Errorf("ring %d ends at %d; want %d", r, s.rings[r].tail, last)
		}
		for class, id := range s.open[r] {
			if id != none && !seen[id] {
				t.Errorf("segment %d is open in ring %d, class %d, and not in the ring", id, r, class)
			}
		}
	}
	for id := range s.table {
		switch state := s.table[id].state; state {
		case chunk:
			counts[s.table[id].ring]++
		case free, open, sealed:
			if !seen[id] {
				t.Errorf("segment %d has state %d and is in no list", id, state)
			}
		}
	}
	for r := range s.rings {
		if counts[r] != s.rings[r].count {
			t.Errorf("ring %d has %d segments; counted %d", r, counts[r], s.rings[r].count)
		}
	}
}

// A segmentsTest applies random operations, as the index, the evictor and stores do, to segments.
type segmentsTest struct {
	*segments
	rng       *rand.Rand
	withdrawn []uint32
	tables    int
	values    []uint32 // the first chunks of large values
}

// TestSegmentsAreInOnePlace checks all lists after each of many random operations.
func TestSegmentsAreInOnePlace(t *testing.T) {
	seed := testSeed(t)
	s := &segmentsTest{segments: newSegments(t, 3<<20), rng: rand.New(rand.NewPCG(seed, 0))}
	for range 20_000 {
		s.step()
		s.check(t)
		states := map[uint32]int{}
		for id := range s.table {
			states[s.table[id].state]++
		}
		if states[victim] != len(s.withdrawn) || states[table] != s.tables {
			t.Fatalf("%d victims, %d tables; want %d, %d", states[victim], states[table], len(s.withdrawn), s.tables)
		}
		if t.Failed() {
			return
		}
	}
}

func (s *segmentsTest) step() {
	r, class := uint8(s.rng.IntN(2)), uint8(s.rng.IntN(3))
	switch op := s.rng.IntN(100); {
	case op < 25:
		if s.freeCount > 0 {
			s.openSegment(r, class)
		}
	case op < 30:
		s.seal(r, class)
	case op < 55:
		id := uint32(s.rng.IntN(len(s.table)))
		if state := s.table[id].state; state == open || state == sealed {
			s.withdraw(id)
			s.withdrawn = append(s.withdrawn, id)
		}
	case op < 75:
		if n := len(s.withdrawn); n > 0 {
			id := s.withdrawn[n-1]
			s.withdrawn = s.withdrawn[:n-1]
			if s.rng.IntN(3) == 0 {
				s.putBack(id)
			} else {
				s.release(id)
			}
		}
	case op < 85:
		first := none
		for range min(s.rng.IntN(4), int(s.freeCount)) {
			first = s.takeChunk(r, first)
		}
		s.values = append(s.values, first)
	case op < 99:
		if n := len(s.values); n > 0 {
			first := s.values[n-1]
			if s.rng.IntN(3) == 0 {
				s.rering(first, r)
				return
			}
			s.freeChunks(first)
			s.values = s.values[:n-1]
		}
	case s.freeCount > 0 && s.tables < 5:
		s.takeTable()
		s.tables++
	}
}

// TestBump fills a segment to its last byte: allocations never overlap, and lie within the segment.
func TestBump(t *testing.T) {
	s := newSegments(t, 1<<20)
	if _, ok := s.bump(small, 0, 8); ok {
		t.Error("bumped without an open segment")
	}
	s.openSegment(small, 0)
	id := s.open[small][0]
	next, rng := s.wordAt(id), rand.New(rand.NewPCG(1, 0))
	for {
		n := 8 * (1 + rng.IntN(100))
		loc, ok := s.bump(small, 0, n)
		if !ok {
			left := s.segmentBytes - int(s.table[id].used)
			if n <= left {
				t.Errorf("no %d bytes of %d left", n, left)
			}
			if _, ok = s.bump(small, 0, left); left > 0 && !ok {
				t.Errorf("not the last %d bytes", left)
			}
			break
		}
		if loc != next || s.segmentOf(loc+uint64(n)/8-1) != id {
			t.Fatalf("bumped %d bytes at %d; want %d, in segment %d", n, loc, next, id)
		}
		next += uint64(n) / 8
	}
	if s.table[id].used != uint32(s.segmentBytes) {
		t.Errorf("%d bytes used; want %d", s.table[id].used, s.segmentBytes)
	}
}

// TestMayStay: an item with a new expiry stays if its segment is due in time for it.
func TestMayStay(t *testing.T) {
	s := newSegments(t, 1<<20)
	const now = 1_800_000_000
	for _, test := range []struct {
		what              string
		had, wake, expiry uint32 // from now; 0 never
		want              bool
	}{
		{"never expires, and won't", 0, 0, 0, true},
		{"never expires, in a segment that wakes", 0, 100, 0, true},
		{"gets a TTL in a segment that never wakes", 0, 0, 100, false},
		{"loses its TTL in a segment that wakes", 100, 100, 0, false},
		{"lives longer", 100, 100, 5000, true},
		{"ends somewhat earlier", 100, 100, 80, true},
		{"ends much earlier", 5000, 5000, 20, false},
	} {
		s.reset()
		s.openSegment(small, 0)
		from := func(seconds uint32) uint32 {
			if seconds == 0 {
				return 0
			}
			return now + seconds
		}
		d := draft{key: []byte("k"), expiry: from(test.had)}
		d.layOut(s.segmentBytes)
		loc, _ := s.bump(small, 0, d.size)
		d.write(s.item(loc), none)
		s.of(loc).wakeBy(from(test.wake))
		if got := s.mayStay(s.item(loc), loc, from(test.expiry), now); got != test.want {
			t.Errorf("an item that %s: got %v; want %v", test.what, got, test.want)
		}
	}
}
