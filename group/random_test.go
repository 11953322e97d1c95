package group

import (
	"errors"
	"flag"
	"fmt"
	"testing"

	"holdfast"
)

var (
	firstSeed = flag.Uint64("seed", 1, "the first seed of TestRandom")
	seeds     = flag.Int("seeds", 40, "how many seeds TestRandom has")
)

// A history is what happens in a cluster at random, and what must hold of it.
type history struct {
	*cluster
	seed      uint64
	proposals []*proposal
	names     map[*proposal]string
	decided   map[*proposal]bool
	reads     map[*read]awaited
	newest    uint64 // index of the newest entry that was acknowledged
	places    map[uint64]appliedEntry
	terms     map[uint64]uint64 // term → the member that led in it
	done      [3]int            // committed, refused, reads
}

// An awaited is a read that a member waits for.
type awaited struct {
	member *member
	core   *core
	newest uint64 // was acknowledged when it began
}

// Members crash, are cut off, and get messages late, twice or not at all. What is acknowledged is
// never lost, what is refused is never applied, all members apply the same, reads see what was
// acknowledged before them, and once the faults end the group goes on.
func TestRandom(t *testing.T) {
	total := [3]int{}
	for seed := *firstSeed; seed < *firstSeed+uint64(*seeds); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := newHistory(t, seed)
			for range 4000 {
				h.step()
			}
			h.heal()
			for i, n := range h.done {
				total[i] += n
			}
		})
	}
	if *seeds >= 20 && (total[0] < 500 || total[1] < 50 || total[2] < 500) {
		t.Errorf("%d proposals were committed, %d refused, and %d reads ended: too few", total[0], total[1], total[2])
	}
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{
		cluster: newCluster(t, seed, []int{1, 3, 3, 3, 5}[seed%5]), seed: seed,
		names: map[*proposal]string{}, decided: map[*proposal]bool{}, reads: map[*read]awaited{},
		places: map[uint64]appliedEntry{}, terms: map[uint64]uint64{},
	}
	h.faulty = seed%3 != 0
	return h
}

func (h *history) fail(format string, args ...any) {
	h.t.Helper()
	h.t.Fatalf("seed %d: %s", h.seed, fmt.Sprintf(format, args...))
}

// any returns a member that runs; nil: there is none.
func (h *history) any() *member { return h.members[h.ids[h.rng.IntN(len(h.ids))]] }

func (h *history) step() {
	m := h.any()
	switch n := h.rng.IntN(1000); {
	case n < 2:
		h.isolate(h.ids[h.rng.IntN(len(h.ids))], true)
	case n < 4:
		from, to := h.ids[h.rng.IntN(len(h.ids))], h.ids[h.rng.IntN(len(h.ids))]
		h.cut[[2]uint64{from, to}] = true
	case n < 14:
		clear(h.cut)
	case n < 24:
		h.restart()
	case m == nil:
	case n < 27:
		h.crash(m.id)
	case n < 30:
		m.transfer(h.ids[h.rng.IntN(len(h.ids))])
		h.carryOut(m)
	case n < 120:
		m.tick(h.rng.IntN(50) == 0)
		h.carryOut(m)
	case n < 180:
		h.put(m)
	case n < 220:
		h.reads[h.read(m)] = awaited{m, m.core, h.newest}
	case n < 320:
		h.store(m)
	case n < 420:
		h.apply(m)
	case len(h.network) > 0:
		i := 0
		if h.faulty {
			i = h.rng.IntN(min(len(h.network), 10))
		}
		h.deliver(i)
	}
	h.check()
}

func (h *history) restart() {
	for _, id := range h.ids {
		if h.down[id] != nil {
			h.start(id)
			return
		}
	}
}

func (h *history) put(m *member) {
	term := m.lead()
	if term == 0 || h.rng.IntN(20) == 0 {
		term = m.term - min(m.term, uint64(h.rng.IntN(3)))
	}
	raw := fmt.Sprint(len(h.proposals))
	p := h.proposeIn(m, term, raw)
	h.names[p] = raw
	h.proposals = append(h.proposals, p)
}

// check checks what must hold at any time.
func (h *history) check() {
	h.t.Helper()
	for _, id := range h.ids {
		m := h.members[id]
		if m == nil {
			continue
		}
		if term := m.lead(); term != 0 {
			if other, ok := h.terms[term]; ok && other != id {
				h.fail("members %d and %d lead in term %d", other, id, term)
			}
			h.terms[term] = id
			for index := range h.places {
				if index > m.applied && h.places[index].term < term {
					h.fail("member %d leads in term %d, and has applied only up to %d of %v",
						id, term, m.applied, h.places[index])
				}
			}
		}
	}
	for _, p := range h.proposals {
		if o, ok := p.outcome(); ok && !h.decided[p] {
			h.decide(p, o)
		}
	}
	for x, of := range h.reads {
		if err, ok := x.result(); ok {
			if err == nil && of.core.applied < of.newest {
				h.fail("a read of member %d ended at %d; %d was acknowledged before it began",
					of.member.id, of.core.applied, of.newest)
			}
			delete(h.reads, x)
			h.done[2]++
		}
	}
}

func (h *history) decide(p *proposal, o outcome) {
	h.decided[p] = true
	switch {
	case o.err == nil:
		is := appliedEntry{o.tx.Index, o.tx.Term, h.names[p]}
		if was, ok := h.places[is.index]; ok {
			h.fail("%v and %v are at one place", was, is)
		}
		h.places[is.index] = is
		h.newest = max(h.newest, is.index)
		h.done[0]++
	case errors.Is(o.err, holdfast.Unavailable):
	default:
		h.done[1]++
	}
}

// heal ends all faults, and checks that the group goes on and what it has applied.
func (h *history) heal() {
	h.t.Helper()
	clear(h.cut)
	h.faulty = false
	for len(h.down) > 0 {
		h.restart()
	}
	h.settle()
	for try := 0; ; try++ { // a leader that was cut off may not know yet that it was deposed
		last := h.propose(h.elect(), fmt.Sprint("last ", try))
		for range 30 {
			h.tick()
			h.settle()
			h.check()
		}
		if o, ok := last.outcome(); ok && o.err == nil {
			break
		} else if try == 3 {
			h.fail("after all faults, a proposal got %v, %v", o, ok)
		}
	}
	if len(h.reads) != 0 {
		h.compareReads()
	}
	h.compare()
}

func (h *history) compareReads() {
	for x, of := range h.reads {
		if _, ok := x.result(); !ok && h.members[of.member.id].core == of.core {
			h.fail("a read of member %d never ended", of.member.id)
		}
	}
}

func (h *history) compare() {
	all := h.members[1].applies
	at := map[string]appliedEntry{}
	for _, a := range all {
		if _, twice := at[a.raw]; twice {
			h.fail("%v is applied twice", a)
		}
		at[a.raw] = a
	}
	for _, id := range h.ids {
		is := h.members[id].applies
		if len(is) != len(all) {
			h.fail("members 1 and %d have applied %d and %d entries", id, len(all), len(is))
		}
		for i := range is {
			if is[i] != all[i] {
				h.fail("members 1 and %d have applied %v and %v", id, all[i], is[i])
			}
		}
	}
	for _, p := range h.proposals {
		o, ok := p.outcome()
		if !ok {
			h.fail("the outcome of proposal %s is never known", h.names[p])
		}
		a, is := at[h.names[p]]
		switch {
		case o.err == nil && (!is || a.index != o.tx.Index || a.term != o.tx.Term):
			h.fail("proposal %s was acknowledged at %v, and is %v", h.names[p], o.tx, a)
		case o.err != nil && !errors.Is(o.err, holdfast.Unavailable) && is:
			h.fail("proposal %s was refused, and applied: %v", h.names[p], o.err)
		}
	}
}
