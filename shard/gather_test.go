package shard

import (
	"sync"
	"testing"
	"time"
)

// Syncs are put off for a part of a sync's time, and only beside many commits.
func TestSyncsArePutOffWhileManyCommit(t *testing.T) {
	for _, test := range []struct {
		commits int
		took    time.Duration
		want    time.Duration
	}{
		{0, time.Millisecond, 0},
		{1, time.Millisecond, 0},
		{gatherAt - 1, time.Millisecond, 0},
		{gatherAt, 0, 0},
		{gatherAt, time.Millisecond, time.Millisecond / gatherShare},
		{10 * gatherAt, 100 * time.Microsecond, 100 * time.Microsecond / gatherShare},
		{gatherAt, time.Minute, gatherMost},
	} {
		var g gathering
		for range test.commits {
			g.commits.Add(1)
		}
		g.took.Store(int64(test.took))
		if got := g.pause(); got != test.want {
			t.Errorf("%d commits and a sync of %v: got a pause of %v, want %v", test.commits, test.took, got, test.want)
		}
		if got := g.pause(); got != 0 {
			t.Errorf("%d commits and a sync of %v: got a pause of %v after a sync without commits", test.commits,
				test.took, got)
		}
	}
}

// The store counts its commits and times the syncs of its log. All commits of a crowd are
// acknowledged, and the store closes while a sync may be put off.
func TestCommitsAreGathered(t *testing.T) {
	disk := newSlowDisk()
	s := openStore(t, memOptions(disk))
	sh, err := s.Open(whole(1), testSchema())
	if err != nil {
		t.Fatal(err)
	}
	g := &s.engine.gathering
	disk.hold()
	var wait sync.WaitGroup
	wait.Go(func() { commitAll(t, s, put(t, sh, thing("first", 1))) })
	eventually(t, "a sync is held back", func() bool { return disk.waits.Load() > 0 }) // no earlier one counts any more
	g.commits.Store(0)
	g.took.Store(-1)
	for i := range 3 * gatherAt {
		w := put(t, sh, thing("a", i))
		wait.Go(func() {
			if _, err := s.Commit(bg, Commit{Writes: []Write{w}}); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "all commits are counted", func() bool { return g.commits.Load() >= 3*gatherAt })
	disk.letGo()
	wait.Wait()
	if got := g.took.Load(); got < 0 {
		t.Errorf("the sync of commits wasn't timed: got %d", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
