package router

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"holdfast/route"
	"holdfast/upstream"
)

func TestHashSpreadsKeysAndKeepsThem(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindHash, Hash: route.Hash{Placement: "ch3"},
		Children: toAll("a", "b", "c")}, "a", "b", "c")
	for i := range 300 {
		r.want(set(fmt.Sprintf("k%d", i), "v"), "STORED\r\n")
	}
	for name, s := range r.stubs {
		if got := len(s.takeAsked()); got < 60 {
			t.Errorf("%s has %d of 300 keys", name, got)
		}
	}
	for i := range 300 {
		key := fmt.Sprintf("k%d", i)
		r.want("get "+key+"\r\n", value(key, "v"))
	}
}

func TestHashByLoadTakesTheNext(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindHash, Hash: route.Hash{Load: 1.5}, Children: toAll("a", "b", "c")}, "a",
		"b", "c")
	for _, s := range r.stubs {
		s.set(func(s *stub) { s.late = true })
	}
	r.ask(0, strings.Repeat("get one-key\r\n", 90))
	for name, s := range r.stubs {
		if got := len(s.takeAsked()); got > 50 { // half of them, give or take what was answered meanwhile
			t.Errorf("%s got %d of 90 requests for one key", name, got)
		}
	}
}

func TestPoolRouteWithItsOwnHash(t *testing.T) {
	members := []route.Member{{Address: "127.0.0.1:1", Name: "a"}, {Address: "127.0.0.1:2", Name: "b"}}
	o := route.Options{
		Pools: []route.Pool{{Name: "p", Members: members, Hash: route.Hash{Placement: "jump"}}},
		Route: route.Route{Kind: route.KindPrefixSelector, Prefixes: []route.PrefixRoute{
			{Prefix: "crc", Route: route.Route{Kind: route.KindPool, Pool: "p", Hash: route.Hash{Placement: "crc32"}}},
		}, Default: &route.Route{Kind: route.KindPool, Pool: "p"}},
	}
	r := riggedWith(t, 1, o)
	differs := 0
	for i := range 100 {
		key := fmt.Sprintf("crc%d", i)
		owner := r.tree.Load().explain(1, []byte(key))
		plain := r.tree.Load().pools[0].route.(*sharded)
		if route.Addresses(nil, owner)[0] != plain.members[plain.ring.Owner([]byte(key))].to.Address {
			differs++
		}
		r.want(set(key, "v")+"get "+key+"\r\n", "STORED\r\n"+value(key, "v"))
	}
	if differs == 0 {
		t.Error("the route's hash places all keys as the pool's does")
	}
}

func TestPrefixSelectorTakesTheLongest(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindPrefixSelector, Prefixes: []route.PrefixRoute{
		{Prefix: "u", Route: to("a")}, {Prefix: "user:", Route: to("b")}, {Prefix: "user:9", Route: to("c")},
	}}, "a", "b", "c")
	r.want("get user:1 user:91 user x u\r\n", "END\r\n")
	r.wantAsked("a: get user; a: get u; b: get user:1; c: get user:91")
	r.want(set("x", "v")+"delete x\r\n", "NOT_STORED\r\nNOT_FOUND\r\n")
	r.wantAsked("")
}

func TestOperationSelector(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindOperationSelector, Operations: []route.OperationRoute{
		{Operations: []string{"get"}, Route: to("a")},
		{Operations: []string{"set", "gats"}, Route: to("b")},
		{Operations: []string{"delete", "decr", "add"}, Route: to("c")},
	}, Default: ptr(to("d"))}, "a", "b", "c", "d")
	r.ask(0, "get k\r\ngets k\r\nmg k v\r\nme k\r\ngat 1 k\r\n")
	r.wantAsked("a: get k; a: gets k; a: mg k v; a: me k; a: gat 1 k")
	r.ask(0, "gats 1 k\r\nset k 0 0 0\r\n\r\ncas k 0 0 0 1\r\n\r\nms k 0\r\n\r\nappend k 0 0 0\r\n\r\n")
	r.wantAsked("b: gats 1 k; b: set k 0 0 0; b: cas k 0 0 0 1; b: ms k 0; b: append k 0 0 0")
	r.ask(0, "delete k\r\nmd k\r\nadd k 0 0 0\r\n\r\ndecr k 1\r\nma k MD\r\n")
	r.wantAsked("c: delete k; c: md k; c: add k 0 0 0; c: decr k 1; c: ma k MD")
	r.ask(0, "incr k 1\r\nma k\r\ntouch k 1\r\n")
	r.wantAsked("d: incr k 1; d: ma k; d: touch k 1")
}

func ptr[T any](v T) *T { return &v }

func TestRandomAsksAll(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindRandom, Children: toAll("a", "b")}, "a", "b")
	r.ask(0, strings.Repeat("get k\r\n", 200))
	for name, s := range r.stubs {
		if got := len(s.takeAsked()); got < 50 {
			t.Errorf("%s was asked %d times of 200", name, got)
		}
	}
}

func TestHostIDAndLatestStayWithOneChild(t *testing.T) {
	for _, kind := range []route.Kind{route.KindHostID, route.KindLatest} {
		r := rigged(t, 2, route.Route{Kind: kind, Children: toAll("a", "b", "c")}, "a", "b", "c")
		for i := range 30 {
			r.ask(i%2, fmt.Sprintf("get k%d\r\n", i))
		}
		used := 0
		for _, s := range r.stubs {
			if len(s.takeAsked()) > 0 {
				used++
			}
		}
		if used != 1 {
			t.Errorf("%s asked %d children; want 1", kind, used)
		}
	}
}

func TestLatestFailsOver(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindLatest, Latest: 2, Children: toAll("a", "b", "c")}, "a", "b", "c")
	for _, s := range r.stubs {
		s.failing(upstream.Timeout)
	}
	r.ask(0, "get k\r\n")
	asked := 0
	for _, s := range r.stubs {
		asked += len(s.takeAsked())
	}
	if asked != 2 {
		t.Errorf("asked %d children; want 2", asked)
	}
}

func TestSpreadIsEven(t *testing.T) {
	var tenths [10]int
	for i := range 100_000 {
		tenths[int(spreadOf(fmt.Appendf(nil, "key:%d", i)).fraction()*10)]++
	}
	for i, n := range tenths {
		if math.Abs(float64(n)-10_000) > 500 {
			t.Errorf("tenth %d has %d of 100,000 keys", i, n)
		}
	}
	if spreadOf([]byte("a|#|b")) != spreadOf([]byte("a|#|c")) {
		t.Error("keys with the same stop differ")
	}
}
