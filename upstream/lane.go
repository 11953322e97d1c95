package upstream

import (
	"slices"
	"sync"
	"time"

	"holdfast/loop"
	"holdfast/mc"
)

// A Lane is one event loop's links to all upstreams. Its owner keeps more of the loop's state under
// the same lock. The loop takes the lock, and so do the goroutines of connections that aren't on
// the loop. No function that may block is called with it held.
type Lane struct {
	loop *loop.Loop

	mu      sync.Mutex // guards what follows, the lane's links, and what the owner keeps
	links   [][]*link  // by Upstream.id
	dirty   []*link    // those that have bytes to write
	scratch []byte     // for the text of a failure that is found here
	ticking bool       // the timer for overdue answers is set

	_ [64]byte // lanes don't share a cache line
}

// NewLane returns the lane of a loop that isn't running yet.
func NewLane(l *loop.Loop) *Lane {
	lane := &Lane{loop: l}
	l.Rounded(lane.flushRound)
	return lane
}

// Lock locks the lane, for its owner's state and for Enqueue. A caller that isn't on the loop uses
// Enter instead, or has the loop call Flush if the lane is Dirty afterwards.
func (l *Lane) Lock() { l.mu.Lock() }

// Unlock unlocks the lane.
func (l *Lane) Unlock() { l.mu.Unlock() }

// Dirty reports whether Flush has something to write. The lane is locked.
func (l *Lane) Dirty() bool { return len(l.dirty) > 0 }

// Enter calls f with the lane locked, on a goroutine that isn't the loop's, and has the loop write
// what f enqueues.
func (l *Lane) Enter(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	if len(l.dirty) > 0 {
		l.loop.Post(l.Flush)
	}
}

// Enqueue sends the request to d over the link for keys with this hash, or fails it at once if d is
// down or the link is full. The receiver gets its answer exactly once, with the lane locked, and
// perhaps before Enqueue returns; the request stays valid and unchanged until then. The lane is
// locked.
func (l *Lane) Enqueue(d *Upstream, hash uint64, request *mc.Request, to Receiver) {
	l.link(d, hash).enqueue(request, to, false)
}

// flushRound is Flush at the end of a round. Most rounds have nothing to write.
func (l *Lane) flushRound() {
	l.mu.Lock()
	some := len(l.dirty) > 0
	l.mu.Unlock()
	if some {
		l.Flush()
	}
}

// Flush writes what the round has enqueued. It is called on the loop.
func (l *Lane) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := 0; i < len(l.dirty); i++ { // it grows if a request fails and is sent to another upstream
		k := l.dirty[i]
		l.dirty[i] = nil
		k.dirty = false
		k.flush()
	}
	l.dirty = l.dirty[:0]
}

// link returns the link to d for keys with this hash.
func (l *Lane) link(d *Upstream, hash uint64) *link {
	for len(l.links) <= d.id {
		l.links = append(l.links, nil)
	}
	links := l.links[d.id]
	if len(links) == 0 {
		links = make([]*link, d.Settings.Links)
		for i := range links {
			links[i] = newLink(l, d)
		}
		l.links[d.id] = links
		select {
		case <-d.closed: // the request is of a batch that began before a reload
			l.loop.Post(func() { l.drop(d) })
		default:
		}
	}
	if len(links) == 1 {
		return links[0]
	}
	return links[hash%uint64(len(links))]
}

// linksTo returns the links to d, none if nothing was sent to it. The lane is locked.
func (l *Lane) linksTo(d *Upstream) []*link {
	if d.id < len(l.links) {
		return l.links[d.id]
	}
	return nil
}

// How often a lane looks for overdue answers: the shortest time-out is exceeded by at most the
// tickShare-th part of it.
const (
	tickShare = 8
	tickMin   = time.Millisecond
	tickMax   = 100 * time.Millisecond
)

// tickLater sets the timer for the next look at overdue answers, unless it is set. The lane is
// locked, on any goroutine; only the loop may set timers.
func (l *Lane) tickLater(timeout time.Duration) {
	if l.ticking {
		return
	}
	l.ticking = true
	wait := min(max(timeout/tickShare, tickMin), tickMax)
	l.loop.Post(func() { l.loop.After(wait, l.tick) })
}

func (l *Lane) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ticking = false
	now := l.loop.Now()
	shortest := time.Duration(0)
	for _, links := range l.links {
		for _, k := range links {
			k.expire(now)
			if k.pending.len() > 0 && (shortest == 0 || k.to.Timeout < shortest) {
				shortest = k.to.Timeout
			}
		}
	}
	if shortest > 0 {
		l.tickLater(shortest)
	}
}

// Close closes the lane's connections. Its loop has stopped.
func (l *Lane) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, links := range l.links {
		for _, k := range links {
			k.disconnect(loop.Stream.Close)
		}
	}
}

// drop closes the lane's links to d once their pending requests are answered.
func (l *Lane) drop(d *Upstream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d.id < len(l.links) {
		l.links[d.id] = slices.DeleteFunc(l.links[d.id], (*link).drop)
		if len(l.links[d.id]) > 0 {
			l.loop.After(tickMax, func() { l.drop(d) })
		}
	}
}
