package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"holdfast/journal"
	"holdfast/route"
)

// A router that is killed leaves writes in flight: some members have them, others don't, and no
// journal has their keys. journal.Ledger has them, and the next process recovers:
//
//  1. A set of k is entered in the ledger, and sent to A and B. A applies it; the router is killed.
//  2. The next process finds k, and latches it before it serves anything: reads and writes of k wait.
//  3. B may have the set in a socket that it has not read. So each member is given the pool's time-out
//     to read the connections of the earlier process, as in fence.
//  4. k is deleted on each member. A member that can't be reached goes down with k in its journal; k
//     is deleted on it before it serves again, after a fence that waits likewise.
//  5. The latch of k is released. Once the keys of all pools are deleted, the ledger drops them.
//
// If that process is killed before step 5, the one after it begins with step 2 again. The pool's
// other keys are served meanwhile. In a sharded pool without a gutter a key is held by one member, so
// reads needn't wait; there steps 3 and 4 are for a write that the member reads late, after a newer
// one.
//
// If the ledger doesn't have all writes, see distrust.

// ledgerID is a pool in the ledger.
func ledgerID(pool string) uint64 { return keyHash([]byte(pool)) }

// recoverWrites is called once, before the loops run.
func (r *Router) recoverWrites() {
	ledger := r.journals.Ledger()
	left, unknown := ledger.Unresolved()
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
		r.log.Info("deleting the keys of writes that were in flight when the last process ended", "pool", p.options.Name,
			"keys",
			len(keys))
		s := r.newRecovery(t, p, keys)
		open.Go(func() {
			if err := s.run(r.end); err != nil {
				failed.Store(true)
				r.log.Error("not all writes of the last process are recovered; the next start tries again", "pool", p.options.Name,
					"err", err)
			}
		})
	}
	r.ongoing.Go(func() {
		open.Wait()
		if !failed.Load() {
			ledger.Resolve()
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

// A recovery deletes keys of one pool.
type recovery struct {
	router  *Router
	latches *latches  // nil in a sharded pool without a gutter
	members []*member // those that may hold the keys
	keys    [][]byte
}

// newRecovery latches the keys.
func (r *Router) newRecovery(t *tree, p *pool, keys [][]byte) *recovery {
	s := &recovery{router: r, members: slices.Clone(p.members), keys: keys}
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

// run returns an error if a crash could lose the keys that are left to delete; this process has
// them. Unless ctx has ended, the keys are released.
func (s *recovery) run(ctx context.Context) error {
	errs := make([]error, len(s.members))
	var open sync.WaitGroup
	for i, m := range s.members {
		open.Go(func() { errs[i] = s.recoverMember(ctx, m) })
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

// recoverMember has one member delete the keys, now or when it comes back.
func (s *recovery) recoverMember(ctx context.Context, m *member) error {
	if m.to == nil {
		l := s.router.lanes[0]
		for _, key := range s.keys {
			l.enter(func() { m.route.forward(l, &query{request: deleteKey(key), taker: discard{}}) })
		}
		return nil
	}
	d := m.to
	err := d.deleteBehindFence(ctx, s.keys)
	if err == nil || ctx.Err() != nil {
		return nil // run returns the second
	}
	durable := true
	for _, key := range s.keys {
		durable = d.missed(key, true, fmt.Errorf("recovering writes: %w", err)) == missedKept && durable
	}
	if durable {
		return nil
	}
	return d.outage.journal.Begin()
}

// distrust is for a ledger that doesn't know which writes were in flight, and has all members
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
			if !kept && !m.to.outage.journal.InOutage() {
				kept, keeps = true, true
			}
			errs = append(errs, m.to.distrust(why, keeps))
		}
	}
	return errors.Join(errs...)
}

// distrust takes the upstream down, to come back with the items that it has or without them.
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

// errUpstreamDown is why keys can't be deleted on a member now.
var errUpstreamDown = errors.New("the member is down")

// deleteBehindFence deletes keys on a member that is up, once it has read what it had from
// connections of before.
func (d *upstream) deleteBehindFence(ctx context.Context, keys [][]byte) error {
	if !d.up() {
		return errUpstreamDown
	}
	conn, err := d.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	p := newSideConn(conn, d.timeout)
	if err := p.greet(); err != nil {
		return err
	}
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
