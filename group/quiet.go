package group

import (
	"encoding/binary"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"holdfast"
)

// A sleeping has a replica do without ticks while its group has nothing to do: neither the leader
// nor the followers do anything then, not even once per tick. Most groups of a node are idle most of
// the time, and heartbeats of thousands of them would cost more than the requests to the others.
//
// A leader sends its group to sleep when nothing has happened for some ticks: all that is in its log
// is committed, applied, and on the disks of all members whose nodes are heard. It sends each a note
// with its term and the index of the last entry. A follower that has the same sleeps; another one
// stays awake.
//
// What the group can't find out meanwhile is found out for all groups of a node at once, by what
// nodes hear of each other (neighbours):
//
//   - The leader's node is silent: its followers wake, forget their leader and campaign, not all
//     groups in one moment.
//   - A leader's node doesn't hear a majority of the voters' nodes: it wakes, and steps down.
//   - A leader's node hears one again without which the group fell asleep: the leader wakes, and
//     sends it what it lacks.
//   - The disk of the leader's node hangs: it wakes, and hands over.
//
// A replica that sleeps wakes by anything that it is asked to do, and by any message but a note to
// sleep or an answer to a heartbeat. A replica that is awake keeps its leader awake: if it doesn't
// hear its leader it asks for it, with another note. So it does not matter that a note is lost, that
// a member that was away has slept on, or that one was started again.
type sleeping struct {
	after  int // ticks without anything to do, after which a leader sends its group to sleep; 0: never
	fresh  int // ticks within which members answer a heartbeat
	nodes  *neighbours
	asleep bool
	since  int // the tick of nodes at which the replica fell asleep

	// Of a leader.
	idle     int               // ticks without anything to do
	answered map[uint64]int    // by member: the tick at which it has answered last
	without  []holdfast.NodeID // members that were silent when the group fell asleep

	// Of a follower.
	asked int // the tick at which it has asked the others for a leader last
	// late says that the replica has slept and hasn't heard its leader since: Raft, whose clock stood
	// still meanwhile, would campaign later than that of a replica that was awake.
	late     bool
	election int // the tick at which the replica, being late, campaigns; 0: it isn't drawn yet
}

const (
	// spreadTicks is over how many ticks groups campaign that have lost their leader at once.
	spreadTicks = 5
	// campaignTicks is after how many ticks a replica that is late asks again for votes: other
	// members may have heard the leader a little later, and refuse theirs until then.
	campaignTicks = 3
)

func newSleeping(l *limits) sleeping {
	return sleeping{after: l.sleepTicks, fresh: l.heartbeatTicks + 1, nodes: l.nodes, answered: map[uint64]int{},
		asked: -l.electionTicks}
}

// rest reports whether the replica does nothing in a tick: it sleeps, or falls asleep now.
func (s *sleeping) rest(c *core) bool {
	switch {
	case s.asleep && c.stalled && c.began != 0:
		s.wake(c)
		return false
	case s.asleep:
		return true
	case s.after == 0 || c.began == 0:
		return false
	}
	without, calm := s.calm(c)
	if !calm {
		s.idle = 0
		return false
	}
	if s.idle++; s.idle <= s.after {
		return false
	}
	for _, id := range slices.Concat(c.members.Voters, c.members.Learners) {
		s.send(c, sleepByte, id, c.last)
	}
	s.fall()
	s.without = without
	return true
}

// calm reports whether the group of a leader has nothing to do. without are the members that don't
// count, since their nodes are silent.
func (s *sleeping) calm(c *core) (without []holdfast.NodeID, calm bool) {
	if c.lead() == 0 || c.change != nil || c.members.joint() || c.sendings.some() ||
		c.raft.BasicStatus().LeadTransferee != 0 ||
		!s.still(c, c.last) {
		return nil, false
	}
	calm = s.hearsMajority(c)
	c.raft.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		node, answered := holdfast.NodeID(id), c.ticks-s.answered[id]
		switch silent := s.nodes.silent(node); {
		case id == c.node:
			calm = calm && c.onDisk(id, p) == c.last
		case silent && answered >= c.hearing.patience:
			without = append(without, node)
		case silent || answered > s.fresh || p.Match != c.last:
			calm = false
		}
	})
	return without, calm
}

// still reports whether the replica has nothing to do beside its log, which ends at an index, and
// has all of that committed and applied.
func (s *sleeping) still(c *core, index uint64) bool {
	return !c.stalled && !c.removed && c.last == index && c.commit == index && c.applied == index &&
		!c.proposals.some() && !c.reads.some() && len(c.outdated.members(c.node)) == 0
}

// hearsMajority reports whether the nodes of a majority of the voters are heard.
func (s *sleeping) hearsMajority(c *core) bool {
	heard := 0
	for _, id := range c.members.Voters {
		if id == holdfast.NodeID(c.node) || !s.nodes.silent(id) {
			heard++
		}
	}
	return 2*heard > len(c.members.Voters)
}

func (s *sleeping) fall() { s.asleep, s.since, s.idle = true, s.nodes.ticks, 0 }

// wake ends the replica's sleep, if it sleeps, and begins anew to wait until its group has nothing
// to do. Its clock stood still, so that nothing is late that it had waited for; but it has heard of a
// member what its host has heard of the node.
func (s *sleeping) wake(c *core) {
	s.idle = 0
	if !s.asleep {
		return
	}
	s.asleep, s.without, s.late, s.election = false, nil, c.began == 0, 0
	c.hearing.age(s.nodes.ticks - s.since)
	for _, id := range slices.Concat(c.members.Voters, c.members.Learners) {
		c.hearing.hear(uint64(id), max(c.hearing.last[uint64(id)], c.ticks-s.nodes.silence(id)))
	}
}

// review wakes the replica if it mustn't sleep on, by what its host hears of other nodes. It is
// called when that has changed.
func (s *sleeping) review(c *core) {
	switch {
	case !s.asleep:
	case c.began == 0:
		if s.nodes.silent(holdfast.NodeID(c.leader)) {
			s.wake(c)
		}
	case !s.hearsMajority(c) || slices.ContainsFunc(s.without, s.nodes.hears):
		s.wake(c)
	}
}

// heed takes a message of another member that Raft will get.
func (s *sleeping) heed(c *core, m *raftpb.Message) {
	from, answers := m.GetFrom(), false
	switch m.GetType() {
	case raftpb.MsgHeartbeatResp, raftpb.MsgAppResp:
		answers = c.began != 0 && m.GetTerm() == c.term && !m.GetReject()
	case raftpb.MsgPreVote:
		// It has been started again: as the leader of this term it wouldn't campaign.
		s.lose(c, from, m.GetTerm()-1)
	}
	if answers {
		s.answered[from] = c.ticks
		return
	}
	s.wake(c)
	if m.GetTerm() >= c.term && from == c.leader {
		s.late = false
	}
}

// lose has a follower forget its leader if a node that leads no more in a term is its leader.
func (s *sleeping) lose(c *core, node, term uint64) {
	if s.after > 0 && c.began == 0 && c.leader == node && term >= c.term {
		s.wake(c)
		_ = c.raft.ForgetLeader() // never fails
		c.collect()
	}
}

// speak has a replica that doesn't hear its leader ask for it, and campaign if it is late. It is
// called at the end of each tick.
func (s *sleeping) speak(c *core) {
	half := (c.hearing.patience + 1) / 2
	switch {
	case s.after == 0 || c.removed || c.began != 0:
		return
	case c.leader != 0:
		if c.silent(c.leader) >= half {
			s.send(c, askByte, holdfast.NodeID(c.leader), 0)
		}
		return
	case c.ticks-s.asked >= half && c.raft.BasicStatus().RaftState != raft.StateCandidate:
		s.asked = c.ticks
		for _, id := range c.members.Voters {
			s.send(c, askByte, id, 0)
		}
	}
	switch {
	case !s.late || hesitates(c):
	case c.ticks-c.hearing.orphaned > 2*c.hearing.patience:
		s.late = false // Raft campaigns from now on
	case s.election == 0:
		s.election = c.ticks + s.turn(c)
	case c.ticks >= s.election:
		s.election = c.ticks + campaignTicks
		c.campaign()
	}
}

// turn returns after how many ticks the replica campaigns: those of a group one after the other, so
// that their votes aren't split, and groups not all at once.
func (s *sleeping) turn(c *core) int {
	turn := int(uint64(c.shard) % spreadTicks)
	for _, id := range c.members.Voters {
		if id < holdfast.NodeID(c.node) && !s.nodes.silent(id) {
			turn += spreadTicks
		}
	}
	return turn
}

// The first bytes of the bodies of messages that aren't Raft's; see noticeByte.
const (
	sleepByte = 1 // a leader's: its group sleeps. Then varints: its term, and the index of its last entry
	askByte   = 2 // a follower's: it doesn't hear a leader. Then varints: its term, and 0
	beatByte  = 3 // a host's; see neighbours
)

// A note is a message about sleep.
type note struct {
	kind        byte
	from        uint64
	term, index uint64
}

// send sends a note to another member.
func (s *sleeping) send(c *core, kind byte, to holdfast.NodeID, index uint64) {
	if to == holdfast.NodeID(c.node) {
		return
	}
	body := binary.AppendUvarint(binary.AppendUvarint([]byte{kind}, c.term), index)
	c.out.notes = append(c.out.notes, Message{From: holdfast.NodeID(c.node), To: to, Shard: c.shard, Body: body})
}

// isNote reports whether a message is a note.
func (m *Message) isNote() bool {
	return len(m.Body) > 0 && (m.Body[0] == sleepByte || m.Body[0] == askByte)
}

// note returns the note that a message is. The error is Invalid.
func (m *Message) note() (*note, error) {
	r := varints{rest: m.Body[1:]}
	n := &note{kind: m.Body[0], from: uint64(m.From), term: r.next(), index: r.next()}
	if r.bad || len(r.rest) > 0 || n.term > maxTerm || n.index > maxNumber || n.kind == askByte && n.index != 0 {
		return nil, holdfast.Errorf(holdfast.Invalid, "a note of node %d about sleep can't be decoded", m.From)
	}
	return n, nil
}

// tell has a replica take a note.
func (n *note) tell(c *core) {
	s := &c.sleeping
	switch {
	case s.after == 0:
	case n.kind == askByte:
		if s.lose(c, n.from, n.term); s.asleep {
			s.wake(c)
		}
	case n.term == c.term && n.from == c.leader && c.began == 0:
		agrees := s.still(c, n.index) && c.change == nil && !c.members.joint() &&
			c.members.Has(holdfast.NodeID(c.node)) && c.silent(c.leader) <= s.fresh &&
			!s.nodes.silent(holdfast.NodeID(c.leader))
		switch {
		case agrees && !s.asleep:
			s.fall()
		case !agrees:
			s.wake(c)
		}
	default:
		s.wake(c)
	}
}
