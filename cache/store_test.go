package cache

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/mc"
)

func TestGetAllocatesNothing(t *testing.T) {
	s := openStore(t, Options{Detail: true})
	c := newClient(t, s)
	c.want("set user:000000000000001 0 0 5|value", "STORED")
	lines := map[string]string{
		"get":  "get user:000000000000001\r\n",
		"gets": "gets user:000000000000001 user:000000000000002\r\n",
		"mg":   "mg user:000000000000001 v f t c\r\n",
		"set":  "set user:000000000000001 0 0 5\r\nvalue\r\n",
		"grow": "set user:000000000000001 0 0 5\r\nvalue\r\n" +
			"set user:000000000000001 0 0 50\r\n" + strings.Repeat("v", 50) + "\r\n",
		"incr":     "set n 0 0 2\r\n10\r\nincr n 1\r\n",
		"touch":    "touch user:000000000000001 10\r\ntouch user:000000000000001 0\r\n",
		"multiget": "get" + strings.Repeat(" user:000000000000001", 100) + "\r\n",
	}
	for name, text := range lines {
		in := []byte(text)
		run := func() {
			c.b.Reset()
			if _, err := c.d.Decode(in, c.b); err != nil {
				t.Fatal(err)
			}
			s.Serve(c.b)
		}
		run()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations; want none", name, n)
		}
	}
}

func TestWarmRestart(t *testing.T) {
	clock := newFakeClock()
	o := Options{File: filepath.Join(t.TempDir(), "memory"), MemoryBytes: 8 << 20, Now: clock.now}
	s := openWarm(t, o, false, "")
	c := newClient(t, s)
	big := strings.Repeat("large", 60_000)
	c.want("set a 7 100 1|x|set gone 0 5 1|x|ms b 1 E77|y", "STORED|STORED|HD")
	c.do(fmt.Sprintf("set big 0 0 %d\r\n%s\r\n", len(big), big))
	for i := range 20_000 {
		c.do(fmt.Sprintf("set k%d 0 0 3\r\nval\r\n", i))
	}
	c.want("delete k5", "DELETED")
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("opened twice: %v; want that it is in use", err)
	}
	closeStore(t, s)

	clock.at = clock.at.Add(10 * time.Second)
	s = openWarm(t, o, true, "")
	c = newClient(t, s)
	c.want("mg a v f t", "VA 1 f7 t90|x")
	c.want("get gone k5", "END")
	c.want("mg b c v", "VA 1 c77|y")
	if got := c.do("get big\r\n"); !strings.Contains(got, big) {
		t.Errorf("get big: got %d bytes; want the value", len(got))
	}
	found := 0
	for i := range 20_000 {
		if c.do(fmt.Sprintf("get k%d\r\n", i)) != "END\r\n" {
			found++
		}
	}
	if found != 19_999 {
		t.Errorf("%d of 19999 items after the restart", found)
	}
	c.want("ms seq 1 c|x", "HD c20005")
	closeStore(t, s)

	// A file that can't be trusted is emptied, and Warm returns the reason.
	for _, bad := range []struct {
		why   string
		spoil func(o *Options)
	}{
		{"it was not stopped cleanly", func(*Options) { s.unmap() }}, // opened below, and never closed
		{"its hash seed differs", func(o *Options) { o.Seed = 42 }},
		{"bytes, and this cache's memory", func(o *Options) { o.MemoryBytes = 16 << 20 }},
		{"its first start did not finish", func(o *Options) {
			overwriteFile(t, o.File, 0, "\x00\x00\x00\x00\x00\x00\x00\x00")
		}},
		{"its format is version", func(o *Options) { overwriteFile(t, o.File, 8, "\xff") }},
		{"its format is version 2 (344) and", func(o *Options) { overwriteFile(t, o.File, 8, "\x02\x00\x00\x00\x58\x01") }},
	} {
		o := o
		s = openAny(t, o)
		if !strings.Contains(bad.why, "cleanly") {
			closeStore(t, s)
		}
		bad.spoil(&o)
		s = openWarm(t, o, false, bad.why)
		newClient(t, s).want("get a", "END")
		closeStore(t, s)
	}
}

func TestForeignFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "letters")
	if err := os.WriteFile(name, []byte("dear reader"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{File: name}); err == nil {
		t.Error("opened; want an error")
	}
	if data, err := os.ReadFile(name); err != nil || string(data) != "dear reader" {
		t.Errorf("the file holds %q, %v", data, err)
	}
}

func openAny(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openWarm(t *testing.T, o Options, warm bool, why string) *Store {
	t.Helper()
	s := openAny(t, o)
	if got, gotWhy := s.Warm(); got != warm || !strings.Contains(gotWhy, why) || why == "" && gotWhy != "" {
		t.Errorf("warm %v, reason %q; want %v, %q", got, gotWhy, warm, why)
	}
	return s
}

func closeStore(t *testing.T, s *Store) {
	t.Helper()
	s.checkInvariants(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func overwriteFile(t *testing.T, name string, at int64, data string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(data), at); err != nil {
		t.Fatal(err)
	}
}

// TestExpiryFreesMemory fills the memory three times with items that expire. Nothing reads them,
// and yet no store may need eviction, which is disabled.
func TestExpiryFreesMemory(t *testing.T) {
	clock := newFakeClock()
	s := openStore(t, Options{MemoryBytes: 8 << 20, NoEvict: true, Now: clock.now})
	c := newClient(t, s)
	value := strings.Repeat("v", 1000)
	for round := range 3 {
		for i := range 5000 {
			ttl := 20 + i%3*100
			c.want(fmt.Sprintf("set r%d:%d 0 %d 1000|%s", round, i, ttl, value), "STORED")
		}
		clock.pass(s, 25*time.Second)
		if got := s.Snapshot().Items; got != 3333 {
			t.Errorf("round %d: %d items; want those with the longer TTLs, 3333", round, got)
		}
		clock.pass(s, 300*time.Second)
		if got := s.Snapshot().Items; got != 0 {
			t.Errorf("round %d: %d items; want none", round, got)
		}
	}
}

// TestNoEvict: a store without eviction refuses stores when its memory is full, keeps all items,
// and accepts about as many new ones as are deleted.
func TestNoEvict(t *testing.T) {
	s := openStore(t, Options{MemoryBytes: 4 << 20, NoEvict: true})
	c := newClient(t, s)
	value := strings.Repeat("v", 2000)
	set := func(i int) bool { return c.do(fmt.Sprintf("set k%d 0 0 2000\r\n%s\r\n", i, value)) == mc.Stored }
	n := 0
	for set(n) {
		n++
	}
	if n < 1500 {
		t.Errorf("%d items of 2 KB in 4 MiB; want 1500 at least", n)
	}
	c.want("set another 0 0 4000|"+value+value, "SERVER_ERROR out of memory storing object")
	for i := range n {
		if !strings.Contains(c.do(fmt.Sprintf("get k%d\r\n", i)), value) {
			t.Fatalf("k%d of %d is gone", i, n)
		}
	}
	for i := 0; i < n; i += 2 {
		c.want(fmt.Sprintf("delete k%d", i), "DELETED")
	}
	again := 0
	for set(n + again) {
		again++
	}
	if again < n*2/5 {
		t.Errorf("after %d deletes %d stores; want at least %d", (n+1)/2, again, n*2/5)
	}
}

func TestFlush(t *testing.T) {
	clock := newFakeClock()
	s := openStore(t, Options{Now: clock.now})
	c := newClient(t, s)
	c.want("set a 0 0 1|x|flush_all|set b 0 0 1|y|get a b", "STORED|OK|STORED|VALUE b 0 1|y|END")
	c.want("flush_all 10|set c 0 0 1|z", "OK|STORED")
	clock.pass(s, 9*time.Second)
	c.want("get b c", "VALUE b 0 1|y|VALUE c 0 1|z|END")
	clock.pass(s, time.Second)
	c.want("get b c", "END")
	if got := s.Snapshot().Items; got != 0 {
		t.Errorf("%d items; want none", got)
	}
	c.want("set d 0 0 1|x|get d", "STORED|VALUE d 0 1|x|END")
}

func TestTTLRules(t *testing.T) {
	clock := newFakeClock()
	s := openStore(t, Options{Now: clock.now, TTLs: []TTLRule{
		{Prefix: "", Default: 1000 * time.Second},
		{Prefix: "s:", Default: 100 * time.Second, Jitter: 0.2},
		{Prefix: "s:exact", Jitter: 0},
	}})
	c := newClient(t, s)
	c.want("set a 0 0 1|x|set b 0 7 1|x|set s:exact 0 0 1|x|set s:exact2 0 50 1|x", "STORED|STORED|STORED|STORED")
	c.want("mg a t|mg b t|mg s:exact t|mg s:exact2 t", "HD t1000|HD t7|HD t-1|HD t50")
	seen := map[int]int{}
	for i := range 1000 {
		c.want(fmt.Sprintf("set s:%d 0 0 1|x", i), "STORED")
		var ttl int
		if _, err := fmt.Sscanf(c.do(fmt.Sprintf("mg s:%d t\r\n", i)), "HD t%d", &ttl); err != nil {
			t.Fatal(err)
		}
		seen[ttl]++
	}
	for ttl := range seen {
		if ttl < 80 || ttl > 120 {
			t.Errorf("a TTL of %d; want 80 to 120", ttl)
		}
	}
	if len(seen) < 30 {
		t.Errorf("%d different TTLs; want them spread", len(seen))
	}
}

// TestPinned deletes, replaces and evicts a large value while it is being sent.
func TestPinned(t *testing.T) {
	s := openStore(t, Options{MemoryBytes: 8 << 20})
	c := newClient(t, s)
	value := strings.Repeat("0123456789", 30_000)
	set := fmt.Sprintf("set big 0 0 %d\r\n%s\r\n", len(value), value)
	c.do(set)
	reader := newClient(t, s)
	if _, err := reader.d.Decode([]byte("get big\r\nget big\r\n"), reader.b); err != nil {
		t.Fatal(err)
	}
	s.Serve(reader.b)
	c.do(set)
	c.want("delete big", "DELETED")
	for i := range 200 {
		c.do(fmt.Sprintf("set other%d 0 0 %d\r\n%s\r\n", i, len(value), strings.Repeat("abcdefghij", 30_000)))
	}
	reader.collect()
	for reader.b.Next < len(reader.b.Requests) {
		s.Serve(reader.b)
		reader.collect()
	}
	want := fmt.Sprintf("VALUE big 0 %d\r\n%s\r\nEND\r\n", len(value), value)
	if got := string(reader.out); !strings.HasPrefix(got, want) {
		t.Errorf("got %d bytes, %.40q…; want the value at the time of the get", len(got), got)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{
		{MemoryBytes: 1000}, {MemoryBytes: 4 << 20, ItemMaxBytes: 3 << 20}, {ItemMaxBytes: 10},
		{TTLs: []TTLRule{{Jitter: 1}}}, {TTLs: []TTLRule{{Default: -1}}}, {File: "/nonexistent/dir/file"},
	} {
		if s, err := Open(o); err == nil {
			s.Close()
			t.Errorf("%+v: opened; want an error", o)
		}
	}
}

func TestWriteZeros(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "memory"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("kept"); err != nil {
		t.Fatal(err)
	}
	const n = 3<<20 + 5
	if err := writeZeros(f, n); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(f.Name())
	if err != nil || len(data) != n || string(data[:4]) != "kept" || strings.Trim(string(data[4:]), "\x00") != "" {
		t.Errorf("%d bytes, %v; want %d, with zeros after the old contents", len(data), err, n)
	}
}

func TestDump(t *testing.T) {
	s := openStore(t, Options{})
	c := newClient(t, s)
	c.want("set a 7 0 2|xy|ms YQ0KYg== 1 b T100|z", "STORED|HD")
	dump := func(mgdump bool) (out string) {
		for cursor, more := uint64(0), true; more; more = cursor != 0 {
			var part []byte
			part, cursor = s.Dump(nil, cursor, mgdump)
			out += string(part)
		}
		return out
	}
	for _, want := range []string{"mg a\r\n", "mg YQ0KYg== b\r\n"} {
		if got := dump(true); !strings.Contains(got, want) {
			t.Errorf("mgdump: got %q; want %q in it", got, want)
		}
	}
	for _, want := range []string{"key=a exp=-1 ", "key=a%0D%0Ab exp=", " flags=7\n"} {
		if got := dump(false); !strings.Contains(got, want) {
			t.Errorf("metadump: got %q; want %q in it", got, want)
		}
	}
}

// TestLargeValuesCount: the chunks of large values count as memory of their items.
func TestLargeValuesCount(t *testing.T) {
	s := openStore(t, Options{MemoryBytes: 64 << 20, Detail: true})
	c := newClient(t, s)
	const count, valueBytes = 20, 900_000
	for i := range count {
		c.do(fmt.Sprintf("set p:%d 0 0 %d\r\n%s\r\n", i, valueBytes, strings.Repeat("v", valueBytes)))
	}
	n := s.Snapshot()
	if low := int64(count * valueBytes); n.Items != count || n.ItemBytes < low || n.ItemBytes > low+count*100 {
		t.Errorf("got %d items of %d bytes; want %d of %d and a little", n.Items, n.ItemBytes, count, low)
	}
	if p := n.Prefixes["p"]; p.Bytes != n.ItemBytes || p.Items != count {
		t.Errorf("by prefix: got %d items of %d bytes; want the same as in all", p.Items, p.Bytes)
	}
	c.want("me p:1", "ME p:1 exp=-1 la=0 cas=2 fetch=no cls=1 size=900048")
	for i := range count {
		c.do(fmt.Sprintf("delete p:%d\r\n", i))
	}
	if n := s.Snapshot(); n.ItemBytes != 0 || n.Prefixes["p"].Bytes != 0 {
		t.Errorf("after deleting them: got %d bytes, %d of the prefix; want 0", n.ItemBytes, n.Prefixes["p"].Bytes)
	}
}

// TestPrefixesAfterRestart: counts by prefix begin anew with a process, so the items of an earlier
// one are in none, neither when they are touched or marked nor when they go.
func TestPrefixesAfterRestart(t *testing.T) {
	o := Options{File: filepath.Join(t.TempDir(), "memory"), MemoryBytes: 8 << 20, Detail: true}
	s := openWarm(t, o, false, "")
	newClient(t, s).want("set p:a 0 0 1|x|set p:b 0 0 1|x|set p:c 0 0 1|x|set p:d 0 0 1|x", "STORED|STORED|STORED|STORED")
	closeStore(t, s)
	s = openWarm(t, o, true, "")
	c := newClient(t, s)
	c.want("delete p:a|touch p:b 100|set p:c 0 0 2|xy|md p:d I", "DELETED|TOUCHED|STORED|HD")
	if got := s.Snapshot().Prefixes["p"]; got.Items != 2 { // c and d are stored anew
		t.Errorf("got %d items; want 2", got.Items)
	}
	c.want("delete p:b|delete p:c|delete p:d", "DELETED|DELETED|DELETED")
	if got := s.Snapshot().Prefixes["p"]; got.Items != 0 || got.Bytes != 0 {
		t.Errorf("after deleting all: got %d items of %d bytes; want none", got.Items, got.Bytes)
	}
	closeStore(t, s)
}
