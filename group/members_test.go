package group

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"holdfast"
)

// A modelMembers is what each node is, by the rules of Raft's thesis.
type modelMembers struct{ voters, learners, outgoing, removed map[holdfast.NodeID]bool }

func sortedNodes(of map[holdfast.NodeID]bool) (ids []holdfast.NodeID) {
	for id, is := range of {
		if is {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Random changes make the members that they should, once each, and these read back.
func TestMembersAfterChanges(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		set := func() map[holdfast.NodeID]bool { return map[holdfast.NodeID]bool{} }
		model := modelMembers{set(), set(), set(), set()}
		m, err := founded([]holdfast.NodeID{3, 1, 2})
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range m.Voters {
			model.voters[id] = true
		}
		for index, newest := uint64(5), holdfast.NodeID(4); index < 100; index += 1 + rng.Uint64N(3) {
			var x Change
			switch n := rng.IntN(4); {
			case len(m.Outgoing) > 0:
				for id := range model.outgoing {
					model.removed[id] = model.removed[id] || !model.voters[id]
				}
				clear(model.outgoing)
			case n == 0 && len(m.Voters) > 1:
				x.Remove = m.Voters[rng.IntN(len(m.Voters))]
				delete(model.voters, x.Remove)
				model.removed[x.Remove] = true
			case n == 1 && len(m.Learners) > 0:
				x.Promote = m.Learners[0]
				delete(model.learners, x.Promote)
				model.voters[x.Promote] = true
			case n == 2 && len(m.Learners) > 0:
				x.Promote, x.Remove = m.Learners[0], m.Voters[0]
				for _, id := range m.Voters {
					model.outgoing[id] = true
				}
				delete(model.learners, x.Promote)
				delete(model.voters, x.Remove)
				model.voters[x.Promote] = true
			case len(m.Learners) < 3:
				x.Add, newest = newest, newest+1
				model.learners[x.Add] = true
			default:
				x.Remove = m.Learners[0]
				delete(model.learners, x.Remove)
				model.removed[x.Remove] = true
			}
			change := &raftpb.ConfChangeV2{Changes: x.singles()}
			next, err := m.after(change, index)
			if err != nil {
				t.Fatalf("seed %d: %+v of %+v: %v", seed, x, *m, err)
			}
			if again, err := next.after(change, index); again != next || err != nil {
				t.Fatalf("seed %d: the entry again: %+v, %v; want %+v", seed, *again, err, *next)
			}
			want := Members{
				index, sortedNodes(model.voters), sortedNodes(model.learners), sortedNodes(model.outgoing),
				sortedNodes(model.removed),
			}
			if !reflect.DeepEqual(*next, want) {
				t.Fatalf("seed %d: %+v of %+v: got %+v; want %+v", seed, x, *m, *next, want)
			}
			checkMembersReadBack(t, next)
			m = next
		}
	}
}

func checkMembersReadBack(t *testing.T, m *Members) {
	t.Helper()
	raw := m.Encode()
	if got, err := DecodeMembers(raw); err != nil || !reflect.DeepEqual(got, m) {
		t.Fatalf("got %+v, %v; want %+v", got, err, m)
	}
	for n := range raw {
		if _, err := DecodeMembers(raw[:n]); !errors.Is(err, holdfast.Corrupt) {
			t.Fatalf("the first %d of %d bytes: %v; want Corrupt", n, len(raw), err)
		}
	}
}

// Members that can't be are refused, as changes are that no leader has proposed.
func TestImpossibleMembers(t *testing.T) {
	is := func(ids ...holdfast.NodeID) []holdfast.NodeID { return ids }
	for _, m := range []Members{
		{}, {Voters: is(0)}, {Voters: is(2, 1)}, {Voters: is(1, 1)}, {Voters: is(1), Learners: is(1)},
		{Voters: is(1), Outgoing: is(2), Learners: is(2)}, {Voters: is(1), Removed: is(1)},
		{Voters: is(1), Learners: is(2), Removed: is(2)}, {Voters: is(1 << 63)}, {Voters: is(1), Index: 1 << 63},
		{Voters: make([]holdfast.NodeID, maxMembers+1)},
	} {
		if err := m.check(); !errors.Is(err, holdfast.Invalid) {
			t.Errorf("%+v: got %v; want Invalid", m, err)
		}
		if _, err := DecodeMembers(m.Encode()); !errors.Is(err, holdfast.Corrupt) {
			t.Errorf("%+v on disk: got %v; want Corrupt", m, err)
		}
	}
	m := &Members{Index: 3, Voters: is(1), Learners: is(2)}
	for _, x := range []Change{{Remove: 1}, {}} {
		if got, err := m.after(&raftpb.ConfChangeV2{Changes: x.singles()}, 4); !errors.Is(err, holdfast.Corrupt) {
			t.Errorf("%+v: got %+v, %v; want Corrupt", x, got, err)
		}
	}
	joint := &Members{Index: 3, Voters: is(1, 2), Outgoing: is(1, 3)}
	if got, err := joint.after(&raftpb.ConfChangeV2{Changes: (&Change{Add: 4}).singles()}, 4); err == nil {
		t.Errorf("a change of a joint configuration: got %+v; want an error", got)
	}
}

func TestParseChange(t *testing.T) {
	for _, test := range []struct {
		name   string
		change *raftpb.ConfChangeV2
		want   bool
	}{
		{"one", &raftpb.ConfChangeV2{Changes: (&Change{Add: 4}).singles()}, true},
		{"two", &raftpb.ConfChangeV2{Changes: (&Change{Promote: 4, Remove: 1}).singles()}, true},
		{"the end of a joint one", &raftpb.ConfChangeV2{}, true},
		{"none, in another form", &raftpb.ConfChangeV2{Transition: raftpb.ConfChangeTransitionAuto.Enum()}, false},
		{"an end that is to be proposed", &raftpb.ConfChangeV2{
			Changes: (&Change{Add: 4}).singles(), Transition: raftpb.ConfChangeTransitionJointExplicit.Enum(),
		}, false},
		{"of nobody", &raftpb.ConfChangeV2{Changes: []*raftpb.ConfChangeSingle{{}}}, false},
		{"of a node that can't be", &raftpb.ConfChangeV2{Changes: (&Change{Add: 1 << 63}).singles()}, false},
		{"of another kind", &raftpb.ConfChangeV2{Changes: []*raftpb.ConfChangeSingle{
			{Type: raftpb.ConfChangeUpdateNode.Enum(), NodeId: new(uint64(1))},
		}}, false},
		{"with a context", &raftpb.ConfChangeV2{Changes: (&Change{Add: 4}).singles(), Context: []byte{1}}, false},
	} {
		data, err := proto.Marshal(test.change)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := parseChange(data); ok != test.want || ok && !proto.Equal(got, test.change) {
			t.Errorf("%s: got %v, %v; want %v", test.name, got, ok, test.want)
		}
	}
	if _, ok := parseChange([]byte{0xff}); ok {
		t.Error("got bytes that are no change taken for one")
	}
}

// A replica that is behind doesn't know all members: it hears whoever may be a leader or a
// candidate. Answers, which count, come from members only, and of a node that was removed nothing
// is heard.
func TestWhomMembersHear(t *testing.T) {
	m := &Members{
		Index: 1, Voters: []holdfast.NodeID{1, 2}, Learners: []holdfast.NodeID{3}, Removed: []holdfast.NodeID{4},
	}
	for kind, ofUnknown := range map[raftpb.MessageType]bool{
		raftpb.MsgApp: true, raftpb.MsgHeartbeat: true, raftpb.MsgVote: true, raftpb.MsgPreVote: true,
		raftpb.MsgAppResp: false, raftpb.MsgHeartbeatResp: false, raftpb.MsgVoteResp: false,
		raftpb.MsgPreVoteResp: false, raftpb.MsgReadIndex: false, raftpb.MsgTimeoutNow: false,
	} {
		for from, want := range map[holdfast.NodeID]bool{2: true, 3: true, 4: false, 5: ofUnknown} {
			if got := m.hears(from, kind); got != want {
				t.Errorf("%v of node %d: got %v; want %v", kind, from, got, want)
			}
		}
	}
}
