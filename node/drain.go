package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/table"
)

// drainEvery is how often a drained node that leads looks for another that can.
const drainEvery = 250 * time.Millisecond

// A DrainStatus is how far a node is drained.
type DrainStatus struct {
	Node    holdfast.NodeID `json:"node"`
	Drained bool            `json:"drained"` // the mark
	Changed bool            `json:"changed"` // by the request that this answers
	Leads   int             `json:"leads"`   // groups
	Votes   int             `json:"votes"`   // groups in which it has a vote
	Groups  int             `json:"groups"`
	Done    bool            `json:"done"` // it leads nothing, or isn't drained
	Why     string          `json:"why"`  // it isn't done, if that is known
}

// drain marks a node as drained, or as drained no more, at the node that leads, and says how far that
// is. Asked again it changes nothing and says how far it is. With an error nothing was changed, unless
// that is Unavailable: it is NotFound if the cluster has no such node, and Conflict if that can't be.
func (s *steering) drain(ctx context.Context, of steerForm) (*DrainStatus, error) {
	m, id, store := s.member, of.Drain, s.tables.Load()
	if leads := m.forwarder.leads; store == nil || leads == nil || !leads() {
		return nil, holdfast.Errorf(holdfast.NotLeader, "nothing was changed: node %d doesn't lead the tables",
			m.is.Node)
	}
	if len(m.is.Met) == 0 {
		return nil, holdfast.Errorf(holdfast.Conflict, "nothing was changed: one process has all nodes of this "+
			"cluster, so none of them can be taken down alone")
	}
	changed := false
	nodes, err := table.ChangeNodes(ctx, store, func(was *catalog.Nodes, _ holdfast.ShardID) (*catalog.Nodes, error) {
		is := was
		if is == nil {
			is = nodesOf(m.is)
		}
		next, err := is.Drain(id, !of.Undo)
		if err == nil && next == is {
			return was, nil
		}
		if err == nil && !of.Undo {
			err = s.spared(is, id)
		}
		changed = err == nil
		return next, unchangedBy(err)
	})
	if err != nil {
		return nil, err
	}
	if changed {
		m.log.Info("a node is drained, or isn't any more", "node", id, "drained", !of.Undo)
	}
	why := ""
	if id == m.is.Node && !of.Undo {
		why = s.giveUp(ctx)
	}
	is := s.drained(nodes, id)
	is.Changed = changed
	if !is.Done && is.Leads > 0 {
		is.Why = why
	}
	return is, nil
}

// unchangedBy returns an error of the same kind whose text says that nothing was changed.
func unchangedBy(err error) error {
	kind := holdfast.Conflict
	switch {
	case err == nil:
		return nil
	case errors.Is(err, holdfast.NotFound):
		kind = holdfast.NotFound
	}
	return holdfast.Errorf(kind, "nothing was changed: %w", err)
}

// spared returns an error unless the cluster does without a node, and without those that are drained.
func (s *steering) spared(n *catalog.Nodes, id holdfast.NodeID) error {
	m, now := s.member, time.Now()
	for _, r := range m.replicas.list() {
		members, _ := r.Members()
		if !members.Votes(id) {
			continue
		}
		g, left, needed := r.Status(), 0, len(members.Voters)/2+1
		var away []holdfast.NodeID
		for _, voter := range members.Voters {
			up := voter == m.is.Node || now.Sub(m.transport.Heard(voter)) < heardLately &&
				g.Committed <= g.Match[voter]+lagToLead && !slices.Contains(g.Outdated, voter)
			switch {
			case voter == id:
			case up && !n.Drained(voter):
				left++
			default:
				away = append(away, voter)
			}
		}
		if left >= needed {
			continue
		}
		why := ""
		if len(away) > 0 {
			why = fmt.Sprintf(": %s isn't heard, lacks much, or is drained", nodesText(away))
		}
		return holdfast.Errorf(holdfast.Conflict, "without node %d, %d of the %d members of the group of shard %d are "+
			"left, and a majority is %d%s", id, left, len(members.Voters), r.id, needed, why)
	}
	return nil
}

// drained returns how far a node is drained, at the node that leads, or has just led.
func (s *steering) drained(n *catalog.Nodes, id holdfast.NodeID) *DrainStatus {
	m := s.member
	is := &DrainStatus{Node: id, Drained: n.Drained(id)}
	if id == m.is.Node {
		is.Leads = len(m.replicas.led())
	}
	for _, r := range m.replicas.list() {
		is.Groups++
		members, _ := r.Members()
		if members.Votes(id) {
			is.Votes++
		}
	}
	is.Done = !is.Drained || is.Leads == 0
	return is
}

// giveUp has another node lead that isn't drained, if one can, and says otherwise why none does.
func (s *steering) giveUp(ctx context.Context) (why string) {
	m := s.member
	for _, id := range m.roster.members() {
		if id == m.is.Node || m.roster.known().Drained(id) {
			continue
		}
		if _, err := s.transfer(ctx, id); err != nil {
			why = err.Error()
			continue
		}
		return ""
	}
	return why
}

// follow has this node hand over what it leads whenever it is drained, as soon as another can lead: it
// may have been elected because none could. It ends when ctx does.
func (s *steering) follow(ctx context.Context) {
	ticker := time.NewTicker(drainEvery)
	defer ticker.Stop()
	m, failure := s.member, ""
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if !m.roster.known().Drained(m.is.Node) || !m.forwarder.leads() {
			failure = ""
			continue
		}
		if why := s.giveUp(ctx); why != failure {
			if failure = why; why != "" {
				m.log.Warn("this node is drained, and still leads", "err", why)
			}
		}
	}
}
