package node

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
)

// FakeGroups are comparables of nodes 1 to 3, of which this is node 1.
type fakeGroups struct {
	ids   []holdfast.ShardID
	found func(node holdfast.NodeID, tx holdfast.TxID) (string, error) // a checksum
	fail  func(node holdfast.NodeID) error                             // of accusations; nil: none
	away  []holdfast.NodeID

	mu      sync.Mutex // guards what follows
	index   uint64
	when    map[holdfast.ShardID][]time.Time // of proposals
	accused []string
}

func (g *fakeGroups) led() []holdfast.ShardID { return g.ids }

func (g *fakeGroups) name(id holdfast.ShardID) string { return fmt.Sprintf("shard %d of table t", id) }

func (g *fakeGroups) members(holdfast.ShardID) (voters, learners []holdfast.NodeID) {
	return []holdfast.NodeID{1, 2, 3}, nil
}

func (g *fakeGroups) up(id holdfast.NodeID) bool { return !slices.Contains(g.away, id) }

func (g *fakeGroups) propose(_ context.Context, id holdfast.ShardID) (holdfast.TxID, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.when == nil {
		g.when = map[holdfast.ShardID][]time.Time{}
	}
	g.when[id] = append(g.when[id], time.Now())
	g.index++
	return holdfast.TxID{Shard: id, Term: 2, Index: g.index}, nil
}

func (g *fakeGroups) checksum(
	_ context.Context, node holdfast.NodeID, tx holdfast.TxID,
) (sumForm, error) {
	sum, err := g.found(node, tx)
	return sumForm{Sum: sum, Keys: 3, Bytes: 30}, err
}

func (g *fakeGroups) accuse(_ context.Context, node holdfast.NodeID, a accusation) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.accused = append(g.accused, fmt.Sprintf("%d: %s %s; %s", node, a.Sum, a.Unreadable, listed(a.Agree)))
	if g.fail != nil {
		return g.fail(node)
	}
	return nil
}

// compared returns when a shard was compared.
func (g *fakeGroups) compared(id holdfast.ShardID) []time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.when[id])
}

func newComparer(every time.Duration, g *fakeGroups) *comparer {
	c := &comparer{}
	c.init(1, every, g, slog.New(slog.DiscardHandler))
	return c
}

// What replicas have decides who is stopped: whoever differs twice from a majority, the leader last;
// nobody otherwise. A node that isn't ready is asked again, one that is away or has no checksum isn't
// waited for.
func TestComparer(t *testing.T) {
	behind := holdfast.Errorf(holdfast.Behind, "it isn't computed yet")
	gone := holdfast.Errorf(holdfast.Gone, "it was given up")
	corrupt := holdfast.Errorf(holdfast.Corrupt, "a damaged block")
	sums := func(all ...string) func(holdfast.NodeID, holdfast.TxID) (string, error) {
		return func(node holdfast.NodeID, _ holdfast.TxID) (string, error) { return all[node-1], nil }
	}
	patience := 3
	for _, test := range []struct {
		name    string
		found   func(holdfast.NodeID, holdfast.TxID) (string, error)
		away    []holdfast.NodeID
		accused string
		want    string
	}{
		{"equal", sums("a", "a", "a"), nil, "[]", "equal: the same at nodes 1, 2, 3"},
		{"one differs", sums("a", "a", "b"), nil, "[3: b ; 1 and 2]",
			"differs: node 3 differs from a majority, nodes 1, 2"},
		{"the leader differs", sums("b", "a", "a"), nil, "[1: b ; 2 and 3]",
			"differs: node 1 differs from a majority, nodes 2, 3"},
		{"all differ", sums("a", "b", "c"), nil, "[]", "undecided: nodes 1, 2, 3 differ, and no majority agrees"},
		{"once", func(node holdfast.NodeID, tx holdfast.TxID) (string, error) {
			return []string{"a", "b"}[tx.Index%2*uint64(node)/3], nil
		}, nil, "[]", "equal: the same at nodes 1, 2, 3"},
		{"another each time", func(node holdfast.NodeID, tx holdfast.TxID) (string, error) {
			if uint64(node) == tx.Index+1 {
				return "b", nil
			}
			return "a", nil
		}, nil, "[]", "differs: node 3 differs from a majority, nodes 1, 2"},
		{"late", func(node holdfast.NodeID, _ holdfast.TxID) (string, error) {
			if patience--; node == 3 && patience > 0 {
				return "", behind
			}
			return "a", nil
		}, nil, "[]", "equal: the same at nodes 1, 2, 3"},
		{"away", func(node holdfast.NodeID, _ holdfast.TxID) (string, error) {
			if node == 3 {
				return "", holdfast.Errorf(holdfast.Refused, "no connection")
			}
			return "a", nil
		}, []holdfast.NodeID{3}, "[]", "incomplete: the same at nodes 1, 2; not compared: node 3: no connection"},
		{"restarted", func(node holdfast.NodeID, _ holdfast.TxID) (string, error) {
			if node == 1 {
				return "", gone
			}
			return string('a' + byte(node)), nil
		}, nil, "[]", "undecided: nodes 2, 3 differ, and no majority agrees; not compared: node 1: it was given up"},
		{"unreadable", func(node holdfast.NodeID, _ holdfast.TxID) (string, error) {
			if node == 1 {
				return "", corrupt
			}
			return "a", nil
		}, nil, "[1:  a damaged block; 2 and 3]",
			"differs: node 1 (can't be read) differs from a majority, nodes 2, 3"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var one sync.Mutex
			g := &fakeGroups{ids: []holdfast.ShardID{7}, away: test.away}
			g.found = func(node holdfast.NodeID, tx holdfast.TxID) (string, error) {
				one.Lock()
				defer one.Unlock()
				return test.found(node, tx)
			}
			c := newComparer(0, g)
			defer c.stop()
			is := c.compare(t.Context(), 7)
			want := fmt.Sprintf("%s: shard 7 of table t as of transaction 7/2/%d: ", is.Result, g.index)
			if got := fmt.Sprint(g.accused); got != test.accused {
				t.Errorf("%s: got %s accused; want %s", test.name, got, test.accused)
			}
			if got, wants := is.Result+": "+is.String(), want+test.want[len(is.Result)+2:]; got != wants ||
				test.want[:len(is.Result)] != is.Result {
				t.Errorf("%s: got %s; want %s", test.name, got, test.want)
			}
			if differs := is.Result == Differs || is.Result == Undecided; (c.health() != "") != differs ||
				c.results()[is.Result] != 1 {
				t.Errorf("%s: got %q, %v; want the difference", test.name, c.health(), c.results())
			}
		})
	}
}

// In an hour each group is compared once, at its own time. A difference stays until all are equal.
func TestComparerSpreadsGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var equal atomic.Bool
		g := &fakeGroups{found: func(node holdfast.NodeID, _ holdfast.TxID) (string, error) {
			if equal.Load() {
				return "a", nil
			}
			return fmt.Sprint(node), nil
		}}
		for id := range holdfast.ShardID(30) {
			g.ids = append(g.ids, id+1)
		}
		c := newComparer(time.Hour, g)
		c.follow()
		defer c.stop()
		time.Sleep(time.Hour + time.Minute)
		synctest.Wait()
		if got := len(c.differing()); got != 30 {
			t.Errorf("got %d shards that differ; want all 30", got)
		}
		var last time.Time
		for _, id := range g.ids {
			when := g.compared(id)
			if len(when) != 2 { // a difference is looked at twice
				t.Fatalf("shard %d: got %d comparisons in an hour; want one", id, len(when)/2)
			}
			if when[0].Sub(last) < time.Minute {
				t.Errorf("shard %d: got it compared %v behind another", id, when[0].Sub(last))
			}
			last = when[0]
		}
		equal.Store(true)
		time.Sleep(time.Hour + time.Minute)
		synctest.Wait()
		if got := c.differing(); len(got) != 0 {
			t.Errorf("got %v; want no difference", got)
		}
		c.stop()
		if _, err := c.begin(); err == nil {
			t.Error("got a round of a comparer that was stopped")
		}
	})
}

// Many groups are compared in batches, so that the clocks of the nodes rest between them.
func TestComparerComparesInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGroups{found: func(holdfast.NodeID, holdfast.TxID) (string, error) { return "a", nil }}
		for id := range holdfast.ShardID(1000) {
			g.ids = append(g.ids, id+1)
		}
		c := newComparer(time.Hour, g)
		c.follow()
		defer c.stop()
		time.Sleep(time.Hour + time.Minute)
		synctest.Wait()
		moments := map[time.Time]int{}
		for _, id := range g.ids {
			when := g.compared(id)
			if len(when) == 0 || len(when) > 2 {
				t.Fatalf("shard %d: got %d comparisons in an hour; want one", id, len(when))
			}
			moments[when[0]]++
		}
		for at, n := range moments {
			if len(moments) > 61 || n > 20 {
				t.Fatalf("got comparisons at %d times, and %d at %v; want a batch a minute", len(moments), n, at)
			}
		}
	})
}

// A round compares all groups once; a request meanwhile joins it, and no other is known.
func TestRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready := make(chan struct{})
		g := &fakeGroups{ids: []holdfast.ShardID{2, 5}, found: func(holdfast.NodeID, holdfast.TxID) (string, error) {
			<-ready
			return "a", nil
		}}
		c := newComparer(0, g)
		first, err := c.begin()
		if err != nil || first.Done || first.Shards != 2 {
			t.Fatalf("got %+v, %v; want a round of two", first, err)
		}
		synctest.Wait()
		if again, err := c.begin(); err != nil || again.Number != first.Number {
			t.Errorf("got %+v, %v; want the round that is under way", again, err)
		}
		close(ready)
		synctest.Wait()
		if is, err := c.standing(first.Number); err != nil || !is.Done || len(is.Comparisons) != 2 ||
			is.Comparisons[1].Result != Equal {
			t.Errorf("got %+v, %v; want it done", is, err)
		}
		if is, err := c.standing(first.Number + 1); err == nil {
			t.Errorf("got %+v; want no such round", is)
		}
		if next, err := c.begin(); err != nil || next.Number == first.Number {
			t.Errorf("got %+v, %v; want another round", next, err)
		}
		c.stop()
	})
}
