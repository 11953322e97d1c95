package group

import (
	"errors"
	"fmt"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"holdfast"
)

const sleeps = 2 // ticks without anything to do, after which groups of these tests sleep

// sleepers returns a group of n members that sleeps, and its leader.
func sleepers(t *testing.T, seed uint64, n int) (*cluster, *member) {
	t.Helper()
	c := newSleepers(t, seed, n, sleeps)
	leader := c.elect()
	c.propose(leader, "first")
	c.sleep()
	return c, leader
}

// tickOf gives a member a tick, as its host does.
func (c *cluster) tickOf(m *member, stalled bool) {
	var others []holdfast.NodeID
	for _, id := range c.ids {
		if id != m.id {
			others = append(others, holdfast.NodeID(id))
		}
	}
	m.nodes.set(others)
	if m.nodes.tick(1) {
		m.sleeping.review(m.core)
	}
	m.tick(stalled)
	if m.sleeping.after > 0 {
		for _, id := range m.nodes.beats(1) {
			c.network = append(c.network, beat(holdfast.NodeID(m.id), id))
		}
	}
	c.carryOut(m)
}

// sleep passes the time until all members that run sleep.
func (c *cluster) sleep() {
	c.t.Helper()
	for range 5 * patience {
		c.pass(1)
		if c.awake() == 0 {
			return
		}
	}
	c.t.Fatalf("%d members are awake after %d ticks", c.awake(), 5*patience)
}

// awake returns how many members are awake.
func (c *cluster) awake() (n int) {
	for _, m := range c.members {
		if !m.sleeping.asleep {
			n++
		}
	}
	return n
}

// A group that sleeps sends nothing but the beats of its members' hosts, for however long.
func TestSleep(t *testing.T) {
	for _, n := range []int{1, 3, 5} {
		c, leader := sleepers(t, 1, n)
		ticks, sent := leader.ticks, map[string]int{}
		for range 1000 {
			c.tick()
			for _, m := range c.network {
				if !m.isBeat() {
					sent[fmt.Sprintf("%d→%d", m.From, m.To)]++
				}
			}
			c.settle()
		}
		if len(sent) > 0 || c.awake() > 0 || leader.ticks != ticks || leader.lead() == 0 {
			t.Errorf("%d members: got %v sent, %d awake, leader %+v; want that all sleep", n, sent, c.awake(),
				leader.status())
		}
	}
}

// A proposal, a read, a change of members, a transfer and a message end a group's sleep, and are done
// as at any time.
func TestWake(t *testing.T) {
	for name, do := range map[string]func(c *cluster, leader *member) func() bool{
		"proposal": func(c *cluster, leader *member) func() bool {
			p := c.propose(leader, "a")
			return func() bool { o, ok := p.outcome(); return ok && o.err == nil }
		},
		"proposal that all followers must have": func(c *cluster, leader *member) func() bool {
			p := c.proposeAs(leader, leader.term, "a", synced)
			return func() bool { o, ok := p.outcome(); return ok && o.err == nil }
		},
		"read": func(c *cluster, leader *member) func() bool {
			x := c.read(leader)
			return func() bool { err, ok := x.result(); return ok && err == nil }
		},
		"read at a follower": func(c *cluster, leader *member) func() bool {
			x := c.read(c.members[c.other(leader)])
			return func() bool { err, ok := x.result(); return ok && err == nil }
		},
		"change": func(c *cluster, leader *member) func() bool {
			x := c.alter(leader, Change{Remove: holdfast.NodeID(c.other(leader))})
			return func() bool { err, ok := x.outcome(); return ok && err == nil }
		},
		"transfer": func(c *cluster, leader *member) func() bool {
			to := c.members[c.other(leader)]
			leader.transfer(to.id)
			c.carryOut(leader)
			return func() bool { return to.lead() != 0 }
		},
	} {
		c, leader := sleepers(t, 2, 3)
		c.pass(5 * patience)
		done := do(c, leader)
		if c.settle(); !done() {
			c.pass(2)
		}
		if !done() {
			t.Errorf("%s: it isn't done", name)
		}
		if c.awake() == 0 {
			t.Errorf("%s: the group sleeps on", name)
		}
		if name != "change" { // the member that was removed waits to be stopped
			c.sleep()
		}
	}
}

// A proposal wakes the leader even if no follower gets it: it must be sent again.
func TestProposalThatIsLostWakes(t *testing.T) {
	c, leader := sleepers(t, 1, 3)
	p := c.propose(leader, "a")
	c.network = nil
	c.pass(3)
	if o, ok := p.outcome(); !ok || o.err != nil {
		t.Errorf("got %v, %v; want it committed with the next heartbeat", o, ok)
	}
}

// When the leader of a group that sleeps is gone, or can't be heard, another one leads within 3 s: the
// first to campaign is heard by the others.
func TestLeaderOfSleepersFails(t *testing.T) {
	const limit = 30 - 3 // ticks in 3 s, less those in which a client asks again
	for name, fail := range map[string]func(c *cluster, leader *member){
		"killed":       func(c *cluster, leader *member) { c.crash(leader.id) },
		"paused":       func(c *cluster, leader *member) { c.still[leader.id] = true; c.isolate(leader.id, true) },
		"cut off":      func(c *cluster, leader *member) { c.isolate(leader.id, true) },
		"hears nobody": func(c *cluster, leader *member) { c.deafen(leader.id) },
		"unheard": func(c *cluster, leader *member) {
			for _, id := range c.ids {
				c.cut[[2]uint64{leader.id, id}] = true
			}
		},
	} {
		for seed := range uint64(20) {
			c, old := sleepers(t, seed, []int{3, 5}[seed%2])
			fail(c, old)
			next := (*member)(nil)
			for tick := 0; next == nil; tick++ {
				if tick > limit {
					t.Fatalf("%s, seed %d: no other member leads after %d ticks", name, seed, tick)
				}
				c.pass(1)
				for _, m := range c.members {
					if m != old && m.lead() != 0 {
						next = m
					}
				}
			}
			if next.term > old.term+1 {
				t.Errorf("%s, seed %d: got term %d after %d; want one election", name, seed, next.term, old.term)
			}
			if p := c.propose(next, "next"); true {
				c.pass(2)
				if o, ok := p.outcome(); !ok || o.err != nil {
					t.Errorf("%s, seed %d: a proposal got %v, %v", name, seed, o, ok)
				}
			}
			if c.down[old.id] != nil {
				c.start(old.id)
			}
			clear(c.cut)
			clear(c.still)
			c.sleep() // with the old leader
			for _, m := range c.members {
				if m.leader != next.id || m.applied != next.applied {
					t.Errorf("%s, seed %d: member %d follows %d at %d; want %d at %d", name, seed, m.id, m.leader,
						m.applied, next.id, next.applied)
				}
			}
		}
	}
}

// The leader of a group that sleeps is started again before anybody has missed it. Its followers
// hear from it that it doesn't lead.
func TestLeaderOfSleepersStartsAgain(t *testing.T) {
	for seed := range uint64(20) {
		c, old := sleepers(t, seed, 3)
		c.crash(old.id)
		c.start(old.id)
		for tick := 0; !c.led(); tick++ {
			if tick >= patience {
				t.Fatalf("seed %d: no member leads after %d ticks", seed, tick)
			}
			c.pass(1)
		}
		c.sleep()
	}
}

func (c *cluster) led() bool {
	for _, m := range c.members {
		if m.lead() != 0 {
			return true
		}
	}
	return false
}

// A leader that sleeps and is cut off refuses what it is asked as soon as one that is awake.
func TestMinorityOfSleepersRefuses(t *testing.T) {
	for wait := range 2 * patience {
		c, old := sleepers(t, 1, 3)
		c.isolate(old.id, true)
		c.pass(wait)
		p, x := c.proposeIn(old, old.term, "a"), c.read(old)
		y := c.read(c.members[c.other(old)])
		c.pass(patience + outcomeTicks + 2)
		if o, ok := p.outcome(); !ok || !errors.Is(o.err, holdfast.Unavailable) &&
			!errors.Is(o.err, holdfast.NotLeader) {
			t.Errorf("%d ticks after the cut, a proposal gets %v, %v", wait, o, ok)
		}
		if err, ok := x.result(); !ok || !errors.Is(err, holdfast.NotLeader) {
			t.Errorf("%d ticks after the cut, a read gets %v, %v; want NotLeader", wait, err, ok)
		}
		if old.leader != 0 {
			t.Errorf("%d ticks after the cut, it still leads", wait)
		}
		if _, ok := y.result(); !ok {
			t.Errorf("%d ticks after the cut, a read of the others has no answer", wait)
		}
	}
}

// A follower whose note is lost, or comes late, goes on to hear its leader.
func TestNoteIsLost(t *testing.T) {
	c := newSleepers(t, 1, 3, sleeps)
	leader := c.elect()
	c.pass(1)
	m := c.members[c.other(leader)]
	for lost := false; !lost; {
		c.tick()
		for i, message := range c.network {
			if message.isNote() && uint64(message.To) == m.id {
				c.network = append(c.network[:i:i], c.network[i+1:]...)
				lost = true
				break
			}
		}
		c.settle()
	}
	if !leader.sleeping.asleep || m.sleeping.asleep {
		t.Fatalf("asleep: leader %v, follower %v; want the leader only", leader.sleeping.asleep, m.sleeping.asleep)
	}
	term := leader.term
	for range 3 * patience {
		c.pass(1)
		if m.leader != leader.id {
			t.Fatal("the follower has forgotten its leader")
		}
	}
	c.sleep()
	if leader.lead() != term {
		t.Errorf("it leads in term %d; want %d", leader.lead(), term)
	}
}

// noteOf returns the note that has a member sleep at an index.
func noteOf(from *member, term, index uint64) *note {
	return &note{kind: sleepByte, from: from.id, term: term, index: index}
}

// A follower sleeps only if it has the whole log of the leader of its term, committed and applied.
func TestFollowerThatMustNotSleep(t *testing.T) {
	begin := func() (*cluster, *member, *member) {
		c := newSleepers(t, 1, 3, 1000)
		leader := c.elect()
		c.propose(leader, "a")
		c.pass(2)
		return c, leader, c.members[c.other(leader)]
	}
	for name, alter := range map[string]func(c *cluster, leader, m *member) *note{
		"former term": func(_ *cluster, l, m *member) *note { return noteOf(l, m.term-1, m.last) },
		"later term":  func(_ *cluster, l, m *member) *note { return noteOf(l, m.term+1, m.last) },
		"not its leader": func(c *cluster, l, m *member) *note {
			return noteOf(c.members[6-l.id-m.id], m.term, m.last)
		},
		"lacks an entry": func(_ *cluster, l, m *member) *note { return noteOf(l, m.term, m.last+1) },
		"has another":    func(_ *cluster, l, m *member) *note { return noteOf(l, m.term, m.last-1) },
		"uncommitted": func(c *cluster, l, m *member) *note {
			for _, id := range c.ids {
				c.cut[[2]uint64{id, l.id}] = true
			}
			c.propose(l, "b")
			c.settle()
			return noteOf(l, m.term, m.last)
		},
		"not applied": func(c *cluster, l, m *member) *note {
			c.propose(l, "b")
			c.replicate()
			c.tick()
			c.replicate()
			return noteOf(l, m.term, m.last)
		},
		"reads": func(c *cluster, l, m *member) *note { c.read(m); return noteOf(l, m.term, m.last) },
		"its disk hangs": func(_ *cluster, l, m *member) *note {
			m.tick(true)
			return noteOf(l, m.term, m.last)
		},
		"leader not heard": func(_ *cluster, l, m *member) *note {
			for range patience / 2 {
				m.tick(false)
			}
			return noteOf(l, m.term, m.last)
		},
	} {
		c, leader, m := begin()
		alter(c, leader, m).tell(m.core)
		if m.sleeping.asleep {
			t.Errorf("%s: the follower sleeps", name)
		}
	}
	_, leader, m := begin()
	if noteOf(leader, m.term, m.last).tell(m.core); !m.sleeping.asleep {
		t.Error("the follower doesn't sleep, and has all")
	}
}

// A leader doesn't send its group to sleep while a member that is heard lacks something, or while it
// has something to do itself.
func TestLeaderThatMustNotSleep(t *testing.T) {
	c := newSleepers(t, 1, 3, sleeps)
	leader := c.elect()
	m := c.members[c.other(leader)]
	c.propose(leader, "a")
	none := func(*member) bool { return false }
	for range 3 * patience { // m has the entry, and the others have it committed, but m's disk is slow
		c.tick()
		for len(c.network) > 0 {
			c.deliver(0)
		}
		for _, id := range c.ids {
			for x := c.members[id]; x != m && (c.store(x) || c.apply(x)); {
			}
		}
		if leader.sleeping.asleep {
			t.Fatal("it sleeps, and a follower hasn't acknowledged the last entry")
		}
	}
	c.pass(1)
	c.goOn(none)
	c.sleep()
	c.read(leader)
	c.network = nil
	if leader.tick(false); leader.sleeping.asleep {
		t.Error("it sleeps with a read that waits")
	}
}

// A group sleeps without a member whose node isn't heard, whatever that lacks. When it is heard
// again, it gets that.
func TestSleepWithoutAMember(t *testing.T) {
	for name, away := range map[string]func(c *cluster, id uint64){
		"cut off":      func(c *cluster, id uint64) { c.isolate(id, true) },
		"hears nobody": func(c *cluster, id uint64) { c.deafen(id) },
		"unheard": func(c *cluster, id uint64) {
			for _, other := range c.ids {
				c.cut[[2]uint64{id, other}] = true
			}
		},
		"paused": func(c *cluster, id uint64) { // it sleeps on, and has missed nobody
			c.isolate(id, true)
			c.still[id] = true
		},
		"killed": func(c *cluster, id uint64) { c.crash(id) },
	} {
		c, leader := sleepers(t, 3, 3)
		id := c.other(leader)
		term := leader.term
		away(c, id)
		c.propose(leader, "b")
		slept := false
		for range 10 * patience {
			c.pass(1)
			slept = slept || leader.sleeping.asleep
		}
		if !slept && name != "hears nobody" { // who hears nobody is heard
			t.Errorf("%s: the group doesn't sleep without it", name)
		}
		if leader.lead() != term {
			t.Errorf("%s: it leads in term %d; want %d", name, leader.lead(), term)
		}
		clear(c.cut)
		clear(c.still)
		if c.down[id] != nil {
			c.start(id)
		}
		c.pass(5 * patience)
		if m := c.members[id]; m.applied != leader.applied || leader.lead() != term || c.awake() > 0 {
			t.Errorf("%s: it has applied %d, awake are %d; want %d and none", name, m.applied, c.awake(),
				leader.applied)
		}
	}
}

// A learner sleeps, too. One that lacks what was written while it was out of reach gets it, though it
// never campaigns.
func TestLearnerSleeps(t *testing.T) {
	c, leader := sleepers(t, 1, 3)
	c.alter(leader, Change{Add: 4})
	c.settle()
	c.join(4, leader.members)
	c.sleep()
	if m := c.members[4]; m.applied != leader.applied {
		t.Fatalf("the learner has applied %d; want %d", m.applied, leader.applied)
	}
	c.isolate(4, true)
	c.propose(leader, "b")
	c.pass(5 * patience)
	c.isolate(4, false)
	c.pass(5 * patience)
	if m := c.members[4]; m.applied != leader.applied || c.awake() > 0 {
		t.Errorf("the learner has applied %d, awake are %d; want %d and none", m.applied, c.awake(), leader.applied)
	}
}

// A leader that sleeps hands over when its disk hangs.
func TestDiskOfSleepersHangs(t *testing.T) {
	c, leader := sleepers(t, 1, 3)
	for range 3 {
		c.tickOf(leader, true)
		c.settle()
	}
	if leader.lead() != 0 || !c.led() {
		t.Error("it leads, or nobody does")
	}
}

// A member that doesn't know notes, of a former version, sends no beats: its group doesn't sleep.
func TestMemberOfAFormerVersion(t *testing.T) {
	c := newSleepers(t, 1, 3, 0)
	c.sleeps = sleeps
	for _, id := range c.ids[:2] {
		c.crash(id)
		c.start(id)
	}
	leader := c.elect()
	if leader.id == 3 {
		leader.transfer(1)
		c.carryOut(leader)
		leader = c.elect(3)
	}
	for range 10 * patience {
		c.pass(1)
		if leader.sleeping.asleep || leader.lead() == 0 {
			t.Fatal("the leader sleeps, or doesn't lead any more")
		}
	}
}

// An answer of a former term, or to what was asked before the group fell asleep, wakes nobody; a vote
// that is asked for does.
func TestMessagesThatWake(t *testing.T) {
	c, leader := sleepers(t, 1, 3)
	m := c.members[c.other(leader)]
	late := &raftpb.Message{Type: raftpb.MsgHeartbeatResp.Enum(), From: new(m.id), To: new(leader.id),
		Term: new(leader.term)}
	if err := leader.step([]*raftpb.Message{late}); err != nil || !leader.sleeping.asleep {
		t.Errorf("an answer wakes the leader, or %v", err)
	}
	vote := &raftpb.Message{Type: raftpb.MsgPreVote.Enum(), From: new(6 - leader.id - m.id), To: new(m.id),
		Term: new(m.term + 1), LogTerm: new(m.term), Index: new(m.last)}
	if err := m.step([]*raftpb.Message{vote}); err != nil || m.sleeping.asleep {
		t.Errorf("a candidate doesn't wake a follower, or %v", err)
	}
	c.carryOut(m)
	term := leader.term
	for range patience {
		c.pass(1)
		if m.leader != leader.id {
			t.Fatal("the follower forgets its leader, which sleeps")
		}
	}
	if c.sleep(); leader.lead() != term {
		t.Errorf("it leads in term %d; want %d", leader.lead(), term)
	}
}
