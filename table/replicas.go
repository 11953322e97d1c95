package table

import (
	"context"
	"errors"
	"slices"

	"holdfast"
	"holdfast/catalog"
	"holdfast/shard"
)

// Replicas are the groups whose replicas a cluster's node has. Each shard has one, with a replica
// on every node.
type Replicas interface {
	// Start makes a shard that was just opened a replica of its group. It doesn't wait for the
	// others.
	Start(sh *shard.Shard) error

	// Stop ends the replica of a shard, which is dropped afterwards. It does nothing if there is
	// none.
	Stop(id holdfast.ShardID) error

	// Lead returns when this node leads the groups of those shards. The error is NotLeader if it
	// isn't the node that is to lead them, and that of ctx when it ends.
	Lead(ctx context.Context, ids []holdfast.ShardID) error

	// Follow takes the nodes that the catalog has from now on, before it starts a shard of that
	// revision. It reports whether this node still joins, or is being removed: its replicas may lack
	// most of what there is. It isn't called before there is such a record.
	Follow(n *catalog.Nodes) (joins bool)
}

// A cluster is what the installer of a cluster's node has beside that of a node alone. The
// catalog's lock guards it.
//
// Every node follows the catalog: it opens the shards that the catalog names, as replicas of their
// groups, and has requests find the tables. One node, which leads all groups, is active: it makes
// the changes, has the global indexes follow their tables, and does the work in the background.
type cluster struct {
	installer *installer
	replicas  Replicas
	shard     *shard.Shard // the catalog's
	reclaimer *reclaimer
	started   map[holdfast.ShardID]bool // shards that are replicas of their groups

	follows catalog.Contents // what the shards and the directory are those of
	behind  bool             // a revision was committed since, and they don't follow it yet
	ledger  *shard.Ledger    // nil: the catalog has none yet

	joins  bool            // what Replicas.Follow has reported
	active context.Context // ends when the node is to be active no longer; nil: it isn't active

	// orphans are shards that were on disk at the start and that the catalog didn't name. It may do
	// so when the start has applied what was committed before.
	orphans []shard.Descriptor
}

// errPassive is the error of what only the active node does.
func errPassive() error {
	return holdfast.Errorf(holdfast.NotLeader, "nothing was changed: another node of the cluster takes this request")
}

// changeable returns an error unless the catalog can be changed here. It may be called on nil,
// which is that of a node alone.
func (c *cluster) changeable() error {
	switch {
	case c == nil:
		return nil
	case c.active == nil || c.active.Err() != nil:
		return errPassive()
	case c.behind:
		return holdfast.Errorf(holdfast.Overloaded,
			"nothing was changed: an earlier change of the tables isn't in effect yet")
	}
	return nil
}

// start makes shards that are open replicas of their groups. It does nothing on a node alone. The
// catalog is locked.
func (c *cluster) start(shards []*shard.Shard) error {
	if c == nil {
		return nil
	}
	for _, sh := range shards {
		if c.started[sh.ID()] {
			continue
		}
		if err := c.replicas.Start(sh); err != nil {
			return err
		}
		c.started[sh.ID()] = true
	}
	return nil
}

// dropShards removes shards, after their replicas have ended. The catalog is locked.
func (c *cluster) dropShards(all []shard.Descriptor) error {
	for _, d := range all {
		if err := c.replicas.Stop(d.ID); err != nil {
			return err
		}
		if err := c.installer.disk.Drop(d); err != nil {
			return err
		}
		delete(c.started, d.ID)
		c.reclaimer.due.Store(true)
	}
	return nil
}

// drop removes shards that nothing needs any more, at the active node.
func (c *cluster) drop(all []shard.Descriptor) error {
	c.installer.catalog.Lock()
	defer c.installer.catalog.Unlock()
	if err := c.changeable(); err != nil {
		return err
	}
	return c.dropShards(all)
}

// abandon drops the shards of a table that couldn't be created by err. If the outcome of its
// revision isn't known they stay, since it may be there later; if it isn't, the next start drops
// them. The catalog is locked.
func (c *cluster) abandon(r *catalog.Table, err error) error {
	if c == nil || !unchanged(err) {
		return err
	}
	if failed := c.dropShards(shardsOfTable(r)); failed != nil {
		c.installer.log.Warn("shards of a table that wasn't created are left", "table", r.Table.Name, "err", failed)
	}
	return err
}

// unchanged reports whether an error says that nothing was changed.
func unchanged(err error) bool {
	if errors.Is(err, holdfast.Unavailable) {
		return false
	}
	for _, kind := range []holdfast.Kind{holdfast.NotLeader, holdfast.Refused, holdfast.Overloaded, holdfast.Full} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// commit saves a revision. The caller then has shards and requests follow it, and calls followed.
// The catalog is locked.
func (i *installer) commit(ctx context.Context, v catalog.Revision) error {
	err := i.catalog.Commit(ctx, v)
	if err == nil && i.cluster != nil {
		i.cluster.behind = true
	}
	return err
}

// followed ends a change: err is what kept the shards or requests from following the revision that
// was committed. In a cluster they follow it later then, here or on the next active node, and the
// error can't be one that says that nothing was changed. The catalog is locked.
func (c *cluster) followed(err error) error {
	if c == nil {
		return err
	}
	if err != nil {
		return holdfast.Errorf(holdfast.Unavailable, "the change was made, and isn't in effect yet: %v", err)
	}
	c.follows, c.behind = c.installer.catalog.Contents(), false
	return nil
}

// within calls f, which may wait for other nodes, and returns before f does if ctx ends. On a node
// alone, f is just called.
func (c *cluster) within(ctx context.Context, f func() error) error {
	if c == nil {
		return f()
	}
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return holdfast.Errorf(holdfast.Unavailable, "other nodes didn't answer in time: %w", context.Cause(ctx))
	}
}

// ended returns a context for a change: in a cluster it ends, too, when the node is to be active no
// longer. The catalog is locked, and the cluster changeable.
func (c *cluster) ended(ctx context.Context) (context.Context, context.CancelFunc) {
	if c == nil {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.active, cancel)
	return ctx, func() { stop(); cancel() }
}

// confirm returns when what is read of shards of the table, which may have one twice, is at least
// as new as all that was acknowledged before the call. On a node alone it is.
func (t *live) confirm(ctx context.Context, shards []*shard.Shard) error {
	if !t.replicated {
		return nil
	}
	return confirmAll(ctx, shards)
}

// confirmAll is live.confirm for shards of several tables.
func confirmAll(ctx context.Context, shards []*shard.Shard) error {
	var distinct []*shard.Shard
	for _, sh := range shards {
		if !slices.Contains(distinct, sh) {
			distinct = append(distinct, sh)
		}
	}
	if len(distinct) == 1 {
		return shard.Confirm(ctx, distinct[0])
	}
	return concurrently(len(distinct), func(at int) error { return shard.Confirm(ctx, distinct[at]) })
}

// leadTable has the node lead the groups of a table's shards, gives the shards the schema of its
// record, and has its global indexes follow it. The catalog is locked, and the node active.
func leadTable(ctx context.Context, i *installer, r *catalog.Table, o opened) (opened, error) {
	if i.cluster != nil {
		if err := i.cluster.replicas.Lead(ctx, idsOf(shardsOfTable(r))); err != nil {
			return o, err
		}
	}
	if err := i.cluster.setSchema(ctx, o.shards, r.Schema()); err != nil {
		return o, err
	}
	return i.followTable(r, o), nil
}

// shardsOfTable returns the shards of a table and of its global indexes that are open: not those of
// indexes that are being removed, and none of indexes while the table is being restored.
func shardsOfTable(r *catalog.Table) []shard.Descriptor {
	all := slices.Concat(catalog.Descriptors(r.Space, r.Shards), catalog.Descriptors(r.Space, r.Closed))
	if r.Copy != nil {
		return all
	}
	for _, x := range r.Entries() {
		if g := r.Placed(x.ID); g != nil {
			all = append(all, catalog.Descriptors(g.Space, g.Shards)...)
		}
	}
	return all
}

func idsOf(all []shard.Descriptor) []holdfast.ShardID {
	ids := make([]holdfast.ShardID, len(all))
	for n, d := range all {
		ids[n] = d.ID
	}
	return ids
}
