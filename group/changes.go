package group

import (
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"holdfast"
)

// A Change is a change of a group's members: one learner is added, or a learner becomes a voter, or
// a member is removed, or both of the latter at once, which replaces a member.
type Change struct {
	Add     holdfast.NodeID // becomes a learner; its replica is then started by Host.Join
	Promote holdfast.NodeID // a learner that has caught up becomes a voter
	Remove  holdfast.NodeID // a voter or a learner is removed for ever
}

// caughtUp is how many entries a learner may lack, at most, to be promoted: it gets them while the
// change is on its way.
const caughtUp = 1000

// singles returns the change as Raft has it. Several at once make it joint.
func (x *Change) singles() (all []*raftpb.ConfChangeSingle) {
	add := func(kind raftpb.ConfChangeType, id holdfast.NodeID) {
		if id != 0 {
			all = append(all, &raftpb.ConfChangeSingle{Type: kind.Enum(), NodeId: new(uint64(id))})
		}
	}
	add(raftpb.ConfChangeAddLearnerNode, x.Add)
	add(raftpb.ConfChangeAddNode, x.Promote)
	add(raftpb.ConfChangeRemoveNode, x.Remove)
	return all
}

// A changing is a change of members on its way.
type changing struct {
	Change
	term, index uint64 // of its entry; index is 0 until it has one
	applied     bool
	done        chan error // gets its outcome; has space for it
}

// propose proposes the change at a replica. Raft would put an empty entry into the log in place of
// a change that comes too early, so that it isn't asked for what is known to be one.
func (x *changing) propose(c *core) {
	if err := x.check(c); err != nil {
		x.done <- err
		return
	}
	c.sleeping.wake(c)
	x.term, c.change = c.term, x
	err := c.raft.ProposeConfChange(&raftpb.ConfChangeV2{Changes: x.singles()})
	c.collect()
	if x.index == 0 && c.change == x { // it wasn't taken, or is an empty entry
		c.change = nil
		refusal := errBusy(c.shard)
		if err != nil {
			refusal = holdfast.Errorf(holdfast.Refused, "nothing was changed: too much waits to be committed in "+
				"shard %d, or another node is about to lead it", c.shard)
		}
		x.done <- refusal
	}
}

// check returns an error unless a change can be proposed. Its members are those of the last
// change, since none is under way.
func (x *Change) check(c *core) error {
	m := c.members
	switch {
	case c.lead() == 0:
		return errNotLeader(c.shard, c.leader)
	case c.change != nil || m.joint():
		return errBusy(c.shard)
	case x.Add != 0 && (x.Promote != 0 || x.Remove != 0) || *x == (Change{}) || x.Promote == x.Remove && x.Promote != 0:
		return refused(holdfast.Invalid, "%+v isn't one change", *x)
	case max(x.Add, x.Promote, x.Remove) > maxNumber:
		return refused(holdfast.Invalid, "there can't be such a node: %+v", *x)
	case x.Add != 0:
		return m.addable(x.Add)
	}
	if x.Remove == holdfast.NodeID(c.node) {
		return refused(holdfast.Refused, "node %d leads, and must hand that over before it is removed", x.Remove)
	}
	if x.Remove != 0 && !m.Has(x.Remove) {
		return refused(holdfast.NotFound, "node %d isn't a member", x.Remove)
	}
	if x.Promote != 0 {
		if err := promotable(c, x.Promote); err != nil {
			return err
		}
	}
	return x.keepsMajority(c)
}

// addable returns an error unless a node can become a learner.
func (m *Members) addable(id holdfast.NodeID) error {
	switch {
	case m.hasRemoved(id):
		return refused(holdfast.Invalid, "node %d was a member before, and can't be one again", id)
	case m.Has(id):
		return refused(holdfast.Exists, "node %d is a member already", id)
	case len(m.Learners) == maxMembers || len(m.Voters) == maxMembers:
		return refused(holdfast.Refused, "a group has at most %d members", maxMembers)
	}
	return nil
}

// promotable returns an error unless a node is a learner that has caught up.
func promotable(c *core, id holdfast.NodeID) error {
	m := c.members
	switch {
	case slices.Contains(m.Voters, id):
		return refused(holdfast.Exists, "node %d votes already", id)
	case !slices.Contains(m.Learners, id):
		return refused(holdfast.NotFound, "node %d isn't a learner", id)
	}
	p := progressOf(c)[id]
	if behind := c.last - min(c.last, p.Match); behind > caughtUp || p.Match == 0 || !p.RecentActive {
		return refused(holdfast.Refused, "the learner on node %d hasn't caught up: it lacks %d entries", id, behind)
	}
	return nil
}

// keepsMajority returns an error unless a majority of the voters that there will be, and not only
// of those that there are, answers now.
func (x *Change) keepsMajority(c *core) error {
	voters, active, all := slices.Clone(c.members.Voters), 0, progressOf(c)
	if x.Promote != 0 {
		voters = append(voters, x.Promote)
	}
	voters = slices.DeleteFunc(voters, func(id holdfast.NodeID) bool { return id == x.Remove })
	for _, id := range voters {
		if id == holdfast.NodeID(c.node) || all[id].RecentActive {
			active++
		}
	}
	if active <= len(voters)/2 {
		return refused(holdfast.Refused, "of the voters %v only %d answer, which is no majority", voters, active)
	}
	return nil
}

// progressOf returns what the leader knows of each member.
func progressOf(c *core) map[holdfast.NodeID]tracker.Progress {
	all := map[holdfast.NodeID]tracker.Progress{}
	c.raft.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) { all[holdfast.NodeID(id)] = p })
	return all
}

// refused returns an error that says that members weren't changed.
func refused(kind holdfast.Kind, format string, args ...any) error {
	return holdfast.Errorf(kind, "nothing was changed in the members of a group: %w",
		holdfast.Errorf(kind, format, args...))
}

func errBusy(shard holdfast.ShardID) error {
	return holdfast.Errorf(holdfast.Refused,
		"nothing was changed: another change of the members of shard %d may be under way", shard)
}

func errChangeUnknown(shard holdfast.ShardID) error {
	return holdfast.Errorf(holdfast.Unavailable,
		"outcome unknown: the replica of shard %d on this node stopped, or didn't hear of its members' change in time",
		shard)
}

// place gives a change on its way, if there is one, its place, if an entry that Raft has added is
// the one. What ends a joint configuration has no data.
func (x *changing) place(e *raftpb.Entry) {
	if x != nil && x.index == 0 && x.term == e.GetTerm() && len(e.GetData()) > 0 {
		x.index = e.GetIndex()
	}
}

// applyChange has Raft take the members that an entry makes, unless it has them: the members are on
// disk once the entry is applied, and it may be applied again after a crash. Raft must hear of the
// change before it hears that the entry is applied.
func (c *core) applyChange(e *raftpb.Entry) {
	change, _ := parseChange(e.GetData())
	next, err := c.members.after(change, e.GetIndex())
	if err != nil {
		panic(diskError{err}) // the apply goroutine has found the same
	}
	if next == c.members {
		return
	}
	c.raft.ApplyConfChange(change)
	c.members = next
	c.proposals.acks.changed = c.last
	c.removed = c.removed || next.hasRemoved(holdfast.NodeID(c.node))
}

// decide ends the wait for the change on its way if its outcome follows from an entry that is
// applied. One that is joint is done when the group has left that state, too.
func (x *changing) decide(c *core, term, index uint64) {
	if x == nil {
		return
	}
	switch {
	case x.term == term && x.index == index:
		x.applied = true
	case !x.applied && (x.term < term || x.index <= index):
		c.change = nil
		x.done <- errReplaced(c.shard, x.term)
		return
	}
	if x.applied && !c.members.joint() {
		c.change = nil
		x.done <- nil
	}
}

// tell has a replica take the members that another replica has sent since this one isn't among
// them: it was removed before it could apply that, and nobody sends it entries any more. What it
// says is only true if it knows of later changes: otherwise it is the one that is behind.
func (m *Members) tell(c *core) {
	if m.Index > c.members.Index && m.hasRemoved(holdfast.NodeID(c.node)) {
		c.removed = true
	}
}

// isEarly reports whether a message asks the only voter, which leads, up to where the log is
// committed, and that doesn't know yet, since it hasn't committed an entry of its own term. Raft
// would have it answer all the same, as it does not if there are several voters. A learner asks
// again.
func (c *core) isEarly(m *raftpb.Message) bool {
	return m.GetType() == raftpb.MsgReadIndex && c.began != 0 && c.commit < c.began && len(c.members.Voters) == 1
}

// parseChange returns the change that the data of an entry has, and whether it is one that members
// make. Without data it ends a joint configuration.
func parseChange(data []byte) (*raftpb.ConfChangeV2, bool) {
	x := &raftpb.ConfChangeV2{}
	if err := proto.Unmarshal(data, x); err != nil {
		return x, false
	}
	for _, each := range x.GetChanges() {
		switch each.GetType() {
		case raftpb.ConfChangeAddNode, raftpb.ConfChangeAddLearnerNode, raftpb.ConfChangeRemoveNode:
		default:
			return x, false
		}
		if id := each.GetNodeId(); id == 0 || id > maxNumber {
			return x, false
		}
	}
	// An entry that only looks as if it had no data would end a joint configuration, too.
	whole := len(x.GetChanges()) > 0 || len(data) == 0
	return x, whole && len(x.GetChanges()) <= 2*maxMembers && len(x.GetContext()) == 0 &&
		x.GetTransition() == raftpb.ConfChangeTransitionAuto
}

// changesMembers reports whether an entry changes the members.
func changesMembers(e *raftpb.Entry) bool { return e.GetType() == raftpb.EntryConfChangeV2 }

// notice returns a message that says who the members are to a node that was removed; see
// Members.tell. Its body is no message of Raft, which never begins with noticeByte.
func notice(shard holdfast.ShardID, from, to holdfast.NodeID, m *Members) Message {
	return Message{From: from, To: to, Shard: shard, Body: append([]byte{noticeByte}, m.Encode()...)}
}

const noticeByte = 0 // would be the tag of a field 0, and there is none in Protocol Buffers

// isNotice reports whether a message is a notice.
func (m *Message) isNotice() bool { return len(m.Body) > 0 && m.Body[0] == noticeByte }
