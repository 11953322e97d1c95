package router

import (
	"sync"
	"sync/atomic"
	"time"

	"holdfast/mc"
	"holdfast/upstream"
)

// fills prevents an item that is read from one route and added to another (warm.go, l1l2.go) from
// replacing a newer write. All lanes share one fills, and a reload keeps it.
//
// It prevents this sequence:
//
//  1. A get of k misses in cold, and reads the old item from warm.
//  2. A delete of k takes the item from warm and from cold, and is acknowledged.
//  3. The get adds the old item to cold, where later gets find it.
//
// So a write through this router marks the slot of its key before any part of the write is sent,
// and again when the write is answered. An add is refused if its read of warm began before a write
// of the key ended:
//
//	read begins        write begins          write ends       add refused, since the slot
//	───┼────────────────────┼─────────────────────┼────────── has a time after the read began
//	             read begins and adds             │           or counts a write that is in flight
//
// Some routes acknowledge a write before all of their children have it (a delete in all_async or
// all_initial). With such routes, an add is also refused if its read began shortly after the write
// ended: the write may not have reached warm by then.
//
// Refusing isn't enough if the add was sent before the write begins: the two go by different
// connections, or to different members, so either may arrive first. So there is a second rule: a
// write waits until the adds of its key are answered, and no add begins while a write waits. Adds
// never wait, so there is no deadlock.
//
// Two cases are not covered: writes that reach the members without passing this router, and an add
// that timed out but is still read from a socket after a later delete.
//
// A slot also records that a delete of warm's item failed, so that warm may still hold an item
// which a write replaced. For avoidWarmTime the keys of that slot are not read from warm.
//
// A flush_all counts as a write of every key.
//
// Many keys share a slot. A write of one key may cause the add or the read of another to be
// refused, which costs a miss and is always safe.
type fills struct {
	clock    clock
	flushing atomic.Int32 // flushes in flight; while there are any, no add begins
	stripes  [fillStripes]fillStripe
}

const (
	fillStripes = 256
	fillSlots   = 512 // of a stripe

	// rememberWrites is how long after a write that was acknowledged early reads of its key are not
	// used for an add.
	rememberWrites = 3 * time.Second
	avoidWarmTime  = 10 * time.Minute

	// maxAdds is how many adds a stripe may have in flight; further ones are refused.
	maxAdds = 256
)

type fillStripe struct {
	mu    sync.Mutex // guards what follows; nothing is locked with it
	slots [fillSlots]fillSlot
	adds  map[string]*adds
	open  int // adds in flight
}

// A fillSlot is the state of the keys with one hash. Its times are those of fills.now, where 0
// stands for never.
type fillSlot struct {
	writing   int32         // writes in flight
	written   time.Duration // when a write last began or ended
	avoidWarm time.Duration // until when the keys are not read from warm
}

// adds counts the adds of one key in flight, and holds the writes that wait for them.
type adds struct {
	open    int
	waiting []waiting
}

func newFills(c clock) *fills { return &fills{clock: c} }

// sharedFills returns the fills of all trees, made by the first call. r.mu is held.
func (r *Router) sharedFills() *fills {
	if r.fills == nil {
		r.fills = newFills(r.elapsed)
	}
	return r.fills
}

// now returns the clock's time plus one, so that it is never 0.
func (f *fills) now() time.Duration { return f.clock() + 1 }

func (f *fills) at(hash uint64) (*fillStripe, *fillSlot) {
	s := &f.stripes[hash%fillStripes]
	return s, &s.slots[hash/fillStripes%fillSlots]
}

// beginWrite marks the key, and reports whether the write may be sent at once. If not, w is posted
// once it may.
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

// beginAdd reports whether an item may be added under key whose read began at began. Writes that
// ended less than remember before that refuse the add too. After true the caller must call endAdd.
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

// endAdd ends an add. The last one of its key posts the writes that waited for it.
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

// avoidWarm records that warm may hold a stale item under a key with this hash.
func (f *fills) avoidWarm(hash uint64) {
	until := f.now() + avoidWarmTime
	stripe, slot := f.at(hash)
	stripe.mu.Lock()
	defer stripe.mu.Unlock()
	slot.avoidWarm = until
}

// mayReadWarm reports whether keys with this hash may be read from warm.
func (f *fills) mayReadWarm(hash uint64) bool {
	now := f.now()
	stripe, slot := f.at(hash)
	stripe.mu.Lock()
	defer stripe.mu.Unlock()
	return slot.avoidWarm < now
}

// A fillGuard marks the keys of the writes that pass it. It stands behind the routes that change a
// key, so that fills and the filled routes mean the same key.
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

// A fillWrite is a write whose key stays marked until it is answered.
type fillWrite struct {
	query
	outer *query
	fills *fills
	hash  uint64
}

func (w *fillWrite) take(l *lane, _ *query, a *upstream.Answer) {
	w.fills.endWrite(w.hash)
	w.outer.taker.take(l, w.outer, a)
}

// A flushGuard delays a flush of all pools until no add is in flight.
type flushGuard struct {
	fills  *fills
	target forwarder
}

// flushPollInterval is how often a flush that waits for adds checks whether they have ended.
const flushPollInterval = time.Millisecond

func (g *flushGuard) forward(l *lane, q *query) {
	g.fills.flushing.Add(1)
	g.send(l, q)
}

func (g *flushGuard) send(l *lane, q *query) {
	if g.fills.adding() {
		l.loop.Post(func() {
			l.loop.After(flushPollInterval, func() { l.Enter(func() { g.send(l, q) }) })
		})
		return
	}
	g.target.forward(l, &query{request: q.request, taker: takeFunc(func(l *lane, _ *query, a *upstream.Answer) {
		g.fills.markAll()
		g.fills.flushing.Add(-1)
		q.taker.take(l, q, a)
	})})
}

// adding reports whether any add is in flight.
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
