package table

import (
	"context"
	"log/slog"
	"time"

	"holdfast/shard"
)

// A Store is all tables of a node. It says what requests mean; the state that they read and change stands in the types below, each
// the only one that touches its fields.
type Store struct {
	disk           *shard.Store
	now            func() time.Time
	shardsPerTable int // of tables to come

	tables     directory  // the tables as requests see them
	catalog    *catalog   // what there is: tables, streams, backups, and what is still to be done for them
	tokens     *tokens    // of transactions that were committed
	worker     *worker    // does what the catalog says is under way
	sweeper    *sweeper   // expires items, trims logs, gives disk space back
	background background // runs the worker and the sweeper
}

// Open opens the tables that are on a disk, and resumes what was under way. An error of kind Corrupt says that the catalog isn't
// what was written. The disk stays the caller's.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, err := newStore(o)
	if err != nil {
		return nil, err
	}
	s.background.start(s.worker.run, s.sweeper.run)
	return s, nil
}

// newStore returns a store with its tables, whose background work hasn't been started.
func newStore(o Options) (*Store, error) {
	log, now := o.Log, o.Now
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if now == nil {
		now = time.Now
	}
	s := &Store{disk: o.Disk, now: now, shardsPerTable: max(1, o.ShardsPerTable)}
	s.tables.init(o.Throttle, now)
	s.catalog = newCatalog(o.Disk, &s.tables)
	s.tokens = &tokens{disk: o.Disk, log: log, now: now}
	reclaimer := &reclaimer{disk: o.Disk}
	s.worker = &worker{
		disk: o.Disk, catalog: s.catalog, tables: &s.tables, reclaimer: reclaimer, log: log, now: now, filled: map[string]progress{},
	}
	s.sweeper = &sweeper{disk: o.Disk, tables: &s.tables, reclaimer: reclaimer, wake: s.catalog.wake, log: log, now: now}
	return s, s.catalog.load()
}

// Close ends the background work. What was under way is resumed by the next Open.
func (s *Store) Close() error {
	if s.catalog.close() {
		s.background.stop()
	}
	return nil
}
