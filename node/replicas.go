package node

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/group"
	"holdfast/shard"
)

// campaignEvery is how often a node that is to lead a group asks for an election, until it leads: the
// other nodes may not have opened the shard yet, and don't hear what is sent until then.
const campaignEvery = 20 * time.Millisecond

// A replica is what leading groups needs of a *group.Replica.
type replica interface {
	Lead() (term uint64, err error)
	Leader() holdfast.NodeID
	Campaign()
	Transfer(to holdfast.NodeID)
}

// replicas are those of this node. They are table.Replicas.
type replicas struct {
	host   *group.Host
	disk   *shard.Store
	self   holdfast.NodeID
	roster *roster
	joiner joiner
	lags   *lags
	log    *slog.Logger
	gone   func(why error) // is called when this node was replaced
	moved  chan struct{}   // of capacity one: groups may lack members, or this node may lead others

	mu     sync.Mutex // guards what follows
	all    map[holdfast.ShardID]*group.Replica
	shards map[holdfast.ShardID]*shard.Shard // of all
}

func (rs *replicas) init(m *member, host *group.Host, disk *shard.Store) {
	rs.host, rs.disk, rs.self, rs.roster, rs.lags, rs.log = host, disk, m.is.Node, &m.roster, m.lags, m.log
	rs.moved = make(chan struct{}, 1)
	rs.all, rs.shards = map[holdfast.ShardID]*group.Replica{}, map[holdfast.ShardID]*shard.Shard{}
	rs.gone = func(why error) { m.refusedBy(0, why) }
	rs.joiner.init(rs, m.transport.Call)
}

// Start implements table.Replicas. A group that this node hasn't founded it joins later.
func (rs *replicas) Start(sh *shard.Shard) error {
	known, err := group.Known(rs.disk, sh.ID())
	if err != nil {
		return err
	}
	founders := rs.roster.founders(sh.ID())
	if !known && !slices.Contains(founders, rs.self) {
		rs.joiner.add(sh)
		return nil
	}
	r, err := rs.host.Start(sh, founders)
	if err == nil {
		rs.put(sh, r)
	}
	return err
}

func (rs *replicas) put(sh *shard.Shard, r *group.Replica) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.all[sh.ID()], rs.shards[sh.ID()] = r, sh
}

// Stop implements table.Replicas.
func (rs *replicas) Stop(id holdfast.ShardID) error {
	rs.joiner.remove(id)
	rs.mu.Lock()
	delete(rs.all, id)
	delete(rs.shards, id)
	rs.mu.Unlock()
	rs.lags.forget(id)
	return rs.host.Stop(id)
}

// Follow implements table.Replicas.
func (rs *replicas) Follow(n *catalog.Nodes) (joins bool) {
	rs.roster.follow(n)
	rs.move()
	if why := rs.roster.gone(rs.self); why != nil {
		rs.gone(why)
	}
	rs.host.Hesitate(n.Drained(rs.self))
	self := n.Node(rs.self)
	return self != nil && (self.Joining || self.Leaving)
}

// move has reshaping look at the groups.
func (rs *replicas) move() {
	select {
	case rs.moved <- struct{}{}:
	default:
	}
}

// Lead implements table.Replicas.
func (rs *replicas) Lead(ctx context.Context, ids []holdfast.ShardID) error {
	return leadAll(ctx, rs.replica, ids)
}

// replica returns the replica of a shard; nil: there is none.
func (rs *replicas) replica(id holdfast.ShardID) replica {
	if r := rs.of(id); r != nil {
		return r
	}
	return nil
}

func (rs *replicas) of(id holdfast.ShardID) *group.Replica {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.all[id]
}

// status returns the state of a replica; nil: there is none.
func (rs *replicas) status(id holdfast.ShardID) *group.Status {
	r := rs.of(id)
	if r == nil {
		return nil
	}
	s := r.Status()
	return &s
}

// shard returns the shard that is a replica here; nil: there is none.
func (rs *replicas) shard(id holdfast.ShardID) *shard.Shard {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.shards[id]
}

// placed is a replica with its shard's ID.
type placed struct {
	id holdfast.ShardID
	*group.Replica
}

// list returns all replicas by rising ID.
func (rs *replicas) list() []placed {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	all := make([]placed, 0, len(rs.all))
	for id, r := range rs.all {
		all = append(all, placed{id, r})
	}
	slices.SortFunc(all, func(a, b placed) int { return cmp.Compare(a.id, b.id) })
	return all
}

// led returns the shards whose groups this node leads, by rising ID. It is called at each tick on
// nodes that lead nothing, mostly.
func (rs *replicas) led() (ids []holdfast.ShardID) {
	if !group.Leads(rs.host) {
		return nil
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for id, r := range rs.all {
		if r.Leader() == rs.self {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// leadAll returns when this node leads the groups of all ids. Where nobody leads, it asks for
// elections; the other nodes hand over what they lead. The error is NotLeader when ctx ends or another
// node leads the catalog's group, so that nobody would hand anything over.
func leadAll(ctx context.Context, of func(holdfast.ShardID) replica, ids []holdfast.ShardID) error {
	for {
		missing := holdfast.ShardID(0)
		for _, id := range ids {
			r := of(id)
			if r == nil {
				return holdfast.Errorf(holdfast.NotLeader, "nothing was changed: shard %d has no replica here", id)
			}
			if _, err := r.Lead(); err == nil {
				continue
			}
			missing = id
			if r.Leader() == 0 {
				r.Campaign()
			}
		}
		if missing == 0 {
			return nil
		}
		if c := of(catalog.ShardID); c != nil {
			if _, err := c.Lead(); err != nil {
				return err
			}
		}
		select {
		case <-time.After(campaignEvery):
		case <-ctx.Done():
			return holdfast.Errorf(holdfast.NotLeader,
				"nothing was changed: this node doesn't lead the group of shard %d: %w",
				missing, ctx.Err())
		}
	}
}
