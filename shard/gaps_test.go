package shard

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

// A gapBody takes a place in the log and makes no change.
type gapBody struct{}

func (gapBody) kind() entryKind                                  { return 0 }
func (gapBody) appendTo(dst []byte) []byte                       { return dst }
func (gapBody) stage(*entry, *pebble.Batch, pebble.Reader) error { return nil }
func (gapBody) apply(*entry, *pebble.Batch) error                { return nil }
func (gapBody) install(*entry)                                   {}

// A lateBody changes an item at a time that may be before that of the change before it, as the parts
// of a transaction over several shards do.
type lateBody struct {
	gapBody
	effects []effect
	at      int64
}

func (x *lateBody) stage(e *entry, b *pebble.Batch, from pebble.Reader) error {
	e.effects = x.effects
	if err := e.readBefore(from); err != nil {
		return err
	}
	return e.stageEffects(b, from)
}

func (x *lateBody) apply(e *entry, b *pebble.Batch) error { return e.applyEffects(b, x.at) }

// A gappyLog is a shard whose log has random gaps, and times of changes that fall, and what must be
// found in it.
type gappyLog struct {
	t       *testing.T
	rng     *rand.Rand
	clock   *clock
	store   *Store
	shard   *Shard
	options Options
	items   map[string]item.Item
	ready   map[string]int64 // by key: no earlier time is possible for its next change
	made    []madeChange
	end     uint64 // the last index
}

// A madeChange is a change that must be in the log.
type madeChange struct {
	at     holdfast.Position
	time   int64 // of its transaction
	tally  int64 // the highest time up to there
	before map[string]item.Item
}

func newGappyLog(t *testing.T, seed uint64) *gappyLog {
	g := &gappyLog{t: t, rng: rand.New(rand.NewPCG(seed, 21)), clock: newClock(), items: map[string]item.Item{},
		ready: map[string]int64{}}
	g.options = memOptions(vfs.NewMem())
	g.options.Now, g.options.LogAge = g.clock.read, time.Hour
	g.store = openStore(t, g.options)
	g.shard = openShard(t, g.store, 1)
	return g
}

// propose proposes a body, and returns when it is on disk.
func (g *gappyLog) propose(x body) {
	g.t.Helper()
	g.end = proposed(g.t, g.shard, x).tx.Index
}

// step makes a gap or a change.
func (g *gappyLog) step() {
	g.clock.advance(time.Duration(g.rng.IntN(2000)) * time.Millisecond)
	for range g.rng.IntN(3) {
		g.propose(gapBody{})
	}
	it := thing(fmt.Sprint("id", g.rng.IntN(8)), 1, "g", "x", "v", g.rng.IntN(1000))
	key := keyOf(g.t, it)
	c := madeChange{before: maps.Clone(g.items)}
	if g.rng.IntN(3) == 0 {
		now := g.clock.read().UnixNano()
		c.time = max(g.ready[string(key)], now-g.rng.Int64N(int64(20*time.Second)))
		g.propose(&lateBody{at: c.time, effects: []effect{effectOf(g.t, it)}})
	} else {
		r := commitAll(g.t, g.store, put(g.t, g.shard, it))
		g.end, c.time = r[0].Tx.Index, g.shard.tally.at
	}
	c.at, c.tally = holdfast.Position{Index: g.end}, g.shard.tally.at
	g.items[string(key)], g.ready[string(key)] = it, c.time
	g.made = append(g.made, c)
}

// kept returns the changes that aren't removed if all before a time are, but for the newest.
func (g *gappyLog) kept(nanos int64) []madeChange {
	for i, c := range g.made {
		if c.tally >= nanos || i == len(g.made)-1 {
			return g.made[i:]
		}
	}
	return nil
}

// compareChanges reads the log in pieces, from every position on.
func (g *gappyLog) compareChanges() {
	g.t.Helper()
	oldest := g.shard.Oldest()
	for first := oldest.Index; first <= g.end+1; first++ {
		at := holdfast.Position{Index: first}
		want := g.made
		for len(want) > 0 && want[0].at.Index < first {
			want = want[1:]
		}
		for {
			changes, next, err := g.shard.Changes(at, Limit{Changes: 1 + g.rng.IntN(4)})
			if err != nil {
				g.t.Fatalf("from %v: %v", at, err)
			}
			for i, c := range changes {
				if i >= len(want) || c.Tx.Index != want[i].at.Index || c.At.UnixNano() != want[i].time {
					g.t.Fatalf("from %v: got %v of %v; want %+v", at, c.Tx, c.At, want[:min(len(want), 1)])
				}
			}
			want = want[len(changes):]
			if len(changes) == 0 {
				if len(want) > 0 || next != g.shard.End() {
					g.t.Fatalf("from %v: got the end at %v; want %d changes more, and the end at %v", at, next, len(want),
						g.shard.End())
				}
				break
			}
			at = next
		}
	}
}

// compareCopy copies the shard as of a time: it has all transactions up to there, and no later one.
func (g *gappyLog) compareCopy(at time.Time) {
	g.t.Helper()
	want := map[string]item.Item{}
	state := g.items
	for i := len(g.made) - 1; i >= 0; i-- { // undo each one that is later, whatever its place
		c := g.made[i]
		for key, it := range state {
			if _, undone := want[key]; !undone && g.changedBy(i, key) && c.time <= at.UnixNano() {
				want[key] = it
			}
		}
		state = c.before
	}
	if _, err := g.store.Copy(bg, g.shard, whole(9), at); err != nil {
		g.t.Fatal(err)
	}
	copied, err := g.store.Open(whole(9), Schema{Key: testSchema().Key})
	if err != nil {
		g.t.Fatal(err)
	}
	got := map[string]item.Item{}
	for _, it := range all(g.t, copied, Span{}) {
		got[string(keyOf(g.t, it))] = it
	}
	if !sameState(got, want) {
		for key, it := range want {
			if !got[key].Equal(it) {
				g.t.Fatalf("copy as of %v: got %v; want %v", at, got[key], it)
			}
		}
		g.t.Fatalf("copy as of %v: got %d items; want %d", at, len(got), len(want))
	}
	if err := g.store.Drop(whole(9)); err != nil {
		g.t.Fatal(err)
	}
}

// changedBy reports whether the change of that number is of a key.
func (g *gappyLog) changedBy(i int, key string) bool {
	after := g.items
	if i+1 < len(g.made) {
		after = g.made[i+1].before
	}
	return !after[key].Equal(g.made[i].before[key])
}

// Some entries make no change, so that the log of changes has gaps, and a transaction over several
// shards may have a time before that of its neighbour. Whatever finds its place in the log finds the
// right one: readers from every position, trims to every time, restores, the check, a restart.
func TestLogWithGaps(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g := newGappyLog(t, seed)
			for range 40 {
				g.step()
			}
			g.propose(gapBody{})
			g.compareChanges()
			for range 10 {
				c := g.made[g.rng.IntN(len(g.made))]
				g.compareCopy(time.Unix(0, c.time+g.rng.Int64N(3)-1))
			}
			for range 3 {
				g.trimSome()
				g.compareChanges()
				g.step()
			}
			if err := g.store.Close(); err != nil {
				t.Fatal(err)
			}
			checkStore(t, g.options, 1)
			g.store = openStore(t, g.options)
			g.shard = openShard(t, g.store, 1)
			if got := g.shard.Counts(); got.Applied != g.end || got.Items != int64(len(g.items)) {
				t.Errorf("after a restart: got %+v; want %d applied, %d items", got, g.end, len(g.items))
			}
			g.compareChanges()
		})
	}
}

// trimSome looks what trims to all times would keep, and trims to one of them.
func (g *gappyLog) trimSome() {
	g.t.Helper()
	for _, c := range g.made {
		for by := int64(-1); by <= 1; by++ {
			to, err := g.shard.history.trimmedTo(c.tally+by, math.MaxUint64)
			if err != nil {
				g.t.Fatal(err)
			}
			want := g.kept(c.tally + by)[0]
			if to.oldest > want.at.Index {
				g.t.Fatalf("trimmed to %d: got %+v; want %v kept", c.tally+by, to, want.at)
			}
			for _, gone := range g.made {
				if gone.at.Index < want.at.Index && gone.at.Index >= to.oldest {
					g.t.Fatalf("trimmed to %d: got %+v; want %v removed", c.tally+by, to, gone.at)
				}
			}
		}
	}
	to := g.made[g.rng.IntN(len(g.made)/2)].tally
	g.store.logAge = g.clock.read().Sub(time.Unix(0, to))
	if err := g.store.Trim(bg); err != nil {
		g.t.Fatal(err)
	}
	g.made = g.kept(to)
}

// The oldest change can be read at any time, also while a trim moves it.
func TestOldestIsReadDuringTrims(t *testing.T) {
	clock := newClock()
	o := memOptions(vfs.NewMem())
	o.Now, o.LogAge = clock.read, time.Second
	s := openStore(t, o)
	sh := openShard(t, s, 1)
	commitAll(t, s, put(t, sh, thing("a", 1)))
	read := func() {
		if _, _, err := sh.Changes(holdfast.Position{}, Limit{Changes: 1}); err != nil {
			t.Fatal(err)
		}
	}
	whileReading(func() {
		for n := range 300 {
			commitAll(t, s, put(t, sh, thing("a", 1, "v", n)))
			clock.advance(2 * time.Second)
			if err := s.Trim(bg); err != nil {
				t.Error(err)
			}
		}
	}, read, read)
}
