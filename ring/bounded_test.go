package ring

import (
	"math"
	"testing"
)

// TestBounded places requests that never finish, many of them for one key.
func TestBounded(t *testing.T) {
	weights := []int{1, 2, 3, 1}
	const total, c, requests = 7.0, 1.25, 5000
	for placement, rule := range placements {
		members := named("m%d", len(weights))
		shares := []float64{0.25, 0.25, 0.25, 0.25}
		if rule.weighted {
			for i, w := range weights {
				members[i].Weight = w
				shares[i] = float64(w) / total
			}
		}
		r := mustNew(t, Options{Placement: placement}, members)
		loads := make([]int64, len(weights))
		for i := range requests {
			k := key(0)
			if i%2 == 0 {
				k = key(i)
			}
			member := r.OwnerBounded(k, func(i int) int64 { return loads[i] }, c)
			loads[member]++
			if most := math.Ceil(c*float64(i+1)*shares[member] - 1e-6); float64(loads[member]) > most {
				t.Fatalf("%s: after %d requests member %d has %d; want at most %.0f", placement, i+1, member, loads[member], most)
			}
		}
	}
}

// TestBoundedMovesFew: with even load, most keys stay with their owners.
func TestBoundedMovesFew(t *testing.T) {
	r := mustNew(t, Options{}, named("m%d", 10))
	loads := make([]int64, 10)
	stayed := 0
	const requests = 10_000
	for i := range requests {
		member := r.OwnerBounded(key(i), func(i int) int64 { return loads[i] }, 1.25)
		loads[member]++
		if member == r.Owner(key(i)) {
			stayed++
		}
	}
	if stayed < requests*95/100 {
		t.Errorf("%d of %d requests went to the owner; want most", stayed, requests)
	}
}

func TestBoundedEdges(t *testing.T) {
	r := mustNew(t, Options{}, named("m%d", 3))
	owner := r.Owner(key(0))
	next := r.Next(nil, key(0), 3)
	for _, test := range []struct {
		name  string
		loads [3]int64 // of the members in order of preference
		c     float64
		want  int // in that order
	}{
		{"idle", [3]int64{0, 0, 0}, 1.25, 0},
		{"owner has more than its share", [3]int64{10, 0, 0}, 1.25, 1},
		{"two have", [3]int64{10, 10, 0}, 1, 2},
		{"no bound", [3]int64{10, 0, 0}, 0, 0},
		{"owner is left out", [3]int64{-1, 0, 0}, 1.25, 1},
		{"owner is left out, and its share goes to the others", [3]int64{-1, 5, 5}, 1, 1},
		{"two are left out", [3]int64{-1, -1, 100}, 1, 2},
		{"all at their bounds", [3]int64{5, 5, 5}, 0.1, 0},
		{"all at their bounds, the owner is excluded", [3]int64{-1, 5, 5}, 0.1, 1},
	} {
		load := func(i int) int64 {
			for place, member := range next {
				if member == i {
					return test.loads[place]
				}
			}
			return 0
		}
		if got := r.OwnerBounded(key(0), load, test.c); got != next[test.want] {
			t.Errorf("%s: got %d; want %d of %v", test.name, got, next[test.want], next)
		}
	}
	if got := r.OwnerBounded(key(0), func(int) int64 { return -1 }, 1.25); got != -1 {
		t.Errorf("all excluded: got %d; want -1", got)
	}
	if next[0] != owner {
		t.Errorf("first in order is %d; want the owner %d", next[0], owner)
	}
}
