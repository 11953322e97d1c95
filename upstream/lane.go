package upstream

import (
	"slices"
	"sync"
	"time"

	"holdfast/loop"
	"holdfast/mc"
)

// A Lane is what one event loop has of connections: its links to each upstream. Its owner keeps
// more of the loop's state under the same lock, which is taken by whoever enters: the loop, and the
// goroutines of connections that are on none. Nothing is called with it that may wait.
type Lane struct {
	loop *loop.Loop

	mu      sync.Mutex // guards what follows, the lane's links, and what the owner keeps
	links   [][]*link  // by Upstream.id
	dirty   []*link    // that have something to write
	scratch []byte     // for the text of a failure that is found here
	ticking bool       // a timer for late answers is set

	_ [64]byte // lanes don't share a cache line
}

// NewLane returns the lane of a loop that isn't running yet.
func NewLane(l *loop.Loop) *Lane {
	lane := &Lane{loop: l}
	l.Rounded(lane.flushRound)
	return lane
}

// Lock locks the lane, for its owner's state and for Enqueue. Whoever doesn't come from the loop
// uses Enter, or sees to it that Flush is called on the loop if the lane is Dirty then.
func (l *Lane) Lock() { l.mu.Lock() }

// Unlock unlocks the lane.
func (l *Lane) Unlock() { l.mu.Unlock() }

// Dirty reports whether Flush has something to write. The lane is locked.
func (l *Lane) Dirty() bool { return len(l.dirty) > 0 }

// Enter runs f with the lane locked, for what doesn't come from the loop, and sees to it that what
// f sends is written.
func (l *Lane) Enter(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	if len(l.dirty) > 0 {
		l.loop.Post(l.Flush)
	}
}

// Enqueue sends the request to d over the link for keys with this hash, or fails it at once where
// that is no use. The receiver gets its answer exactly once, with the lane locked, and perhaps
// before Enqueue returns; the request stays valid and unchanged until then. The lane is locked.
func (l *Lane) Enqueue(d *Upstream, hash uint64, request *mc.Request, to Receiver) {
	l.link(d, hash).enqueue(request, to, false)
}

// flushRound is Flush at the end of a round, most of which have nothing for it.
func (l *Lane) flushRound() {
	l.mu.Lock()
	some := len(l.dirty) > 0
	l.mu.Unlock()
	if some {
		l.Flush()
	}
}

// Flush writes what the round has left for the upstreams. It is called on the loop.
func (l *Lane) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := 0; i < len(l.dirty); i++ { // flushing may fail queries, which go elsewhere
		k := l.dirty[i]
		l.dirty[i] = nil
		k.dirty = false
		k.flush()
	}
	l.dirty = l.dirty[:0]
}

// link returns the connection that takes a key with this hash to d.
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
		case <-d.closed: // a batch of an old tree goes on
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

// How often a lane looks for answers that are late: the shortest time-out is exceeded by at most
// one of so many parts.
const (
	tickShare = 8
	tickMin   = time.Millisecond
	tickMax   = 100 * time.Millisecond
)

// tickLater sets the next look at late answers, unless it is set. The lane's lock is held, on any
// goroutine; timers are the loop's.
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

// drop closes the lane's links to d, once they have brought what is in line.
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
