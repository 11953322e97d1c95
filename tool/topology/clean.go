package topology

import (
	"context"
	"slices"
	"sync"

	"holdfast/mc"
)

// clean deletes all that the run wrote: through the router, because keys may be on members that
// aren't listed, and then directly on each member that holds or may hold one. The connections are
// new, since those of the run may have been given up.
func (r *run) clean(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, cleanBreak*r.o.Timeout)
	defer cancel()
	written := slices.DeleteFunc(slices.Clone(r.keys), func(k *key) bool { return k.may.empty() && !k.acknowledged })
	left := map[*key]bool{}
	for _, c := range r.routers {
		c.close()
	}
	r.allowBreaks()
	r.throughRouter(ctx, written, func(i int) int { return i }, remove, func(k *key, a *answer) {
		if !a.ok() {
			left[k] = true
		}
	})
	for _, c := range r.routers {
		c.close()
	}
	r.cleanMembers(ctx, append(written, r.first), left)
	r.report.Left = len(left)
}

// cleanMembers notes in left the keys that a member may have kept. A member that never accepted a
// set holds nothing that was set directly; what the router wrote to it, the router deletes.
func (r *run) cleanMembers(ctx context.Context, keys []*key, left map[*key]bool) {
	var mu sync.Mutex // guards left
	var wait sync.WaitGroup
	for i, m := range r.members {
		m.server.close()
		m.server.breaks, m.server.err = 1, nil
		held := slices.DeleteFunc(slices.Clone(keys), func(k *key) bool { return !k.may.has(i) })
		wait.Go(func() {
			defer m.server.close()
			for n, a := range m.server.ask(ctx, requests(held, func(k *key) mc.Request { return remove(k) })) {
				if !a.ok() && m.stores {
					mu.Lock()
					left[held[n]] = true
					mu.Unlock()
				}
			}
		})
	}
	wait.Wait()
}
