package group

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"
	"sync/atomic"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"holdfast"
)

// A core is a replica without clock, network, disk and goroutines: it is given what happens, and
// makes of it effects, which are the host's to carry out. It isn't safe for concurrent use.
type core struct {
	shard   holdfast.ShardID
	node    uint64
	members *Members // as of the entries that are applied here, or of later ones
	removed bool     // this node was a member, and isn't any more
	log     *storage
	raft    *raft.RawNode

	// What Raft says, as of the last call of collect.
	term   uint64
	commit uint64
	leader uint64 // 0: none is known
	last   uint64 // index of the last entry of Raft's log
	began  uint64 // index of the first entry of the term, if this replica leads; 0: it doesn't
	salt   uint32 // of the terms in which this replica leads, until it ends; random

	applied  uint64 // index of the last entry that is applied
	effect   uint64 // of those, the last that the shard had to apply
	base     uint64 // index of the last snapshot that Raft has taken; greater than applied until it is installed
	position uint64 // the greatest in the heartbeats that this replica sent as leader of the term

	retention retention
	sendings  sendings
	restoring *received // that Raft is given; nil: none is

	proposals proposals
	change    *changing // nil: none is on its way from here
	reads     reads
	outdated  outdated
	sleeping  sleeping
	ticks     int
	hearing   hearing
	stalled   bool // the disk hangs
	hesitant  *atomic.Bool
	out       effects
}

// effects are what the host has to do for a replica, in the order of the fields of a slice; those
// of different fields may be done at once.
type effects struct {
	send  []*raftpb.Message // to other members, at once
	notes []Message         // likewise, behind those
	// store are what is to be written. After a sync, and in their order, their responses go to the
	// members that they name, or come back to this one by stored.
	store []*raftpb.Message
	// apply are entries to apply. Their responses come back by stepApplied. It needn't be on disk
	// then.
	apply []*raftpb.Message
	trim  uint64 // the entries before this index are to be removed, if there are any; see storage.trim

	snapshots []snapshotTo // to be sent
	received  *received    // of the message in store that has a snapshot; nil: none has
}

// limits are those of a group.
type limits struct {
	electionTicks, heartbeatTicks int
	inflightBytes                 uint64
	logBytes                      uint64
	awayTicks                     int
	sleepTicks                    int // see sleeping
	nodes                         *neighbours
	hesitant                      *atomic.Bool // nil: never; see Host.Hesitate
}

const (
	maxAppendBytes = 256 << 10 // of entries in a message, but for one that alone is longer
	maxAppends     = 128       // messages with entries on their way to a member
	maxApplyBytes  = 4 << 20   // of entries that are being applied
	trimTicks      = 10        // between two trims of a log
)

// newCore returns the core of a replica. applied is the last entry that its shard has applied.
func newCore(
	shard holdfast.ShardID, node uint64, log *storage, applied uint64, l limits, logger raft.Logger,
) (*core, error) {
	m := log.members
	removed := m.hasRemoved(holdfast.NodeID(node))
	if !removed && !m.Has(holdfast.NodeID(node)) {
		return nil, holdfast.Errorf(holdfast.Corrupt, "node %d isn't one of the members %v of the group of shard %d",
			node, m.Voters, shard)
	}
	c := &core{shard: shard, node: node, members: m, removed: removed, log: log, applied: applied, effect: applied,
		last: log.last, term: log.is.term, commit: log.is.commit, proposals: proposals{shard: shard},
		hearing: newHearing(l.electionTicks), sleeping: newSleeping(&l), hesitant: l.hesitant,
		retention: retention{maxBytes: l.logBytes, awayTicks: l.awayTicks, every: trimTicks}}
	_, _ = rand.Read(c.reads.life[:]) // never fails
	c.salt = binary.BigEndian.Uint32(c.reads.life[:]) >> (32 - holdfast.SaltBits)
	var err error
	c.raft, err = raft.NewRawNode(&raft.Config{
		ID: node, Storage: log, Applied: applied, AsyncStorageWrites: true,
		ElectionTick: l.electionTicks, HeartbeatTick: l.heartbeatTicks, PreVote: true, CheckQuorum: true,
		MaxSizePerMsg: maxAppendBytes, MaxInflightMsgs: maxAppends, MaxInflightBytes: l.inflightBytes,
		MaxCommittedSizePerReady: maxApplyBytes, MaxUncommittedEntriesSize: 4 * l.inflightBytes,
		ReadOnlyOption: raft.ReadOnlySafe, DisableProposalForwarding: true, StepDownOnRemoval: true,
		Logger: logger,
	})
	return c, err
}

// lead returns the term in which the replica leads, once all of former terms is applied; 0: it
// doesn't. That a majority follows it doesn't mean that it has applied all that is committed:
// former leaders have committed entries that it only knows to be in its log. They are committed
// with the first entry of its own term, if not before, and applied before that.
func (c *core) lead() uint64 {
	if c.began == 0 || c.applied < c.began {
		return 0
	}
	return c.term
}

// step takes messages of other members. The error is Invalid, for the first that can't be true.
func (c *core) step(messages []*raftpb.Message) error {
	var faults []error
	for _, m := range messages {
		if err := c.plausible(m); err != nil {
			faults = append(faults, err)
			continue
		}
		if c.isOutdated(m) {
			continue
		}
		if (c.stalled || c.sleeping.nodes.full) && m.GetType() == raftpb.MsgTimeoutNow {
			continue // it couldn't write what a leader has to
		}
		if c.isStray(m) || c.isEarly(m) {
			continue
		}
		c.sleeping.heed(c, m)
		if m.GetTerm() >= c.term {
			c.hearing.hear(m.GetFrom(), c.ticks)
		}
		_ = c.raft.Step(m) // says that a member isn't one, which decode has excluded
		switch m.GetType() {
		case raftpb.MsgAppResp, raftpb.MsgHeartbeatResp, raftpb.MsgReadIndex:
		default:
			c.collect() // it may have changed what is plausible
		}
	}
	c.collect()
	return errors.Join(faults...)
}

// isStray reports whether a message says nothing but that there is a term in which this replica
// leads. That is what a member answers to one of a former term, so that who leads in that knows. If
// that was this replica, too, Raft would take the answer for one to the probe that it has out, and
// would begin again with the first entry there ever was, which has been removed.
func (c *core) isStray(m *raftpb.Message) bool {
	return m.GetType() == raftpb.MsgAppResp && c.began != 0 && m.GetTerm() == c.term && m.GetIndex() == 0 &&
		!m.GetReject()
}

// plausible returns an error if a message says what no member can say as things are here: Raft
// would panic. They are what a member would say of which, or which itself, has lost its disk.
func (c *core) plausible(m *raftpb.Message) error {
	leads := c.began != 0 && m.GetTerm() == c.term
	switch m.GetType() {
	case raftpb.MsgAppResp:
		if leads && !m.GetReject() && m.GetIndex() > c.last {
			return errMessage(m, "it has more of the log than its leader")
		}
	case raftpb.MsgHeartbeatResp:
		if leads && len(m.GetContext()) > 0 && binary.LittleEndian.Uint64(m.GetContext()) > c.position {
			return errMessage(m, "it answers what wasn't asked")
		}
	}
	return nil
}

// isOutdated reports whether a message shows that a member, which may be this one, lacks what it
// has acknowledged. Raft would panic, or never end.
func (c *core) isOutdated(m *raftpb.Message) bool {
	switch {
	case m.GetType() == raftpb.MsgHeartbeat && m.GetTerm() >= c.term:
		outdated := c.outdated.beat(m.GetCommit(), c.last)
		if outdated {
			c.out.send = append(c.out.send, &raftpb.Message{
				Type: raftpb.MsgAppResp.Enum(), From: new(c.node), To: new(m.GetFrom()), Term: new(m.GetTerm()),
				Index: new(m.GetCommit()), Reject: new(true), RejectHint: new(c.last),
			})
		}
		return outdated
	case c.began != 0 && m.GetTerm() == c.term:
		return c.outdated.hear(m, c.raft)
	}
	return false
}

// stored takes the responses to what was written for the replica.
func (c *core) stored(responses []*raftpb.Message) {
	for _, m := range responses {
		if m.GetSnapshot() != nil {
			installed(c, m.GetSnapshot().GetMetadata().GetIndex())
		}
		_ = c.raft.Step(m)
	}
	c.collect()
}

// stepApplied takes the responses to entries that were applied. Those that a snapshot has were
// passed over.
func (c *core) stepApplied(responses []*raftpb.Message) {
	for _, m := range responses {
		for _, e := range m.GetEntries() {
			if e.GetIndex() <= c.base {
				continue
			}
			c.applied = e.GetIndex()
			if changesMembers(e) {
				c.applyChange(e)
			} else {
				unneeded, raw, _ := parseEntry(e.GetData())
				c.retention.learn(unneeded)
				if raw != nil {
					c.effect = c.applied
				}
			}
			c.proposals.applied(e)
			c.change.decide(c, e.GetTerm(), c.applied)
		}
		_ = c.raft.Step(m)
	}
	c.reads.applied(c.applied)
	c.collect()
	if c.began == 0 {
		c.log.forget(c.applied) // as a leader, the members may need it
	}
}

// tick is called in equal intervals. stalled says that the disk has hung for an election's time:
// then the replica leaves its leadership to another, and doesn't campaign. Nor does one that was
// removed.
func (c *core) tick(stalled bool) {
	c.stalled = stalled
	if c.sleeping.rest(c) {
		return
	}
	if !stalled && !c.removed && !hesitates(c) || c.began != 0 {
		c.raft.Tick()
	}
	c.collect()
	c.listen()
	if stalled {
		c.transfer(c.successor())
	}
	if c.reads.tick() {
		c.ask()
		c.collect()
	}
	c.sendings.tick(c)
	trim := c.retention.trim(c)
	if c.ticks++; c.ticks%c.retention.every == 0 {
		if first, _ := c.log.FirstIndex(); trim > first {
			c.out.trim = trim
		}
	}
	c.sleeping.speak(c)
}

// onDisk returns up to where a member is known to have the log on disk, if this replica leads. Of
// its own log, Raft takes for granted that all was written before it became the leader, until it
// hears that something of its own term was.
func (c *core) onDisk(id uint64, p tracker.Progress) uint64 {
	if id == c.node && p.Match < c.began {
		return 0
	}
	return p.Match
}

// successor returns the voter that has most of the log of those that answer; 0: none does.
func (c *core) successor() (id uint64) {
	most := uint64(0)
	c.raft.WithProgress(func(member uint64, kind raft.ProgressType, p tracker.Progress) {
		if kind == raft.ProgressTypePeer && member != c.node && p.RecentActive && p.Match > most {
			id, most = member, p.Match
		}
	})
	return id
}

// propose puts entries into the log.
func (c *core) propose(all []*proposal) {
	m := &raftpb.Message{Type: raftpb.MsgProp.Enum(), From: new(c.node)}
	if c.began != 0 && len(all) > 0 {
		c.sleeping.wake(c)
		c.retention.measure(c)
	}
	for _, p := range all {
		if err := c.refuse(p); err != nil {
			p.end(holdfast.TxID{}, err)
			continue
		}
		c.proposals.placing = append(c.proposals.placing, p)
		m.Entries = append(m.Entries, &raftpb.Entry{Data: newEntry(c.salt, c.retention.unneeded, p.raw)})
	}
	if len(m.Entries) == 0 {
		return
	}
	if err := c.raft.Step(m); err != nil {
		refusal := holdfast.Errorf(holdfast.Overloaded,
			"nothing was changed: too many entries of shard %d aren't committed yet", c.shard)
		if c.raft.BasicStatus().LeadTransferee != 0 {
			refusal = holdfast.Errorf(holdfast.NotLeader,
				"nothing was changed: another node is about to lead shard %d", c.shard)
		}
		c.proposals.refuse(refusal)
	}
	c.collect()
}

// refuse returns an error if a proposal can't be put into the log.
func (c *core) refuse(p *proposal) error {
	switch {
	case c.began == 0:
		return errNotLeader(c.shard, c.leader)
	case p.term != c.term:
		return errReplaced(c.shard, p.term)
	}
	if err := c.proposals.acks.refuse(c, p.ack); err != nil {
		return err
	}
	return p.to.Stands()
}

// read adds reads.
func (c *core) read(all []*read) {
	if len(all) > 0 {
		c.sleeping.wake(c)
	}
	for _, r := range all {
		r.began = c.ticks
		c.reads.add(r)
	}
	c.collect()
}

// ask asks the leader, if there is one, up to where the log is committed. A leader that hasn't
// committed an entry of its own term doesn't know. Raft says so too, but not if there is one
// member.
func (c *core) ask() {
	if c.leader == 0 || c.began != 0 && c.commit < c.began {
		return
	}
	c.raft.ReadIndex(c.reads.ask())
}

// transfer asks a voter to campaign, if this replica leads.
func (c *core) transfer(to uint64) {
	if c.began != 0 && to != c.node && slices.Contains(c.members.Voters, holdfast.NodeID(to)) {
		c.sleeping.wake(c)
		c.raft.TransferLeader(to)
		c.collect()
	}
}

// campaign has the replica campaign, unless it knows a leader. Nor does it begin again while it
// waits for votes, which would no longer count: if they don't come, it tries again as it would by
// itself. Before those it asks for pre-votes, which count for a later attempt, too.
func (c *core) campaign() {
	if c.leader == 0 && !c.stalled && !c.removed && c.raft.BasicStatus().RaftState != raft.StateCandidate {
		_ = c.raft.Campaign() // never fails
		c.collect()
	}
}

// collect takes what Raft has made of what it was given. It is called after each change, so that
// proposals are given their places before anything can replace them.
func (c *core) collect() {
	for {
		if c.reads.idle() {
			c.ask()
		}
		if !c.raft.HasReady() {
			c.proposals.acks.settle(c)
			return
		}
		ready := c.raft.Ready()
		if ready.HardState != nil {
			c.term, c.commit = ready.HardState.GetTerm(), ready.HardState.GetCommit()
		}
		if n := len(ready.Entries); n > 0 {
			c.last = ready.Entries[n-1].GetIndex()
		}
		if ready.Snapshot != nil {
			c.restoring.take(c)
		}
		if ready.SoftState != nil {
			c.lean(ready.SoftState, ready.Entries)
		}
		for _, e := range ready.Entries {
			if changesMembers(e) {
				c.change.place(e)
			} else if len(e.GetData()) > 0 {
				c.proposals.place(e.GetTerm(), e.GetIndex())
			}
		}
		for _, m := range ready.Messages {
			c.route(m)
		}
		for _, answered := range ready.ReadStates {
			c.reads.answer(answered.RequestCtx, c.proposals.acks.behind(c.term, answered.Index))
		}
		if len(ready.ReadStates) > 0 {
			c.reads.applied(c.applied)
		}
		if ready.SoftState != nil && len(c.reads.pending) > 0 {
			c.ask() // there may be another leader
		}
	}
}

// lean takes a change of leadership. entries are those that Raft has added to its log since collect
// was called before: a replica that has become leader adds one.
func (c *core) lean(soft *raft.SoftState, entries []*raftpb.Entry) {
	leads := soft.RaftState == raft.StateLeader
	c.hearing.turn(c.ticks, c.began != 0 && !leads, c.leader != 0 && soft.Lead == 0)
	c.leader, c.began, c.outdated.refusals, c.sendings.all = soft.Lead, 0, nil, nil
	if !leads {
		return
	}
	c.position = 0
	first := slices.IndexFunc(entries, func(e *raftpb.Entry) bool { return e.GetTerm() == c.term })
	c.began = entries[first].GetIndex()
}

// route puts a message of Raft among the effects.
func (c *core) route(m *raftpb.Message) {
	switch m.GetTo() {
	case raft.LocalAppendThread:
		c.out.store = append(c.out.store, m)
	case raft.LocalApplyThread:
		c.out.apply = append(c.out.apply, m)
	default:
		if m.GetType() == raftpb.MsgSnap {
			c.sendings.begin(c, m.GetTo())
			return
		}
		if m.GetType() == raftpb.MsgHeartbeat && len(m.GetContext()) == positionBytes {
			c.position = max(c.position, binary.LittleEndian.Uint64(m.GetContext()))
		}
		c.out.send = append(c.out.send, m)
	}
}

// take returns the effects since it was called before.
func (c *core) take() effects {
	out := c.out
	c.out = effects{}
	return out
}

// close ends the waits for outcomes that won't be known here. The replica leads no more, and knows
// of nothing that does.
func (c *core) close() {
	c.leader, c.began = 0, 0
	c.proposals.close()
	if c.change != nil {
		c.change.done <- errChangeUnknown(c.shard)
		c.change = nil
	}
	c.reads.close()
}

func errNotLeader(shard holdfast.ShardID, leader uint64) error {
	if leader == 0 {
		return holdfast.Errorf(holdfast.NotLeader, "nothing was changed: shard %d has no leader", shard)
	}
	return holdfast.Errorf(holdfast.NotLeader, "nothing was changed: node %d leads shard %d", leader, shard)
}

// A Status is how a replica sees its group.
type Status struct {
	Term      uint64
	Leader    holdfast.NodeID // 0: none is known
	Applied   uint64          // index of the last entry that this replica has applied
	Committed uint64          // index of the last entry that it knows to be committed

	// Outdated are the members that are known to lack what they have acknowledged, by rising ID.
	// The leader knows it of others, and each member of itself.
	Outdated []holdfast.NodeID

	LogBytes uint64 // that the entries of the log have, about

	Members *Members
	Removed bool // this node was a member, and isn't any more
	Asleep  bool // the group has nothing to do, so that this replica doesn't tick

	// Match is up to where each voter is known to have the log on disk, and Learning each learner,
	// which counts for no acknowledgement. Only the leader knows.
	Match, Learning map[holdfast.NodeID]uint64
}

// status returns how the replica sees its group.
func (c *core) status() Status {
	s := Status{Term: c.term, Leader: holdfast.NodeID(c.leader), Applied: c.applied, Committed: c.commit,
		Members: c.members, Removed: c.removed, Outdated: c.outdated.members(c.node), LogBytes: c.log.size(),
		Asleep: c.sleeping.asleep}
	if c.began != 0 {
		s.Match, s.Learning = map[holdfast.NodeID]uint64{}, map[holdfast.NodeID]uint64{}
		c.raft.WithProgress(func(id uint64, kind raft.ProgressType, p tracker.Progress) {
			of := s.Match
			if kind == raft.ProgressTypeLearner {
				of = s.Learning
			}
			of[holdfast.NodeID(id)] = c.onDisk(id, p)
		})
	}
	return s
}
