package cache

import (
	"strconv"
	"sync"
	"sync/atomic"

	"holdfast/mc"
)

// A lane is what an event loop needs for itself, so that loops don't share cache lines. A batch
// holds its lane from beginning to end.
type lane struct {
	mu       sync.Mutex // guards all but gets; taken before segments.mu
	counters Counters
	prefixes prefixes
	scratch  []byte // a value being built
	number   [20]byte
	observer Observer // of the batch that is served, nil when nobody watches
	orphans  uint32   // chunks of a large value to be freed once no stripe is held, else none

	asked uint64        // gets since the start; ResetStats leaves it
	gets  atomic.Uint64 // asked, as of the last batch, for the curve
	_     [64]byte
}

// decimal is n in digits, valid until the next one.
func (l *lane) decimal(n uint64) []byte { return strconv.AppendUint(l.number[:0], n, 10) }

// spaces is n spaces, valid until the scratch is used again.
func (l *lane) spaces(n int) []byte {
	l.scratch = l.scratch[:0]
	for range n {
		l.scratch = append(l.scratch, ' ')
	}
	return l.scratch
}

func (l *lane) observeSet(r *mc.Request) {
	if l.prefixes.rule.on.Load() {
		l.prefixes.of(r.Key).Sets++
	}
}

func (l *lane) observeDelete(s *Store, r *mc.Request) {
	if l.prefixes.rule.on.Load() {
		l.prefixes.of(r.Key).Deletes++
	}
	forget(s.curve, r.Hash)
}

// maxScratchBytes is what a lane keeps between requests.
const maxScratchBytes = 64 << 10

// Counters count requests and what became of them, since the start or the last reset.
type Counters struct {
	Gets, GetHits, GetMisses, GetExpired, GetFlushed uint64
	Sets, Touches, TouchHits, TouchMisses            uint64
	Deletes, DeleteHits, DeleteMisses                uint64
	IncrHits, IncrMisses, DecrHits, DecrMisses       uint64
	CASHits, CASMisses, CASBadval                    uint64
	Flushes, MetaCommands                            uint64
	TooLarge, NoMemory                               uint64
	Stored                                           uint64 // items that came to be, or got another value
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
