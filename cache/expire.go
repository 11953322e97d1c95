package cache

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"
)

// Items with about the same TTL share segments, so that they expire together: a segment is due when
// the last of its items has expired. Items whose expiry was postponed meanwhile are then moved.
//
// This file owns the fields of lifetimes, which are atomic or constant. It needs no lock except the
// stripe of an item that is passed to it.

// ttlClasses counts class 0, for items that never expire, and one class for the TTLs up to each of
// ttlBounds and beyond the last.
const ttlClasses = 16

var ttlBounds = [ttlClasses - 2]uint32{10, 30, 60, 120, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600,
	86400, 3 * 86400, 10 * 86400}

// lifetimes decide when an item is gone: after its expiry, or if it was flushed. Methods may be
// called with any lock held, or none.
type lifetimes struct {
	clock   func() time.Time
	started time.Time
	ttls    []TTLRule // longest prefix first

	now     atomic.Uint32 // Unix seconds; moves with each Tick
	ahead   atomic.Int64  // seconds that AdvanceClock has added
	stopped atomic.Bool
	seq     atomic.Uint64 // the last sequence number that an item got
	flushed atomic.Uint64 // items with a sequence number up to this one are gone
	flushAt atomic.Uint32 // Unix seconds of a delayed flush, 0 none
}

func (t *lifetimes) start(o *Options) {
	t.clock, t.ttls = o.Now, slices.Clone(o.TTLs)
	slices.SortStableFunc(t.ttls, func(a, b TTLRule) int { return cmp.Compare(len(b.Prefix), len(a.Prefix)) })
	t.started = t.clock()
	t.now.Store(t.unixNow())
}

// restore reads what save has written to the header.
func (t *lifetimes) restore(h *header) {
	t.seq.Store(h.seq)
	t.flushed.Store(h.flushed)
	t.flushAt.Store(uint32(h.flushAt))
}

func (t *lifetimes) save(h *header) {
	h.stoppedAt = uint64(t.now.Load())
	h.seq, h.flushed, h.flushAt = t.seq.Load(), t.flushed.Load(), uint64(t.flushAt.Load())
}

// tick sets now to the present time, and reports whether a delayed flush is due, once for each.
func (t *lifetimes) tick() (now uint32, flush bool) {
	if !t.stopped.Load() {
		t.now.Store(t.unixNow())
	}
	now = t.now.Load()
	at := t.flushAt.Load()
	return now, at != 0 && at <= now && t.flushAt.CompareAndSwap(at, 0)
}

// classOf returns the class of items with this expiry.
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

// apart returns the distance between two classes. Class 0, for items that never expire, comes after
// all others.
func apart(a, b uint8) int {
	away := int((a-1)%ttlClasses) - int((b-1)%ttlClasses)
	return max(away, -away)
}

// gone reports whether an item has expired or was flushed. It needs the item's stripe.
func (t *lifetimes) gone(it item, now uint32) bool {
	if expiry := it.expiry(); expiry != 0 && expiry <= now {
		return true
	}
	return it.seq() <= t.flushed.Load()
}

// unixNow returns the time by which items expire. It adds the monotonic clock to the time of the
// start, so that setting the machine's clock makes no item older or younger.
func (t *lifetimes) unixNow() uint32 {
	return uint32(t.started.Add(t.clock().Sub(t.started)).Unix() + t.ahead.Load())
}

// maxRelative is the largest exptime that is an offset from now; above, it is Unix seconds.
const maxRelative = 30 * 24 * 3600

// expiryOf converts an exptime of the protocol to Unix seconds; 0 is never.
func (t *lifetimes) expiryOf(exptime int64) uint32 {
	now := t.now.Load()
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

// expiryFor is expiryOf for an item that is stored: it applies the default TTL and the jitter of
// the key's prefix, if there are any.
func (t *lifetimes) expiryFor(key []byte, exptime int64) uint32 {
	if len(t.ttls) == 0 {
		return t.expiryOf(exptime)
	}
	rule := t.rule(key)
	if rule == nil {
		return t.expiryOf(exptime)
	}
	ttl := exptime
	if exptime == 0 {
		ttl = int64(rule.Default / time.Second)
	}
	if ttl <= 0 || exptime > maxRelative {
		return t.expiryOf(exptime)
	}
	if rule.Jitter > 0 {
		ttl = max(1, int64(float64(ttl)*(1+rule.Jitter*(2*rand.Float64()-1))+0.5))
	}
	return uint32(min(int64(t.now.Load())+ttl, 1<<32-1))
}

// rule returns the rule with the key's longest prefix, which is the first that matches, or nil.
func (t *lifetimes) rule(key []byte) *TTLRule {
	for i := range t.ttls {
		if p := t.ttls[i].Prefix; len(key) >= len(p) && string(key[:len(p)]) == p {
			return &t.ttls[i]
		}
	}
	return nil
}
