package router

import (
	"sync"
	"time"

	"holdfast/journal"
	"holdfast/loop"
	"holdfast/mc"
)

// A lane is what one event loop has of the router. Its lock is taken by whoever enters: the loop,
// and the goroutines of connections that are on none. Nothing is called with it that may wait.
type lane struct {
	router *Router
	index  int
	loop   *loop.Loop

	mu          sync.Mutex // guards all below, and the lane's links, flights and queries
	links       [][]*link  // by upstream.id
	dirty       []*link    // that have something to write
	flights     []*flight  // free ones
	reads       []*read    // likewise
	fills       int        // in flight for cold members
	answerBytes int        // of the flights that are not free
	meanBytes   int        // of an answer, lately
	scratch     []byte     // for the words of an answer that is made here
	ticking     bool       // a timer for late answers is set
	random      uint64     // state of a small generator
	counts      counts

	notes *journal.Lane // of writes in flight; nil if they aren't noted, and once the router is closed

	_ [64]byte // lanes don't share a cache line
}

// Serve takes the batch to the members; it is done when all have answered.
func (r *Router) Serve(b *mc.Batch) {
	l := r.lanes[b.Lane]
	l.mu.Lock()
	l.launch(b)
	wake := !b.OnLoop && len(l.dirty) > 0
	l.mu.Unlock()
	if wake {
		l.loop.Post(l.flush)
	}
}

// enter runs f with the lane locked, for what doesn't come from the loop, and sees to it that what
// f sends is written.
func (l *lane) enter(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	if len(l.dirty) > 0 {
		l.loop.Post(l.flush)
	}
}

// flush writes what the round has left for the members.
func (l *lane) flush() {
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
func (l *lane) link(d *upstream, hash uint64) *link {
	for len(l.links) <= d.id {
		l.links = append(l.links, nil)
	}
	links := l.links[d.id]
	if len(links) == 0 {
		links = make([]*link, d.settings.links)
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

// How often a lane looks for answers that are late: the shortest time-out is exceeded by at most
// one of so many parts.
const (
	tickShare = 8
	tickMin   = time.Millisecond
	tickMax   = 100 * time.Millisecond
)

// tickLater sets the next look at late answers, unless it is set. The lane's lock is held, on any
// goroutine; timers are the loop's.
func (l *lane) tickLater(timeout time.Duration) {
	if l.ticking {
		return
	}
	l.ticking = true
	wait := min(max(timeout/tickShare, tickMin), tickMax)
	l.loop.Post(func() { l.loop.After(wait, l.tick) })
}

func (l *lane) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ticking = false
	now := l.loop.Now()
	shortest := time.Duration(0)
	for _, links := range l.links {
		for _, k := range links {
			k.expire(now)
			if k.pending.len() > 0 && (shortest == 0 || k.to.timeout < shortest) {
				shortest = k.to.timeout
			}
		}
	}
	if shortest > 0 {
		l.tickLater(shortest)
	}
}

// rand returns the next of a sequence of numbers that are random enough to spread load.
func (l *lane) rand() uint64 {
	l.random += 0x9e3779b97f4a7c15 // splitmix64
	z := l.random
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
