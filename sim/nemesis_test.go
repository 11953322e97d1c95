package sim

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"holdfast"
)

// asks reports whether any group acknowledges in a mode.
func asks(w weather, mode holdfast.AcknowledgeMode) bool {
	return slices.ContainsFunc(w.acknowledge, func(a holdfast.Acknowledge) bool { return a.Mode == mode })
}

// Of a few hundred seeds, some have each fault and some have not, and so it is with all else that is
// drawn.
func TestWeathersDiffer(t *testing.T) {
	const seeds = 300
	had := map[string]int{}
	for seed := range uint64(seeds) {
		n := newNetwork(rand.New(rand.NewPCG(seed, 1)), newEvents(nil), nil)
		w := drawWeather(rand.New(rand.NewPCG(seed, 2)), n, time.Second)
		for _, f := range w.faults {
			had[f.name]++
		}
		for name, has := range map[string]bool{
			"loss": n.lossPercent > 0, "doubles": n.doublePercent > 0, "slow messages": n.slowPercent > 0,
			"slow writes": w.slowPercent > 0, "instant syncs": w.sync == 0, "two groups": w.groups == 2,
			"short logs": w.logBytes > 0, "busy registers": w.think <= 5*time.Millisecond,
			"async": asks(w, holdfast.Async), "sync": asks(w, holdfast.Sync),
			"several followers": slices.ContainsFunc(w.acknowledge, func(a holdfast.Acknowledge) bool {
				return a.Mode == holdfast.SemiSync && a.Followers > 1
			}),
			"one machine": w.machines == 1, "three": w.machines == 3, "five": w.machines == 5,
		} {
			if has {
				had[name]++
			}
		}
		if small := w.memTable < 1<<20; small != (w.sync == 0) {
			t.Fatalf("seed %d: got small memtables: %v, with syncs that take up to %v", seed, small, w.sync)
		}
		for _, a := range w.acknowledge {
			if a.Mode == holdfast.SemiSync && a.Followers > max(1, w.machines-1) {
				t.Errorf("seed %d: got %v of %d machines", seed, a, w.machines)
			}
		}
		if w.clients == 0 || w.think == 0 || w.patience == 0 || w.electionTicks < 2 || len(n.cuts) > 0 {
			t.Fatalf("seed %d: got %+v", seed, w)
		}
	}
	if len(had) != len(faults)+14 {
		t.Errorf("got %d things that some have; want %d", len(had), len(faults)+14)
	}
	for name, n := range had {
		if n < seeds/20 || n > seeds*19/20 {
			t.Errorf("%s: got it in %d of %d seeds", name, n, seeds)
		}
	}
}
