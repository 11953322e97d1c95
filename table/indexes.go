package table

import (
	"context"
	"errors"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/index"
	"holdfast/item"
	"holdfast/shard"
)

// Opened is the shards of a table and of its global indexes, and what keeps the indexes up to date.
type opened struct {
	shards    []*shard.Shard          // none while the table is being restored
	closed    []*shard.Shard          // whose ranges others have taken over: streams alone are read from them
	globals   map[uint32]*index.Index // by ID
	followers *index.Followers        // nil: there are no global indexes, or no shards
}

// open opens the shards of a table, and starts what follows them; none while they are being copied.
// The catalog is locked.
func (i *installer) open(r *catalog.Table) (opened, error) {
	o, err := i.openShards(r, opened{})
	if err != nil {
		return o, err
	}
	return i.followTable(r, o), nil
}

// openShards opens the shards of a table and of its global indexes that o lacks; none while they
// are being copied, but in a cluster their replicas are there then, too. There, shards begin with a
// schema that is the same on all nodes whenever they open them: the active node gives them that of
// the record later. The catalog is locked.
func (i *installer) openShards(r *catalog.Table, o opened) (opened, error) {
	if r.Copy != nil {
		return opened{}, i.cluster.openCopies(r.Space, r.Shards, r.Table.Key)
	}
	if o.shards == nil {
		schema := r.Schema()
		if i.cluster != nil {
			schema = shard.Schema{Key: r.Table.Key}
		}
		var err error
		if o.shards, err = openReplicas(i, catalog.Descriptors(r.Space, r.Shards), schema); err != nil {
			return opened{}, err
		}
		o.closed, err = openReplicas(i, catalog.Descriptors(r.Space, r.Closed), shard.Schema{Key: r.Table.Key})
		if err != nil {
			return opened{}, err
		}
	}
	return i.openIndexes(r, o)
}

// openReplicas opens shards, and starts their replicas if there are any. The catalog is locked.
func openReplicas(i *installer, of []shard.Descriptor, schema shard.Schema) ([]*shard.Shard, error) {
	shards, err := openAll(i.disk, of, schema)
	if err == nil {
		err = i.cluster.start(shards)
	}
	return shards, err
}

// openIndexes opens the shards of the global indexes that o lacks. The catalog is locked.
func (i *installer) openIndexes(r *catalog.Table, o opened) (opened, error) {
	next := o
	next.globals = make(map[uint32]*index.Index, len(r.Global))
	for _, x := range r.Entries() {
		g := r.Placed(x.ID)
		if g == nil {
			continue
		}
		if is := o.globals[x.ID]; is != nil {
			next.globals[x.ID] = is
			continue
		}
		is, err := openIndex(i.disk, r, x, g)
		if err == nil {
			err = i.cluster.start(is.Shards)
		}
		if err != nil {
			return o, err
		}
		next.globals[x.ID] = &is
	}
	return next, nil
}

// followTable has the global indexes that are open, and don't follow their table yet, follow it.
// The catalog is locked.
func (i *installer) followTable(r *catalog.Table, o opened) opened {
	for _, x := range r.Entries() {
		is := o.globals[x.ID]
		if is == nil || o.followers != nil && o.followers.Filled(x.ID) != nil {
			continue
		}
		if o.followers == nil {
			o.followers = index.Start(index.Options{Key: r.Table.Key, Sources: o.shards, Log: i.log, Now: i.now})
			i.followers[r.Table.ID] = o.followers
		}
		o.followers.Add(*is)
	}
	return o
}

// openIndex opens the shards of a global index.
func openIndex(
	disk *shard.Store, r *catalog.Table, x item.Index, g *catalog.GlobalIndex,
) (index.Index, error) {
	is, err := openPlaced(disk, g.Space, g.Shards, shard.Schema{Key: r.Table.Key, Of: &x})
	is.Index = x
	return is, err
}

// openPlaced opens shards, with the first hash of each.
func openPlaced(
	disk *shard.Store, space holdfast.SpaceID, parts []catalog.Shard, schema shard.Schema,
) (is index.Index, err error) {
	is.Shards, err = openAll(disk, catalog.Descriptors(space, parts), schema)
	for i := range parts {
		is.Starts = append(is.Starts, parts[i].FirstHash())
	}
	return is, err
}

// stopFollowers ends what follows a table. The catalog is locked.
func (i *installer) stopFollowers(id string) {
	if f := i.followers[id]; f != nil {
		f.Stop()
		delete(i.followers, id)
	}
}

// placeIndexes gives the global indexes of a table that is on disk in an older form shards of their
// own. The catalog is locked.
func (i *installer) placeIndexes(ctx context.Context, old *catalog.Table) error {
	r := old.Clone()
	placed, err := i.catalog.PlaceIndexes(ctx, r)
	if err != nil || !placed {
		return err
	}
	return i.catalog.Commit(ctx, catalog.Revision{Put: []catalog.Entry{r}})
}

// takeOverIndexes waits until the global indexes of a table whose entries were beside its items
// have them in their own shards, and removes the others. An index that was still being filled goes
// on in the background. After a crash it continues. The catalog is locked.
func (i *installer) takeOverIndexes(ctx context.Context, r *catalog.Table, o opened) error {
	if len(r.Beside) == 0 || r.Copy != nil {
		return nil
	}
	for _, x := range r.Table.Indexes {
		if x.Index.Local || x.Status != catalog.Active {
			continue
		}
		i.log.Info("a global index gets shards of its own", "table", r.Table.Name, "index", x.Index.Name)
		select {
		case <-o.followers.Filled(x.Index.ID):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := clearBeside(r.Beside, o.shards); err != nil {
		return err
	}
	done := r.Clone()
	done.Beside = nil
	if err := i.catalog.Commit(ctx, catalog.Revision{Put: []catalog.Entry{done}, Removal: true}); err != nil {
		return err
	}
	i.tables.publish(done, o, 0)
	return nil
}

// clearBeside removes entries of global indexes that are beside the items.
func clearBeside(indexes []uint32, shards []*shard.Shard) error {
	for _, sh := range shards {
		for _, id := range indexes {
			if err := sh.Clear(id); err != nil {
				return err
			}
		}
	}
	return nil
}

// fillWait is how long a job waits for an index to be filled before other jobs get their turn.
const fillWait = 100 * time.Millisecond

// awaitIndex waits for an index that its followers fill, and then marks it as filled.
func (w *worker) awaitIndex(ctx context.Context, r *catalog.Table, id uint32, f *index.Followers) error {
	if f == nil {
		return nil // it isn't open yet
	}
	filled := f.Filled(id)
	if filled == nil {
		return nil // it is being removed
	}
	wait := time.NewTimer(fillWait)
	defer wait.Stop()
	select {
	case <-filled:
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	return w.installer.finish(ctx, r.Table.Name, r.Table.ID, false, func(r *catalog.Table) bool {
		for i := range r.Table.Indexes {
			if x := &r.Table.Indexes[i]; x.Index.ID == id && x.Status == catalog.Creating {
				x.Status, x.Backfilling = catalog.Active, false
				return true
			}
		}
		return false
	})
}

// dropIndex removes the shards of a global index, and then the index.
func (w *worker) dropIndex(ctx context.Context, r *catalog.Table, id uint32, t *live) error {
	if t.followers != nil {
		t.followers.Remove(id)
	}
	if g := r.Placed(id); g != nil {
		if err := w.dropAll(g.Space, g.Shards); err != nil {
			return err
		}
	}
	if err := clearBeside(r.Beside, t.shards); err != nil {
		return err
	}
	return w.installer.finish(ctx, r.Table.Name, r.Table.ID, true, func(r *catalog.Table) bool {
		r.RemoveIndex(id)
		r.Beside = nil
		return true
	})
}

// dropAll drops shards, and has their disk space given back.
func (w *worker) dropAll(space holdfast.SpaceID, shards []catalog.Shard) error {
	all := catalog.Descriptors(space, shards)
	if in := w.installer.cluster; in != nil {
		return in.drop(all)
	}
	for _, d := range all {
		if err := w.disk.Drop(d); err != nil {
			return err
		}
	}
	w.reclaimer.due.Store(true)
	return nil
}

// awaitIndex waits until a read's global index has applied what was durable when the read began,
// but no longer than the index's limit: then the error is Behind if the index lacks what the
// session of the read has seen. In a cluster only the active node can tell what was durable:
// NotLeader elsewhere.
func (r *read) awaitIndex(ctx context.Context) error {
	if !r.global() {
		return nil
	}
	if r.t.followers == nil {
		if r.t.globals[r.index.ID] != nil {
			return errPassive()
		}
		return nil
	}
	if err := r.t.confirm(ctx, r.t.shards); err != nil {
		return err
	}
	session := sessionOf(ctx)
	for _, sh := range r.t.shards {
		if err := session.catchUp(ctx, r.t, sh); err != nil {
			return err
		}
	}
	if err := r.t.followers.Wait(ctx, r.index.ID); err != nil {
		return err
	}
	return session.checkIndex(ctx, r)
}

// global reports whether the read is of a global index.
func (r *read) global() bool { return r.index != nil && !r.index.Local }

// indexGone returns the error of a read whose index was removed meanwhile, else err.
func (r *read) indexGone(err error, tables *directory) error {
	if !r.global() || !errors.Is(err, holdfast.Closed) {
		return err
	}
	is := tables.table(r.t.desc.Name)
	if is == nil || is.desc.ID != r.t.desc.ID {
		return err
	}
	if _, missing := is.readIndex(r.index.Name, false); missing != nil {
		return missing
	}
	return err
}

// awaitFilled waits until the indexes of a new table, which has no items, follow it.
func (o *opened) awaitFilled(ctx context.Context) error {
	for id := range o.globals {
		select {
		case <-o.followers.Filled(id):
		case <-ctx.Done():
			return holdfast.Errorf(holdfast.Unavailable, "the table was made, and its indexes don't follow it yet: %w",
				ctx.Err())
		}
	}
	return nil
}
