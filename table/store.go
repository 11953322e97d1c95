package table

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/shard"
)

// A Store is all tables of a node. Its methods are the requests; the state that they read and
// change is in the types of its fields, each of which owns its fields.
type Store struct {
	disk           *shard.Store
	now            func() time.Time
	shardsPerTable int // of tables that are created from now on
	nodes          int // of the cluster; 1: this node is alone

	tables     directory        // the tables as requests see them
	catalog    *catalog.Catalog // tables, streams, backups, and the work that is still to be done for them
	installer  *installer       // makes changes of the catalog take effect
	ledger     *shard.Ledger    // of transactions, with their tokens
	worker     *worker          // does the work that the catalog has under way
	sweeper    *sweeper         // expires items, trims logs
	background background       // runs the worker, sweeper and reclaimer; in a cluster, what each node does

	leadership leadership // in a cluster: whether this node is the active one
}

// Open opens the tables that are on a disk, and resumes what was under way. The error is Corrupt if
// the catalog isn't what was written. The disk stays the caller's.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, err := newStore(ctx, o)
	if err != nil {
		return nil, err
	}
	if o.Replicas != nil {
		s.background.start(s.installer.cluster.followCatalog, s.installer.cluster.removeOrphans,
			s.sweeper.reclaimer.run)
	} else {
		s.background.start(s.worker.run, s.sweeper.run, s.sweeper.reclaimer.run)
	}
	return s, nil
}

// newStore returns a store with its tables, whose background work hasn't been started.
func newStore(ctx context.Context, o Options) (*Store, error) {
	log, now := o.Log, o.Now
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if now == nil {
		now = time.Now
	}
	reclaimer := &reclaimer{disk: o.Disk, log: log}
	c, in, err := openCatalog(o, reclaimer)
	if err != nil {
		return nil, err
	}
	s := &Store{disk: o.Disk, now: now, shardsPerTable: max(1, o.ShardsPerTable), nodes: max(1, o.Nodes), catalog: c}
	s.tables.init(o.Throttle, now)
	s.leadership.changing = make(chan struct{}, 1)
	s.tables.tokenWait, s.tables.replicated = cmp.Or(o.TokenWait, defaultTokenWait), in != nil
	s.installer = newInstaller(o.Disk, c, &s.tables, log, now)
	s.installer.cluster = in
	s.worker = &worker{
		disk: o.Disk, catalog: c, installer: s.installer, tables: &s.tables, reclaimer: reclaimer, log: log, now: now,
		filled: map[string]progress{},
	}
	s.sweeper = &sweeper{
		disk: o.Disk, tables: &s.tables, reclaimer: reclaimer, wake: s.installer.wake, log: log, now: now,
	}
	if in != nil {
		in.installer = s.installer
		return s, in.loadPassively()
	}
	if err := s.installer.load(ctx); err != nil {
		return nil, err
	}
	if s.ledger, err = s.installer.openLedger(ctx, now(), log); err != nil {
		s.installer.close()
		return nil, err
	}
	s.sweeper.ledger = s.ledger
	return s, nil
}

// openCatalog opens the catalog of a node alone, or that of a cluster.
func openCatalog(o Options, r *reclaimer) (*catalog.Catalog, *cluster, error) {
	if o.Replicas == nil {
		c, err := catalog.Open(o.Disk)
		return c, nil, err
	}
	sh, err := o.Disk.Open(catalog.Descriptor(), catalog.Schema())
	if err != nil {
		return nil, nil, err
	}
	if err := o.Replicas.Start(sh); err != nil {
		return nil, nil, err
	}
	c, err := catalog.OpenReplicated(o.Disk, sh)
	in := &cluster{replicas: o.Replicas, shard: sh, reclaimer: r, started: map[holdfast.ShardID]bool{sh.ID(): true}}
	return c, in, err
}

// Close ends the background work. What was under way is resumed by the next Open. In a cluster it
// is as Yield: what waits for the outcome of a proposal is waited for.
func (s *Store) Close() error {
	if s.installer.cluster != nil {
		s.leadership.close()
		s.Yield()
	}
	if s.installer.close() {
		s.background.stop()
	}
	return nil
}
