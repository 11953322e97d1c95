package table

import (
	"context"
	"log/slog"
	"time"

	"holdfast/catalog"
	"holdfast/shard"
)

// A Store is all tables of a node. Its methods are the requests; the state that they read and
// change is in the types of its fields, each of which owns its fields.
type Store struct {
	disk           *shard.Store
	now            func() time.Time
	shardsPerTable int // of tables that are created from now on

	tables     directory        // the tables as requests see them
	catalog    *catalog.Catalog // tables, streams, backups, and the work that is still to be done for them
	installer  *installer       // makes changes of the catalog take effect
	ledger     *shard.Ledger    // of transactions, with their tokens
	worker     *worker          // does the work that the catalog has under way
	sweeper    *sweeper         // expires items, trims logs, gives disk space back
	background background       // runs the worker and the sweeper
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
	s.background.start(s.worker.run, s.sweeper.run)
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
	c, err := catalog.Open(o.Disk)
	if err != nil {
		return nil, err
	}
	s := &Store{disk: o.Disk, now: now, shardsPerTable: max(1, o.ShardsPerTable), catalog: c}
	s.tables.init(o.Throttle, now)
	s.installer = newInstaller(o.Disk, c, &s.tables, log, now)
	reclaimer := &reclaimer{disk: o.Disk}
	s.worker = &worker{
		disk: o.Disk, catalog: c, installer: s.installer, tables: &s.tables, reclaimer: reclaimer, log: log, now: now,
		filled: map[string]progress{},
	}
	if err := s.installer.load(ctx); err != nil {
		return nil, err
	}
	if s.ledger, err = s.installer.openLedger(ctx, now(), log); err != nil {
		s.installer.close()
		return nil, err
	}
	s.sweeper = &sweeper{
		disk: o.Disk, tables: &s.tables, ledger: s.ledger, reclaimer: reclaimer, wake: s.installer.wake, log: log,
		now: now,
	}
	return s, nil
}

// Close ends the background work. What was under way is resumed by the next Open.
func (s *Store) Close() error {
	if s.installer.close() {
		s.background.stop()
	}
	return nil
}
