package topology

import (
	"bytes"
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"time"

	"holdfast/mc"
)

// checkMembers sets one key to a different value on each member, and reads it. That shows which
// members can be queried, and which two addresses are the same server.
func (r *run) checkMembers(ctx context.Context) error {
	values := make([][]byte, len(r.members))
	for i := range r.members {
		values[i] = r.valueOf(i)
		r.first.may.add(i)
	}
	r.eachMember(func(i int, m *member) {
		m.stores = m.accept(&m.server.ask(ctx, []mc.Request{r.set(r.first, values[i])})[0], "set")
	})
	r.eachMember(func(i int, m *member) {
		a := m.server.ask(ctx, []mc.Request{get(r.first)})[0]
		if !m.accept(&a, "get") {
			return
		}
		same := slices.IndexFunc(values, func(v []byte) bool { return bytes.Equal(v, a.value) })
		switch {
		case !a.found:
			m.fault = "doesn't hold what was set on it"
		case same < 0:
			m.fault = "answers a get with another value"
		case same != i:
			m.fault = "is the same server as " + r.o.Members[same] + ", or copies from it"
		}
	})
	return nil
}

// valueOf returns the value that is set directly on the member at i.
func (r *run) valueOf(i int) []byte { return fmt.Appendf(nil, "%s set on member %d", r.id, i+1) }

// accept reports whether the member answered and didn't refuse; if not, it records the fault.
func (m *member) accept(a *answer, what string) bool {
	switch {
	case a.err != nil:
		m.fault = a.err.Error()
	case a.refusal != "":
		m.fault = fmt.Sprintf("refuses a %s: %.100s", what, a.refusal)
	}
	return a.ok()
}

// write sets the keys through the router.
func (r *run) write(ctx context.Context) error {
	r.allowBreaks()
	reasons := map[string]int{}
	for _, k := range r.keys {
		k.may = r.listed()
	}
	r.throughRouter(ctx, r.keys, func(i int) int { return i }, func(k *key) mc.Request { return r.set(k, k.value) },
		func(k *key, a *answer) {
			switch {
			case a.err != nil:
				reasons[a.err.Error()]++
			case a.refusal != "":
				reasons[a.refusal]++
			default:
				k.acknowledged = true
				r.report.Acknowledged++
			}
		})
	r.report.Refusals = refusals(reasons)
	if r.report.Acknowledged == 0 || r.queried.empty() {
		return errNothing
	}
	return nil
}

func (r *run) listed() (all set) {
	for i := range r.members {
		all.add(i)
	}
	return all
}

// place finds out which members hold each key, and looks again until no more copies come.
func (r *run) place(ctx context.Context) error {
	keys := r.acknowledged()
	r.lookFor(ctx, keys)
	late := 0
	err := r.settle(ctx, func() (changed, missing int) {
		lacking := slices.DeleteFunc(slices.Clone(keys), func(k *key) bool { return r.queried.within(k.on) })
		n := r.lookFor(ctx, sample(lacking))
		if n > 0 {
			n += r.lookFor(ctx, lacking)
		}
		late += n
		return n, len(lacking)
	})
	r.report.Late = late + r.lookFor(ctx, keys)
	for _, k := range keys {
		k.may = k.on.or(r.unqueried())
	}
	return err
}

// unqueried returns the members that can't be queried, so that what they hold is unknown.
func (r *run) unqueried() (others set) {
	for i := range r.members {
		if !r.queried.has(i) {
			others.add(i)
		}
	}
	return others
}

func (r *run) acknowledged() []*key {
	return slices.DeleteFunc(slices.Clone(r.keys), func(k *key) bool { return !k.acknowledged })
}

// lookFor asks all members for those of the keys that were not found there before, and returns how
// many were found now.
func (r *run) lookFor(ctx context.Context, keys []*key) (came int) {
	seen := make([][]*key, len(r.members))
	altered := make([][]*key, len(r.members))
	r.eachMember(func(i int, m *member) {
		queried := slices.DeleteFunc(slices.Clone(keys), func(k *key) bool { return k.on.has(i) })
		for n, a := range m.server.ask(ctx, requests(queried, get)) {
			if !m.accept(&a, "get") {
				return
			}
			if a.found {
				seen[i] = append(seen[i], queried[n])
				if !bytes.Equal(a.value, queried[n].value) {
					altered[i] = append(altered[i], queried[n])
				}
			}
		}
	})
	for i := range r.members {
		for _, k := range seen[i] {
			k.on.add(i)
			came++
		}
		for _, k := range altered[i] {
			k.altered = true
		}
	}
	return came
}

func requests(keys []*key, request func(*key) mc.Request) []mc.Request {
	all := make([]mc.Request, len(keys))
	for i, k := range keys {
		all[i] = request(k)
	}
	return all
}

// sample returns some of the keys, evenly.
func sample(keys []*key) []*key {
	if len(keys) <= sampleKeys {
		return keys
	}
	some := make([]*key, sampleKeys)
	for i := range some {
		some[i] = keys[i*len(keys)/sampleKeys]
	}
	return some
}

// settle calls look repeatedly, at growing intervals, until nothing is missing, or nothing has
// changed for Options.Settle, or maxSettles times that has passed.
func (r *run) settle(ctx context.Context, look func() (changed, missing int)) error {
	var calm, total time.Duration
	for wait := firstWait; calm < r.o.Settle && total < maxSettles*r.o.Settle; wait *= 2 {
		wait = min(wait, r.o.Settle-calm)
		if err := r.o.Pause(ctx, wait); err != nil {
			return err
		}
		changed, missing := look()
		if missing == 0 {
			return nil
		}
		calm, total = calm+wait, total+wait
		if changed > 0 {
			calm, wait = 0, firstWait/2
		}
	}
	return nil
}

// readBack reads the keys through the router, each over another connection than the one that wrote
// it.
func (r *run) readBack(ctx context.Context) error {
	r.allowBreaks()
	r.throughRouter(ctx, r.keys, func(i int) int { return i + 1 }, get, func(k *key, a *answer) {
		if k.acknowledged && a.ok() && a.found {
			r.report.ReadBack++
			k.altered = k.altered || !bytes.Equal(a.value, k.value)
		}
	})
	return nil
}

// probe sets a value on each member that names the member, and reads these keys through the router.
func (r *run) probe(ctx context.Context) error {
	probes := r.choose()
	r.probes = probes
	for _, k := range probes {
		k.may = r.listed()
	}
	r.eachMember(func(i int, m *member) {
		for _, a := range m.server.ask(ctx, requests(probes, func(k *key) mc.Request { return r.set(k, r.valueOf(i)) })) {
			if !m.accept(&a, "set") {
				return
			}
		}
	})
	r.report.Reads.Keys = len(probes)
	r.allowBreaks()
	for round := range probeRounds {
		// The order changes each time: a router that asks its members in turn would otherwise ask the
		// same member for a key in each round.
		mathrand.Shuffle(len(probes), func(i, j int) { probes[i], probes[j] = probes[j], probes[i] })
		r.throughRouter(ctx, probes, func(int) int { return round }, get, r.tally)
		if ctx.Err() != nil {
			break
		}
	}
	return nil
}

// choose returns keys of all patterns, in turn.
func (r *run) choose() []*key {
	byPattern := map[set][]*key{}
	var patterns []set
	for _, k := range r.acknowledged() {
		if byPattern[k.on] == nil {
			patterns = append(patterns, k.on)
		}
		byPattern[k.on] = append(byPattern[k.on], k)
	}
	var chosen []*key
	for turn := 0; len(chosen) < min(probeKeys, r.report.Acknowledged); turn++ {
		for _, p := range patterns {
			if turn < len(byPattern[p]) && len(chosen) < probeKeys {
				chosen = append(chosen, byPattern[p][turn])
			}
		}
	}
	return chosen
}

// tally counts the answer to a read through the router.
func (r *run) tally(k *key, a *answer) {
	reads := &r.report.Reads
	reads.Reads++
	switch {
	case !a.ok():
		reads.Failed++
		return
	case !a.found:
		reads.Missed++
		return
	case bytes.Equal(a.value, k.value) && k.on.empty():
		reads.Unlisted++
		return
	case bytes.Equal(a.value, k.value):
		reads.Written++
		return
	}
	for i := range r.members {
		if bytes.Equal(a.value, r.valueOf(i)) {
			k.answered[i]++
			r.report.Members[i].Reads++
			return
		}
	}
	reads.Other++
}

// remove deletes the probes through the router, and then looks which members lost them.
func (r *run) remove(ctx context.Context) error {
	r.allowBreaks()
	r.throughRouter(ctx, r.probes, func(i int) int { return i }, remove, func(k *key, a *answer) {
		k.deleted = a.ok()
		if !k.deleted {
			r.report.Deletes.Failed++
		}
	})
	deleted := slices.DeleteFunc(slices.Clone(r.probes), func(k *key) bool { return !k.deleted })
	r.report.Deletes.Keys = len(deleted)
	r.lookLost(ctx, deleted)
	return r.settle(ctx, func() (changed, missing int) {
		keep := slices.DeleteFunc(slices.Clone(deleted), func(k *key) bool { return r.queried.within(k.lost) })
		return r.lookLost(ctx, keep), len(keep)
	})
}

// lookLost asks all members for the keys that they still had, and returns how many they have lost.
func (r *run) lookLost(ctx context.Context, keys []*key) (gone int) {
	lost := make([][]*key, len(r.members))
	r.eachMember(func(i int, m *member) {
		queried := slices.DeleteFunc(slices.Clone(keys), func(k *key) bool { return k.lost.has(i) })
		for n, a := range m.server.ask(ctx, requests(queried, get)) {
			if !m.accept(&a, "get") {
				return
			}
			if !a.found {
				lost[i] = append(lost[i], queried[n])
			}
		}
	})
	for i := range r.members {
		for _, k := range lost[i] {
			k.lost.add(i)
			gone++
		}
	}
	return gone
}
