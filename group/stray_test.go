package group

import (
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

// What a member answers to a message of a former term is nothing to the leader of the present one.
// All else is, and so is that answer to whoever doesn't lead in its term.
func TestStrayAnswers(t *testing.T) {
	message := func(kind raftpb.MessageType, term, index uint64, reject bool) *raftpb.Message {
		return &raftpb.Message{Type: kind.Enum(), Term: &term, Index: &index, Reject: &reject}
	}
	for _, test := range []struct {
		name  string
		began uint64
		m     *raftpb.Message
		want  bool
	}{
		{"to the leader", 7, message(raftpb.MsgAppResp, 3, 0, false), true},
		{"to the leader, of a later term", 7, message(raftpb.MsgAppResp, 4, 0, false), false},
		{"to a follower", 0, message(raftpb.MsgAppResp, 3, 0, false), false},
		{"an acknowledgement", 7, message(raftpb.MsgAppResp, 3, 9, false), false},
		{"a rejection", 7, message(raftpb.MsgAppResp, 3, 0, true), false},
		{"of a heartbeat", 7, message(raftpb.MsgHeartbeatResp, 3, 0, false), false},
	} {
		c := &core{began: test.began, term: 3}
		if got := c.isStray(test.m); got != test.want {
			t.Errorf("%s: got %v; want %v", test.name, got, test.want)
		}
	}
}
