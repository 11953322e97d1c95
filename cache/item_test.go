package cache

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"holdfast/mc"
)

// randomDraft returns a draft that has each optional field or not.
func randomDraft(r *rand.Rand, maxValueBytes int) draft {
	bytesOf := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	value := bytesOf(r.IntN(maxValueBytes + 1))
	cut := r.IntN(len(value) + 1)
	d := draft{key: bytesOf(1 + r.IntN(mc.MaxKeyBytes)), head: value[:cut], tail: value[cut:],
		seq: 1 + r.Uint64()>>(16+r.IntN(47)), accessed: 1 + r.Uint32()>>1, bits: uint8(r.Uint32()) &^ padMask}
	if r.IntN(2) == 0 {
		d.expiry = r.Uint32()
	}
	if r.IntN(2) == 0 {
		d.clientFlags = r.Uint32()
	}
	if d.wantOwn = r.IntN(2) == 0; d.wantOwn {
		d.own = r.Uint64()
	}
	return d
}

// checkItem compares an item in memory with its draft.
func checkItem(t *testing.T, s *segments, it item, d *draft) {
	t.Helper()
	value := append(bytes.Clone(d.head), d.tail...)
	cas := d.seq
	if d.wantOwn {
		cas = d.own
	}
	if !bytes.Equal(it.key(), d.key) || !bytes.Equal(s.appendWhole(nil, it), value) {
		t.Fatalf("an item of layout %04b has another key or value", it.layout())
	}
	got := fmt.Sprint(it.valueBytes(), it.clientFlags(), it.expiry(), it.cas(), it.seq(), it.accessed(), it[4]&^padMask,
		it.size())
	want := fmt.Sprint(len(value), d.clientFlags, d.expiry, cas, d.seq, d.accessed, d.bits, d.size)
	if got != want {
		t.Fatalf("an item of layout %04b: got %s; want %s", it.layout(), got, want)
	}
	if it.size()%8 != 0 || it.large() != (d.layout&isLarge != 0) {
		t.Fatalf("an item of %d bytes, large %v; want a multiple of 8, %v", it.size(), it.large(), d.layout&isLarge != 0)
	}
}

// TestItemsReadBack writes random drafts, of every layout and around the size from which values are
// large, and reads every field back; then it overwrites each with another draft that fits, if there
// is one. Neighbours stay as they are.
func TestItemsReadBack(t *testing.T) {
	seed := testSeed(t)
	r := rand.New(rand.NewPCG(seed, 0))
	s := newSegments(t, 4<<20)
	layouts := map[uint8]bool{}
	for range 60 {
		s.reset()
		s.openSegment(small, 0)
		var drafts []draft
		var locs []uint64
		for {
			d := randomDraft(r, []int{20, 300, s.segmentBytes / 2, 5 * s.segmentBytes}[r.IntN(4)])
			d.layOut(s.segmentBytes)
			loc, ok := s.bump(small, 0, d.size)
			if !ok || int(s.freeCount) < d.chunkCount(s.segmentBytes) {
				break
			}
			first := none
			if d.layout&isLarge != 0 {
				for range d.chunkCount(s.segmentBytes) {
					first = s.takeChunk(small, first)
				}
				s.fill(first, &d)
			}
			d.write(s.item(loc), first)
			layouts[d.layout] = true
			drafts, locs = append(drafts, d), append(locs, loc)
		}
		for i := range drafts {
			over := randomDraft(r, 300)
			over.key = drafts[i].key
			over.layOut(s.segmentBytes)
			if over.fits(s.item(locs[i])) {
				over.overwrite(s.item(locs[i]))
				drafts[i] = over
			}
		}
		for i := range drafts {
			checkItem(t, s, s.item(locs[i]), &drafts[i])
		}
	}
	if len(layouts) != 9 { // large items have all fields
		t.Errorf("%d layouts were tried; want 9: %v", len(layouts), layouts)
	}
}

// TestShapes: for any size of memory, the header, the tables and the segments lie one after the
// other within it, and little is left over.
func TestShapes(t *testing.T) {
	r := rand.New(rand.NewPCG(testSeed(t), 0))
	for range 20_000 {
		bytes := minMemoryBytes + r.Int64N(maxMemoryBytes-minMemoryBytes)>>r.IntN(19)
		s := shapeOf(bytes)
		tables := pageBytes + int64(s.count)*(segmentEntryBytes+4*directories)
		end := s.base + int64(s.count)*int64(s.segmentBytes)
		switch {
		case s.memoryBytes > bytes || s.memoryBytes%pageBytes != 0 || bytes-s.memoryBytes >= pageBytes:
			t.Fatalf("%d bytes: %d are used", bytes, s.memoryBytes)
		case s.base < tables || s.base%pageBytes != 0 || s.base-tables >= pageBytes:
			t.Fatalf("%d bytes: segments begin at %d; want the page after the tables, which end at %d", bytes, s.base, tables)
		case end > s.memoryBytes || s.memoryBytes-end > int64(s.segmentBytes)+2*pageBytes+segmentEntryBytes+4*directories:
			t.Fatalf("%d bytes: segments of %d end at %d; want at most one less than fit", bytes, s.segmentBytes, end)
		case s.count < minSegments || s.segmentBytes < minSegmentBytes || s.segmentBytes > maxSegmentBytes:
			t.Fatalf("%d bytes: %d segments of %d", bytes, s.count, s.segmentBytes)
		}
	}
}

// TestValueSizes stores a value of each size around the borders between layouts: half a segment,
// and multiples of a segment with and without a tail. Each is read back, replaced in place or
// elsewhere, and appended to.
func TestValueSizes(t *testing.T) {
	s := openStore(t, Options{MemoryBytes: 32 << 20, ItemMaxBytes: 4 << 20, Detail: true})
	c := newClient(t, s)
	var sizes []int
	for _, border := range []int{0, s.segmentBytes / 2, s.segmentBytes, s.segmentBytes * 3 / 2, 2 * s.segmentBytes,
		5 * s.segmentBytes / 2, 3 * s.segmentBytes} {
		for away := -70; away <= 20; away += 3 {
			sizes = append(sizes, max(0, border+away))
		}
	}
	for n, size := range sizes {
		fill := strings.Repeat(string(rune('a'+n%26)), size)
		set := func(value string) {
			t.Helper()
			if got := c.do(fmt.Sprintf("set k 0 %d %d\r\n%s\r\n", n%2*100, len(value), value)); got != mc.Stored {
				t.Fatalf("set of %d bytes: got %q", len(value), got)
			}
		}
		want := func(value string) {
			t.Helper()
			if got := c.do("mg k v s\r\n"); got != fmt.Sprintf("VA %d s%d\r\n%s\r\n", len(value), len(value), value) {
				t.Fatalf("of %d bytes: got %d bytes, %.60q", len(value), len(got), got)
			}
		}
		set(fill)
		want(fill)
		set(strings.ToUpper(fill))
		want(strings.ToUpper(fill))
		if got := c.do("append k 0 0 3\r\n-+-\r\nprepend k 0 0 2\r\n<>\r\n"); got != mc.Stored+mc.Stored {
			t.Fatalf("append to %d bytes: got %q", size, got)
		}
		want("<>" + strings.ToUpper(fill) + "-+-")
		if n%10 == 0 {
			checkAccounts(t, s)
		}
	}
}

// TestItemLimit: an item may have exactly as many bytes as the limit says, by every command that
// stores. A set that is too large removes the old value, all others leave it.
func TestItemLimit(t *testing.T) {
	const limit = 10_000
	s := openStore(t, Options{ItemMaxBytes: limit})
	c := newClient(t, s)
	c.d.ItemMaxBytes = 1 << 20 // so that the store decides
	const most = limit - 1 - memcachedHeaderBytes
	value := func(n int) string { return strings.Repeat("v", n) }
	for _, test := range []struct{ before, command, want, after string }{
		{"", "set k 0 0 %d", "STORED", value(most)},
		{"", "add k 0 0 %d", "STORED", value(most)},
		{"x", "replace k 0 0 %d", "STORED", value(most)},
		{"", "ms k %d", "HD", value(most)},
		{"old", "set k 0 0 +%d", "SERVER_ERROR object too large for cache", ""},
		{"", "add k 0 0 +%d", "SERVER_ERROR object too large for cache", ""},
		{"old", "replace k 0 0 +%d", "SERVER_ERROR object too large for cache", "old"},
		{"old", "append k 0 0 +%d", "NOT_STORED", "old"},
		{"old", "prepend k 0 0 +%d", "NOT_STORED", "old"},
		{"old", "ms k +%d", "SERVER_ERROR object too large for cache", ""},
		{"old", "ms k +%d MA", "NS", "old"},
	} {
		c.do("delete k\r\n")
		if test.before != "" {
			c.want(fmt.Sprintf("set k 0 0 %d|%s", len(test.before), test.before), "STORED")
		}
		n, line := most, test.command
		if strings.Contains(line, "+") {
			n, line = most+1, strings.Replace(line, "+", "", 1)
		}
		c.want(fmt.Sprintf(line, n)+"|"+value(n), test.want)
		answer := "END"
		if test.after != "" {
			answer = fmt.Sprintf("VALUE k 0 %d|%s|END", len(test.after), test.after)
		}
		c.want("get k", answer)
	}
}

// TestExptimes converts exptimes at the limits of the protocol's and of an item's numbers.
func TestExptimes(t *testing.T) {
	clock := newFakeClock()
	s := openStore(t, Options{Now: clock.now})
	now := clock.at.Unix()
	for exptime, want := range map[int64]int64{
		0: 0, 1: now + 1, maxRelative: now + maxRelative, maxRelative + 1: maxRelative + 1, now: now, -1: 1, -1 << 31: 1,
		1<<31 - 1: 1<<31 - 1, 1<<32 - 1: 1<<32 - 1, 1 << 32: 1<<32 - 1, 1<<63 - 1: 1<<32 - 1,
	} {
		if got := s.lifetimes.expiryOf(exptime); int64(got) != want {
			t.Errorf("exptime %d: got %d; want %d", exptime, got, want)
		}
	}
	// Classes rise with the TTL, and each has TTLs of its own.
	last, seen := uint8(0), 0
	for ttl := uint32(1); ttl < 60*86400; ttl += 1 + ttl/100 {
		class := classOf(uint32(now)+ttl, uint32(now))
		if class < last || class >= ttlClasses {
			t.Fatalf("a TTL of %d s has class %d; want %d to %d", ttl, class, last, ttlClasses-1)
		}
		if class != last {
			seen++
		}
		last = class
	}
	if seen != ttlClasses-1 {
		t.Errorf("%d classes of TTLs; want %d", seen, ttlClasses-1)
	}
}
