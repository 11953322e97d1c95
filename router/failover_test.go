package router

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/route"
	"holdfast/upstream"
)

func TestFailoverGoesOnAfterErrorsOfThePolicy(t *testing.T) {
	p := route.FailoverPolicy{Reads: []string{"timeout"}, Updates: []string{"connect", "server_error"},
		Deletes: []string{}}
	r := rigged(t, 1, route.Route{Kind: route.KindFailover, Children: toAll("a", "b"), Failover: p}, "a", "b")
	for _, test := range []struct {
		failure upstream.Result
		request string
		goesOn  bool
	}{
		{upstream.Timeout, "get k\r\n", true},
		{upstream.Closed, "mg k v\r\n", true},
		{upstream.Down, "get k\r\n", false},
		{upstream.ServerError, "get k\r\n", false},
		{upstream.Connect, set("k", "v"), true},
		{upstream.ServerError, "incr k 1\r\n", true},
		{upstream.Timeout, set("k", "v"), false},
		{upstream.Timeout, "delete k\r\n", false},
		{upstream.Connect, "md k\r\n", false},
	} {
		r.stubs["a"].failing(test.failure)
		r.ask(0, test.request)
		if got := len(r.stubs["b"].takeAsked()) == 1; got != test.goesOn {
			t.Errorf("%v of %q: goes on is %v; want %v", test.failure, test.request, got, test.goesOn)
		}
	}
}

func TestFailoverByDefault(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindFailover, Children: toAll("a", "b", "c"), Exptime: 5 * time.Second},
		"a", "b", "c")
	a, b := r.stubs["a"], r.stubs["b"]
	a.failing(upstream.Down)
	b.failing(upstream.Timeout)
	r.want("set k 1 100 1\r\nv\r\n", "STORED\r\n")
	r.wantAsked("a: set k 1 100 1 v; b: set k 1 5 1 v; c: set k 1 5 1 v")
	r.want("ms k 1 F1\r\nv\r\n", "HD\r\n")
	r.wantAsked("a: ms k 1 F1 v; b: ms k 1 F1 T5 v; c: ms k 1 F1 T5 v")
	r.want("get k\r\n", "VALUE k 1 1\r\nv\r\nEND\r\n")
	b.failing(upstream.ServerError)
	r.want("get k\r\n", failure("b"))
	a.failing(upstream.Hit)
	r.wantAsked("a: get k; a: get k; b: get k; b: get k; c: get k")
	r.want("get k\r\n", "END\r\n")
}

func TestFailoverTriesCountChildrenThatWereReached(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindFailover, Children: toAll("a", "b", "c", "d"),
		Failover: route.FailoverPolicy{MaxTries: 2}}, "a", "b", "c", "d")
	for _, name := range []string{"a", "b", "c"} {
		r.stubs[name].failing(upstream.Timeout)
	}
	r.want("get k\r\n", failure("b"))
	r.stubs["a"].failing(upstream.Down)
	r.want("get k\r\n", failure("c"))
	r.stubs["b"].failing(upstream.Connect)
	r.want("get k\r\n", "END\r\n")
}

func TestFailoverInRendezvousOrderSharesTheLoad(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindFailover, Children: toAll("a", "b", "c", "d"),
		Failover: route.FailoverPolicy{Order: route.InRendezvousOrder}}, "a", "b", "c", "d")
	r.stubs["a"].failing(upstream.Timeout)
	for i := range 300 {
		key := fmt.Sprintf("k%d", i)
		r.want(set(key, "v")+"get "+key+"\r\n", "STORED\r\n"+value(key, "v"))
	}
	for _, name := range []string{"b", "c", "d"} {
		if got := len(r.stubs[name].takeAsked()); got < 120 {
			t.Errorf("%s got %d of 600 requests", name, got)
		}
	}
}

func TestFailoverToLeastFailures(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindFailover, Children: toAll("a", "b", "c"),
		Failover: route.FailoverPolicy{Order: route.LeastFailures}}, "a", "b", "c")
	r.stubs["a"].failing(upstream.Timeout)
	r.stubs["b"].failing(upstream.Timeout)
	r.want("get k\r\nget k\r\n", "END\r\nEND\r\n")
	r.wantAsked("a: get k; a: get k; b: get k; c: get k; c: get k")
}

func TestFailoverIsLimited(t *testing.T) {
	p := route.FailoverPolicy{Ratio: 0.1, Burst: 2}
	r := rigged(t, 1, route.Route{Kind: route.KindFailover, Children: toAll("a", "b"), Failover: p}, "a", "b")
	r.stubs["a"].failing(upstream.Timeout)
	r.ask(0, strings.Repeat("get k\r\n", 100))
	if got := len(r.stubs["b"].takeAsked()); got < 10 || got > 13 {
		t.Errorf("%d of 100 requests failed over; want 2 and a tenth", got)
	}
	r.stubs["a"].failing(upstream.Down) // which is known without having asked
	r.ask(0, strings.Repeat("get k\r\n", 100))
	if got := len(r.stubs["b"].takeAsked()); got != 100 {
		t.Errorf("%d of 100 requests failed over; want all", got)
	}
}

func TestMissFailover(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindMissFailover, Children: toAll("a", "b", "c")}, "a", "b", "c")
	r.stubs["c"].do(t, set("k", "v"))
	r.want("get k\r\n", value("k", "v"))
	r.want("mg k v q\r\nmn\r\n", "VA 1\r\nv\r\nMN\r\n")
	r.want("delete k\r\n", "DELETED\r\n")
	r.want("delete k\r\n", "NOT_FOUND\r\n")
	r.wantAsked("a: get k; a: mg k v q; a: delete k; a: delete k; b: get k; b: mg k v q; b: delete k; b: delete k; c: " +
		"get k; c: mg k v q; c: delete k; c: delete k")
	r.want("replace k 0 0 1\r\nv\r\n", "NOT_STORED\r\n")
	r.wantAsked("a: replace k 0 0 1 v")
	r.stubs["a"].failing(upstream.ServerError)
	r.want("get k\r\n", "END\r\n")
}
