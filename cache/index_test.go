package cache

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// An indexTest applies the same operations to an index and to a map. Keys are numbers, and their
// hashes are chosen: few stripes and tags make long chains, and keys with equal tags.
type indexTest struct {
	t     *testing.T
	index *index
	rng   *rand.Rand
	model map[uint64]uint64 // key to location
}

func newIndexTest(t *testing.T, memoryBytes int64) *indexTest {
	s := newSegments(t, memoryBytes)
	x := &index{arena: s.arena, segments: s, dir: s.directory(indexDirectory)}
	x.reset(1)
	return &indexTest{t: t, index: x, rng: rand.New(rand.NewPCG(testSeed(t), 0)), model: map[uint64]uint64{}}
}

// TestIndexAgainstMap compares the results of find with a map's, and at the end the buckets'
// contents.
func TestIndexAgainstMap(t *testing.T) {
	for name, hash := range map[string]func(key uint64) uint64{
		"one stripe":  func(key uint64) uint64 { return key << stripeBits },
		"equal tags":  func(key uint64) uint64 { return key%64<<stripeBits | key%3 },
		"well spread": func(key uint64) uint64 { return key * 0x9e3779b97f4a7c15 },
	} {
		t.Run(name, func(t *testing.T) {
			x := newIndexTest(t, 4<<20)
			for range 60_000 {
				x.step(hash)
				if t.Failed() {
					return
				}
			}
			x.check(hash)
		})
	}
}

func (x *indexTest) step(hash func(uint64) uint64) {
	key := x.rng.Uint64N(20_000)
	name := binary.BigEndian.AppendUint64(nil, key)
	h := hash(key)
	at, loc := x.index.find(h, name)
	if want := x.model[key]; loc != want || (at != 0) != (want != 0) {
		x.t.Fatalf("find %d: got slot %d, location %d; want location %d", key, at, loc, want)
	}
	if at != 0 && (x.index.findAt(h, loc) != at || location(x.index.slot(at)) != loc) {
		x.t.Fatalf("findAt %d: got slot %d of %#x; want %d", key, x.index.findAt(h, loc), x.index.slot(at), at)
	}
	switch op := x.rng.IntN(10); {
	case at == 0:
		x.insert(h, key, name)
	case op < 3:
		x.index.set(at, 0)
		x.remove(key, loc)
	case op < 6:
		x.index.erase(h, at)
		x.remove(key, loc)
	case op < 8:
		before := frequency(x.index.slot(at))
		x.index.countRead(at)
		if got, want := frequency(x.index.slot(at)), min(before+1, freqMax); got != want {
			x.t.Fatalf("key %d: frequency %d; want %d", key, got, want)
		}
	}
}

func (x *indexTest) insert(h, key uint64, name []byte) {
	x.index.grow()
	if !x.index.reserveSpare() {
		return
	}
	d := draft{key: name, accessed: 1}
	s := x.index.segments
	d.layOut(s.segmentBytes)
	loc, ok := s.bump(small, 0, d.size)
	if !ok {
		if s.freeCount == 0 {
			return
		}
		s.openSegment(small, 0)
		loc, _ = s.bump(small, 0, d.size)
	}
	d.write(s.item(loc), none)
	x.index.count(loc, s.item(loc))
	x.index.insert(h, newSlot(h, loc, small))
	x.model[key] = loc
}

func (x *indexTest) remove(key, loc uint64) {
	x.index.drop(loc, x.index.item(loc))
	delete(x.model, key)
}

// check compares the buckets' contents with the map, and counts the overflow buckets: each is in a
// chain or spare.
func (x *indexTest) check(hash func(uint64) uint64) {
	found := map[uint64]uint64{}
	for n := range x.index.buckets.Load() {
		x.index.eachInBucket(n, func(slot uint64, it item) {
			key := binary.BigEndian.Uint64(it.key())
			if _, twice := found[key]; twice || bucketNumber(hash(key), x.index.buckets.Load()) != n {
				x.t.Errorf("bucket %d has key %d, twice %v; want it once in bucket %d", n, key, twice,
					bucketNumber(hash(key), x.index.buckets.Load()))
			}
			found[key] = location(slot)
		})
	}
	if len(found) != len(x.model) || int64(len(found)) != x.index.items.Load() {
		x.t.Errorf("the buckets have %d items; counted %d; the map %d", len(found), x.index.items.Load(), len(x.model))
	}
	x.index.checkOverflow(x.t)
}

// checkOverflow checks that every overflow bucket is in one chain or among the spares.
func (x *index) checkOverflow(t testing.TB) {
	t.Helper()
	rest := (uint64(len(x.words)) - x.wordAt(uint32(len(x.segments.table)))) / slots
	total := rest + uint64(x.state.overflow)*uint64(x.segmentBytes)/bucketBytes
	spares, chained := uint64(0), uint64(0)
	for w := x.state.spare; w != 0 && spares <= total; w = x.words[w] {
		spares++
	}
	for n := range x.buckets.Load() {
		for last := x.words[x.bucketWord(n)+slots-1]; last&linkMark != 0 && chained <= total; {
			chained++
			last = x.words[location(last)+slots-1]
		}
	}
	if spares != x.state.spares || spares+chained != total {
		t.Errorf("%d spare buckets and %d in chains; want %d spare and %d in all", spares, chained, x.state.spares, total)
	}
}
