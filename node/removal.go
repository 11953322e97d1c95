package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/table"
)

// A Removal is how far it is that a node is taken out of its cluster for good.
type Removal struct {
	Node  holdfast.NodeID `json:"node"`
	Asked holdfast.NodeID `json:"asked"`  // the node that responds
	Done  bool            `json:"done"`   // it is none of the cluster any more
	Leads bool            `json:"leads"`  // it leads, and hands that over first
	Votes int             `json:"votes"`  // in how many groups it still votes
	Of    int             `json:"groups"` // that there are

	// Spares are the nodes that are to vote in its place and have no vote in some group yet.
	Spares []holdfast.NodeID `json:"spares,omitempty"`
}

// remove has a node leave, unless it does or has. From then on the catalog says so, and the reshaping
// of the node that leads does the rest, whichever that is. The error is Conflict if the node must stay, or
// is none of the cluster, NotFound if it never was, and nothing was changed then; it is NotLeader if this
// node doesn't lead.
func (a *admission) remove(ctx context.Context, id holdfast.NodeID) (*Removal, error) {
	switch {
	case a == nil || !a.leads():
		return nil, holdfast.Errorf(holdfast.NotLeader, "nothing was changed: no node leads the cluster yet")
	case len(a.is.Met) == 0:
		return nil, stays("one process has formed this cluster: its nodes can't be removed")
	}
	n, err := table.ChangeNodes(ctx, a.store,
		func(is *catalog.Nodes, next holdfast.ShardID) (*catalog.Nodes, error) {
			was := is
			if is == nil {
				is = nodesOf(a.is)
			}
			if x := is.Node(id); x != nil && x.Removed {
				return was, nil
			}
			after, err := is.Leave(id, next)
			switch {
			case errors.Is(err, holdfast.NotFound):
				return nil, err
			case err != nil:
				return nil, stays("%w", err)
			case after == is:
				return was, nil
			}
			return after, a.mayLeave(id, is, after)
		})
	if err != nil {
		return nil, err
	}
	return a.removal(id, n), nil
}

// stays returns the error of a node that isn't removed.
func stays(format string, args ...any) error {
	return holdfast.Errorf(holdfast.Conflict, "nothing was changed: %w", holdfast.Errorf(holdfast.Conflict, format,
		args...))
}

// mayLeave returns an error unless a node may leave as things are: those that vote without it are
// heard, or most of them, and those that are to have its votes.
func (a *admission) mayLeave(id holdfast.NodeID, before, after *catalog.Nodes) error {
	up := func(x holdfast.NodeID) bool { return x == a.is.Node || time.Since(a.heard(x)) < lostAfter }
	voted, votes := before.Voters(before.Replicas()), after.Voters(after.Replicas())
	heard := 0
	for _, x := range votes {
		switch {
		case up(x):
			heard++
		case !slices.Contains(voted, x):
			return stays("node %d would vote in the place of node %d, and isn't heard: start it first, or remove it", x,
				id)
		}
	}
	if heard <= len(votes)/2 {
		return stays("without node %d, only %d of the %d nodes that vote are heard, which is no majority", id, heard,
			len(votes))
	}
	return nil
}

// removal returns how far the removal of a node is.
func (a *admission) removal(id holdfast.NodeID, n *catalog.Nodes) *Removal {
	is := &Removal{Node: id, Done: n.Node(id).Removed, Leads: a.is.Node == id}
	lack := map[holdfast.NodeID]bool{}
	for _, r := range a.replicas.list() {
		is.Of++
		members, _ := r.Members()
		if !is.Done && members.Votes(id) {
			is.Votes++
		}
		for _, x := range n.Voters(n.Replicas()) {
			if !slices.Contains(members.Voters, x) && !lack[x] {
				lack[x] = true
				is.Spares = append(is.Spares, x)
			}
		}
	}
	slices.Sort(is.Spares)
	return is
}

// leave hands the leadership over if this node leads, and is to be removed.
func (x *reshaping) leave(ctx context.Context, n *catalog.Nodes) {
	self := n.Node(x.replicas.self)
	c := x.replicas.of(catalog.ShardID)
	if self == nil || !self.Leaving || c == nil {
		return
	}
	if _, err := c.Lead(); err != nil {
		return
	}
	match := c.Status().Match
	next := n.Voters(n.Replicas())
	slices.SortStableFunc(next, func(a, b holdfast.NodeID) int { return cmp.Compare(match[b], match[a]) })
	var why error
	for _, id := range next {
		if _, votes := match[id]; !votes {
			continue
		}
		if !x.store.Leads() { // as after it was elected when some groups had it no more
			c.Transfer(id)
			return
		}
		ctx, end := context.WithTimeout(ctx, steerCall)
		_, err := x.transfer(ctx, id)
		if end(); err == nil {
			return
		}
		why = err
	}
	x.log.Warn("this node is to be removed, and can't hand its leadership over yet", "err", why)
}

// noteRemoved notes in the catalog that nodes are none any more whose votes others have in all groups.
func (x *reshaping) noteRemoved(ctx context.Context, n *catalog.Nodes) {
	for _, node := range n.Present() {
		if !node.Leaving {
			continue
		}
		ctx, end := context.WithTimeout(ctx, reshapeWait)
		_, err := table.ChangeNodes(ctx, x.store, func(is *catalog.Nodes, _ holdfast.ShardID) (*catalog.Nodes, error) {
			return is.Remove(node.ID), nil
		})
		end()
		if err != nil {
			x.log.Warn("that a node was removed couldn't be noted", "node", node.ID, "err", err)
			return
		}
		x.log.Info("a node was removed from the cluster", "node", node.ID, "address", node.Address)
	}
}

// String says how far it is.
func (r *Removal) String() string {
	switch {
	case r.Done:
		return fmt.Sprintf("node %d is removed: it is none of the cluster any more", r.Node)
	case r.Leads:
		return fmt.Sprintf("node %d hands over its leadership", r.Node)
	case len(r.Spares) > 0 && r.Votes > 0:
		return fmt.Sprintf("node %d votes in %d of %d groups; %s to vote in its place once it has caught up", r.Node,
			r.Votes, r.Of, beText(r.Spares))
	case r.Votes > 0:
		return fmt.Sprintf("node %d votes in %d of %d groups", r.Node, r.Votes, r.Of)
	}
	return fmt.Sprintf("node %d votes nowhere any more, and is about to be removed", r.Node)
}

func beText(ids []holdfast.NodeID) string {
	if len(ids) == 1 {
		return nodesText(ids) + " is"
	}
	return nodesText(ids) + " are"
}
