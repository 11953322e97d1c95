package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/group"
)

// carried sends 1,000 messages from 1 to 2 and as many back, one a millisecond, and returns the
// numbers of those that arrive at each of them, in order. at is called before each.
func carried(
	t *testing.T, seed uint64, set func(*network), at func(i int, n *network),
) map[holdfast.NodeID][]int {
	t.Helper()
	got := map[holdfast.NodeID][]int{}
	synctest.Test(t, func(t *testing.T) {
		e := newEvents(nil)
		e.began = time.Now()
		n := newNetwork(rand.New(rand.NewPCG(seed, 0)), e, func(m group.Message) {
			got[m.To] = append(got[m.To], int(m.Shard))
		})
		e.settled = n.carry
		set(n)
		for i := range 1000 {
			e.after(time.Duration(i)*time.Millisecond, func() {
				if at != nil {
					at(i, n)
				}
				for _, l := range []link{{2, 1}, {1, 2}} { // at the same time
					go n.send(group.Message{From: l.from, To: l.to, Shard: holdfast.ShardID(i)})
				}
			})
		}
		e.runUntil(time.Minute, func() bool { return false })
		if len(e.queue) > 0 || e.err != nil {
			t.Errorf("got %d events left, %v", len(e.queue), e.err)
		}
	})
	return got
}

// Each fault of the network happens about as often as it is set to, and no other does.
func TestFaultsOfTheNetwork(t *testing.T) {
	for _, test := range []struct {
		name                string
		set                 func(*network)
		least, most         int // that arrive at 2
		doubled, outOfOrder bool
	}{
		{"none", func(n *network) { n.quick = time.Millisecond / 2 }, 1000, 1000, false, false},
		{"delay", func(n *network) { n.quick = 10 * time.Millisecond }, 1000, 1000, false, true},
		{"slow ones", func(n *network) { n.slowPercent = 5 }, 1000, 1000, false, true},
		{"loss", func(n *network) { n.lossPercent, n.quick = 20, time.Millisecond/2 }, 750, 850, false, false},
		{"doubles", func(n *network) { n.doublePercent, n.quick = 20, time.Millisecond/2 }, 1150, 1250, true, false},
		{"a cut", func(n *network) { n.cuts[link{1, 2}] = true }, 0, 0, false, false},
		{"a cut of the other direction", func(n *network) { n.cuts[link{2, 1}], n.quick = true, time.Millisecond/2 },
			1000, 1000, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := carried(t, 1, test.set, nil)[2]
			sorted := slices.Sorted(slices.Values(got))
			if len(got) < test.least || len(got) > test.most {
				t.Errorf("got %d messages; want %d to %d", len(got), test.least, test.most)
			}
			if doubled := len(slices.Compact(slices.Clone(sorted))) != len(got); doubled != test.doubled {
				t.Errorf("got doubles: %v", doubled)
			}
			if outOfOrder := !slices.Equal(got, sorted); outOfOrder != test.outOfOrder {
				t.Errorf("got another order: %v", outOfOrder)
			}
		})
	}
}

// What is on its way when a link is cut is lost, and what is sent after the cut has healed arrives.
func TestCutsHeal(t *testing.T) {
	got := carried(t, 1, func(n *network) { n.quick = time.Microsecond }, func(i int, n *network) {
		switch i {
		case 300:
			n.cuts[link{1, 2}] = true
		case 500:
			n.heal()
		}
	})
	if len(got[2]) != 800 || slices.Contains(got[2], 300) || !slices.Contains(got[2], 500) || len(got[1]) != 1000 {
		t.Errorf("got %d messages at 2, %d at 1; want all but 300 to 499 at 2", len(got[2]), len(got[1]))
	}
}

// What the network does depends on the seed, and not on which goroutine was first to send.
func TestNetworkIsDeterministic(t *testing.T) {
	all := func(n *network) { n.lossPercent, n.doublePercent, n.slowPercent = 10, 10, 10 }
	one, two, other := carried(t, 1, all, nil), carried(t, 1, all, nil), carried(t, 2, all, nil)
	if fmt.Sprint(one) != fmt.Sprint(two) {
		t.Error("got two outcomes of one seed")
	}
	if fmt.Sprint(one) == fmt.Sprint(other) {
		t.Error("got one outcome of two seeds")
	}
}
