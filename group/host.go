package group

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"go.etcd.io/raft/v3/raftpb"

	"holdfast"
	"holdfast/shard"
)

// Options are what a Host is made with.
type Options struct {
	Node  holdfast.NodeID
	Store *shard.Store

	// Send sends a message. It must not block, nor call Stop; it may lose, double, delay and
	// reorder messages. It is called by several goroutines.
	Send func(Message)

	// Stream sends a snapshot: the message m, and the parts that next returns, one after the other,
	// until it returns io.EOF. It returns when Host.ReceiveSnapshot has at the other node, with the
	// kind of its error. It is called by several goroutines, and waits as long as ctx allows. nil: no
	// snapshots are sent.
	Stream func(ctx context.Context, m Message, next func() ([]byte, error)) error

	Log *slog.Logger // default: none

	// Fatal is called once if the store can't be read or written any more. The host has stopped
	// then, as if it were closed; Fatal must not call Close or Stop. By default nothing is called.
	Fatal func(error)

	ElectionTicks  int // without a word of a leader, after which a replica campaigns; default 10
	HeartbeatTicks int // between two words of a leader; default 1

	// SleepTicks is how many ticks a group has nothing to do before it sleeps: then its replicas don't
	// tick until there is something to do, or what one node hears of another changes. Default: two
	// times ElectionTicks; below 0: groups never sleep.
	SleepTicks int

	MaxInflightBytes int64 // of entries of a group on their way to one member; default 4 MiB, at least 256 KiB
	MaxProposalBytes int64 // of proposals whose outcome isn't known; more are Overloaded; default 64 MiB
	MaxReceivedBytes int64 // of messages that wait for their turn; more are dropped; default 64 MiB
	MaxReads         int   // that wait; more are Overloaded; default 16,384

	// MaxLogBytes is how many bytes the log of a group may have, about, while a member lacks entries of
	// it; default 256 MiB. AwayTicks is after how many ticks of silence the log isn't kept for a member
	// any more; default 3000.
	MaxLogBytes int64
	AwayTicks   int

	MaxSnapshots           int   // that are sent at a time, and that are received at a time; default 2
	SnapshotBytesPerSecond int64 // that are sent, at most; default 64 MiB, and negative without a limit
}

func (o *Options) setDefaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Fatal == nil {
		o.Fatal = func(error) {}
	}
	o.ElectionTicks = cmp.Or(o.ElectionTicks, 10)
	o.HeartbeatTicks = cmp.Or(o.HeartbeatTicks, 1)
	o.SleepTicks = max(0, cmp.Or(o.SleepTicks, 2*o.ElectionTicks))
	o.MaxInflightBytes = max(cmp.Or(o.MaxInflightBytes, 4<<20), maxAppendBytes)
	o.MaxProposalBytes = cmp.Or(o.MaxProposalBytes, 64<<20)
	o.MaxReceivedBytes = cmp.Or(o.MaxReceivedBytes, 64<<20)
	o.MaxReads = cmp.Or(o.MaxReads, 16384)
	o.MaxLogBytes = cmp.Or(o.MaxLogBytes, 256<<20)
	o.AwayTicks = cmp.Or(o.AwayTicks, 3000)
	o.MaxSnapshots = cmp.Or(o.MaxSnapshots, 2)
	o.SnapshotBytesPerSecond = cmp.Or(o.SnapshotBytesPerSecond, 64<<20)
}

// A Host runs the replicas of a node. Its methods may be called concurrently.
//
// Three goroutines do the work. Each takes all that has come in since it took before, so that much
// of it costs little more than one of it:
//
//	run     gives replicas what has come in, and carries out what follows
//	store   writes what they want on disk: one batch and one sync for all of them
//	apply   has shards apply what is committed
//
// Snapshots are sent, received and installed by goroutines of their own, see sender, ReceiveSnapshot
// and installs.
//
// run never waits for the disk, but to read entries that are no longer in memory. What store and
// apply have to do is bounded by Raft: a leader sends a member only so much before it has an
// answer, which it gets when that is on disk, and hands out only so much to apply before it hears
// that it is.
type Host struct {
	o Options

	starting sync.Mutex // held by Start; taken before mu
	mu       sync.Mutex // guards replicas, which only Start and Stop change
	replicas []*Replica // by the IDs of their shards

	changed chan struct{} // see Changed
	ticking ticking       // which replicas tick; run uses it

	inputs *queue[input]
	stores *queue[storing]
	applys *queue[applying]

	sender    sender
	snapshots snapshots
	installs  installs

	writes  turn // of whoever writes logs
	applies turn // of whoever has shards apply entries

	hesitant atomic.Bool   // see Hesitate
	passed   atomic.Int64  // ticks that wait in inputs, as one
	leading  atomic.Int64  // number of the replicas whose groups this node leads, as they know
	received atomic.Int64  // bytes of the messages in inputs
	proposed atomic.Int64  // bytes of the proposals whose outcome isn't known
	reading  atomic.Int64  // number of the reads that wait
	writing  atomic.Int64  // ticks since a write began, plus one; 0: store doesn't write
	retry    chan struct{} // a tick for a write that found the disk full

	failed sync.Once
	ended  chan struct{} // closed when none of the goroutines runs any more
}

// An input is something that has come in for a replica. One of the fields beside replica is set.
type input struct {
	replica  *Replica // nil: all, for a tick
	message  *raftpb.Message
	note     *note
	bytes    int // of message, or of note
	proposal *proposal
	read     *read
	transfer holdfast.NodeID
	campaign bool
	change   *changing
	members  *Members // that another replica says there are
	snapshot *received
	report   *report
	stop     bool
	stored   []*raftpb.Message
	applied  []*raftpb.Message
}

// An inbox is all inputs of a replica since it was stepped before.
type inbox struct {
	filled, ticked, stalled, review, campaign, stop bool

	handOver        int // see fullness; 0: the replica needn't
	messages        []*raftpb.Message
	notes           []*note
	proposals       []*proposal
	reads           []*read
	changes         []*changing
	members         *Members
	snapshots       []*received
	reports         []*report
	transfer        holdfast.NodeID
	stored, applied []*raftpb.Message
}

// A storing is what is to be written of a replica's log.
type storing struct {
	replica   *Replica
	message   *raftpb.Message // nil: nothing
	write     write           // what message comes to
	trim      uint64          // 0: nothing
	received  *received       // that message has, to be installed; nil: none
	installed bool            // it is: only the responses are left
}

// An applying is entries that a shard is to apply.
type applying struct {
	replica *Replica
	message *raftpb.Message
}

// NewHost returns a host without replicas.
func NewHost(o Options) *Host {
	o.setDefaults()
	h := &Host{
		o: o, retry: make(chan struct{}, 1),
		inputs: newQueue[input](), stores: newQueue[storing](), applys: newQueue[applying](),
		writes: newTurn(), applies: newTurn(), changed: make(chan struct{}, 1), ended: make(chan struct{}),
		ticking: ticking{nodes: newNeighbours(o.ElectionTicks)},
	}
	h.sender = sender{host: h, places: make(chan struct{}, o.MaxSnapshots)}
	h.snapshots.receiving = make(chan struct{}, o.MaxSnapshots)
	h.installs = installs{host: h, held: map[*Replica][]storing{}, retry: make(chan struct{}, 1)}
	var running sync.WaitGroup
	running.Go(h.run)
	running.Go(h.store)
	running.Go(h.apply)
	go func() {
		running.Wait()
		for _, r := range h.all() {
			r.outgoing.stop()
		}
		h.installs.running.Wait()
		close(h.ended)
	}()
	return h
}

// Start starts a replica of a shard's group: of a new group that has these members, all of which
// vote, or, if the node has a replica on disk, that one with the members that it has. Each member
// must be started with the same members.
func (h *Host) Start(sh *shard.Shard, members []holdfast.NodeID) (*Replica, error) {
	return h.start(sh, func() (*Members, error) { return founded(members) })
}

// Join starts a replica of a shard's group to which the node was added as a learner. members are
// those that Replica.Members returns at the leader afterwards. If the node has a replica on disk,
// that is started, as it is.
func (h *Host) Join(sh *shard.Shard, members *Members) (*Replica, error) {
	return h.start(sh, func() (*Members, error) {
		if !slices.Contains(members.Learners, h.o.Node) { // least of all may an empty replica vote
			return nil, holdfast.Errorf(holdfast.Invalid,
				"node %d wasn't added to the group of shard %d as a learner: %+v", h.o.Node, sh.ID(), *members)
		}
		return members, members.check()
	})
}

// start starts a replica of a shard's group. first returns the members of one that is new on this
// node.
func (h *Host) start(sh *shard.Shard, first func() (*Members, error)) (*Replica, error) {
	h.starting.Lock()
	defer h.starting.Unlock()
	h.mu.Lock()
	_, found := h.search(sh.ID())
	h.mu.Unlock()
	if found {
		return nil, holdfast.Errorf(holdfast.Exists, "the replica of shard %d runs already", sh.ID())
	}
	r, err := h.open(sh, first)
	if err != nil {
		return nil, err
	}
	r.shard.Join(r)
	h.mu.Lock()
	at, _ := h.search(r.id)
	h.replicas = slices.Insert(h.replicas, at, r)
	h.mu.Unlock()
	if !h.inputs.put(input{replica: r}) { // Raft may have committed entries to apply
		return nil, holdfast.Errorf(holdfast.Closed, "this node is stopping")
	}
	return r, nil
}

// open returns the replica of a shard as it is on disk.
func (h *Host) open(sh *shard.Shard, first func() (*Members, error)) (*Replica, error) {
	log, err := shard.OpenGroupLog(h.o.Store, sh.ID())
	if err != nil {
		return nil, err
	}
	raw, err := log.State()
	if err == nil && raw == nil {
		raw, err = h.create(log, first)
	}
	if err != nil {
		return nil, err
	}
	r := &Replica{host: h, id: sh.ID(), of: sh, shard: shard.ReplicaOf(sh), log: log, exchange: newTurn(),
		ended: make(chan struct{})}
	r.outgoing.init()
	applied := r.shard.Applied().Index
	stored, err := openStorage(r.id, log, raw, applied)
	if err != nil {
		return nil, err
	}
	r.core, err = newCore(r.id, uint64(h.o.Node), stored, applied, limits{
		electionTicks: h.o.ElectionTicks, heartbeatTicks: h.o.HeartbeatTicks,
		inflightBytes: uint64(h.o.MaxInflightBytes), logBytes: uint64(h.o.MaxLogBytes), awayTicks: h.o.AwayTicks,
		sleepTicks: h.o.SleepTicks, nodes: h.ticking.nodes, hesitant: &h.hesitant,
	}, logger{h.o.Log.With("shard", r.id, "node", h.o.Node)})
	if err != nil {
		return nil, err
	}
	r.salt = r.core.salt
	r.members.Store(r.core.members)
	r.removed.Store(r.core.removed)
	return r, nil
}

// create writes what a new replica has on disk, and returns its state.
func (h *Host) create(log *shard.GroupLog, first func() (*Members, error)) ([]byte, error) {
	members, err := first()
	if err != nil {
		return nil, err
	}
	if !members.Has(h.o.Node) {
		return nil, holdfast.Errorf(holdfast.Invalid, "node %d isn't one of the members %v", h.o.Node, members.Voters)
	}
	raw := (&state{members: numbers(members.Voters)}).encode()
	b := shard.NewLogBatch(h.o.Store)
	b.SetState(log, raw)
	if members.Index > 0 {
		b.SetMembers(log, members.Encode())
	}
	return raw, b.Commit(true)
}

// Replica returns the replica of a shard's group that runs here; nil: there is none.
func (h *Host) Replica(id holdfast.ShardID) *Replica {
	h.mu.Lock()
	defer h.mu.Unlock()
	at, found := h.search(id)
	if !found || h.replicas[at].stopping.Load() {
		return nil
	}
	return h.replicas[at]
}

// Changed returns a channel for one reader. It has an element when Lead, Leader or Members of some
// replica, or Rest, may give another answer than before the reader took the last element.
func (h *Host) Changed() <-chan struct{} { return h.changed }

// announce puts an element into Changed.
func announce(h *Host) {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// Leads reports whether this node leads a group of the host's replicas, as far as they know.
func Leads(h *Host) bool { return h.leading.Load() > 0 }

// search returns the place of a shard's replica among the host's. h.mu is held.
func (h *Host) search(id holdfast.ShardID) (int, bool) {
	return slices.BinarySearchFunc(h.replicas, id, func(r *Replica, id holdfast.ShardID) int {
		return cmp.Compare(r.id, id)
	})
}

// all returns the host's replicas.
func (h *Host) all() []*Replica {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.replicas)
}

// Receive takes a message that another node has sent. The error is NotFound if the shard has no
// replica here, as while a table is being made or removed; Invalid for a message that is garbled or
// misdirected, that comes from no member and may not (see Members.hears), or that is of a kind that
// is never sent; Refused if it comes from a node that was removed, which gets a notice; Overloaded if
// it was dropped, since too many wait; Closed if the host is closed.
func (h *Host) Receive(m Message) error {
	if m.isBeat() && m.To == h.o.Node {
		h.ticking.nodes.hear(m.From)
		return nil
	}
	r, err := h.addressee(&m)
	if err != nil {
		return err
	}
	in := input{replica: r, bytes: len(m.Body)}
	if err := in.decode(&m); err != nil {
		return err
	}
	if h.received.Add(int64(len(m.Body))) > h.o.MaxReceivedBytes {
		h.received.Add(-int64(len(m.Body)))
		return holdfast.Errorf(holdfast.Overloaded, "too many messages wait")
	}
	if !h.inputs.put(in) {
		return holdfast.Errorf(holdfast.Closed, "this node is stopping")
	}
	return nil
}

// addressee returns the replica that a message is for.
func (h *Host) addressee(m *Message) (*Replica, error) {
	r := h.Replica(m.Shard)
	switch {
	case m.To != h.o.Node:
		return nil, holdfast.Errorf(holdfast.Invalid, "a message of node %d is for node %d", m.From, m.To)
	case r == nil:
		return nil, holdfast.Errorf(holdfast.NotFound,
			"a message of node %d is for a replica of shard %d, which isn't here", m.From, m.Shard)
	case m.From == m.To || m.From == 0 || m.From > maxNumber:
		return nil, errNoMember(m)
	}
	if members := r.members.Load(); members.hasRemoved(m.From) {
		if !m.isNotice() {
			h.o.Send(notice(m.Shard, h.o.Node, m.From, members))
		}
		return nil, holdfast.Errorf(holdfast.Refused, "node %d was removed from the group of shard %d", m.From, m.Shard)
	}
	return r, nil
}

// decode sets what a message has.
func (in *input) decode(m *Message) (err error) {
	if m.isNotice() {
		in.members, err = DecodeMembers(m.Body[1:])
		if err == nil && !in.members.Has(m.From) && !in.replica.members.Load().Has(m.From) {
			err = errNoMember(m)
		}
		return err
	}
	if m.isNote() {
		in.note, err = m.note()
		return err
	}
	in.message, err = m.decode()
	if err == nil && !in.replica.members.Load().hears(m.From, in.message.GetType()) {
		err = errNoMember(m)
	}
	return err
}

func errNoMember(m *Message) error {
	return holdfast.Errorf(holdfast.Invalid, "node %d isn't another member of the group of shard %d", m.From, m.Shard)
}

// Tick is called by the owner of the clock, in equal intervals: every 100 ms, say. A tick that
// comes before the one before it was used is lost. While nothing but beats is to do, it may be called
// more seldom, see Rest.
func (h *Host) Tick() { Pass(h, 1) }

// Close ends the host. It returns when nothing of it runs any more. What was proposed and isn't
// decided gets Unavailable. The store stays open.
func (h *Host) Close() error {
	h.stop()
	<-h.ended
	return nil
}

// stop has all goroutines end.
func (h *Host) stop() {
	h.inputs.close()
	h.stores.close()
	h.applys.close()
	h.wake()
}

// wake has store and an install try again what didn't fit on the disk.
func (h *Host) wake() {
	for _, retry := range []chan struct{}{h.retry, h.installs.retry} {
		select {
		case retry <- struct{}{}:
		default:
		}
	}
}

// fail stops the host for good, since its store can't be used.
func (h *Host) fail(err error) {
	h.stop()
	h.failed.Do(func() {
		h.o.Log.Error("replication has stopped on this node", "err", err)
		h.o.Fatal(err)
	})
}
