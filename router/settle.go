package router

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/journal"
	"holdfast/route"
)

// A router that is killed leaves writes on their way: some members have them and others not, and
// nobody has the key in a journal. journal.Ledger knows their keys; the next process settles them:
//
//  1. A set of k is noted, and sent to A and B. A has it; the router is killed.
//  2. The next process finds k, and latches it before it serves anything: reads and writes of k
//     wait.
//  3. B may have the set in a socket that it has not read. So each member is given the pool's
//     time-out to read the connections of the process before, as in fence.
//  4. k is deleted on each member. One that can't be reached goes down with k in its journal, and
//     forgets k before it answers again, after a fence that waits likewise.
//  5. The latch of k is released, and once all keys are settled the ledger forgets them.
//
// Killed before 5, the process after that begins with 2 again. The pool's other keys are served
// meanwhile. In a sharded pool without a gutter a key has one holder, so that reads needn't wait;
// there 3 and 4 are for a write that the member reads late, behind a newer one.
//
// Where the ledger doesn't know all writes, see distrust.

// ledgerID is a pool in the ledger.
func ledgerID(pool string) uint64 { return keyHash([]byte(pool)) }

// settle is called once, before the loops run.
func (r *Router) settle() {
	ledger := r.journals.Ledger()
	left, unknown := ledger.Left()
	t := r.tree.Load()
	if unknown != "" {
		if err := r.distrust(t, unknown); err != nil {
			r.log.Error("not all members could be marked for a flush; the next start tries again", "err", err)
			return
		}
	}
	var failed atomic.Bool
	var open sync.WaitGroup
	for _, p := range t.pools {
		keys := keysLeft(t, p, left)
		if len(keys) == 0 {
			continue
		}
		r.log.Info("settling writes that were on their way when the last process ended", "pool", p.options.Name, "keys",
			len(keys))
		s := r.settlement(t, p, keys)
		open.Go(func() {
			if err := s.run(r.end); err != nil {
				failed.Store(true)
				r.log.Error("writes of the last process are not settled; the next start tries again", "pool", p.options.Name,
					"err", err)
			}
		})
	}
	r.ongoing.Go(func() {
		open.Wait()
		if !failed.Load() {
			ledger.Settled()
		}
	})
}

// keysLeft are those of the pool's writes, each once. Writes of pools that are gone, or have
// another name now, count for each pool.
func keysLeft(t *tree, p *pool, left []journal.Intent) [][]byte {
	if !p.journaled() {
		return nil
	}
	var keys [][]byte
	seen := map[string]bool{}
	for _, i := range left {
		known := slices.ContainsFunc(t.pools, func(p *pool) bool { return ledgerID(p.options.Name) == i.Pool })
		if known && i.Pool != ledgerID(p.options.Name) || seen[string(i.Key)] {
			continue
		}
		seen[string(i.Key)] = true
		keys = append(keys, i.Key)
	}
	return keys
}

// journaled reports whether the pool's members have journals.
func (p *pool) journaled() bool {
	return slices.ContainsFunc(p.members, func(m *member) bool { return m.to != nil && m.to.outage != nil })
}

// A settlement settles keys of one pool.
type settlement struct {
	router  *Router
	latches *latches  // nil in a sharded pool without a gutter
	members []*member // those that may hold the keys
	keys    [][]byte
}

// settlement latches the keys.
func (r *Router) settlement(t *tree, p *pool, keys [][]byte) *settlement {
	s := &settlement{router: r, members: slices.Clone(p.members), keys: keys}
	if p.replicated != nil || p.options.Failover != "" {
		s.latches = r.latches[p.options.Name]
		for _, key := range keys {
			s.latches.acquire(key, keyHash(key), latched{})
		}
	}
	for _, other := range t.pools {
		if other.options.Name == p.options.Failover {
			s.members = append(s.members, other.members...)
		}
	}
	for _, m := range s.members {
		if m.to != nil {
			m.to.outage.setStrangers()
		}
	}
	return s
}

// run returns an error if a crash could forget what a member is to be told: this process does not.
// Unless ctx has ended, the keys are released.
func (s *settlement) run(ctx context.Context) error {
	errs := make([]error, len(s.members))
	var open sync.WaitGroup
	for i, m := range s.members {
		open.Go(func() { errs[i] = s.settle(ctx, m) })
	}
	open.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.latches != nil {
		for _, key := range s.keys {
			s.latches.release(key, keyHash(key))
		}
	}
	return errors.Join(errs...)
}

// settle has one member delete the keys, now or when it comes back.
func (s *settlement) settle(ctx context.Context, m *member) error {
	if m.to == nil {
		l := s.router.lanes[0]
		for _, key := range s.keys {
			l.enter(func() { m.route.forward(l, &query{request: deleteKey(key), taker: nobody{}}) })
		}
		return nil
	}
	d := m.to
	err := d.deleteBehindFence(ctx, s.keys)
	if err == nil || ctx.Err() != nil {
		return nil // of the second, run tells
	}
	durable := true
	for _, key := range s.keys {
		durable = d.missed(key, true, fmt.Errorf("settling writes: %w", err)) == missedKept && durable
	}
	if durable {
		return nil
	}
	return d.outage.journal.Begin()
}

// distrust is for a ledger that doesn't know which writes were on their way, and has all members
// with journals come back before they answer:
//
//   - Of a replicated pool one keeps its items, the first that missed nothing, and the others are
//     flushed and filled from it: with acknowledge: all it has what was acknowledged. With less, a
//     write may have been acknowledged that it has not got, so that all are flushed.
//   - A gutter is flushed: it may hold what a write was to delete there.
//   - The members of other pools only get time to read what the process before has sent them.
func (r *Router) distrust(t *tree, why string) error {
	r.log.Warn("not all writes of the last process are known: members come back as after an outage", "err", why)
	gutters := map[string]bool{}
	for _, p := range t.pools {
		gutters[p.options.Failover] = true
	}
	var errs []error
	for _, p := range t.pools {
		kept := p.replicated == nil || p.options.Acknowledge != route.AckAll // or nobody is left to be
		for _, m := range p.members {
			if m.to == nil || m.to.outage == nil {
				continue
			}
			keeps := p.replicated == nil && !gutters[p.options.Name]
			if !kept && !m.to.outage.journal.Absent() {
				kept, keeps = true, true
			}
			errs = append(errs, m.to.distrust(why, keeps))
		}
	}
	return errors.Join(errs...)
}

// distrust takes the member down, to come back with the items that it has, or without.
func (d *upstream) distrust(why string, keeps bool) error {
	d.mu.Lock()
	if !keeps {
		d.outage.journal.MarkCut(why)
	}
	d.outage.setStrangers()
	d.whole = keeps
	if d.state.Load() == stateUp {
		d.goDown(errors.New(why))
	}
	d.mu.Unlock()
	return d.outage.journal.Begin()
}

// errAway is why a member can't be told now.
var errAway = errors.New("the member is away")

// deleteBehindFence deletes keys on a member that is up, once it has read what it had from
// connections of before.
func (d *upstream) deleteBehindFence(ctx context.Context, keys [][]byte) error {
	if !d.up() {
		return errAway
	}
	conn, err := d.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := d.greet(conn); err != nil {
		return err
	}
	p := newSideConn(conn, d.timeout)
	if err := d.fence(ctx, p); err != nil {
		return err
	}
	for batch := range slices.Chunk(keys, deletesAtOnce) {
		entries := make([]journal.Entry, len(batch))
		for i, key := range batch {
			entries[i].Key = key
		}
		if err := p.delete(entries); err != nil {
			return err
		}
	}
	return nil
}

// deletesAtOnce is how many deletes are sent before their answers are read: few enough for the
// buffers of two sockets.
const deletesAtOnce = 128

func newSideConn(conn net.Conn, timeout time.Duration) *sideConn {
	return &sideConn{conn: conn, reader: bufio.NewReaderSize(conn, 64<<10), timeout: timeout}
}
