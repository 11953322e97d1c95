package shard

import (
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A gathering puts off the next sync of Pebble's log while many commits are in flight, so that more
// of them share it.
//
// Pebble begins a sync as soon as the last one has ended and anything waits. With many clients that
// each wait for their answer, two halves of them take turns then: while the commits of one half are
// synced, those of the other half arrive. A sync costs as much processor time for half of them, in
// system calls, interrupts and threads that sleep and wake. During a pause of an eighth of a sync,
// many of the clients that the last one released come back, and wait for the same sync:
//
//	without   sync A ─────┤ sync B ─────┤ sync A ─────┤ sync B ─────┤
//	with      sync A+B ─────┤ pause ┤ sync A+B ─────┤ pause ┤
//
// A commit that has few others beside it never waits: of clients that write one after the other,
// each would only get its answer later.
type gathering struct {
	commits atomic.Int64 // that were submitted since the last sync ended
	took    atomic.Int64 // nanoseconds that the last sync took
}

const (
	gatherAt    = 16 // the commits during a sync that are many
	gatherShare = 8  // the part of a sync that a pause takes: an eighth
	gatherMost  = time.Millisecond
)

// pause returns how long the next sync is put off. Pebble calls it after each sync, with locks held.
func (g *gathering) pause() time.Duration {
	if g.commits.Swap(0) < gatherAt {
		return 0
	}
	return min(time.Duration(g.took.Load())/gatherShare, gatherMost)
}

// A timedFile is a log whose syncs a gathering times.
type timedFile struct {
	vfs.File
	gathering *gathering
}

// SyncData implements vfs.File.
func (f *timedFile) SyncData() error {
	begin := time.Now()
	err := f.File.SyncData()
	f.gathering.took.Store(int64(time.Since(begin)))
	return err
}
