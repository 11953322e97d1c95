package router

import (
	"sync"
	"sync/atomic"
	"time"

	"holdfast/mc"
)

// fills keep what is added to a route from a slower one (warm.go, l1l2.go) from undoing a newer
// write. They are shared by all lanes, and by one tree and the next.
//
// What must not happen:
//
//  1. A get of k misses in cold, and reads the old item from warm.
//  2. A delete of k takes the item from warm and from cold, and is acknowledged.
//  3. The get adds the old item to cold, where it is found from now on.
//
// So a write through this router marks its key in a slot before anything of it is sent, and again
// when it is answered. An add is refused whose read of warm began before the write ended:
//
//	read begins        write begins          write ends       add refused, since the slot
//	───┼────────────────────┼─────────────────────┼────────── has a time after the read began
//	             read begins and adds             │           or counts a write that is in flight
//
// If there are routes that acknowledge a write which still goes on (a delete in all_async,
// all_initial), reads that begin shortly after it are refused too: it may not have reached warm.
//
// Refusing isn't enough for an add that has been sent when the write begins: on their connections,
// or in front of different members, the one may overtake the other. So there is a second rule: a
// write waits for the adds of its key that are in flight; none begins while it waits. Adds wait
// for nobody, so this ends.
//
// It does not cover what this router doesn't see, writes that go to the members by another way, nor
// an add that was given up after the member's time-out and is read from a socket after a later
// delete.
//
// A third thing a slot knows: warm may have kept an item that a write was to take from it, because
// it couldn't be reached. Keys of that slot are not looked for in warm for distrustTime.
//
// A flush_all is a write of all keys.
//
// Many keys share a slot; what the others do can only refuse an add or a look too many.
type fills struct {
	clock    clock
	flushing atomic.Int32 // flushes in flight: no add begins
	stripes  [fillStripes]fillStripe
}

const (
	fillStripes = 256
	fillSlots   = 512 // of a stripe

	// rememberWrites is how long after a write that may still go on no read of its key is used to add.
	rememberWrites = 3 * time.Second
	distrustTime   = 10 * time.Minute

	// maxAdds is how many adds a stripe may have in flight; who comes then doesn't add.
	maxAdds = 256
)

type fillStripe struct {
	mu    sync.Mutex // guards what follows; nothing is locked with it
	slots [fillSlots]fillSlot
	adds  map[string]*adds
	open  int // adds in flight
}

// Times are by the clock, plus one, so that 0 is never.
type fillSlot struct {
	writing  int32         // writes in flight
	written  time.Duration // the last of them began or ended
	distrust time.Duration // until when
}

// adds are those of one key that are in flight, and the writes that wait for them.
type adds struct {
	open    int
	waiting []waiting
}

func newFills(c clock) *fills { return &fills{clock: c} }

// sharedFills are those of all trees. r.mu is held.
func (r *Router) sharedFills() *fills {
	if r.fills == nil {
		r.fills = newFills(r.clock)
	}
	return r.fills
}

func (f *fills) now() time.Duration { return f.clock() + 1 }

func (f *fills) at(hash uint64) (*fillStripe, *fillSlot) {
	s := &f.stripes[hash%fillStripes]
	return s, &s.slots[hash/fillStripes%fillSlots]
}

// beginWrite marks the key. It reports whether the write may be sent; if not, w goes on once it
// may.
func (f *fills) beginWrite(key []byte, hash uint64, w waiting) bool {
	now := f.now()
	stripe, slot := f.at(hash)
	stripe.mu.Lock()
	defer stripe.mu.Unlock()
	slot.writing++
	slot.written = max(slot.written, now)
	if a := stripe.adds[string(key)]; a != nil {
		a.waiting = append(a.waiting, w)
		return false
	}
	return true
}

func (f *fills) endWrite(hash uint64) {
	now := f.now()
	stripe, slot := f.at(hash)
	stripe.mu.Lock()
	defer stripe.mu.Unlock()
	slot.writing--
	slot.written = max(slot.written, now)
}

// beginAdd reports whether what was read since began may be added under key, also with regard to
// writes that have ended no longer than remember before; endAdd follows then.
func (f *fills) beginAdd(key []byte, hash uint64, began, remember time.Duration) bool {
	stripe, slot := f.at(hash)
	stripe.mu.Lock()
	defer stripe.mu.Unlock()
	if f.flushing.Load() > 0 || slot.writing > 0 || slot.written > 0 && slot.written+remember >= began ||
		stripe.open >= maxAdds {
		return false
	}
	a := stripe.adds[string(key)]
	if a == nil {
		a = &adds{}
		if stripe.adds == nil {
			stripe.adds = map[string]*adds{}
		}
		stripe.adds[string(key)] = a
	}
	a.open++
	stripe.open++
	return true
}

// endAdd lets the writes go on that waited for the last add of the key.
func (f *fills) endAdd(key []byte, hash uint64) {
	stripe, _ := f.at(hash)
	stripe.mu.Lock()
	a := stripe.adds[string(key)]
	a.open--
	stripe.open--
	var next []waiting
	if a.open == 0 {
		next = a.waiting
		delete(stripe.adds, string(key))
	}
	stripe.mu.Unlock()
	for _, w := range next {
		w.post()
	}
}

// distrust notes that warm may hold what it should not under keys with this hash.
func (f *fills) distrust(hash uint64) {
	until := f.now() + distrustTime
	stripe, slot := f.at(hash)
	stripe.mu.Lock()
	defer stripe.mu.Unlock()
	slot.distrust = until
}

func (f *fills) trusts(hash uint64) bool {
	now := f.now()
	stripe, slot := f.at(hash)
	stripe.mu.Lock()
	defer stripe.mu.Unlock()
	return slot.distrust < now
}

// fillGuard is where writes pass under the key that the routes behind it know.
type fillGuard struct {
	fills  *fills
	target forwarder
}

func (g *fillGuard) forward(l *lane, q *query) {
	if q.request.Op.Reads() || q.request.Op == mc.FlushAll {
		g.target.forward(l, q)
		return
	}
	w := &fillWrite{outer: q, fills: g.fills, hash: keyHash(q.request.Key)}
	w.request, w.taker = q.request, w
	if g.fills.beginWrite(q.request.Key, w.hash, waiting{l, func() { g.target.forward(l, &w.query) }}) {
		g.target.forward(l, &w.query)
	}
}

// fillWrite is a write that marks its key until it is answered.
type fillWrite struct {
	query
	outer *query
	fills *fills
	hash  uint64
}

func (w *fillWrite) take(l *lane, _ *query, a *answer) {
	w.fills.endWrite(w.hash)
	w.outer.taker.take(l, w.outer, a)
}

// flushGuard is where a flush of all pools passes.
type flushGuard struct {
	fills  *fills
	target forwarder
}

// flushPatience is how often a flush looks whether the adds have ended that it waits for.
const flushPatience = time.Millisecond

func (g *flushGuard) forward(l *lane, q *query) {
	g.fills.flushing.Add(1)
	g.send(l, q)
}

func (g *flushGuard) send(l *lane, q *query) {
	if g.fills.adding() {
		l.loop.Post(func() {
			l.loop.After(flushPatience, func() { l.enter(func() { g.send(l, q) }) })
		})
		return
	}
	g.target.forward(l, &query{request: q.request, taker: takeFunc(func(l *lane, _ *query, a *answer) {
		g.fills.markAll()
		g.fills.flushing.Add(-1)
		q.taker.take(l, q, a)
	})})
}

func (f *fills) adding() bool {
	for i := range f.stripes {
		s := &f.stripes[i]
		s.mu.Lock()
		open := s.open
		s.mu.Unlock()
		if open > 0 {
			return true
		}
	}
	return false
}

// markAll marks all keys as written.
func (f *fills) markAll() {
	now := f.now()
	for i := range f.stripes {
		s := &f.stripes[i]
		s.mu.Lock()
		for j := range s.slots {
			s.slots[j].written = max(s.slots[j].written, now)
		}
		s.mu.Unlock()
	}
}
