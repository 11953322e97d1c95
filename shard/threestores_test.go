package shard

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// threeStores are stores of which each has a replica of the same shards, the ledger among them. The
// groups of these commit an entry as soon as it is proposed. Which replica leads, and which of them
// apply at once, is up to the test.
type threeStores struct {
	stores [3]*Store
	groups []*threeReplicas // by rising ID

	proposed func(g *threeReplicas, raw []byte) // called before an entry is committed; nil: nothing is
	applied  func(g *threeReplicas, raw []byte) // called when the leader has applied it; nil: nothing is
}

// threeReplicas are the replicas of a shard, and the log that they apply.
type threeReplicas struct {
	id   holdfast.ShardID
	of   *threeStores
	line line       // of proposals
	mu   sync.Mutex // guards what follows; taken before sequencer.mu of the shards
	sh   [3]*Shard
	term uint64
	// leads is the place of the replica that leads.
	leads int
	log   []Committed
	done  [3]int  // how many entries of the log each has applied
	lags  [3]bool // it applies only what it must
}

// A seat is one of three replicas as its shard sees their group.
type seat struct {
	*threeReplicas
	at int
}

var _ Group = seat{}

// newThreeStores opens three stores with replicas of some shards and the ledger. The first leads all.
func newThreeStores(t *testing.T, ids ...holdfast.ShardID) *threeStores {
	t.Helper()
	c := &threeStores{}
	for i := range c.stores {
		c.stores[i] = openStore(t, memOptions(vfs.NewMem()))
	}
	for _, id := range append(ids, ledgerShard) {
		g := &threeReplicas{id: id, of: c, term: 3}
		for i, s := range c.stores {
			g.sh[i] = openShard(t, s, id)
			ReplicaOf(g.sh[i]).Join(seat{g, i})
		}
		c.groups = append(c.groups, g)
	}
	return c
}

// Lead implements Group.
func (s seat) Lead() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leads != s.at {
		return 0, holdfast.Errorf(holdfast.NotLeader, "nothing was changed: replica %d leads", s.leads)
	}
	return s.term, nil
}

// LeadsIn implements Group.
func (s seat) LeadsIn(term uint64) bool {
	leads, err := s.Lead()
	return err == nil && leads == term
}

// Propose implements Group.
func (s seat) Propose(p Proposal) error {
	propose := func() { s.line.add(func() { p.Proposer.Ended(s.propose(p)) }) }
	if s.of.proposed == nil {
		propose()
		return nil
	}
	go func() { // which may wait, and may put another one before
		s.of.proposed(s.threeReplicas, p.Raw)
		propose()
	}()
	return nil
}

func (s seat) propose(p Proposal) (holdfast.TxID, error) {
	if err := p.Proposer.Stands(); err != nil {
		return holdfast.TxID{}, err
	}
	tx, err := s.commit(p.Term, p.Raw)
	if err == nil && s.of.applied != nil {
		s.of.applied(s.threeReplicas, p.Raw)
	}
	return tx, err
}

// A line does one thing after the other, in the order in which they were added.
type line struct {
	mu   sync.Mutex
	last <-chan struct{} // closed when the last one is done; nil: there was none
}

func (l *line) add(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, done := l.last, make(chan struct{})
	l.last = done
	go func() {
		if before != nil {
			<-before
		}
		do()
		close(done)
	}()
}

func (s seat) commit(term uint64, raw []byte) (holdfast.TxID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leads != s.at || s.term != term {
		return holdfast.TxID{}, holdfast.Errorf(holdfast.Refused, "nothing was changed: term %d has ended", term)
	}
	tx := holdfast.TxID{Shard: s.id, Term: term, Index: uint64(2*len(s.log) + 2)} // others are Raft's own
	s.log = append(s.log, Committed{tx, string(raw)})
	for i := range s.sh {
		if i == s.at || !s.lags[i] {
			if err := s.catchUp(i); err != nil {
				return holdfast.TxID{}, err
			}
		}
	}
	return tx, nil
}

// Read implements Group.
func (s seat) Read(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.catchUp(s.at)
}

// catchUp has a replica apply all that is committed. mu is held.
func (g *threeReplicas) catchUp(at int) error {
	rest := g.log[g.done[at]:]
	g.done[at] = len(g.log)
	return ReplicaOf(g.sh[at]).ApplyAll(rest)
}

// move has another replica lead the group, in a later term.
func (g *threeReplicas) move(t *testing.T, to int) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.catchUp(to); err != nil {
		t.Fatal(err)
	}
	g.term, g.leads = g.term+1, to
}

// moveAll has another replica lead all groups.
func (c *threeStores) moveAll(t *testing.T, to int) {
	t.Helper()
	for _, g := range c.groups {
		g.move(t, to)
	}
}

// lag has a replica apply nothing but what it must, or no longer.
func (g *threeReplicas) lag(at int, lags bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lags[at] = lags
}

// group returns that of a shard.
func (c *threeStores) group(id holdfast.ShardID) *threeReplicas {
	for _, g := range c.groups {
		if g.id == id {
			return g
		}
	}
	return nil
}

// compare has all replicas apply all, and compares them, byte for byte.
func (c *threeStores) compare(t *testing.T) {
	t.Helper()
	for _, g := range c.groups {
		for i := range g.sh {
			if err := Confirm(bg, g.sh[i]); err != nil {
				t.Fatal(err)
			}
		}
		compareShards(t, c.stores[0], c.stores[1], g.id)
		compareShards(t, c.stores[0], c.stores[2], g.id)
	}
}

// pairOf returns the gets of one item in the first two shards, at a store.
func pairOf(t *testing.T, c *threeStores, at int) []Get {
	t.Helper()
	key := keyOf(t, thing("a", 1))
	return []Get{{c.group(1).sh[at], key}, {c.group(2).sh[at], key}}
}

// both returns the writes that increment the versions of both.
func both(gets []Get) []Write { return []Write{increment(gets[0]), increment(gets[1])} }

// leaveLocks has a transaction end without an outcome: it is decided, its first shard is resolved, and
// its second one isn't. The third store leads that, and the first the others.
func leaveLocks(t *testing.T, c *threeStores) {
	t.Helper()
	resolves := 0
	c.proposed = func(g *threeReplicas, raw []byte) {
		if entryKind(raw[1]) == entryResolve {
			if resolves++; resolves == 2 {
				g.move(t, 2)
			}
		}
	}
	_, err := c.stores[0].Commit(bg, Commit{Writes: both(pairOf(t, c, 0))})
	if !errors.Is(err, holdfast.Unavailable) {
		t.Fatalf("got %v; want %v", err, holdfast.Unavailable)
	}
	c.proposed = nil
}
