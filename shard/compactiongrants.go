package shard

import (
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/pulse"
)

// How often compactionGrants look whether the database has one that waits: while it was refused one, and
// otherwise, in case it has one that it didn't ask for.
const (
	compactionRetry  = 100 * time.Millisecond
	compactionSeldom = 10 * time.Second
)

// A compactionGrants is a pebble.CompactionScheduler: it has the database do as many compactions at a time
// as it wants to. Pebble's own does the same, but wakes ten times a second to look whether one waits,
// which is much of what an idle node costs. This one looks while there is a reason.
//
// One goroutine, run, grants what waits, so that the database is called without its locks.
type compactionGrants struct {
	poke chan struct{} // of capacity one: something may be granted now

	mu      sync.Mutex // guards what follows; taken after the locks of the database
	db      pebble.DBForCompaction
	running int
	allowed int  // as of the last look
	refused bool // a compaction may wait
	end     chan struct{}
	ended   sync.WaitGroup
}

func newCompactionGrants() *compactionGrants { return &compactionGrants{poke: make(chan struct{}, 1)} }

// Register implements pebble.CompactionScheduler. A store opens its database twice when it makes it.
func (c *compactionGrants) Register(_ int, db pebble.DBForCompaction) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.db, c.running, c.allowed, c.refused, c.end = db, 0, 0, false, make(chan struct{})
	end := c.end
	c.ended.Go(func() { c.run(end) })
}

// Unregister implements pebble.CompactionScheduler.
func (c *compactionGrants) Unregister() {
	c.mu.Lock()
	c.db = nil
	close(c.end)
	c.mu.Unlock()
	c.ended.Wait()
}

// TrySchedule implements pebble.CompactionScheduler.
func (c *compactionGrants) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.take() != nil {
		return true, c
	}
	c.refused = true
	c.wake()
	return false, nil
}

// UpdateGetAllowedWithoutPermission implements pebble.CompactionScheduler.
func (c *compactionGrants) UpdateGetAllowedWithoutPermission() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.db == nil {
		return
	}
	before := c.allowed
	if c.allowed = c.db.GetAllowedWithoutPermission(); c.allowed > before {
		c.wake()
	}
}

// Started implements pebble.CompactionGrantHandle.
func (c *compactionGrants) Started() {}

// MeasureCPU implements pebble.CompactionGrantHandle.
func (c *compactionGrants) MeasureCPU(pebble.CompactionGoroutineKind) {}

// CumulativeStats implements pebble.CompactionGrantHandle.
func (c *compactionGrants) CumulativeStats(pebble.CompactionGrantHandleStats) {}

// Done implements pebble.CompactionGrantHandle.
func (c *compactionGrants) Done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
	c.wake()
}

// take counts a compaction more, and returns the database, unless as many run as may. mu is held.
func (c *compactionGrants) take() pebble.DBForCompaction {
	if c.db == nil {
		return nil
	}
	if c.allowed = c.db.GetAllowedWithoutPermission(); c.running >= c.allowed {
		return nil
	}
	c.running++
	return c.db
}

// wake has run look.
func (c *compactionGrants) wake() {
	select {
	case c.poke <- struct{}{}:
	default:
	}
}

// run grants compactions until end is closed.
func (c *compactionGrants) run(end <-chan struct{}) {
	timer := time.NewTimer(compactionRetry)
	defer timer.Stop()
	for {
		select {
		case <-c.poke:
		case <-timer.C:
		case <-end:
			return
		}
		for c.grant() {
		}
		next := compactionSeldom
		if c.waits() {
			next = compactionRetry
		}
		timer.Reset(pulse.Until(time.Now(), next))
	}
}

// waits reports whether a compaction may wait.
func (c *compactionGrants) waits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused
}

// grant has the database do a compaction that waits, and reports whether it does.
func (c *compactionGrants) grant() bool {
	c.mu.Lock()
	db := c.take()
	if db != nil {
		c.refused = false // before the look, so that a refusal that comes behind it isn't forgotten
	}
	c.mu.Unlock()
	if db == nil {
		return false
	}
	waits, _ := db.GetWaitingCompaction()
	begun := waits && db.Schedule(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = c.refused || waits // behind one that begins there may be others
	if !begun {
		c.running--
	}
	return begun
}
