package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/catalog"
)

// A fakeReplica sees its group as a test says.
type fakeReplica struct {
	mu        sync.Mutex
	term      uint64 // in which this node leads; 0: it doesn't
	leader    holdfast.NodeID
	campaigns int
	wins      int // the campaign that is won, if nobody led before; 0: none
}

func (r *fakeReplica) set(term uint64, leader holdfast.NodeID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.term, r.leader = term, leader
}

func (r *fakeReplica) Lead() (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.term == 0 {
		return 0, holdfast.NotLeader
	}
	return r.term, nil
}

func (r *fakeReplica) Leader() holdfast.NodeID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leader
}

func (r *fakeReplica) Campaign() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.campaigns++; r.campaigns == r.wins {
		r.term, r.leader = 1, 1
	}
}

func (r *fakeReplica) Transfer(holdfast.NodeID) {}

// fakeLeadable record what they are asked for.
type fakeLeadable struct {
	mu    sync.Mutex
	did   []string
	fails int // so many times Lead fails
	waits bool
}

func (f *fakeLeadable) note(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did = append(f.did, what)
}

func (f *fakeLeadable) Lead(ctx context.Context) error {
	f.note("lead")
	f.mu.Lock()
	fails, waits := f.fails > 0, f.waits
	f.fails--
	f.mu.Unlock()
	if waits {
		<-ctx.Done()
	}
	if fails || ctx.Err() != nil {
		return holdfast.Errorf(holdfast.NotLeader, "not yet")
	}
	return nil
}

func (f *fakeLeadable) Yield() { f.note("yield") }

// expect compares what the tables were asked for since the last call.
func (f *fakeLeadable) expect(t *testing.T, when string, want ...string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(f.did, want) {
		t.Errorf("%s: got %q; want %q", when, f.did, want)
	}
	f.did = nil
}

// lead runs a leadership of node 1 in a bubble, until the test ends.
func lead(t *testing.T, c *fakeReplica, f *fakeLeadable, led func() []holdfast.ShardID) (handed func() []string) {
	t.Helper()
	var mu sync.Mutex
	var all []string
	l := &leadership{
		self: 1, first: func() bool { return true }, catalog: func() replica { return c }, led: led, tables: f,
		observe: func(holdfast.NodeID) {}, moved: func() {}, log: slog.New(slog.DiscardHandler),
		changed: make(chan struct{}),
		transfer: func(id holdfast.ShardID, to holdfast.NodeID) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, fmt.Sprintf("%d to %d", id, to))
		},
	}
	ctx, end := context.WithCancel(context.Background())
	l.end = end
	l.running.Go(func() { l.watch(ctx, clock{func(int) {}, func() int { return 1 }}, nil) })
	l.running.Go(func() { l.serve(ctx) })
	t.Cleanup(func() {
		l.stop()
		l.wait()
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		was := all
		all = nil
		return was
	}
}

func none() []holdfast.ShardID { return nil }

// tick waits until the leadership has looked at the groups again and is done with what follows.
func tick() {
	time.Sleep(groupTick)
	synctest.Wait()
}

// The tables lead in each term in which the node leads, and yield at its end, also if the next term
// is the node's again: another node may have led in between.
func TestTablesLeadWhileTheNodeDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := &fakeReplica{leader: 2}, &fakeLeadable{}
		lead(t, c, f, none)
		tick()
		f.expect(t, "another node leads")
		c.set(3, 1)
		tick()
		f.expect(t, "this node leads", "lead")
		tick()
		f.expect(t, "it still does")
		c.set(5, 1)
		tick()
		f.expect(t, "it leads in a later term", "yield", "lead")
		c.set(0, 0)
		tick()
		f.expect(t, "nobody leads", "yield")
		c.set(0, 2)
		tick()
		f.expect(t, "another node leads again")
	})
}

func TestTablesThatCannotLeadAreAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := &fakeReplica{}, &fakeLeadable{fails: 2}
		c.set(3, 1)
		lead(t, c, f, none)
		tick()
		tick()
		tick()
		f.expect(t, "after two failures", "lead", "yield", "lead", "yield", "lead")
	})
}

// A node that doesn't lead any more ends what its tables wait for.
func TestBeginningToLeadIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := &fakeReplica{}, &fakeLeadable{waits: true}
		c.set(3, 1)
		lead(t, c, f, none)
		tick()
		f.expect(t, "while it begins", "lead")
		c.set(0, 2)
		tick()
		f.expect(t, "when another node leads", "yield", "yield")
	})
}

func TestTablesYieldAtTheEnd(t *testing.T) {
	f := &fakeLeadable{}
	synctest.Test(t, func(t *testing.T) {
		c := &fakeReplica{}
		c.set(3, 1)
		lead(t, c, f, none)
		tick()
	})
	f.expect(t, "after the node's end", "lead", "yield")
}

// Whatever this node leads while another leads the catalog is handed over; while nobody does, and
// while this node does, nothing is.
func TestLeadershipsAreHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := &fakeReplica{}, &fakeLeadable{}
		handed := lead(t, c, f, func() []holdfast.ShardID { return []holdfast.ShardID{3, 4} })
		for _, test := range []struct {
			term   uint64
			leader holdfast.NodeID
			want   []string
		}{
			{0, 0, nil}, {2, 1, nil}, {0, 2, []string{"3 to 2", "4 to 2"}}, {0, 3, []string{"3 to 3", "4 to 3"}},
		} {
			c.set(test.term, test.leader)
			tick()
			handed()
			tick()
			if got := handed(); !slices.Equal(got, test.want) {
				t.Errorf("node %d leads: got %q; want %q", test.leader, got, test.want)
			}
		}
	})
}

// The first node asks for an election when the cluster starts, and never again.
func TestTheFirstNodeCampaignsAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &fakeReplica{wins: 3}
		lead(t, c, &fakeLeadable{}, none)
		for range 5 {
			tick()
		}
		c.set(0, 0)
		tick()
		if c.campaigns != 3 {
			t.Errorf("got %d campaigns; want 3, until one was won", c.campaigns)
		}
	})
}

func TestLeadAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := map[holdfast.ShardID]*fakeReplica{
			catalog.ShardID: {term: 1, leader: 1}, 2: {wins: 4}, 3: {leader: 2}, 4: {term: 7, leader: 1},
		}
		of := func(id holdfast.ShardID) replica {
			if r := all[id]; r != nil {
				return r
			}
			return nil
		}
		ids := []holdfast.ShardID{2, 3, 4}
		done := make(chan error, 1)
		go func() { done <- leadAll(context.Background(), of, ids) }()
		time.Sleep(5 * campaignEvery)
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("got %v while node 2 leads shard 3; want it to wait", err)
		default:
		}
		if n := all[3].campaigns + all[4].campaigns; n != 0 || all[2].campaigns != 4 {
			t.Errorf("got %d campaigns of shard 2 and %d of others; want 4 and 0", all[2].campaigns, n)
		}
		all[3].set(8, 1)
		if err := <-done; err != nil {
			t.Errorf("got %v; want that this node leads them", err)
		}

		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		all[3].set(0, 2)
		if err := leadAll(ctx, of, ids); !errors.Is(err, holdfast.NotLeader) ||
			!strings.Contains(err.Error(), "shard 3") {
			t.Errorf("when the context ends: got %v; want NotLeader of shard 3", err)
		}
		all[catalog.ShardID].set(0, 2)
		if err := leadAll(context.Background(), of, ids); !errors.Is(err, holdfast.NotLeader) {
			t.Errorf("while another node leads the catalog: got %v; want NotLeader", err)
		}
		if err := leadAll(context.Background(), of, []holdfast.ShardID{9}); !errors.Is(err, holdfast.NotLeader) {
			t.Errorf("a shard that isn't here: got %v; want NotLeader", err)
		}
	})
}
