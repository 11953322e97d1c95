package cache

import (
	"math/rand/v2"
	"testing"
)

// TestGhostsAgainstModel applies the same operations to ghosts and to a list of fingerprints per
// set, the youngest first. Taking a ghost leaves its place empty.
func TestGhostsAgainstModel(t *testing.T) {
	s := newSegments(t, 1<<20)
	g := ghosts{arena: s.arena, segments: s, dir: s.directory(ghostDirectory)}
	rng := rand.New(rand.NewPCG(testSeed(t), 0))
	const sets = 5
	if g.take(1) {
		t.Error("found a ghost without memory for any")
	}
	g.add(1) // has no effect
	g.resize(sets * ghostWays)
	if g.state.sets != sets {
		t.Fatalf("%d sets; want %d", g.state.sets, sets)
	}
	var model [sets][ghostWays]uint64
	for i := range 50_000 {
		h := rng.Uint64N(60)<<48 | rng.Uint64N(1<<32)
		set := &model[h&(1<<32-1)*sets>>32]
		if rng.IntN(2) == 0 {
			g.add(h)
			copy(set[1:], set[:ghostWays-1])
			set[0] = fingerprint(h)
			continue
		}
		want := false
		for place := range set {
			if want = set[place] == fingerprint(h); want {
				set[place] = 0
				break
			}
		}
		if got := g.take(h); got != want {
			t.Fatalf("step %d: take %#x: got %v; want %v", i, h, got, want)
		}
	}
}
