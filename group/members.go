package group

import (
	"encoding/binary"
	"slices"

	"go.etcd.io/raft/v3/confchange"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"holdfast"
)

// Members are the nodes that take part in a group. All lists are by rising ID. A Members is never
// changed: a change makes another.
type Members struct {
	// Index is that of the entry that made the members these; 0: the group was founded with them.
	Index uint64

	Voters   []holdfast.NodeID
	Learners []holdfast.NodeID // have the log, and don't count for any majority

	// Outgoing are the voters before a change of several, while it is under way: until it ends by
	// itself, each majority must be one of Voters and one of Outgoing (joint consensus, section 4.3
	// of the Raft thesis).
	Outgoing []holdfast.NodeID

	// Removed were members, and never are again: a node that left has forgotten nothing that it
	// voted for, but may have lost its disk since, and its replica has no way to know what it
	// missed.
	Removed []holdfast.NodeID
}

// maxMembers is how many members of each kind a group has at most.
const maxMembers = 64

// founded returns the members of a new group. The error is Invalid if they can't be those of a
// group.
func founded(voters []holdfast.NodeID) (*Members, error) {
	m := &Members{Voters: slices.Sorted(slices.Values(voters))}
	return m, m.check()
}

// lists returns the lists of members in the order of their form on disk.
func (m *Members) lists() [4]*[]holdfast.NodeID {
	return [...]*[]holdfast.NodeID{&m.Voters, &m.Learners, &m.Outgoing, &m.Removed}
}

// check returns an error unless there can be a group with these members.
func (m *Members) check() error {
	if len(m.Voters) == 0 {
		return holdfast.Errorf(holdfast.Invalid, "a group has no members")
	}
	for _, list := range m.lists() {
		for i, id := range *list {
			if id == 0 || id > maxNumber || i > 0 && id <= (*list)[i-1] {
				return holdfast.Errorf(holdfast.Invalid, "a group can't have the members %v", *list)
			}
		}
	}
	switch {
	case max(len(m.Voters), len(m.Learners), len(m.Outgoing)) > maxMembers:
		return holdfast.Errorf(holdfast.Invalid, "a group has at most %d members", maxMembers)
	case m.Index > maxNumber || slices.ContainsFunc(m.Learners, m.Votes) || slices.ContainsFunc(m.Removed, m.Has):
		return holdfast.Errorf(holdfast.Invalid,
			"a node is a voter, a learner or removed, not two of these: %v, %v, %v", m.Voters, m.Learners, m.Removed)
	}
	return nil
}

// Votes reports whether a node's vote counts.
func (m *Members) Votes(id holdfast.NodeID) bool {
	return slices.Contains(m.Voters, id) || slices.Contains(m.Outgoing, id)
}

// Has reports whether a node is a voter or a learner.
func (m *Members) Has(id holdfast.NodeID) bool {
	return m.Votes(id) || slices.Contains(m.Learners, id)
}

// voters returns all nodes whose votes count, by rising ID.
func (m *Members) voters() []holdfast.NodeID {
	all := slices.Concat(m.Voters, m.Outgoing)
	slices.Sort(all)
	return slices.Compact(all)
}

// hasRemoved reports whether a node was a member.
func (m *Members) hasRemoved(id holdfast.NodeID) bool { return slices.Contains(m.Removed, id) }

// joint reports whether a change of several voters is under way.
func (m *Members) joint() bool { return len(m.Outgoing) > 0 }

// hears reports whether a message of a node is heard that is of a kind: one of a member, or one
// that a leader or a candidate sends that has become a member by entries that this replica doesn't
// have yet. Otherwise a replica that is behind would never get these entries, and its vote might be
// missing.
func (m *Members) hears(from holdfast.NodeID, kind raftpb.MessageType) bool {
	switch kind {
	case raftpb.MsgApp, raftpb.MsgSnap, raftpb.MsgHeartbeat, raftpb.MsgVote, raftpb.MsgPreVote:
		return !m.hasRemoved(from)
	}
	return m.Has(from)
}

// state returns the members as Raft has them. A joint configuration ends by itself.
func (m *Members) state() *raftpb.ConfState {
	return &raftpb.ConfState{
		Voters: numbers(m.Voters), Learners: numbers(m.Learners), VotersOutgoing: numbers(m.Outgoing),
		AutoLeave: new(m.joint()),
	}
}

func numbers(ids []holdfast.NodeID) (all []uint64) {
	for _, id := range ids {
		all = append(all, uint64(id))
	}
	return all
}

func nodeIDs(ids []uint64) (all []holdfast.NodeID) {
	for _, id := range ids {
		all = append(all, holdfast.NodeID(id))
	}
	return all
}

// after returns the members after a change, which is that of the entry at an index. What is in m
// already stays as it is: an entry may be applied again after a crash. The error is Corrupt if no
// leader can have proposed the change.
func (m *Members) after(change *raftpb.ConfChangeV2, index uint64) (*Members, error) {
	if index <= m.Index {
		return m, nil
	}
	is, err := changed(m.state(), change)
	if err != nil || len(is.LearnersNext) > 0 {
		return nil, holdfast.Errorf(holdfast.Corrupt, "entry %d can't change the members %v (%v, learners %v): %w",
			index, m.Voters, m.Outgoing, m.Learners, err)
	}
	next := &Members{
		Index: index, Voters: nodeIDs(is.Voters), Learners: nodeIDs(is.Learners), Outgoing: nodeIDs(is.VotersOutgoing),
		Removed: slices.Clone(m.Removed),
	}
	for _, id := range slices.Concat(m.Voters, m.Learners, m.Outgoing) {
		if !next.Has(id) {
			next.Removed = append(next.Removed, id)
		}
	}
	slices.Sort(next.Removed)
	next.Removed = slices.Compact(next.Removed)
	if err := next.check(); err != nil {
		return nil, holdfast.Errorf(holdfast.Corrupt, "entry %d can't change the members: %w", index, err)
	}
	return next, nil
}

// changed returns what Raft makes of a configuration and a change.
func changed(from *raftpb.ConfState, change *raftpb.ConfChangeV2) (*raftpb.ConfState, error) {
	c := confchange.Changer{Tracker: tracker.MakeProgressTracker(1, 0), LastIndex: 1}
	var err error
	if c.Tracker.Config, c.Tracker.Progress, err = confchange.Restore(c, from); err != nil {
		return nil, err
	}
	if change.LeaveJoint() {
		c.Tracker.Config, _, err = c.LeaveJoint()
	} else if leave, joint := change.EnterJoint(); joint {
		c.Tracker.Config, _, err = c.EnterJoint(leave, change.GetChanges()...)
	} else {
		c.Tracker.Config, _, err = c.Simple(change.GetChanges()...)
	}
	if err != nil {
		return nil, err
	}
	return c.Tracker.ConfState(), nil
}

const membersVersion = 1

// Encode returns the form of members, on disk and for Host.Join: a byte for the version, and
// varints: the index, and of voters, learners, outgoing and removed each the number and the IDs.
func (m *Members) Encode() []byte {
	dst := binary.AppendUvarint([]byte{membersVersion}, m.Index)
	for _, list := range m.lists() {
		dst = binary.AppendUvarint(dst, uint64(len(*list)))
		for _, id := range *list {
			dst = binary.AppendUvarint(dst, uint64(id))
		}
	}
	return dst
}

// DecodeMembers returns the members that Encode has made the form of. The error is Corrupt.
func DecodeMembers(raw []byte) (*Members, error) {
	if len(raw) == 0 || raw[0] != membersVersion {
		return nil, errMembers()
	}
	r := varints{rest: raw[1:]}
	m := &Members{Index: r.next()}
	for _, list := range m.lists() {
		for n := r.next(); n > 0 && !r.bad; n-- {
			*list = append(*list, holdfast.NodeID(r.next()))
		}
	}
	if r.bad || len(r.rest) != 0 || m.check() != nil {
		return nil, errMembers()
	}
	return m, nil
}

func errMembers() error {
	return holdfast.Errorf(holdfast.Corrupt, "the members of a group can't be decoded")
}

// Varints are the numbers of a form on disk.
type varints struct {
	rest []byte
	bad  bool // the form ends too early
}

func (r *varints) next() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}
