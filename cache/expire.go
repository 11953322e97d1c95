package cache

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"
)

// Items with about the same TTL share segments, so that they expire together: a segment wakes when
// the last of its items has expired. Items whose expiry was put off since are moved then.
//
// This file has the fields of lifetimes, all atomic or constant: it needs no lock but the stripe of
// an item that is passed to it.

// ttlClasses is class 0, for items that never expire, and fifteen for TTLs up to these.
const ttlClasses = 16

var ttlBounds = [ttlClasses - 2]uint32{10, 30, 60, 120, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600,
	86400, 3 * 86400, 10 * 86400}

// lifetimes decide when an item is gone: when its time is up, or because a flush came after it. All
// of it may be used with any lock held, and with none.
type lifetimes struct {
	clock   func() time.Time
	started time.Time
	ttls    []TTLRule // longest prefix first

	now     atomic.Uint32 // Unix seconds; moves with each Tick
	ahead   atomic.Int64  // seconds: see Store.AdvanceClock
	stopped atomic.Bool
	seq     atomic.Uint64 // the last sequence number given
	flushed atomic.Uint64 // items with a sequence number up to this one are gone
	flushAt atomic.Uint32 // Unix seconds of a flush to come, 0 none
}

func (t *lifetimes) start(o *Options) {
	t.clock, t.ttls = o.Now, slices.Clone(o.TTLs)
	slices.SortStableFunc(t.ttls, func(a, b TTLRule) int { return cmp.Compare(len(b.Prefix), len(a.Prefix)) })
	t.started = t.clock()
	t.now.Store(t.unixNow())
}

// restore takes up what save left in the header.
func (t *lifetimes) restore(h *header) {
	t.seq.Store(h.seq)
	t.flushed.Store(h.flushed)
	t.flushAt.Store(uint32(h.flushAt))
}

func (t *lifetimes) save(h *header) {
	h.stoppedAt = uint64(t.now.Load())
	h.seq, h.flushed, h.flushAt = t.seq.Load(), t.flushed.Load(), uint64(t.flushAt.Load())
}

// tick moves now to the present, and reports whether a flush is due, once for each flush.
func (t *lifetimes) tick() (now uint32, flush bool) {
	if !t.stopped.Load() {
		t.now.Store(t.unixNow())
	}
	now = t.now.Load()
	at := t.flushAt.Load()
	return now, at != 0 && at <= now && t.flushAt.CompareAndSwap(at, 0)
}

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

// gone reports whether an item has expired or was flushed. It needs the item's stripe.
func (t *lifetimes) gone(it item, now uint32) bool {
	if expiry := it.expiry(); expiry != 0 && expiry <= now {
		return true
	}
	return it.seq() <= t.flushed.Load()
}

// unixNow is the time by which items expire. It counts from the start by the monotonic clock, so
// that setting the machine's clock makes no item older or younger.
func (t *lifetimes) unixNow() uint32 {
	return uint32(t.started.Add(t.clock().Sub(t.started)).Unix() + t.ahead.Load())
}

// maxRelative is the largest exptime that is an offset from now; above, it is Unix seconds.
const maxRelative = 30 * 24 * 3600

// expiryOf turns an exptime as on the wire to Unix seconds; 0 is never.
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

// expiryFor is expiryOf for an item that is stored: with the default TTL and the jitter of its
// key's prefix, if it has them.
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

// rule is the rule with the longest prefix that key has; the rules are in that order.
func (t *lifetimes) rule(key []byte) *TTLRule {
	for i := range t.ttls {
		if p := t.ttls[i].Prefix; len(key) >= len(p) && string(key[:len(p)]) == p {
			return &t.ttls[i]
		}
	}
	return nil
}
