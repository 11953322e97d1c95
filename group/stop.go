package group

import (
	"slices"

	"holdfast"
)

// Stop ends the replica of a shard's group, if one runs here. When it returns, nothing more is
// written to its log or applied to its shard, so both can be removed; or the replica can be started
// again as it is on disk. Its reads get Closed. What was proposed and isn't decided gets
// Unavailable, and what is proposed later Refused. The members of the group stay the same.
//
// Stop waits for a write that the disk has begun. It must not be called by Options.Send or
// Options.Fatal.
func (h *Host) Stop(id holdfast.ShardID) error {
	h.mu.Lock()
	at, found := h.search(id)
	if !found {
		h.mu.Unlock()
		return nil
	}
	r := h.replicas[at]
	h.mu.Unlock()

	r.stopping.Store(true)
	h.inputs.put(input{replica: r, stop: true})
	select {
	case <-r.ended: // run reads nothing of the log any more
	case <-h.ended:
	}
	// What store and apply begin from now on is without the replica.
	r.outgoing.stop()
	h.writes.take()
	h.writes.leave()
	r.exchange.take()
	r.exchange.leave()
	h.applies.take()
	h.applies.leave()

	h.mu.Lock()
	defer h.mu.Unlock()
	h.replicas = slices.DeleteFunc(h.replicas, func(x *Replica) bool { return x == r })
	return nil
}

// A turn is held by one goroutine at a time. It is a channel rather than a mutex, since its holder
// waits for the disk: tests in virtual time go on meanwhile.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

func (t turn) take()  { t <- struct{}{} }
func (t turn) leave() { <-t }
