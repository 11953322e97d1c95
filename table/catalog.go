package table

import (
	"context"
	"sync"
	"time"

	"holdfast"
	"holdfast/shard"
)

// A catalog has all that isn't items: tables, streams and backups, shards that are still to be
// removed, and the next ID of a shard. It is on disk, and includes the work in progress: it is the
// queue of the background work. A change is a revision, which commit saves and then installs;
// nothing else changes the contents.
type catalog struct {
	disk   *shard.Store
	tables *directory    // what of it requests see; only the catalog changes it
	woken  chan struct{} // of capacity one; full: there may be work for the worker

	// mu guards what follows. A change holds it from when it reads the catalog until requests see
	// the change.
	mu     sync.Mutex
	is     contents
	next   holdfast.ShardID // the next ID that no shard has had
	closed bool             // changes are refused
}

// Contents are the entries of a catalog.
type contents struct {
	tables  map[string]*record  // by name
	backups map[string]*backup  // by ID
	removed map[string]*removed // by ID of the table or backup: shards that are still to be removed
}

func newCatalog(disk *shard.Store, tables *directory) *catalog {
	return &catalog{
		disk: disk, tables: tables, woken: make(chan struct{}, 1), next: 1,
		is: contents{tables: map[string]*record{}, backups: map[string]*backup{}, removed: map[string]*removed{}},
	}
}

// load reads the catalog and opens all shards, before anything else uses it.
func (c *catalog) load() error {
	if err := c.loadNext(); err != nil {
		return err
	}
	if err := each(c.disk, tablePrefix, c.loadTable); err != nil {
		return err
	}
	if err := each(c.disk, removedPrefix, c.loadRemoved); err != nil {
		return err
	}
	return each(c.disk, backupPrefix, func(b *backup) error {
		b.addTo(&c.is)
		return nil
	})
}

func (c *catalog) loadNext() error {
	value, ok, err := c.disk.Record(nextName)
	if err != nil || !ok {
		return err
	}
	var ids nextIDs
	err = decode(shard.Record{Name: nextName, Value: value}, &ids)
	c.next = ids.Shard
	return err
}

func (c *catalog) loadTable(r *record) error {
	r.addTo(&c.is)
	shards, err := c.openShards(r)
	if err != nil {
		return err
	}
	c.tables.publish(r, shards, 0)
	return nil
}

func (c *catalog) loadRemoved(r *removed) (err error) {
	r.addTo(&c.is)
	if len(r.Streams) > 0 {
		r.open, err = c.openParts(r.Shards, shard.Schema{Key: r.Key})
	}
	return err
}

// openShards opens the shards of a table; none while they are being copied.
func (c *catalog) openShards(r *record) ([]*shard.Shard, error) {
	if r.Copy != nil {
		return nil, nil
	}
	return c.openParts(r.Shards, r.schema())
}

func (c *catalog) openParts(parts []part, schema shard.Schema) ([]*shard.Shard, error) {
	shards := make([]*shard.Shard, len(parts))
	for i, p := range parts {
		sh, err := c.disk.Open(p.ID, schema)
		if err != nil {
			return nil, err
		}
		shards[i] = sh
	}
	return shards, nil
}

// close refuses all later changes. It reports whether this is the first call.
func (c *catalog) close() (first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first = !c.closed
	c.closed = true
	return first
}

// wake has the worker look at the catalog.
func (c *catalog) wake() {
	select {
	case c.woken <- struct{}{}:
	default: // it is woken already
	}
}

// An entry is a record of the catalog: a table, a backup, or shards that are to be removed.
type entry interface {
	recordName() string
	encoded() shard.Record
	addTo(*contents)      // in place of the entry of that name, if there is one
	removeFrom(*contents) // the entry of that name
}

// A revision is a change of the catalog that happens whole or not at all.
type revision struct {
	put, remove []entry
	shards      bool // IDs of shards were taken
	removal     bool // disk space is given back in the end, so that a full disk takes it, too
}

// read calls f with the contents while nothing changes them. f must neither change nor keep them,
// only the entries themselves, which are immutable.
func (c *catalog) read(f func(*contents)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.is)
}

// update is commit for a change that doesn't depend on the contents.
func (c *catalog) update(ctx context.Context, v revision) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.commit(ctx, v)
}

// commit saves a revision, and then changes the catalog by it. mu is held.
func (c *catalog) commit(ctx context.Context, v revision) error {
	var records []shard.Record
	for _, e := range v.remove {
		records = append(records, shard.Record{Name: e.recordName()})
	}
	for _, e := range v.put {
		records = append(records, e.encoded())
	}
	if v.shards {
		records = append(records, encode(nextName, nextIDs{Version: version, Shard: c.next}))
	}
	if _, err := c.disk.Commit(ctx, shard.Commit{Records: records, Removal: v.removal}); err != nil {
		return err
	}
	for _, e := range v.remove {
		e.removeFrom(&c.is)
	}
	for _, e := range v.put {
		e.addTo(&c.is)
	}
	return nil
}

// replace puts a changed record in the place of the table's: on disk, in the shards and for
// requests. removal is that of the revision. mu is held.
func (c *catalog) replace(ctx context.Context, r *record, removal bool) error {
	if err := c.commit(ctx, revision{put: []entry{r}, removal: removal}); err != nil {
		return err
	}
	shards := c.tables.table(r.Table.Name).shards
	for _, sh := range shards {
		if err := sh.SetSchema(r.schema()); err != nil {
			return err
		}
	}
	c.tables.publish(r, shards, 0)
	c.wake()
	return nil
}

// amend replaces a record of which only the description has changed: the shards keep their schema,
// and a pending change stays pending. mu is held.
func (c *catalog) amend(ctx context.Context, r *record) error {
	if err := c.commit(ctx, revision{put: []entry{r}}); err != nil {
		return err
	}
	c.tables.amend(r)
	return nil
}

// finish records in a table's record that a step is done, if the table still has that name and
// change reports that the step still matters.
func (c *catalog) finish(ctx context.Context, name, id string, removal bool, change func(*record) bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.is.tables[name]
	if old == nil || old.Table.ID != id {
		return nil
	}
	r := old.clone()
	if !change(r) {
		return nil
	}
	r.updateStatus()
	return c.replace(ctx, r, removal)
}

// completeRestore ends the restore of a table whose shards have been copied.
func (c *catalog) completeRestore(ctx context.Context, r *record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	done := c.is.tables[r.Table.Name].clone() // its tags may have changed; it can't have been removed
	done.Copy = nil
	done.updateStatus()
	shards, err := c.openShards(done)
	if err != nil {
		return err
	}
	if err := c.commit(ctx, revision{put: []entry{done}}); err != nil {
		return err
	}
	c.tables.publish(done, shards, 0)
	return nil
}

// abandonRestore removes a table that can't be restored.
func (c *catalog) abandonRestore(ctx context.Context, r *record, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.removeTable(ctx, r, discarded(r.Table.ID, r.Shards, now))
}

// removeTable takes a table from the catalog and from requests, and leaves its shards to the
// worker. mu is held.
func (c *catalog) removeTable(ctx context.Context, r *record, rest *removed) error {
	if err := c.commit(ctx, revision{put: []entry{rest}, remove: []entry{r}, removal: true}); err != nil {
		return err
	}
	c.tables.withdraw(r.Table.Name)
	c.wake()
	return nil
}

// removeBackup takes a backup from the catalog, and leaves its shards to the worker. mu is held.
func (c *catalog) removeBackup(ctx context.Context, b *backup, rest *removed) error {
	if err := c.commit(ctx, revision{put: []entry{rest}, remove: []entry{b}, removal: true}); err != nil {
		return err
	}
	c.wake()
	return nil
}

// table returns the record of a table for a change. mu is held.
func (c *catalog) table(name string) (*record, error) {
	if c.closed {
		return nil, errClosed()
	}
	r, ok := c.is.tables[name]
	if !ok {
		return nil, noTable(name)
	}
	return r, nil
}

// backup returns a backup for a change. mu is held.
func (c *catalog) backup(id string) (*backup, error) {
	if c.closed {
		return nil, errClosed()
	}
	b, ok := c.is.backups[id]
	if !ok {
		return nil, noBackup(id)
	}
	return b, nil
}

// vacant returns an error unless a table of that name can be created. mu is held.
func (c *catalog) vacant(name string) error {
	if c.closed {
		return errClosed()
	}
	if _, ok := c.is.tables[name]; ok {
		return holdfast.Errorf(holdfast.Exists, "Table already exists: %s", name)
	}
	return nil
}

func errClosed() error { return holdfast.Errorf(holdfast.Closed, "the tables are closed") }

// copied reports whether such a copy is under way. mu is held.
func (c *catalog) copied(such func(*copying) bool) bool {
	for _, r := range c.is.tables {
		if r.Copy != nil && such(r.Copy) {
			return true
		}
	}
	for _, b := range c.is.backups {
		if b.Copy != nil && such(b.Copy) {
			return true
		}
	}
	return false
}

// newShards returns IDs for n shards that split all hashes evenly. The revision with their record
// sets shards. mu is held.
func (c *catalog) newShards(n int) []part {
	parts := make([]part, n)
	for i := range parts {
		parts[i] = part{ID: c.next, Start: startOf(i, n)}
		c.next++
	}
	return parts
}

// sourceOf returns the shards that a table is restored from.
func (c *catalog) sourceOf(r *record) ([]*shard.Shard, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Copy.Backup == "" {
		return c.tables.table(r.Copy.Table).shards, nil
	}
	b := c.is.backups[r.Copy.Backup]
	return c.openParts(b.Shards, shard.Schema{Key: b.Backup.Table.Key})
}
