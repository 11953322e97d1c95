package cache

import (
	"strconv"
	"sync"
	"sync/atomic"

	"holdfast/mc"
)

// This file has a lane's own state, which lane.mu guards.

// A lane is the state of one event loop, so that loops don't share cache lines. Serve locks the
// lane for each batch. All lanes share the engine.
type lane struct {
	*engine
	mu       sync.Mutex // guards all fields but gets; taken before segments.mu
	counters Counters
	prefixes prefixes
	scratch  scratch
	observer Observer // for the batch being served; nil if nobody watches
	orphans  uint32   // chunks of a large value to free once no stripe is held, or none

	getCount uint64        // gets since the start; ResetStats doesn't reset it
	gets     atomic.Uint64 // getCount after the last batch, for the curve
	_        [64]byte
}

// A scratch is memory in which a value is built.
type scratch struct {
	value  []byte
	number [20]byte
}

// maxScratchBytes is the most that a lane keeps between requests.
const maxScratchBytes = 64 << 10

// decimal returns n in digits, valid until the next call.
func (c *scratch) decimal(n uint64) []byte { return strconv.AppendUint(c.number[:0], n, 10) }

// spaces returns n spaces, valid until the next call of spaces or whole.
func (c *scratch) spaces(n int) []byte {
	c.value = c.value[:0]
	for range n {
		c.value = append(c.value, ' ')
	}
	return c.value
}

// whole returns a copy of the item's value, valid until the next call of spaces or whole. It needs
// the item's stripe.
func (c *scratch) whole(s *segments, it item) []byte {
	buf := c.value[:0]
	if cap(buf) > maxScratchBytes {
		buf = nil
	}
	c.value = s.appendWhole(buf, it)
	return c.value
}

func (l *lane) observeSet(r *mc.Request) {
	if l.prefixes.rule.on.Load() {
		l.prefixes.of(r.Key).Sets++
	}
}

func (l *lane) observeDelete(r *mc.Request) {
	if l.prefixes.rule.on.Load() {
		l.prefixes.of(r.Key).Deletes++
	}
	deleteFromCurve(l.curve, r.Hash)
}

// Counters count requests and their results since the start or the last reset.
type Counters struct {
	Gets, GetHits, GetMisses, GetExpired, GetFlushed uint64
	Sets, Touches, TouchHits, TouchMisses            uint64
	Deletes, DeleteHits, DeleteMisses                uint64
	IncrHits, IncrMisses, DecrHits, DecrMisses       uint64
	CASHits, CASMisses, CASBadval                    uint64
	Flushes, MetaCommands                            uint64
	TooLarge, NoMemory                               uint64
	Stored                                           uint64 // items that were created or changed
}

func (c *Counters) add(d *Counters) {
	c.Gets += d.Gets
	c.GetHits += d.GetHits
	c.GetMisses += d.GetMisses
	c.GetExpired += d.GetExpired
	c.GetFlushed += d.GetFlushed
	c.Sets += d.Sets
	c.Touches += d.Touches
	c.TouchHits += d.TouchHits
	c.TouchMisses += d.TouchMisses
	c.Deletes += d.Deletes
	c.DeleteHits += d.DeleteHits
	c.DeleteMisses += d.DeleteMisses
	c.IncrHits += d.IncrHits
	c.IncrMisses += d.IncrMisses
	c.DecrHits += d.DecrHits
	c.DecrMisses += d.DecrMisses
	c.CASHits += d.CASHits
	c.CASMisses += d.CASMisses
	c.CASBadval += d.CASBadval
	c.Flushes += d.Flushes
	c.MetaCommands += d.MetaCommands
	c.TooLarge += d.TooLarge
	c.NoMemory += d.NoMemory
	c.Stored += d.Stored
}
