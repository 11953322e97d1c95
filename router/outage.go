package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"holdfast/journal"
	"holdfast/mc"
)

// An outage is the record of what an upstream with a journal misses while it is down, and the way
// that it comes back:
//
//  1. A write fails on the upstream, which may have applied it or not. Under upstream.mu the
//     upstream goes down, and the key is added to its journal. Only then is the client answered.
//  2. The keys of writes that come while it is down are added to the journal, under the same lock.
//  3. Each lane breaks its connections to the upstream and drops what they had to send. So no write
//     from before can leave this machine any more.
//  4. A probe is answered. Writes that had reached the upstream's machine before may still wait to
//     be read there, after the probe: fence waits until the upstream has closed the earlier
//     connections.
//  5. The keys in the journal are deleted on the upstream, which serves no reads and gets no writes
//     yet. If the journal was cut, everything is flushed instead.
//  6. Under upstream.mu: if nothing was added to the journal after the last delete, the outage ends
//     and the upstream is up. Otherwise step 5 is repeated.
type outage struct {
	journal *journal.Journal
	lanes   []*lane
	marks   *marks // nil if the journal is in memory

	mu     sync.Mutex     // guards what follows; taken after upstream.mu
	broken sync.WaitGroup // lanes that have not broken their connections
	local  []string       // our ends of connections that the upstream may still have: "tcp:host:port"
	// strangers is true while the upstream may have unread connections of the process before this one,
	// whose ends it is not known.
	strangers bool
	begin     []func(error) // who waits for the journal's begin
}

// A missed says what has to follow a write that an upstream has missed.
type missed uint8

const (
	missedKept  missed = iota // the journal has it
	missedBegin               // likewise, but a crash may forget it until beginAbsence has ended
	missedSend                // the upstream is up again: the write can be sent, and isn't in the journal
)

// missed records that the upstream did not get a write of key or, if it was sent, may not have got
// it.
func (d *upstream) missed(key []byte, sent bool, cause error) missed {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state.Load() == stateUp {
		if !sent {
			return missedSend
		}
		d.goDown(cause)
	}
	if d.outage.journal.Add(key) {
		return missedKept
	}
	return missedBegin
}

// suspect takes down an upstream that has missed nothing, but may read late what it was sent.
func (d *upstream) suspect(cause error) missed {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state.Load() == stateUp {
		d.goDown(cause)
	}
	if d.outage.journal.Add() { // no key: the outage begins
		return missedKept
	}
	return missedBegin
}

// missedFlush is missed of a flush_all.
func (d *upstream) missedFlush(sent bool, cause error) missed {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state.Load() == stateUp {
		if !sent {
			return missedSend
		}
		d.goDown(cause)
	}
	if d.outage.journal.MarkCut("a flush was missed") {
		return missedKept
	}
	return missedBegin
}

// afterMissed goes on after what became of a request that the upstream has missed, with the lane
// locked: again sends it again, and kept goes on once the journal has it. Kept's error is that a
// crash could lose what the journal has, so that the request can't be acknowledged.
func (d *upstream) afterMissed(l *lane, m missed, again func(), kept func(error)) {
	switch m {
	case missedSend:
		again()
	case missedKept:
		kept(nil)
	case missedBegin:
		d.beginOutage(func(err error) {
			l.loop.Post(func() { l.enter(func() { kept(err) }) })
		})
	}
}

// beginOutage makes it durable that the upstream is down, and then calls f on another goroutine. It
// doesn't wait.
func (d *upstream) beginOutage(f func(error)) {
	a := d.outage
	a.mu.Lock()
	a.begin = append(a.begin, f)
	first := len(a.begin) == 1
	a.mu.Unlock()
	if !first {
		return
	}
	go func() {
		for {
			a.mu.Lock()
			waiting := a.begin
			a.mu.Unlock()
			err := a.journal.Begin()
			for _, f := range waiting {
				f(err)
			}
			a.mu.Lock()
			a.begin = a.begin[len(waiting):]
			done := len(a.begin) == 0
			a.mu.Unlock()
			if done {
				return
			}
		}
	}()
}

// breakConnections has all lanes close their connections to the upstream. d.mu is held.
func (d *upstream) breakConnections() {
	a := d.outage
	a.broken.Add(len(a.lanes))
	for _, l := range a.lanes {
		l.loop.Post(func() {
			defer a.broken.Done()
			l.enter(func() {
				if d.id < len(l.links) {
					for _, k := range l.links[d.id] {
						k.cut()
					}
				}
			})
		})
	}
}

// connected notes our end of a connection that was made.
func (d *upstream) connected(local string) {
	if d.outage == nil {
		return
	}
	d.outage.mu.Lock()
	defer d.outage.mu.Unlock()
	d.outage.local = append(d.outage.local, local)
}

func (a *outage) setStrangers() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.strangers = true
}

// restore deletes on the upstream, over side, the keys that it missed. After nil it is up.
func (d *upstream) restore(ctx context.Context, side *sideConn) error {
	a := d.outage
	broken := make(chan struct{})
	go func() { a.broken.Wait(); close(broken) }()
	select {
	case <-broken:
	case <-ctx.Done():
		return ctx.Err()
	}
	d.state.CompareAndSwap(stateDown, stateReturning)
	if err := d.fence(ctx, side); err != nil {
		return fmt.Errorf("waiting for earlier connections to end: %w", err)
	}
	if err := a.marks.check(side, d); err != nil {
		return fmt.Errorf("reading its mark: %w", err)
	}
	for {
		upTo, err := d.repair(side)
		if err != nil {
			return fmt.Errorf("deleting the keys that it missed: %w", err)
		}
		if err := a.marks.set(side, d); err != nil {
			return fmt.Errorf("marking it: %w", err)
		}
		if d.finish(upTo) {
			return nil
		}
	}
}

// finish brings the upstream up if everything in the journal has been deleted on it up to there,
// and nothing was added since.
func (d *upstream) finish(upTo journal.Position) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.outage.journal.Finish(upTo) {
		return false
	}
	d.becomeUp()
	return true
}

// ended notes that the upstream has closed a connection that owed nothing, and so has nothing left
// of it.
func (d *upstream) ended(local string) {
	if d.outage == nil {
		return
	}
	d.outage.mu.Lock()
	defer d.outage.mu.Unlock()
	if i := slices.Index(d.outage.local, local); i >= 0 {
		d.outage.local = slices.Delete(d.outage.local, i, i+1)
	}
}

// repair deletes the keys in the journal, or flushes all if it is cut. It returns up to where.
func (d *upstream) repair(p *sideConn) (journal.Position, error) {
	j := d.outage.journal
	var upTo journal.Position
	var batch journal.Batch
	for {
		err := j.Read(upTo, &batch)
		if errors.Is(err, journal.ErrCut) {
			_, why := j.Cut()
			upTo = j.End()
			if d.watcher != nil {
				d.watcher.flushed()
			}
			d.log.Warn("member flushed, since not all that it missed is known", "member", d.address, "err", why)
			return upTo, p.ask("flush_all\r\n", mc.AnswerOK)
		}
		if err != nil {
			return upTo, err
		}
		if len(batch.Entries) == 0 {
			return batch.Next, nil
		}
		if err := p.delete(batch.Entries); err != nil {
			return upTo, err
		}
		upTo = batch.Next
	}
}

// fence waits until the upstream has nothing left to read from the connections that were broken. It
// asks for the upstream's connections until none of ours of before is left. Where that can't be
// told, as behind a proxy or of the connections of the process before this one, it waits for the
// pool's time-out: a server that answers again has read its other sockets by then.
func (d *upstream) fence(ctx context.Context, p *sideConn) error {
	a := d.outage
	a.mu.Lock()
	ours := make(map[string]bool, len(a.local))
	for _, address := range a.local {
		ours[address] = true
	}
	strangers := a.strangers
	a.mu.Unlock()
	deadline := time.Now().Add(d.timeout)
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		left, told, err := p.connections(ours)
		if err != nil {
			return err
		}
		if told && left == 0 && !strangers || time.Now().After(deadline) {
			break
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.strangers = false
	a.local = slices.DeleteFunc(a.local, func(address string) bool { return ours[address] })
	return nil
}
