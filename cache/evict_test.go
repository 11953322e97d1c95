package cache

import (
	"fmt"
	"strings"
	"testing"
)

// TestLargeValuesGoOneByOne: a store that needs a large value's memory evicts as many as it needs,
// and not all whose items happen to be in one segment.
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
		before := s.items.Load()
		store()
		if got := s.items.Load(); got < before-1 {
			t.Fatalf("store %d into %d items: %d are left; want no more than two to go for one", next, before, got)
		}
	}
}
