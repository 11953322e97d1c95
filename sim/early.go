package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"holdfast"
	"holdfast/shard"
)

// policy returns what the writes of the operation's group wait for.
func (a *call) policy() holdfast.Acknowledge { return a.client.cluster.weather.acknowledge[a.group] }

// become returns what is known of an operation that has ended. mu is held.
func (a *call) become() outcome {
	async := a.policy().Mode == holdfast.Async
	if a.action != get && a.err == nil && async && a.life.shards[a.group].Reached(a.tx) != nil {
		return acknowledged
	}
	return outcomeOf(a.err)
}

// checkDisks records an error if a write was acknowledged before it was on as many followers' disks as
// its group asks for, by what the leader knows of them. A majority is known by what is never lost.
// mu is held.
func (a *call) checkDisks() {
	policy, c := a.policy(), a.client.cluster
	if a.action == get || a.operation.outcome != done || !policy.Exceeds() {
		return
	}
	status, followers := a.life.replicas[a.group].Status(), 0
	for id, index := range status.Match {
		if id != a.life.machine.id && index >= a.tx.Index {
			followers++
		}
	}
	if least := policy.Needs(len(c.machines) - 1); status.Match != nil && followers < least {
		c.events.fail("%v, transaction %v of a group that acknowledges %v, is on the disks of %d followers; want %d",
			a.operation, a.tx, policy, followers, least)
	}
}

// An early write was acknowledged and not committed: its group acknowledges async.
type early struct {
	call   *call
	cancel context.CancelFunc // ends the wait for what becomes of it

	mu    sync.Mutex // guards what follows
	known bool
	err   error // nil: it is applied; Lost: it never will be
}

// earlies are the early writes of a run.
type earlies struct {
	waiting []*early // of which it isn't known what becomes of them
	all     []*early
}

// add begins to wait for what becomes of an operation that was acknowledged early.
func (e *earlies) add(a *call) {
	w := &early{call: a}
	e.waiting, e.all = append(e.waiting, w), append(e.all, w)
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(context.Background())
	a.client.cluster.running.Go(func() { w.tell(shard.Await(ctx, a.life.shards[a.group], a.tx)) })
}

// tell notes what becomes of the write, if err says it.
func (w *early) tell(err error) {
	if err != nil && !errors.Is(err, holdfast.Lost) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.known, w.err = true, err
}

// end ends the wait, if the node knows what has become of the write, or doesn't run any more. It
// returns false if it goes on.
func (w *early) end() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.call
	switch {
	case a.life != a.life.machine.life: // other nodes know it in the end
	case !w.known:
		return false
	default:
		w.settle()
	}
	w.cancel()
	return true
}

// settle records what has become of the write. mu is held.
func (w *early) settle() {
	as := done
	if w.err != nil {
		as = lost
	}
	o, c := w.call.operation, w.call.client.cluster
	c.history.end(o, as, o.found)
	c.events.note("client %d: %v", o.client, o)
}

// settle ends the waits that are over.
func (e *earlies) settle() {
	e.waiting = slices.DeleteFunc(e.waiting, (*early).end)
}

// verifyEvery is how often nodes are asked once the faults have ended.
const verifyEvery = recovery / 10

// verify asks the nodes of those that wait, now and every verifyEvery: a node that leads again and has
// nothing to apply would not know yet that a write was lost.
func (e *earlies) verify(in *events) {
	in.after(verifyEvery, func() { e.verify(in) })
	for _, w := range e.waiting {
		a := w.call
		a.client.cluster.running.Go(func() {
			w.tell(shard.Verify(context.Background(), a.life.shards[a.group], a.tx))
		})
	}
}

// check records an error unless all nodes agree what has become of each early write, as its node did
// if it knew it, and it was only lost if its leader has lost its leadership. All replicas have applied
// the same, which has writes behind the early ones.
func (e *earlies) check(c *cluster) {
	for _, w := range e.all {
		o := w.call.operation
		for _, m := range c.machines {
			as, err := w.call.at(m)
			switch {
			case err != nil:
				c.events.fail("%v, transaction %v: %w", o, w.call.tx, err)
			case o.outcome == acknowledged:
				c.history.end(o, as, o.found)
			case o.outcome != as:
				c.events.fail("%v, transaction %v; to node %d it is %v in the end", o, w.call.tx, m.id, as)
			}
		}
	}
}

// at returns what has become of an early write by what a node knows in the end. It may only have been
// lost if another node has led since: its own had it on disk.
func (a *call) at(m *machine) (outcome, error) {
	err := m.life.shards[a.group].Reached(a.tx)
	switch term := m.life.replicas[a.group].Status().Term; {
	case err == nil:
		return done, nil
	case !errors.Is(err, holdfast.Lost):
		return unknown, fmt.Errorf("node %d still waits for it in the end: %w", m.id, err)
	case term <= holdfast.RaftTerm(a.tx.Term) || len(m.cluster.machines) == 1:
		return unknown, fmt.Errorf("node %d is in term %d, and there was no other leader to lose it: %w", m.id, term,
			err)
	}
	return lost, nil
}
