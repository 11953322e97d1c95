package router

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/journal"
	"holdfast/loop"
	"holdfast/mc"
	"holdfast/route"
	"holdfast/upstream"
)

// A Router forwards requests to members. Its methods may be called from any goroutine.
type Router struct {
	log   *slog.Logger
	local mc.Handler
	lanes []*lane
	tree  atomic.Pointer[tree]

	clock   upstream.Clock
	now     func() time.Time // clock.Now
	elapsed clock            // since started
	started time.Time
	delayed delayedFlushes
	source  atomic.Pointer[Source]

	mu        sync.Mutex // guards what follows; Reload and Close hold it throughout
	upstreams *upstream.Set
	journals  *journal.Journals
	latches   map[string]*latches // of replicated pools
	fills     *fills              // nil as long as no tree needs it
	marks     *marks              // nil if the journals are in memory
	closed    bool

	end     context.Context // ends with Close
	endNow  context.CancelFunc
	ongoing sync.WaitGroup // what Close waits for
}

// Parts are what a Router uses of the rest of the process.
type Parts struct {
	Loops []*loop.Loop // the loops of the batches that it serves, by mc.Batch.Lane; not running yet
	Cache mc.Handler   // the cache of this process, for members "cache"; nil without one
	Log   *slog.Logger
	// Clock is the clock, by which items expire, routes migrate, limits are kept, and members are
	// probed, repaired, marked and filled; nil is the system's. Deadlines of sockets and of requests
	// in flight go by the system's.
	Clock upstream.Clock
}

// New returns a router with the pools and routes of o. The error is route.Faults, or what could not
// be opened.
func New(o route.Options, parts Parts) (*Router, error) {
	clock := cmp.Or[upstream.Clock](parts.Clock, upstream.SystemClock{})
	r := &Router{
		clock: clock, now: clock.Now, started: clock.Now(), log: parts.Log, local: parts.Cache,
		latches: map[string]*latches{},
	}
	r.elapsed = newClock(r.now, r.started)
	r.end, r.endNow = context.WithCancel(context.Background())
	var lanes []*upstream.Lane
	for i, l := range parts.Loops {
		random := uint64(r.started.UnixNano()) + uint64(i)<<32
		lane := &lane{router: r, index: i, loop: l, Lane: upstream.NewLane(l), random: random}
		r.lanes, lanes = append(r.lanes, lane), append(lanes, lane.Lane)
	}
	r.upstreams = upstream.NewSet(lanes, r.log, clock)
	o.SetDefaults()
	var err error
	r.journals, err = journal.Open(journal.Options{
		Folder: o.Journal.Folder, MaxBytes: int64(o.Journal.MaxBytes), MaxAge: o.Journal.MaxAge, Logger: parts.Log,
		Lanes: len(r.lanes),
	})
	if err != nil {
		return nil, err
	}
	r.marks = r.newMarks(&o.Journal)
	for i, l := range r.lanes {
		l.notes = r.journals.Ledger().Lane(i)
	}
	if err := r.Reload(o); err != nil {
		return nil, errors.Join(err, r.journals.Close())
	}
	if t := r.tree.Load(); r.marks != nil {
		r.marks.begin(t)
	} else if len(t.journaled()) > 0 {
		r.log.Warn("journal.folder is not set: what members that are down have missed, and which writes are in " +
			"flight to them, is lost when this process ends; members may then differ, and serve old values " +
			"until those are overwritten")
	}
	r.recoverWrites()
	return r, nil
}

// Reload replaces the pools and routes. Batches in flight end with the old ones. Members that are
// in both configurations keep their connections and their state. After an error nothing has
// changed.
func (r *Router) Reload(o route.Options) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errors.New("the router is closed")
	}
	t, err := r.build(o)
	if err != nil {
		return err
	}
	r.publish(t)
	old := r.tree.Swap(t)
	if old != nil {
		r.release(old)
	}
	return nil
}

// publish directs reads and writes of replicated pools to the members of t, also those of batches
// that began with an older tree. Then it starts to probe the members that are new or were down when
// this process began. In the other order, a member that joins a pool could serve stale items:
//
//  1. It is flushed, comes up, and gets a copy of k from another.
//  2. A write of k from a batch of the old tree goes to the old tree's members, and is
//     acknowledged.
//  3. The member answers reads of k from batches of the new tree.
//
// A write that began before publish has the latch of its key, for which the copy waits. r.mu is
// held.
func (r *Router) publish(t *tree) {
	for _, p := range t.pools {
		if p.replicated == nil {
			continue
		}
		p.replicated.latches.newest.Store(p.replicated)
	}
	for _, d := range t.upstreams {
		d.StartProbing()
	}
}

// Options returns the options in use.
func (r *Router) Options() route.Options { return r.tree.Load().options }

// Close closes connections and ends probes. The loops must have stopped, and Serve must not be
// called any more.
func (r *Router) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	r.endNow()
	r.delayed.stop()
	r.ongoing.Wait()
	var errs []error
	for d := range r.upstreams.All() {
		errs = append(errs, d.Owed.Leave())
	}
	r.release(r.tree.Load())
	for _, l := range r.lanes {
		l.close()
	}
	return errors.Join(append(errs, r.journals.Close())...)
}

// latchesOf returns the latches of a pool, which outlive its tree. r.mu is held.
func (r *Router) latchesOf(pool string) *latches {
	if r.latches[pool] == nil {
		r.latches[pool] = &latches{}
	}
	return r.latches[pool]
}

// replica returns the upstream of a member that has a journal. pool is the name of a replicated
// pool, and "" for other members. r.mu is held.
func (r *Router) replica(pool, address string, s upstream.Settings) (*upstream.Upstream, error) {
	id := upstream.Identity{Journaled: true, Pool: pool, Address: address}
	if d := r.upstreams.Use(id); d != nil {
		switch {
		case d.Settings != s && r.tree.Load() == nil:
			r.log.Warn("a member with a journal is in several pools: "+
				"the time-outs and limits of the first hold in all of them", "member", address)
		case d.Settings != s:
			r.log.Warn("the settings of members that have journals change with the next start", "pool", pool, "member", address)
		}
		return d, nil
	}
	j, err := r.journals.Member(strings.TrimSpace(pool + " " + address))
	if err != nil {
		return nil, err
	}
	left := j.InOutage() // since an earlier process
	joined := r.tree.Load() != nil && pool != ""
	if joined { // what it holds isn't known
		j.MarkCut("it has joined the pool")
		if err := j.Begin(); err != nil {
			return nil, err
		}
	}
	var marker upstream.Marker
	if r.marks != nil {
		marker = r.marks
	}
	d := r.upstreams.Add(id, s, j, marker)
	if pool != "" {
		d.Watch(&refill{to: d, clock: r.clock, lanes: r.lanes, log: r.log, latches: r.latchesOf(pool)})
	}
	if joined {
		r.marks.joined(d)
	}
	if left {
		d.Outage.SetStrangers()
	}
	return d, nil
}

// plain returns the upstream of a member without a journal. r.mu is held.
func (r *Router) plain(address string, s upstream.Settings) *upstream.Upstream {
	id := upstream.Identity{Address: address, Settings: s}
	if d := r.upstreams.Use(id); d != nil {
		return d
	}
	return r.upstreams.Add(id, s, nil, nil)
}

// release releases the upstreams of a tree that isn't used any more.
func (r *Router) release(t *tree) {
	for _, d := range t.upstreams {
		r.upstreams.Release(d)
	}
}

// close closes the lane's connections. Its loop has stopped.
func (l *lane) close() {
	l.Lane.Close()
	l.Lock()
	defer l.Unlock()
	l.notes = nil // the records of writes in flight stay for the next process
}
