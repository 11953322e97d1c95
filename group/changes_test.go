package group

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"holdfast"
)

// add adds a member as a learner at a leader, and starts it.
func (c *cluster) add(leader *member, id uint64) *member {
	c.t.Helper()
	x := c.alter(leader, Change{Add: holdfast.NodeID(id)})
	c.settle()
	if err, ok := x.outcome(); !ok || err != nil {
		c.t.Fatalf("adding member %d: got %v, %v; want it added", id, err, ok)
	}
	c.join(id, leader.members)
	c.run(3)
	return c.members[id]
}

// change changes the members at a leader.
func (c *cluster) change(leader *member, x Change) {
	c.t.Helper()
	change := c.alter(leader, x)
	c.settle()
	if err, ok := change.outcome(); !ok || err != nil {
		c.t.Fatalf("%+v: got %v, %v; want it done", x, err, ok)
	}
}

// run lets time go on.
func (c *cluster) run(ticks int) {
	for range ticks {
		c.tick()
		c.settle()
	}
}

// put has an entry committed.
func (c *cluster) put(leader *member, raw string) {
	c.t.Helper()
	p := c.propose(leader, raw)
	c.settle()
	if o, ok := p.outcome(); !ok || o.err != nil {
		c.t.Fatalf("%q: got %v, %v; want it committed", raw, o, ok)
	}
}

// equal checks that members have applied the same and know the same members.
func (c *cluster) equal(ids ...uint64) {
	c.t.Helper()
	c.run(3)
	first := c.members[ids[0]]
	for _, id := range ids[1:] {
		m := c.members[id]
		if !slices.Equal(m.applies, first.applies) {
			c.t.Errorf("member %d has applied %v; member %d %v", id, m.applies, first.id, first.applies)
		}
		if !reflect.DeepEqual(m.members, first.members) || !reflect.DeepEqual(m.log.members, first.members) {
			c.t.Errorf("member %d knows %+v and has %+v; member %d %+v", id, m.members, m.log.members, first.id,
				first.members)
		}
	}
}

// A learner gets the log, and counts for no majority: not for a write, not for an election, and not
// after a start either.
func TestLearner(t *testing.T) {
	c := newCluster(t, 1, 3)
	leader := c.elect()
	c.put(leader, "a")
	learner := c.add(leader, 4)
	c.put(leader, "b")
	c.equal(1, 2, 3, 4)
	s := leader.status()
	if s.Match[4] != 0 || len(s.Match) != 3 || s.Learning[4] == 0 {
		t.Errorf("got a status %+v; want the learner apart", s)
	}
	if leader.transfer(4); leader.raft.BasicStatus().LeadTransferee != 0 {
		t.Error("leadership is handed over to a learner")
	}
	for range 2 {
		for _, id := range c.ids {
			if id != leader.id && id != learner.id {
				c.isolate(id, true)
			}
		}
		if p := c.propose(leader, "c"); leader.lead() != 0 {
			c.run(5)
			if o, ok := p.outcome(); ok && o.err == nil {
				t.Fatalf("a leader and a learner have committed %v", o)
			}
		}
		c.run(50)
		for _, m := range c.members {
			if m.lead() != 0 {
				t.Fatalf("member %d leads by the voice of a learner", m.id)
			}
		}
		clear(c.cut)
		for _, id := range c.ids {
			c.crash(id)
			c.start(id)
		}
		if leader = c.elect(); leader == learner {
			t.Fatal("a learner leads")
		}
		c.equal(1, 2, 3, 4)
	}
}

// A member that is gone is replaced by another, which then counts: also after all were started
// again.
func TestReplace(t *testing.T) {
	c := newCluster(t, 1, 3)
	leader := c.elect()
	gone := c.other(leader)
	c.crash(gone)
	c.put(leader, "a")
	c.add(leader, 4)
	c.change(leader, Change{Promote: 4, Remove: holdfast.NodeID(gone)})
	if m := leader.members; slices.Contains(m.Voters, holdfast.NodeID(gone)) || m.joint() || len(m.Voters) != 3 {
		t.Fatalf("the members are %+v", *m)
	}
	for _, id := range c.ids {
		if id != gone {
			c.crash(id)
			c.start(id)
		}
	}
	third := c.other(c.members[4])
	c.crash(third)
	leader = c.elect()
	c.put(leader, "b")
	c.equal(4, c.other(c.members[4]))

	// It comes back, and gets a notice: it campaigns no more.
	c.start(third)
	c.start(gone)
	c.run(60)
	back := c.members[gone]
	if !back.removed || back.status().Members.hasRemoved(holdfast.NodeID(gone)) {
		t.Errorf("it hasn't been told that it was removed: %+v", back.status())
	}
	sent := len(c.network)
	back.tick(false)
	back.campaign()
	c.carryOut(back)
	if len(c.network) != sent {
		t.Error("it goes on campaigning")
	}
	c.put(c.elect(), "c")
}

// A member that applies its own removal is out, and is so after a start.
func TestRemovedByItsLog(t *testing.T) {
	c := newCluster(t, 1, 3)
	leader := c.elect()
	id := c.other(leader)
	x := c.alter(leader, Change{Remove: holdfast.NodeID(id)})
	c.replicate() // it has the entry
	c.settle()
	if err, ok := x.outcome(); !ok || err != nil {
		t.Fatalf("got %v, %v; want it done", err, ok)
	}
	c.run(50)
	m := c.members[id]
	if !m.removed || m.lead() != 0 {
		t.Errorf("it isn't out: %+v", m.status())
	}
	c.crash(id)
	c.start(id)
	c.run(50)
	if m = c.members[id]; !m.removed || m.term > leader.term {
		t.Errorf("after a start it isn't out: %+v; the leader is in term %d", m.status(), leader.term)
	}
}

// What a replica says that is behind itself is no reason to take oneself for removed.
func TestToldByOneThatIsBehind(t *testing.T) {
	c := newCluster(t, 1, 3)
	m := c.add(c.elect(), 4)
	(&Members{Index: m.members.Index, Voters: m.members.Voters, Removed: []holdfast.NodeID{4}}).tell(m.core)
	if m.removed {
		t.Error("it takes itself for removed by members that it knows itself")
	}
}

// A change that can't be made, or not yet, is refused, and nothing has changed.
func TestRefusedChanges(t *testing.T) {
	c := newCluster(t, 1, 3)
	leader := c.elect()
	follower := c.members[c.other(leader)]
	c.add(leader, 4)
	c.add(leader, 5)
	c.change(leader, Change{Remove: 5})
	c.crash(4)
	for i := range caughtUp + 1 {
		c.propose(leader, fmt.Sprint(i))
	}
	c.run(60)
	was := leader.members
	self := holdfast.NodeID(leader.id)
	for _, test := range []struct {
		at     *member
		change Change
		want   error
	}{
		{follower, Change{Add: 6}, holdfast.NotLeader},
		{leader, Change{}, holdfast.Invalid},
		{leader, Change{Add: 6, Remove: 4}, holdfast.Invalid},
		{leader, Change{Promote: 4, Remove: 4}, holdfast.Invalid},
		{leader, Change{Add: 1 << 63}, holdfast.Invalid},
		{leader, Change{Add: 5}, holdfast.Invalid}, // was removed
		{leader, Change{Add: 4}, holdfast.Exists},
		{leader, Change{Promote: self}, holdfast.Exists},
		{leader, Change{Promote: 9}, holdfast.NotFound},
		{leader, Change{Remove: 9}, holdfast.NotFound},
		{leader, Change{Promote: 4}, holdfast.Refused}, // it is down, and behind
		{leader, Change{Promote: 4, Remove: holdfast.NodeID(follower.id)}, holdfast.Refused},
		{leader, Change{Remove: self}, holdfast.Refused},
	} {
		if err, ok := c.alter(test.at, test.change).outcome(); !ok || !errors.Is(err, test.want) {
			t.Errorf("%+v: got %v, %v; want %v", test.change, err, ok, test.want)
		}
	}
	c.run(3)
	if leader.members != was || leader.change != nil {
		t.Errorf("the members are %+v; want %+v", *leader.members, *was)
	}
	c.start(4)
	for range 3 { // it answers heartbeats, and writes nothing yet
		c.tick()
		for len(c.network) > 0 {
			c.deliver(0)
		}
	}
	if p := progressOf(leader.core)[4]; !p.RecentActive || p.Match == 0 {
		t.Fatalf("the leader knows %+v of the learner; want that it answers", p)
	}
	if err, ok := c.alter(leader, Change{Promote: 4}).outcome(); !ok || !errors.Is(err, holdfast.Refused) {
		t.Errorf("promoting a learner that answers and is behind: got %v, %v; want Refused", err, ok)
	}
	c.run(10)
	c.change(leader, Change{Promote: 4})
}

// A change that would leave a majority of members that don't answer is refused; that of one that
// doesn't is not.
func TestChangesKeepAMajority(t *testing.T) {
	c := newCluster(t, 1, 3)
	leader := c.elect()
	down := c.other(leader)
	c.crash(down)
	c.run(60)
	up := c.other(leader)
	x := c.alter(leader, Change{Remove: holdfast.NodeID(up)})
	if err, ok := x.outcome(); !ok || !errors.Is(err, holdfast.Refused) {
		t.Errorf("removing the only one that answers: got %v, %v; want Refused", err, ok)
	}
	c.change(leader, Change{Remove: holdfast.NodeID(down)})
	c.put(leader, "a")
}

// While a change is under way, here or as one that is left by a former leader, another is refused.
func TestOneChangeAtATime(t *testing.T) {
	c := newCluster(t, 1, 3)
	leader := c.elect()
	first := c.alter(leader, Change{Add: 4})
	second := c.alter(leader, Change{Add: 5})
	if err, ok := second.outcome(); !ok || !errors.Is(err, holdfast.Refused) {
		t.Errorf("a second change: got %v, %v; want Refused", err, ok)
	}
	p := c.propose(leader, "a") // isn't taken for either
	c.settle()
	if err, ok := first.outcome(); !ok || err != nil {
		t.Errorf("the first: got %v, %v; want it done", err, ok)
	}
	if o, ok := p.outcome(); !ok || o.err != nil || o.tx.Index != leader.members.Index+1 {
		t.Errorf("an entry behind them: got %v, %v; the change is entry %d", o, ok, leader.members.Index)
	}
	c.join(4, leader.members)
	c.run(3)
	c.change(leader, Change{Promote: 4})
	c.equal(1, 2, 3, 4)

	// Raft refuses a change that core would have proposed, and has an empty entry in its place.
	one := &changing{Change: Change{Remove: 4}, done: make(chan error, 1)}
	two := &changing{Change: Change{Add: 5}, done: make(chan error, 1)}
	one.propose(leader.core)
	leader.core.change = nil
	two.propose(leader.core)
	c.carryOut(leader)
	if err, ok := two.outcome(); !ok || !errors.Is(err, holdfast.Refused) {
		t.Errorf("an empty entry in place of a change: got %v, %v; want Refused", err, ok)
	}
	c.settle()
	if m := leader.members; m.Has(4) || m.Has(5) {
		t.Errorf("the members are %+v; want them without 4 and 5", *m)
	}
}

// A leader that is cut off proposes a change that nobody gets.
func TestReplacedChange(t *testing.T) {
	c := newCluster(t, 1, 3)
	old := c.elect()
	c.isolate(old.id, true)
	x := c.alter(old, Change{Add: 4})
	c.put(c.elect(old.id), "a")
	if err, ok := x.outcome(); ok {
		t.Fatalf("the outcome can't be known, but is %v", err)
	}
	c.isolate(old.id, false)
	c.run(30)
	if err, ok := x.outcome(); !ok || !errors.Is(err, holdfast.NotLeader) {
		t.Errorf("got %v, %v; want NotLeader", err, ok)
	}
	c.equal(1, 2, 3)
	leader := c.elect()
	x = c.alter(leader, Change{Add: 4})
	leader.core.close()
	if err, ok := x.outcome(); !ok || !errors.Is(err, holdfast.Unavailable) {
		t.Errorf("of a replica that stops: got %v, %v; want Unavailable", err, ok)
	}
}

// All members crash after each of the steps in which a member is replaced. Each has the members
// that follow from what it has applied, the change is done or isn't, and the group ends it.
func TestCrashesInAChange(t *testing.T) {
	done, joint := 0, 0
	for crash := range 80 {
		c := newCluster(t, uint64(crash), 3)
		leader := c.elect()
		c.add(leader, 4)
		gone := holdfast.NodeID(c.other(leader))
		c.alter(leader, Change{Promote: 4, Remove: gone})
		c.propose(leader, "a")
		for range crash {
			c.randomStep()
		}
		for _, id := range c.ids {
			if c.members[id].members.joint() {
				joint++
			}
			c.crash(id)
		}
		c.network = nil
		for _, id := range c.ids {
			c.start(id)
		}
		leader = c.elect()
		c.put(leader, "b")
		c.run(60)
		rest := []uint64{1, 2, 3, 4}
		if m := leader.members; m.joint() {
			t.Fatalf("crash %d: the members are still joint: %+v", crash, *m)
		} else if !m.Has(gone) {
			done++
			rest = slices.DeleteFunc(rest, func(id uint64) bool { return id == uint64(gone) })
		}
		c.equal(rest...)
		if t.Failed() {
			t.Fatalf("crash %d", crash)
		}
	}
	if done == 0 || done == 80 || joint == 0 {
		t.Errorf("got the change done in %d of 80 runs, and %d members in the midst of it; want some", done, joint)
	}
}

// randomStep delivers a message, or does a write, or applies.
func (c *cluster) randomStep() {
	m := c.members[c.ids[c.rng.IntN(len(c.ids))]]
	switch n := c.rng.IntN(3); {
	case n == 0 && len(c.network) > 0:
		c.deliver(0)
	case n == 1:
		c.store(m)
	default:
		c.apply(m)
	}
}

// A replica that is behind hears a leader that it doesn't know as a member yet.
func TestLeaderThatIsNew(t *testing.T) {
	c := newCluster(t, 1, 3)
	leader := c.elect()
	behind := c.other(leader)
	c.isolate(behind, true)
	c.add(leader, 4)
	c.change(leader, Change{Promote: 4})
	leader.transfer(4)
	c.carryOut(leader)
	c.settle()
	next := c.members[4]
	if next.lead() == 0 {
		t.Fatal("the new member doesn't lead")
	}
	c.put(next, "a")
	c.crash(leader.id) // so that nobody else could tell it
	c.isolate(behind, false)
	c.run(30)
	leader = c.elect()
	c.put(leader, "b")
	c.start(c.ids[slices.IndexFunc(c.ids, func(id uint64) bool { return c.down[id] != nil })])
	c.run(30)
	c.equal(1, 2, 3, 4)
}

// That a change of members is committed is on disk with the entries that were sent by whoever knew
// it; see storage.stage.
func TestCommitIsOnDiskWithAChange(t *testing.T) {
	for _, restart := range []bool{false, true} {
		disk := &memoryLog{state: (&state{members: []uint64{1, 2, 3}}).encode(), first: 1}
		s, err := openStorage(testShard, disk, disk.state, 0)
		if err != nil {
			t.Fatal(err)
		}
		stage := func(index, commit uint64, kind raftpb.EntryType, data []byte, want uint64) {
			t.Helper()
			disk.write(s.stage(&raftpb.Message{
				Term: new(uint64(1)), Vote: new(uint64(1)), Commit: &commit,
				Entries: []*raftpb.Entry{{Index: &index, Term: new(uint64(1)), Type: kind.Enum(), Data: data}},
			}))
			if is, err := decodeState(disk.state); err != nil || is.commit != want {
				t.Fatalf("got %+v, %v; want the commit index %d", is, err, want)
			}
			if restart {
				if s, err = openStorage(testShard, disk, disk.state, 0); err != nil {
					t.Fatal(err)
				}
			}
		}
		plain := newEntry(0, 0, []byte("a"))
		stage(1, 0, raftpb.EntryNormal, nil, 0)
		stage(2, 1, raftpb.EntryNormal, plain, 0)
		stage(3, 2, raftpb.EntryConfChangeV2, nil, 0)
		stage(4, 2, raftpb.EntryNormal, plain, 0)
		stage(5, 4, raftpb.EntryNormal, plain, 4)
		stage(6, 5, raftpb.EntryNormal, plain, 4)
	}
}

// What the members have in them is committed, although it may have been written before the index
// that says so.
func TestMembersAreCommitted(t *testing.T) {
	entry := string(appendStored(nil, &raftpb.Entry{Term: new(uint64(1))}))
	for _, test := range []struct{ index, commit uint64 }{{0, 1}, {2, 2}, {3, 3}, {9, 1}} { // 9: of a new learner
		m := Members{Index: test.index, Voters: []holdfast.NodeID{1}}
		disk := &memoryLog{members: m.Encode(), first: 1, entries: []string{entry, entry, entry}}
		is := state{term: 1, commit: 1, members: []uint64{1}, terms: terms{{1, 1}}}
		if s, err := openStorage(testShard, disk, is.encode(), 0); err != nil || s.is.commit != test.commit {
			t.Errorf("members as of entry %d: got %v; want the commit index %d", test.index, err, test.commit)
		}
	}
}

// The only voter answers a learner's read when it knows up to where the log is committed, and not
// before.
func TestReadOfLearnerOfOneVoter(t *testing.T) {
	c := newCluster(t, 1, 1)
	leader := c.elect()
	learner := c.add(leader, 2)
	c.put(leader, "a")
	c.isolate(2, true)
	p := c.propose(leader, "b")
	c.settle()
	if o, ok := p.outcome(); !ok || o.err != nil {
		t.Fatalf("got %v, %v; want it committed", o, ok)
	}
	c.crash(1)
	c.down[1].applies = c.down[1].applies[:1]
	c.start(1)
	leader = c.members[1]
	leader.campaign()
	c.carryOut(leader)
	for leader.began == 0 {
		c.store(leader)
	}
	clear(c.cut)
	c.network = nil
	ask := &raftpb.Message{
		Type: raftpb.MsgReadIndex.Enum(), From: new(uint64(2)), To: new(uint64(1)),
		Entries: []*raftpb.Entry{{Data: make([]byte, contextBytes)}},
	}
	if err := leader.step([]*raftpb.Message{ask}); err != nil {
		t.Fatal(err)
	}
	for _, m := range leader.out.send {
		if m.GetType() == raftpb.MsgReadIndexResp && m.GetIndex() < p.index {
			t.Errorf("it answers %d before it knows that %d is committed", m.GetIndex(), p.index)
		}
	}
	c.carryOut(leader)
	c.run(3)
	x := c.read(learner)
	c.run(10)
	if err, ok := x.result(); !ok || err != nil || learner.applied < p.index {
		t.Errorf("later: got %v, %v at %d; want it to see %d", err, ok, learner.applied, p.index)
	}
}
