package shard

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/item"
)

// A steppedGroup is the group of a shard with one replica, each step of which a test does.
type steppedGroup struct {
	*testGroup
	proposals chan *steppedProposal
}

// A steppedProposal is one that was made.
type steppedProposal struct {
	Proposal
	of *steppedGroup
	tx holdfast.TxID
}

// Propose implements Group.
func (g *steppedGroup) Propose(p Proposal) error {
	g.mu.Lock()
	g.index++
	x := &steppedProposal{p, g, holdfast.TxID{Shard: g.leader.id, Term: p.Term, Index: g.index}}
	g.mu.Unlock()
	g.proposals <- x
	return nil
}

// end tells how the proposal ends.
func (x *steppedProposal) end(err error) {
	tx := x.tx
	if err != nil {
		tx = holdfast.TxID{}
	}
	x.Proposer.Ended(tx, err)
}

// apply has the shard apply the entry.
func (x *steppedProposal) apply(t *testing.T) {
	t.Helper()
	if err := ReplicaOf(x.of.leader).ApplyAll([]Committed{{x.tx, string(x.Raw)}}); err != nil {
		t.Error(err)
	}
}

func newSteppedGroup(t *testing.T) (*Store, *steppedGroup) {
	s, sh := memShard(t)
	g := &steppedGroup{&testGroup{leader: sh, term: 3}, make(chan *steppedProposal, 1000)}
	ReplicaOf(sh).Join(g)
	return s, g
}

// latched reports whether the stripe of an item is latched.
func latched(t *testing.T, sh *Shard, it item.Item) bool {
	l := &sh.sequencer.latches[stripeOf(keyOf(t, it).Hash())]
	free := l.TryLock()
	if free {
		l.Unlock()
	}
	return !free
}

// commitAs commits the write of an item, and sends how that ends.
func commitAs(t *testing.T, ctx context.Context, s *Store, sh *Shard, mode holdfast.AcknowledgeMode, it item.Item,
) <-chan error {
	c := Commit{Writes: []Write{put(t, sh, it)}, Acknowledge: holdfast.Acknowledge{Mode: mode}}
	ended := make(chan error, 1)
	go func() {
		results, err := s.Commit(ctx, c)
		if err == nil && results[0].Tx.Index == 0 {
			err = errors.New("the result has no transaction")
		}
		ended <- err
	}()
	return ended
}

// A commit that is acknowledged before it is committed is shown to nobody until it is applied. The next
// commit of its item is decided by it, and acknowledged when it is applied; or refused when it is lost.
func TestAsyncIsNotSeen(t *testing.T) {
	for _, lost := range []bool{false, true} {
		for _, ctx := range []context.Context{bg, t.Context()} {
			testAsyncIsNotSeen(t, ctx, lost)
		}
	}
}

func testAsyncIsNotSeen(t *testing.T, ctx context.Context, lost bool) {
	s, g := newSteppedGroup(t)
	sh := g.leader
	was, is := g.put(t, s, edition("a", 1)), edition("a", 2)
	ended := commitAs(t, ctx, s, sh, holdfast.Async, is)
	p := <-g.proposals
	if p.Acknowledge.Mode != holdfast.Async {
		t.Fatalf("got %+v", p.Proposal)
	}
	p.Proposer.Early(p.tx)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if it, err := sh.Get(bg, keyOf(t, is)); err != nil || !it.Equal(edition("a", 1)) {
		t.Errorf("not committed yet: got %v, %v", it, err)
	}
	if changes, _, err := sh.Changes(holdfast.Position{}, Limit{Changes: 9}); err != nil || len(changes) != 1 {
		t.Errorf("not committed yet: got the changes %v, %v; want one", changes, err)
	}
	if err := sh.Reached(p.tx); !errors.Is(err, holdfast.Behind) {
		t.Errorf("not committed yet: got %v; want it behind", err)
	}
	if err := Verify(bg, sh, p.tx); !errors.Is(err, holdfast.Behind) {
		t.Errorf("not committed yet, and its leader leads: got %v; want it behind", err)
	}
	if at := sh.sequencer.durable.at.Load(); at != was.Index {
		t.Errorf("not committed yet: the durable watermark is %d; want %d", at, was.Index)
	}
	if latched(t, sh, is) {
		t.Fatal("the item is latched")
	}
	next := commitAs(t, ctx, s, sh, holdfast.Async, edition("a", 3))
	q := <-g.proposals
	q.Proposer.Early(q.tx)
	wantNoEnd(t, "what decided it isn't committed", next)
	if lost {
		gone := holdfast.Errorf(holdfast.NotLeader, "nothing was changed")
		p.end(gone)
		wantNoEnd(t, "it isn't known to be refused", next)
		if err := q.Proposer.Stands(); !errors.Is(err, holdfast.NotLeader) {
			t.Errorf("behind one that is lost: got %v; want %v", err, gone)
		}
		q.end(gone)
		if err := <-next; !errors.Is(err, holdfast.NotLeader) {
			t.Errorf("lost: got %v; want %v", err, gone)
		}
	} else {
		p.accept(t)
		if err := <-next; err != nil {
			t.Errorf("got %v", err)
		}
		q.accept(t)
	}
	wantNothingOverlaid(t, sh)
	want := edition("a", 3)
	if lost {
		want = edition("a", 1)
	}
	if it, err := sh.Get(bg, keyOf(t, is)); err != nil || !it.Equal(want) {
		t.Errorf("lost %v: got %v, %v; want %v", lost, it, err, want)
	}
}

// wantNoEnd checks that a commit hasn't ended.
func wantNoEnd(t *testing.T, why string, ended <-chan error) {
	t.Helper()
	select {
	case err := <-ended:
		t.Fatalf("%s: the commit has ended: %v", why, err)
	default:
	}
}

// wantNothingOverlaid checks that nothing is left of entries that have ended.
func wantNothingOverlaid(t *testing.T, sh *Shard) {
	t.Helper()
	if left := sh.group.overlay.byStripe; len(left) > 0 {
		t.Errorf("got %v left in the overlay; want nothing", left)
	}
}

// accept commits the next proposal.
func (g *steppedGroup) accept(t *testing.T) *steppedProposal {
	t.Helper()
	p := <-g.proposals
	p.accept(t)
	return p
}

// accept commits the proposal.
func (x *steppedProposal) accept(t *testing.T) {
	t.Helper()
	if err := x.Proposer.Stands(); err != nil {
		t.Errorf("the entry doesn't stand: %v", err)
	}
	x.apply(t)
	x.end(nil)
}

// put commits an item as by default.
func (g *steppedGroup) put(t *testing.T, s *Store, it item.Item) holdfast.TxID {
	ended := commitAs(t, bg, s, g.leader, holdfast.SemiSync, it)
	p := g.accept(t)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return p.tx
}

// A commit that waits for more than that it is applied can be seen, and changed by others, before it
// is acknowledged.
func TestSyncIsSeen(t *testing.T) {
	s, g := newSteppedGroup(t)
	sh := g.leader
	ctx, cancel := context.WithCancel(bg)
	defer cancel()
	for _, how := range []string{"acknowledged", "given up by the group", "given up by the caller"} {
		ended := commitAs(t, ctx, s, sh, holdfast.Sync, edition("a", len(how)))
		p := <-g.proposals
		p.apply(t)
		p.Proposer.Early(p.tx)
		if it, err := sh.Get(bg, keyOf(t, edition("a", 0))); err != nil || !it.Equal(edition("a", len(how))) {
			t.Errorf("%s: got %v, %v", how, it, err)
		}
		g.put(t, s, edition("a", 0))
		select {
		case err := <-ended:
			t.Fatalf("%s: ended early: %v", how, err)
		default:
		}
		var err error
		switch how {
		case "acknowledged":
			p.end(nil)
			if err = <-ended; err != nil {
				t.Errorf("%s: got %v", how, err)
			}
			continue
		case "given up by the group":
			p.end(holdfast.Errorf(holdfast.Unavailable, "outcome unknown"))
			err = <-ended
		default:
			cancel()
			err = <-ended
			g.put(t, s, edition("a", 1)) // it is known that it is applied
			p.end(nil)
		}
		if !errors.Is(err, holdfast.Unavailable) {
			t.Errorf("%s: got %v; want %v", how, err, holdfast.Unavailable)
		}
	}
}

// A commit that changes nothing is acknowledged as any other, since what it has found may be on too few
// disks; one of the default isn't proposed.
func TestUnchangedIsAcknowledged(t *testing.T) {
	s, g := newSteppedGroup(t)
	g.put(t, s, edition("a", 1))
	again := Commit{Writes: []Write{put(t, g.leader, edition("a", 1))}}
	if _, err := s.Commit(bg, again); err != nil {
		t.Error(err)
	}
	again.Acknowledge.Mode = holdfast.Sync
	for _, want := range []error{nil, holdfast.Errorf(holdfast.Refused, "nothing was changed")} {
		ended := make(chan error)
		go func() {
			_, err := s.Commit(bg, again)
			ended <- err
		}()
		p := <-g.proposals
		if p.Acknowledge != again.Acknowledge {
			t.Errorf("got %v; want %v", p.Acknowledge, again.Acknowledge)
		}
		if want == nil {
			p.apply(t)
		}
		p.end(want)
		if err := <-ended; !errors.Is(err, want) {
			t.Errorf("got %v; want %v", err, want)
		}
	}
	changes, _, err := g.leader.Changes(holdfast.Position{}, Limit{Changes: 9})
	if err != nil || len(changes) != 1 {
		t.Errorf("got the changes %v, %v; want one", changes, err)
	}
}

// A commit that its caller has given up keeps nobody from writing: others are decided by what it does.
func TestAsyncIsAbandoned(t *testing.T) {
	s, g := newSteppedGroup(t)
	ctx, cancel := context.WithCancel(bg)
	ended := commitAs(t, ctx, s, g.leader, holdfast.Async, edition("a", 1))
	p := <-g.proposals
	cancel()
	if err := <-ended; !errors.Is(err, holdfast.Unavailable) {
		t.Errorf("got %v; want %v", err, holdfast.Unavailable)
	}
	p.Proposer.Early(p.tx)
	if g.leader.group.log.Load().drains() != nil {
		t.Error("the shard waits for the outcome")
	}
	other := commitAs(t, bg, s, g.leader, holdfast.Async, edition("b", 1))
	q := <-g.proposals
	q.Proposer.Early(q.tx)
	if err := <-other; err != nil {
		t.Errorf("another item: got %v", err)
	}
	same := commitAs(t, bg, s, g.leader, holdfast.SemiSync, edition("a", 2))
	r := <-g.proposals
	for _, x := range []*steppedProposal{p, q, r} {
		x.accept(t)
	}
	if err := <-same; err != nil {
		t.Errorf("the same item: got %v", err)
	}
	wantNothingOverlaid(t, g.leader)
}

// The entries of a transaction are acknowledged by the default at least, and by more if it asks for
// more.
func TestTransactionsAreNeverAsync(t *testing.T) {
	for _, mode := range []holdfast.AcknowledgeMode{holdfast.Async, holdfast.SemiSync, holdfast.Sync} {
		leader, _, groups := newGroups(t, vfs.NewMem(), 1, 2)
		var mu sync.Mutex
		var got []holdfast.AcknowledgeMode
		for _, g := range groups {
			g.proposed = func(p Proposal) {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, p.Acknowledge.Mode)
			}
		}
		c := Commit{Acknowledge: holdfast.Acknowledge{Mode: mode}}
		for _, g := range groups[:2] {
			c.Writes = append(c.Writes, put(t, g.leader, edition("a", 1)))
		}
		if _, err := leader.Commit(bg, c); err != nil {
			t.Fatal(err)
		}
		want := mode
		if mode == holdfast.Async {
			want = holdfast.SemiSync
		}
		if len(got) != 5 {
			t.Errorf("%v: got %d proposals; want two to prepare, a decision, and two to resolve", c.Acknowledge,
				len(got))
		}
		for _, is := range got {
			if is != want {
				t.Errorf("%v: got a proposal that asks for %v; want %v", c.Acknowledge, is, want)
			}
		}
	}
}

// edition returns one of the items that an item becomes.
func edition(id string, n int) item.Item { return thing(id, 1, "v", n) }
