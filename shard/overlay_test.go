package shard

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

// A counted is how a commit that increments a version has ended.
type counted struct {
	before, after int
	err           error
}

// count commits an increment of the item at a place, and sends how that ends.
func count(ctx context.Context, s *Store, at Get) <-chan counted {
	ended := make(chan counted, 1)
	go func() {
		results, err := s.Commit(ctx, Commit{Writes: []Write{increment(at)}})
		if err != nil {
			ended <- counted{err: err}
			return
		}
		ended <- counted{versionOf(results[0].Before), versionOf(results[0].After), nil}
	}()
	return ended
}

// Commits of one item are decided by those that are on their way, and all are proposed before the first
// is committed. Readers see nothing of that, and each is answered when its own entry is applied.
func TestCommitsAreDecidedByThoseOnTheirWay(t *testing.T) {
	s, g := newSteppedGroup(t)
	at := Get{g.leader, keyOf(t, thing("a", 1))}
	g.put(t, s, edition("a", 0))
	const writers = 20
	var ended []<-chan counted
	var proposals []*steppedProposal
	for range writers {
		ended = append(ended, count(bg, s, at))
		proposals = append(proposals, <-g.proposals)
	}
	for i, p := range proposals {
		if it, err := g.leader.Get(bg, at.Key); err != nil || versionOf(it) != i {
			t.Errorf("%d are committed: got %v, %v; want version %d", i, it, err, i)
		}
		select {
		case got := <-ended[i]:
			t.Fatalf("the commit of version %d has ended before it is committed: %v", i+1, got)
		default:
		}
		p.accept(t)
		if got, want := <-ended[i], (counted{i, i + 1, nil}); got != want {
			t.Errorf("got %v; want %v", got, want)
		}
	}
	changes, _, err := g.leader.Changes(holdfast.Position{}, Limit{Changes: 99})
	if err != nil || len(changes) != writers+1 {
		t.Fatalf("got %d changes, %v; want %d", len(changes), err, writers+1)
	}
	for i, c := range changes {
		if i > 0 && (versionOf(c.Before) != i-1 || versionOf(c.After) != i) {
			t.Errorf("change %d: got %v, then %v; want versions %d and %d", i, c.Before, c.After, i-1, i)
		}
	}
	wantNothingOverlaid(t, g.leader)
}

// What is on its way are the items of all writes of a commit, with all that they have, and those that are
// removed.
func TestAllWritesAreOnTheirWay(t *testing.T) {
	s, g := newSteppedGroup(t)
	want := map[string]item.Item{}
	var proposals []*steppedProposal
	var all []chan error
	for round := range 3 {
		var c Commit
		for n := range 5 {
			it := thing(fmt.Sprint("item ", n), 1, "v", round, "text", string(make([]byte, n*round*100)))
			w := put(t, g.leader, it)
			if (n+round)%3 == 0 {
				it = nil
			}
			w.Change = func(before item.Item) (item.Item, error) {
				if !before.Equal(want[string(w.Key)]) {
					t.Errorf("round %d, item %d: got %v; want %v", round, n, before, want[string(w.Key)])
				}
				want[string(w.Key)] = it
				return it, nil
			}
			c.Writes = append(c.Writes, w)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := s.Commit(bg, c)
			ended <- err
		}()
		proposals, all = append(proposals, <-g.proposals), append(all, ended)
	}
	for i, p := range proposals {
		p.accept(t)
		if err := <-all[i]; err != nil {
			t.Error(err)
		}
	}
	wantNothingOverlaid(t, g.leader)
}

// What becomes of the entry that has decided that nothing changes.
func TestFailedConditionWaitsForWhatDecidedIt(t *testing.T) {
	failed := errors.New("the condition doesn't hold")
	for _, test := range []struct {
		name  string
		end   func(*testing.T, *steppedProposal)
		found []int // by which it is decided, one after the other
		want  error
	}{
		{"committed", func(t *testing.T, p *steppedProposal) { p.accept(t) }, []int{2}, failed},
		{"refused", func(_ *testing.T, p *steppedProposal) {
			p.end(holdfast.Errorf(holdfast.Refused, "nothing was changed"))
		}, []int{2, 1}, nil},
		{"unknown, and lost", func(_ *testing.T, p *steppedProposal) {
			p.of.setTerm(5)
			p.end(holdfast.Errorf(holdfast.Unavailable, "outcome unknown"))
		}, []int{2, 1}, nil},
		{"unknown, and committed", func(t *testing.T, p *steppedProposal) {
			p.of.setTerm(5)
			p.apply(t)
			p.end(holdfast.Errorf(holdfast.Unavailable, "outcome unknown"))
		}, []int{2, 2}, failed},
		{"unknown, and another leads", func(_ *testing.T, p *steppedProposal) {
			p.of.setTerm(0)
			p.end(holdfast.Errorf(holdfast.Unavailable, "outcome unknown"))
		}, []int{2}, holdfast.Errorf(holdfast.NotLeader, "another replica leads")},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, g := newSteppedGroup(t)
			g.put(t, s, edition("a", 1))
			first := commitAs(t, bg, s, g.leader, holdfast.SemiSync, edition("a", 2))
			p := <-g.proposals
			w, found, decided := put(t, g.leader, edition("a", 3)), []int(nil), make(chan struct{}, 2)
			w.Change = func(before item.Item) (item.Item, error) {
				found = append(found, versionOf(before))
				decided <- struct{}{}
				if versionOf(before) != 1 {
					return nil, failed
				}
				return edition("a", 3), nil
			}
			ended := make(chan error, 1)
			go func() {
				_, err := s.Commit(bg, Commit{Writes: []Write{w}})
				ended <- err
			}()
			<-decided
			wantNoEnd(t, "what decided it isn't committed", ended)
			test.end(t, p)
			<-first
			if test.want == nil {
				g.accept(t)
			}
			if err := <-ended; !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				var kind *holdfast.Error
				if !errors.As(test.want, &kind) || !errors.Is(err, kind.Kind) {
					t.Errorf("got %v; want %v", err, test.want)
				}
			}
			if fmt.Sprint(found) != fmt.Sprint(test.found) {
				t.Errorf("decided by the versions %v; want %v", found, test.found)
			}
			wantNothingOverlaid(t, g.leader)
		})
	}
}

// An entry that is refused takes with it those that were decided by it, and no others.
func TestRefusedTakesThoseBehind(t *testing.T) {
	s, g := newSteppedGroup(t)
	at, other := Get{g.leader, keyOf(t, thing("a", 1))}, Get{g.leader, keyOf(t, thing("b", 1))}
	var ended []<-chan counted
	var proposals []*steppedProposal
	for _, each := range []Get{at, at, at, other} {
		ended = append(ended, count(bg, s, each))
		proposals = append(proposals, <-g.proposals)
	}
	full := holdfast.Errorf(holdfast.Overloaded, "nothing was changed")
	proposals[1].end(full)
	ended = append(ended, count(bg, s, at)) // by the third, which the group hasn't refused yet
	proposals = append(proposals, <-g.proposals)
	for _, i := range []int{2, 4} {
		if err := proposals[i].Proposer.Stands(); !errors.Is(err, holdfast.Overloaded) {
			t.Errorf("entry %d is behind one that was refused: got %v; want %v", i, err, full)
		}
		proposals[i].end(full)
	}
	ended = append(ended, count(bg, s, at)) // by the first
	proposals = append(proposals, <-g.proposals)
	for _, i := range []int{0, 3, 5} {
		proposals[i].accept(t)
	}
	want := []counted{{0, 1, nil}, {err: full}, {err: full}, {0, 1, nil}, {err: full}, {1, 2, nil}}
	for i := range ended {
		got := <-ended[i]
		if got.before != want[i].before || got.after != want[i].after || (got.err == nil) != (want[i].err == nil) ||
			got.err != nil && !errors.Is(got.err, holdfast.Overloaded) {
			t.Errorf("commit %d: got %v; want %v", i, got, want[i])
		}
	}
	wantNothingOverlaid(t, g.leader)
}

// What is on its way from a former term decides nothing: what became of it is applied, or never will be.
func TestFormerTermsDecideNothing(t *testing.T) {
	s, g := newSteppedGroup(t)
	at := Get{g.leader, keyOf(t, thing("a", 1))}
	old := count(bg, s, at)
	p := <-g.proposals
	g.setTerm(5)
	next := count(bg, s, at)
	g.accept(t)
	if got, want := <-next, (counted{0, 1, nil}); got != want {
		t.Errorf("in the next term: got %v; want %v", got, want)
	}
	p.end(holdfast.Errorf(holdfast.NotLeader, "nothing was changed"))
	if got := <-old; !errors.Is(got.err, holdfast.NotLeader) {
		t.Errorf("in the former term: got %v; want that it wasn't made", got)
	}
	wantNothingOverlaid(t, g.leader)
}

// A transaction is decided when nothing is on its way to its items, and nothing is until it is done.
func TestTransactionsWaitForWhatIsOnItsWay(t *testing.T) {
	leader, follower, groups := newGroups(t, vfs.NewMem(), 1, 2)
	g := groups[0]
	gets := []Get{{g.leader, keyOf(t, thing("a", 1))}, {groups[1].leader, keyOf(t, thing("a", 1))}}
	g.hold = make(chan struct{})
	first := count(bg, leader, gets[0])
	<-g.waiting
	short, cancel := context.WithCancel(bg)
	both := Commit{Writes: []Write{increment(gets[0]), increment(gets[1])}}
	ended := make(chan error)
	go func() {
		_, err := leader.Commit(short, both)
		ended <- err
	}()
	latch := &g.leader.sequencer.latches[stripeOf(gets[0].Key.Hash())]
	eventually(t, "the transaction has its latch", func() bool {
		free := latch.TryLock()
		if free {
			latch.Unlock()
		}
		return !free
	})
	cancel()
	if err := <-ended; !errors.Is(err, holdfast.Overloaded) {
		t.Errorf("got %v; want that it has waited", err)
	}
	go func() {
		_, err := leader.Commit(bg, both)
		ended <- err
	}()
	g.mu.Lock()
	hold := g.hold
	g.hold = nil
	g.mu.Unlock()
	close(hold)
	if got, want := <-first, (counted{0, 1, nil}); got != want {
		t.Errorf("got %v; want %v", got, want)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for i, want := range []int{2, 1} {
		if it, err := gets[i].Shard.Get(bg, gets[i].Key); err != nil || versionOf(it) != want {
			t.Errorf("shard %d: got %v, %v; want version %d", i+1, it, err, want)
		}
	}
	compareShards(t, leader, follower, 1)
	wantNoLocks(t, leader)
}

// A transaction that changes one shard, and reads another, isn't made if the other has a new leader before
// the change is certain: that may have changed what was read.
func TestWhatATransactionReadsIsConfirmed(t *testing.T) {
	leader, follower, groups := newGroups(t, vfs.NewMem(), 1, 2)
	read, changed := groups[0].leader, groups[1].leader
	is := Write{Shard: read, Key: keyOf(t, thing("a", 1)),
		Change: func(it item.Item) (item.Item, error) { return it, nil }}
	made := Commit{Writes: []Write{is, put(t, changed, thing("b", 1))}}
	if _, err := leader.Commit(bg, made); err != nil {
		t.Fatal(err)
	}
	groups[1].proposed = func(Proposal) { groups[0].setTerm(0) }
	lost := Commit{Writes: []Write{is, put(t, changed, thing("b", 2))}}
	if _, err := leader.Commit(bg, lost); !errors.Is(err, holdfast.NotLeader) && !errors.Is(err, holdfast.Refused) {
		t.Errorf("got %v; want it refused", err)
	}
	groups[1].proposed = nil
	groups[0].setTerm(5)
	for n, want := range []bool{1: true, 2: false} {
		if it, err := changed.Get(bg, keyOf(t, thing("b", n))); err != nil || (it != nil) != want {
			t.Errorf("item %d: got %v, %v; want it: %t", n, it, err, want)
		}
	}
	compareShards(t, leader, follower, 2)
}

// Only so much is on its way to a stripe: the next commit waits, or its caller gives up.
func TestOverlayIsBounded(t *testing.T) {
	for _, test := range []struct {
		name       string
		bytes, fit int
	}{
		{"many", 1, maxOverlaid},
		{"large", maxOverlaidBytes / 3, 3},
		{"larger than all", maxOverlaidBytes * 2, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, g := newSteppedGroup(t)
			write := func(ctx context.Context, n int) <-chan error {
				it := thing("a", 1, "version", n, "text", string(make([]byte, test.bytes)))
				return commitAs(t, ctx, s, g.leader, holdfast.SemiSync, it)
			}
			var ended []<-chan error
			var proposals []*steppedProposal
			for n := range test.fit {
				ended = append(ended, write(bg, n))
				proposals = append(proposals, <-g.proposals)
			}
			short, cancel := context.WithCancel(bg)
			more := write(short, test.fit)
			eventually(t, "it has its latch", func() bool { return latched(t, g.leader, thing("a", 1)) })
			cancel()
			if err := <-more; !errors.Is(err, holdfast.Overloaded) {
				t.Errorf("got %v; want %v", err, holdfast.Overloaded)
			}
			more = write(bg, test.fit)
			proposals[0].accept(t)
			proposals = append(proposals, <-g.proposals)
			for _, p := range proposals[1:] {
				p.accept(t)
			}
			for _, e := range append(ended, more) {
				if err := <-e; err != nil {
					t.Error(err)
				}
			}
			wantNothingOverlaid(t, g.leader)
		})
	}
}

// A looseGroup takes proposals in order, refuses some, and has what it has taken applied later, or loses
// it with its leadership, which it gets again.
type looseGroup struct {
	*testGroup
	rng   *rand.Rand
	queue chan Proposal
	lost  int
}

// Propose implements Group.
func (g *looseGroup) Propose(p Proposal) error {
	g.queue <- p
	return nil
}

// run does what the group does, until the queue is closed.
func (g *looseGroup) run(t *testing.T) {
	var log []Proposal // in the log, and not applied
	index := uint64(0)
	for p := range g.queue {
		switch err := p.Proposer.Stands(); {
		case p.Term != g.termNow():
			p.Proposer.Ended(holdfast.TxID{}, holdfast.Errorf(holdfast.NotLeader, "term %d has ended", p.Term))
		case err != nil:
			p.Proposer.Ended(holdfast.TxID{}, err)
		case g.rng.IntN(20) == 0:
			p.Proposer.Ended(holdfast.TxID{}, holdfast.Errorf(holdfast.Overloaded, "nothing was changed"))
		default:
			log = append(log, p)
		}
		if len(log) > 0 && g.rng.IntN(20) == 0 {
			for _, p := range log {
				p.Proposer.Ended(holdfast.TxID{}, holdfast.Errorf(holdfast.NotLeader, "nothing was changed"))
				g.lost++
			}
			log = nil
			g.setTerm(g.termNow() + 1)
		}
		committed := log[:g.rng.IntN(len(log)+1)]
		if len(g.queue) == 0 {
			committed = log
		}
		for _, p := range committed {
			index++
			tx := holdfast.TxID{Shard: g.leader.id, Term: p.Term, Index: index}
			if p.Acknowledge.Mode == holdfast.Async && g.rng.IntN(2) == 0 {
				p.Proposer.Early(tx)
			}
			if err := ReplicaOf(g.leader).ApplyAll([]Committed{{tx, string(p.Raw)}}); err != nil {
				t.Error(err)
			}
			p.Proposer.Ended(tx, nil)
		}
		log = log[len(committed):]
	}
}

func (g *looseGroup) termNow() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.term
}

// However entries are refused and lost, an item has what its acknowledged increments come to, each of
// which has found what the one before has left; and nobody gets a version that never was.
func TestOverlayCounts(t *testing.T) {
	for seed := range uint64(5) {
		s, sh := memShard(t)
		g := &looseGroup{testGroup: &testGroup{leader: sh, term: 3}, rng: rand.New(rand.NewPCG(seed, 9)),
			queue: make(chan Proposal, 1000)}
		ReplicaOf(sh).Join(g)
		running := make(chan struct{})
		go func() {
			g.run(t)
			close(running)
		}()
		const writers, rounds = 16, 60
		gets := []Get{{sh, keyOf(t, thing("a", 1))}, {sh, keyOf(t, thing("b", 1))}}
		var mu sync.Mutex
		made, shown := [2]map[int]bool{{}, {}}, [2]map[int]bool{{}, {}}
		refused := errors.New("the condition doesn't hold")
		var wait sync.WaitGroup
		for w := range writers {
			wait.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(100+w)))
				for range rounds {
					n := rng.IntN(2)
					c := Commit{Writes: []Write{increment(gets[n])}}
					if rng.IntN(3) == 0 {
						c.Acknowledge.Mode = holdfast.Async
					}
					found := 0
					if fails := rng.IntN(3) == 0; fails {
						c.Writes[0].Change = func(before item.Item) (item.Item, error) {
							found = versionOf(before)
							return nil, refused
						}
					}
					results, err := s.Commit(bg, c)
					mu.Lock()
					switch {
					case errors.Is(err, refused):
						shown[n][found] = true
					case err == nil:
						before, after := versionOf(results[0].Before), versionOf(results[0].After)
						if after != before+1 || made[n][after] {
							t.Errorf("seed %d: version %d was made of %d; made before: %v", seed, after, before,
								made[n][after])
						}
						made[n][after] = true
					case !errors.Is(err, holdfast.NotLeader) && !errors.Is(err, holdfast.Overloaded):
						t.Error(err)
					}
					mu.Unlock()
				}
			})
		}
		wait.Wait()
		close(g.queue)
		<-running
		for n, at := range gets {
			it, err := sh.Get(bg, at.Key)
			if err != nil || versionOf(it) != len(made[n]) {
				t.Errorf("seed %d: got %v, %v after %d increments", seed, it, err, len(made[n]))
			}
			for version := range shown[n] {
				if version > versionOf(it) {
					t.Errorf("seed %d: version %d was shown; the last is %d", seed, version, versionOf(it))
				}
			}
		}
		if g.lost == 0 {
			t.Errorf("seed %d: nothing was lost", seed)
		}
		wantNothingOverlaid(t, sh)
	}
}
