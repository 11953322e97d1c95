package router

import (
	"strings"
	"sync"
	"testing"

	"holdfast/cache"
	"holdfast/mc"
	"holdfast/route"
)

// A lateCache serves each batch on a goroutine of its own, once it is released.
type lateCache struct {
	cache mc.Handler
	came  chan struct{} // a batch has come
	goOn  chan struct{}
}

func (c *lateCache) Serve(b *mc.Batch) {
	go func() {
		c.came <- struct{}{}
		<-c.goOn
		c.cache.Serve(b)
	}()
}

// TestLocalCacheAnswersLater has the cache of this process answer from another goroutine after
// Serve has returned: meanwhile the lane goes on with requests for others.
func TestLocalCacheAnswersLater(t *testing.T) {
	store, err := cache.Open(cache.Options{MemoryBytes: 16 << 20, Lanes: 1})
	if err != nil {
		t.Fatal(err)
	}
	late := &lateCache{cache: store, came: make(chan struct{}), goOn: make(chan struct{})}
	r := runWith(t, route.Options{Pools: []route.Pool{
		{Name: "local", Members: []route.Member{{Address: "cache"}}},
		{Name: "other", Members: []route.Member{{Address: startCache(t).address()}}},
	}, Route: route.Route{
		Kind: route.KindPrefixSelector, Default: ptr(to("local")),
		Prefixes: []route.PrefixRoute{{Prefix: "other", Route: to("other")}},
	}}, 1, Parts{Cache: late})
	t.Cleanup(func() {
		r.stop()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	big := strings.Repeat("v", 600_000) // in segments of its own, which the answer pins
	for _, ask := range []struct{ requests, want string }{
		{set("k", "1"), "STORED\r\n"},
		{"get k\r\n", value("k", "1")},
		{set("big", big), "STORED\r\n"},
		{"get big\r\n", value("big", big)},
		{"mg k v\r\n", "VA 1\r\n1\r\n"},
		{"delete none\r\n", "NOT_FOUND\r\n"},
	} {
		var got string
		var asked sync.WaitGroup
		asked.Go(func() { got = r.ask(0, ask.requests) })
		<-late.came
		r.want(0, "get other\r\n", "END\r\n")
		late.goOn <- struct{}{}
		asked.Wait()
		if got != ask.want {
			t.Errorf("%.40q: got %.60q; want %.60q", ask.requests, got, ask.want)
		}
	}
}
