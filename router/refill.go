package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/upstream"
)

// A member of a replicated pool that comes back lacks the items whose writes it missed, or all
// items if it was restarted. It is cold: a read that misses on it asks the others, and the item
// that they have is added to it. It is also filled by another member's list of keys, the most
// recently read keys first.
//
// The item is read and added while the latch of its key is held: no write comes between, so that
// the add can't undo one. An add replaces nothing, so that newer items on the member stay.

// Limits of a refill.
const (
	refillKeys   = 4 << 20 // of a list; further ones are dropped
	refillAtOnce = 64      // items in flight
	refillTries  = 3       // of an item whose copy failed
	fillsAtOnce  = 256     // copies in flight of a lane, after reads that a cold member missed
)

// A member is filled from one that is warm: up, and not cold itself. After an outage of all members
// there is none:
//
//  1. All members are down for a short time, or all are flushed because the journal directory was
//     lost.
//  2. A comes back, and the keys that it missed are deleted on it. No member is warm, so A stays
//     cold and waits for another one.
//  3. B comes back. Each is filled from the other: the missed keys are deleted on both, so that
//     neither holds a stale item, and no member holds more than the two do together. Then both are
//     warm.
//  4. C comes back. If A and B are warm by then, it is filled from one of them, otherwise from
//     both.
//  5. If C was the last warm member to go down, it may hold more than A and B, which may have been
//     restarted. So all members become cold again, and each is filled from all others. The same
//     happens if C keeps its items after an unclean end of the router (Router.recoverUnknown),
//     except that C stays warm.
//
// If the only member that is up is cold, its misses cost no further requests.

// A refill fills one member of a replicated pool. The upstream calls it when it goes down and comes
// back. The pool is that of the newest tree.
type refill struct {
	to      *upstream.Upstream
	clock   upstream.Clock
	lanes   []*lane
	log     *slog.Logger
	latches *latches // of the pool, which outlive its trees

	cold   atomic.Bool
	last   atomic.Bool  // it was the last warm member to go down
	begun  atomic.Int64 // refills
	listed atomic.Int64 // keys in the last refill's list
	tried  atomic.Int64 // keys of that list whose copy has ended
	filled atomic.Int64 // items that were added, by all refills and reads

	mu      sync.Mutex // guards what follows; nothing is locked with it
	running bool
	again   bool // another member came up since the refill looked for one
	anew    bool // it must also be filled again from the members that it has been filled from
}

// A refilling records which members one member has been filled from, until it is warm.
type refilling struct {
	of    *refill
	asked map[*upstream.Upstream]uint64 // with the epoch that each had
	some  bool                          // it has been filled from at least one of them
	whole bool                          // and from one that was warm
}

// WentDown records whether the member was the last warm one.
func (f *refill) WentDown() {
	p := f.latches.newest.Load()
	if p == nil || f.cold.Load() {
		return
	}
	for _, m := range p.members {
		if m.to != f.to && m.up() && !m.cold() {
			return
		}
	}
	f.last.Store(true)
}

// ComingUp is called before the member serves again, with whole if it lacks nothing. If the others
// may lack items that it holds, they become cold, so that their misses ask it.
func (f *refill) ComingUp(whole bool) {
	p := f.latches.newest.Load()
	if p == nil {
		return
	}
	if whole {
		f.last.Store(true)
	} else {
		f.cold.Store(true)
	}
	for _, m := range p.members {
		if m.to != nil && m.to != f.to && m.up() && f.last.Load() && p.options.RefillRate >= 0 {
			m.refill.cold.Store(true)
		}
	}
}

// CameUp fills the member, and those that are cold because there was no member to fill them from.
func (f *refill) CameUp() {
	p := f.latches.newest.Load()
	if p == nil {
		return
	}
	last := f.last.Swap(false)
	for _, m := range p.members {
		switch {
		case m.to == nil || !m.up():
		case m.to == f.to && p.options.RefillRate < 0:
			f.cold.Store(false)
		case p.options.RefillRate < 0:
		case m.to == f.to && f.cold.Load(), m.to != f.to && last:
			m.refill.fill(true)
		case m.cold():
			m.refill.fill(false)
		}
	}
}

// Flushed records that the member will hold nothing that the others lack.
func (f *refill) Flushed() { f.last.Store(false) }

// fill fills the member on a goroutine of its own, or makes the one that already does look for
// members again. The member is cold until that ends.
func (f *refill) fill(anew bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cold.Store(true)
	if f.running {
		f.again, f.anew = true, f.anew || anew
		return
	}
	f.running = true
	go f.untilWarm()
}

func (f *refill) untilWarm() {
	d := f.to
	f.begun.Add(1)
	from := refilling{of: f, asked: map[*upstream.Upstream]uint64{}}
	for {
		err := from.others()
		again, anew := f.end(err)
		if anew {
			f.begun.Add(1)
			from = refilling{of: f, asked: map[*upstream.Upstream]uint64{}}
		}
		if again {
			continue
		}
		switch {
		case !d.Up() || d.IsClosed(): // it will be cold when it comes back
		case errors.Is(err, errAlone):
			f.log.Info("no other member is up: this one is filled when another comes up",
				"pool", d.Pool, "member", d.Address)
		case err != nil:
			f.log.Warn("the refill failed; the member is filled only by its misses",
				"pool", d.Pool, "member", d.Address, "err", err)
		default:
			f.log.Info("member filled", "pool", d.Pool, "member", d.Address, "items", f.filled.Load())
		}
		return
	}
}

// end ends the refill, unless it must continue, or start anew.
func (f *refill) end(err error) (again, anew bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	again, anew = f.again && !f.to.IsClosed(), f.anew
	f.again, f.anew = false, false
	if !again {
		f.running = false
		if err == nil && f.to.Up() {
			f.cold.Store(false)
		}
	}
	return again, anew
}

// errReleased is the reason why a refill ends whose member has left the configuration.
var errReleased = errors.New("the member has left the configuration")

// errAlone is the reason why a member can't be filled.
var errAlone = errors.New("no other member is up")

// others fills the member from one that is warm, or from all that are up if none is.
func (f *refilling) others() error {
	failure := errAlone
	for !f.whole {
		p := f.of.latches.newest.Load()
		i, from := p.source(f)
		if from < 0 {
			if f.some {
				return nil
			}
			return failure
		}
		source := p.members[from]
		warm := !source.cold()
		f.asked[source.to] = source.to.Epoch()
		switch err := p.refillFrom(from, i); {
		case err == nil:
			f.some, f.whole = true, warm
		case !f.of.to.Up(), f.of.to.IsClosed():
			return err
		default:
			failure = err
		}
	}
	return nil
}

// source returns the index of the member to fill, and of the one to fill it from: a warm one if
// there is any, or -1 if all have been asked.
func (p *replicated) source(f *refilling) (to, from int) {
	to, from = -1, -1
	for i, m := range p.members {
		if m.to == f.of.to {
			to = i
			continue
		}
		if m.to == nil || !m.up() {
			continue
		}
		if epoch, asked := f.asked[m.to]; asked && epoch == m.to.Epoch() {
			continue
		}
		if from < 0 || p.members[from].cold() && !m.cold() {
			from = i
		}
	}
	if to < 0 { // it has left the pool
		return -1, -1
	}
	return to, from
}

// refillFrom adds the items that member from has and member i lacks to i. It returns nil if i then
// has all of them.
func (p *replicated) refillFrom(from, i int) error {
	d, source := p.members[i].to, p.members[from].to
	epoch, was := d.Epoch(), source.Epoch()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	keys, err := source.ListKeys(ctx, refillKeys)
	if err != nil {
		return fmt.Errorf("listing the keys of %s: %w", source.Address, err)
	}
	keys = slices.DeleteFunc(keys, func(k upstream.ListedKey) bool { return strings.HasPrefix(k.Key, markPrefix) })
	p.members[i].refill.listed.Store(int64(len(keys)))
	p.members[i].refill.tried.Store(0)
	for range refillTries {
		if keys, err = p.copyKeys(keys, from, i); err != nil || len(keys) == 0 {
			break
		}
	}
	switch {
	case err != nil:
		return err
	case d.Epoch() != epoch || source.Epoch() != was:
		return errors.New("a member went down during the refill")
	case len(keys) > 0:
		return fmt.Errorf("%d items of %s could not be copied", len(keys), source.Address)
	}
	return nil
}

// copyKeys copies items at the pool's refill_rate. It returns the keys of those that could not be
// copied.
func (p *replicated) copyKeys(keys []upstream.ListedKey, from, i int) ([]upstream.ListedKey, error) {
	d := p.members[i].to
	var mu sync.Mutex // guards failed, also from copies that end after an early return
	var failed []upstream.ListedKey
	slots := make(chan struct{}, refillAtOnce)
	clock, lanes := p.members[i].refill.clock, p.members[i].refill.lanes
	began := clock.Now()
	for n, k := range keys {
		due := began.Add(time.Duration(n) * time.Second / time.Duration(p.options.RefillRate))
		if !upstream.Wait(clock, due.Sub(clock.Now()), d.Closed()) {
			return nil, errReleased
		}
		select {
		case slots <- struct{}{}:
		case <-d.Closed():
			return nil, errReleased
		}
		if !d.Up() || !p.members[from].up() {
			return nil, errors.New("a member went down during the refill")
		}
		l := lanes[n%len(lanes)]
		l.loop.Post(func() {
			l.Enter(func() {
				p.copyItem(l, []byte(k.Key), from, i, func(copied bool) {
					if copied {
						p.members[i].refill.tried.Add(1)
					} else {
						mu.Lock()
						failed = append(failed, k)
						mu.Unlock()
					}
					<-slots
				})
			})
		})
	}
	for range cap(slots) { // wait for the last ones
		select {
		case slots <- struct{}{}:
		case <-d.Closed():
			return nil, errReleased
		}
	}
	return failed, nil
}

// cold reports whether the member may lack items that others have.
func (m *member) cold() bool { return m.refill != nil && m.refill.cold.Load() }
