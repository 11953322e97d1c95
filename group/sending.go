package group

import (
	"context"
	"errors"
	"sync"

	"go.etcd.io/raft/v3"

	"holdfast"
	"holdfast/shard"
)

// Sendings are the snapshots that a leader sends to other members, or has failed to send. Raft sends
// such a member nothing else meanwhile but heartbeats. It hears that a snapshot has failed only when
// it is time to try again: it does so with the next heartbeat that is answered.
type sendings struct {
	all map[uint64]*sending // by member; of the term in which this replica leads
}

// A sending is a snapshot on its way, or that has failed.
type sending struct {
	failures int // since one has arrived
	retry    int // the tick at which the next one may be sent; 0: one is on its way
}

// A snapshotTo is a snapshot that a leader has to send.
type snapshotTo struct {
	to   holdfast.NodeID
	term uint64 // of the leader
}

// A report is what has become of a snapshot.
type report struct {
	snapshotTo
	err error // Exists: the member has what the snapshot has
}

const (
	firstRetry = 5   // ticks between the first failure and the next snapshot
	lastRetry  = 100 // ticks, at most
)

// some reports whether a snapshot is on its way.
func (s *sendings) some() bool {
	for _, each := range s.all {
		if each.retry == 0 {
			return true
		}
	}
	return false
}

// begin notes that Raft sends a snapshot to a member.
func (s *sendings) begin(c *core, to uint64) {
	if s.all == nil {
		s.all = map[uint64]*sending{}
	}
	if s.all[to] == nil {
		s.all[to] = &sending{}
	}
	s.all[to].retry = 0
	c.out.snapshots = append(c.out.snapshots, snapshotTo{holdfast.NodeID(to), c.term})
}

// end takes a report.
func (s *sendings) end(c *core, r *report) {
	id := uint64(r.to)
	is := s.all[id]
	if c.began == 0 || c.term != r.term || is == nil {
		return
	}
	if r.err == nil || errors.Is(r.err, holdfast.Exists) {
		delete(s.all, id)
		c.raft.ReportSnapshot(id, raft.SnapshotFinish)
		c.collect()
		return
	}
	is.retry = c.ticks + min(firstRetry<<min(is.failures, 10), lastRetry)
	is.failures++
}

// tick has Raft try again what has failed, when it is time.
func (s *sendings) tick(c *core) {
	for id, is := range s.all {
		if is.retry != 0 && c.ticks >= is.retry {
			is.retry = 0
			c.raft.ReportSnapshot(id, raft.SnapshotFailure)
		}
	}
	c.collect()
}

// A sender sends the snapshots of a host's replicas, some at a time.
type sender struct {
	host   *Host
	places chan struct{} // has an element for each snapshot that is being sent
}

// Outgoing are the snapshots of a replica that are on their way, or wait for that.
type outgoing struct {
	ctx     context.Context // ends when the replica is stopped
	end     context.CancelFunc
	running sync.WaitGroup

	mu sync.Mutex
	to map[holdfast.NodeID]bool // guarded by mu
}

func (o *outgoing) init() {
	o.ctx, o.end = context.WithCancel(context.Background())
	o.to = map[holdfast.NodeID]bool{}
}

// stop ends all. None begins any more.
func (o *outgoing) stop() {
	o.end()
	o.running.Wait()
}

// add reports whether a snapshot may begin: none is on its way to the member.
func (o *outgoing) add(to holdfast.NodeID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.to[to] {
		return false
	}
	o.to[to] = true
	return true
}

func (o *outgoing) remove(to holdfast.NodeID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.to, to)
}

// begin begins to send a replica's snapshot. The replica gets a report.
func (s *sender) begin(r *Replica, x snapshotTo) {
	if !r.outgoing.add(x.to) {
		s.report(r, x, holdfast.Errorf(holdfast.Overloaded, "a snapshot of another term is on its way"))
		return
	}
	r.outgoing.running.Go(func() {
		err := s.send(r.outgoing.ctx, r, x)
		r.outgoing.remove(x.to)
		s.report(r, x, err)
	})
}

func (s *sender) report(r *Replica, x snapshotTo, err error) {
	h := s.host
	switch {
	case err == nil:
		h.snapshots.sent.Add(1)
		h.o.Log.Info("a snapshot was sent", "shard", r.id, "to", x.to)
	case errors.Is(err, holdfast.Exists) || r.outgoing.ctx.Err() != nil:
	default:
		h.snapshots.failed.Add(1)
		h.o.Log.Warn("a snapshot wasn't sent", "shard", r.id, "to", x.to, "err", err)
	}
	h.inputs.put(input{replica: r, report: &report{x, err}})
}

// send sends a snapshot, once there is a place.
func (s *sender) send(ctx context.Context, r *Replica, x snapshotTo) error {
	h := s.host
	if h.o.Stream == nil {
		return holdfast.Errorf(holdfast.Invalid, "this node sends no snapshots")
	}
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	case <-ctx.Done():
		return ctx.Err()
	}
	from, err := shard.NewSnapshot(ctx, r.of, shard.SnapshotOptions{
		BytesPerSecond: max(0, h.o.SnapshotBytesPerSecond/int64(cap(s.places))),
	})
	if err != nil {
		return err
	}
	defer from.Close()
	members, err := r.core.log.membersIn(from.Members())
	if err != nil {
		return err
	}
	if !members.Has(x.to) {
		return holdfast.Errorf(holdfast.Refused, "as of the snapshot, node %d isn't a member yet", x.to)
	}
	m, err := encode(r.id, snapshotMessage(h.o.Node, x, from.Tx(), members))
	if err != nil {
		return err
	}
	return h.o.Stream(ctx, m, func() ([]byte, error) {
		if r.Leader() != h.o.Node {
			return nil, errNotLeader(r.id, r.leader.Load())
		}
		part, err := from.Next(ctx)
		h.snapshots.sentBytes.Add(uint64(len(part)))
		return part, err
	})
}
