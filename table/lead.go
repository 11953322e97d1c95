package table

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"holdfast"
	"holdfast/catalog"
	"holdfast/shard"
)

// A leadership is whether a cluster's node is the active one.
type leadership struct {
	// changing has an element while Lead or Yield changes whether the node is active, which takes
	// the catalog's lock behind it. It guards work, and is a channel as that lock is.
	changing chan struct{}
	work     background // the worker and the sweeper, while the node is active

	mu     sync.Mutex         // guards what follows
	cancel context.CancelFunc // ends what Lead has begun; nil: nothing
	closed bool

	serves atomic.Bool // the node is active, and serves all requests; set with mu held
}

// begin returns the context of a time as the active node, and a function that ends it.
func (l *leadership) begin() (context.Context, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed()
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	return ctx, nil
}

// end has what Lead has begun end, but doesn't wait for it.
func (l *leadership) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serves.Store(false)
	if l.cancel != nil {
		l.cancel()
		l.cancel = nil
	}
}

// serve has requests served here, unless end was called since begin returned the context.
func (l *leadership) serve(active context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if active.Err() != nil {
		return errPassive()
	}
	l.serves.Store(true)
	return nil
}

// close is end for good.
func (l *leadership) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.end()
}

// Lead makes the node of a cluster the active one, which leads the groups of all shards, and
// returns when it serves all requests. It is called when the node has become the leader of the
// catalog's group. After an error, as when it is that no longer (NotLeader) or ctx ends, it is not
// active.
func (s *Store) Lead(ctx context.Context) error { return s.lead(ctx, s.worker.run, s.sweeper.run) }

// lead is Lead with the work that the active node does in the background.
func (s *Store) lead(ctx context.Context, work ...func(context.Context)) error {
	l := &s.leadership
	if s.installer.cluster == nil {
		return holdfast.Errorf(holdfast.Invalid, "these tables aren't those of a cluster")
	}
	l.changing <- struct{}{}
	defer func() { <-l.changing }()
	if l.serves.Load() {
		return nil
	}
	active, err := l.begin()
	if err != nil {
		return err
	}
	if err := s.activate(ctx, active, work); err != nil {
		l.end()
		s.passivate()
		return err
	}
	return nil
}

// activate is lead. active ends when the node is to be active no longer.
func (s *Store) activate(ctx, active context.Context, work []func(context.Context)) error {
	i := s.installer
	i.catalog.Lock()
	i.cluster.active = active
	ctx, cancel := i.cluster.ended(ctx)
	defer cancel()
	err := i.cluster.becomeActive(ctx)
	s.ledger = i.cluster.ledger
	i.catalog.Unlock()
	if err != nil {
		return err
	}
	s.worker.filled = map[string]progress{}
	s.sweeper.ledger = s.ledger
	s.leadership.work.start(work...)
	i.wake()
	return s.leadership.serve(active)
}

// Yield ends that the node is active. It may be called at any time, and more than once. What waits
// for the outcome of a proposal to a group is waited for: the groups must be able to end such
// waits, or their host be closed.
func (s *Store) Yield() {
	if s.installer.cluster == nil {
		return
	}
	s.leadership.end()
	s.leadership.changing <- struct{}{}
	defer func() { <-s.leadership.changing }()
	s.passivate()
}

// passivate ends the work of the active node. leadership.changing is held, and what Lead has begun
// has been ended.
func (s *Store) passivate() {
	s.leadership.work.stop()
	i := s.installer
	i.catalog.Lock()
	defer i.catalog.Unlock()
	i.cluster.active = nil
	i.tables.joins.Store(i.cluster.joins)
	i.stopAll()
	for _, t := range i.tables.all() {
		if r := i.cluster.follows.Tables[t.desc.Name]; t.followers != nil && r != nil {
			o := t.opened
			o.followers = nil
			i.tables.amend(r, o)
		}
	}
}

// Leads reports whether this node serves all requests: it is alone, or the active node of its
// cluster.
func (s *Store) Leads() bool { return s.installer.cluster == nil || s.leadership.serves.Load() }

// leads returns NotLeader unless this node serves all requests. It is called before a request
// changes anything.
func (s *Store) leads() error {
	if !s.Leads() {
		return errPassive()
	}
	return nil
}

// becomeActive takes the lead, as of all that was committed by the node that was active before. The
// catalog is locked.
func (c *cluster) becomeActive(ctx context.Context) error {
	if err := shard.Confirm(ctx, c.shard); err != nil {
		return err
	}
	if _, _, _, err := c.installer.catalog.Refresh(); err != nil {
		return err
	}
	c.behind = true
	if err := c.follow(); err != nil {
		return err
	}
	c.behind = true
	c.installer.tables.joins.Store(false) // the active node has all that was committed
	err := c.takeLead(ctx)
	c.behind = err != nil
	return err
}

// takeLead leads all groups, and brings all shards to where the catalog has them: it gives them
// their schemas, which the node that was active before may not have done, resolves what is left of
// transactions, and has the global indexes follow. It may be repeated. The catalog is locked.
func (c *cluster) takeLead(ctx context.Context) error {
	i := c.installer
	if _, err := i.catalog.OpenLedger(ctx); err != nil {
		return err
	}
	is := i.catalog.Contents()
	if err := c.followLedger(is.Ledger); err != nil {
		return err
	}
	if err := c.replicas.Lead(ctx, idsOf(c.led(is))); err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(is.Tables)) // in one order, for simulations
	for _, name := range names {
		r := is.Tables[name]
		if err := c.setSchema(ctx, i.tables.table(name).shards, r.Schema()); err != nil {
			return err
		}
	}
	err := c.within(ctx, func() error { return c.ledger.ResolveAll(ctx) })
	if errors.Is(err, holdfast.Full) {
		i.log.Warn("transactions that were interrupted wait until there is disk space", "err", err)
		err = nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		r := is.Tables[name]
		i.tables.amend(r, i.followTable(r, i.tables.table(name).opened))
	}
	c.follows = is
	return nil
}

// setSchema gives the shards of a table the schema that its record has.
func (c *cluster) setSchema(ctx context.Context, shards []*shard.Shard, schema shard.Schema) error {
	return c.within(ctx, func() error {
		return concurrently(len(shards), func(at int) error { return shards[at].SetSchema(schema) })
	})
}

// led returns the shards whose groups the active node leads: all that are open.
func (c *cluster) led(is catalog.Contents) (all []shard.Descriptor) {
	for _, r := range is.Tables {
		all = append(all, shardsOfTable(r)...)
	}
	for _, b := range is.Backups {
		all = append(all, catalog.Descriptors(b.Space, b.Shards)...)
	}
	for _, r := range is.Removed {
		if c.readable(r) {
			all = append(all, catalog.Descriptors(r.Space, r.Shards)...)
		}
	}
	if l := is.Ledger; l != nil {
		all = append(all, catalog.Descriptors(l.Space, l.Shards)...)
	}
	slices.SortFunc(all, func(a, b shard.Descriptor) int { return int(a.ID) - int(b.ID) })
	return all
}
