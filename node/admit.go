package node

import (
	"context"
	"fmt"
	"strings"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/cluster"
	"holdfast/rpc"
	"holdfast/table"
)

// lostAfter is for how long a node must not have been heard before another may take its place. A
// connection without a byte is dropped sooner.
const lostAfter = 3 * time.Second

// An admission takes new nodes into the cluster, be it in the place of nodes that are lost for good.
type admission struct {
	is       *cluster.Identity
	roster   *roster
	replicas *replicas
	store    *table.Store
	leads    func() bool
	leader   func() holdfast.NodeID
	heard    func(holdfast.NodeID) time.Time
	call     func(context.Context, rpc.Message) ([]byte, error)
	began    time.Time // when this node began to hear the others
}

// answer answers a node that asks to join, whatever node it has asked: the one that leads decides.
func (a *admission) answer(ctx context.Context, j rpc.Join) (rpc.Joined, error) {
	if a.leads() {
		return a.admit(ctx, j)
	}
	leader := a.leader()
	if leader == 0 || leader == a.is.Node {
		return rpc.Joined{}, holdfast.Errorf(holdfast.NotLeader, "node %d knows no node that leads the cluster, which "+
			"must take the new one", a.is.Node)
	}
	raw, err := a.call(ctx, rpc.Message{To: leader, Kind: kindJoin, Body: j.Bytes()})
	if err != nil {
		return rpc.Joined{}, err
	}
	return rpc.ParseJoined(raw)
}

// stranger returns why a node isn't answered that meets this one to form a cluster, and is none of those
// that have formed this one: see rpc.Options.
func (m *member) stranger(name string, self rpc.Member) error {
	refused := func(format string, args ...any) error {
		return holdfast.Errorf(holdfast.Refused, format, args...)
	}
	if name != m.is.Name {
		return refused("the cluster here is %q, and the node at %s forms %q", m.is.Name, self.Addr, name)
	}
	if len(m.is.Met) == 0 {
		return refused("one process has formed the cluster %q: nodes can't be added to it", name)
	}
	nodes := m.roster.known()
	if nodes == nil {
		nodes = nodesOf(m.is)
	}
	incarnation := cluster.Incarnation(self.Incarnation).String()
	switch known := nodes.Known(incarnation); {
	case known == nil || !nodes.HasFormed(known.ID):
	case known.Address == self.Addr:
		return holdfast.Errorf(holdfast.Overloaded, "node %d has joined later: the nodes that have formed the cluster "+
			"answer the one at %s", m.is.Node, self.Addr)
	default:
		return refused("the cluster %q knows the node with incarnation %s as node %d at %s: its address was changed, "+
			"or the directory of another node was copied to the node at %s", name, incarnation, known.ID, known.Address,
			self.Addr)
	}
	for _, x := range nodes.Present() {
		if x.Address == self.Addr && x.Incarnation != incarnation {
			return refused("the nodes of the cluster %q are %s: the node at %s with incarnation %s isn't one of them, "+
				"or its disk was emptied; node %d has that address", name, presentText(nodes), self.Addr, incarnation, x.ID)
		}
	}
	return holdfast.Errorf(holdfast.Exists, "the cluster %q was formed before: its nodes are %s", name,
		presentText(nodes))
}

// presentText names nodes with their addresses.
func presentText(n *catalog.Nodes) string {
	var all []string
	for _, x := range n.Present() {
		all = append(all, fmt.Sprintf("%d at %s", x.ID, x.Address))
	}
	return strings.Join(all, ", ")
}

// admit has a new node be one of the cluster, in the catalog. Asked again by the same node it
// changes nothing, and gives the same answer. The error is Conflict if that can never be.
func (a *admission) admit(ctx context.Context, j rpc.Join) (rpc.Joined, error) {
	incarnation := cluster.Incarnation(j.Self.Incarnation).String()
	switch {
	case j.Name != a.is.Name:
		return rpc.Joined{}, never("the cluster here is %q, and the node at %s asks for %q", a.is.Name, j.Self.Addr,
			j.Name)
	case len(a.is.Met) == 0:
		return rpc.Joined{}, never("one process has formed this cluster: its nodes can't be replaced, and none added")
	}
	nodes, err := table.ChangeNodes(ctx, a.store,
		func(is *catalog.Nodes, next holdfast.ShardID) (*catalog.Nodes, error) {
			if is == nil {
				is = nodesOf(a.is)
			}
			if is.Known(incarnation) != nil {
				return is, a.asks(is, &j, incarnation)
			}
			by := catalog.Node{Address: j.Self.Addr, Incarnation: incarnation}
			after, err := is.Add(by)
			if j.Lost != 0 {
				after, err = is.Replace(j.Lost, by, next)
			}
			switch {
			case err != nil:
				return nil, never("%w", err)
			case j.Lost == 0:
				return after, nil
			}
			return after, a.isLost(j.Lost)
		})
	if err != nil {
		return rpc.Joined{}, err
	}
	answer := rpc.Joined{Cluster: a.is.Cluster, Node: nodes.Known(incarnation).ID}
	for _, x := range nodes.Present() {
		answer.IDs, answer.Members = append(answer.IDs, x.ID), append(answer.Members, memberOf(&x))
	}
	return answer, nil
}

func never(format string, args ...any) error {
	return holdfast.Errorf(holdfast.Conflict, format, args...)
}

// asks returns an error unless a node that was taken before asks for the same again.
func (a *admission) asks(is *catalog.Nodes, j *rpc.Join, incarnation string) error {
	known := is.Known(incarnation)
	switch {
	case known.Removed:
		return never("the directory is that of node %d, which was removed: take an empty one", known.ID)
	case known.ReplacedBy != 0:
		return never("the directory is that of node %d, which was replaced by node %d: take an empty one", known.ID,
			known.ReplacedBy)
	case is.HasFormed(known.ID):
		return never("the directory is that of node %d, which has formed the cluster", known.ID)
	case known.Replaces != j.Lost && known.Replaces == 0:
		return never("the directory is that of node %d, which joins in nobody's place", known.ID)
	case known.Replaces != j.Lost:
		return never("the directory is that of node %d, which joins in the place of node %d", known.ID, known.Replaces)
	case known.Address != j.Self.Addr:
		return never("the directory is that of node %d, which the others know at %s: go on with that address, or have "+
			"an empty directory take the place of node %d", known.ID, known.Address, known.ID)
	}
	return nil
}

// isLost returns an error unless a node may be taken for lost for good: it isn't heard, and without it
// a majority of each group is. It is Conflict if the node is heard; the others may be heard later.
func (a *admission) isLost(id holdfast.NodeID) error {
	now := time.Now()
	if at := a.heard(id); id == a.is.Node || !at.IsZero() && now.Sub(at) < lostAfter {
		return never("node %d runs: it was heard within the last %v. End it first, and ask again then", id, lostAfter)
	}
	if now.Sub(a.began) < lostAfter {
		return holdfast.Errorf(holdfast.Overloaded, "node %d leads, and can't know yet whether node %d runs: ask again",
			a.is.Node, id)
	}
	for _, r := range a.replicas.list() {
		voters, heard := 0, 0
		members, _ := r.Members()
		for _, voter := range members.Voters {
			voters++
			if voter == a.is.Node || voter != id && now.Sub(a.heard(voter)) < lostAfter {
				heard++
			}
		}
		if heard <= voters/2 {
			return holdfast.Errorf(holdfast.Overloaded, "without node %d, only %d of the %d members of the group of "+
				"shard %d are heard, which is no majority", id, heard, voters, r.id)
		}
	}
	return nil
}

// nodesOf returns the nodes of a cluster as those that have formed it know them.
func nodesOf(is *cluster.Identity) *catalog.Nodes {
	var all []catalog.Node
	for i, m := range is.Met {
		all = append(all, catalog.Node{ID: is.Members[i], Address: m.Addr, Incarnation: m.Incarnation.String()})
	}
	return catalog.FormedBy(all)
}

// memberOf returns a node of the catalog as nodes that meet know each other.
func memberOf(x *catalog.Node) rpc.Member {
	is, err := cluster.ParseIncarnation(x.Incarnation)
	if err != nil {
		panic("node: " + err.Error()) // the catalog has what memberOf's counterpart has written
	}
	return rpc.Member{Addr: x.Address, Incarnation: rpc.Incarnation(is)}
}

// gone returns why a node is none of the cluster any more; nil: it is one, or never was.
func (r *roster) gone(id holdfast.NodeID) error {
	n := r.known()
	if n == nil {
		return nil
	}
	x := n.Node(id)
	switch {
	case x == nil || x.Is():
		return nil
	case x.Removed:
		return holdfast.Errorf(holdfast.Gone, "node %d was removed from the cluster", id)
	}
	by := n.Node(x.ReplacedBy)
	return holdfast.Errorf(holdfast.Gone, "node %d was lost, and node %d at %s has taken its place", id, by.ID,
		by.Address)
}
