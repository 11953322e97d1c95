package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/cluster"
	"holdfast/config"
	"holdfast/rpc"
	"holdfast/shard"
)

// missingAfter is how long a node meets others before the log says who is missing.
const missingAfter = 3 * time.Second

// Meet makes the directory of a node that of a member of its cluster. At the first start it forms
// the cluster with the other nodes, and waits for them; HTTP's /healthz answers 503 meanwhile. It
// does nothing if the directory has its identity, or unless o.Config.Cluster is that of a node that
// meets others. If the cluster was formed before, the node joins it: with o.Replace in the place of a
// lost node, else as one more. Open then opens the
// node, with the same Options: they have the sockets that Meet has bound.
//
// The error is Invalid or Refused if the directory, the configuration or the other nodes are those of
// another cluster, Canceled when ctx ends, and a *ListenError if an address can't be listened on.
func Meet(ctx context.Context, o *Options) error {
	c := o.Config.Cluster
	if c == nil || !c.Meets() {
		return o.joinsNothing()
	}
	m := &meeting{fs: vfs.Default, dir: o.Config.Tables.Data, options: *o, log: o.Log}
	look, run := m.look, m.run
	if o.Replace != 0 {
		look, run = m.lookToJoin, m.join
	}
	found, err := look()
	switch {
	case err != nil:
		return err
	case found.State == cluster.Formed:
		return cluster.Clean(m.fs, m.dir) // the process may have been killed before
	}
	lock, err := cluster.Lock(m.fs, m.dir)
	if err != nil {
		return fmt.Errorf("tables.data %w", err)
	}
	if err := run(ctx); err != nil {
		return fmt.Errorf("%w%s%s", err, closed(lock), closed(m))
	}
	o.bound = m.bound
	return lock.Close()
}

// A meeting is a node that forms a cluster with others, each in a process of its own.
type meeting struct {
	fs      vfs.FS
	dir     string
	options Options
	log     *slog.Logger
	bound   sockets

	mu    sync.Mutex   // guards what follows
	far   rpc.Progress // since the start
	joins bool         // the cluster is formed, and the node asks to join it
}

// Close closes the sockets.
func (m *meeting) Close() error { return m.bound.close() }

// look finds out what the directory is. The error is Invalid if the node can't form a cluster with it.
func (m *meeting) look() (cluster.Found, error) {
	found, err := cluster.Look(m.fs, m.dir)
	switch {
	case err != nil:
		return found, fmt.Errorf("tables.data %s: %w", m.dir, err)
	case found.State == cluster.Other && shard.HasTables(m.fs, m.dir):
		return found, holdfast.Errorf(holdfast.Invalid,
			"%s holds tables, and no identity of a cluster's node. If it was that of a node, put it back as it "+
				"was; tables of a single node can't become a cluster's: choose another directory, and copy "+
				"them with \"holdfast table export\" and \"import\"", m.dir)
	case found.State == cluster.Other:
		return found, holdfast.Errorf(holdfast.Invalid, "%s has %s in it, and no identity of a cluster's node: take a "+
			"directory that is empty or missing", m.dir, found.Name)
	case found.State == cluster.Forming && found.Is.Replaces != 0 && m.options.Replace == 0:
		return found, holdfast.Errorf(holdfast.Invalid, "%s is that of %v, which was about to join in the place of "+
			"node %d: start it with --replace %d", m.dir, found.Is, found.Is.Replaces, found.Is.Replaces)
	case found.State == cluster.Forming:
		c := m.options.Config.Cluster
		if err := found.Is.MatchMet(c.Name, c.Expect, c.Advertise); err != nil {
			return found, holdfast.Errorf(holdfast.Invalid, "%s: %w", m.dir, err)
		}
	}
	return found, nil
}

// run meets the others, and makes the directory that of a member. The directory is locked.
func (m *meeting) run(ctx context.Context) error {
	found, err := m.look() // again, now that no other process changes it
	if err != nil {
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
	if found.Is != nil && found.Is.Added {
		return m.joinWith(ctx, found, &meet, 0, stop)
	}
	m.log.Info("this node meets the others to form a cluster", "name", meet.Name, "address", meet.Self.Addr,
		"nodes", meet.Expect, "seeds", meet.Seeds)
	late := time.AfterFunc(missingAfter, func() { m.log.Warn(m.waits()) })
	formed, err := rpc.Meet(ctx, meet)
	late.Stop()
	if errors.Is(err, holdfast.Exists) && found.State != cluster.Forming {
		m.log.Info("the cluster was formed before", "name", meet.Name, "heard", err)
		return m.joinWith(ctx, found, &meet, 0, stop)
	}
	if err := errors.Join(m.explain(found, err), stop()); err != nil {
		return err
	}
	return m.finish(&formed)
}

// meetOptions returns those of a node whose directory is as it was found. A new directory gets its
// incarnation, on the disk, before any other node hears of that.
func (m *meeting) meetOptions(found cluster.Found) (meet rpc.MeetOptions, err error) {
	c := m.options.Config.Cluster
	meet = rpc.MeetOptions{
		Name: c.Name, Expect: c.Expect, Self: rpc.Member{Addr: c.Advertise}, Listen: c.Address(), Seeds: c.Seeds,
		Prepare: func(f rpc.Formed) error { return cluster.Prepare(m.fs, m.dir, identityFrom(&f, meet.Self)) },
		Progress: func(far rpc.Progress) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.far = far
		},
		Log: m.log,
	}
	if meet.TLS, err = clusterTLS(&c.TLS); err != nil {
		return meet, err
	}
	if found.State == cluster.Forming {
		meet.Prepared = formedFrom(found.Is)
		meet.Self.Incarnation = rpc.Incarnation(found.Is.Self().Incarnation)
		return meet, nil
	}
	if c.Expect > 1 && !slices.ContainsFunc(c.Seeds, func(s string) bool { return s != c.Advertise }) {
		return meet, holdfast.Errorf(holdfast.Invalid,
			"%s is empty, so the node must meet the others, and cluster.seeds "+
				"has no address of another node: set those of all nodes", m.dir)
	}
	is, err := cluster.Draw(m.fs, m.dir)
	meet.Self.Incarnation = rpc.Incarnation(is)
	return meet, err
}

// explain adds to the error of a meeting what may have happened, and what to do.
func (m *meeting) explain(found cluster.Found, err error) error {
	var socket *net.OpError
	switch refused := errors.Is(err, holdfast.Refused) || errors.Is(err, holdfast.Exists); {
	case refused && found.State == cluster.Forming:
		return fmt.Errorf(
			"%s is that of %v, which waits for the others: %w. Put back what was changed, at this node or "+
				"the other", m.dir, found.Is, err)
	case refused:
		return fmt.Errorf("%w. %s has no identity: if it was this node's before, it was emptied, or its file system "+
			"isn't mounted; put it back as it was when the node ended last. If it is lost for good, start the node "+
			"with --replace ID, the ID of the node that is lost. If the cluster is to be a new one, compare "+
			"cluster.name, expect, advertise and seeds with those of the others", err, m.dir)
	case errors.As(err, &socket) && socket.Op == "listen":
		return &ListenError{"cluster.listen", err}
	}
	return err
}

// finish makes the identity of the directory that of a member of the cluster. The store exists only
// once the identity is known, and the identity names the store.
func (m *meeting) finish(f *rpc.Formed) (err error) {
	c := m.options.Config.Cluster
	found, err := cluster.Look(m.fs, m.dir)
	if err != nil {
		return err
	}
	is := found.Is
	if is == nil || len(is.Met) == 0 || !f.Equal(formedFrom(is)) || is.Self().Addr != c.Advertise {
		return holdfast.Errorf(holdfast.Corrupt, "tables.data %s: it isn't as this process has left it", m.dir)
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
	m.log.Info("a cluster is formed", "cluster", is.Cluster.String(), "name", is.Name, "nodes", len(is.Members),
		"node", is.Node)
	return nil
}

// identityFrom returns the identity of a node of a cluster that is formed. It has no store yet.
func identityFrom(f *rpc.Formed, self rpc.Member) *cluster.Identity {
	is := &cluster.Identity{Cluster: f.Cluster, Name: f.Name, Node: f.ID(self.Incarnation)}
	for i, m := range f.Members {
		is.Members = append(is.Members, holdfast.NodeID(i+1))
		is.Met = append(is.Met, cluster.Member{Addr: m.Addr, Incarnation: cluster.Incarnation(m.Incarnation)})
	}
	return is
}

// formedFrom returns what the nodes have agreed on; nil if they haven't met, or this one has joined
// later.
func formedFrom(is *cluster.Identity) *rpc.Formed {
	if len(is.Met) == 0 || is.Joined() {
		return nil
	}
	f := &rpc.Formed{Cluster: is.Cluster, Name: is.Name}
	for _, m := range is.Met {
		f.Members = append(f.Members, rpc.Member{Addr: m.Addr, Incarnation: rpc.Incarnation(m.Incarnation)})
	}
	return f
}

// serve binds the sockets, and has HTTP answer while the node waits: /healthz with 503. stop ends
// that, and leaves them bound.
func (m *meeting) serve(meet *rpc.MeetOptions) (stop func() error, err error) {
	if err := freeForClients(&m.options); err != nil {
		return nil, err
	}
	if m.bound.cluster, err = rpc.Bind(meet.Listen, meet.TLS); err != nil {
		return nil, m.explain(cluster.Found{}, err)
	}
	meet.Listener = keptListener{m.bound.cluster}
	n := newNode(m.options)
	n.meeting = m
	if address := m.options.Config.HTTP.Address(); m.options.Config.HTTP.Listen != "" {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, &ListenError{"http.listen", err}
		}
		m.bound.http = l.(*net.TCPListener)
		if n.http, err = listenHTTP(m.options.Config.HTTP, n, keptListener{m.bound.http}); err != nil {
			return nil, &ListenError{"http.listen", err}
		}
	}
	n.http.serve()
	return n.http.close, nil
}

// status returns how far the node is.
func (m *meeting) status() *MeetingStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.options.Config.Cluster
	s := &MeetingStatus{Name: c.Name, Address: c.Advertise, Nodes: c.Expect, Joins: m.joins,
		Replaces: m.options.Replace, Unfit: map[string]string{},
		Known: addressesOf(m.far.Known), Met: addressesOf(m.far.Met), Missing: missing(c, m.far.Known, m.far.Met)}
	for _, u := range m.far.Unfit {
		s.Unfit[u.Addr] = u.Why.Error()
	}
	return s
}

func addressesOf(members []rpc.Member) []string {
	all := make([]string, len(members))
	for i, m := range members {
		all[i] = m.Addr
	}
	return all
}

// waits says for whom the node waits.
func (m *meeting) waits() string {
	s := m.status()
	if s.Joins || s.Replaces != 0 {
		return joinWaits(s)
	}
	text := fmt.Sprintf("cluster: this node waits for others to form the cluster %q: %d of %d nodes are known", s.Name,
		len(s.Known), s.Nodes)
	if len(s.Missing) > 0 {
		text += "; not met since the start: " + strings.Join(s.Missing, ", ")
	}
	for _, addr := range slices.Sorted(maps.Keys(s.Unfit)) {
		text += "; " + addr + " doesn't fit: " + s.Unfit[addr]
	}
	return text
}

// missing returns the addresses of those nodes that a node hasn't met, of the seeds and all that it
// knows of.
func missing(c *config.Cluster, known, met []rpc.Member) (addresses []string) {
	addresses = slices.Clone(c.Seeds)
	for _, m := range known {
		addresses = append(addresses, m.Addr)
	}
	slices.Sort(addresses)
	return slices.DeleteFunc(slices.Compact(addresses), func(a string) bool {
		return a == c.Advertise || slices.ContainsFunc(met, func(m rpc.Member) bool { return m.Addr == a })
	})
}
