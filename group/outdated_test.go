package group

import (
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"holdfast"
)

// bounded goes on until nothing is left to be done without a tick, as settle does, and returns how
// many messages that took. More than most never end.
func (c *cluster) bounded(most int) (n int) {
	c.t.Helper()
	for more := true; more; {
		more = len(c.network) > 0
		if more {
			c.deliver(0)
			if n++; n > most {
				c.t.Fatalf("got more than %d messages without a tick", most)
			}
		}
		for _, id := range c.ids {
			if m := c.members[id]; m != nil {
				more = c.store(m) || more
				more = c.apply(m) || more
			}
		}
	}
	return n
}

// A member whose log was put back refuses what comes behind what it has acknowledged. That is no
// reason to send it on and on: the leader and the member find out what has happened, and the others
// go on.
func TestOutdatedMember(t *testing.T) {
	for name, ahead := range map[string]int{"committed": 0, "not committed yet": 3} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 1, 3)
			leader := c.elect()
			c.propose(leader, "a")
			c.settle()
			old := c.members[c.other(leader)]
			disk := memoryLog{state: old.disk.state, members: old.disk.members, first: old.disk.first,
				entries: slices.Clone(old.disk.entries)}
			applies := slices.Clone(old.applies)
			for range 5 {
				c.propose(leader, "b")
			}
			c.settle()
			if ahead > 0 { // the third member gets nothing, and no answer comes back
				for _, id := range c.ids {
					c.cut[[2]uint64{leader.id, id}] = id != old.id
				}
				for range ahead {
					c.propose(leader, "c")
				}
				c.settle()
			}
			c.crash(old.id)
			c.down[old.id].disk, c.down[old.id].applies, c.down[old.id].synced = &disk, applies, [2]int{}
			c.start(old.id)
			clear(c.cut)
			p := c.propose(leader, "d")
			messages := 0
			for range 9 {
				c.tick()
				messages += c.bounded(1000)
			}
			if messages > 300 {
				t.Errorf("got %d messages in 9 ticks; want few", messages)
			}
			for _, m := range []*member{leader, c.members[old.id]} {
				if got := m.status().Outdated; !slices.Equal(got, []holdfast.NodeID{holdfast.NodeID(old.id)}) {
					t.Errorf("member %d: got %v as outdated; want member %d", m.id, got, old.id)
				}
			}
			if o, ok := p.outcome(); !ok || o.err != nil {
				t.Errorf("got %v, %t; want the entry committed by the others", o, ok)
			}
		})
	}
}

// A refusal that comes late, from before the member has acknowledged more, means nothing, and
// neither do some, unless nothing is acknowledged in between.
func TestLateRefusals(t *testing.T) {
	c := newCluster(t, 1, 3)
	leader := c.elect()
	c.propose(leader, "a")
	c.settle()
	from := c.other(leader)
	var o outdated
	answer := func(index uint64, refuses bool) bool {
		m := refusal(leader, from, index, refuses)
		return o.hear(m, leader.raft)
	}
	match := matchOf(leader.raft, from)
	for range 3 * outdatedRefusals {
		if !answer(match, true) || !answer(match-1, true) {
			t.Error("got a refusal of what was acknowledged for Raft; want none")
		}
		if answer(match, false) || answer(match+1, true) {
			t.Error("got an answer kept from Raft; want it heard")
		}
	}
	if got := o.members(leader.id); len(got) > 0 {
		t.Errorf("got %v as outdated; want none", got)
	}
	for range outdatedRefusals {
		answer(match, true)
	}
	if got := o.members(leader.id); !slices.Equal(got, []holdfast.NodeID{holdfast.NodeID(from)}) {
		t.Errorf("got %v as outdated; want member %d", got, from)
	}
}

// refusal returns a member's answer to the leader about an entry.
func refusal(leader *member, from, index uint64, refuses bool) *raftpb.Message {
	return &raftpb.Message{Type: raftpb.MsgAppResp.Enum(), From: &from, To: &leader.id, Term: &leader.term,
		Index: &index, Reject: &refuses}
}
