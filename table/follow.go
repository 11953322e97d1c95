package table

import (
	"context"
	"maps"
	"slices"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/item"
	"holdfast/shard"
)

// catchUp has shards and requests follow what the catalog has been changed to, mostly by the active
// node. It returns up to which entry of the catalog's shard they do. If this node is active,
// another one has been meanwhile, or a change of its own has failed halfway: then it does all again
// that becoming active does.
func (c *cluster) catchUp(ctx context.Context) (at uint64, err error) {
	i := c.installer
	i.catalog.Lock()
	defer i.catalog.Unlock()
	at = i.catalog.At()
	_, _, changed, err := i.catalog.Refresh()
	if err != nil {
		return at, err
	}
	if changed || c.behind {
		c.behind = true
		if err := c.follow(); err != nil {
			return at, err
		}
		if c.active != nil && c.active.Err() == nil {
			ctx, cancel := c.ended(ctx)
			defer cancel()
			c.behind = true
			if err := c.takeLead(ctx); err != nil {
				return at, err
			}
		}
		c.behind = false
	}
	return i.catalog.At(), nil
}

// loadPassively opens all shards that the catalog of a cluster names as replicas of their groups,
// before anything else uses it. What the catalog doesn't name is left until it is known that it
// never will.
func (c *cluster) loadPassively() error {
	i := c.installer
	i.catalog.Lock()
	defer i.catalog.Unlock()
	all, err := shard.OnDisk(i.disk)
	if err != nil {
		return err
	}
	kept := append(named(i.catalog.Contents()), catalog.Descriptor())
	c.orphans = without(all, kept)
	return c.follow()
}

// follow has shards and requests follow the contents of the catalog, from those that they are of.
// It may be repeated after an error. The catalog is locked.
//
// It may leave out contents in between, which this node didn't see: a table may be gone without its
// removal, or another one have its name.
func (c *cluster) follow() error {
	i := c.installer
	was, is := c.follows, i.catalog.Contents()
	if was.Nodes != is.Nodes {
		c.followNodes(is.Nodes) // the shards that follow may be founded by them
	}
	for _, name := range slices.Sorted(maps.Keys(was.Tables)) { // in one order, for simulations
		r := was.Tables[name]
		if now := is.Tables[name]; now == nil || now.Table.ID != r.Table.ID {
			uninstall(i, r, is.Removed[r.Table.ID])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(is.Tables)) {
		r := is.Tables[name]
		if was.Tables[name] != r {
			if err := c.installPassively(r); err != nil {
				return err
			}
		}
	}
	for id, b := range is.Backups {
		if was.Backups[id] == nil {
			if err := c.openCopies(b.Space, b.Shards, b.Backup.Table.Key); err != nil {
				return err
			}
		}
	}
	if err := c.followRemoved(was, is); err != nil {
		return err
	}
	if err := c.followLedger(is.Ledger); err != nil {
		return err
	}
	if err := c.dropShards(without(named(was), named(is))); err != nil {
		return err
	}
	c.follows, c.behind = is, false
	return nil
}

// installPassively opens the shards that a record names, and publishes its table.
func (c *cluster) installPassively(r *catalog.Table) error {
	i := c.installer
	var o opened
	old := i.tables.table(r.Table.Name)
	if old != nil {
		o = old.opened
	}
	o, err := i.openShards(r, o)
	if err != nil {
		return err
	}
	if old == nil {
		i.tables.publish(r, o, 0)
	} else {
		i.tables.amend(r, o)
	}
	return nil
}

// openCopies opens shards that requests don't find: those of a backup, or of a table that is being
// restored. It does nothing on a node alone, where they are opened when they are whole. The catalog
// is locked.
func (c *cluster) openCopies(space holdfast.SpaceID, shards []catalog.Shard, key item.KeySchema) error {
	if c == nil {
		return nil
	}
	_, err := openReplicas(c.installer, catalog.Descriptors(space, shards), shard.Schema{Key: key})
	return err
}

// followRemoved opens the shards that the streams of removed tables are read from, and hides the
// streams that are gone.
func (c *cluster) followRemoved(was, is catalog.Contents) error {
	i := c.installer
	for id, r := range is.Removed {
		if was.Removed[id] == r || !c.readable(r) {
			continue
		}
		logs, err := openReplicas(i, catalog.Descriptors(r.Space, r.Shards), shard.Schema{Key: r.Key})
		if err != nil {
			return err
		}
		i.tables.retire(r, logs)
	}
	for id := range was.Removed {
		if is.Removed[id] == nil {
			i.tables.forget(id)
		}
	}
	return nil
}

// readable reports whether the streams of a removed table can be read. If they no longer can, the
// active node may be dropping their shards, which other nodes must not open again.
func (c *cluster) readable(r *catalog.Removed) bool {
	return len(r.Streams) > 0 && c.installer.now().Before(r.Until)
}

// followLedger opens the ledger of transactions, once the catalog has it.
func (c *cluster) followLedger(l *catalog.Ledger) error {
	if l == nil || c.ledger != nil {
		return nil
	}
	i := c.installer
	shards, err := openReplicas(i, catalog.Descriptors(l.Space, l.Shards), shard.LedgerSchema())
	if err == nil {
		c.ledger = i.disk.UseLedger(shards[0])
	}
	return err
}

// named returns all shards that contents name: those that nothing needs any more, too, until they
// are dropped.
func named(c catalog.Contents) (all []shard.Descriptor) {
	add := func(space holdfast.SpaceID, shards []catalog.Shard) {
		all = append(all, catalog.Descriptors(space, shards)...)
	}
	for _, r := range c.Tables {
		add(r.Space, r.Shards)
		add(r.Space, r.Closed)
		for _, g := range r.Global {
			add(g.Space, g.Shards)
		}
	}
	for _, b := range c.Backups {
		add(b.Space, b.Shards)
	}
	for _, r := range c.Removed {
		add(r.Space, r.Shards)
		for _, g := range r.Global {
			add(g.Space, g.Shards)
		}
	}
	if c.Ledger != nil {
		add(c.Ledger.Space, c.Ledger.Shards)
	}
	return all
}

// without returns those of all that others don't have.
func without(all, others []shard.Descriptor) (rest []shard.Descriptor) {
	has := map[holdfast.ShardID]bool{}
	for _, d := range others {
		has[d.ID] = true
	}
	for _, d := range all {
		if !has[d.ID] {
			rest = append(rest, d)
		}
	}
	return rest
}

// dropOrphans drops the shards that were on disk at the start and that the catalog doesn't name,
// once this node has applied all that was committed before the call. Before that it can't be known:
// the revision that names a shard may be in the log of the catalog's group, and not be applied yet;
// and a replica that has lost its log must not take part in its group again.
func (c *cluster) dropOrphans(ctx context.Context) error {
	i := c.installer
	if err := shard.Confirm(ctx, c.shard); err != nil {
		return err
	}
	if _, err := c.catchUp(ctx); err != nil {
		return err
	}
	i.catalog.Lock()
	defer i.catalog.Unlock()
	orphans := without(c.orphans, named(i.catalog.Contents()))
	if err := c.dropShards(orphans); err != nil {
		return err
	}
	if len(orphans) > 0 {
		i.log.Info("shards of tables that were removed, or never made, have been dropped", "shards", len(orphans))
	}
	c.orphans = nil
	return nil
}

// followRetry is how long a node waits that couldn't follow the catalog.
const followRetry = time.Second

// followCatalog follows the catalog until ctx ends.
func (c *cluster) followCatalog(ctx context.Context) {
	failures := failureLog{log: c.installer.log, last: map[string]string{}}
	reader := shard.NewFollower(c.shard, 0)
	defer reader.Close()
	for ctx.Err() == nil {
		at, err := c.catchUp(ctx)
		failures.note(ctx, "follow the catalog", err)
		reader.Release(at)
		reader.Applied(at)
		more := reader.More(at)
		var retry <-chan time.Time
		if err != nil {
			more, retry = nil, time.After(followRetry)
		} else if more == nil {
			continue
		}
		select {
		case <-more:
		case <-retry:
		case <-ctx.Done():
		}
	}
}

// removeOrphans drops what an earlier run of the node has left on disk.
func (c *cluster) removeOrphans(ctx context.Context) {
	failures := failureLog{log: c.installer.log, last: map[string]string{}}
	for {
		err := c.dropOrphans(ctx)
		failures.note(ctx, "drop what the catalog doesn't name", err)
		if err == nil {
			return
		}
		select {
		case <-time.After(followRetry):
		case <-ctx.Done():
			return
		}
	}
}
