package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/shard"
)

// A testGroup is the group of the catalog's shard, whose replicas all have an entry as soon as it is
// proposed. The test says which of them leads.
type testGroup struct {
	mu     sync.Mutex // guards what follows
	shards []*shard.Shard
	leader int
	term   uint64
	index  uint64
	away   map[int][]shard.Committed // replicas that get their entries later

	held func() // is called when an entry was proposed, and before it is applied; nil: nothing is
}

// A testReplica is the group as one of its replicas sees it.
type testReplica struct {
	*testGroup
	self int
}

// Lead implements shard.Group.
func (g testReplica) Lead() (uint64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leader != g.self {
		return 0, holdfast.Errorf(holdfast.NotLeader, "replica %d leads", g.leader)
	}
	return g.term, nil
}

// LeadsIn implements Group.
func (g testReplica) LeadsIn(term uint64) bool {
	leads, err := g.Lead()
	return err == nil && leads == term
}

// Propose implements shard.Group.
func (g testReplica) Propose(p shard.Proposal) error {
	go func() { p.Proposer.Ended(g.commit(p)) }()
	return nil
}

// commit has the replicas apply an entry.
func (g testReplica) commit(p shard.Proposal) (holdfast.TxID, error) {
	term, raw := p.Term, p.Raw
	if g.held != nil {
		g.held()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leader != g.self || term != g.term {
		return holdfast.TxID{}, holdfast.Errorf(holdfast.NotLeader, "replica %d leads", g.leader)
	}
	g.index++
	e := shard.Committed{Tx: holdfast.TxID{Shard: ShardID, Term: term, Index: g.index}, Raw: string(raw)}
	for i, sh := range g.shards {
		if waiting, away := g.away[i]; away {
			g.away[i] = append(waiting, e)
		} else if err := shard.ReplicaOf(sh).ApplyAll([]shard.Committed{e}); err != nil {
			return holdfast.TxID{}, err
		}
	}
	return e.Tx, nil
}

// Read implements shard.Group.
func (g testReplica) Read(context.Context) error { return nil }

// leave has a replica get nothing until it returns.
func (g *testGroup) leave(replica int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.away[replica] = []shard.Committed{}
}

// back has a replica get what it has missed.
func (g *testGroup) back(t *testing.T, replica int) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := shard.ReplicaOf(g.shards[replica]).ApplyAll(g.away[replica]); err != nil {
		t.Fatal(err)
	}
	delete(g.away, replica)
}

func (g *testGroup) lead(replica int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leader, g.term = replica, g.term+1
}

// newReplicas returns the catalogs of a cluster of some nodes, of which the first leads.
func newReplicas(t *testing.T, nodes int) (*testGroup, []*Catalog) {
	t.Helper()
	g := &testGroup{term: 1, away: map[int][]shard.Committed{}}
	var all []*Catalog
	for i := range nodes {
		disk, err := shard.Open(shard.Options{Dir: "data", FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = disk.Close() })
		sh, err := disk.Open(Descriptor(), Schema())
		if err != nil {
			t.Fatal(err)
		}
		shard.ReplicaOf(sh).Join(testReplica{g, i})
		g.shards = append(g.shards, sh)
		c, err := OpenReplicated(disk, sh)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return g, all
}

// named returns a revision that puts a table of that name.
func named(name, class string) Revision {
	return Revision{Put: []Entry{&Table{Table: Description{Definition: Definition{Name: name, Class: class}}}}}
}

func refresh(t *testing.T, c *Catalog) (before, after Contents, changed bool) {
	t.Helper()
	c.Lock()
	defer c.Unlock()
	before, after, changed, err := c.Refresh()
	if err != nil {
		t.Fatal(err)
	}
	return before, after, changed
}

// A node that doesn't lead sees what the leader commits, whole, and only that is new which has changed.
// A commit at one that doesn't lead changes nothing.
func TestRefresh(t *testing.T) {
	g, all := newReplicas(t, 3)
	leader, follower := all[0], all[1]
	for _, v := range []Revision{named("a", "1"), named("b", "1"), {Put: []Entry{&Removed{ID: "r"}}}} {
		if err := leader.Update(context.Background(), v); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, changed := refresh(t, leader); changed {
		t.Error("its own commits are a change to the leader; want none")
	}
	g.leave(1)
	if _, _, changed := refresh(t, follower); !changed {
		t.Error("got no change at a follower; want one")
	}
	both := Revision{Put: named("b", "2").Put, Remove: []Entry{&Removed{ID: "r"}}}
	if err := leader.Update(context.Background(), both); err != nil {
		t.Fatal(err)
	}
	if _, _, changed := refresh(t, follower); changed {
		t.Error("got a change at a follower that has applied none; want none")
	}
	g.back(t, 1)
	before, after, changed := refresh(t, follower)
	if got, want := describe(after), describe(leader.Contents()); !changed || got != want {
		t.Errorf("got %v at a follower:\n%swant\n%s", changed, got, want)
	}
	if before.Tables["a"] != after.Tables["a"] || before.Tables["b"] == after.Tables["b"] ||
		after.Tables["b"].Table.Class != "2" || len(after.Removed) != 0 {
		t.Errorf("got %v after %v; want the same table a, and another b", after, before)
	}
	if err := follower.Update(context.Background(), named("c", "1")); !errors.Is(err, holdfast.NotLeader) {
		t.Errorf("a commit at a follower: got %v; want %v", err, holdfast.NotLeader)
	}
	if _, after, _ := refresh(t, follower); after.Tables["c"] != nil {
		t.Error("a commit that was refused is there")
	}
}

// 1. The first node leads, and has read the contents.
// 2. The second leads, and commits.
// 3. The first leads again, and commits by what it read at first.
func TestStaleContentsAreNotCommitted(t *testing.T) {
	g, all := newReplicas(t, 2)
	bg := context.Background()
	if err := all[0].Update(bg, named("a", "1")); err != nil {
		t.Fatal(err)
	}
	g.lead(1)
	refresh(t, all[1])
	if err := all[1].Update(bg, named("a", "2")); err != nil {
		t.Fatal(err)
	}
	g.lead(0)
	if err := all[0].Update(bg, named("a", "3")); !errors.Is(err, holdfast.Refused) {
		t.Errorf("a commit by stale contents: got %v; want %v", err, holdfast.Refused)
	}
	if _, is, changed := refresh(t, all[0]); !changed || is.Tables["a"].Table.Class != "2" {
		t.Errorf("got %v, %v; want the second node's table", changed, is)
	}
	if err := all[0].Update(bg, named("a", "4")); err != nil {
		t.Errorf("a commit after a refresh: got %v; want none", err)
	}
	if _, is, _ := refresh(t, all[1]); is.Tables["a"].Table.Class != "4" {
		t.Errorf("got %v at the other node; want the newest table", is)
	}
}

// A commit whose outcome isn't known may be there later. Until the contents are read again, no other
// one is made.
func TestOutcomeOfARevisionIsntKnown(t *testing.T) {
	g, all := newReplicas(t, 1)
	c := all[0]
	ctx, cancel := context.WithCancel(context.Background())
	release := make(chan struct{})
	g.held = func() { cancel(); <-release }
	if err := c.Update(ctx, named("a", "1")); !errors.Is(err, holdfast.Unavailable) {
		t.Fatalf("got %v; want %v", err, holdfast.Unavailable)
	}
	if _, is, _ := refresh(t, c); len(is.Tables) != 0 {
		t.Errorf("got %v; want no tables yet", is.Tables)
	}
	more := shard.NewFollower(g.shards[0], 0)
	defer more.Close()
	applied := more.More(0)
	close(release)
	if applied != nil {
		<-applied
	}
	g.held = nil
	if err := c.Update(context.Background(), named("b", "1")); !errors.Is(err, holdfast.Refused) {
		t.Errorf("got %v; want %v", err, holdfast.Refused)
	}
	if _, is, changed := refresh(t, c); !changed || is.Tables["a"] == nil {
		t.Errorf("got %v, %v; want the table", changed, is.Tables)
	}
	if err := c.Update(context.Background(), named("b", "1")); err != nil {
		t.Error(err)
	}
}

// Whichever node leads, and however late the others read what it commits: no ID is drawn twice, and
// all have the same contents in the end, which a start reads, too.
func TestIDsOfACluster(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 2))
		g, all := newReplicas(t, 3)
		drawn := map[holdfast.ShardID]int{ShardID: 1}
		leader := 0
		for n := range 80 {
			c := all[leader]
			switch rng.IntN(8) {
			case 0:
				leader = rng.IntN(3)
				g.lead(leader)
				refresh(t, all[leader])
				continue
			case 1:
				g.lead(leader) // it leads again, and nothing was changed meanwhile
			case 2:
				refresh(t, all[rng.IntN(3)])
			}
			c.Lock()
			space, shards, err := c.NewSpace(context.Background(), Even(1+rng.IntN(60)))
			if err == nil {
				err = c.Commit(context.Background(), named(fmt.Sprint("t", rng.IntN(5)), fmt.Sprint(n)))
			}
			c.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range append([]holdfast.ShardID{holdfast.ShardID(space)}, idsOf(shards)...) {
				if drawn[id]++; drawn[id] > 1 {
					t.Fatalf("seed %d: %d was drawn twice", seed, id)
				}
			}
		}
		_, want, _ := refresh(t, all[leader])
		for i, c := range all {
			_, got, _ := refresh(t, c)
			again, err := OpenReplicated(c.replicated.store, g.shards[i])
			if err != nil || describe(got) != describe(want) || describe(again.Contents()) != describe(want) {
				t.Errorf("seed %d, node %d: got %v, and at a start %v, %v; want %v",
					seed, i, describe(got), describe(again.Contents()), err, describe(want))
			}
		}
		if last := slices.Max(slices.Collect(maps.Keys(drawn))); want.Next <= last {
			t.Errorf("seed %d: got %d as the next ID; want more than %d", seed, want.Next, last)
		}
	}
}

func idsOf(shards []Shard) (all []holdfast.ShardID) {
	for _, s := range shards {
		all = append(all, s.ID)
	}
	return all
}

// What reads the catalog of a directory finds that of a cluster.
func TestCatalogOfAClusterOnDisk(t *testing.T) {
	_, all := newReplicas(t, 1)
	c := all[0]
	c.Lock()
	defer c.Unlock()
	if _, err := c.OpenLedger(context.Background()); err != nil {
		t.Fatal(err)
	}
	disk := c.replicated.store
	names, err := Names(disk)
	want := map[holdfast.ShardID]string{1: "catalog of tables", 3: "ledger of transactions"}
	if err != nil || !maps.Equal(names, want) {
		t.Errorf("got %v, %v; want %v", names, err, want)
	}
	schemas, err := Schemas(disk)
	if err != nil || len(schemas) != 2 || schemas[ShardID].Key != Schema().Key {
		t.Errorf("got %v, %v; want those of shards 1 and 3", schemas, err)
	}
	again, err := OpenOnDisk(disk)
	if err != nil || describe(again.is) != describe(c.is) || !again.Replicated() {
		t.Errorf("got %v, %v; want %v", again.is, err, c.is)
	}
}
