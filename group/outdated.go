package group

import (
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"holdfast"
)

// An outdated keeps which members lack entries that they have acknowledged: their logs were put
// back from an older copy, or their disks lose what they have synced. Raft takes for granted that
// there are none. Its leader would send such a member the entry behind the last that was
// acknowledged, again and again, as fast as the answers come, and would count it among those that
// have the log.
//
//   - A leader knows it by answers that refuse entries behind what the member has acknowledged in
//     this term. Raft doesn't hear of these, so that the next such entry is sent with the next
//     heartbeat. One may be late, from before; several, without one that accepts, mean it.
//   - The member itself knows it by a heartbeat: the leader names no commit index above what this
//     member has acknowledged. It answers with such a refusal.
type outdated struct {
	refusals map[uint64]int // by member, since it has accepted entries; of the term in which this replica leads
	self     bool           // this replica
}

// outdatedRefusals is how many refusals mean that a member is outdated.
const outdatedRefusals = 3

// hear takes a message to the leader of the term, and reports whether Raft, which is the leader's,
// mustn't hear it.
func (o *outdated) hear(m *raftpb.Message, leader *raft.RawNode) bool {
	if m.GetType() != raftpb.MsgAppResp {
		return false
	}
	from := m.GetFrom()
	if !m.GetReject() {
		if o.refusals[from] > 0 && m.GetIndex() >= matchOf(leader, from) {
			delete(o.refusals, from)
		}
		return false
	}
	acknowledged := matchOf(leader, from)
	if acknowledged == 0 || m.GetIndex() > acknowledged {
		return false
	}
	if o.refusals == nil {
		o.refusals = map[uint64]int{}
	}
	o.refusals[from]++
	return true
}

// beat takes the commit index that a heartbeat of the leader names, and reports whether this
// replica is outdated. last is the index of its last entry.
func (o *outdated) beat(commit, last uint64) bool {
	o.self = commit > last
	return o.self
}

// members returns the members that are known to be outdated, by rising ID.
func (o *outdated) members(node uint64) (ids []holdfast.NodeID) {
	for id, n := range o.refusals {
		if n >= outdatedRefusals {
			ids = append(ids, holdfast.NodeID(id))
		}
	}
	if o.self {
		ids = append(ids, holdfast.NodeID(node))
	}
	slices.Sort(ids)
	return ids
}

// matchOf returns up to where a member has acknowledged the log in the term in which a replica
// leads.
func matchOf(replica *raft.RawNode, id uint64) (index uint64) {
	replica.WithProgress(func(member uint64, _ raft.ProgressType, p tracker.Progress) {
		if member == id {
			index = p.Match
		}
	})
	return index
}
