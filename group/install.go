package group

import (
	"errors"
	"sync"

	"holdfast"
)

// Installs put snapshots in place of what replicas have, while the logs of other replicas are written
// as ever: an install may take a second. What is to be written of a replica behind a snapshot waits.
// The goroutine store uses held, and begins installs; each runs in a goroutine of its own.
//
// The log of the replica is emptied in the same step in which its shard changes. So a crash leaves the
// replica as it was or as the snapshot has it, and the leader, which gets its answer afterwards, may
// count on that.
type installs struct {
	host    *Host
	held    map[*Replica][]storing // has a key for each replica whose snapshot is being installed
	retry   chan struct{}          // a tick for an install that found the disk full
	running sync.WaitGroup
}

// divert returns what is to be written now, and the snapshots that are to be installed after that.
func (x *installs) divert(all []storing) (now, begin []storing) {
	for _, s := range all {
		held, waits := x.held[s.replica]
		switch {
		case s.installed:
			delete(x.held, s.replica)
			then, others := x.divert(held)
			now, begin = append(append(now, s), then...), append(begin, others...)
		case waits:
			x.held[s.replica] = append(held, s)
		case s.received != nil:
			x.held[s.replica] = nil
			begin = append(begin, s)
		default:
			now = append(now, s)
		}
	}
	return now, begin
}

// begin begins to install snapshots. All that was to be written before is.
func (x *installs) begin(all []storing) {
	for _, s := range all {
		x.running.Go(func() { x.run(s) })
	}
}

// run installs a snapshot. If the disk is full, it tries again with each tick.
func (x *installs) run(s storing) {
	h, r := x.host, s.replica
	state := r.core.log.restore(s.message, s.received.members)
	err := x.try(s, state)
	for try := 0; errors.Is(err, holdfast.Full); try++ {
		if try == 0 {
			h.o.Log.Warn("a snapshot can't be installed", "shard", r.id, "err", err)
		}
		if <-x.retry; h.stores.isClosed() {
			break
		}
		err = x.try(s, state)
	}
	stopping := r.stopping.Load() || h.stores.isClosed()
	s.received.end(err)
	switch {
	case err == nil:
		s.installed, s.received = true, nil
		h.stores.put(s)
	case !stopping:
		h.fail(err)
	}
}

func (x *installs) try(s storing, state []byte) error {
	r := s.replica
	r.exchange.take()
	defer r.exchange.leave()
	if r.stopping.Load() {
		return errStopped()
	}
	return r.shard.InstallWithLog(s.received.receiver, r.log, state)
}
