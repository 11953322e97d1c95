package cache

import (
	"fmt"
	"strings"
	"testing"
)

// TestLargeValuesGoOneByOne: a store that needs memory for a large value evicts as many large
// values as it needs, and not all whose items are in one segment.
func TestLargeValuesGoOneByOne(t *testing.T) {
	s := openStore(t, Options{MemoryBytes: 16 << 20, Seed: 1})
	c := newClient(t, s)
	value := strings.Repeat("v", 200_000)
	next := 0
	store := func() {
		c.do(fmt.Sprintf("set key-%d 0 0 %d\r\n%s\r\n", next, len(value), value))
		next++
	}
	for s.Snapshot().EvictedUnread == 0 {
		store()
	}
	for range 500 {
		before := s.index.items.Load()
		store()
		if got := s.index.items.Load(); got < before-1 {
			t.Fatalf("store %d: %d items before, %d after; want at most two evicted for one", next, before, got)
		}
	}
}

// TestTTLsCostFewItems: items of many TTLs keep several segments open, which must not take much of
// a small memory.
func TestTTLsCostFewItems(t *testing.T) {
	held := func(ttls ...int) int64 {
		s := openStore(t, Options{MemoryBytes: 4 << 20, Seed: 1, Now: newFakeClock().now})
		c := newClient(t, s)
		value := strings.Repeat("v", 1000)
		sum := int64(0)
		for i := range 12_000 {
			c.do(fmt.Sprintf("set key-%d 0 %d 1000\r\n%s\r\n", i, ttls[i%len(ttls)], value))
			if i >= 6000 {
				sum += s.index.items.Load()
			}
		}
		return sum / 6000
	}
	one, many := held(3600), held(0, 60, 300, 600, 3600, 6*3600, 86_400, 3*86_400, 15*86_400)
	if many < one*96/100 {
		t.Errorf("%d items of many TTLs; want nearly as many as of one, %d", many, one)
	}
}
