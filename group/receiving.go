package group

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"holdfast"
	"holdfast/shard"
)

// SnapshotCounts are what became of the snapshots that a host has sent and received since its start.
type SnapshotCounts struct {
	Sent, Failed, SentBytes uint64 // those that were installed elsewhere; those that weren't; bytes of their parts

	// Those that were installed here; those that were broken, late, wrong or too many; bytes of parts.
	Received, Refused, ReceivedBytes uint64

	Sending, Receiving int // at the moment
}

// A received is a snapshot whose parts have arrived.
type received struct {
	message  *raftpb.Message // MsgSnap, without data
	members  *Members        // as of the snapshot, or of entries behind it
	receiver *shard.Receiver // that has the parts; nil: there are none, or nothing is to be installed
	whole    bool            // the parts are there; otherwise the replica has what the snapshot has
	done     chan error      // gets the outcome; has space for it
}

// end says what has become of the snapshot.
func (x *received) end(err error) {
	if x.receiver != nil {
		x.receiver.Close()
	}
	x.done <- err
}

func (x *received) index() uint64 { return x.message.GetSnapshot().GetMetadata().GetIndex() }

// restore gives Raft the message of a snapshot whose parts are there. If Raft takes it, it is in the
// effects, to be installed. Raft takes none of a former term, and none of which it has all that is
// committed: then it says so to the leader.
func (x *received) restore(c *core) {
	switch {
	case x.message.GetTerm() < c.term:
		x.end(holdfast.Errorf(holdfast.Refused, "the snapshot is of term %d; this is term %d", x.message.GetTerm(),
			c.term))
		return
	case c.removed || c.applied < c.base || !x.whole && x.index() > c.commit:
		x.end(holdfast.Errorf(holdfast.Refused, "the replica of shard %d can't take a snapshot now", c.shard))
		return
	}
	c.sleeping.wake(c)
	c.hearing.hear(x.message.GetFrom(), c.ticks)
	c.restoring = x
	_ = c.raft.Step(x.message)
	c.collect()
	if c.restoring == x {
		c.restoring = nil
		x.end(errNotNeeded(c.shard, x.index()))
	}
}

func errNotNeeded(shard holdfast.ShardID, index uint64) error {
	return holdfast.Errorf(holdfast.Exists, "the replica of shard %d has what the snapshot as of entry %d has", shard,
		index)
}

// take takes the snapshot since Raft has taken it, and switched to its members: what is in the log
// before its end isn't applied any more.
func (x *received) take(c *core) {
	c.restoring, c.out.received = nil, x
	c.base, c.last, c.members = x.index(), x.index(), x.members
}

// installed is called when the snapshot as of an index is in place of what the replica had. What has
// become of its own proposals up to there isn't known any more.
func installed(c *core, index uint64) {
	c.applied, c.effect = index, index
	c.proposals.pass(index, c.node)
	if x := c.change; x != nil && x.index != 0 && x.index <= index {
		c.change = nil
		x.done <- errChangeUnknown(c.shard)
	}
	c.reads.applied(index)
	c.log.forget(index)
}

// Snapshots are what a host knows of those that it sends and receives.
type snapshots struct {
	receiving chan struct{} // has an element for each that is being received

	sent, failed, sentBytes          atomic.Uint64
	received, refused, receivedBytes atomic.Uint64
}

// Snapshots returns what became of the snapshots.
func (h *Host) Snapshots() SnapshotCounts {
	s := &h.snapshots
	return SnapshotCounts{
		Sent: s.sent.Load(), Failed: s.failed.Load(), SentBytes: s.sentBytes.Load(),
		Received: s.received.Load(), Refused: s.refused.Load(), ReceivedBytes: s.receivedBytes.Load(),
		Sending: len(h.sender.places), Receiving: len(s.receiving),
	}
}

// ReceiveSnapshot takes a snapshot that a leader sends by Options.Stream: m is its message, and next
// returns its parts, one after the other, and io.EOF behind the last. It returns when the snapshot is
// installed, and on disk. With any error it isn't, and nothing of it is left, unless ctx has ended
// after the last part: then the outcome isn't known. The error is Exists if the replica has all that
// the snapshot has; Overloaded if too many are being received; NotFound, Invalid and Refused as those
// of Receive, and Refused if the snapshot is of a former leader.
func (h *Host) ReceiveSnapshot(ctx context.Context, m Message, next func() ([]byte, error)) error {
	err := receiveSnapshot(ctx, h, &m, next)
	switch {
	case err == nil:
		h.snapshots.received.Add(1)
		h.o.Log.Info("a snapshot was installed", "shard", m.Shard, "from", m.From)
	case errors.Is(err, holdfast.Exists):
	default:
		h.snapshots.refused.Add(1)
		h.o.Log.Warn("a snapshot was refused", "shard", m.Shard, "from", m.From, "err", err)
	}
	return err
}

func receiveSnapshot(ctx context.Context, h *Host, m *Message, next func() ([]byte, error)) error {
	r, err := h.addressee(m)
	if err != nil {
		return err
	}
	message, err := m.decodeSnapshot()
	if err != nil {
		return err
	}
	if !r.members.Load().hears(m.From, raftpb.MsgSnap) {
		return errNoMember(m)
	}
	select {
	case h.snapshots.receiving <- struct{}{}:
		defer func() { <-h.snapshots.receiving }()
	default:
		return holdfast.Errorf(holdfast.Overloaded, "node %d is receiving %d snapshots", h.o.Node,
			cap(h.snapshots.receiving))
	}
	if !r.receiving.CompareAndSwap(false, true) {
		return holdfast.Errorf(holdfast.Overloaded, "another snapshot of shard %d is being received", r.id)
	}
	defer r.receiving.Store(false)
	x := &received{message: message, done: make(chan error, 1)}
	if err := r.expects(x); err != nil {
		return err
	}
	if x.index() > r.committed() {
		x.receiver = shard.NewReceiver(r.of)
		if err := x.receive(r, next); err != nil {
			x.receiver.Close()
			return err
		}
		x.whole = true
	}
	return x.await(ctx, r)
}

// await has a replica take a snapshot whose parts have arrived, and waits for the outcome.
func (x *received) await(ctx context.Context, r *Replica) error {
	h := r.host
	if !h.inputs.put(input{replica: r, snapshot: x}) {
		x.end(errStopped())
	}
	select {
	case err := <-x.done:
		return err
	case <-ctx.Done():
	case <-h.ended:
	}
	select {
	case err := <-x.done:
		return err
	default:
		return holdfast.Errorf(holdfast.Unavailable,
			"outcome unknown: the snapshot of shard %d may not be installed yet", r.id)
	}
}

// expects returns an error if a snapshot needn't be read: it is of a former term.
func (r *Replica) expects(x *received) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x.message.GetTerm() < r.core.term {
		return holdfast.Errorf(holdfast.Refused, "the snapshot of shard %d is of term %d; this is term %d", r.id,
			x.message.GetTerm(), r.core.term)
	}
	return nil
}

// committed returns up to where the replica knows the log to be committed.
func (r *Replica) committed() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.core.commit
}

// receive takes the parts, and checks that they are those of the snapshot that the message names.
func (x *received) receive(r *Replica, next func() ([]byte, error)) error {
	for {
		part, err := next()
		if err == io.EOF {
			break
		}
		if err == nil && r.stopping.Load() {
			err = errStopped()
		}
		if err == nil {
			err = x.receiver.Add(part)
		}
		if err != nil {
			return err
		}
		r.host.snapshots.receivedBytes.Add(uint64(len(part)))
	}
	if !x.receiver.Complete() {
		return holdfast.Errorf(holdfast.Invalid, "the snapshot of shard %d isn't whole", r.id)
	}
	is, tx := x.message.GetSnapshot().GetMetadata(), x.receiver.Tx()
	if tx.Index != is.GetIndex() || holdfast.RaftTerm(tx.Term) != is.GetTerm() {
		return holdfast.Errorf(holdfast.Invalid, "a snapshot as of entry %d of term %d has the shard as of %v",
			is.GetIndex(), is.GetTerm(), tx)
	}
	var err error
	if x.members, err = r.core.log.membersIn(x.receiver.Members()); err != nil {
		return err
	}
	switch {
	case !proto.Equal(x.members.state(), is.GetConfState()):
		return holdfast.Errorf(holdfast.Invalid, "a snapshot with the members %v has a group with the members %+v",
			is.GetConfState(), *x.members)
	case !x.members.Has(r.host.o.Node):
		return holdfast.Errorf(holdfast.Refused, "node %d is none of the members %+v of a snapshot of shard %d",
			r.host.o.Node, *x.members, r.id)
	}
	return nil
}
