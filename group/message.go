package group

import (
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"holdfast"
)

// A Message is what one replica sends to another of its group. Body is Raft's, in the form of
// raftpb.Message.
type Message struct {
	From, To holdfast.NodeID
	Shard    holdfast.ShardID
	Body     []byte
}

const (
	// maxNumber is the greatest index that a message may have, so that no sum overflows; maxTerm is
	// the greatest term, so that there is space for salt below it.
	maxNumber = 1 << 62
	maxTerm   = 1 << 38

	// transferring is the context of the votes that a leader asks a member to campaign for.
	transferring = "CampaignTransfer"

	positionBytes = 8  // of the context of a heartbeat: the position of a read, see raft's readOnly
	contextBytes  = 16 // of the context of a read, see reads
)

// sent are the kinds of messages that replicas send to each other. Raft has others, which its node
// makes for itself and takes for its own: a member that could send those could have it commit what
// isn't on disk. It forwards no proposals, since what is proposed was decided by what the leader
// has applied. A snapshot's message comes with its parts, see snapshotMessage.
var sent = [...]bool{
	raftpb.MsgApp: true, raftpb.MsgAppResp: true,
	raftpb.MsgPreVote: true, raftpb.MsgPreVoteResp: true,
	raftpb.MsgVote: true, raftpb.MsgVoteResp: true,
	raftpb.MsgHeartbeat: true, raftpb.MsgHeartbeatResp: true,
	raftpb.MsgReadIndex: true, raftpb.MsgReadIndexResp: true,
	raftpb.MsgTimeoutNow: true,
}

// encode returns the message that has a message of Raft.
func encode(shard holdfast.ShardID, m *raftpb.Message) (Message, error) {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	return Message{
		From: holdfast.NodeID(m.GetFrom()), To: holdfast.NodeID(m.GetTo()), Shard: shard, Body: body,
	}, err
}

// decode returns the message of Raft that a message has. The error is Invalid unless it is one that
// a replica may send. Raft takes for granted that messages are well formed, and panics on some that
// aren't, so this is checked here, and by core.plausible as far as it depends on the replica's
// state.
func (m *Message) decode() (*raftpb.Message, error) {
	r := &raftpb.Message{}
	if err := proto.Unmarshal(m.Body, r); err != nil {
		return nil, holdfast.Errorf(holdfast.Invalid, "a message can't be decoded: %w", err)
	}
	kind := int(r.GetType())
	switch {
	case kind < 0 || kind >= len(sent) || !sent[kind]:
		return nil, errMessage(r, "no member sends such a message")
	case r.Snapshot != nil:
		return nil, errMessage(r, "it has a field that its kind hasn't")
	}
	return r, m.check(r)
}

// check returns an error unless a message is as one of its kind can be, but for a snapshot.
func (m *Message) check(r *raftpb.Message) error {
	switch {
	case r.GetFrom() != uint64(m.From) || r.GetTo() != uint64(m.To):
		return errMessage(r, "the frame names another sender or receiver")
	case max(r.GetIndex(), r.GetCommit(), r.GetRejectHint()) > maxNumber, max(r.GetTerm(), r.GetLogTerm()) > maxTerm:
		return errMessage(r, "a number is too great")
	case len(r.Responses) != 0, r.GetVote() != 0:
		return errMessage(r, "it has a field that its kind hasn't")
	case (r.GetTerm() == 0) != (r.GetType() == raftpb.MsgReadIndex): // 0 is a message to itself
		return errMessage(r, "it has no term, or one too many")
	case !contextFits(r):
		return errMessage(r, "it has a wrong context")
	case !entriesFit(r):
		return errMessage(r, "it has wrong entries")
	}
	return nil
}

// snapshotMessage returns the message that comes before the parts of a snapshot: it is as of a
// transaction, and has the members that the snapshot itself has. Those may be as of later entries,
// never as of entries that the snapshot has and they haven't.
func snapshotMessage(from holdfast.NodeID, x snapshotTo, tx holdfast.TxID, members *Members) *raftpb.Message {
	return &raftpb.Message{
		Type: raftpb.MsgSnap.Enum(), From: new(uint64(from)), To: new(uint64(x.to)), Term: new(x.term),
		Snapshot: &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{
			Index: new(tx.Index), Term: new(holdfast.RaftTerm(tx.Term)), ConfState: members.state(),
		}},
	}
}

// decodeSnapshot is decode for the message that comes before the parts of a snapshot.
func (m *Message) decodeSnapshot() (*raftpb.Message, error) {
	r := &raftpb.Message{}
	if err := proto.Unmarshal(m.Body, r); err != nil {
		return nil, holdfast.Errorf(holdfast.Invalid, "a snapshot's message can't be decoded: %w", err)
	}
	is := r.GetSnapshot().GetMetadata()
	switch {
	case r.GetType() != raftpb.MsgSnap:
		return nil, errMessage(r, "it isn't that of a snapshot")
	case is.GetIndex() == 0 || is.GetIndex() > maxNumber || is.GetTerm() == 0 || is.GetTerm() > r.GetTerm():
		return nil, errMessage(r, "there is no such entry")
	case len(r.GetSnapshot().GetData()) > 0:
		return nil, errMessage(r, "it has data, which come as parts")
	}
	return r, m.check(r)
}

func errMessage(m *raftpb.Message, fault string) error {
	return holdfast.Errorf(holdfast.Invalid, "message %v of node %d: %s", m.GetType(), m.GetFrom(), fault)
}

// contextFits says whether the context of a message is of the form that its kind has.
func contextFits(m *raftpb.Message) bool {
	switch context := m.GetContext(); m.GetType() {
	case raftpb.MsgHeartbeat, raftpb.MsgHeartbeatResp:
		return len(context) == 0 || len(context) == positionBytes
	case raftpb.MsgVote:
		return len(context) == 0 || string(context) == transferring
	default:
		return len(context) == 0
	}
}

// entriesFit says whether the entries of a message are of the form that its kind has.
func entriesFit(m *raftpb.Message) bool {
	switch entries := m.GetEntries(); m.GetType() {
	case raftpb.MsgApp:
		index, term := m.GetIndex(), m.GetLogTerm()
		for _, e := range entries {
			if e.GetIndex() != index+1 || e.GetTerm() < term || !entryFits(e) {
				return false
			}
			index, term = e.GetIndex(), e.GetTerm()
		}
		return term <= m.GetTerm()
	case raftpb.MsgReadIndex, raftpb.MsgReadIndexResp:
		return len(entries) == 1 && len(entries[0].GetData()) == contextBytes
	default:
		return len(entries) == 0
	}
}

// entryFits says whether an entry is one that members make.
func entryFits(e *raftpb.Entry) bool {
	ok := false
	switch e.GetType() {
	case raftpb.EntryNormal:
		_, _, ok = parseEntry(e.GetData())
	case raftpb.EntryConfChangeV2:
		_, ok = parseChange(e.GetData())
	}
	return ok && e.GetTerm() > 0
}
