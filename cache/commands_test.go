package cache

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// String shows the item with the beginning of its value.
func (it *modelled) String() string {
	if it == nil {
		return "no item"
	}
	short := *it
	short.value = ""
	return fmt.Sprintf("%d bytes %.40q with %+v", len(it.value), it.value, struct{ modelled }{short})
}

// newCAS is the model's CAS for an item whose new one can't be predicted.
const newCAS = 1<<64 - 1

// A commander sends random commands to a store, and compares every answer, and the item afterwards,
// with a model. Its keys are its own: other commanders may use the same store.
type commander struct {
	t      *testing.T
	client *client
	clock  *fakeClock
	rng    *rand.Rand
	seed   uint64

	prefix  string // of its keys
	keys    int
	sizes   []int // of values: up to one of these
	lanes   int
	noFlush bool
	exact   bool // the store evicts nothing and serves nobody else: every CAS can be predicted

	items   map[string]*modelled
	flushAt uint32
	want    Counters // of what the commands did
}

func newCommander(t *testing.T, s *Store, clock *fakeClock, seed uint64) *commander {
	return &commander{t: t, client: newClient(t, s), clock: clock, rng: rand.New(rand.NewPCG(seed, 1)), seed: seed,
		prefix: "p:k", keys: 60, sizes: []int{0, 20, 100, 1000}, lanes: 1, exact: true, items: map[string]*modelled{}}
}

// step sends one command, or moves the clock, or flushes.
func (d *commander) step() {
	switch op := d.rng.IntN(3000); {
	case op < 60:
		d.pass(time.Duration(d.rng.IntN(20)) * time.Second)
	case op == 60 && !d.noFlush:
		d.flush(0)
	case op == 61 && !d.noFlush:
		d.flush(1 + d.rng.IntN(60))
	default:
		d.send(d.command())
	}
}

func (d *commander) pass(by time.Duration) {
	d.clock.pass(d.client.store, by)
	now := uint32(d.clock.at.Unix())
	if d.flushAt != 0 && d.flushAt <= now {
		clear(d.items)
		d.flushAt = 0
	}
}

func (d *commander) flush(delay int) {
	d.want.Flushes++
	d.client.want(fmt.Sprintf("flush_all %d", delay), "OK")
	d.flushAt = 0
	if delay == 0 {
		clear(d.items)
	} else {
		d.flushAt = uint32(d.clock.at.Unix()) + uint32(delay)
	}
}

// send sends the command and fails the test unless the answer and the item are the model's. If the
// store evicts, they may be those without the item.
func (d *commander) send(c *command) {
	d.t.Helper()
	seqBefore := d.client.store.lifetimes.seq.Load()
	m := &model{now: uint32(d.clock.at.Unix()), nextCAS: newCAS, numberBytes: d.client.store.segmentBytes/2 - 60}
	if d.exact {
		m.nextCAS = seqBefore + 1
	}
	before := m.live(d.items[c.key])
	if _, found := d.peek(c.key); !found && !d.exact {
		before = nil
	}
	d.client.b.Lane = d.rng.IntN(d.lanes)
	got := d.client.do(c.text())
	if c.op == "me" {
		got, _, _ = strings.Cut(got, " cls=")
	}
	want, after := m.apply(c, before)
	state, found := d.peek(c.key)
	fault := d.differs(got, want, state, found, after, seqBefore)
	if fault != "" && !d.exact {
		want, after = m.apply(c, nil)
		fault = d.differs(got, want, state, found, after, seqBefore)
	}
	if fault != "" {
		d.t.Fatalf("seed %d: %.200q to %s: %s\n got %.200q\nwant %.200q", d.seed, c.text(), before, fault, got, want)
	}
	d.want.countModelled(c, before, got)
	delete(d.items, c.key)
	if found && after != nil {
		d.items[c.key] = &state
	}
}

// differs returns how an answer and the item after it differ from the model's, or "".
func (d *commander) differs(got, want string, state modelled, found bool, after *modelled, seqBefore uint64) string {
	if !d.exact {
		got, want = withoutCAS(got), withoutCAS(want)
	}
	switch {
	case got != want:
		return "wrong answer"
	case after == nil && found:
		return "the item is there: " + state.String()
	case after == nil || !found && !d.exact:
		return ""
	case !found:
		return "the item is gone"
	}
	expected := *after
	if expected.cas == newCAS && state.cas > seqBefore {
		expected.cas = state.cas
	}
	if state != expected {
		return fmt.Sprintf("the item is %s; want %s", &state, &expected)
	}
	return ""
}

// withoutCAS replaces the CAS in answers to gets, gats, me and the meta flag c.
func withoutCAS(answer string) string {
	head, value, more := strings.Cut(answer, "\r\n")
	head = casForm.ReplaceAllString(head, "$1 CAS")
	if !more {
		return head
	}
	return head + "\r\n" + value
}

var casForm = regexp.MustCompile(`(^VALUE \S+ \d+ \d+) \d+| c\d+| cas=\d+`)

// peek returns the item of a key as it is in memory.
func (d *commander) peek(key string) (m modelled, found bool) {
	s := d.client.store
	h := s.index.hash([]byte(key))
	st := s.index.stripe(h)
	st.Lock()
	defer st.Unlock()
	at, loc := s.index.find(h, []byte(key))
	if at == 0 {
		return m, false
	}
	it := s.item(loc)
	if s.lifetimes.gone(it, s.lifetimes.now.Load()) {
		return m, false
	}
	return modelled{value: string(s.segments.appendWhole(nil, it)), clientFlags: it.clientFlags(), expiry: it.expiry(),
		cas: it.cas(), accessed: it.accessed(), fetched: it.has(bitFetched), stale: it.has(bitStale),
		won: it.has(bitSent), binary: it.has(bitBinary)}, true
}

// command returns a random command.
func (d *commander) command() *command {
	ops := []string{"get", "gets", "gat", "gats", "set", "set", "add", "replace", "append", "prepend", "cas", "delete",
		"touch", "incr", "decr", "mg", "mg", "mg", "ms", "ms", "ms", "md", "ma", "ma", "me"}
	c := &command{op: ops[d.rng.IntN(len(ops))], key: fmt.Sprint(d.prefix, d.rng.IntN(d.keys)), exptime: d.exptime()}
	if d.rng.IntN(3) == 0 {
		c.clientFlags = d.rng.Uint32()
	}
	cas := uint64(d.rng.IntN(100))
	if it := d.items[c.key]; it != nil && d.rng.IntN(3) > 0 {
		cas = it.cas + uint64(d.rng.IntN(3)) - 1
	}
	c.cas, c.delta = cas, d.rng.Uint64()>>d.rng.IntN(64)
	switch c.op {
	case "set", "add", "replace", "append", "prepend", "cas", "ms":
		c.value = d.value()
		if (c.op == "append" || c.op == "prepend" || c.op == "ms") && len(c.value) > 3000 {
			c.value = c.value[:3000] // or values grow without a limit
		}
	}
	if c.op[0] == 'm' {
		c.clientFlags, c.base64 = 0, d.rng.IntN(8) == 0
		d.addFlags(c, cas)
	}
	return c
}

// metaFlags are the flags of each meta command, with their arguments, of which one is chosen.
var metaFlags = map[string][][]string{
	"mg": {{"v"}, {"v"}, {"k"}, {"f"}, {"s"}, {"c"}, {"t"}, {"h"}, {"l"}, {"O7"}, {"q"}, {"u"}, {"N0", "N40"},
		{"R30", "R0", "R-1"}, {"T50", "T0", "T-1", "T2592001"}, {"C"}},
	"ms": {{"k"}, {"c"}, {"s"}, {"q"}, {"Oabc"}, {"F9", "F4294967295"}, {"T0", "T50", "T-1"}, {"I"}, {"C"}, {"E"},
		{"MS", "ME", "MA", "MP", "MR"}, {"MA", "MP"}, {"N0", "N40"}},
	"md": {{"k"}, {"Ox"}, {"q"}, {"I"}, {"x"}, {"T30", "T0"}, {"C"}, {"E"}},
	"ma": {{"v"}, {"k"}, {"c"}, {"t"}, {"q"}, {"O12345678901234567890123456789ab"}, {"N0", "N40"}, {"J0", "J99", "J12345"},
		{"D1", "D1000000"}, {"MI", "M+", "MD", "M-"}, {"T20", "T0"}, {"C"}, {"E"}},
	"me": {},
}

// addFlags gives the command some of its flags, in any order.
func (d *commander) addFlags(c *command, cas uint64) {
	for _, choice := range metaFlags[c.op] {
		f := choice[d.rng.IntN(len(choice))]
		if d.rng.IntN(3) > 0 || c.has(f[0]) || f == "C" && c.op == "mg" && !d.exact { // that may be a new item's
			continue
		}
		switch f {
		case "C":
			f = fmt.Sprint("C", cas)
		case "E":
			if !d.exact && d.rng.IntN(4) > 0 {
				continue
			}
			f = fmt.Sprint("E", 1+d.rng.IntN(1_000_000))
		}
		c.flags = append(c.flags, f)
	}
	d.rng.Shuffle(len(c.flags), func(i, j int) { c.flags[i], c.flags[j] = c.flags[j], c.flags[i] })
}

// exptime returns a random exptime: none, relative, absolute, or past.
func (d *commander) exptime() int64 {
	switch d.rng.IntN(8) {
	case 0:
		return int64(d.rng.IntN(30))
	case 1:
		return 30*24*3600 - int64(d.rng.IntN(2))
	case 2:
		return d.clock.at.Unix() + int64(d.rng.IntN(100)) - 5
	case 3:
		return int64(d.rng.ExpFloat64() * 3000)
	case 4:
		return -int64(d.rng.IntN(2))
	}
	return 0
}

// value returns a random value: a number, perhaps one that overflows or is padded, or a text.
func (d *commander) value() string {
	switch d.rng.IntN(6) {
	case 0:
		return fmt.Sprint(d.rng.Uint64() >> d.rng.IntN(64))
	case 1:
		texts := []string{"18446744073709551615", "18446744073709551616", " 7", "7  ", "7 x", "0", "-1", "1x", " "}
		return texts[d.rng.IntN(len(texts))]
	}
	size := d.sizes[d.rng.IntN(len(d.sizes))]
	if d.rng.IntN(2) == 0 {
		size = d.rng.IntN(size + 1)
	}
	return strings.Repeat(fmt.Sprintf("%08x", d.rng.Uint32()), size/8+1)[:size]
}

// countModelled counts a command as memcached does, by the item that it found and its answer.
func (c *Counters) countModelled(cmd *command, it *modelled, answer string) {
	if cmd.op[0] == 'm' {
		c.MetaCommands++
	}
	hits := func(found bool, hit, miss *uint64) {
		if found {
			*hit++
		} else {
			*miss++
		}
	}
	mode, _ := cmd.flag('M')
	switch cmd.op {
	case "get", "gets":
		c.Gets++
		hits(it != nil, &c.GetHits, &c.GetMisses)
	case "mg":
		if cmd.has('T') {
			c.Touches++
			hits(it != nil || cmd.has('N'), &c.TouchHits, &c.TouchMisses)
		} else {
			c.Gets++
			hits(it != nil || cmd.has('N'), &c.GetHits, &c.GetMisses)
		}
	case "gat", "gats", "touch":
		c.Touches++
		hits(it != nil, &c.TouchHits, &c.TouchMisses)
	case "delete", "md":
		c.Deletes++
		hits(it != nil && !strings.HasPrefix(answer, "EX"), &c.DeleteHits, &c.DeleteMisses)
	case "incr", "decr", "ma":
		hit, miss := &c.IncrHits, &c.IncrMisses
		if cmd.op == "decr" || mode == "D" || mode == "-" {
			hit, miss = &c.DecrHits, &c.DecrMisses
		}
		if it == nil || !strings.HasPrefix(answer, "CLIENT_ERROR") && !strings.HasPrefix(answer, "EX") {
			hits(it != nil, hit, miss)
		}
	case "set", "add", "replace", "append", "prepend", "cas", "ms":
		c.Sets++
		if cmd.op == "cas" || cmd.op == "ms" && cmd.has('C') && (mode == "" || mode == "S" || mode == "R") {
			switch {
			case it == nil:
				c.CASMisses++
			case strings.HasPrefix(answer, "EX"):
				c.CASBadval++
			default:
				c.CASHits++
			}
		}
	}
}

// checkCounters compares the store's counters with those of the model.
func (d *commander) checkCounters() {
	d.t.Helper()
	got := d.client.store.Snapshot().Counters
	got.GetExpired, got.GetFlushed, got.Stored = 0, 0, 0 // of these the model has none
	if got != d.want {
		d.t.Errorf("seed %d: counters\n got %+v\nwant %+v", d.seed, got, d.want)
	}
}

// checkAccounts checks all that the store counts twice, and that counts by prefix, which must be
// on, add up to the items that were stored since the start.
func checkAccounts(t testing.TB, s *Store) {
	t.Helper()
	s.checkInvariants(t)
	n := s.Snapshot()
	var items, bytes, wantItems, wantBytes int64
	for _, p := range n.Prefixes {
		items += p.Items
		bytes += p.Bytes
	}
	for b := range s.index.buckets.Load() {
		s.index.eachInBucket(b, func(_ uint64, it item) {
			if it.seq() > s.counting.since {
				wantItems++
				wantBytes += int64(it.memoryBytes())
			}
		})
	}
	if items != wantItems || bytes != wantBytes {
		t.Errorf("by prefix there are %d items of %d bytes; want %d of %d", items, bytes, wantItems, wantBytes)
	}
	segments := int64(len(s.segments.table)) * int64(s.segmentBytes)
	if used := n.IndexBytes + n.GhostBytes + n.SmallBytes + n.MainBytes + n.FreeBytes; used > segments ||
		used < segments-2*int64(s.segmentBytes) { // at most two victims are in no sum
		t.Errorf("%d bytes of segments in all parts; want %d", used, segments)
	}
}

// TestCommandsAgainstModel sends every command, with all flags, to stores of several kinds, and
// compares each answer and item with a model. It checks the store's accounts after each command
// while that is cheap.
func TestCommandsAgainstModel(t *testing.T) {
	for name, test := range map[string]struct {
		o           Options
		keys, steps int
		sizes       []int
		evicts      bool
		checkEach   int
	}{
		"small items":    {Options{MemoryBytes: 16 << 20}, 60, 30_000, []int{0, 20, 100, 1000}, false, 10},
		"several lanes":  {Options{MemoryBytes: 16 << 20, Lanes: 3}, 30, 15_000, []int{0, 20, 100}, false, 10},
		"few keys":       {Options{MemoryBytes: 16 << 20}, 3, 15_000, []int{8, 200}, false, 10},
		"large values":   {Options{MemoryBytes: 32 << 20}, 20, 4_000, []int{10, 30_000, 70_000, 300_000}, false, 5},
		"growing index":  {Options{MemoryBytes: 64 << 20}, 40_000, 80_000, []int{0, 20}, false, 10_000},
		"evicting":       {Options{MemoryBytes: 1 << 20}, 4_000, 30_000, []int{1000, 3000, 6000}, true, 10},
		"evicting large": {Options{MemoryBytes: 4 << 20}, 300, 4_000, []int{50_000, 200_000, 300_000}, true, 5},
	} {
		t.Run(name, func(t *testing.T) {
			seed := testSeed(t)
			clock := newFakeClock()
			test.o.Now, test.o.Seed, test.o.Detail = clock.now, seed, true
			d := newCommander(t, openStore(t, test.o), clock, seed)
			d.keys, d.sizes, d.lanes, d.exact = test.keys, test.sizes, max(test.o.Lanes, 1), !test.evicts
			grows := name == "growing index"
			d.noFlush = grows
			if testing.Short() { // then few steps prove little about growth and evictions
				test.steps /= 5
				test.checkEach *= 10
			}
			for n := range test.steps {
				d.step()
				if n%test.checkEach == 0 {
					checkAccounts(t, d.client.store)
				}
				if t.Failed() {
					t.Fatalf("seed %d: after step %d", seed, n)
				}
			}
			if d.exact {
				d.checkCounters()
			}
			if buckets := d.client.store.index.buckets.Load(); grows && buckets <= minBuckets && !testing.Short() {
				t.Errorf("%d buckets; want more than at the start, %d", buckets, minBuckets)
			}
			n := d.client.store.Snapshot()
			if evicted := n.EvictedRead + n.EvictedUnread; (evicted > 0) != test.evicts && !testing.Short() {
				t.Errorf("%d evictions; want some: %v", evicted, test.evicts)
			}
		})
	}
}

// TestCommandsOverRestarts stops and starts a store with a file between random commands, with time
// passing: nothing that a client can see changes.
func TestCommandsOverRestarts(t *testing.T) {
	seed := testSeed(t)
	clock := newFakeClock()
	o := Options{File: filepath.Join(t.TempDir(), "memory"), MemoryBytes: 8 << 20, Now: clock.now, Detail: true}
	d := newCommander(t, openWarm(t, o, false, ""), clock, seed)
	d.sizes = []int{20, 1000, 40_000, 100_000}
	const restarts, steps = 25, 200
	for range restarts {
		for range steps {
			d.step()
		}
		if d.rng.IntN(3) == 0 {
			d.flush(1 + d.rng.IntN(40)) // which may be due while the store is closed
		}
		checkAccounts(t, d.client.store)
		closeStore(t, d.client.store)
		d.clock.at = d.clock.at.Add(time.Duration(d.rng.IntN(30)) * time.Second)
		d.client.store = openWarm(t, o, true, "")
		d.pass(0)
		for key, it := range d.items {
			m := &model{now: uint32(clock.at.Unix())}
			if got, found := d.peek(key); found != (m.live(it) != nil) || found && got != *it {
				t.Fatalf("seed %d: after a restart %s is %+v, %v; want %+v", seed, key, got, found, it)
			}
		}
	}
	closeStore(t, d.client.store)
}

// TestCommandersOnLanes has several commanders on one store, each on a lane and with keys of its
// own, while memory is short and others list, count and resize: each finds its own items as it left
// them, or evicted.
func TestCommandersOnLanes(t *testing.T) {
	seed := testSeed(t)
	clock := newFakeClock()
	s := openStore(t, Options{MemoryBytes: 3 << 20, Lanes: 4, Now: clock.now, Detail: true})
	steps := 6000
	if testing.Short() {
		steps = 1500
	}
	var wg sync.WaitGroup
	for n := range 4 {
		d := newCommander(t, s, clock, seed+uint64(n))
		d.prefix, d.keys, d.sizes, d.lanes, d.exact = fmt.Sprintf("p%d:", n), 500, []int{20, 3000, 60_000}, 4, false
		wg.Go(func() {
			for range steps {
				d.send(d.command())
				if t.Failed() {
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
			s.Tick()
			s.Snapshot()
			s.Dump(nil, 0, true)
		}
	}
	if n := s.Snapshot(); n.EvictedRead+n.EvictedUnread == 0 {
		t.Error("no evictions; want some")
	}
	checkAccounts(t, s)
}

// TestCountersAddUp: sums of counters have every field.
func TestCountersAddUp(t *testing.T) {
	check := func(sum, one any, add func()) {
		to, from := reflect.ValueOf(sum).Elem(), reflect.ValueOf(one).Elem()
		for i := range from.NumField() {
			to.Field(i).Set(reflect.ValueOf(i + 1000).Convert(to.Field(i).Type()))
			from.Field(i).Set(reflect.ValueOf(2 * i).Convert(from.Field(i).Type()))
		}
		add()
		for i := range from.NumField() {
			if got, want := fmt.Sprint(to.Field(i)), fmt.Sprint(3*i+1000); got != want {
				t.Errorf("%T.%s: got %s; want %s", sum, to.Type().Field(i).Name, got, want)
			}
		}
	}
	var counters, counted Counters
	check(&counters, &counted, func() { counters.add(&counted) })
	var prefixes, prefix PrefixStats
	check(&prefixes, &prefix, func() { prefixes.add(&prefix) })
}
