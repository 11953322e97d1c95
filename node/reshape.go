package node

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/group"
	"holdfast/table"
)

// How often a node looks whether the groups that it leads have the members that they are to have,
// while they don't and otherwise, unless something changes; and how long it waits for a change of
// them.
const (
	reshapeEvery  = 200 * time.Millisecond
	reshapeSeldom = 30 * time.Second
	reshapeWait   = 5 * time.Second
)

// caughtUp is how many entries a replica may lack for its node to answer reads.
const caughtUp = 1000

// A reshaping has the groups that this node leads get the members that the catalog says: each node
// that the cluster gets becomes a learner. When it has caught up, it becomes a voter if it is to be one,
// in the place of one that isn't any more. What is to be done follows from the catalog and the members
// alone, so it goes on at whichever node leads, after any failure.
//
// A node that doesn't lead the catalog's group can't lead the others (see leadership). So the
// catalog's group gets a new voter last: until then, the new node can't be elected there, and be
// asked to lead groups that it has no vote in.
//
// A node acts only on what can't change any more: that another one was replaced, or is to go. One that
// has followed less of the catalog than others does less.
type reshaping struct {
	roster   *roster
	replicas *replicas
	store    *table.Store
	transfer func(context.Context, holdfast.NodeID) (*Transfer, error)
	log      *slog.Logger
}

// run reshapes groups until ctx ends.
func (x *reshaping) run(ctx context.Context) {
	timer := time.NewTimer(reshapeEvery)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-x.replicas.moved:
		case <-ctx.Done():
			return
		}
		if x.look(ctx) {
			timer.Reset(reshapeEvery)
		} else {
			timer.Reset(reshapeSeldom)
		}
	}
}

// look does what can be done now, and reports whether there may be more to do although nothing
// changes.
func (x *reshaping) look(ctx context.Context) (more bool) {
	n := x.roster.known()
	if n == nil {
		return false // the nodes are those that have formed the cluster
	}
	x.leave(ctx, n)
	settled, more := x.reshapeAll(ctx, n)
	if settled && x.store.Leads() {
		x.finish(ctx, n)
		x.noteRemoved(ctx, n)
	}
	return more || slices.ContainsFunc(n.Present(), func(is catalog.Node) bool { return is.Joining || is.Leaving })
}

// reshapeAll changes the members of the groups that this node leads, each by one step. It reports
// whether it leads all, and all have the members that they are to have; and whether one that it leads
// hasn't.
func (x *reshaping) reshapeAll(ctx context.Context, n *catalog.Nodes) (settled, more bool) {
	settled = true
	all := x.replicas.list()
	slices.SortFunc(all, func(a, b placed) int { // the catalog's last
		return cmp.Or(boolCompare(a.id == catalog.ShardID, b.id == catalog.ShardID), cmp.Compare(a.id, b.id))
	})
	for _, r := range all {
		if ctx.Err() != nil {
			return false, true
		}
		if _, err := r.Lead(); err != nil {
			settled = false
			continue
		}
		members, _ := r.Members()
		steps := stepsOf(n, members)
		if len(steps) > 0 || members.Joint() {
			more = true
		}
		if r.id == catalog.ShardID && !settled {
			steps = slices.DeleteFunc(steps, func(c group.Change) bool { return c.Add == 0 })
		}
		if len(steps) > 0 || members.Joint() {
			settled = false
		}
		for _, step := range steps {
			if x.change(ctx, &r, step) {
				break
			}
		}
	}
	return settled, more
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// change changes the members of a group, and reports whether it did. A learner that hasn't caught up
// yet is mostly why not.
func (x *reshaping) change(ctx context.Context, r *placed, c group.Change) bool {
	ctx, end := context.WithTimeout(ctx, reshapeWait)
	defer end()
	err := r.Change(ctx, c)
	if err != nil && !errors.Is(err, holdfast.Refused) && ctx.Err() == nil {
		x.log.Warn("the members of a group couldn't be changed", "shard", r.id, "change", c, "err", err)
	}
	return err == nil
}

// stepsOf returns the changes of a group's members that are to be tried, of which one is made at a
// time; none if the members are those that they are to be, or one is under way.
func stepsOf(n *catalog.Nodes, m *group.Members) (steps []group.Change) {
	if m.Joint() {
		return nil
	}
	voters := n.Voters(n.Replicas())
	goes := func(id holdfast.NodeID) bool { x := n.Node(id); return x != nil && (!x.Is() || x.Leaving) }
	lost := holdfast.NodeID(0) // one that votes and goes; 0: none
	if i := slices.IndexFunc(m.Voters, goes); i >= 0 {
		lost = m.Voters[i]
	}
	for _, id := range m.Learners {
		if x := n.Node(id); x != nil && !x.Is() {
			steps = append(steps, group.Change{Remove: id})
		}
	}
	for _, id := range n.Members() {
		if !m.Has(id) && !slices.Contains(m.Removed, id) {
			steps = append(steps, group.Change{Add: id})
		}
	}
	missing := false
	for _, id := range voters {
		if m.Learns(id) {
			steps = append(steps, group.Change{Promote: id, Remove: lost})
		}
		missing = missing || !slices.Contains(m.Voters, id)
	}
	if !missing && lost != 0 {
		steps = append(steps, group.Change{Remove: lost})
	}
	return steps
}

// finish notes in the catalog that all groups have the nodes that have joined.
func (x *reshaping) finish(ctx context.Context, n *catalog.Nodes) {
	for _, node := range n.Present() {
		if !node.Joining || !x.has(node.ID) {
			continue
		}
		ctx, end := context.WithTimeout(ctx, reshapeWait)
		_, err := table.ChangeNodes(ctx, x.store, func(is *catalog.Nodes, _ holdfast.ShardID) (*catalog.Nodes, error) {
			return is.Joined(node.ID), nil
		})
		end()
		if err != nil {
			x.log.Warn("that a node has joined couldn't be noted", "node", node.ID, "err", err)
			return
		}
		x.log.Info("all groups have a node that has joined", "node", node.ID, "replaces", node.Replaces)
	}
}

// has reports whether a node has about all that the groups have, which this one leads.
func (x *reshaping) has(id holdfast.NodeID) bool {
	for _, r := range x.replicas.list() {
		members, _ := r.Members()
		if slices.Contains(members.Voters, id) {
			continue // it had caught up
		}
		s := r.Status()
		if match := s.Learning[id]; match == 0 || match+caughtUp < s.Committed {
			return false
		}
	}
	return true
}

// A JoinStatus is how far a node is that joins.
type JoinStatus struct {
	Replaces holdfast.NodeID `json:"replaces"` // the lost node whose place it takes; 0: that of none
	Groups   int             `json:"groups"`   // of those with a replica on the node that is asked: they have it
	Of       int             `json:"of"`       // such groups
}

// joins returns how far nodes are that join, as this node knows.
func (m *member) joins() map[holdfast.NodeID]*JoinStatus {
	n := m.roster.known()
	if n == nil {
		return nil
	}
	all := map[holdfast.NodeID]*JoinStatus{}
	for _, x := range n.Present() {
		if !x.Joining {
			continue
		}
		s := &JoinStatus{Replaces: x.Replaces, Of: len(m.replicas.joiner.list())}
		votes := slices.Contains(n.Voters(n.Replicas()), x.ID)
		for _, r := range m.replicas.list() {
			s.Of++
			members, _ := r.Members()
			if (slices.Contains(members.Voters, x.ID) || !votes && members.Learns(x.ID)) && !members.Joint() {
				s.Groups++
			}
		}
		all[x.ID] = s
	}
	return all
}
