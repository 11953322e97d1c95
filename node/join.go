package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"holdfast"
	"holdfast/cluster"
	"holdfast/rpc"
)

// join makes an empty directory that of a new node, which takes the place of one that is lost. A node
// that is to form a cluster, and hears that this was done without it, goes the same way, as one more
// (see run). Each step is on the disk before the next, so the process may be killed at any time, and
// started again with the same options:
//
//  1. the node draws an incarnation, by which the others know it from then on (cluster.incarnation);
//  2. it asks the cluster, whose leader gives the incarnation an ID, once, in the catalog;
//  3. it writes the identity that follows (cluster.forming), makes its store, and writes the identity
//     of that, too;
//  4. it commits the identity (cluster.json). From then on it is as any other node, with no replicas
//     yet: see joiner.
func (m *meeting) join(ctx context.Context) error {
	found, err := m.lookToJoin() // again, now that no other process changes it
	if err != nil || found.State == cluster.Formed {
		return err
	}
	meet, err := m.meetOptions(found)
	if err != nil {
		return err
	}
	m.far.Known = []rpc.Member{meet.Self}
	stop, err := m.serve(&meet)
	if err != nil {
		return err
	}
	return m.joinWith(ctx, found, &meet, m.options.Replace, stop)
}

// joinWith asks the others to take this node, in the place of a lost one unless that is 0, and makes the
// directory that of a member. stop ends what serves while the node waits.
func (m *meeting) joinWith(
	ctx context.Context, found cluster.Found, meet *rpc.MeetOptions, lost holdfast.NodeID, stop func() error,
) error {
	m.mu.Lock()
	m.joins = true
	m.mu.Unlock()
	m.log.Info("this node asks to join the cluster", "name", meet.Name, "address", meet.Self.Addr, "replaces", lost,
		"seeds", meet.Seeds)
	last := map[string]string{}
	joined, err := rpc.Ask(ctx, rpc.AskOptions{
		Join: rpc.Join{Name: meet.Name, Lost: lost, Self: meet.Self}, Seeds: meet.Seeds, TLS: meet.TLS, Log: m.log,
		Waits: func(addr string, why error) {
			m.mu.Lock()
			m.far.Unfit = []rpc.Unfit{{Addr: addr, Why: why}}
			m.mu.Unlock()
			if text := why.Error(); text != last[addr] {
				last[addr] = text
				m.log.Warn("this node can't join yet", "asked", addr, "err", why)
			}
		},
	})
	if errors.Is(err, holdfast.Refused) {
		err = fmt.Errorf("%w. %s stays as it is: nothing was changed", err, m.dir)
	}
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	return m.finishJoin(found, joinedAs(&joined, meet.Name, lost))
}

// lookToJoin finds out what the directory is. The error is Invalid if a node can't join with it.
func (m *meeting) lookToJoin() (cluster.Found, error) {
	found, err := m.look()
	if err != nil || found.Is == nil {
		return found, err
	}
	if is, lost := found.Is, m.options.Replace; is.Replaces != lost {
		return found, holdfast.Errorf(holdfast.Invalid, "%s is the directory of %v: --replace %d is for a new node, "+
			"whose directory is empty. Take another directory, or start this node without it", m.dir, is, lost)
	}
	return found, nil
}

// joinedAs returns the identity of a node that has joined. It has no store yet.
func joinedAs(j *rpc.Joined, name string, lost holdfast.NodeID) *cluster.Identity {
	is := &cluster.Identity{Cluster: j.Cluster, Name: name, Node: j.Node, Members: j.IDs, Replaces: lost,
		Added: lost == 0}
	for _, x := range j.Members {
		is.Met = append(is.Met, cluster.Member{Addr: x.Addr, Incarnation: cluster.Incarnation(x.Incarnation)})
	}
	return is
}

// finishJoin makes an identity the directory's.
func (m *meeting) finishJoin(found cluster.Found, is *cluster.Identity) (err error) {
	if was := found.Is; was != nil && (was.Cluster != is.Cluster || was.Node != is.Node) {
		return holdfast.Errorf(holdfast.Corrupt, "tables.data %s: it is that of %v, and the cluster knows it as %v",
			m.dir, was, is)
	}
	if err := cluster.Prepare(m.fs, m.dir, is); err != nil {
		return fmt.Errorf("tables.data %s: %w", m.dir, err)
	}
	if is.Store, err = makeStore(&m.options.Config, m.log); err != nil {
		return fmt.Errorf("tables.data %s: %w", m.dir, err)
	}
	if err := cluster.Prepare(m.fs, m.dir, is); err != nil {
		return err
	}
	if err := cluster.Commit(m.fs, m.dir); err != nil {
		return err
	}
	m.log.Info("this node has joined the cluster", "cluster", is.Cluster.String(), "name", is.Name, "node", is.Node,
		"replaces", is.Replaces, "nodes", slices.Clone(is.Members))
	return nil
}

// joinsNothing returns an error if a node is to join a cluster by a file that is none of such a node.
func (o *Options) joinsNothing() error {
	if o.Replace == 0 {
		return nil
	}
	return holdfast.Errorf(holdfast.Invalid, "--replace is for a node whose file has cluster.name, advertise and "+
		"seeds, as all files of its cluster: the nodes of a cluster that one process has formed can't be replaced")
}

// joinWaits says what a node waits for that asks to join.
func joinWaits(s *MeetingStatus) string {
	text := fmt.Sprintf("cluster: this node asks to join the cluster %q", s.Name)
	if s.Replaces != 0 {
		text += fmt.Sprintf(" in the place of node %d", s.Replaces)
	}
	for addr, why := range s.Unfit {
		text += fmt.Sprintf("; the node at %s: %s", addr, why)
	}
	return text
}
