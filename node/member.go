package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/cluster"
	"holdfast/config"
	"holdfast/dynamodb"
	"holdfast/group"
	"holdfast/rpc"
	"holdfast/shard"
	"holdfast/table"
)

// The kinds of rpc.Message.
const (
	kindGroup    = 1 // a message from a replica of a shard to another
	kindRequest  = 2 // a request that the leading node is to execute
	kindProgress = 3 // how far the sender's store has got
	kindSession  = 4 // a request about sessions, that the leading node is to answer
	kindForget   = 5 // a request to forget a session
	kindSnapshot = 6 // a stream with a snapshot of a shard
	kindChecksum = 7 // a request for a replica's checksum
	kindAccuse   = 8 // a request that the node ends, whose replica differs from the others'
	kindCompare  = 9 // a request that the leading node compares all replicas, or says what it has found

	kindStatus = 10 // a request for the Status of the node

	kindJoin    = 16 // a request to take a new node, which another node has got
	kindMembers = 17 // a request for the members of a shard's group, by a node that is to join it

	kindLeads = 24 // a request that succeeds once the node executes requests
	kindSteer = 25 // a request that the leading node hands over, or drains a node
)

// A member is the node as a member of its cluster: the connections to the other nodes, the replicas
// of shards, and who leads. What it needs is opened in this order, and closed in the reverse one:
//
//  1. the identity of the directory and its lives, and the listener for the other nodes;
//  2. the present life, and the host of the replicas, once the store is open;
//  3. the tables, whose shards become replicas;
//  4. the connections to the other nodes, the clock of the groups, and the follower of leadership.
type member struct {
	is        *cluster.Identity
	roster    roster
	log       *slog.Logger
	transport *rpc.Transport
	replicas  replicas
	lead      *leadership // nil before start
	forwarder forwarder
	lives     lives
	admission atomic.Pointer[admission] // nil: nodes can't join yet
	joining   background
	draining  background
	compared  comparing
	steering  steering
	refused   sync.Once            // by another node
	fail      func(error)          // ends the node
	options   func(*group.Options) // see Options

	host    atomic.Pointer[group.Host]       // nil: messages are dropped
	handler atomic.Pointer[dynamodb.Handler] // nil: requests are refused

	sessions atomic.Pointer[sessions] // nil: likewise

	lags *lags
	node func() Status // of this node
}

// openMember checks the identity of the node's directory, and listens for the other nodes. own returns
// the node's status. fail is called if the node can't go on.
func openMember(o *Options, own func() Status, fail func(error)) (*member, error) {
	c := o.Config.Cluster
	is, err := identityOf(&o.Config)
	if err != nil {
		return nil, err
	}
	m := &member{is: is, log: o.Log, lags: newLags(), node: own, fail: fail, options: o.groups}
	m.roster.is = is
	m.compared.init(m, c.CompareEvery)
	m.steering.member = m
	m.lives.log, m.lives.send = o.Log, m.tellOthers
	if m.lives.Lives, err = cluster.OpenLives(vfs.Default, o.Config.Tables.Data, is); err != nil {
		return nil, err
	}
	secure, err := clusterTLS(&c.TLS)
	if err != nil {
		return nil, err
	}
	m.transport, err = rpc.Listen(rpc.Options{
		Node: is.Node, Cluster: is.Cluster, Listen: c.Address(), TLS: secure, Receive: m.receive, Answer: m.answer,
		Accept: m.accept,
		Life:   m.lives.Statement, Judge: m.lives.Judge, Refused: m.refusedBy,
		Listener: take(&o.bound.cluster), Formed: formedFrom(is), Log: o.Log,
		Gone: m.roster.gone, Join: m.answerJoin(), Stranger: m.stranger,
	})
	var socket *net.OpError
	if errors.As(err, &socket) {
		return nil, &ListenError{"cluster.listen", err}
	}
	m.roster.peers = m.transport.SetPeers
	return m, err
}

// identityOf returns the identity of a node's directory. The error is Invalid if it isn't that of the
// node that is configured.
func identityOf(c *config.Config) (*cluster.Identity, error) {
	dir := c.Tables.Data
	is, err := cluster.Read(vfs.Default, dir)
	switch {
	case err != nil:
		return nil, fmt.Errorf("tables.data %s: %w", dir, err)
	case is == nil && shard.HasTables(vfs.Default, dir):
		return nil, cluster.NoIdentity(dir)
	case is == nil && c.Cluster.Meets():
		return nil, holdfast.Errorf(holdfast.Invalid, "%s isn't the directory of a cluster's node yet: start it with "+
			"\"holdfast node\"", dir)
	case is == nil:
		return nil, holdfast.Errorf(holdfast.Invalid, "%s isn't the directory of a cluster's node: "+
			"\"holdfast up --nodes 3\" makes a cluster, with a directory for each of its nodes", dir)
	}
	if err := match(is, c.Cluster); err != nil {
		return nil, holdfast.Errorf(holdfast.Invalid, "%s: %w", dir, err)
	}
	if !shard.HasTables(vfs.Default, dir) {
		return nil, is.NoTables(dir)
	}
	return is, nil
}

func match(is *cluster.Identity, c *config.Cluster) error {
	if c.Meets() {
		return is.MatchMet(c.Name, c.Expect, c.Advertise)
	}
	ids := make([]holdfast.NodeID, 0, len(c.Members))
	for _, m := range c.Members {
		ids = append(ids, holdfast.NodeID(m.ID))
	}
	return is.Match(c.Name, holdfast.NodeID(c.Node), ids)
}

// run begins to run replicas of shards of a store. The error is Corrupt unless it is the node's own
// store. fail is called if the store fails.
func (m *member) run(disk *shard.Store) error {
	if shard.StoreID(disk) != m.is.Store {
		return holdfast.Errorf(holdfast.Corrupt, "the tables aren't those of %v: put back the directory as it was",
			m.is)
	}
	m.lives.disk = disk
	found, _ := shard.Steps(disk)
	if err := m.lives.Begin(found); err != nil {
		return err
	}
	o := group.Options{
		Node: m.is.Node, Store: disk, Log: m.log,
		Send: func(g group.Message) {
			m.transport.Send(rpc.Message{To: g.To, Kind: kindGroup, Shard: g.Shard, Body: g.Body})
		},
		Stream: func(ctx context.Context, g group.Message, next func() ([]byte, error)) error {
			return m.transport.Stream(ctx, rpc.Message{To: g.To, Kind: kindSnapshot, Shard: g.Shard, Body: g.Body},
				next)
		},
		Fatal: func(err error) { m.fail(fmt.Errorf("replicas: %w", err)) },
	}
	if m.options != nil {
		m.options(&o)
	}
	host := group.NewHost(o)
	m.replicas.init(m, host, disk)
	m.forwarder.init(m)
	m.host.Store(host)
	return nil
}

// start connects to the other nodes, of which these are the addresses, and takes part.
func (m *member) start(
	store *table.Store, handler *dynamodb.Handler, kept *sessions, addresses map[holdfast.NodeID]string,
) {
	m.sessions.Store(kept)
	m.handler.Store(handler)
	m.roster.introduce(addresses)
	m.join(store)
	m.lives.follow()
	observe := func(leader holdfast.NodeID) {
		m.forwarder.observe(leader)
		kept.grants.Observe() // claims may have to wait from when this node leads
	}
	m.lags.follow(&m.replicas)
	m.lead = follow(m.host.Load(), &m.replicas, store, observe, m.is, m.log)
	m.compared.follow(store)
	m.steering.tables.Store(store)
	m.draining.start(m.steering.follow)
}

// close ends the node's part in the cluster. The table store is closed afterwards, since it waits for
// what the groups say about its last entries: that they are closed.
func (m *member) close() error {
	var errs []error
	m.compared.stop()
	m.lives.stop()
	m.joining.stop()
	m.draining.stop()
	m.lags.stop()
	if m.lead != nil {
		m.lead.stop()
	}
	if host := m.host.Load(); host != nil {
		errs = append(errs, host.Close())
	}
	m.joining.wait()
	m.draining.wait()
	if m.lead != nil {
		m.lead.wait()
	}
	if m.transport != nil {
		errs = append(errs, m.transport.Close())
	}
	return errors.Join(errs...)
}

// receive takes a message of another node.
func (m *member) receive(r rpc.Message) {
	host := m.host.Load()
	switch {
	case r.Kind == kindProgress:
		m.lives.Hear(r.From, r.Body)
		return
	case host == nil || r.Kind != kindGroup:
		return // this node isn't there yet; it is sent again
	}
	err := host.Receive(group.Message{From: r.From, To: r.To, Shard: r.Shard, Body: r.Body})
	if errors.Is(err, holdfast.Invalid) {
		m.log.Warn("a message of another node was dropped", "from", r.From, "shard", r.Shard, "err", err)
	}
}

// accept takes a stream of another node.
func (m *member) accept(ctx context.Context, r rpc.Message, next func() ([]byte, error)) error {
	host := m.host.Load()
	switch {
	case r.Kind != kindSnapshot:
		return holdfast.Errorf(holdfast.Invalid, "node %d knows no streams of kind %d", m.is.Node, r.Kind)
	case host == nil:
		return holdfast.Errorf(holdfast.NotFound, "node %d is starting", m.is.Node)
	}
	return host.ReceiveSnapshot(ctx, group.Message{From: r.From, To: r.To, Shard: r.Shard, Body: r.Body}, next)
}

// answer executes a request that another node has forwarded.
func (m *member) answer(ctx context.Context, r rpc.Message) ([]byte, error) {
	handler, kept := m.handler.Load(), m.sessions.Load()
	switch {
	case r.Kind == kindMembers && m.host.Load() != nil:
		return m.replicas.membersFor(r.From, r.Shard)
	case r.Kind == kindJoin:
		return m.answerJoinFor(ctx, r.Body)
	case r.Kind == kindChecksum || r.Kind == kindAccuse || r.Kind == kindCompare:
		return m.compared.answer(ctx, r)
	case r.Kind == kindLeads || r.Kind == kindSteer:
		return m.steering.answer(ctx, r)
	case handler == nil || kept == nil:
		return nil, holdfast.Errorf(holdfast.NotLeader, "nothing was changed: node %d is starting", m.is.Node)
	case r.Kind == kindRequest:
		return handler.Answer(ctx, r.Body)
	case r.Kind == kindSession:
		return nil, kept.answer(ctx, r.From, r.Body)
	case r.Kind == kindStatus:
		return json.Marshal(m.node())
	case r.Kind == kindForget:
		kept.keeper.Forget(string(r.Body))
		return nil, nil
	}
	return nil, holdfast.Errorf(holdfast.Invalid, "node %d knows no requests of kind %d", m.is.Node, r.Kind)
}
