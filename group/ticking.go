package group

import (
	"slices"
	"sync"
	"sync/atomic"

	"holdfast"
)

// A ticking is which replicas of a host get its ticks: those that are awake. So a tick costs nothing
// for those that sleep, and while all do, ticks themselves are seldom; see Rest. Only the goroutine
// that steps replicas uses it, unless a field says otherwise.
type ticking struct {
	nodes   *neighbours
	stalled bool // the disk hung at the last tick
	moved   bool // the members of a group have changed, or which groups there are
	full    fullness

	mu    sync.Mutex // guards changes of awake, and reads by other goroutines
	awake []*Replica // and maybe some that have fallen asleep, or ended, since the last tick

	// resting says that all replicas sleep and all nodes are heard or silent as before. Any goroutine
	// may read it.
	resting atomic.Bool
}

// Rest returns after how many intervals of the host's clock the next tick is due: one, or several
// while there is nothing to do but to send beats. When it becomes one, Changed has an element.
func Rest(h *Host) (ticks int) {
	if h.ticking.resting.Load() {
		return h.ticking.nodes.every
	}
	return 1
}

// Pass is Host.Tick after several intervals, as Rest has allowed it.
func Pass(h *Host, ticks int) {
	if n := h.writing.Load(); n != 0 {
		h.writing.CompareAndSwap(n, n+int64(ticks)) // unless the write has ended meanwhile
	}
	h.wake()
	if h.passed.CompareAndSwap(0, int64(ticks)) {
		h.inputs.put(input{})
	}
}

// Awake returns the shards whose replicas are awake, and maybe some that have just fallen asleep.
func Awake(h *Host) (ids []holdfast.ShardID) {
	t := &h.ticking
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.awake {
		ids = append(ids, r.id)
	}
	return ids
}

// tick has all replicas touched that need the tick, and sends beats. ticks have passed since it was
// called before.
func (t *ticking) tick(h *Host, ticks int, touch func(*Replica) *inbox) {
	if t.moved {
		t.moved = false
		t.nodes.set(t.members(h))
	}
	t.doze()
	changed, stalled, replicas := t.nodes.tick(ticks), h.writing.Load() > int64(h.o.ElectionTicks), t.awake
	t.rest(h, len(t.awake) == 0 && !changed && !stalled && h.o.SleepTicks > 0 && t.nodes.steady())
	handOver := t.full.tick(h, t.nodes)
	if changed || stalled || t.stalled || handOver > 0 {
		replicas = h.all()
	}
	t.stalled = stalled
	for _, r := range replicas {
		box := touch(r)
		box.ticked, box.stalled, box.review = true, stalled, box.review || changed
		box.handOver = handOver
	}
	if h.o.SleepTicks == 0 {
		return // so that the other members don't sleep, either
	}
	for _, id := range t.nodes.beats(ticks) {
		h.o.Send(beat(h.o.Node, id))
	}
}

// doze takes the replicas off the list that sleep, or have ended.
func (t *ticking) doze() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.awake = slices.DeleteFunc(t.awake, func(r *Replica) bool {
		r.listed = !r.over && !r.core.sleeping.asleep
		return !r.listed
	})
}

// rest notes whether ticks may be seldom from now on. The owner of the clock must hear that they may
// not, since it waits.
func (t *ticking) rest(h *Host, resting bool) {
	if t.resting.Swap(resting) && !resting {
		announce(h)
	}
}

// stepped notes that a replica was stepped.
func (t *ticking) stepped(r *Replica) {
	if !r.known || r.over {
		r.known, t.moved = true, true
	}
	if !r.listed && !r.over && !r.core.sleeping.asleep {
		r.listed = true
		t.mu.Lock()
		t.awake = append(t.awake, r)
		t.mu.Unlock()
		t.rest(r.host, false)
	}
}

// members returns the other nodes on which groups of the host's replicas have members.
func (t *ticking) members(h *Host) (ids []holdfast.NodeID) {
	found := map[holdfast.NodeID]bool{h.o.Node: true}
	for _, r := range h.all() {
		m := r.members.Load()
		for _, list := range [...][]holdfast.NodeID{m.Voters, m.Learners, m.Outgoing} {
			for _, id := range list {
				if !found[id] && !r.removed.Load() {
					found[id] = true
					ids = append(ids, id)
				}
			}
		}
	}
	return ids
}
