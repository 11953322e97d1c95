package group

import (
	"errors"
	"fmt"

	"holdfast"
	"holdfast/shard"
)

// propose proposes an entry at a member, in the term in which it leads.
func (c *cluster) propose(m *member, raw string) *proposed {
	return c.proposeIn(m, m.lead(), raw)
}

func (c *cluster) proposeIn(m *member, term uint64, raw string) *proposed {
	return c.proposeAs(m, term, raw, holdfast.Acknowledge{})
}

// proposeAs proposes an entry with that acknowledgement, which was decided by others.
func (c *cluster) proposeAs(m *member, term uint64, raw string, ack holdfast.Acknowledge, behind ...*proposed,
) *proposed {
	p := newProposed(shard.Proposal{Term: term, Raw: []byte(raw), Acknowledge: ack})
	p.behind = behind
	m.propose([]*proposal{&p.proposal})
	c.carryOut(m)
	return p
}

// A proposed is a proposal, and what its proposer gets.
type proposed struct {
	proposal
	early  chan holdfast.TxID
	done   chan outcome
	behind []*proposed // by which it was decided
}

// An outcome is what has become of a proposal.
type outcome struct {
	tx  holdfast.TxID
	err error
}

func newProposed(x shard.Proposal) *proposed {
	p := &proposed{proposal: proposal{term: x.Term, raw: x.Raw, ack: x.Acknowledge},
		early: make(chan holdfast.TxID, 1), done: make(chan outcome, 1)}
	p.to = p
	return p
}

// Stands implements shard.Proposer.
func (p *proposed) Stands() error {
	for _, b := range p.behind {
		if o, ok := b.outcome(); ok && o.err != nil && !errors.Is(o.err, holdfast.Unavailable) {
			return o.err
		}
	}
	return nil
}

// Early implements shard.Proposer.
func (p *proposed) Early(tx holdfast.TxID) { p.early <- tx }

// Ended implements shard.Proposer.
func (p *proposed) Ended(tx holdfast.TxID, err error) { p.done <- outcome{tx, err} }

// proposeAt proposes an entry at a replica of a host, and returns its outcome.
func proposeAt(r *Replica, x shard.Proposal) (holdfast.TxID, error) {
	p := newProposed(x)
	x.Proposer = p
	if err := r.Propose(x); err != nil {
		return holdfast.TxID{}, err
	}
	o := <-p.done
	return o.tx, o.err
}

// alter proposes a change of the members at a member.
func (c *cluster) alter(m *member, x Change) *changing {
	change := &changing{Change: x, done: make(chan error, 1)}
	change.propose(m.core)
	c.carryOut(m)
	return change
}

func (c *cluster) read(m *member) *read {
	x := &read{done: make(chan error, 1)}
	m.core.read([]*read{x})
	c.carryOut(m)
	return x
}

// isolate cuts a member off, or connects it again.
func (c *cluster) isolate(id uint64, cut bool) {
	for _, other := range c.ids {
		c.cut[[2]uint64{id, other}], c.cut[[2]uint64{other, id}] = cut, cut
	}
}

// outcome returns the outcome of a proposal, if it has one.
func (p *proposed) outcome() (o outcome, ok bool) { return peek(p.done) }

// outcome returns the outcome of a change, if it has one.
func (x *changing) outcome() (err error, ok bool) { return peek(x.done) }

// peek returns what is in a channel with space for one, and leaves it there; !ok: nothing is.
func peek[T any](from chan T) (v T, ok bool) {
	select {
	case v = <-from:
		from <- v
		return v, true
	default:
		return v, false
	}
}

func (x *read) result() (err error, ok bool) {
	select {
	case err = <-x.done:
		x.done <- err
		return err, true
	default:
		return nil, false
	}
}

func (a appliedEntry) String() string { return fmt.Sprintf("%d/%d %q", a.term, a.index, a.raw) }
