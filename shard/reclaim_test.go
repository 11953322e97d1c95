package shard

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// logsOf returns the names of Pebble's logs.
func logsOf(t *testing.T, fs vfs.FS) (logs []string) {
	t.Helper()
	names, err := fs.List("/data/" + engineDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if isLog(name) {
			logs = append(logs, name)
		}
	}
	return logs
}

// Of the logs that Pebble keeps to use them again only the newest is left, and it goes on without
// the others: also when it has been given new ones meanwhile, and over a start.
func TestReclaimRemovesLogs(t *testing.T) {
	fs := vfs.NewMem()
	o := memOptions(fs)
	o.Fatal = func(err error) { t.Errorf("Pebble gave up: %v", err) }
	s := openStore(t, o)
	sh := openShard(t, s, 1)
	n := 0
	fill := func() {
		for range 6 {
			commitAll(t, s, put(t, sh, thing("a", n, "v", strings.Repeat("x", 1000))))
			if err := s.engine.db.Flush(); err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	for range 3 {
		fill()
		if got := logsOf(t, fs); len(got) < 2 {
			t.Fatalf("got logs %v; want some that wait to be used again", got)
		}
		if more, err := s.Reclaim(bg); err != nil || more {
			t.Fatalf("got %v, %v; want nothing more", more, err)
		}
		if got := logsOf(t, fs); len(got) != 1 {
			t.Errorf("got logs %v; want the newest alone", got)
		}
		s.control.mu.Lock()
		listed := len(s.control.record.logs)
		s.control.mu.Unlock()
		if listed != 1 {
			t.Errorf("the control file lists %d logs; want the newest alone", listed)
		}
		if got := s.Stats().DiskBytes; got <= 0 || got > 1<<20 {
			t.Errorf("got %d bytes on disk; want those of a few small files", got)
		}
	}
	fill()
	for i := range 30 { // more than may wait
		commitAll(t, s, put(t, sh, thing("b", i)))
		if err := s.engine.db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := checkStore(t, o, 1); got.Items != int64(n)+30 {
		t.Errorf("got %d items; want %d", got.Items, n+30)
	}
}

// What was dropped leaves the disk.
func TestReclaimAfterDrop(t *testing.T) {
	fs := vfs.NewMem()
	s := openStore(t, memOptions(fs))
	sh, other := openShard(t, s, 1), openShard(t, s, 2)
	commitAll(t, s, put(t, other, big(0)))
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		text := make([]byte, 100_000) // which doesn't compress
		for j := range text {
			text[j] = byte(rng.Uint32())
		}
		commitAll(t, s, put(t, sh, thing("big", i, "v", string(text))))
		if i%50 == 49 {
			if err := s.engine.db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	small := &smallFS{FS: fs}
	was := small.sum("/data/" + engineDir)
	if err := s.Drop(whole(1)); err != nil {
		t.Fatal(err)
	}
	for _, more := range []bool{true, false} {
		if got, err := s.Reclaim(bg); err != nil || got != more {
			t.Fatalf("got %v, %v; want %v", got, err, more)
		}
	}
	look := time.NewTicker(time.Millisecond) // Pebble removes files in the background
	defer look.Stop()
	late := time.After(20 * time.Second)
	for small.sum("/data/"+engineDir) > 1<<20 {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("got %d bytes; want next to nothing of the %d before", small.sum("/data/"+engineDir), was)
		}
	}
	if got, err := other.Get(bg, keyOf(t, big(0))); err != nil || !got.Equal(big(0)) {
		t.Errorf("got %v; want the other shard's item", err)
	}
}
