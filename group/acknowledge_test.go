package group

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"holdfast"
)

// has reports whether a member, which may be down, has an entry on disk.
func (c *cluster) has(id uint64, tx holdfast.TxID, raw string) bool {
	m := c.members[id]
	if m == nil {
		m = c.down[id]
	}
	if m == nil || tx.Index >= m.disk.first+uint64(len(m.disk.entries)) {
		return false
	}
	if tx.Index < m.disk.first {
		return true // it was trimmed, or is in a snapshot that the member has
	}
	e, err := decodeStored(tx.Index, m.disk.entries[tx.Index-m.disk.first])
	if err != nil {
		c.t.Fatal(err)
	}
	_, is, _ := parseEntry(e.GetData())
	return termOf(e) == tx.Term && string(is) == raw
}

// checkDisks checks that a proposal that is acknowledged at its leader is on as many disks as it asks
// for.
func (h *history) checkDisks(p *proposed, tx holdfast.TxID) {
	h.t.Helper()
	leader := h.at[p]
	// One step may apply the entry, and a change of the members behind it.
	if faults := h.lacking(p, tx, h.were[leader.id]); faults != "" && h.lacking(p, tx, leader.members) != "" {
		h.fail("proposal %s at %v, acknowledged %v by member %d, %s", h.names[p], tx, p.ack, leader.id, faults)
	}
	if p.ack.Mode != holdfast.Async && leader.applied < tx.Index {
		h.fail("proposal %s at %v was acknowledged %v, and isn't applied", h.names[p], tx, p.ack)
	}
	if p.ack.Followers > 1 || p.ack.Mode == holdfast.Sync {
		h.done[5]++
	}
}

// lacking says which set of voters lacks a proposal on as many disks as it waits for; "": none does.
func (h *history) lacking(p *proposed, tx holdfast.TxID, members *Members) string {
	leader := h.at[p]
	for _, voters := range [][]holdfast.NodeID{members.Voters, members.Outgoing} {
		followers, on := 0, 0
		for _, id := range voters {
			if uint64(id) == leader.id {
				continue
			}
			if followers++; h.has(uint64(id), tx, h.names[p]) {
				on++
			}
		}
		if want := p.ack.Needs(followers); len(voters) > 0 && on < want {
			return fmt.Sprintf("is on %d of the followers among %v; want %d", on, voters, want)
		}
	}
	return ""
}

// checkEarly checks a proposal that has come half the way: one that is async is on its leader's disk,
// and any other is applied.
func (h *history) checkEarly(p *proposed, tx holdfast.TxID) {
	h.t.Helper()
	h.early[p] = true
	m := h.at[p]
	switch {
	case p.ack.Mode != holdfast.Async && m.applied < tx.Index:
		h.fail("proposal %s at %v is reported as applied", h.names[p], tx)
	case p.ack.Mode == holdfast.Async && !h.has(m.id, tx, h.names[p]):
		h.fail("proposal %s at %v is acknowledged async, and not on its leader's disk", h.names[p], tx)
	case p.ack.Mode == holdfast.Async && m.applied < tx.Index:
		h.done[4]++
	}
}

// peekEarly returns what a proposal's early has, if it has something.
func peekEarly(p *proposed) (holdfast.TxID, bool) {
	return peek(p.early)
}

// A step of a test: what a proposal has come to.
func wantNone(t *testing.T, when string, p *proposed) {
	t.Helper()
	if o, ok := p.outcome(); ok {
		t.Fatalf("%s: got %+v; want no outcome yet", when, o)
	}
}

func wantDone(t *testing.T, when string, p *proposed) {
	t.Helper()
	if o, ok := p.outcome(); !ok || o.err != nil {
		t.Fatalf("%s: got %+v, %v; want an acknowledgement", when, o, ok)
	}
}

// wantOutcome checks that a proposal ended with an error.
func wantOutcome(t *testing.T, when string, p *proposed, kind holdfast.Kind, text string) {
	t.Helper()
	if o, ok := p.outcome(); !ok || !errors.Is(o.err, kind) || !strings.Contains(fmt.Sprint(o.err), text) {
		t.Fatalf("%s: got %+v, %v; want %v: %s", when, o, ok, kind, text)
	}
}

// others returns the members but one.
func (c *cluster) others(id uint64) []uint64 {
	return slices.DeleteFunc(slices.Clone(c.ids), func(other uint64) bool { return other == id })
}

var (
	async    = holdfast.Acknowledge{Mode: holdfast.Async}
	semiSync = holdfast.Acknowledge{Followers: 2}
	synced   = holdfast.Acknowledge{Mode: holdfast.Sync}
)

// A proposal that waits for all followers' disks, or for two, is applied once it is committed, and
// acknowledged when both have it on disk.
func TestAcknowledgedOnFollowers(t *testing.T) {
	for _, ack := range []holdfast.Acknowledge{semiSync, synced} {
		c := newCluster(t, 1, 3)
		leader := c.elect()
		c.settle()
		last := c.others(leader.id)[1]
		c.hung[last] = true
		p := c.proposeAs(leader, leader.lead(), "x", ack)
		one := c.propose(leader, "y")
		c.settle()
		wantNone(t, ack.String(), p)
		wantDone(t, "the default", one)
		if tx, ok := peekEarly(p); !ok || leader.applied < tx.Index {
			t.Errorf("%v: got %v, %v; want the place of what is applied", ack, tx, ok)
		}
		c.hung[last] = false
		c.settle()
		wantDone(t, ack.String(), p)
	}
}

// What is acknowledged by followers' disks is committed: of five members, two followers with the
// entry are not enough for that if the leader's disk lacks it.
func TestAcknowledgedIsCommitted(t *testing.T) {
	c := newCluster(t, 1, 5)
	leader := c.elect()
	c.settle()
	c.hung[leader.id] = true
	for _, id := range c.others(leader.id)[2:] {
		c.hung[id] = true
	}
	p := c.proposeAs(leader, leader.lead(), "x", semiSync)
	c.settle()
	if on := leader.status().Match[holdfast.NodeID(c.others(leader.id)[1])]; on != leader.last {
		t.Fatalf("the second follower has confirmed %d of %d", on, leader.last)
	}
	wantNone(t, "on two followers, not committed", p)
	c.hung[leader.id] = false
	c.settle()
	wantDone(t, "committed", p)
}

// learn adds a learner, and returns when it has had time to get the leader's log.
func (c *cluster) learn(leader *member, id uint64) {
	c.t.Helper()
	added := c.alter(leader, Change{Add: holdfast.NodeID(id)})
	c.settle()
	if err, ok := added.outcome(); !ok || err != nil {
		c.t.Fatal(err, ok)
	}
	c.join(id, leader.members)
	for range 5 {
		c.tick()
		c.settle()
	}
}

// A learner that has the entry on disk counts for nothing.
func TestLearnersAcknowledgeNothing(t *testing.T) {
	for _, ack := range []holdfast.Acknowledge{semiSync, synced} {
		c := newCluster(t, 1, 3)
		leader := c.elect()
		c.learn(leader, 4)
		last := c.others(leader.id)[1]
		c.hung[last] = true
		p := c.proposeAs(leader, leader.lead(), "x", ack)
		c.settle()
		if on := leader.status().Learning[4]; on != leader.last {
			t.Fatalf("the learner has confirmed %d of %d", on, leader.last)
		}
		wantNone(t, ack.String(), p)

		c.hung[last], c.hung[4] = false, true
		q := c.proposeAs(leader, leader.lead(), "y", ack)
		c.settle()
		wantDone(t, ack.String(), p)
		wantDone(t, ack.String()+" without the learner", q)
	}
}

// While a follower is down, what needs it is refused at once, and what was on its way ends when that
// is known. Its disk may hang as well, while it answers.
func TestFollowerDown(t *testing.T) {
	for _, how := range []string{"crashed", "cut off", "its disk hangs"} {
		for _, ack := range []holdfast.Acknowledge{semiSync, synced} {
			t.Run(fmt.Sprint(how, " ", ack), func(t *testing.T) { testFollowerDown(t, how, ack) })
		}
	}
}

func testFollowerDown(t *testing.T, how string, ack holdfast.Acknowledge) {
	c := newCluster(t, 1, 3)
	leader := c.elect()
	for range 5 {
		c.tick()
		c.settle()
	}
	lost := c.others(leader.id)[0]
	down := func(is bool) {
		switch {
		case how == "cut off":
			c.isolate(lost, is)
		case how == "its disk hangs":
			c.hung[lost] = is
		case is:
			c.crash(lost)
		default:
			c.start(lost)
		}
	}
	down(true)
	before := c.proposeAs(leader, leader.lead(), "a", ack)
	c.settle()
	wantNone(t, "not known to be down", before)
	for range 12 {
		c.tick()
		c.settle()
	}
	text := fmt.Sprintf("shard 7 acknowledges %v, and of its followers node %d is down", ack, lost)
	wantOutcome(t, "it was on its way", before, holdfast.Unavailable, "outcome unknown: "+text)
	refused := c.proposeAs(leader, leader.lead(), "b", ack)
	wantOutcome(t, "at once", refused, holdfast.Refused, "nothing was changed: "+text)
	others := []*proposed{c.propose(leader, "c"), c.proposeAs(leader, leader.lead(), "d", async)}
	c.settle()
	for _, p := range others {
		wantDone(t, "what needs no more than one follower", p)
	}

	down(false)
	for range 15 {
		c.tick()
		c.settle()
	}
	now := c.elect()
	after := c.proposeAs(now, now.lead(), "e", ack)
	c.settle()
	wantDone(t, "it is back", after)
}

// Too few followers for a policy refuse it whatever is up. The leader isn't one of its followers.
func TestTooFewFollowers(t *testing.T) {
	c := newCluster(t, 1, 2)
	leader := c.elect()
	p := c.proposeAs(leader, leader.lead(), "x", semiSync)
	wantOutcome(t, "one follower", p, holdfast.Refused,
		"nothing was changed: shard 7 acknowledges semisync:2, and of its followers there are too few")
	alone := newCluster(t, 1, 1)
	leader = alone.elect()
	for _, ack := range []holdfast.Acknowledge{{}, async, synced} {
		p := alone.proposeAs(leader, leader.lead(), "x", ack)
		alone.settle()
		wantDone(t, fmt.Sprintf("%v without followers", ack), p)
	}
}

// An async proposal is acknowledged on its leader's disk, before any follower has it and before it is
// applied. If the leader is lost, so may the proposal be.
func TestAsync(t *testing.T) {
	c := newCluster(t, 1, 3)
	leader := c.elect()
	c.settle()
	c.isolate(leader.id, true)
	c.hung[leader.id] = true
	p := c.proposeAs(leader, leader.lead(), "x", async)
	c.settle()
	if tx, ok := peekEarly(p); ok {
		t.Fatalf("not on disk: got %v", tx)
	}
	c.hung[leader.id] = false
	c.settle()
	tx, ok := peekEarly(p)
	if !ok || !c.has(leader.id, tx, "x") || leader.applied >= tx.Index || leader.commit >= tx.Index {
		t.Fatalf("on disk: got %v, %v, applied %d, committed %d", tx, ok, leader.applied, leader.commit)
	}
	wantNone(t, "not committed", p)

	c.still[leader.id] = true // it goes on leading, as far as it knows
	next := c.elect(leader.id)
	c.settle()
	c.isolate(leader.id, false)
	for range 10 {
		c.tick()
		c.settle()
	}
	wantOutcome(t, "another leads", p, holdfast.NotLeader, "nothing was changed")
	if c.has(leader.id, tx, "x") || c.has(next.id, tx, "x") {
		t.Error("the entry is still in a log")
	}

	q := c.proposeAs(next, next.lead(), "y", async)
	c.settle()
	wantDone(t, "committed", q)
	if got, ok := peekEarly(q); !ok || got != next.txOf("y") {
		t.Errorf("got %v, %v; want %v", got, ok, next.txOf("y"))
	}
}

// A consistent read of a leader waits for what async has acknowledged before it, though it isn't committed.
func TestReadBehindAsync(t *testing.T) {
	c := newCluster(t, 1, 3)
	leader := c.elect()
	c.settle()
	for _, id := range c.ids {
		c.hung[id] = id != leader.id // followers answer, and don't sync
	}
	p := c.proposeAs(leader, leader.lead(), "x", async)
	before := c.read(leader)
	c.settle()
	tx, ok := peekEarly(p)
	if !ok || leader.commit >= tx.Index {
		t.Fatalf("got %v, %v, committed %d; want it acknowledged alone", tx, ok, leader.commit)
	}
	if err, ok := before.result(); ok && err != nil {
		t.Error(err)
	}
	x := c.read(leader)
	c.settle()
	if err, ok := x.result(); ok {
		t.Errorf("got %v; want the read to wait", err)
	}
	for _, id := range c.ids {
		c.hung[id] = false
	}
	c.settle()
	if err, ok := x.result(); !ok || err != nil || leader.applied < tx.Index {
		t.Errorf("got %v, %v, applied %d; want the read behind %v", err, ok, leader.applied, tx)
	}
}

// txOf returns the transaction of an entry that a member has applied.
func (m *member) txOf(raw string) holdfast.TxID {
	for _, a := range m.applies {
		if a.raw == raw {
			return holdfast.TxID{Shard: testShard, Term: a.term, Index: a.index}
		}
	}
	return holdfast.TxID{}
}

// While a follower is replaced, both sets of voters must have what is acknowledged by all.
func TestAcknowledgedWhileJoint(t *testing.T) {
	c := newCluster(t, 1, 3)
	leader := c.elect()
	c.learn(leader, 4)
	gone := c.others(leader.id)[0]
	c.hung[gone] = true
	p := c.proposeAs(leader, leader.lead(), "x", synced)
	c.settle()
	c.alter(leader, Change{Promote: 4, Remove: holdfast.NodeID(gone)})
	joint := false
	for n := 0; n < 1000 && !(joint && !leader.members.joint()); n++ {
		if joint = joint || leader.members.joint(); leader.members.joint() {
			wantNone(t, "a voter that is leaving lacks it", p)
		}
		if len(c.network) > 0 {
			c.deliver(0)
		}
		for _, id := range c.ids {
			c.store(c.members[id])
			c.apply(c.members[id])
		}
	}
	if leader.members.joint() || !joint {
		t.Fatal("the change never ends")
	}
	c.settle()
	wantDone(t, "it has left", p)
}
