package node

import (
	"context"
	"sync"
	"time"

	"holdfast"
	"holdfast/group"
	"holdfast/rpc"
	"holdfast/shard"
	"holdfast/table"
)

// How often a node asks for the groups that it is to join, and how long it waits for an answer.
const (
	joinEvery = 100 * time.Millisecond
	joinWait  = time.Second
)

// A joiner has shards become replicas of groups that other nodes have founded. The leader of a group
// adds this node as a learner (see reshape); from it the joiner gets the members as of then, with
// which a replica begins that has no log yet. A replica that is on the disk needs nothing of this.
//
//  1. The leader adds the node to the members, as a learner.
//  2. The node asks every other node for the members; the leader has them.
//  3. The replica begins, with the members on disk. It answers the leader for the first time.
//  4. The leader sends what it lacks, and makes it a voter when it has most of it.
//
// As long as the replica hasn't answered, it isn't made a voter. So the members that it begins with
// never have it as one.
type joiner struct {
	replicas *replicas
	call     func(ctx context.Context, r rpc.Message) ([]byte, error)

	starting sync.Mutex // held while a replica begins or is stopped; taken before mu
	mu       sync.Mutex // guards waiting
	waiting  map[holdfast.ShardID]*shard.Shard
	woken    chan struct{} // of capacity one: there is a shard more
}

func (j *joiner) init(rs *replicas, call func(context.Context, rpc.Message) ([]byte, error)) {
	j.replicas, j.call = rs, call
	j.waiting, j.woken = map[holdfast.ShardID]*shard.Shard{}, make(chan struct{}, 1)
}

// add has a shard become a replica, sooner or later.
func (j *joiner) add(sh *shard.Shard) {
	shard.ReplicaOf(sh).Await()
	j.mu.Lock()
	j.waiting[sh.ID()] = sh
	j.mu.Unlock()
	select {
	case j.woken <- struct{}{}:
	default:
	}
}

// remove ends the wait of a shard. When it returns, the shard doesn't become a replica any more, or is one.
func (j *joiner) remove(id holdfast.ShardID) {
	j.starting.Lock()
	defer j.starting.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.waiting, id)
}

// list returns the shards that wait.
func (j *joiner) list() (ids []holdfast.ShardID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for id := range j.waiting {
		ids = append(ids, id)
	}
	return ids
}

// run has shards become replicas until ctx ends.
func (j *joiner) run(ctx context.Context) {
	for ctx.Err() == nil {
		waiting := j.list()
		for _, id := range waiting {
			j.try(ctx, id)
		}
		var again <-chan time.Time
		if len(waiting) > 0 {
			again = time.After(joinEvery)
		}
		select {
		case <-j.woken:
		case <-again:
		case <-ctx.Done():
		}
	}
}

// try asks the other nodes for the members of a shard's group, and has the shard become a replica if
// one of them leads it and has added this node.
func (j *joiner) try(ctx context.Context, id holdfast.ShardID) {
	rs := j.replicas
	for _, other := range rs.roster.members() {
		if other == rs.self {
			continue
		}
		asking, end := context.WithTimeout(ctx, joinWait)
		raw, err := j.call(asking, rpc.Message{To: other, Kind: kindMembers, Shard: id})
		end()
		if err != nil {
			continue // it doesn't lead the group, or hasn't added this node, or isn't there
		}
		members, err := group.DecodeMembers(raw)
		if err == nil {
			err = j.begin(id, members)
		}
		if err != nil {
			rs.log.Warn("a replica can't join its group", "shard", id, "asked", other, "err", err)
			continue
		}
		return
	}
}

// begin begins the replica of a shard, unless it waits no longer.
func (j *joiner) begin(id holdfast.ShardID, members *group.Members) error {
	j.starting.Lock()
	defer j.starting.Unlock()
	j.mu.Lock()
	sh := j.waiting[id]
	j.mu.Unlock()
	if sh == nil {
		return nil
	}
	r, err := j.replicas.host.Join(sh, members)
	if err != nil {
		return err
	}
	j.mu.Lock()
	delete(j.waiting, id)
	j.mu.Unlock()
	j.replicas.put(sh, r)
	return nil
}

// membersFor answers a node that is to join the group of a shard: with the members, if this node leads
// the group and that one is a learner of it.
func (rs *replicas) membersFor(node holdfast.NodeID, id holdfast.ShardID) ([]byte, error) {
	r := rs.of(id)
	if r == nil {
		return nil, holdfast.Errorf(holdfast.NotFound, "shard %d has no replica here", id)
	}
	if _, err := r.Lead(); err != nil {
		return nil, err
	}
	members, _ := r.Members()
	if !members.Learns(node) {
		return nil, holdfast.Errorf(holdfast.NotFound, "node %d isn't a learner of the group of shard %d", node, id)
	}
	return members.Encode(), nil
}

// join has this node join groups, have others join its own, and take new nodes into the cluster, all
// in the background.
func (m *member) join(store *table.Store) {
	m.admission.Store(&admission{
		is: m.is, roster: &m.roster, replicas: &m.replicas, store: store, leads: store.Leads,
		leader: m.forwarder.leader, heard: m.transport.Heard, call: m.transport.Call, began: time.Now(),
	})
	reshaping := &reshaping{roster: &m.roster, replicas: &m.replicas, store: store, transfer: m.steering.transfer,
		log: m.log}
	m.joining.start(m.replicas.joiner.run, reshaping.run)
}

// answerJoin returns what answers nodes that ask to join; nil if none can.
func (m *member) answerJoin() func(context.Context, rpc.Join) (rpc.Joined, error) {
	if len(m.is.Met) == 0 {
		return nil
	}
	return func(ctx context.Context, j rpc.Join) (rpc.Joined, error) {
		a := m.admission.Load()
		if a == nil {
			return rpc.Joined{}, holdfast.Errorf(holdfast.NotLeader, "node %d is starting", m.is.Node)
		}
		return a.answer(ctx, j)
	}
}

// answerJoinFor answers a node that asks to join, and whose request another node has passed on.
func (m *member) answerJoinFor(ctx context.Context, body []byte) ([]byte, error) {
	j, err := rpc.ParseJoin(body)
	if err != nil {
		return nil, err
	}
	a := m.admission.Load()
	if a == nil || !a.leads() {
		return nil, holdfast.Errorf(holdfast.NotLeader, "node %d doesn't lead the cluster", m.is.Node)
	}
	joined, err := a.admit(ctx, j)
	return joined.Bytes(), err
}

// A background is goroutines of a node that run until stop.
type background struct {
	end     context.CancelFunc // nil: none was started
	running sync.WaitGroup
}

func (b *background) start(all ...func(context.Context)) {
	ctx, end := context.WithCancel(context.Background())
	b.end = end
	for _, run := range all {
		b.running.Go(func() { run(ctx) })
	}
}

// stop has them end; wait waits for that. In between, what they wait for may be closed.
func (b *background) stop() {
	if b.end != nil {
		b.end()
	}
}

func (b *background) wait() { b.running.Wait() }
