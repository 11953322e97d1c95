package table

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/catalog"
	"holdfast/shard"
)

// A testCluster is the nodes of a cluster in one process, with groups whose entries are committed as
// soon as they are proposed: one node leads all groups, which the test sets. A node that is away gets
// its entries when it is back.
type testCluster struct {
	t     testing.TB
	time  *clock
	o     Options
	nodes []*testNode

	mu     sync.Mutex // guards what follows, and all groups
	leader int        // may lead
	groups map[holdfast.ShardID]*testGroup
	hook   func(id holdfast.ShardID, raw []byte) // is called before an entry is proposed; nil: nothing is

	proposed func(shard.Proposal)     // is called at each proposal, with mu held; nil: nothing is
	reads    map[holdfast.ShardID]int // consistent reads, by shard
}

// A testGroup is the log of a shard's replicas.
type testGroup struct {
	term   uint64
	leader int // -1: none
	log    []shard.Committed
}

// A testNode is a node: a rig, whose background work the test does, with its replicas.
type testNode struct {
	*rig
	in       *testCluster // whose mu guards away and replicas
	self     int
	away     bool
	replicas map[holdfast.ShardID]*testReplica
	followed followedNodes
}

// A testReplica is a shard with the group that it is a replica of.
type testReplica struct {
	node  *testNode
	shard *shard.Shard
	group *testGroup
	next  int // of group.log, the first entry that it hasn't applied; guarded by in.mu
}

func newCluster(t testing.TB, nodes int) *testCluster {
	t.Helper()
	c := &testCluster{
		t: t, time: &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		groups: map[holdfast.ShardID]*testGroup{}, reads: map[holdfast.ShardID]int{},
		o: Options{ShardsPerTable: 2, TokenWait: time.Millisecond},
	}
	for self := range nodes {
		n := &testNode{in: c, self: self, rig: &rig{t: t, fs: vfs.NewCrashableMem(), time: c.time}}
		c.nodes = append(c.nodes, n)
		n.start()
	}
	return c
}

// start opens a node.
func (n *testNode) start() {
	n.in.mu.Lock()
	n.replicas, n.Store = map[holdfast.ShardID]*testReplica{}, nil
	n.in.mu.Unlock()
	n.rig.o = n.in.o
	n.rig.o.Replicas = n
	n.open()
}

// restart closes a node and opens it again.
func (n *testNode) restart() {
	n.Yield()
	n.in.mu.Lock()
	n.replicas = nil
	n.in.mu.Unlock()
	n.close()
	n.start()
}

// Start implements Replicas.
func (n *testNode) Start(sh *shard.Shard) error {
	c := n.in
	c.mu.Lock()
	defer c.mu.Unlock()
	n.checkUnpublished(sh)
	n.followed.start(sh.ID())
	if n.replicas[sh.ID()] != nil {
		return holdfast.Errorf(holdfast.Exists, "node %d has a replica of shard %d already", n.self, sh.ID())
	}
	g := c.groups[sh.ID()]
	if g == nil {
		g = &testGroup{leader: -1}
		c.groups[sh.ID()] = g
	}
	r := &testReplica{node: n, shard: sh, group: g}
	applied := shard.ReplicaOf(sh).Applied().Index
	r.next = slices.IndexFunc(g.log, func(e shard.Committed) bool { return e.Tx.Index > applied })
	if r.next < 0 {
		r.next = len(g.log)
	}
	if err := n.found(sh.ID()); err != nil {
		return err
	}
	shard.ReplicaOf(sh).Join(r)
	n.replicas[sh.ID()] = r
	if n.away {
		return nil
	}
	return r.apply()
}

// found notes on disk that a shard has a group, as package group does.
func (n *testNode) found(id holdfast.ShardID) error {
	log, err := shard.OpenGroupLog(n.rig.o.Disk, id)
	if err != nil {
		return err
	}
	b := shard.NewLogBatch(n.rig.o.Disk)
	b.SetState(log, []byte("a group"))
	return b.Commit(true)
}

// checkUnpublished reports a fault if requests find a shard, of a table or of a global index,
// already.
func (n *testNode) checkUnpublished(sh *shard.Shard) {
	if n.Store == nil {
		return
	}
	for name, t := range n.tables.all() {
		published := slices.Contains(t.shards, sh)
		for _, x := range t.globals {
			published = published || slices.Contains(x.Shards, sh)
		}
		if published {
			n.t.Errorf("node %d: table %s was published before shard %d was a replica", n.self, name, sh.ID())
		}
	}
}

// Stop implements Replicas.
func (n *testNode) Stop(id holdfast.ShardID) error {
	n.in.mu.Lock()
	defer n.in.mu.Unlock()
	delete(n.replicas, id)
	return nil
}

// Lead implements Replicas.
func (n *testNode) Lead(_ context.Context, ids []holdfast.ShardID) error {
	c := n.in
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leader != n.self {
		return notLeader()
	}
	for _, id := range ids {
		if n.replicas[id] == nil {
			return holdfast.Errorf(holdfast.Invalid, "node %d has no replica of shard %d to lead", n.self, id)
		}
		c.elect(c.groups[id])
	}
	return nil
}

// elect has the leading node lead a group. mu is held.
func (c *testCluster) elect(g *testGroup) {
	if g.leader != c.leader {
		g.leader, g.term = c.leader, g.term+1
	}
}

// asked returns how many consistent reads some shards were asked for by what is done.
func (c *testCluster) asked(shards []*shard.Shard, do func()) (each []int) {
	c.mu.Lock()
	c.reads = map[holdfast.ShardID]int{}
	c.mu.Unlock()
	do()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, sh := range shards {
		each = append(each, c.reads[sh.ID()])
	}
	return each
}

// setHook sets what is called at each proposal. Index followers may propose already.
func (c *testCluster) setHook(hook func(holdfast.ShardID, []byte)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hook = hook
}

func notLeader() error { return holdfast.Errorf(holdfast.NotLeader, "another node leads") }

// Lead implements shard.Group.
func (r *testReplica) Lead() (uint64, error) {
	r.node.in.mu.Lock()
	defer r.node.in.mu.Unlock()
	if r.group.leader != r.node.self {
		return 0, notLeader()
	}
	return r.group.term, r.apply()
}

// LeadsIn implements shard.Group.
func (r *testReplica) LeadsIn(term uint64) bool {
	leads, err := r.Lead()
	return err == nil && leads == term
}

// Propose implements shard.Group.
func (r *testReplica) Propose(p shard.Proposal) error {
	p.Proposer.Ended(r.commit(p))
	return nil
}

// commit has the replicas apply an entry.
func (r *testReplica) commit(p shard.Proposal) (holdfast.TxID, error) {
	term, raw := p.Term, p.Raw
	c := r.node.in
	c.mu.Lock()
	hook := c.hook
	if c.proposed != nil {
		c.proposed(p)
	}
	c.mu.Unlock()
	if hook != nil {
		hook(r.shard.ID(), raw)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	g := r.group
	if g.leader != r.node.self || g.term != term {
		return holdfast.TxID{}, notLeader()
	}
	tx := holdfast.TxID{Shard: r.shard.ID(), Term: term, Index: 2}
	if n := len(g.log); n > 0 {
		tx.Index = g.log[n-1].Tx.Index + 1 + uint64(n%2)
	}
	g.log = append(g.log, shard.Committed{Tx: tx, Raw: string(raw)})
	for _, n := range c.nodes {
		if other := n.replicas[tx.Shard]; other != nil && !n.away {
			if err := other.apply(); err != nil {
				return tx, err
			}
		}
	}
	return tx, nil
}

// Read implements shard.Group.
func (r *testReplica) Read(ctx context.Context) error {
	c := r.node.in
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads[r.shard.ID()]++
	if r.node.away {
		return holdfast.Errorf(holdfast.Overloaded, "no leader answers")
	}
	return r.apply()
}

// apply applies what the replica hasn't applied. mu is held.
func (r *testReplica) apply() error {
	entries := r.group.log[r.next:]
	r.next = len(r.group.log)
	return shard.ReplicaOf(r.shard).ApplyAll(entries)
}

// leave has a node get nothing.
func (n *testNode) leave() {
	n.in.mu.Lock()
	defer n.in.mu.Unlock()
	n.away = true
}

// back has a node get what it has missed.
func (n *testNode) back() {
	n.t.Helper()
	n.in.mu.Lock()
	defer n.in.mu.Unlock()
	n.away = false
	for _, r := range n.replicas {
		if err := r.apply(); err != nil {
			n.t.Fatal(err)
		}
	}
}

// depose has another node be the one that may lead, as if the network had decided so: the node that led
// doesn't know it, until it proposes something.
func (c *testCluster) depose(to int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leader = to
	for _, g := range c.groups {
		if g.leader >= 0 {
			c.elect(g)
		}
	}
}

// lead makes a node the active one, without its background work, and returns it.
func (c *testCluster) lead(to int) *testNode {
	c.t.Helper()
	for _, n := range c.nodes {
		n.Yield()
	}
	n := c.nodes[to]
	if err := c.tryLead(to); err != nil {
		c.t.Fatal(err)
	}
	return n
}

// tryLead is lead without an end of the others, and with its error.
func (c *testCluster) tryLead(to int) error {
	c.electFor(to)
	return c.nodes[to].Store.lead(context.Background())
}

// electFor has a node lead the catalog's group, and all that have had a leader.
func (c *testCluster) electFor(to int) {
	c.depose(to)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.elect(c.groups[catalog.ShardID])
}

// follow has all nodes follow the catalog.
func (c *testCluster) follow() {
	c.t.Helper()
	for _, n := range c.nodes {
		n.catchUp()
	}
}

func (n *testNode) catchUp() {
	n.t.Helper()
	if _, err := n.installer.cluster.catchUp(context.Background()); err != nil {
		n.t.Fatal(err)
	}
}

// same reports faults unless all nodes have the same tables, streams and shards, which are replicas of
// their groups, and no others.
func (c *testCluster) same() {
	c.t.Helper()
	c.follow()
	want := ""
	for i, n := range c.nodes {
		n.checkFollowers()
		if got := n.picture(); i == 0 {
			want = got
		} else if got != want {
			c.t.Errorf("node %d has\n%s\nwant what node 0 has:\n%s", i, got, want)
		}
	}
}

// checkFollowers reports faults unless the indexes of all tables follow at the active node, once, and
// none at the others.
func (n *testNode) checkFollowers() {
	n.t.Helper()
	following := 0
	for name, t := range n.tables.all() {
		if len(t.globals) == 0 || !n.Leads() {
			if t.followers != nil {
				n.t.Errorf("node %d: table %s has followers; want none", n.self, name)
			}
			continue
		}
		following++
		if t.followers == nil || t.followers != n.installer.followers[t.desc.ID] {
			n.t.Errorf("node %d: table %s has the followers %p; want those that run, %p", n.self, name, t.followers,
				n.installer.followers[t.desc.ID])
		}
	}
	if got := len(n.installer.followers); got != following {
		n.t.Errorf("node %d: got the followers of %d tables; want those of %d", n.self, got, following)
	}
}

// picture returns what requests see of a node's tables, and which shards it has.
func (n *testNode) picture() string {
	n.t.Helper()
	text := ""
	names, _ := n.List("", 1000)
	for _, name := range names {
		t := n.tables.table(name)
		text += fmt.Sprintf("%s %s %d shards %v, TTL %v:", name, t.desc.ID, len(t.shards), t.desc.Status, t.desc.TTL)
		for _, x := range t.desc.Indexes {
			text += fmt.Sprintf(" %s %v", x.Index.Name, x.Status)
			if global := t.globals[x.Index.ID]; global != nil {
				text += fmt.Sprintf(" %d", len(global.Shards))
			}
		}
		text += "\n"
		for _, sh := range t.shards {
			text += fmt.Sprintf("  %d: %v\n", sh.ID(), sh.Counts())
		}
	}
	for _, st := range n.Streams("") {
		text += fmt.Sprintf("stream %s %s %v\n", st.Table, st.Label, len(st.Shards))
	}
	all, err := shard.OnDisk(n.disk)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, d := range all {
		n.in.mu.Lock()
		replica := n.replicas[d.ID] != nil
		n.in.mu.Unlock()
		text += fmt.Sprintf("shard %d %v\n", d.ID, replica)
	}
	return text
}

// caughtUp returns when the indexes of all tables have applied what is durable. A wait for one of them
// ends after a while.
func (n *testNode) caughtUp() {
	n.t.Helper()
	for name, t := range n.tables.all() {
		for tries := 0; t.followers != nil && t.followers.Lag().Transactions > 0; tries++ {
			if tries > 100 {
				n.t.Fatalf("the indexes of table %s don't follow", name)
			}
			for id := range t.globals {
				if err := t.followers.Wait(context.Background(), id); err != nil {
					n.t.Fatal(err)
				}
			}
		}
	}
}

func wantKind(t testing.TB, what string, err error, kind holdfast.Kind) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: got %v; want %v", what, err, kind)
	}
}
