package group

import (
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"holdfast"
)

// Acknowledgements are the proposals of a leader that wait for more, or for less, than that their
// entries are applied, by what the proposals ask for (holdfast.Acknowledge). An entry that is
// applied is committed, and on this replica's disk.
//
// What the followers have on disk is what Raft knows of them: a follower confirms entries after its
// sync. Learners don't count. While the members change and two sets of voters count, as for each
// majority, the policy must hold in each set: what is promised then holds whichever set remains.
//
// A policy that can't be met as things are is refused before anything is proposed, and it is given up
// for those that are on their way: their outcome is unknown. A follower counts as down if it wasn't
// heard for ElectionTicks; if it has confirmed nothing for so long, although it lacks entries, as
// while its disk hangs or is full; or if it lacks what it has confirmed.
type acknowledgements struct {
	local     []*proposal                  // async, not on this replica's disk yet, by rising index
	applied   []*proposal                  // applied, and not on enough disks, by rising index
	confirmed map[uint64]confirmation      // by follower
	changed   uint64                       // the entries up to this index may be committed by former members
	early     struct{ term, index uint64 } // of the last that was acknowledged before it was committed
}

// A confirmation is up to where a follower had confirmed the log, and the last tick at which that
// had changed, or was all of the log.
type confirmation struct {
	index uint64
	tick  int
}

// placed takes a proposal that was given its place.
func (a *acknowledgements) placed(p *proposal) {
	if p.ack.Mode == holdfast.Async {
		a.local = append(a.local, p)
	}
}

// behind returns up to where a leader must have applied the log for a consistent read, which began in a
// term when all up to an index was committed: what was acknowledged before that is read, too.
func (a *acknowledgements) behind(term, index uint64) uint64 {
	if a.early.term == term {
		return max(index, a.early.index)
	}
	return index
}

// done takes a proposal whose entry is applied, and reports whether it waits for nothing else.
func (a *acknowledgements) done(p *proposal, tx holdfast.TxID) bool {
	p.tx = tx
	if p.ack.Mode == holdfast.Async || !p.ack.Exceeds() && p.index > a.changed {
		return true // a majority has the entry: wherever there is a follower, one of them
	}
	p.to.Early(tx)
	a.applied = append(a.applied, p)
	return false
}

// settle ends the waits of those that are on the disks that they wait for.
func (a *acknowledgements) settle(c *core) {
	if len(a.local)+len(a.applied) == 0 {
		return
	}
	if c.began == 0 {
		a.local = nil // what becomes of them is decided elsewhere
		return
	}
	onDisk := map[uint64]uint64{}
	c.raft.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) { onDisk[id] = c.onDisk(id, p) })
	for len(a.local) > 0 && (a.local[0].term != c.term || a.local[0].index <= onDisk[c.node]) {
		if p := a.local[0]; p.term == c.term {
			a.early.term, a.early.index = p.term, p.index
			p.to.Early(holdfast.TxID{Shard: c.shard, Term: holdfast.GroupTerm(p.term, c.salt), Index: p.index})
		}
		a.local = a.local[1:]
	}
	a.applied = slices.DeleteFunc(a.applied, func(p *proposal) bool {
		met := meets(p.ack, c, func(id uint64) bool { return onDisk[id] >= p.index })
		if met {
			p.end(p.tx, nil)
		}
		return met
	})
}

// meets reports whether enough of the followers that vote are such.
func meets(ack holdfast.Acknowledge, c *core, such func(id uint64) bool) bool {
	for _, voters := range [...][]holdfast.NodeID{c.members.Voters, c.members.Outgoing} {
		followers, n := 0, 0
		for _, id := range voters {
			if uint64(id) == c.node {
				continue
			}
			if followers++; such(uint64(id)) {
				n++
			}
		}
		if len(voters) > 0 && n < ack.Needs(followers) {
			return false
		}
	}
	return true
}

// tick notes what followers have confirmed, and ends the waits of those whose policies can't be met.
func (a *acknowledgements) tick(c *core) {
	if c.began == 0 {
		a.confirmed = nil
		return
	}
	if a.confirmed == nil {
		a.confirmed = map[uint64]confirmation{}
	}
	c.raft.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		if was, ok := a.confirmed[id]; !ok || was.index != p.Match || p.Match >= c.last {
			a.confirmed[id] = confirmation{p.Match, c.ticks}
		}
	})
	a.applied = slices.DeleteFunc(a.applied, func(p *proposal) bool {
		err := a.check(c, p.ack, holdfast.Unavailable, "outcome unknown")
		if err != nil {
			p.end(holdfast.TxID{}, err)
		}
		return err != nil
	})
}

// refuse returns an error if a policy can't be met as things are.
func (a *acknowledgements) refuse(c *core, ack holdfast.Acknowledge) error {
	if !ack.Exceeds() {
		return nil // a leader that hears no majority doesn't stay one
	}
	return a.check(c, ack, holdfast.Refused, "nothing was changed")
}

// check returns an error, of that kind and with what has become of the request, if a policy can't be
// met as things are.
func (a *acknowledgements) check(c *core, ack holdfast.Acknowledge, kind holdfast.Kind, became string) error {
	if meets(ack, c, func(id uint64) bool { return !a.down(c, id) }) {
		return nil
	}
	var down []string
	for _, id := range c.members.voters() {
		if uint64(id) != c.node && a.down(c, uint64(id)) {
			down = append(down, fmt.Sprintf("node %d", id))
		}
	}
	e := holdfast.Errorf(kind, "%s: shard %d acknowledges %s, and of its followers %s", became, c.shard, ack,
		lacking(down))
	e.Err = &holdfast.Unmet{Acknowledge: ack, Became: became, Lacking: lacking(down)}
	return e
}

// lacking says which followers are down and what can be done.
func lacking(down []string) string {
	if len(down) == 0 {
		return "there are too few; change holdfast:acknowledge of the table"
	}
	is, it := "is", "it"
	if len(down) > 1 {
		is, it = "are", "them"
	}
	return fmt.Sprintf("%s %s down, or confirms nothing; start %s again, or change holdfast:acknowledge of the table",
		strings.Join(down, " and "), is, it)
}

// down reports whether a follower can't be expected to confirm what it is sent.
func (a *acknowledgements) down(c *core, id uint64) bool {
	patience := c.hearing.patience
	heard := max(a.confirmed[id].tick, c.hearing.leaned)
	return c.silent(id) >= patience || c.ticks-heard >= patience || c.outdated.refusals[id] >= outdatedRefusals
}

// some reports whether any wait whose entries are applied.
func (a *acknowledgements) some() bool { return len(a.applied) > 0 }

// end ends all waits.
func (a *acknowledgements) end(err error) {
	for _, p := range a.applied {
		p.end(holdfast.TxID{}, err)
	}
	a.local, a.applied = nil, nil
}
