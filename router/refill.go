package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/mc"
)

// A member of a replicated pool that comes back lacks what it missed, and all if it was restarted.
// It is cold then: a read that it misses asks the others, and what they have is added to it.
// Besides, it is filled from another member's list of keys, those read last first.
//
// An item is added with the latch of its key held, after it was read with that: no write comes
// between, so that none is undone. What the member has got since stays, because add replaces
// nothing.

// Limits of a refill.
const (
	refillKeys   = 4 << 20 // that are remembered of a list
	refillAtOnce = 64      // items in flight
	refillTries  = 3       // of an item whose copy failed
	fillsAtOnce  = 256     // of a lane, for reads that a cold member missed
)

// A member is filled from one that is warm: up, and itself filled. After an outage of all members
// there is none:
//
//  1. All members are down for a moment, or all are flushed since the journal directory was lost.
//  2. A comes back and is told what it missed. Nobody is warm, so A stays cold, and waits for
//     another.
//  3. B comes back. Each is filled from the other: both have been told what they missed, so that
//     neither holds anything old, and the pool has nothing better than what the two hold together.
//     Then both are warm.
//  4. C comes back. If A and B are warm by then, it is filled from one of them, else from both.
//  5. If C was the last warm one to go down, it may hold more than A and B, which may have been
//     restarted. So all are cold again, and each is filled from all others. Likewise if C is the
//     one that keeps its items after an unclean end of the router (see Router.distrust): but that C
//     stays warm.
//
// A member that is alone and cold costs nothing: there is nobody to ask what it misses.

// refill is how far the filling of one member of a replicated pool is. It is what the upstream
// calls as it goes down and comes back; the pool is that of the newest tree.
type refill struct {
	to      *upstream
	latches *latches // of the pool, which outlive its trees

	cold   atomic.Bool
	last   atomic.Bool  // it went down when no other member was warm
	begun  atomic.Int64 // refills
	listed atomic.Int64 // keys of the last refill's list
	tried  atomic.Int64 // of those
	filled atomic.Int64 // items that were added, over all refills and reads

	mu      sync.Mutex // guards what follows; nothing is locked with it
	running bool
	again   bool // another member came up since the refill looked for one
	anew    bool // whatever it has been filled from, it may lack something
}

// A refilling is what one member has been filled from, until it is warm.
type refilling struct {
	of    *refill
	asked map[*upstream]uint64 // with its epoch then
	some  bool                 // one of them has given what it had
	whole bool                 // and was warm
}

// wentDown notes whether the member was the last warm one.
func (f *refill) wentDown() {
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

// comingUp has the others ask the member for what they miss from then on, if they lack what it
// holds.
func (f *refill) comingUp(whole bool) {
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

// cameUp fills the member, and those that were cold because there was nobody to fill them from.
func (f *refill) cameUp() {
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

// flushed notes that the member will hold nothing that others lack.
func (f *refill) flushed() { f.last.Store(false) }

// fill fills the member on a goroutine of its own, or has the one that does look for members again.
// It stays cold until that has ended.
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
	from := refilling{of: f, asked: map[*upstream]uint64{}}
	for {
		err := from.others()
		again, anew := f.end(err)
		if anew {
			f.begun.Add(1)
			from = refilling{of: f, asked: map[*upstream]uint64{}}
		}
		if again {
			continue
		}
		switch {
		case !d.up() || d.isClosed(): // it is cold again at its next return
		case errors.Is(err, errAlone):
			d.log.Info("member up alone: it is filled when another one is", "pool", d.pool, "member", d.address)
		case err != nil:
			d.log.Warn("member filled by its misses alone", "pool", d.pool, "member", d.address, "err", err)
		default:
			d.log.Info("member filled", "pool", d.pool, "member", d.address, "items", f.filled.Load())
		}
		return
	}
}

// end ends the refill, unless it is to go on: with what it has, or anew.
func (f *refill) end(err error) (again, anew bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	again, anew = f.again && !f.to.isClosed(), f.anew
	f.again, f.anew = false, false
	if !again {
		f.running = false
		if err == nil && f.to.up() {
			f.cold.Store(false)
		}
	}
	return again, anew
}

// errAlone is why a member can't be filled.
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
		f.asked[source.to] = source.to.epoch.Load()
		switch err := p.refillFrom(from, i); {
		case err == nil:
			f.some, f.whole = true, warm
		case !f.of.to.up(), f.of.to.isClosed():
			return err
		default:
			failure = err
		}
	}
	return nil
}

// source returns which member the filled one is, and which to fill it from: a warm one if there is
// one, -1 if all have been asked.
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
		if epoch, asked := f.asked[m.to]; asked && epoch == m.to.epoch.Load() {
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

// refillFrom adds to member i what from has and i lacks. nil is that it has all of that.
func (p *replicated) refillFrom(from, i int) error {
	d, source := p.members[i].to, p.members[from].to
	epoch, was := d.epoch.Load(), source.epoch.Load()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	keys, err := source.listKeys(ctx)
	if err != nil {
		return fmt.Errorf("listing the keys of %s: %w", source.address, err)
	}
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
	case d.epoch.Load() != epoch || source.epoch.Load() != was:
		return errors.New("a member went down meanwhile")
	case len(keys) > 0:
		return fmt.Errorf("%d items of %s could not be copied", len(keys), source.address)
	}
	return nil
}

// copyKeys copies items at the pool's refill_rate, and returns the keys of those that could not be.
func (p *replicated) copyKeys(keys []listedKey, from, i int) ([]listedKey, error) {
	d := p.members[i].to
	var mu sync.Mutex // guards failed, also from copies that end after an early return
	var failed []listedKey
	slots := make(chan struct{}, refillAtOnce)
	began := time.Now()
	lanes := d.outage.lanes
	for n, k := range keys {
		due := began.Add(time.Duration(n) * time.Second / time.Duration(p.options.RefillRate))
		timer := time.NewTimer(time.Until(due))
		select {
		case <-timer.C:
		case <-d.closed:
			timer.Stop()
			return nil, errClosed
		}
		select {
		case slots <- struct{}{}:
		case <-d.closed:
			return nil, errClosed
		}
		if !d.up() || !p.members[from].up() {
			return nil, errors.New("a member went down meanwhile")
		}
		l := lanes[n%len(lanes)]
		l.loop.Post(func() {
			l.enter(func() {
				p.copyItem(l, []byte(k.key), from, i, func(copied bool) {
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
	for range cap(slots) { // the last ones
		select {
		case slots <- struct{}{}:
		case <-d.closed:
			return nil, errClosed
		}
	}
	return failed, nil
}

// cold reports whether the member lacks what others may have.
func (m *member) cold() bool { return m.refill != nil && m.refill.cold.Load() }

// A listedKey is a key and when it was read last, in Unix seconds.
type listedKey struct {
	key  string
	last int64
}

// listKeys asks the upstream for its keys, those read last first: all, or refillKeys of them.
func (d *upstream) listKeys(ctx context.Context) ([]listedKey, error) {
	conn, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	side := newSideConn(conn, d.timeout)
	if err := side.send([]byte("lru_crawler metadump all\r\n")); err != nil {
		return nil, err
	}
	var keys []listedKey
	for {
		if err := conn.SetDeadline(time.Now().Add(max(d.timeout, time.Second))); err != nil { // for the next lines
			return nil, err
		}
		read, err := side.client.ReadLine()
		line := string(read)
		switch {
		case err != nil:
			return nil, err
		case line == "END":
			slices.SortFunc(keys, func(a, b listedKey) int { return cmp.Compare(b.last, a.last) })
			return keys, nil
		case !strings.HasPrefix(line, "key="):
			return nil, fmt.Errorf("metadump was answered with %.60q", line)
		case len(keys) < refillKeys:
			if k, ok := parseListed(line); ok {
				keys = append(keys, k)
			}
		}
	}
}

// parseListed reads a line of metadump: "key=a%20b exp=-1 la=1700000000 …".
func parseListed(line string) (k listedKey, ok bool) {
	for word := range strings.FieldsSeq(line) {
		name, value, _ := strings.Cut(word, "=")
		var err error
		switch name {
		case "key":
			k.key, err = url.PathUnescape(value)
		case "la":
			k.last, err = strconv.ParseInt(value, 10, 64)
		}
		if err != nil {
			return k, false
		}
	}
	return k, k.key != "" && len(k.key) <= mc.MaxKeyBytes && !strings.HasPrefix(k.key, markPrefix)
}
