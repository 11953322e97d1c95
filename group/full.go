package group

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"holdfast"
	"holdfast/shard"
)

// How often a host looks whether its disk is full, and how often it hands over what it leads while it
// is: a member whose disk is full, too, doesn't take it, and a handover that isn't taken ends after an
// election's time.
const (
	fullLookTicks = 10
	fullHandTicks = 50
)

// A fullness has a host whose disk is full hand over what it leads. A leader refuses writes before it
// proposes them if its own disk is full, so its log never hangs, and without this it would go on
// leading, and refusing what the others have space for. Only the goroutine that steps replicas uses
// it.
type fullness struct {
	next  int // the tick of the neighbours at which it is looked next
	hand  int // the tick from which leaderships are handed over again
	tries int // so many times they were since the disk is full
}

// tick looks at the disk if that is due. try is 0, or how many times the replicas have been told to
// hand over, with this one.
func (f *fullness) tick(h *Host, nodes *neighbours) (try int) {
	if nodes.ticks < f.next {
		return 0
	}
	f.next = nodes.ticks + fullLookTicks
	if nodes.full = !shard.HasSpace(h.o.Store); !nodes.full {
		f.hand, f.tries = 0, 0
		return 0
	}
	if nodes.ticks < f.hand {
		return 0
	}
	f.hand = nodes.ticks + fullHandTicks
	f.tries++
	return f.tries
}

// handOver has a leader hand over to one of the other voters that answer, to another one with each
// try.
func handOver(c *core, try int) {
	if c.began == 0 {
		return
	}
	var all []uint64
	c.raft.WithProgress(func(id uint64, kind raft.ProgressType, p tracker.Progress) {
		heard := p.RecentActive && !c.sleeping.nodes.silent(holdfast.NodeID(id))
		if kind == raft.ProgressTypePeer && id != c.node && heard {
			all = append(all, id)
		}
	})
	if len(all) > 0 {
		c.transfer(all[try%len(all)])
	}
}
