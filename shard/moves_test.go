package shard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"holdfast"
	"holdfast/item"
)

// A leadership is lost between two steps of a transaction, before or after the group has the step's
// entry: of the step's shard, of the ledger, or of all. Then another store leads all, and the first
// that looks there resolves what is left. The transaction is whole, at one time, or hasn't happened,
// and its error says which, or that it isn't known.
func TestTransactionsWhoseLeadersMove(t *testing.T) {
	const steps = 5 // two prepare entries, the decision, two resolve entries
	for step := range steps {
		for _, after := range []bool{false, true} {
			for _, what := range []string{"its shard", "the ledger", "all"} {
				for _, by := range []string{"recovery", "a reader", "a writer", "the token"} {
					name := fmt.Sprintf("step %d, after %t, %s, %s", step, after, what, by)
					t.Run(name, func(t *testing.T) { moveAt(t, step, after, what, by) })
				}
			}
		}
	}
}

func moveAt(t *testing.T, step int, after bool, what, by string) {
	c := newThreeStores(t, 1, 2)
	gets := pairOf(t, c, 0)
	commitAll(t, c.stores[0], both(gets)...)
	c.group(2).lag(1, true)
	n := 0
	lose := func(g *threeReplicas, _ []byte) {
		if n++; n != step+1 {
			return
		}
		switch what {
		case "its shard":
			g.move(t, 2)
		case "the ledger":
			c.group(ledgerShard).move(t, 2)
		default:
			c.moveAll(t, 2)
		}
	}
	if after {
		c.applied = lose
	} else {
		c.proposed = lose
	}
	retried := Commit{Writes: both(gets), Token: "t", Digest: []byte("d")}
	_, err := c.stores[0].Commit(bg, retried)
	c.applied, c.proposed = nil, nil
	if n <= step {
		t.Fatalf("got %d entries; want the leadership lost at number %d", n, step+1)
	}
	c.moveAll(t, 1)
	gets = pairOf(t, c, 1)
	s, want := c.stores[1], 0
	switch by {
	case "recovery":
	case "a reader":
		for _, g := range gets {
			cur, err := g.Shard.Cursor(bg, Span{})
			if err != nil {
				t.Fatal(err)
			}
			if err := cur.Close(); err != nil {
				t.Fatal(err)
			}
		}
	case "a writer":
		commitAll(t, s, both(gets)...)
		want++
	case "the token":
		retried.Writes = both(gets)
		if _, again := s.Commit(bg, retried); again != nil && again != ErrCommitted {
			t.Fatalf("the commit is repeated: got %v", again)
		} else if again == nil {
			want++
		}
	}
	if err := s.ledger.Load().ResolveAll(bg); err != nil {
		t.Fatal(err)
	}
	got, getErr := s.GetAll(bg, gets)
	if getErr != nil || versionOf(got[0]) != versionOf(got[1]) {
		t.Fatalf("got %v, %v; want one version of both", got, getErr)
	}
	happened := versionOf(got[0]) - 1 - want
	switch nothing := errors.Is(err, holdfast.NotLeader) || errors.Is(err, holdfast.Refused); {
	case happened < 0 || happened > 1 || err == nil && happened == 0 || nothing && happened == 1:
		t.Errorf("the commit got %v, and has happened %d times", err, happened)
	case !nothing && err != nil && !errors.Is(err, holdfast.Unavailable):
		t.Errorf("got %v; want an error that says what has happened", err)
	}
	wantOneTime(t, gets)
	c.compare(t)
	for _, s := range c.stores {
		wantNoLocks(t, s)
	}
}

// wantOneTime checks that the changes of two items, which were made together, have the same times.
func wantOneTime(t *testing.T, gets []Get) {
	t.Helper()
	var times [2][]time.Time
	for i, g := range gets {
		changes, _, err := g.Shard.Changes(holdfast.Position{}, Limit{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			times[i] = append(times[i], c.At)
		}
	}
	if fmt.Sprint(times[0]) != fmt.Sprint(times[1]) {
		t.Errorf("got changes at %v and %v; want the same times", times[0], times[1])
	}
}

// The group of a shard may raise the time of a prepare entry, since it has put another entry of a later
// time before it. All changes of the transaction are of a time that isn't before that.
func TestTransactionTimesOverGroups(t *testing.T) {
	c := newThreeStores(t, 1, 2)
	now := time.Unix(1_900_000_000, 0)
	c.stores[0].now = func() time.Time { return now }
	gets := pairOf(t, c, 0)
	c.proposed = func(*threeReplicas, []byte) {
		c.proposed = nil
		now = now.Add(time.Hour)
		commitAll(t, c.stores[0], put(t, gets[0].Shard, thing("b", 1)))
		now = now.Add(-time.Hour)
	}
	commitAll(t, c.stores[0], both(gets)...)
	for _, g := range gets {
		changes, _, err := g.Shard.Changes(holdfast.Position{}, Limit{})
		if err != nil {
			t.Fatal(err)
		}
		if last := changes[len(changes)-1].At; !last.Equal(now.Add(time.Hour)) {
			t.Errorf("got a change at %v; want it at %v", last, now.Add(time.Hour))
		}
	}
	c.compare(t)
}

// A reader that meets a lock gets NotLeader, unless its store leads the shard and the ledger.
func TestLockedReadsOfFollowers(t *testing.T) {
	c := newThreeStores(t, 1, 2)
	leaveLocks(t, c)
	for at, s := range c.stores {
		gets := pairOf(t, c, at)
		if _, err := gets[1].Shard.Get(bg, gets[1].Key); !errors.Is(err, holdfast.NotLeader) {
			t.Errorf("store %d: Get of a locked item: got %v; want %v", at, err, holdfast.NotLeader)
		}
		if _, err := gets[1].Shard.Get(bg, keyOf(t, thing("b", 1))); err != nil {
			t.Errorf("store %d: Get of another item: got %v; want no error", at, err)
		}
		if it, err := gets[0].Shard.Get(bg, gets[0].Key); err != nil || versionOf(it) != 1 {
			t.Errorf("store %d: Get of an item that isn't locked any more: got %v, %v; want version 1", at, it, err)
		}
		if _, err := gets[1].Shard.Cursor(bg, Span{}); !errors.Is(err, holdfast.NotLeader) {
			t.Errorf("store %d: Cursor: got %v; want %v", at, err, holdfast.NotLeader)
		}
		if _, err := s.GetAll(bg, gets); !errors.Is(err, holdfast.NotLeader) {
			t.Errorf("store %d: GetAll: got %v; want %v", at, err, holdfast.NotLeader)
		}
		if _, err := s.Commit(bg, Commit{Writes: both(gets)}); !errors.Is(err, holdfast.NotLeader) {
			t.Errorf("store %d: Commit: got %v; want %v", at, err, holdfast.NotLeader)
		}
		if err := s.ledger.Load().ResolveAll(bg); !errors.Is(err, holdfast.NotLeader) {
			t.Errorf("store %d: ResolveAll: got %v; want %v", at, err, holdfast.NotLeader)
		}
	}
	c.moveAll(t, 1)
	gets := pairOf(t, c, 1)
	if it, err := gets[1].Shard.Get(bg, gets[1].Key); err != nil || versionOf(it) != 1 {
		t.Errorf("where all is led: got %v, %v; want version 1", it, err)
	}
	if got, err := c.stores[1].GetAll(bg, gets); err != nil || versionOf(got[1]) != 1 {
		t.Errorf("where all is led: got %v, %v; want version 1 of both", got, err)
	}
}

// A decision outlives locks that the replica of the shard here doesn't have yet.
func TestDecisionsOutliveLocksOfLaggingReplicas(t *testing.T) {
	c := newThreeStores(t, 1, 2)
	c.group(2).lag(1, true)
	leaveLocks(t, c)
	c.group(ledgerShard).move(t, 1)
	later := time.Now().Add(time.Hour)
	n, err := c.stores[1].ledger.Load().Expire(bg, later, 10, 100)
	if n != 0 || !errors.Is(err, holdfast.NotLeader) {
		t.Errorf("got %d, %v; want none removed, and %v", n, err, holdfast.NotLeader)
	}
	c.moveAll(t, 1)
	if n, err := c.stores[1].ledger.Load().Expire(bg, later, 10, 100); n != 1 || err != nil {
		t.Errorf("where all is led: got %d, %v; want it resolved and removed", n, err)
	}
	got, err := c.stores[1].GetAll(bg, pairOf(t, c, 1))
	if err != nil || versionOf(got[0]) != 1 || versionOf(got[1]) != 1 {
		t.Errorf("got %v, %v; want version 1 of both", got, err)
	}
	c.compare(t)
}

// A writer that stops waiting for a prepare entry knows that nothing was changed, and nothing will be.
func TestPrepareIsAbandoned(t *testing.T) {
	c := newThreeStores(t, 1, 2)
	ctx, cancel := context.WithCancel(bg)
	hold := make(chan struct{})
	c.proposed = func(g *threeReplicas, _ []byte) {
		if g.id == 2 {
			cancel()
			<-hold
		}
	}
	gets := pairOf(t, c, 0)
	if _, err := c.stores[0].Commit(ctx, Commit{Writes: both(gets)}); !errors.Is(err, holdfast.Overloaded) {
		t.Errorf("got %v; want %v", err, holdfast.Overloaded)
	}
	close(hold)
	if drained := c.group(2).sh[0].group.log.Load().drains(); drained != nil {
		<-drained
	}
	c.proposed = nil
	commitAll(t, c.stores[0], both(gets)...)
	if got, err := c.stores[0].GetAll(bg, gets); err != nil || versionOf(got[0]) != 1 || versionOf(got[1]) != 1 {
		t.Errorf("got %v, %v; want the next transaction's version of both", got, err)
	}
	c.compare(t)
}

// What a replica that doesn't lead is asked to change is refused, or nothing is done.
func TestFollowersChangeNothing(t *testing.T) {
	c := newThreeStores(t, 1, followingShard)
	for n := range 3 {
		commitAll(t, c.stores[0], put(t, c.group(1).sh[0], thing("a", n)))
	}
	logged := func() (all []int) { // the entries of each group, that of the ledger too
		for _, g := range c.groups {
			g.mu.Lock()
			all = append(all, len(g.log))
			g.mu.Unlock()
		}
		return all
	}
	before := logged()
	s, sh := c.stores[1], c.group(1).sh[1]
	s.logAge, s.logBytes = -time.Hour, 0
	to := testSchema()
	to.TTL = ""
	for name, do := range map[string]func() error{
		"SetSchema":             func() error { return sh.SetSchema(to) },
		"SetSchema of the same": func() error { return sh.SetSchema(testSchema()) },
		"Clear":                 func() error { return sh.Clear(9) },
		"ClearTTL":              sh.ClearTTL,
		"Backfill":              func() error { _, err := sh.Backfill(bg, 1, nil, 9); return err },
		"BackfillTTL":           func() error { _, err := sh.BackfillTTL(bg, nil, 9); return err },
		"Follow":                func() error { return c.group(followingShard).sh[1].Follow(Follow{Source: 1}) },
		"Expire":                func() error { _, err := s.ledger.Load().Expire(bg, time.Now(), 9, 9); return err },
		"Commit": func() error {
			_, err := s.Commit(bg, Commit{Writes: []Write{put(t, sh, thing("a", 1, "v", 1))}, Token: "t"})
			return err
		},
	} {
		if err := do(); !errors.Is(err, holdfast.NotLeader) {
			t.Errorf("%s: got %v; want %v", name, err, holdfast.NotLeader)
		}
	}
	if err := s.Trim(bg); err != nil {
		t.Errorf("Trim: got %v; want no error", err)
	}
	if after := logged(); !slices.Equal(after, before) {
		t.Errorf("got %v entries; want %v, as before", after, before)
	}
	if _, err := s.Copy(bg, sh, whole(50), time.Time{}); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("Copy: got %v; want %v", err, holdfast.Invalid)
	}
	if after := logged(); !slices.Equal(after, before) {
		t.Errorf("after Copy: got %v entries; want %v, as before", after, before)
	}
	c.moveAll(t, 1)
	if err := s.Trim(bg); err != nil {
		t.Fatal(err)
	}
	if first, last := c.group(1).sh[2].Oldest(), sh.Oldest(); first != last || first.Index < 2 {
		t.Errorf("after a trim where the shard is led: got the oldest at %v, and %v there; want one that has risen",
			first, last)
	}
	c.compare(t)
}

// A step that follows what another leader has done since is refused before it is in the log, where it
// would be one that no replica can apply.
func TestFollowOfAFormerLeader(t *testing.T) {
	c := newThreeStores(t, followingShard)
	g := c.group(followingShard)
	step := Follow{Source: 1, To: Progress{Applied: 5, Whole: true}}
	g.move(t, 1)
	if err := g.sh[1].Follow(step); err != nil {
		t.Fatal(err)
	}
	g.move(t, 0)
	if err := g.sh[0].Follow(step); !errors.Is(err, holdfast.Invalid) || len(g.log) != 1 {
		t.Errorf("got %v, and %d entries; want %v, and 1", err, len(g.log), holdfast.Invalid)
	}
	step.From, step.To.Applied = 5, 7
	if err := g.sh[0].Follow(step); err != nil {
		t.Error(err)
	}
	c.compare(t)
}

// All replicas of a shard have its schemas, also one that starts late with the first of them.
func TestSchemasOfReplicas(t *testing.T) {
	c := newThreeStores(t, 1)
	g := c.group(1)
	schemas := []Schema{testSchema(), testSchema(), testSchema()}
	schemas[1].Indexes, schemas[1].TTL = schemas[1].Indexes[:2], ""
	schemas[2].Indexes = schemas[2].Indexes[1:]
	for n, to := range schemas {
		at := n % len(c.stores)
		c.moveAll(t, at)
		commitAll(t, c.stores[at], put(t, g.sh[at], thing("a", n, "g", "g", "m", n, "exp", 10)))
		if err := g.sh[at].SetSchema(to); err != nil {
			t.Fatal(err)
		}
		for _, x := range to.Indexes {
			if _, err := g.sh[at].Backfill(bg, x.ID, nil, 100); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.compare(t)
	late := newThreeStores(t, 1)
	if err := ReplicaOf(late.group(1).sh[0]).ApplyAll(g.log); err != nil {
		t.Fatal(err)
	}
	compareShards(t, c.stores[0], late.stores[0], 1)
	if got := late.group(1).sh[0].schema.Load(); !got.equals(&schemas[2]) {
		t.Errorf("got schema %+v; want %+v", got, schemas[2])
	}
}

// A follower may get its ledger while it is read: until then it has no decisions.
func TestLedgerComesLate(t *testing.T) {
	c := newThreeStores(t, 1, 2)
	leaveLocks(t, c)
	s := c.stores[1]
	ledger := s.ledger.Swap(nil).shard
	gets := pairOf(t, c, 1)
	for name, do := range map[string]func() error{
		"Get":    func() error { _, err := gets[1].Shard.Get(bg, gets[1].Key); return err },
		"GetAll": func() error { _, err := s.GetAll(bg, gets); return err },
		"Cursor": func() error { _, err := gets[1].Shard.Cursor(bg, Span{}); return err },
		"Commit": func() error { _, err := s.Commit(bg, Commit{Writes: both(gets)}); return err },
		"Commit of one": func() error {
			_, err := s.Commit(bg, Commit{Writes: []Write{increment(gets[1])}})
			return err
		},
	} {
		if err := do(); !errors.Is(err, holdfast.NotLeader) {
			t.Errorf("%s: got %v; want %v", name, err, holdfast.NotLeader)
		}
	}
	c.moveAll(t, 1)
	if _, err := gets[1].Shard.Get(bg, gets[1].Key); !errors.Is(err, holdfast.NotLeader) {
		t.Errorf("at the leader without a ledger: got %v; want %v", err, holdfast.NotLeader)
	}
	read := func() (it item.Item, err error) { return gets[1].Shard.Get(bg, gets[1].Key) }
	var first *Ledger
	whileReading(func() { first = s.UseLedger(ledger) }, func() {
		if it, err := read(); !errors.Is(err, holdfast.NotLeader) && (err != nil || versionOf(it) != 1) {
			t.Errorf("while the ledger comes: got %v, %v; want %v, or version 1", it, err, holdfast.NotLeader)
		}
	})
	if it, err := read(); err != nil || versionOf(it) != 1 {
		t.Errorf("got %v, %v; want version 1, which was decided", it, err)
	}
	if s.UseLedger(ledger) != first {
		t.Error("the ledger was replaced by a second call")
	}
}
