package group

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"holdfast"
)

func TestDecodeRefuses(t *testing.T) {
	entry := func(index, term uint64, data string) *raftpb.Entry {
		return &raftpb.Entry{Index: new(index), Term: new(term), Data: []byte(data)}
	}
	sound := func() *raftpb.Message {
		return &raftpb.Message{
			Type: raftpb.MsgApp.Enum(), From: new(uint64(1)), To: new(uint64(2)), Term: new(uint64(5)),
			Index: new(uint64(10)), LogTerm: new(uint64(4)), Commit: new(uint64(10)),
			Entries: []*raftpb.Entry{entry(11, 4, ""), entry(12, 5, string(newEntry(7, 3, []byte("a"))))},
		}
	}
	for name, change := range map[string]func(*raftpb.Message){
		"":                        func(m *raftpb.Message) {},
		"another sender":          func(m *raftpb.Message) { m.From = new(uint64(3)) },
		"another receiver":        func(m *raftpb.Message) { m.To = nil },
		"no term":                 func(m *raftpb.Message) { m.Term = nil },
		"a great term":            func(m *raftpb.Message) { m.Term = new(uint64(maxTerm + 1)) },
		"a great index":           func(m *raftpb.Message) { m.Index = new(^uint64(0)); m.Entries = nil },
		"a great commit":          func(m *raftpb.Message) { m.Commit = new(^uint64(0)) },
		"a gap":                   func(m *raftpb.Message) { m.Entries = m.Entries[1:] },
		"terms that fall":         func(m *raftpb.Message) { m.LogTerm = new(uint64(5)) },
		"an entry of a later one": func(m *raftpb.Message) { m.Entries[1].Term = new(uint64(6)) },
		"an unknown kind":         func(m *raftpb.Message) { m.Entries[1].Data = []byte{9, 9} },
		"half an entry":           func(m *raftpb.Message) { m.Entries[1].Data = []byte{kindShard, 1, 2, 3} },
		"half a salt":             func(m *raftpb.Message) { m.Entries[1].Data = []byte{kindShard, 1, 2} },
		"half an unsalted entry":  func(m *raftpb.Message) { m.Entries[1].Data = []byte{kindUnsalted} },
		"other members":           func(m *raftpb.Message) { m.Entries[0].Type = raftpb.EntryConfChange.Enum() },
		"a change of members that is none": func(m *raftpb.Message) {
			m.Entries[1].Type = raftpb.EntryConfChangeV2.Enum()
		},
		"a snapshot": func(m *raftpb.Message) { m.Snapshot = &raftpb.Snapshot{} },
		"responses":  func(m *raftpb.Message) { m.Responses = []*raftpb.Message{{}} },
		"a context":  func(m *raftpb.Message) { m.Context = []byte("12345678") },
		"a proposal": func(m *raftpb.Message) { m.Type = raftpb.MsgProp.Enum() },
		"a heartbeat's context": func(m *raftpb.Message) {
			m.Type, m.Entries, m.Context = raftpb.MsgHeartbeat.Enum(), nil, []byte("123")
		},
		"a heartbeat without a term": func(m *raftpb.Message) {
			m.Type, m.Entries, m.Term = raftpb.MsgHeartbeat.Enum(), nil, nil
		},
		"a read with a term": func(m *raftpb.Message) {
			m.Type, m.Entries = raftpb.MsgReadIndex.Enum(), []*raftpb.Entry{{Data: make([]byte, contextBytes)}}
		},
		"a read's context": func(m *raftpb.Message) {
			m.Type, m.Term, m.Entries = raftpb.MsgReadIndex.Enum(), nil, []*raftpb.Entry{{Data: []byte("1")}}
		},
		"a read of nothing": func(m *raftpb.Message) {
			m.Type, m.Term, m.Entries = raftpb.MsgReadIndex.Enum(), nil, nil
		},
		"a vote for a transfer that isn't": func(m *raftpb.Message) {
			m.Type, m.Entries, m.Context = raftpb.MsgVote.Enum(), nil, []byte("Campaign")
		},
	} {
		r := sound()
		change(r)
		m, err := encode(testShard, r)
		if err != nil {
			t.Fatal(err)
		}
		m.From, m.To = 1, 2
		got, err := m.decode()
		if name == "" {
			if err != nil || !proto.Equal(got, r) {
				t.Errorf("a sound message: got %v, %v", got, err)
			}
		} else if !errors.Is(err, holdfast.Invalid) {
			t.Errorf("%s: got %v; want Invalid", name, err)
		}
	}
	// Of the kinds that Raft's node makes for itself, or that this version doesn't send, none is
	// taken.
	for kind := range raftpb.MessageType_name {
		r := sound()
		r.Type = raftpb.MessageType(kind).Enum()
		for _, entries := range [][]*raftpb.Entry{nil, r.Entries, {{Data: make([]byte, contextBytes)}}} {
			for _, term := range []*uint64{nil, r.Term} {
				r.Entries, r.Term = entries, term
				m, _ := encode(testShard, r)
				_, err := m.decode()
				if int(kind) < len(sent) && sent[kind] {
					continue
				}
				if !errors.Is(err, holdfast.Invalid) {
					t.Errorf("%v: got %v; want Invalid", r.GetType(), err)
				}
			}
		}
	}
	m := Message{From: 1, To: 2, Body: []byte{0xff, 1, 2}}
	if _, err := m.decode(); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("no message: got %v; want Invalid", err)
	}
}

// What a member says that has lost its disk, or says to one that has, is refused.
func TestImplausibleMessages(t *testing.T) {
	c := newCluster(t, 1, 3)
	leader := c.elect()
	c.propose(leader, "a")
	c.settle()
	follower := c.members[c.other(leader)]
	for name, m := range map[string]*raftpb.Message{
		"more of the log than there is": {
			Type: raftpb.MsgAppResp.Enum(), To: &leader.id, From: &follower.id, Index: new(leader.last + 1),
		},
		"an answer to what wasn't asked": {
			Type: raftpb.MsgHeartbeatResp.Enum(), To: &leader.id, From: &follower.id, Context: []byte{9, 7: 0},
		},
	} {
		m.Term = new(leader.term)
		if err := c.members[m.GetTo()].step([]*raftpb.Message{m}); !errors.Is(err, holdfast.Invalid) {
			t.Errorf("%s: got %v; want Invalid", name, err)
		}
	}
}

// A message may shorten the log. What comes with it is compared with the log as it is then.
func TestImplausibleAfterItsPredecessor(t *testing.T) {
	c := newCluster(t, 1, 3)
	old := c.elect()
	c.isolate(old.id, true)
	for range 5 {
		c.propose(old, "a")
	}
	from, term, last := new(c.other(old)), new(old.term+1), old.last
	err := old.step([]*raftpb.Message{
		{
			Type: raftpb.MsgApp.Enum(), From: from, To: &old.id, Term: term,
			Index: new(old.commit), LogTerm: new(old.term),
			Entries: []*raftpb.Entry{{Index: new(old.commit + 1), Term: term}},
		},
		{Type: raftpb.MsgHeartbeat.Enum(), From: from, To: &old.id, Term: term, Commit: &last},
	})
	if err != nil || !old.outdated.self || old.last >= last {
		t.Errorf("got %v, %t, and a log up to %d of %d; want that it is outdated, and a shorter one", err,
			old.outdated.self, old.last, last)
	}
}

// A mutator changes messages by the bytes that a fuzzer gives it.
type mutator struct{ rest []byte }

func (x *mutator) next() byte {
	if len(x.rest) == 0 {
		return 0
	}
	b := x.rest[0]
	x.rest = x.rest[1:]
	return b
}

// number returns a number that is likely to lead somewhere.
func (x *mutator) number(m *member) *uint64 {
	near := []uint64{0, 1, m.term, m.last, m.commit, m.applied, m.log.first, m.position, maxNumber, 1 << 63, ^uint64(0)}
	n := near[int(x.next())%len(near)] + uint64(x.next()%5) - 2
	return &n
}

func (x *mutator) change(m *raftpb.Message, c *cluster) {
	of := c.members[c.ids[int(x.next())%len(c.ids)]]
	switch x.next() % 14 {
	case 0:
		m.Type = raftpb.MessageType(x.next() % 24).Enum()
	case 1:
		m.Term = x.number(of)
	case 2:
		m.LogTerm = x.number(of)
	case 3:
		m.Index = x.number(of)
	case 4:
		m.Commit = x.number(of)
	case 5:
		m.Reject = new(x.next()%2 == 0)
	case 6:
		m.RejectHint = x.number(of)
	case 7:
		m.Context = x.bytes()
	case 8:
		m.Entries = m.Entries[:len(m.Entries)*int(x.next()%2)]
	case 9:
		m.Entries = append(m.Entries, &raftpb.Entry{Index: x.number(of), Term: x.number(of), Data: x.bytes()})
	case 10:
		next := m.GetIndex()
		for _, e := range m.Entries { // one after the other
			next++
			e.Index, e.Term = new(next), x.number(of)
		}
	case 11:
		m.Entries = []*raftpb.Entry{{Data: make([]byte, contextBytes)}}
	case 12:
		m.Context = make([]byte, positionBytes)
		m.Context[0] = x.next()
	case 13:
		m.From, m.To = new(uint64(x.next()%5)), new(uint64(x.next()%5))
	}
}

func (x *mutator) bytes() []byte {
	n := min(int(x.next()%20), len(x.rest))
	b := x.rest[:n]
	x.rest = x.rest[n:]
	return b
}

// Whatever other nodes send, no replica panics, and the group stays a group: at most one leads in a
// term, as long as nobody lies in a well-formed way. (The members of a group trust each other, and
// checks of a message's form can't replace that.)
func FuzzReceive(f *testing.F) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 3))
		raw := make([]byte, 400)
		for i := range raw {
			raw[i] = byte(rng.Uint32())
		}
		f.Add(seed, raw)
	}
	f.Fuzz(fuzzOne)
}

func fuzzOne(t *testing.T, seed uint64, raw []byte) {
	c := newCluster(t, seed, 3)
	leader := c.elect()
	for range 5 {
		c.propose(leader, "a")
		c.read(leader)
		c.read(c.members[c.other(leader)])
	}
	for range seed % 40 {
		if len(c.network) > 0 {
			c.deliver(0)
		}
		m := c.members[c.ids[c.rng.IntN(3)]]
		_, _ = c.store(m), c.apply(m)
	}
	x := &mutator{raw}
	for len(x.rest) > 0 {
		c.receiveMutated(x)
	}
}

// receiveMutated has a member get a changed message, or bytes that are none.
func (c *cluster) receiveMutated(x *mutator) {
	which := int(x.next())
	if len(c.network) == 0 {
		c.tick()
		if len(c.network) == 0 {
			return
		}
	}
	message := c.network[which%len(c.network)]
	if x.next()%8 == 0 {
		message.Body = slices.Clone(message.Body)
		for range x.next() % 4 {
			message.Body[int(x.next())%len(message.Body)] = x.next()
		}
	} else if m, err := message.decode(); err == nil {
		for range x.next() % 4 {
			x.change(m, c)
		}
		message, _ = encode(message.Shard, m)
	}
	to, from := c.members[uint64(message.To)], c.members[uint64(message.From)]
	if to != nil && from != nil && to != from {
		if m, err := message.decode(); err == nil {
			_ = to.step([]*raftpb.Message{m})
			c.carryOut(to)
		}
	}
	m := c.members[c.ids[int(x.next())%len(c.ids)]]
	switch x.next() % 4 {
	case 0:
		c.store(m)
	case 1:
		c.apply(m)
	case 2:
		m.tick(false)
		c.carryOut(m)
	default:
		if len(c.network) > 0 {
			_ = c.forward(0)
		}
	}
}

// forward delivers a message that a member has sent, after it was told untruths.
func (c *cluster) forward(i int) error {
	message := c.network[i]
	c.network = slices.Delete(c.network, i, i+1)
	m, err := message.decode()
	if err != nil {
		return err
	}
	to := c.members[uint64(message.To)]
	err = to.step([]*raftpb.Message{m})
	c.carryOut(to)
	return err
}
