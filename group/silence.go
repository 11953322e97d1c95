package group

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"holdfast"
)

// A hearing is when a replica has heard the other members, in ticks. Raft acts on their silence
// too, but late: a follower forgets its leader when it campaigns itself, after one to two times
// ElectionTicks, and a leader looks once every ElectionTicks whether a majority has answered since
// it looked before, so it may take two of them until it steps down. Meanwhile requests wait for a
// leader that isn't there. Here both happen after ElectionTicks of silence. When a follower
// campaigns stays Raft's matter: it votes for nobody else as long as before.
type hearing struct {
	patience int            // ElectionTicks
	last     map[uint64]int // by member: the tick at which it was heard last in the term
	leaned   int            // the tick at which the leadership has changed last
	lost     int            // the tick at which this replica has ceased to lead
	orphaned int            // the tick since which no leader is known, if none is
}

// newHearing returns that of a replica that has just started: it waits for a first leader for as
// long as an election may take.
func newHearing(patience int) hearing {
	return hearing{patience: patience, last: map[uint64]int{}, orphaned: 2 * patience}
}

// outcomeTicks is how long a replica that doesn't lead any more waits for the outcomes of what it
// has proposed, and one without a leader with the reads that it has. If another leads, or will
// soon, its first entry comes sooner, which decides them.
const outcomeTicks = 5

// hear notes that a member was heard in the term.
func (h *hearing) hear(id uint64, tick int) { h.last[id] = tick }

// age notes that time has passed in which the replica had no ticks.
func (h *hearing) age(ticks int) {
	for id := range h.last {
		h.last[id] -= ticks
	}
	h.leaned -= ticks
}

// silent returns for how many ticks a member wasn't heard, of those since the leadership has
// changed.
func (c *core) silent(id uint64) int {
	return c.ticks - max(c.hearing.last[id], c.hearing.leaned)
}

// listen acts on the silence of other members. It is called once in each tick.
func (c *core) listen() {
	switch {
	case c.began != 0 && !c.hearsMajority():
		c.stepDown()
	case c.began == 0 && c.leader != 0 && c.silent(c.leader) >= c.hearing.patience:
		// Its lease ends with that, which Raft takes for over as well: so long wasn't it heard.
		_ = c.raft.ForgetLeader() // never fails
		c.collect()
	}
	c.proposals.acks.tick(c)
	if c.proposals.some() && c.began == 0 && c.ticks-c.hearing.lost >= outcomeTicks {
		c.proposals.giveUp(c.node)
	}
	switch {
	case c.leader != 0:
		c.reads.expire(c.ticks+1-c.hearing.patience-outcomeTicks, c.errUnconfirmed)
	case len(c.reads.pending) > 0 && c.ticks-c.hearing.orphaned >= outcomeTicks:
		c.reads.refuse(errNotLeader(c.shard, 0))
	}
}

// errUnconfirmed is for a read at a replica that is heard by no leader that it hears, or whose disk
// hangs, so that it doesn't apply what it hears. Elsewhere the read may succeed.
func (c *core) errUnconfirmed() error {
	return holdfast.Errorf(holdfast.NotLeader, "nothing was changed: the replica of shard %d on node %d hasn't got "+
		"in time what node %d, its leader, has committed", c.shard, c.node, c.leader)
}

// hearsMajority reports whether a majority of the voters has been heard lately.
func (c *core) hearsMajority() bool {
	voters, heard := 0, 0
	c.raft.WithProgress(func(id uint64, kind raft.ProgressType, _ tracker.Progress) {
		if kind == raft.ProgressTypeLearner {
			return
		}
		voters++
		if id == c.node || c.silent(id) < c.hearing.patience {
			heard++
		}
	})
	return 2*heard > voters
}

// stepDown ends the replica's leadership, since it hears no majority. The others may still hear it:
// the one that has most of the log is asked to campaign at once, rather than after it has heard
// nothing for an election's time in its turn.
func (c *core) stepDown() {
	next := c.heir()
	// What Raft does every ElectionTicks by itself. It takes such a message only from a storage.
	_ = c.raft.Step(&raftpb.Message{Type: raftpb.MsgCheckQuorum.Enum(), From: new(uint64(raft.LocalAppendThread))})
	term := c.term
	c.collect()
	if c.began == 0 && next != 0 {
		c.out.send = append(c.out.send, &raftpb.Message{Type: raftpb.MsgTimeoutNow.Enum(), From: new(c.node),
			To: new(next), Term: new(term)})
	}
}

// heir returns the other voter that has most of the log, of those that were heard last; 0: there is
// none.
func (c *core) heir() (id uint64) {
	least, most := 0, uint64(0)
	c.raft.WithProgress(func(member uint64, kind raft.ProgressType, p tracker.Progress) {
		if member == c.node || kind == raft.ProgressTypeLearner {
			return
		}
		silent := c.silent(member)
		if id == 0 || silent < least || silent == least && p.Match > most {
			id, least, most = member, silent, p.Match
		}
	})
	return id
}

// turn notes that the leadership changes: that this replica ceases to lead, or that no leader is
// known any more, if so.
func (h *hearing) turn(tick int, lost, orphaned bool) {
	h.leaned = tick
	if lost {
		h.lost = tick
	}
	if orphaned {
		h.orphaned = tick
	}
}
