package ring

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// unevenness returns how far a member's share of the keys may be from its weight's, relative to it.
func unevenness(placement string) float64 {
	switch placement {
	case "ketama", "libmemcached_ketama":
		return 0.35 // 160 or 100 points per member are few
	case "modulo", "libmemcached_modulo":
		return 0.2 // the low bits of fnv1a_64, cut to 32 bits, are uneven
	}
	return 0.05
}

func TestBalance(t *testing.T) {
	const keys, n = 100_000, 10
	for _, placement := range placementNames() {
		r := mustNew(t, Options{Placement: placement}, named("10.0.0.%d:11211", n))
		tolerance := unevenness(placement)
		for i, got := range counts(r, "key:", keys) {
			if share := float64(got) * n / keys; math.Abs(share-1) > tolerance {
				t.Errorf("%s: member %d has %.2f of its share; want within %v of 1", placement, i, share, tolerance)
			}
		}
	}
}

func TestWeights(t *testing.T) {
	const keys = 200_000
	weights := []int{1, 2, 3, 4, 2}
	total := 12.0
	for placement, rule := range placements {
		if !rule.weighted {
			continue
		}
		members := named("10.0.0.%d:11211", len(weights))
		for i := range members {
			members[i].Weight = weights[i]
		}
		r := mustNew(t, Options{Placement: placement}, members)
		tolerance := unevenness(placement)
		for i, got := range counts(r, "key:", keys) {
			if share := float64(got) / keys * total / float64(weights[i]); math.Abs(share-1) > tolerance {
				t.Errorf("%s: member %d has %.2f of its share; want within %v of 1", placement, i, share, tolerance)
			}
		}
	}
}

// moved returns the share of the keys whose owner, by name, differs between a and b, and whether
// all of these are owned by the named member in b.
func moved(a, b *Ring, membersA, membersB []Member, to string) (share float64, onlyTo bool) {
	const keys = 50_000
	count := 0
	onlyTo = true
	for i := range keys {
		before, after := membersA[a.Owner(key(i))].Name, membersB[b.Owner(key(i))].Name
		if before != after {
			count++
			onlyTo = onlyTo && after == to
		}
	}
	return float64(count) / keys, onlyTo
}

// TestGrowth: when a member is added to n, about 1/(n+1) of the keys move, all to it. Conversely,
// when a member is removed only its keys move.
func TestGrowth(t *testing.T) {
	for placement, most := range map[string]float64{
		"rendezvous": 1.1, "mcrouter_rendezvous": 1.1, "jump": 1.1, "ch3": 1.1, "weighted_ch3": 1.1,
		"ketama": 1.3, "libmemcached_ketama": 1.4,
	} {
		for _, n := range []int{1, 2, 3, 7, 16, 31} {
			members := named("10.0.0.%d:11211", n+1)
			o := Options{Placement: placement}
			share, onlyTo := moved(mustNew(t, o, members[:n]), mustNew(t, o, members), members[:n], members, members[n].Name)
			if share > most/float64(n+1) {
				t.Errorf("%s: from %d members to one more moved %.4f of the keys; want at most %.4f",
					placement, n, share, most/float64(n+1))
			}
			if !onlyTo {
				t.Errorf("%s: from %d members to one more, keys moved between the others", placement, n)
			}
		}
	}
}

// TestOrder: rendezvous and ketama place keys by the members' names, not by their order.
func TestOrder(t *testing.T) {
	members := named("10.0.0.%d:11211", 12)
	for i := range members {
		members[i].Weight = i%3 + 1
	}
	for _, placement := range []string{"rendezvous", "weighted_rendezvous", "modulo", "ketama", "libmemcached_ketama"} {
		shuffled := append([]Member(nil), members...)
		rand.New(rand.NewPCG(3, 4)).Shuffle(len(shuffled), func(i, j int) {
			shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
		})
		o := Options{Placement: placement}
		if share, _ := moved(mustNew(t, o, members), mustNew(t, o, shuffled), members, shuffled, ""); share != 0 {
			t.Errorf("%s: in another order %.4f of the keys have another owner; want none", placement, share)
		}
	}
}

// TestWeightChange: a heavier member takes keys from the others, and no other key moves.
func TestWeightChange(t *testing.T) {
	members := named("m%d", 6)
	heavier := append([]Member(nil), members...)
	heavier[4].Weight = 3
	share, onlyTo := moved(mustNew(t, Options{}, members), mustNew(t, Options{}, heavier), members, heavier, "m4")
	if want := 3.0/8 - 1.0/6; !onlyTo || math.Abs(share-want) > 0.01 {
		t.Errorf("moved %.3f of the keys, only to the heavier: %v; want %.3f, true", share, onlyTo, want)
	}
}

// TestKetamaPoints lists the numbers of equal members for which rounding costs each of them 4
// points. For these numbers, twemproxy's continuum after an ejection isn't the old one without the
// member's points.
func TestKetamaPoints(t *testing.T) {
	var odd []int
	for n := 1; n <= 100; n++ {
		switch got := pointsOf(1, n, n); got {
		case ketamaPoints:
		case ketamaPoints - ketamaPointsPerMD5:
			odd = append(odd, n)
		default:
			t.Errorf("of %d members each has %d points", n, got)
		}
	}
	if want := []int{25, 47, 50, 55, 61, 71, 94, 100}; !slices.Equal(odd, want) {
		t.Errorf("156 points for each of %v members; want %v", odd, want)
	}
}
