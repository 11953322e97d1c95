package group

import (
	"errors"
	"flag"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"holdfast"
)

var (
	firstSeed = flag.Uint64("seed", 1, "the first seed of TestRandom")
	seeds     = flag.Int("seeds", 160, "how many seeds TestRandom has")
)

// A history is what happens in a cluster at random, and what must hold of it.
type history struct {
	*cluster
	seed      uint64
	proposals []*proposed
	names     map[*proposed]string
	at        map[*proposed]*member
	alters    bool // the members change
	changes   []*changing
	decided   map[*proposed]bool
	reads     map[*read]awaited
	newest    uint64              // index of the newest entry that was acknowledged
	were      map[uint64]*Members // the members as each member knew them at the last check
	places    map[uint64]appliedEntry
	terms     map[uint64]uint64 // term → the member that led in it
	done      [6]int            // committed, refused, reads, changes, async before they were committed, on followers
	early     map[*proposed]bool
	slept     int  // how often a member fell asleep
	quiet     bool // nothing is asked of the members
}

// An awaited is a read that a member waits for.
type awaited struct {
	member *member
	core   *core
	newest uint64 // was acknowledged when it began
}

// Members crash, are cut off, and get messages late, twice or not at all; in some runs others come
// and go. What is acknowledged is never lost, what is refused is never applied, all members apply
// the same, reads see what was acknowledged before them, and once the faults end the group goes on.
func TestRandom(t *testing.T) {
	total, snapshots, slept := [6]int{}, 0, 0
	for seed := *firstSeed; seed < *firstSeed+uint64(*seeds); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := newHistory(t, seed)
			for range 5000 {
				h.step()
			}
			h.heal()
			for i, n := range h.done {
				total[i] += n
			}
			snapshots += h.installed
			slept += h.slept
		})
	}
	if *seeds >= 20 && (total[0] < 500 || total[1] < 50 || total[2] < 500 || total[3] < 30 ||
		total[4] < 50 || total[5] < 50) {
		t.Errorf("%d proposals were committed, %d refused, %d reads ended, %d changes of members were made, %d "+
			"proposals were acknowledged before they were committed, and %d when several followers had them: too few",
			total[0], total[1], total[2], total[3], total[4], total[5])
	}
	if *seeds >= 20 && snapshots < 10 {
		t.Errorf("%d snapshots were installed: too few", snapshots)
	}
	t.Logf("proposals committed, refused; reads; changes of members; proposals async, on several followers: %v; "+
		"snapshots: %d; sleeps: %d", total, snapshots, slept)
	if *seeds >= 20 && slept < 50 {
		t.Errorf("members fell asleep %d times: too few", slept)
	}
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{
		cluster: newClusterWith(t, seed, []int{1, 3, 3, 3, 5}[seed%5], func(c *cluster) {
			c.sleeps = []int{0, 1, 2, 5}[seed/2%4]
			if seed%4 > 0 { // logs are short, so that members get snapshots
				c.logBytes, c.awayTicks, c.trimTicks = 50+uint64(c.rng.IntN(500)), 1+c.rng.IntN(30), 1+c.rng.IntN(3)
			}
		}), seed: seed,
		names: map[*proposed]string{}, at: map[*proposed]*member{}, decided: map[*proposed]bool{},
		reads: map[*read]awaited{}, early: map[*proposed]bool{},
		places: map[uint64]appliedEntry{}, terms: map[uint64]uint64{}, were: map[uint64]*Members{},
	}
	h.faulty = seed%3 != 0
	h.alters = seed%2 == 0
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
	if h.rng.IntN(500) == 0 {
		h.quiet = !h.quiet && h.sleeps > 0
	}
	n := h.rng.IntN(1000)
	asks, fails := n >= 27 && n < 30 || n >= 120 && n < 220 || n >= 420 && n < 450, n < 27
	if h.quiet && (asks || fails && h.rng.IntN(4) > 0) {
		n = 999
	}
	switch {
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
		was := m.sleeping.asleep
		h.tickOf(m, h.rng.IntN(50) == 0)
		if m.sleeping.asleep && !was {
			h.slept++
		}
	case n < 180:
		h.put(m)
	case n < 220:
		h.reads[h.read(m)] = awaited{m, m.core, h.newest}
	case n < 320:
		h.store(m)
	case n < 420:
		h.apply(m)
	case n < 450 && h.alters:
		h.alter(m)
	case n < 650 && len(h.streams) > 0:
		h.stream(h.rng.IntN(len(h.streams)))
	case len(h.network) > 0:
		i := 0
		if h.faulty {
			i = h.rng.IntN(min(len(h.network), 10))
		}
		h.deliver(i)
	}
	h.check()
}

// alter changes the members at random, if a member leads, or starts a learner.
func (h *history) alter(m *member) {
	if m.lead() == 0 {
		return
	}
	is := m.members
	if is.joint() {
		return
	}
	for _, id := range is.Learners {
		if !slices.Contains(h.ids, uint64(id)) && h.rng.IntN(3) > 0 {
			h.join(uint64(id), is)
			return
		}
	}
	voter := is.Voters[h.rng.IntN(len(is.Voters))]
	newest := holdfast.NodeID(0)
	for _, list := range is.lists() {
		newest = slices.Max(append(*list, newest))
	}
	x := Change{Add: newest + 1}
	switch n := h.rng.IntN(6); {
	case n < 3 && len(is.Learners) > 0:
		x = Change{Promote: is.Learners[h.rng.IntN(len(is.Learners))]}
		if n > 0 {
			x.Remove = voter
		}
	case n == 3 || len(is.Voters)+len(is.Learners) > 5:
		x = Change{Remove: voter}
	case len(is.Learners) > 1:
		x = Change{Remove: is.Learners[0]}
	}
	h.changes = append(h.changes, h.cluster.alter(m, x))
}

func (h *history) restart() {
	for _, id := range h.ids {
		if h.down[id] != nil {
			h.start(id)
			return
		}
	}
}

// acknowledges are what proposals wait for.
var acknowledges = [...]holdfast.Acknowledge{{}, {}, {}, {Mode: holdfast.Async}, {Followers: 2}, {Mode: holdfast.Sync}}

func (h *history) put(m *member) {
	term := m.lead()
	if term == 0 || h.rng.IntN(20) == 0 {
		term = m.term - min(m.term, uint64(h.rng.IntN(3)))
	}
	raw := fmt.Sprint(len(h.proposals))
	var behind []*proposed
	for _, b := range h.proposals[max(0, len(h.proposals)-3):] {
		if b.term == term && h.at[b] == m && h.rng.IntN(2) == 0 {
			behind = append(behind, b)
		}
	}
	p := h.proposeAs(m, term, raw, acknowledges[h.rng.IntN(len(acknowledges))], behind...)
	h.names[p], h.at[p] = raw, m
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
		if h.decided[p] {
			continue
		}
		if tx, ok := peekEarly(p); ok && !h.early[p] {
			h.checkEarly(p, tx)
		}
		if o, ok := p.outcome(); ok {
			h.decide(p, o)
		}
	}
	for _, id := range h.ids {
		if m := h.members[id]; m != nil {
			h.were[id] = m.members
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

func (h *history) decide(p *proposed, o outcome) {
	h.decided[p] = true
	switch {
	case o.err == nil:
		is := appliedEntry{o.tx.Index, o.tx.Term, h.names[p]}
		if was, ok := h.places[is.index]; ok {
			h.fail("%v and %v are at one place", was, is)
		}
		h.places[is.index] = is
		h.checkDisks(p, o.tx)
		h.newest = max(h.newest, is.index)
		h.done[0]++
	case errors.Is(o.err, holdfast.Unavailable):
	default:
		if h.early[p] && (p.ack.Mode != holdfast.Async || h.at[p].lead() == p.term) {
			h.fail("proposal %s was acknowledged by %v, and is lost although its leader leads: %v", h.names[p], p.ack,
				o.err)
		}
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
	var leader *member
	for try := 0; ; try++ { // a leader that was cut off may not know yet that it was deposed
		leader = h.elect()
		last := h.propose(leader, fmt.Sprint("last ", try))
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
		h.compareReads(leader)
	}
	for _, x := range h.changes {
		if err, ok := x.outcome(); ok && err == nil {
			h.done[3]++
		}
	}
	h.compare(leader)
}

func (h *history) compareReads(leader *member) {
	for x, of := range h.reads {
		m := h.members[of.member.id]
		if _, ok := x.result(); !ok && m.core == of.core && leader.members.Has(holdfast.NodeID(m.id)) {
			h.fail("a read of member %d never ended", of.member.id)
		}
	}
}

// compare compares those that are members in the end, and what was answered with what they have.
func (h *history) compare(leader *member) {
	all := leader.applies
	at := map[string]appliedEntry{}
	for _, a := range all {
		if _, twice := at[a.raw]; twice {
			h.fail("%v is applied twice", a)
		}
		at[a.raw] = a
	}
	for _, id := range h.ids {
		m := h.members[id]
		if !leader.members.Has(holdfast.NodeID(id)) {
			if !m.removed && m.members.Votes(holdfast.NodeID(id)) { // a learner says nothing by itself
				h.fail("member %d doesn't know that it was removed", id)
			}
			continue
		}
		is := m.applies
		if len(is) != len(all) {
			h.fail("members %d and %d have applied %d and %d entries", leader.id, id, len(all), len(is))
		}
		for i := range is {
			if is[i] != all[i] {
				h.fail("members %d and %d have applied %v and %v", leader.id, id, all[i], is[i])
			}
		}
		if !reflect.DeepEqual(m.members, leader.members) || !reflect.DeepEqual(m.log.members, m.members) {
			h.fail("members %d and %d know the members %+v and %+v", leader.id, id, *leader.members, *m.members)
		}
	}
	for _, p := range h.proposals {
		o, ok := p.outcome()
		if !ok && !leader.members.Has(holdfast.NodeID(h.at[p].id)) {
			continue
		}
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
		for _, b := range p.behind {
			if before, found := at[h.names[b]]; is && (!found || before.index > a.index) {
				h.fail("proposal %s was decided by %s, and is applied at %v, the other at %v", h.names[p], h.names[b],
					a, before)
			}
		}
	}
}
