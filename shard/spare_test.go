package shard

import (
	"errors"
	"slices"
	"testing"
	"time"

	"holdfast"
)

// errorsOfRemovals returns the errors of the calls that give space back, by their names.
func errorsOfRemovals(s *Store, sh *Shard) map[string]error {
	err := s.SaveRecords(bg, []Record{{Name: "r"}}, true)
	return map[string]error{"records": err, "an index": sh.Clear(77), "the queue": sh.ClearTTL(),
		"a drop": s.Drop(whole(99))}
}

// Another program takes all of the disk. Removals get the ballast's space. When that is used up,
// too, they are refused, and so is a Reclaim, which loses nothing and does its work once there is
// space. Reads go on, and the process does.
func TestRemovalsOnAFullDisk(t *testing.T) {
	now := newClock()
	fs, s, sh := openSmallAt(t, now.read)
	gone := openShard(t, s, 2)
	commitAll(t, s, put(t, sh, thing("a", 0)), put(t, gone, big(0)))
	if err := sh.SetSchema(Schema{Key: testSchema().Key}); err != nil {
		t.Fatal(err)
	}
	fs.other.Add(fs.free())
	now.advance(time.Second) // the last look is old
	if err := s.SaveRecords(bg, []Record{{Name: "r", Value: []byte("v")}}, false); !errors.Is(err, holdfast.Full) {
		t.Errorf("a record: got %v; want full", err)
	}
	if _, err := fs.Stat("/data/" + ballastName); err != nil {
		t.Errorf("got %v; want the ballast kept for removals", err)
	}
	if err := s.Drop(whole(2)); err != nil {
		t.Fatalf("got %v; want the drop taken", err)
	}
	for what, err := range errorsOfRemovals(s, sh) {
		if err != nil {
			t.Errorf("%s: got %v; want it accepted with the ballast's space", what, err)
		}
	}
	if free := fs.free(); free < testReserve/ballastShare-64<<10 {
		t.Errorf("got %d bytes free; want about the ballast's", free)
	}

	fs.other.Add(fs.free() - testReserve/recoverShare)
	for what, err := range errorsOfRemovals(s, sh) {
		if !errors.Is(err, holdfast.Full) {
			t.Errorf("%s: got %v; want full, with an eighth of the reserve left", what, err)
		}
	}
	logs := slices.Sorted(slices.Values(logsOf(t, fs)))
	for range 2 {
		if more, err := s.Reclaim(bg); !more || !errors.Is(err, holdfast.Full) {
			t.Errorf("Reclaim: got %v, %v; want more, and full", more, err)
		}
	}
	if got := slices.Sorted(slices.Values(logsOf(t, fs))); !slices.Equal(got, logs) {
		t.Errorf("got logs %v; want %v as they were", got, logs)
	}
	if got, err := sh.Get(bg, keyOf(t, thing("a", 0))); err != nil || got == nil {
		t.Errorf("got %v, %v; want reads to go on", got, err)
	}

	fs.other.Store(0)
	now.advance(time.Second)
	if more, err := s.Reclaim(bg); err != nil || !more {
		t.Errorf("Reclaim: got %v, %v; want what was dropped still to be done", more, err)
	}
	if more, err := s.Reclaim(bg); err != nil || more {
		t.Errorf("Reclaim: got %v, %v; want nothing more", more, err)
	}
	commitAll(t, s, put(t, sh, thing("a", 1)))
}

// With three quarters of the reserve free, a Reclaim has space, and doesn't touch the ballast.
func TestReclaimUsesTheReserve(t *testing.T) {
	fs, s, sh := openSmall(t)
	commitAll(t, s, put(t, sh, thing("a", 0)))
	if err := s.Drop(whole(1)); err != nil {
		t.Fatal(err)
	}
	fs.other.Add(fs.free() - testReserve*3/4)
	if _, err := s.Reclaim(bg); err != nil {
		t.Errorf("got %v; want the reserve used", err)
	}
	if _, err := fs.Stat("/data/" + ballastName); err != nil {
		t.Errorf("got %v; want the ballast there", err)
	}
}

// What a removal writes counts like what a commit writes: with no look at the disk due in between,
// commits after many removals still leave the reserve.
func TestRemovalsCountAgainstTheReserve(t *testing.T) {
	fs, s, sh := openSmall(t)
	const n = 50
	for i := range n {
		commitAll(t, s, put(t, sh, big(i)))
	}
	for i := range n { // the log keeps each before-image, so this writes as much again
		if _, err := s.Commit(bg, Commit{Writes: []Write{remove(t, sh, big(i))}, Removal: true}); err != nil {
			t.Fatalf("removal %d: got %v; want it accepted", i, err)
		}
	}
	var err error
	for i := 0; i < 1000 && err == nil; i++ {
		_, err = s.Commit(bg, Commit{Writes: []Write{put(t, sh, big(n+i))}})
	}
	if !errors.Is(err, holdfast.Full) {
		t.Fatalf("got %v; want full", err)
	}
	if free := fs.free(); free < testReserve {
		t.Errorf("got %d bytes free; want the reserve of %d untouched", free, testReserve)
	}
}
