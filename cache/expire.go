package cache

import (
	"math/rand/v2"
	"runtime/debug"
	"time"
)

// Items with about the same TTL share segments, so that they expire together: a segment wakes when
// the last of its items has, and is given back whole, without a read of any of them. Items whose
// expiry was put off since are moved.

// ttlClasses is class 0, for items that never expire, and fifteen for TTLs up to these.
const ttlClasses = 16

var ttlBounds = [ttlClasses - 2]uint32{10, 30, 60, 120, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 3 * 86400, 10 * 86400}

// classOf is the class of items that expire at that time.
func classOf(expiry, now uint32) uint8 {
	if expiry == 0 {
		return 0
	}
	ttl := expiry - min(now, expiry)
	class := uint8(1)
	for _, bound := range ttlBounds {
		if ttl <= bound {
			break
		}
		class++
	}
	return class
}

// apart is how far the TTLs of two classes are from each other, in classes. Class 0, of items that
// never expire, comes after all others.
func apart(a, b uint8) int {
	away := int((a-1)%ttlClasses) - int((b-1)%ttlClasses)
	return max(away, -away)
}

// goneBy reports whether an item has expired or was flushed. It needs the item's stripe.
func (s *Store) goneBy(it item, now uint32) bool {
	if expiry := it.expiry(); expiry != 0 && expiry <= now {
		return true
	}
	return it.seq() <= s.flushed.Load()
}

// Limits of what Tick does at a time with segments.mu.
const wakeItems = 256

// Tick moves the store's clock to the present and gives back the memory of what has expired. It
// is to be called about once a second; until then, items live on.
func (s *Store) Tick() {
	if s.file != nil {
		defer s.explainFault()
		debug.SetPanicOnFault(true)
	}
	if !s.clockStopped.Load() {
		s.now.Store(s.unixNow())
	}
	now := s.now.Load()
	if at := s.flushAt.Load(); at != 0 && at <= now && s.flushAt.CompareAndSwap(at, 0) {
		s.flush()
	}
	for id := range s.segments.table {
		s.segments.mu.Lock()
		if s.segments.table[id].due(now) {
			s.begin(&s.expiring, uint32(id), gather)
		}
		for s.expiring.seg != none {
			s.sweep(&s.expiring, wakeItems)
			// Let the stores in between.
			s.segments.mu.Unlock()
			s.segments.mu.Lock()
		}
		s.segments.mu.Unlock()
	}
}

// unixNow is the time by which items expire. It goes by what has passed since the start, so that
// setting the machine's clock makes no item older or younger.
func (s *Store) unixNow() uint32 {
	return uint32(s.started.Add(s.clock().Sub(s.started)).Unix() + s.clockAhead.Load())
}

// flush makes every item that there is gone, at once; Tick gives the memory back.
func (s *Store) flush() {
	s.segments.mu.Lock()
	defer s.segments.mu.Unlock()
	// With every stripe, so that an append or the like, which looks at an item and then gives what it
	// made of it a new sequence number, comes before the flush as a whole or after it.
	for i := range s.index.stripes {
		s.index.stripes[i].Lock()
	}
	s.flushed.Store(s.seq.Load())
	for i := range s.index.stripes {
		s.index.stripes[i].Unlock()
	}
	s.curve.DeleteAll()
	s.segments.wakeAll()
}

// maxRelative is the largest exptime that is an offset from now; above, it is Unix seconds.
const maxRelative = 30 * 24 * 3600

// expiryOf turns an exptime as on the wire to Unix seconds; 0 is never.
func (s *Store) expiryOf(exptime int64) uint32 {
	now := s.now.Load()
	switch {
	case exptime == 0:
		return 0
	case exptime < 0:
		return 1 // long ago
	case exptime > maxRelative:
		return uint32(min(exptime, 1<<32-1))
	}
	return now + uint32(exptime)
}

// expiryFor is expiryOf for an item that is stored: with the default TTL and the jitter of its
// key's prefix, if it has them.
func (s *Store) expiryFor(key []byte, exptime int64) uint32 {
	if len(s.ttls) == 0 {
		return s.expiryOf(exptime)
	}
	rule := s.ttlRule(key)
	if rule == nil {
		return s.expiryOf(exptime)
	}
	ttl := exptime
	if exptime == 0 {
		ttl = int64(rule.Default / time.Second)
	}
	if ttl <= 0 || exptime > maxRelative {
		return s.expiryOf(exptime)
	}
	if rule.Jitter > 0 {
		ttl = max(1, int64(float64(ttl)*(1+rule.Jitter*(2*rand.Float64()-1))+0.5))
	}
	return uint32(min(int64(s.now.Load())+ttl, 1<<32-1))
}

// ttlRule is the rule with the longest prefix that key has; the rules are in that order.
func (s *Store) ttlRule(key []byte) *TTLRule {
	for i := range s.ttls {
		if p := s.ttls[i].Prefix; len(key) >= len(p) && string(key[:len(p)]) == p {
			return &s.ttls[i]
		}
	}
	return nil
}
