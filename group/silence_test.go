package group

import (
	"errors"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"holdfast"
)

// ticks has so many ticks pass, after each of which the network and the disks go on.
func (c *cluster) pass(ticks int) {
	for range ticks {
		c.tick()
		c.settle()
	}
}

// deafen has a member hear nobody, while the others hear it.
func (c *cluster) deafen(id uint64) {
	for _, other := range c.ids {
		c.cut[[2]uint64{other, id}] = other != id
	}
}

const patience = 10 // ElectionTicks of the members

// A leader that hears no majority steps down once it has heard none for an election's time, and
// another one leads at once where that still hears it. What the leader had been asked is answered
// soon.
func TestLeaderThatHearsNobody(t *testing.T) {
	for seed := range uint64(20) {
		c := newCluster(t, seed, 3)
		old := c.elect()
		c.pass(int(seed)) // Raft looks for itself every tenth tick
		c.deafen(old.id)
		p, x := c.propose(old, "a"), c.read(old)
		c.pass(patience - 1)
		if old.lead() == 0 {
			t.Fatalf("seed %d: it doesn't lead after %d ticks of silence", seed, patience-1)
		}
		c.pass(2)
		if old.lead() != 0 {
			t.Fatalf("seed %d: it leads after %d ticks of silence", seed, patience+1)
		}
		if n := c.elect(old.id).term; n != old.term+1 {
			t.Errorf("seed %d: got term %d after %d; want the next", seed, n, old.term)
		}
		if at := c.members[1].ticks + c.members[2].ticks; at > 2*(old.ticks+1) {
			t.Errorf("seed %d: another one is elected late", seed)
		}
		c.pass(outcomeTicks)
		if o, ok := p.outcome(); !ok || !errors.Is(o.err, holdfast.Unavailable) {
			t.Errorf("seed %d: a proposal: got %v, %v; want that the outcome isn't known", seed, o, ok)
		}
		if err, ok := x.result(); !ok || !errors.Is(err, holdfast.NotLeader) {
			t.Errorf("seed %d: a read: got %v, %v; want NotLeader", seed, err, ok)
		}
	}
}

// The one that is asked to lead by a leader that steps down is the one that has most of the log, of
// those that were heard last.
func TestHeir(t *testing.T) {
	c := newCluster(t, 1, 5)
	old := c.elect()
	var others []uint64
	for _, id := range c.ids {
		if id != old.id {
			others = append(others, id)
		}
	}
	c.isolate(others[0], true)
	c.isolate(others[1], true)
	c.pass(3)
	c.isolate(others[2], true) // one of those that were heard is behind
	c.propose(old, "a")
	c.settle()
	c.deafen(old.id)
	c.isolate(others[2], false)
	c.cut[[2]uint64{others[2], old.id}] = true
	if got := old.heir(); got != others[3] {
		t.Errorf("got member %d; want %d of %v", got, others[3], others)
	}
}

// A leader goes on as long as it hears a majority, and one that hears it late, but in time.
func TestLeaderThatHearsEnough(t *testing.T) {
	c := newCluster(t, 1, 3)
	leader := c.elect()
	c.isolate(c.other(leader), true)
	c.pass(5 * patience)
	if leader.lead() == 0 {
		t.Error("it doesn't lead, and hears a majority")
	}
	clear(c.cut)
	c.pass(1)
	term := leader.lead()
	for range 10 { // nothing arrives for a while, again and again
		for range patience - 3 {
			c.tick()
		}
		c.pass(1)
	}
	if got := leader.lead(); got != term {
		t.Errorf("it leads in term %d after pauses of the network; want %d", got, term)
	}
}

// A follower forgets a leader that it hasn't heard for an election's time, whenever it campaigns
// itself; and it knows it again when it hears it.
func TestFollowerThatHearsNoLeader(t *testing.T) {
	for seed := range uint64(20) {
		c := newCluster(t, seed, 3)
		leader := c.elect()
		c.pass(1)
		m := c.members[c.other(leader)]
		c.isolate(m.id, true)
		for range patience - 1 {
			m.tick(false)
		}
		if m.leader != leader.id {
			t.Fatalf("seed %d: it knows the leader %d after %d ticks of silence", seed, m.leader, patience-1)
		}
		x := c.read(m)
		m.tick(false)
		m.tick(false)
		if m.leader != 0 {
			t.Fatalf("seed %d: it knows the leader %d after %d ticks of silence", seed, m.leader, patience+1)
		}
		for range outcomeTicks {
			m.tick(false)
		}
		if err, ok := x.result(); !ok || !errors.Is(err, holdfast.NotLeader) {
			t.Errorf("seed %d: a read: got %v, %v; want NotLeader", seed, err, ok)
		}
		c.carryOut(m)
		c.settle()
		c.isolate(m.id, false)
		c.pass(1)
		if m.leader != leader.id || leader.lead() == 0 {
			t.Errorf("seed %d: it knows the leader %d; want %d again", seed, m.leader, leader.id)
		}
	}
}

// A leader that a member of another term has deposed, and that doesn't hear what became of its
// proposals, says that it can't know.
func TestDeposedLeaderGivesUp(t *testing.T) {
	c := newCluster(t, 1, 3)
	old := c.elect()
	c.isolate(old.id, true)
	p := c.propose(old, "a")
	heard := &raftpb.Message{Type: raftpb.MsgAppResp.Enum(), From: new(c.other(old)), To: new(old.id),
		Term: new(old.term + 1)}
	if err := old.step([]*raftpb.Message{heard}); err != nil {
		t.Fatal(err)
	}
	for range outcomeTicks {
		old.tick(false)
	}
	if o, ok := p.outcome(); ok {
		t.Fatalf("got %v before it may have heard of it", o)
	}
	old.tick(false)
	if o, ok := p.outcome(); !ok || !errors.Is(o.err, holdfast.Unavailable) {
		t.Errorf("got %v, %v; want that the outcome isn't known", o, ok)
	}
}

// A read ends at a replica that the leader doesn't hear, and at one that doesn't apply what it
// hears; and later reads go on.
func TestReadsThatAreNotConfirmed(t *testing.T) {
	for name, applies := range map[string]bool{"unheard": true, "not applied": false} {
		c := newCluster(t, 1, 3)
		leader := c.elect()
		m := c.members[c.other(leader)]
		c.pass(1)
		pass := func(ticks int) {
			for range ticks {
				c.tick()
				c.goOn(func(x *member) bool { return (applies || x != m) && c.apply(x) })
			}
		}
		c.propose(leader, "a")
		pass(1)
		c.cut[[2]uint64{m.id, leader.id}] = applies
		old := c.read(m)
		pass(patience + outcomeTicks)
		young := c.read(m)
		if err, ok := old.result(); ok {
			t.Fatalf("%s: got %v before its time", name, err)
		}
		pass(1)
		if err, ok := old.result(); !ok || !errors.Is(err, holdfast.NotLeader) {
			t.Errorf("%s: got %v, %v; want NotLeader", name, err, ok)
		}
		if m.leader != leader.id {
			t.Errorf("%s: it knows the leader %d; want %d, which it hears", name, m.leader, leader.id)
		}
		clear(c.cut)
		c.pass(4)
		if err, ok := young.result(); !ok || err != nil {
			t.Errorf("%s: a later read: got %v, %v; want it done", name, err, ok)
		}
	}
}
