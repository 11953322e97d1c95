package sim

import (
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// syncsWait is how long the syncs of a node's log take time. Logs of groups are trimmed, and ten
// seconds after a trim Pebble begins a new log.
const syncsWait = 9 * time.Second

// Syncs has the syncs of Pebble's log take their time. Other files are on disk at once: Pebble waits
// for some of them with locks held, and virtual time stands still while a goroutine waits for a lock.
type syncs struct {
	mu      sync.Mutex    // guards what follows
	free    bool          // they don't wait
	stalled bool          // they wait for the end of the stall
	begun   []*syncOfFile // in the present event
	waiting []*syncOfFile // all
}

// A syncOfFile is one that waits.
type syncOfFile struct {
	done    chan struct{} // closed when it ends
	overdue bool          // it would have ended, but for a stall
}

// begin is called before each sync of a file, and returns when it may happen.
func (s *syncs) begin(path string) {
	if !strings.HasSuffix(path, ".log") {
		return
	}
	s.mu.Lock()
	if s.free {
		s.mu.Unlock()
		return
	}
	f := &syncOfFile{done: make(chan struct{})}
	s.begun, s.waiting = append(s.begun, f), append(s.waiting, f)
	s.mu.Unlock()
	<-f.done
}

// plan plans when those end that have begun in the present event.
func (s *syncs) plan(rng *rand.Rand, e *events, most time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.begun {
		e.after(time.Duration(rng.Int64N(int64(most))), func() { s.end(f) })
	}
	s.begun = nil
}

// end ends a sync, unless there is a stall.
func (s *syncs) end(f *syncOfFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.overdue = true
	if !s.stalled {
		s.endOverdue()
	}
}

// endOverdue ends the syncs that are overdue. mu is held.
func (s *syncs) endOverdue() {
	still := s.waiting[:0]
	for _, f := range s.waiting {
		if f.overdue {
			close(f.done)
		} else {
			still = append(still, f)
		}
	}
	s.waiting = still
}

// setStalled begins or ends a stall.
func (s *syncs) setStalled(stalled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stalled = stalled; !stalled {
		s.endOverdue()
	}
}

// setFree says whether syncs don't wait. Then those end that do.
func (s *syncs) setFree(free bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = free
	if free {
		for _, f := range s.waiting {
			f.overdue = true
		}
		s.endOverdue()
	}
}
