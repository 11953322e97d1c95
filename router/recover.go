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
	"holdfast/upstream"
)

// When a router is killed, some members have applied the writes in flight and others haven't, and
// no journal has their keys. The journal.Ledger has them, and the next process recovers:
//
//  1. A set of k is recorded in the ledger and sent to A and B. A applies it; the router is killed.
//  2. The next process finds k in the ledger, and latches it before it serves anything: reads and
//     writes of k wait.
//  3. B may still have the set in a socket that it hasn't read. So each member gets the pool's
//     time-out to read the connections of the earlier process, as in fence.
//  4. k is deleted on each member. A member that can't be reached goes down with k in its journal.
//     Before it serves again, it gets the same time, and k is deleted on it.
//  5. The latch of k is released. Once the keys of all pools are deleted, the ledger drops them.
//
// If this process is killed before step 5, the next one begins with step 2 again. The pool's other
// keys are served meanwhile. In a sharded pool without a gutter only one member holds a key, so
// reads needn't wait; there steps 3 and 4 handle a write that the member reads late, after a newer
// one.
//
// If the ledger doesn't have all writes, see recoverUnknown.

// ledgerID identifies a pool in the ledger.
func ledgerID(pool string) uint64 { return keyHash([]byte(pool)) }

// recoverWrites deletes the keys of the previous process's writes. It is called once, before the
// loops run.
func (r *Router) recoverWrites() {
	ledger := r.journals.Ledger()
	left, unknown := ledger.Unresolved()
	t := r.tree.Load()
	if unknown != "" {
		if err := r.recoverUnknown(t, unknown); err != nil {
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
		r.log.Info("deleting the keys of writes that were in flight when the last process ended",
			"pool", p.options.Name, "keys", len(keys))
		s := r.newRecovery(t, p, keys)
		open.Go(func() {
			if err := s.run(r.end); err != nil {
				failed.Store(true)
				r.log.Error("not all writes of the last process are recovered; the next start tries again",
					"pool", p.options.Name, "err", err)
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

// keysLeft returns the keys of the pool's writes, each once. Writes of pools that no longer exist,
// or that have another name now, count for every pool.
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
	return slices.ContainsFunc(p.members, func(m *member) bool { return m.to != nil && m.to.Outage != nil })
}

// A recovery deletes keys of one pool.
type recovery struct {
	router  *Router
	latches *latches  // nil in a sharded pool without a gutter
	members []*member // those that may hold the keys
	keys    [][]byte
}

// newRecovery makes a recovery of the pool, and latches its keys.
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
			m.to.Outage.SetStrangers()
		}
	}
	return s
}

// run deletes the keys, and releases their latches unless ctx has ended. An error is that a crash
// could lose the keys that are still to be deleted; they are deleted while this process runs.
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

// recoverMember deletes the keys on one member, now or when it comes back.
func (s *recovery) recoverMember(ctx context.Context, m *member) error {
	if m.to == nil {
		l := s.router.lanes[0]
		for _, key := range s.keys {
			l.Enter(func() { m.route.forward(l, &query{request: upstream.DeleteRequest(key), taker: discard{}}) })
		}
		return nil
	}
	a := m.to.Outage
	err := a.DeleteBehindFence(ctx, s.keys)
	if err == nil || ctx.Err() != nil {
		return nil // run returns ctx's error
	}
	return a.MissedAll(s.keys, fmt.Errorf("recovering writes: %w", err))
}

// recoverUnknown is for a ledger that doesn't have all writes that were in flight. It takes down
// all members with journals, so that they are repaired before they answer:
//
//   - In a replicated pool with acknowledge: all, the first member that missed nothing has all
//     acknowledged writes. It keeps its items, and the others are flushed and filled from it. With
//     another acknowledge, that member may lack acknowledged writes, so that all are flushed.
//   - A gutter is flushed, since a write in flight may have been about to delete an item there.
//   - The members of other pools only get time to read what the previous process has sent them.
func (r *Router) recoverUnknown(t *tree, why string) error {
	r.log.Warn("not all writes of the last process are known: members come back as after an outage", "err", why)
	gutters := map[string]bool{}
	for _, p := range t.pools {
		gutters[p.options.Failover] = true
	}
	var errs []error
	for _, p := range t.pools {
		kept := p.replicated == nil || p.options.Acknowledge != route.AckAll // true if no other member may keep its items
		for _, m := range p.members {
			if m.to == nil || m.to.Outage == nil {
				continue
			}
			keeps := p.replicated == nil && !gutters[p.options.Name]
			if !kept && !m.to.Outage.InProgress() {
				kept, keeps = true, true
			}
			errs = append(errs, m.to.Outage.TakeDown(why, keeps))
		}
	}
	return errors.Join(errs...)
}
