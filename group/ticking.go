package group

import (
	"slices"

	"holdfast"
)

// A ticking is which replicas of a host get its ticks: those that are awake. So a tick costs nothing
// for those that sleep. Only the goroutine that steps replicas uses it.
type ticking struct {
	nodes   *neighbours
	awake   []*Replica // and maybe some that have fallen asleep, or ended, since the last tick
	stalled bool       // the disk hung at the last tick
	moved   bool       // the members of a group have changed, or which groups there are
}

// tick has all replicas touched that need the tick, and sends beats.
func (t *ticking) tick(h *Host, touch func(*Replica) *inbox) {
	if t.moved {
		t.moved = false
		t.nodes.set(t.members(h))
	}
	t.awake = slices.DeleteFunc(t.awake, func(r *Replica) bool {
		r.listed = !r.over && !r.core.sleeping.asleep
		return !r.listed
	})
	changed, stalled, replicas := t.nodes.tick(), h.writing.Load() > int64(h.o.ElectionTicks), t.awake
	if changed || stalled || t.stalled {
		replicas = h.all()
	}
	t.stalled = stalled
	for _, r := range replicas {
		box := touch(r)
		box.ticked, box.stalled, box.review = true, stalled, box.review || changed
	}
	if h.o.SleepTicks == 0 {
		return // so that the other members don't sleep, either
	}
	for _, id := range t.nodes.beats() {
		h.o.Send(beat(h.o.Node, id))
	}
}

// stepped notes that a replica was stepped.
func (t *ticking) stepped(r *Replica) {
	if !r.known || r.over {
		r.known, t.moved = true, true
	}
	if !r.listed && !r.over && !r.core.sleeping.asleep {
		r.listed = true
		t.awake = append(t.awake, r)
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
