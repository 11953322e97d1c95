package router

import (
	"testing"

	"holdfast/route"
	"holdfast/upstream"
)

func TestAllSyncAnswersWithTheWorst(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindAllSync, Children: toAll("a", "b", "c")}, "a", "b", "c")
	a, b, c := r.stubs["a"], r.stubs["b"], r.stubs["c"]
	r.want(set("k", "v"), "STORED\r\n")
	r.wantAsked("a: set k 0 0 1 v; b: set k 0 0 1 v; c: set k 0 0 1 v")
	b.do(t, "delete k\r\n")
	r.want("delete k\r\n", "NOT_FOUND\r\n")
	a.failing(upstream.Timeout)
	r.want("delete k\r\n", failure("a"))
	c.failing(upstream.ServerError)
	r.want("delete k\r\n", failure("c"))
	r.want("delete k noreply\r\nmn\r\n", "MN\r\n")
}

func TestAllAsyncAnswersAtOnce(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindAllAsync, Children: toAll("a", "b")}, "a", "b")
	r.stubs["a"].set(func(s *stub) { s.late = true })
	r.stubs["b"].failing(upstream.Timeout)
	r.want(set("k", "v")+"get k\r\ndelete k\r\nmd k q\r\nmg k v O1\r\nmn\r\n",
		"NOT_STORED\r\nEND\r\nNOT_FOUND\r\nNF\r\nEN O1\r\nMN\r\n")
	r.settle()
	if got := len(r.stubs["a"].takeAsked()); got != 5 {
		t.Errorf("a was asked %d times; want 5", got)
	}
}

func TestAllInitialAnswersWithTheFirst(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindAllInitial, Children: toAll("a", "b", "c")}, "a", "b", "c")
	r.stubs["b"].failing(upstream.Timeout)
	r.stubs["c"].set(func(s *stub) { s.late = true })
	r.want(set("k", "v"), "STORED\r\n")
	r.wantAsked("a: set k 0 0 1 v; b: set k 0 0 1 v; c: set k 0 0 1 v")
	r.want("get k\r\n", value("k", "v"))
	r.settle()
	if got := r.stubs["c"].do(t, "get k\r\n"); got != value("k", "v") {
		t.Errorf("c has %q", got)
	}
	r.stubs["a"].failing(upstream.Busy)
	r.want("get k\r\n", failure("a"))
}

func TestAllMajority(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindAllMajority, Children: toAll("a", "b", "c")}, "a", "b", "c")
	r.want(set("k", "v"), "STORED\r\n")
	r.stubs["a"].failing(upstream.Timeout)
	r.want("get k\r\n", value("k", "v"))
	r.stubs["b"].do(t, "delete k\r\n") // now a fails, b misses, c hits: the worst of these
	r.want("get k\r\n", failure("a"))
	r.stubs["c"].do(t, "delete k\r\n")
	r.want("get k\r\n", "END\r\n")
}

func TestAllFastestAnswersWithTheFirstThatIsNoError(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindAllFastest, Children: toAll("a", "b", "c")}, "a", "b", "c")
	a, b, c := r.stubs["a"], r.stubs["b"], r.stubs["c"]
	c.do(t, set("k", "v"))
	a.failing(upstream.Timeout)
	c.set(func(s *stub) { s.late = true })
	r.want("get k\r\n", "END\r\n") // b misses, which is no error
	b.failing(upstream.Timeout)
	r.want("get k\r\n", value("k", "v"))
	c.failing(upstream.Busy)
	r.want("get k\r\n", failure("c"))
}
