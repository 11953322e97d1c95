package group

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"holdfast"
	"holdfast/shard"
)

// A Replica is one replica of a group, on this node. Its methods may be called concurrently.
type Replica struct {
	host     *Host
	id       holdfast.ShardID
	salt     uint32 // of the core
	of       *shard.Shard
	shard    shard.Replica // likewise, as its group sees it
	log      *shard.GroupLog
	leads    atomic.Uint64 // the term in which the replica leads, see core.lead; 0: it doesn't
	leader   atomic.Uint64 // the node that leads; 0: none is known
	removed  atomic.Bool   // this node isn't a member any more
	stopping atomic.Bool   // nothing more is written or applied, see Host.Stop
	ended    chan struct{} // closed when nothing steps the replica any more
	members  atomic.Pointer[Members]

	base      atomic.Uint64 // index of the last snapshot that Raft has taken, see core.base
	exchange  turn          // of whoever changes what the shard has: applies entries, or installs a snapshot
	receiving atomic.Bool   // a snapshot
	outgoing  outgoing

	mu   sync.Mutex // guards core
	core *core

	// Only the goroutine that steps replicas uses these.
	inbox    inbox
	over     bool              // ended is closed
	listed   bool              // among ticking.awake
	known    bool              // to ticking
	outdated []holdfast.NodeID // the members that were reported to be so
}

// Lead returns the term in which this replica leads its group, once all that was committed in
// former terms is applied here. The error is NotLeader.
//
// Another replica may lead in a later term by the time that Lead returns: Propose finds that out,
// and a reader must call Read.
func (r *Replica) Lead() (term uint64, err error) {
	if term = r.leads.Load(); term != 0 {
		return term, nil
	}
	return 0, errNotLeader(r.id, r.leader.Load())
}

// LeadsIn reports whether this replica leads, and its transactions are of that term.
func (r *Replica) LeadsIn(term uint64) bool {
	raft := r.leads.Load()
	return raft != 0 && holdfast.GroupTerm(raft, r.salt) == term
}

// Leader returns the node that leads the group, as far as this replica knows; 0: none is known.
func (r *Replica) Leader() holdfast.NodeID { return holdfast.NodeID(r.leader.Load()) }

// Propose has the group commit an entry that was decided while this replica led in a term. Its
// proposer gets the outcome as soon as that is certain: once the entry is applied here, and on as
// many disks as the proposal asks for; or when the replica or the host is stopped.
//
// The error, here or of the outcome, is NotLeader, Refused or Overloaded if the entry isn't committed
// and never will be: another replica leads, the term has ended, too few replicas are up for what the
// proposal asks for, or too much waits. The outcome is Unavailable if the replica or the host is
// stopped first, or if the entry isn't known to be on enough disks when one of them is down or this
// replica has ceased to lead.
func (r *Replica) Propose(x shard.Proposal) error {
	h, bytes := r.host, int64(len(x.Raw))
	if h.proposed.Add(bytes) > h.o.MaxProposalBytes {
		h.proposed.Add(-bytes)
		return holdfast.Errorf(holdfast.Overloaded, "nothing was changed: too many writes wait to be replicated")
	}
	p := &proposal{term: x.Term, raw: x.Raw, ack: x.Acknowledge, to: x.Proposer, bytes: &h.proposed}
	if !h.inputs.put(input{replica: r, proposal: p}) {
		h.proposed.Add(-bytes)
		return errStopped()
	}
	return nil
}

// Read returns when this replica has applied all that was acknowledged before the call, by whatever
// replica. Until ctx ends it asks the leader for that, which asks a majority whether it leads. The
// error is Overloaded when ctx ends, or if too many reads wait, and Closed if the replica or the
// host is stopped.
func (r *Replica) Read(ctx context.Context) error {
	h := r.host
	defer h.reading.Add(-1)
	if h.reading.Add(1) > int64(h.o.MaxReads) {
		return holdfast.Errorf(holdfast.Overloaded, "too many reads wait for their leaders")
	}
	x := &read{done: make(chan error, 1)}
	if !h.inputs.put(input{replica: r, read: x}) {
		return holdfast.Errorf(holdfast.Closed, "this node is stopping")
	}
	select {
	case err := <-x.done:
		return err
	case <-ctx.Done():
		x.gone.Store(true)
		return holdfast.Errorf(holdfast.Overloaded, "no leader of shard %d has answered a consistent read in time: %w",
			r.id, ctx.Err())
	}
}

// Status returns how the replica sees its group.
func (r *Replica) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.core.status()
}

// Asleep reports whether the group has nothing to do: then the replica stays as its Status was when it
// fell asleep.
func (r *Replica) Asleep() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.core.sleeping.asleep
}

// Members returns who takes part in the group, as far as this replica knows, and whether this node
// was removed: then the replica does nothing any more, and the owner of its shard stops it.
func (r *Replica) Members() (m *Members, removed bool) { return r.members.Load(), r.removed.Load() }

// Change changes the members of the group, if this replica leads it. It returns once the change is
// applied here, at this replica. A leader changes one thing at a time, so whoever replaces a member
// adds a learner, has its replica join, and promotes it and removes the other when it has caught
// up.
//
// The error is Unavailable if the outcome isn't known when ctx ends or the replica is stopped:
// Members then tells, sooner or later. With any other error nothing was changed and nothing will
// be: it is NotLeader, or Refused if another change is under way, a learner hasn't caught up, or
// too few of the voters that there would be answer for a majority; these may be tried again. It is
// Exists or NotFound if the members are as they would be already, and Invalid if there can't be
// such a change: also if it adds a node that was a member before.
func (r *Replica) Change(ctx context.Context, c Change) error {
	x := &changing{Change: c, done: make(chan error, 1)}
	if !r.host.inputs.put(input{replica: r, change: x}) {
		return errStopped()
	}
	select {
	case err := <-x.done:
		r.mu.Lock() // Members shows it when the step has ended that has made it
		defer r.mu.Unlock()
		return err
	case <-ctx.Done():
		return errChangeUnknown(r.id)
	}
}

// Transfer asks the replica, if it leads, to hand its leadership over to a voter.
func (r *Replica) Transfer(to holdfast.NodeID) {
	r.host.inputs.put(input{replica: r, transfer: to})
}

// Campaign has the replica campaign at once, rather than when it hasn't heard from a leader for an
// election's time, unless it knows a leader. It may be called again and again until there is one,
// as for a new group, of which the other members may not have started yet.
func (r *Replica) Campaign() { r.host.inputs.put(input{replica: r, campaign: true}) }

// work gives the core what has come in, and returns what follows from it. What other members say
// comes before a tick: a node that stood still for a while has heard from its leader meanwhile.
func (r *Replica) work() (out effects, err error) {
	if r.over || r.inbox.stop {
		r.close()
		return effects{}, nil
	}
	in := r.inbox
	// If it comes to that, close ends these.
	r.inbox = inbox{proposals: in.proposals, reads: in.reads, changes: in.changes, snapshots: in.snapshots}
	defer func() {
		switch caught := recover().(type) {
		case nil:
		case diskError:
			err = caught.error
		default:
			panic(caught)
		}
	}()
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.core
	c.stored(in.stored)
	c.stepApplied(in.applied)
	if err := c.step(in.messages); err != nil {
		r.host.o.Log.Warn("messages were dropped", "shard", r.id, "err", err)
	}
	if in.members != nil {
		in.members.tell(c)
	}
	r.inbox.snapshots = nil
	for _, x := range in.snapshots {
		x.restore(c)
	}
	for _, x := range in.reports {
		c.sendings.end(c, x)
	}
	for _, n := range in.notes {
		n.tell(c)
	}
	if in.review {
		c.sleeping.review(c)
	}
	if in.ticked {
		c.tick(in.stalled)
	}
	if in.handOver > 0 {
		handOver(c, in.handOver)
	}
	if in.transfer != 0 {
		c.transfer(uint64(in.transfer))
	}
	if in.campaign {
		c.campaign()
	}
	r.inbox.changes = nil
	for _, x := range in.changes {
		x.propose(c)
	}
	r.inbox.proposals = nil
	c.propose(in.proposals)
	r.inbox.reads = nil
	c.read(in.reads)
	r.publish()
	return c.take(), nil
}

// publish shows whether the replica leads, what leads, and who the members are. A reader of
// Host.Changed sees that after its next element: one is put after the change, or is still there, so
// that it is taken after the change.
func (r *Replica) publish() {
	c := r.core
	r.base.Store(c.base)
	term := c.lead()
	led := r.leads.Swap(term)
	if led != term {
		r.host.o.Log.Debug("leadership", "shard", r.id, "leads", term != 0, "term", c.term)
	}
	if now := c.outdated.members(c.node); !slices.Equal(now, r.outdated) {
		if r.outdated = now; len(now) > 0 {
			r.host.o.Log.Error("members of a group lack what they have acknowledged: their directories were put back "+
				"from older copies, or their disks lose what was synced", "shard", r.id, "nodes", now)
		}
	}
	leader, self := r.leader.Swap(c.leader), uint64(r.host.o.Node)
	same := leader == c.leader && led == term
	if leader != self && c.leader == self {
		r.host.leading.Add(1)
	} else if leader == self && c.leader != self {
		r.host.leading.Add(-1)
	}
	if r.members.Swap(c.members) != c.members || r.removed.Swap(c.removed) != c.removed {
		same, r.known = false, false
		r.host.o.Log.Info("members", "shard", r.id, "voters", c.members.Voters, "learners", c.members.Learners,
			"outgoing", c.members.Outgoing, "removed", c.removed)
	}
	if same {
		return
	}
	announce(r.host)
}

// close ends all waits of the replica, and those that have come in since it was called before.
// Nothing steps the replica any more.
func (r *Replica) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := r.inbox
	r.inbox = inbox{}
	r.core.close()
	r.publish()
	for _, p := range in.proposals {
		p.end(holdfast.TxID{}, errStopped())
	}
	for _, x := range in.changes {
		x.done <- errStopped()
	}
	for _, x := range in.snapshots {
		x.end(errStopped())
	}
	for _, x := range in.reads {
		x.done <- holdfast.Errorf(holdfast.Closed, "the replica on this node stopped")
	}
	if !r.over {
		r.over = true
		close(r.ended)
	}
}

func errStopped() error {
	return holdfast.Errorf(holdfast.Refused, "nothing was changed: the replica on this node stopped")
}
