package group

import (
	"slices"
	"sync/atomic"

	"go.etcd.io/raft/v3/raftpb"

	"holdfast"
	"holdfast/shard"
)

// A proposal is an entry on its way into the log.
type proposal struct {
	term  uint64 // in which it was decided
	raw   []byte
	ack   holdfast.Acknowledge
	index uint64        // its place in the log; 0: it has none yet
	tx    holdfast.TxID // set when it is applied
	to    shard.Proposer
	bytes *atomic.Int64 // of the proposals whose outcome isn't known; nil: they aren't counted
}

// end tells the proposal's outcome.
func (p *proposal) end(tx holdfast.TxID, err error) {
	if p.bytes != nil {
		p.bytes.Add(-int64(len(p.raw)))
	}
	p.to.Ended(tx, err)
}

// proposals are a replica's proposals that are in Raft's log, whose outcome isn't known yet. An
// entry is known by its term and index, of which Raft has one at most: what leads in a term
// proposes all entries of the term, and gives each its place once.
//
// The outcome of a proposal is certain as soon as an entry is committed at its place, or an entry
// of a later term before it: terms never fall within a log.
type proposals struct {
	shard   holdfast.ShardID
	placing []*proposal // whose places Raft hasn't said yet
	placed  []*proposal // by the order in which they were given their places: terms never fall
	acks    acknowledgements
}

// place gives the first proposals that have none their places.
func (p *proposals) place(term, index uint64) {
	if len(p.placing) == 0 || p.placing[0].term != term {
		return
	}
	next := p.placing[0]
	p.placing = p.placing[1:]
	next.index = index
	p.placed = append(p.placed, next)
	p.acks.placed(next)
}

// refuse ends those that Raft didn't take.
func (p *proposals) refuse(err error) {
	for _, each := range p.placing {
		each.end(holdfast.TxID{}, err)
	}
	p.placing = nil
}

// applied decides the proposals whose outcome follows from an entry that is committed and applied.
func (p *proposals) applied(e *raftpb.Entry) {
	term, index := e.GetTerm(), e.GetIndex()
	for len(p.placed) > 0 {
		first := p.placed[0]
		switch {
		case first.term == term && first.index == index:
			if tx := (holdfast.TxID{Shard: p.shard, Term: termOf(e), Index: index}); p.acks.done(first, tx) {
				first.end(tx, nil)
			}
		case first.term < term || first.index <= index:
			first.end(holdfast.TxID{}, errReplaced(p.shard, first.term))
		default:
			return
		}
		p.placed[0] = nil
		p.placed = p.placed[1:]
	}
}

// pass ends the wait for the outcomes of what was placed up to an index, at a replica that has got what
// was committed there as a snapshot, without the entries.
func (p *proposals) pass(index, node uint64) {
	n := 0
	for n < len(p.placed) && p.placed[n].index <= index {
		n++
	}
	passed := proposals{shard: p.shard, placed: p.placed[:n]}
	passed.giveUp(node)
	p.placed = slices.Clone(p.placed[n:])
}

// some reports whether there are any.
func (p *proposals) some() bool { return len(p.placing)+len(p.placed) > 0 || p.acks.some() }

// giveUp ends the wait for all outcomes at a replica that doesn't lead any more: another leader may
// decide them, or not, and this node may not hear of it for long.
func (p *proposals) giveUp(node uint64) {
	p.end(holdfast.Errorf(holdfast.Unavailable, "outcome unknown: node %d has lost the leadership of shard %d "+
		"before enough replicas have confirmed the write to it", node, p.shard))
}

// close ends the wait for all outcomes.
func (p *proposals) close() {
	p.end(holdfast.Errorf(holdfast.Unavailable, "outcome unknown: the replica of shard %d on this node stopped",
		p.shard))
}

func (p *proposals) end(err error) {
	for _, each := range append(p.placing, p.placed...) {
		each.end(holdfast.TxID{}, err)
	}
	p.placing, p.placed = nil, nil
	p.acks.end(err)
}

func errReplaced(shard holdfast.ShardID, term uint64) error {
	return holdfast.Errorf(holdfast.NotLeader,
		"nothing was changed: the leader of shard %d in term %d lost its leadership first", shard, term)
}
