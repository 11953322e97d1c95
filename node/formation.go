package node

import (
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
	"holdfast/cluster"
	"holdfast/config"
	"holdfast/shard"
)

// A formation makes a cluster of the directories of its nodes, or finds that they are one.
type formation struct {
	fs  vfs.FS
	all []config.Config // of the nodes 1, 2, 3 and so on
	log *slog.Logger
}

// formCluster makes sure that the nodes' directories are those of one cluster, which it forms at the
// first start. The error is Invalid if they may not start as one; then nothing was touched. The
// caller closes the lock, of the directory above, after the nodes: so no second process forms another
// cluster in them.
func formCluster(all []config.Config, log *slog.Logger) (lock io.Closer, err error) {
	f := &formation{fs: vfs.Default, all: all, log: log}
	above := filepath.Dir(filepath.Clean(all[0].Tables.Data))
	if err := notANode(above); err != nil {
		return nil, err
	}
	if shard.HasTables(f.fs, above) {
		return nil, holdfast.Errorf(holdfast.Invalid, "%s holds the tables of a single node, "+
			"which can't become a cluster's: choose another directory, and copy them with "+
			"\"holdfast table export\" and \"import\"", above)
	}
	if _, err := f.plan(); err != nil {
		return nil, err
	}
	if err := f.fs.MkdirAll(above, 0o700); err != nil {
		return nil, err
	}
	if lock, err = f.fs.Lock(f.fs.PathJoin(above, cluster.LockName)); err != nil {
		return nil, holdfast.Errorf(holdfast.Unavailable, "%s: another process uses it: %w", above, err)
	}
	if err := f.run(); err != nil {
		return nil, fmt.Errorf("%w%s", err, closed(lock))
	}
	return lock, nil
}

// closed closes what a failed start has opened; an error of that is added to a text.
func closed(c io.Closer) string {
	if err := c.Close(); err != nil {
		return "; " + err.Error()
	}
	return ""
}

// plan finds out what is to be done.
func (f *formation) plan() (cluster.Step, error) {
	found := make([]cluster.Found, len(f.all))
	for i := range f.all {
		var err error
		if found[i], err = cluster.Look(f.fs, f.all[i].Tables.Data); err != nil {
			return 0, err
		}
		found[i].Tables = shard.HasTables(f.fs, found[i].Dir)
	}
	return cluster.Plan(found)
}

func (f *formation) run() error {
	step, err := f.plan() // again, now that no other process changes anything
	if err != nil {
		return err
	}
	switch step {
	case cluster.Form:
		return f.form()
	case cluster.Finish:
		return f.commit()
	}
	return nil
}

// form forms the cluster: see package cluster for the order. A store exists only once the identity
// that it will have is known to be this cluster's; and the identity names the store.
func (f *formation) form() error {
	id := cluster.NewID()
	identities := make([]*cluster.Identity, len(f.all))
	for i := range f.all {
		c := f.all[i].Cluster
		identities[i] = &cluster.Identity{Cluster: id, Name: c.Name, Node: holdfast.NodeID(c.Node)}
		for _, m := range c.Members {
			identities[i].Members = append(identities[i].Members, holdfast.NodeID(m.ID))
		}
		if err := cluster.Prepare(f.fs, f.all[i].Tables.Data, identities[i]); err != nil {
			return err
		}
	}
	for i, is := range identities {
		var err error
		if is.Store, err = makeStore(&f.all[i], f.log); err != nil {
			return fmt.Errorf("tables.data %s: %w", f.all[i].Tables.Data, err)
		}
	}
	for i, is := range identities {
		if err := cluster.Prepare(f.fs, f.all[i].Tables.Data, is); err != nil {
			return err
		}
	}
	f.log.Info("a cluster is formed", "cluster", id.String(), "name", identities[0].Name, "nodes", len(f.all))
	return f.commit()
}

// makeStore makes the store of a node unless there is one, and returns its identity. The cluster isn't
// formed yet for this node.
func makeStore(c *config.Config, log *slog.Logger) (id [16]byte, err error) {
	o := shardOptions(Options{Config: *c, Log: log})
	o.Beside = cluster.FormingFiles()
	s, err := shard.Open(o)
	if err != nil {
		return id, err
	}
	return shard.StoreID(s), s.Close()
}

// commit makes the identities those of the directories for good, where they aren't yet.
func (f *formation) commit() error {
	for i := range f.all {
		dir := f.all[i].Tables.Data
		found, err := cluster.Look(f.fs, dir)
		if err == nil && found.State == cluster.Forming {
			err = cluster.Commit(f.fs, dir)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// notANode returns an error if a directory is that of a cluster's node.
func notANode(dir string) error {
	is, err := cluster.Read(vfs.Default, dir)
	switch {
	case err != nil:
		return fmt.Errorf("tables.data %s: %w", dir, err)
	case is != nil && len(is.Met) > 0:
		return holdfast.Errorf(holdfast.Invalid, "%s is the directory of %v: start it with \"holdfast node\"", dir, is)
	case is != nil:
		return holdfast.Errorf(holdfast.Invalid, "%s is the directory of %v: start the cluster with "+
			"\"holdfast up --nodes %d --data %s\", or this node by a file with a cluster section",
			dir, is, len(is.Members), filepath.Dir(filepath.Clean(dir)))
	}
	return nil
}

// notOfACluster returns an error if a directory is that of a cluster's node, or holds those of a
// cluster's nodes: a node alone must not write to the replicas of a group.
func notOfACluster(dir string) error {
	if err := notANode(dir); err != nil {
		return err
	}
	nodes := slices.DeleteFunc(nodesBelow(dir), func(f cluster.Found) bool { return len(f.Is.Met) > 0 })
	if len(nodes) > 0 {
		return holdfast.Errorf(holdfast.Invalid, "%s holds the directories of the nodes of a cluster: start it with "+
			"\"holdfast up --nodes %d --data %s\"", dir, len(nodes[0].Is.Members), dir)
	}
	return nil
}

// nodesBelow returns those directories of a cluster's nodes that are in a directory, by rising ID.
func nodesBelow(dir string) (nodes []cluster.Found) {
	for i := range slices.Max(config.ClusterSizes) {
		found, err := cluster.Look(vfs.Default, filepath.Join(dir, strconv.Itoa(i+1)))
		if err == nil && found.Is != nil {
			nodes = append(nodes, found)
		}
	}
	return nodes
}

// oneNode returns an error unless the tables of a directory may be looked at: it isn't that above
// the directories of a cluster's nodes, nor that of a node that has lost its tables. command is what
// the caller does.
func oneNode(dir, command string) error {
	if shard.HasTables(vfs.Default, dir) {
		return nil
	}
	if is, err := cluster.Read(vfs.Default, dir); err == nil && is != nil {
		return is.NoTables(dir)
	}
	if nodes := nodesBelow(dir); len(nodes) > 0 {
		return holdfast.Errorf(holdfast.Invalid, "%s holds the directories of the nodes of a cluster: use "+
			"\"holdfast table %s %s\", and so on for each node", dir, command, nodes[0].Dir)
	}
	return nil
}
