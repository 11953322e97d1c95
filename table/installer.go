package table

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/index"
	"holdfast/shard"
)

// An installer makes changes of the catalog take effect: it commits a revision, and then has the
// shards and the requests follow it.
type installer struct {
	disk    *shard.Store
	catalog *catalog.Catalog
	log     *slog.Logger
	now     func() time.Time
	tables  *directory    // what of the catalog requests see; only the installer changes it
	woken   chan struct{} // of capacity one; full: there may be work for the worker

	// The catalog's lock guards what follows.
	followers map[string]*index.Followers // by ID of the table, of those with global indexes
	closed    bool                        // changes are refused
	cluster   *cluster                    // nil: this node is alone
}

func newInstaller(
	disk *shard.Store, c *catalog.Catalog, tables *directory, log *slog.Logger, now func() time.Time,
) *installer {
	return &installer{
		disk: disk, catalog: c, log: log, now: now, tables: tables, woken: make(chan struct{}, 1),
		followers: map[string]*index.Followers{},
	}
}

// load opens all shards that the catalog names, before anything else uses it.
func (i *installer) load(ctx context.Context) (err error) {
	i.catalog.Lock()
	defer i.catalog.Unlock()
	defer func() {
		if err != nil {
			i.stopAll()
		}
	}()
	if err := i.takeOver(ctx); err != nil {
		return err
	}
	is := i.catalog.Contents()
	for _, r := range is.Tables {
		o, err := i.open(r)
		if err != nil {
			return err
		}
		i.tables.publish(r, o, 0)
		if err := i.takeOverIndexes(ctx, r, o); err != nil {
			return err
		}
	}
	for _, r := range is.Removed {
		if len(r.Streams) == 0 {
			continue
		}
		logs, err := openAll(i.disk, catalog.Descriptors(r.Space, r.Shards), shard.Schema{Key: r.Key})
		if err != nil {
			return err
		}
		i.tables.retire(r, logs)
	}
	return nil
}

// stopAll ends what follows the tables. The catalog is locked.
func (i *installer) stopAll() {
	for id := range i.followers {
		i.stopFollowers(id)
	}
}

// openAll opens shards, all at the same time.
func openAll(disk *shard.Store, of []shard.Descriptor, schema shard.Schema) ([]*shard.Shard, error) {
	shards := make([]*shard.Shard, len(of))
	err := concurrently(len(of), func(at int) (err error) {
		shards[at], err = disk.Open(of[at], schema)
		return err
	})
	if err != nil {
		return nil, err
	}
	return shards, nil
}

// concurrently calls f with each number below n, all at the same time, so that one sync of the disk
// serves all that wait for one. It returns the error of the lowest number.
func concurrently(n int, f func(int) error) error {
	errs := make([]error, n)
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() { errs[i] = f(i) })
	}
	calls.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// close refuses all later changes. It reports whether this is the first call.
func (i *installer) close() (first bool) {
	i.catalog.Lock()
	defer i.catalog.Unlock()
	first = !i.closed
	i.closed = true
	i.stopAll()
	return first
}

// wake has the worker look at the catalog.
func (i *installer) wake() {
	select {
	case i.woken <- struct{}{}:
	default: // it is woken already
	}
}

// replace puts a changed record in the place of the table's: on disk, in the shards and for
// requests. removal is that of the revision. The catalog is locked.
func (i *installer) replace(ctx context.Context, r *catalog.Table, removal bool) error {
	ctx, cancel := i.cluster.ended(ctx)
	defer cancel()
	if err := i.commit(ctx, catalog.Revision{Put: []catalog.Entry{r}, Removal: removal}); err != nil {
		return err
	}
	return i.cluster.followed(i.install(ctx, r))
}

// install has the shards and requests follow a record that has taken the place of the table's. The
// catalog is locked.
func (i *installer) install(ctx context.Context, r *catalog.Table) error {
	o, err := i.openIndexes(r, i.tables.table(r.Table.Name).opened)
	if err != nil {
		return err
	}
	if o, err = leadTable(ctx, i, r, o); err != nil {
		return err
	}
	i.tables.publish(r, o, 0)
	i.wake()
	return nil
}

// amend replaces a record of which only the description has changed: the shards keep their schema,
// and a pending change stays pending. The catalog is locked.
func (i *installer) amend(ctx context.Context, r *catalog.Table) error {
	if err := i.commit(ctx, catalog.Revision{Put: []catalog.Entry{r}}); err != nil {
		return err
	}
	i.tables.amend(r, i.tables.table(r.Table.Name).opened)
	return i.cluster.followed(nil)
}

// finish records in a table's record that a step is done, if the table still has that name and
// change reports that the step still matters.
func (i *installer) finish(
	ctx context.Context, name, id string, removal bool, change func(*catalog.Table) bool,
) error {
	i.catalog.Lock()
	defer i.catalog.Unlock()
	old := i.catalog.Contents().Tables[name]
	if old == nil || old.Table.ID != id {
		return nil
	}
	if err := i.cluster.changeable(); err != nil {
		return err
	}
	r := old.Clone()
	if !change(r) {
		return nil
	}
	r.UpdateStatus()
	markWhole(i, r, i.tables.table(name).opened)
	return i.replace(ctx, r, removal)
}

// removeTable takes a table from the catalog and from requests, and leaves its shards to the
// worker. The catalog is locked.
func (i *installer) removeTable(ctx context.Context, r *catalog.Table, rest *catalog.Removed) error {
	if err := i.remove(ctx, r, rest); err != nil {
		return err
	}
	uninstall(i, r, rest)
	i.wake()
	return i.cluster.followed(nil)
}

// uninstall has requests no longer find a table that was removed, but for the streams that are left of
// it. rest is nil if nothing is. The catalog is locked.
func uninstall(i *installer, r *catalog.Table, rest *catalog.Removed) {
	i.stopFollowers(r.Table.ID)
	if i.tables.table(r.Table.Name) != nil {
		i.tables.withdraw(r.Table.Name, rest)
	}
}

// removeBackup takes a backup from the catalog, and leaves its shards to the worker. The catalog is
// locked.
func (i *installer) removeBackup(ctx context.Context, b *catalog.Backup, rest *catalog.Removed) error {
	if err := i.remove(ctx, b, rest); err != nil {
		return err
	}
	i.wake()
	return i.cluster.followed(nil)
}

// remove puts what is left of an entry of the catalog in its place.
func (i *installer) remove(ctx context.Context, e catalog.Entry, rest *catalog.Removed) error {
	return i.commit(ctx, catalog.Revision{
		Remove: []catalog.Entry{e}, Put: []catalog.Entry{rest}, Removal: true,
	})
}

// forget takes out shards that have been removed.
func (i *installer) forget(ctx context.Context, gone *catalog.Removed) error {
	i.catalog.Lock()
	defer i.catalog.Unlock()
	if err := i.cluster.changeable(); err != nil {
		return err
	}
	if err := i.commit(ctx, catalog.Revision{Remove: []catalog.Entry{gone}, Removal: true}); err != nil {
		return err
	}
	i.tables.forget(gone.ID)
	return i.cluster.followed(nil)
}

// table returns the record of a table for a change. The catalog is locked.
func (i *installer) table(name string) (*catalog.Table, error) {
	if err := changeable(i); err != nil {
		return nil, err
	}
	r, ok := i.catalog.Contents().Tables[name]
	if !ok {
		return nil, noTable(name)
	}
	return r, nil
}

// backup returns a backup for a change. The catalog is locked.
func (i *installer) backup(id string) (*catalog.Backup, error) {
	if err := changeable(i); err != nil {
		return nil, err
	}
	b, ok := i.catalog.Contents().Backups[id]
	if !ok {
		return nil, noBackup(id)
	}
	return b, nil
}

// vacant returns an error unless a table of that name can be created. The catalog is locked.
func (i *installer) vacant(name string) error {
	if err := changeable(i); err != nil {
		return err
	}
	if _, ok := i.catalog.Contents().Tables[name]; ok {
		return holdfast.Errorf(holdfast.Exists, "Table already exists: %s", name)
	}
	return nil
}

// changeable returns an error unless the catalog can be changed. The catalog is locked.
func changeable(i *installer) error {
	if i.closed {
		return errClosed()
	}
	return i.cluster.changeable()
}

func errClosed() error { return holdfast.Errorf(holdfast.Closed, "the tables are closed") }
