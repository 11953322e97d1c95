package upstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"holdfast/journal"
	"holdfast/mc"
)

// restore deletes the keys that the upstream missed, over side. If the error is nil, the upstream
// is up.
func (a *Outage) restore(ctx context.Context, side *Side) error {
	d := a.of
	broken := make(chan struct{})
	go func() { a.broken.Wait(); close(broken) }()
	select {
	case <-broken:
	case <-ctx.Done():
		return ctx.Err()
	}
	d.state.CompareAndSwap(StateDown, StateReturning)
	if err := a.fence(ctx, side); err != nil {
		return fmt.Errorf("waiting for earlier connections to end: %w", err)
	}
	if a.marker != nil {
		if err := a.marker.Check(side, d); err != nil {
			return fmt.Errorf("reading its mark: %w", err)
		}
	}
	for {
		upTo, err := a.repair(side)
		if err != nil {
			return fmt.Errorf("deleting the keys that it missed: %w", err)
		}
		if a.marker != nil {
			if err := a.marker.Mark(side, d); err != nil {
				return fmt.Errorf("marking it: %w", err)
			}
		}
		if a.finish(upTo) {
			return nil
		}
	}
}

// finish brings the upstream up if nothing was added to the journal behind upTo. All keys before
// that have been deleted on the upstream.
func (a *Outage) finish(upTo journal.Position) bool {
	d := a.of
	d.mu.Lock()
	defer d.mu.Unlock()
	if !a.journal.Finish(upTo) {
		return false
	}
	d.becomeUp()
	return true
}

// ended notes that the upstream has closed a connection on which no answer was pending, so that it
// has read all of it.
func (a *Outage) ended(local string) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := slices.Index(a.local, local); i >= 0 {
		a.local = slices.Delete(a.local, i, i+1)
	}
}

// repair deletes the keys in the journal, or flushes the upstream if the journal is cut. It returns
// the position in the journal up to which it did so.
func (a *Outage) repair(p *Side) (journal.Position, error) {
	d, j := a.of, a.journal
	var upTo journal.Position
	var batch journal.Batch
	for {
		err := j.Read(upTo, &batch)
		if errors.Is(err, journal.ErrCut) {
			_, why := j.Cut()
			upTo = j.End()
			if d.watcher != nil {
				d.watcher.Flushed()
			}
			d.log.Warn("member flushed, since not all that it missed is known", "member", d.Address, "err", why)
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

// fence waits until the upstream has read all that was sent on the connections that were broken. It
// asks for the upstream's list of connections until none of those is in it. Behind a proxy that
// list doesn't show ours, and the ends of an earlier process's connections aren't known. Then fence
// waits for the pool's time-out: a server that answers again has read its other sockets by then.
func (a *Outage) fence(ctx context.Context, p *Side) error {
	a.mu.Lock()
	ours := make(map[string]bool, len(a.local))
	for _, address := range a.local {
		ours[address] = true
	}
	strangers := a.strangers
	a.mu.Unlock()
	clock := a.of.clock
	deadline := clock.Now().Add(a.of.Timeout)
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		left, listed, err := p.connections(ours)
		if err != nil {
			return err
		}
		if listed && left == 0 && !strangers || clock.Now().After(deadline) {
			break
		}
		if !Wait(clock, wait, ctx.Done()) {
			return ctx.Err()
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.strangers = false
	a.local = slices.DeleteFunc(a.local, func(address string) bool { return ours[address] })
	return nil
}

// TakeDown takes the upstream down. It comes back with its items if keeps is true, and flushed if
// not.
func (a *Outage) TakeDown(why string, keeps bool) error {
	d := a.of
	d.mu.Lock()
	if !keeps {
		a.journal.MarkCut(why)
	}
	a.SetStrangers()
	d.whole = keeps
	if d.Up() {
		d.goDown(errors.New(why))
	}
	d.mu.Unlock()
	return a.journal.Begin()
}

// InProgress reports whether there is an outage: the upstream is down, or not all that it missed
// has been deleted on it.
func (a *Outage) InProgress() bool { return a.journal.InOutage() }

// DeleteBehindFence deletes keys on an upstream that is up, once it has read its earlier
// connections.
func (a *Outage) DeleteBehindFence(ctx context.Context, keys [][]byte) error {
	if !a.of.Up() {
		return errDown
	}
	p, err := a.of.OpenSide(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := a.fence(ctx, p); err != nil {
		return err
	}
	for batch := range slices.Chunk(keys, deletesAtOnce) {
		entries := make([]journal.Entry, len(batch))
		for i, key := range batch {
			entries[i].Key = key
		}
		if err := p.delete(entries); err != nil {
			return err
		}
	}
	return nil
}

// deletesAtOnce is how many deletes are sent before their answers are read: few enough to fit into
// the sockets' buffers.
const deletesAtOnce = 128
