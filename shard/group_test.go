package shard

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

// A testGroup is the group of a shard with two replicas, of which one leads. It commits each entry
// at once, or when the test lets it.
type testGroup struct {
	leader, follower *Shard
	rng              *rand.Rand

	mu    sync.Mutex
	term  uint64 // 0: the replica doesn't lead
	index uint64
	reads int

	proposed func(Proposal) // is called for each proposal; nil: nothing is

	hold    chan struct{} // proposals wait until it is closed; nil: they don't
	waiting chan struct{} // gets one for each that waits
	fail    func() error  // of proposals that waited; nil: none fails
}

// Lead implements Group.
func (g *testGroup) Lead() (uint64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.term == 0 {
		return 0, holdfast.Errorf(holdfast.NotLeader, "another replica leads")
	}
	return g.term, nil
}

// LeadsIn implements Group.
func (g *testGroup) LeadsIn(term uint64) bool {
	leads, err := g.Lead()
	return err == nil && leads == term
}

// Propose implements Group. Proposals that wait end in any order.
func (g *testGroup) Propose(p Proposal) error {
	if g.proposed != nil {
		g.proposed(p)
	}
	g.mu.Lock()
	hold := g.hold
	g.mu.Unlock()
	if hold == nil {
		p.Proposer.Ended(g.commit(p))
		return nil
	}
	go func() {
		g.waiting <- struct{}{}
		<-hold
		if g.fail != nil {
			p.Proposer.Ended(holdfast.TxID{}, g.fail())
			return
		}
		p.Proposer.Ended(g.commit(p))
	}()
	return nil
}

// commit has both replicas apply an entry.
func (g *testGroup) commit(p Proposal) (holdfast.TxID, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.Term != g.term {
		return holdfast.TxID{}, holdfast.Errorf(holdfast.Refused, "term %d has ended", p.Term)
	}
	if err := p.Proposer.Stands(); err != nil {
		return holdfast.TxID{}, err
	}
	g.index += 1 + g.rng.Uint64N(2)
	entries := []Committed{{holdfast.TxID{Shard: g.leader.id, Term: p.Term, Index: g.index}, string(p.Raw)}}
	for _, sh := range []*Shard{g.leader, g.follower} {
		if err := ReplicaOf(sh).ApplyAll(entries); err != nil {
			return holdfast.TxID{}, err
		}
	}
	return entries[0].Tx, nil
}

// Read implements Group.
func (g *testGroup) Read(context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reads++
	return nil
}

// asked returns how many reads the group was asked for.
func (g *testGroup) asked() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.reads
}

func (g *testGroup) setTerm(term uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.term = term
}

// newGroups opens two stores with some shards, and the ledger, of which each has a replica in both.
// The first store leads.
func newGroups(t *testing.T, fs vfs.FS, ids ...holdfast.ShardID) (leader, follower *Store, groups []*testGroup) {
	t.Helper()
	leader, follower = openStore(t, memOptions(fs)), openStore(t, memOptions(vfs.NewMem()))
	for i, id := range append(ids, ledgerShard) {
		g := &testGroup{leader: openShard(t, leader, id), follower: openShard(t, follower, id), term: 3,
			rng: rand.New(rand.NewPCG(uint64(i), 61)), waiting: make(chan struct{}, 8)}
		if id == ledgerShard {
			g.leader, g.follower = leader.ledger.Load().shard, follower.ledger.Load().shard
		}
		g.index = ReplicaOf(g.leader).Applied().Index
		ReplicaOf(g.leader).Join(g)
		ReplicaOf(g.follower).Join(g)
		groups = append(groups, g)
	}
	return leader, follower, groups
}

// Commits over groups, transactions among them, are seen whole by readers at the leader and durable
// at once, and the replicas are equal.
func TestGroupCommits(t *testing.T) {
	leader, follower, groups := newGroups(t, vfs.NewMem(), 1, 2)
	var gets []Get
	for _, g := range groups[:2] {
		gets = append(gets, Get{g.leader, keyOf(t, thing("a", 1))})
	}
	const rounds, writing = 100, 3
	write := func(w int) {
		ctx, cancel := context.WithCancel(bg)
		defer cancel()
		if w == 0 {
			ctx = bg
		}
		for n := range rounds {
			writes := []Write{increment(gets[0]), increment(gets[1])}
			if _, err := leader.Commit(ctx, Commit{Writes: writes}); err != nil {
				t.Error(err)
			}
			other := put(t, groups[n%2].leader, thing(fmt.Sprint("b", w), n))
			if got, err := leader.Commit(ctx, Commit{Writes: []Write{other}}); err != nil || got[0].Tx.Term != 3 {
				t.Errorf("got %v, %v; want a transaction of term 3", got, err)
			}
		}
	}
	seen := 0
	whileReading(func() {
		var writers sync.WaitGroup
		for w := range writing {
			writers.Go(func() { write(w) })
		}
		writers.Wait()
	}, func() {
		got, err := leader.GetAll(bg, gets)
		if err != nil || versionOf(got[0]) != versionOf(got[1]) || versionOf(got[0]) < seen {
			t.Fatalf("got %v, %v after %d; want one version of both, and none older", got, err, seen)
		}
		seen = versionOf(got[0])
	})
	if got, err := leader.GetAll(bg, gets); err != nil || versionOf(got[1]) != writing*rounds {
		t.Errorf("got %v, %v; want version %d", got, err, writing*rounds)
	}
	for i, g := range groups {
		compareShards(t, leader, follower, g.leader.id)
		if i == 0 {
			it, err := g.follower.Get(bg, gets[0].Key)
			if err != nil || versionOf(it) != writing*rounds {
				t.Errorf("got %v, %v at the follower; want version %d", it, err, writing*rounds)
			}
		}
		if got, want := g.follower.sequencer.durable.at.Load(), ReplicaOf(g.leader).Applied().Index; got != want {
			t.Errorf("shard %d: %d is durable at the follower; want %d", g.leader.id, got, want)
		}
	}
	wantNoLocks(t, leader)
	wantNoLocks(t, follower)
}

// A writer that stops waiting doesn't know the outcome. Others of its item are decided by what it writes,
// and one that changes nothing isn't answered before the outcome is known.
func TestGroupProposalIsAbandoned(t *testing.T) {
	for _, outcome := range []string{"committed", "refused"} {
		t.Run(outcome, func(t *testing.T) {
			leader, _, groups := newGroups(t, vfs.NewMem(), 1)
			g := groups[0]
			at := Get{g.leader, keyOf(t, thing("a", 1))}
			write := func(ctx context.Context) error {
				_, err := leader.Commit(ctx, Commit{Writes: []Write{increment(at)}})
				return err
			}
			if err := write(bg); err != nil {
				t.Fatal(err)
			}
			want, found := 3, []int{2}
			g.hold = make(chan struct{})
			if outcome == "refused" {
				want, found = 2, []int{2, 1}
				g.fail = func() error { return holdfast.Errorf(holdfast.Refused, "its place was taken") }
			}
			ctx, cancel := context.WithCancel(bg)
			var wait sync.WaitGroup
			wait.Go(func() {
				if err := write(ctx); !errors.Is(err, holdfast.Unavailable) {
					t.Errorf("a writer whose context ends: got %v; want %v", err, holdfast.Unavailable)
				}
			})
			<-g.waiting
			cancel()
			wait.Wait()

			look := func(ctx context.Context, decided func(version int)) error {
				w := Write{Shard: at.Shard, Key: at.Key, Change: func(before item.Item) (item.Item, error) {
					decided(versionOf(before))
					return before, nil
				}}
				_, err := leader.Commit(ctx, Commit{Writes: []Write{w}})
				return err
			}
			ctx, cancel = context.WithCancel(bg)
			if err := look(ctx, func(int) { cancel() }); !errors.Is(err, holdfast.Overloaded) {
				t.Errorf("a writer behind it whose context ends: got %v; want %v", err, holdfast.Overloaded)
			}
			var got []int
			decided := make(chan struct{}, 2)
			wait.Go(func() {
				err := look(bg, func(version int) { got = append(got, version); decided <- struct{}{} })
				if err != nil {
					t.Errorf("a writer behind it: got %v", err)
				}
			})
			<-decided
			if it, err := g.leader.Get(bg, at.Key); err != nil || versionOf(it) != 1 {
				t.Errorf("got %v, %v while the outcome isn't known; want version 1", it, err)
			}
			g.mu.Lock()
			hold := g.hold
			g.hold = nil
			g.mu.Unlock()
			close(hold)
			wait.Wait()
			if !slices.Equal(got, found) {
				t.Errorf("a writer behind it was decided by the versions %v; want %v", got, found)
			}
			if err := write(bg); err != nil {
				t.Error(err)
			}
			if it, err := g.leader.Get(bg, at.Key); err != nil || versionOf(it) != want {
				t.Errorf("got %v, %v; want version %d", it, err, want)
			}
		})
	}
}

// What was decided in a term is refused when it has ended, even if the replica leads again, and so is
// a condition that failed.
func TestGroupTermEnds(t *testing.T) {
	leader, _, groups := newGroups(t, vfs.NewMem(), 1, 2)
	g := groups[0]
	key := keyOf(t, thing("a", 1))
	errCondition := errors.New("the condition fails")
	fail := func(item.Item) (item.Item, error) { return nil, errCondition }
	for _, test := range []struct {
		name  string
		after func(before item.Item) (item.Item, error)
		term  uint64 // after the decision
		want  error
	}{
		{"a change", func(item.Item) (item.Item, error) { return thing("a", 1), nil }, 4, holdfast.Refused},
		{"no change", func(before item.Item) (item.Item, error) { return before, nil }, 5, holdfast.NotLeader},
		{"a failed condition", fail, 6, holdfast.NotLeader},
		{"a failed condition in a term", fail, 6, errCondition},
		{"no leader", func(before item.Item) (item.Item, error) { return before, nil }, 0, holdfast.NotLeader},
	} {
		w := Write{Shard: g.leader, Key: key, Change: func(before item.Item) (item.Item, error) {
			g.setTerm(test.term)
			return test.after(before)
		}}
		before := g.asked()
		if _, err := leader.Commit(bg, Commit{Writes: []Write{w}}); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v; want %v", test.name, err, test.want)
		}
		want := 1 // of each commit without a change
		if test.name == "a change" {
			want = 0
		}
		if got := g.asked() - before; got != want {
			t.Errorf("%s: got %d reads of the group; want %d", test.name, got, want)
		}
	}
	if err := g.leader.Clear(7); !errors.Is(err, holdfast.NotLeader) {
		t.Errorf("Clear: got %v; want %v", err, holdfast.NotLeader)
	}
	g.setTerm(7)
	check := Write{Shard: groups[1].leader, Key: key, Change: func(before item.Item) (item.Item, error) {
		groups[1].setTerm(8)
		return before, nil
	}}
	writes := []Write{put(t, g.leader, thing("a", 1)), check}
	if _, err := leader.Commit(bg, Commit{Writes: writes, Token: "t"}); !errors.Is(err, holdfast.NotLeader) {
		t.Errorf("a transaction that only checks in a shard: got %v; want %v", err, holdfast.NotLeader)
	}
	if it, err := g.leader.Get(bg, key); it != nil || err != nil {
		t.Errorf("got %v, %v; want nothing", it, err)
	}
}

// A shard that has a group on disk takes no entries from elsewhere before it joins that, and keeps
// its schema.
func TestGroupHasNotStarted(t *testing.T) {
	fs := vfs.NewMem()
	s := openStore(t, memOptions(fs))
	openShard(t, s, 1)
	l, err := OpenGroupLog(s, 1)
	if err != nil {
		t.Fatal(err)
	}
	b := NewLogBatch(s)
	b.SetState(l, []byte("state"))
	if err := errors.Join(b.Commit(true), s.Close()); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, memOptions(fs))
	other := testSchema()
	other.TTL = "another"
	sh, err := s.Open(whole(1), other)
	if err != nil {
		t.Fatal(err)
	}
	if got := sh.schema.Load(); got.TTL != testSchema().TTL {
		t.Errorf("got the schema of the caller; want that of the log")
	}
	_, err = s.Commit(bg, Commit{Writes: []Write{put(t, sh, thing("a", 1))}})
	if !errors.Is(err, holdfast.NotLeader) {
		t.Errorf("Commit: got %v; want %v", err, holdfast.NotLeader)
	}
	if err := sh.SetSchema(other); !errors.Is(err, holdfast.NotLeader) {
		t.Errorf("SetSchema: got %v; want %v", err, holdfast.NotLeader)
	}
	if it, err := sh.Get(bg, keyOf(t, thing("a", 1))); it != nil || err != nil {
		t.Errorf("got %v, %v; want nothing", it, err)
	}
	ReplicaOf(sh).Join(&testGroup{leader: sh, term: 3})
	if term, err := sh.group.lead(nil); err != nil || term != 3 {
		t.Errorf("after Join: got term %d, %v; want 3", term, err)
	}
}

// Entries that are decided at the same time may be committed in another order than their times have.
// The times of changes rise nevertheless.
func TestGroupTimesRise(t *testing.T) {
	leader, follower, groups := newGroups(t, vfs.NewMem(), 1)
	g, now := groups[0], newClock()
	leader.now = now.read
	hold := make(chan struct{})
	g.hold = hold
	var wait sync.WaitGroup
	wait.Go(func() { commitAll(t, leader, put(t, g.leader, thing("a", 1))) })
	<-g.waiting
	g.mu.Lock()
	g.hold = nil
	g.mu.Unlock()
	now.advance(time.Minute)
	commitAll(t, leader, put(t, g.leader, thing("b", 1)))
	close(hold)
	wait.Wait()
	for _, sh := range []*Shard{g.leader, g.follower} {
		changes, _, err := sh.Changes(holdfast.Position{}, Limit{Changes: 9})
		if err != nil || len(changes) != 2 || changes[1].At.Before(changes[0].At) || !changes[0].At.Equal(now.read()) {
			t.Errorf("got %v, %v; want two changes, of which the first is of %v, and the second not before",
				changes, err, now.read())
		}
	}
	compareShards(t, leader, follower, 1)
}

// What a follower reads of a replica's items is as of the index that it gets with them, also while the
// replica applies entries.
func TestItemsWhileAReplicaApplies(t *testing.T) {
	_, sh := memShard(t)
	ReplicaOf(sh).Join(&testGroup{leader: sh, follower: sh})
	const entries, together = 2000, 20 // each entry puts one new item
	apply := func() {
		var batch []Committed
		for i := uint64(1); i <= entries; i++ {
			it := thing(fmt.Sprint(i), int(i))
			e := entry{schema: sh.schema.Load(), effects: []effect{effectOf(t, it)}}
			batch = append(batch, Committed{holdfast.TxID{Shard: 1, Term: 2, Index: i}, string(e.appendTo(nil))})
			if len(batch) == together {
				if err := ReplicaOf(sh).ApplyAll(batch); err != nil {
					t.Fatal(err)
				}
				batch = nil
			}
		}
	}
	f := NewFollower(sh, 0)
	defer f.Close()
	whileReading(apply, func() {
		all, err := f.Items(bg, nil, entries, 1<<30)
		if err != nil || len(all.Items) != int(all.Index) {
			t.Fatalf("got %d items at index %d, %v; want as many", len(all.Items), all.Index, err)
		}
	})
	if all, err := f.Items(bg, nil, entries, 1<<30); err != nil || all.Index != entries {
		t.Errorf("got the items at index %d, %v; want %d", all.Index, err, entries)
	}
}
