package main

import (
	"testing"
	"time"

	"holdfast/internal/peer"
)

// memcached returns a started peer with 8 MiB.
func memcached(t *testing.T) *server {
	t.Helper()
	b := binaries{holdfast: none, memcached: peer.Find(t, "memcached")}
	s, err := b.both(8, 1)[0].start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestFillAndCount(t *testing.T) {
	s := memcached(t)
	const count = 1000
	f, err := fill(t.Context(), s.address, count, []byte("value"))
	if err != nil || f.stored != count || f.refused != 0 {
		t.Fatalf("fill: got %+v, %v; want %d stored", f, err, count)
	}
	c, err := dial(s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if got, err := c.get(0, 1, count-1, count, count+1); err != nil || got != 3 {
		t.Errorf("get of three keys that are held and two that aren't: got %d, %v", got, err)
	}
	if share, err := shareHeld(t.Context(), c, 2*count, 10_000); err != nil || share < 0.45 || share > 0.55 {
		t.Errorf("share held, with half of the keys set: got %v, %v", share, err)
	}
	stats, err := c.stats()
	if err != nil || stats["curr_items"] != "1000" {
		t.Errorf("curr_items: got %q, %v; want 1000", stats["curr_items"], err)
	}
}

// An item that the server refuses is counted with the server's words, and the rest goes on.
func TestFillCountsRefusals(t *testing.T) {
	s := memcached(t)
	f, err := fill(t.Context(), s.address, 10, make([]byte, 2<<20))
	if err != nil || f.stored != 0 || f.refused != 10 || f.refusal != "SERVER_ERROR object too large for cache" {
		t.Errorf("got %+v, %v; want ten refused as too large", f, err)
	}
}

func TestPercentiles(t *testing.T) {
	took := make([]time.Duration, 1000)
	for i := range took {
		took[len(took)-1-i] = time.Duration(i) * time.Microsecond
	}
	want := percentiles{perSecond: 500, p50: 500, p99: 990, p999: 999, max: 999}
	if got := percentilesOf(took, 2*time.Second); got != want {
		t.Errorf("got %+v; want %+v", got, want)
	}
	if got := median([]percentiles{{p50: 3}, {p50: 1}, {p50: 10}, {p50: 4}}).p50; got != 3.5 {
		t.Errorf("median of 1, 3, 4, 10: got %v; want 3.5", got)
	}
}

func TestMemoryForShareOfKeys(t *testing.T) {
	counted := report{Keys: 100_000, DataBytes: 50_000_000}
	for _, test := range []struct {
		share           float64
		value           int
		size, memoryMiB int
	}{
		{0.5, 1000, 1000, 52},  // 50,000 items of 1100 bytes
		{0.005, 1000, 8000, 4}, // 500 items of 8100
		{0.5, 0, 0, 28},
		{0.005, 0, 0, 4},
	} {
		if size, memoryMiB := memoryFor(test.share, counted, test.value); size != test.size || memoryMiB != test.memoryMiB {
			t.Errorf("%v of the keys, values of %d: got %d bytes and %d MiB; want %d and %d",
				test.share, test.value, size, memoryMiB, test.size, test.memoryMiB)
		}
	}
}
