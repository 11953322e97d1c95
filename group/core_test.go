package group

import (
	"errors"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"holdfast"
)

func TestElection(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5} {
		c := newCluster(t, uint64(n), n)
		leader := c.elect()
		p := c.propose(leader, "a")
		c.settle()
		if o, ok := p.outcome(); !ok || o.err != nil {
			t.Fatalf("%d members: got %v, %v; want it committed", n, o, ok)
		}
		c.tick()
		c.settle()
		for _, id := range c.ids {
			if got := c.members[id].applies; len(got) != 1 || got[0].raw != "a" {
				t.Errorf("%d members: member %d applied %v", n, id, got)
			}
		}
	}
}

// A leader has to apply what former leaders have committed before anything is decided by what it
// has applied. That it is elected, and knows what is committed, isn't enough.
func TestLeadsWhenItHasApplied(t *testing.T) {
	c := newCluster(t, 1, 3)
	old := c.elect()
	c.propose(old, "a")
	c.replicate()
	c.crash(old.id)
	var next *member
	for range 100 {
		c.tick()
		c.replicate()
		for _, id := range c.ids {
			if m := c.members[id]; m != nil && m.began != 0 {
				next = m
			}
		}
		if next != nil && next.commit >= next.began {
			break
		}
	}
	if next == nil || next.commit < next.began {
		t.Fatal("no other member was elected")
	}
	if term := next.lead(); term != 0 {
		t.Errorf("it leads in term %d, and has applied up to %d; its term began at %d", term, next.applied, next.began)
	}
	if o, _ := c.proposeIn(next, next.term-1, "b").outcome(); !errors.Is(o.err, holdfast.NotLeader) {
		t.Errorf("a proposal of the term before: got %v; want NotLeader", o)
	}
	c.settle()
	if next.lead() != next.term {
		t.Errorf("it doesn't lead after it has applied everything")
	}
}

// other returns another member that runs.
func (c *cluster) other(m *member) uint64 {
	for _, id := range c.ids {
		if id != m.id && c.members[id] != nil {
			return id
		}
	}
	c.t.Fatal("no other member runs")
	return 0
}

func TestProposeWithoutLeadership(t *testing.T) {
	c := newCluster(t, 1, 3)
	m := c.members[1]
	if o, _ := c.proposeIn(m, 1, "a").outcome(); !errors.Is(o.err, holdfast.NotLeader) {
		t.Errorf("without a leader: got %v; want NotLeader", o)
	}
	leader := c.elect()
	m = c.members[c.other(leader)]
	if o, _ := c.proposeIn(m, leader.term, "a").outcome(); !errors.Is(o.err, holdfast.NotLeader) {
		t.Errorf("at a follower: got %v; want NotLeader", o)
	}
	c.settle()
	for _, id := range c.ids {
		if got := c.members[id].applies; len(got) != 0 {
			t.Errorf("member %d applied %v", id, got)
		}
	}
}

// What was decided in a term is stale if others have led since, even if the same replica leads
// again.
func TestLeadershipLostAndRegained(t *testing.T) {
	c := newCluster(t, 1, 3)
	first := c.elect()
	decided := first.lead()
	c.isolate(first.id, true)
	second := c.elect(first.id)
	c.propose(second, "theirs")
	c.settle()
	c.isolate(first.id, false)
	c.isolate(second.id, true)
	for first.lead() == 0 || first.term == decided {
		c.tick()
		c.settle()
		if second.lead() == 0 && first.lead() == 0 { // another one may have won
			for _, id := range c.ids {
				if m := c.members[id]; id != first.id && m.lead() != 0 {
					m.transfer(first.id)
					c.carryOut(m)
				}
			}
		}
	}
	if o, _ := c.proposeIn(first, decided, "stale").outcome(); !errors.Is(o.err, holdfast.NotLeader) {
		t.Errorf("got %v; want NotLeader", o)
	}
	if o, ok := c.propose(first, "new").outcome(); ok {
		t.Errorf("a proposal of the term: got %v at once", o)
	}
}

// A leader that is cut off proposes entries that nobody gets. Their places are taken by others.
func TestReplacedProposals(t *testing.T) {
	c := newCluster(t, 1, 3)
	old := c.elect()
	c.isolate(old.id, true)
	c.still[old.id] = true // it doesn't notice
	lost := []*proposed{c.propose(old, "x"), c.propose(old, "y"), c.propose(old, "z")}
	next := c.elect(old.id)
	for _, p := range lost {
		if o, ok := p.outcome(); ok {
			t.Fatalf("the outcome can't be known, but is %v", o)
		}
	}
	kept := c.propose(next, "a")
	c.settle()
	c.isolate(old.id, false)
	c.still[old.id] = false
	for range 30 {
		c.tick()
		c.settle()
	}
	for i, p := range lost {
		if o, ok := p.outcome(); !ok || !errors.Is(o.err, holdfast.NotLeader) {
			t.Errorf("proposal %d: got %v, %v; want NotLeader", i, o, ok)
		}
	}
	if o, ok := kept.outcome(); !ok || o.err != nil {
		t.Errorf("got %v, %v; want it committed", o, ok)
	}
	if len(old.applies) != 1 || old.applies[0].raw != "a" {
		t.Errorf("the former leader applied %v", old.applies)
	}
}

// A leader that loses its leadership before it hears that an entry is on a majority's disks gets to
// know from its successor that it is committed.
func TestCommittedBySuccessor(t *testing.T) {
	c := newCluster(t, 1, 3)
	old := c.elect()
	p := c.propose(old, "a")
	for range 3 { // the entry reaches the others, no answer comes back
		for _, id := range c.ids {
			c.cut[[2]uint64{id, old.id}] = id != old.id
		}
		c.settle()
	}
	c.still[old.id] = true // it doesn't notice
	next := c.elect(old.id)
	if _, ok := p.outcome(); ok {
		t.Fatal("the outcome is known before the successor has committed an entry")
	}
	c.isolate(old.id, false)
	c.still[old.id] = false
	for range 30 {
		c.tick()
		c.settle()
	}
	o, ok := p.outcome()
	if !ok || o.err != nil {
		t.Fatalf("got %v, %v; want it committed", o, ok)
	}
	if got := next.applies[0]; got.index != o.tx.Index || got.term != o.tx.Term || got.raw != "a" {
		t.Errorf("it is %v, and the outcome is %v", got, o.tx)
	}
}

// A member that has voted in a term remembers it: it votes for no other in the term, and follows no
// former one.
func TestVoteIsRemembered(t *testing.T) {
	c := newCluster(t, 1, 3)
	ask := func(from, term uint64) *raftpb.Message {
		m := c.members[3]
		c.network = nil
		vote := &raftpb.Message{Type: raftpb.MsgVote.Enum(), From: new(from), To: new(m.id), Term: new(term)}
		if err := m.step([]*raftpb.Message{vote}); err != nil {
			t.Fatal(err)
		}
		c.carryOut(m)
		if len(c.network) != 0 {
			t.Errorf("it answers %d before its vote is on disk", from)
		}
		for c.store(m) {
		}
		if len(c.network) == 0 {
			return nil
		}
		answer, err := c.network[0].decode()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	// It has heard of the term before, so that its vote is all that is new.
	m := c.members[3]
	heard := &raftpb.Message{Type: raftpb.MsgAppResp.Enum(), From: new(uint64(1)), To: new(m.id), Term: new(uint64(5))}
	if err := m.step([]*raftpb.Message{heard}); err != nil {
		t.Fatal(err)
	}
	c.carryOut(m)
	if answer := ask(1, 5); answer == nil || answer.GetReject() {
		t.Fatalf("the first vote: %v", answer)
	}
	c.crash(3)
	c.start(3)
	if answer := ask(2, 5); answer == nil || !answer.GetReject() {
		t.Errorf("another vote in the term: %v", answer)
	}
	if answer := ask(2, 4); answer != nil && !answer.GetReject() {
		t.Errorf("a vote in a former term: %v", answer)
	}
	if answer := ask(1, 5); answer == nil || answer.GetReject() {
		t.Errorf("the same vote again: %v", answer)
	}
}

// A replica that stops doesn't know the outcome of what it has proposed.
func TestClosedWithProposals(t *testing.T) {
	c := newCluster(t, 1, 3)
	leader := c.elect()
	p, x := c.propose(leader, "a"), c.read(leader)
	leader.core.close()
	if o, ok := p.outcome(); !ok || !errors.Is(o.err, holdfast.Unavailable) {
		t.Errorf("got %v, %v; want Unavailable", o, ok)
	}
	if err, ok := x.result(); !ok || !errors.Is(err, holdfast.Closed) {
		t.Errorf("got %v, %v; want Closed", err, ok)
	}
}

func TestTransfer(t *testing.T) {
	c := newCluster(t, 1, 3)
	old := c.elect()
	to := c.members[c.other(old)]
	for range 3 { // its log is behind
		c.propose(old, "a")
	}
	old.transfer(to.id)
	c.carryOut(old)
	refused := c.propose(old, "b")
	c.settle()
	if to.lead() == 0 {
		t.Fatalf("member %d doesn't lead without a tick", to.id)
	}
	if o, _ := refused.outcome(); !errors.Is(o.err, holdfast.NotLeader) {
		t.Errorf("a proposal while leadership is handed over: got %v; want NotLeader", o)
	}
	if old.lead() != 0 {
		t.Errorf("the former leader still leads")
	}
}

// What was decided by an entry that isn't taken isn't taken either, also if the leader goes on: here it
// was about to leave its leadership to a member that doesn't answer.
func TestRefusedWithWhatDecidedIt(t *testing.T) {
	c := newCluster(t, 1, 3)
	leader := c.elect()
	first := c.propose(leader, "first")
	to := c.other(leader)
	c.isolate(to, true)
	leader.transfer(to)
	c.carryOut(leader)
	refused := c.proposeAs(leader, leader.lead(), "refused", holdfast.Acknowledge{}, first)
	for range 100 {
		if leader.raft.BasicStatus().LeadTransferee == 0 {
			break
		}
		c.tick()
		c.settle()
	}
	behind := c.proposeAs(leader, leader.lead(), "behind", holdfast.Acknowledge{}, refused)
	last := c.proposeAs(leader, leader.lead(), "behind that", holdfast.Acknowledge{}, behind)
	other := c.proposeAs(leader, leader.lead(), "other", holdfast.Acknowledge{}, first)
	c.settle()
	for _, p := range []*proposed{refused, behind, last} {
		if o, ok := p.outcome(); !ok || !errors.Is(o.err, holdfast.NotLeader) {
			t.Errorf("%s: got %+v, %v; want NotLeader", p.raw, o, ok)
		}
	}
	for _, p := range []*proposed{first, other} {
		wantDone(t, string(p.raw), p)
	}
}

// A leader whose disk hangs leaves its leadership to another, although the others answer it.
func TestStalledLeader(t *testing.T) {
	c := newCluster(t, 1, 3)
	old := c.elect()
	p := c.propose(old, "a")
	for range 40 {
		for _, id := range c.ids {
			m := c.members[id]
			m.tick(m == old)
			c.carryOut(m)
		}
		for range 20 {
			for len(c.network) > 0 {
				c.deliver(0)
			}
			for _, id := range c.ids {
				if m := c.members[id]; m != old {
					c.store(m)
					c.apply(m)
				}
			}
		}
	}
	if old.lead() != 0 || c.members[c.other(old)].leader == old.id {
		t.Fatalf("member %d leads although its disk hangs", old.id)
	}
	if o, ok := p.outcome(); !ok || !errors.Is(o.err, holdfast.Unavailable) {
		t.Errorf("got %v, %v; want that the outcome isn't known, while the disk hangs", o, ok)
	}
	for range 30 { // the disk goes on
		c.tick()
		c.settle()
	}
	if len(old.applies) != 1 || old.applies[0].raw != "a" {
		t.Errorf("the former leader applied %v; want what its successor has committed", old.applies)
	}
}

// A member whose disk hangs doesn't campaign: not when it hears of no leader, and not when it is
// asked.
func TestStalledFollower(t *testing.T) {
	c := newCluster(t, 1, 3)
	m := c.members[c.other(c.elect())]
	c.isolate(m.id, true)
	term := m.term
	for range 100 {
		m.tick(true)
		c.carryOut(m)
	}
	asked := &raftpb.Message{Type: raftpb.MsgTimeoutNow.Enum(), From: &m.leader, To: &m.id, Term: &m.term}
	if err := m.step([]*raftpb.Message{asked}); err != nil {
		t.Fatal(err)
	}
	if m.term != term {
		t.Errorf("it is in term %d; want term %d", m.term, term)
	}
}

// Too much that isn't committed: the leader refuses more, and takes more when it is.
func TestUncommittedEntriesAreBounded(t *testing.T) {
	c := newCluster(t, 1, 3)
	leader := c.elect()
	raw := string(make([]byte, 1<<20))
	var last outcome
	for n := 0; last.err == nil; n++ {
		if n > 10 {
			t.Fatal("10 MiB wait, and no end")
		}
		last, _ = c.propose(leader, raw).outcome()
	}
	if !errors.Is(last.err, holdfast.Overloaded) {
		t.Errorf("got %v; want Overloaded", last.err)
	}
	c.settle()
	p := c.propose(leader, raw)
	c.settle()
	if o, ok := p.outcome(); !ok || o.err != nil {
		t.Errorf("later: got %v, %v; want it committed", o, ok)
	}
}

// A member campaigns when it is asked, without waiting for its patience to end.
func TestCampaign(t *testing.T) {
	for _, n := range []int{1, 3, 5} {
		c := newCluster(t, uint64(n), n)
		m := c.members[1]
		m.campaign()
		c.carryOut(m)
		c.settle()
		term := m.lead()
		if term == 0 {
			t.Fatalf("of %d members the first doesn't lead", n)
		}
		for _, id := range c.ids { // a leader is known
			c.members[id].campaign()
			c.carryOut(c.members[id])
			c.settle()
		}
		if got := m.lead(); got != term {
			t.Errorf("of %d members the first leads in term %d after others campaigned; want %d", n, got, term)
		}
	}
}

// A member that campaigns again and again, while each of its questions and their answers take longer
// than that, is elected; and one that does while others aren't there doesn't disturb them later.
func TestCampaignAgainAndAgain(t *testing.T) {
	c := newCluster(t, 1, 3)
	m := c.members[1]
	campaign := func() {
		m.campaign()
		c.carryOut(m)
	}
	c.isolate(m.id, true)
	for range 10 {
		campaign()
		c.settle()
	}
	if m.term != 0 {
		t.Errorf("alone it is in term %d; want 0", m.term)
	}
	c.isolate(m.id, false)
	for range 100 { // one message and one write at a time
		campaign()
		if len(c.network) > 0 {
			c.deliver(0)
		}
		for _, id := range c.ids {
			c.store(c.members[id])
			c.apply(c.members[id])
		}
	}
	if m.lead() == 0 || m.term != 1 {
		t.Errorf("it leads: %v, in term %d; want term 1", m.lead() != 0, m.term)
	}
}

// A member whose disk hangs doesn't campaign when it is asked.
func TestCampaignStalled(t *testing.T) {
	c := newCluster(t, 1, 3)
	m := c.members[1]
	m.tick(true)
	m.campaign()
	c.carryOut(m)
	c.settle()
	if m.lead() != 0 || m.term != 0 {
		t.Errorf("it leads in term %d; want no term", m.term)
	}
}
