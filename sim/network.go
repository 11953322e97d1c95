package sim

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"holdfast"
	"holdfast/group"
)

// A network carries the messages between machines. What it does to each of them is drawn from its
// generator, in the order in which the messages were sent; of those that one event has caused, in the
// order of their links.
type network struct {
	rng     *rand.Rand
	events  *events
	deliver func(m group.Message)

	lossPercent, doublePercent, slowPercent int
	quick, slow                             time.Duration // the longest delays of most messages, and of slow ones
	cuts                                    map[link]bool

	sent, lost, doubled int

	mu  sync.Mutex      // guards out
	out []group.Message // of the present event
}

// A link is one direction between two machines.
type link struct{ from, to holdfast.NodeID }

func newNetwork(rng *rand.Rand, e *events, deliver func(group.Message)) *network {
	return &network{rng: rng, events: e, deliver: deliver, quick: 2 * time.Millisecond, slow: 300 * time.Millisecond,
		cuts: map[link]bool{}}
}

// send takes a message, in any goroutine.
func (n *network) send(m group.Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.out = append(n.out, m)
}

// carry sends what was taken since the last call on its way.
func (n *network) carry() {
	n.mu.Lock()
	out := n.out
	n.out = nil
	n.mu.Unlock()
	slices.SortStableFunc(out, func(a, b group.Message) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Shard, b.Shard))
	})
	for _, m := range out {
		n.sent++
		copies := 1
		if n.rng.IntN(100) < n.doublePercent {
			copies++
			n.doubled++
		}
		for range copies {
			n.carryOne(m)
		}
	}
}

func (n *network) carryOne(m group.Message) {
	if n.rng.IntN(100) < n.lossPercent || n.cuts[link{m.From, m.To}] {
		n.lost++
		return
	}
	most := n.quick
	if n.rng.IntN(100) < n.slowPercent {
		most = n.slow
	}
	n.events.after(50*time.Microsecond+time.Duration(n.rng.Int64N(int64(most))), func() {
		if n.cuts[link{m.From, m.To}] {
			n.lost++
			return
		}
		n.deliver(m)
	})
}

// heal ends all cuts and all faults.
func (n *network) heal() {
	clear(n.cuts)
	n.lossPercent, n.doublePercent, n.slowPercent = 0, 0, 0
}
