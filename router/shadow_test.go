package router

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/mc"
	"holdfast/route"
	"holdfast/upstream"
)

func TestShadowCopiesAShare(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindShadow, Target: ptr(to("a")), Shadows: []route.Shadow{
		{Route: to("b"), KeyFraction: []float64{0, 0.3}}, {Route: to("c")},
	}}, "a", "b", "c")
	r.stubs["b"].failing(upstream.Timeout)
	r.stubs["c"].set(func(s *stub) { s.late = true })
	for i := range 400 {
		key := fmt.Sprintf("k%d", i)
		r.want(set(key, "v")+"get "+key+"\r\n", "STORED\r\n"+value(key, "v"))
	}
	r.settle()
	b, c := len(r.stubs["b"].takeAsked()), len(r.stubs["c"].takeAsked())
	if c != 800 || b < 180 || b > 300 {
		t.Errorf("the shadows got %d and %d of 800 requests; want about 240 and 800", b, c)
	}
	for i := range 400 {
		key := fmt.Sprintf("k%d", i)
		if got := r.stubs["c"].do(t, "get "+key+"\r\n"); got != value(key, "v") {
			t.Fatalf("the shadow has %q", got)
		}
	}
}

func TestShadowIsBounded(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindShadow, Target: ptr(to("a")),
		Shadows: []route.Shadow{{Route: to("b")}}}, "a", "b")
	r.stubs["b"].holding(mc.Get)
	s := r.tree.Load().root.(*shadow).copies[0]
	s.open.Store(route.DefaultMaxShadowed - 1)
	r.want("get k\r\nget k\r\n", "END\r\nEND\r\n")
	if got := len(r.stubs["b"].takeAsked()); got != 1 {
		t.Errorf("the shadow got %d; want 1", got)
	}
	r.stubs["b"].free()
	r.settle()
	if got := s.open.Load(); got != route.DefaultMaxShadowed-1 {
		t.Errorf("%d are open; want %d", got, route.DefaultMaxShadowed-1)
	}
}

// The keys that mcrouter copies with key_fraction_range [0, 0.1], by its own test of August 2026.
func TestShadowCopiesMcroutersKeys(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindShadow, Target: ptr(to("a")),
		Shadows: []route.Shadow{{Route: to("b"), KeyFraction: []float64{0, 0.1}}}}, "a", "b")
	var asked []string
	for i := range 100 {
		asked = append(asked, fmt.Sprintf("get f%d|#|x%d", i, i))
	}
	r.ask(0, strings.Join(asked, "\r\n")+"\r\n")
	var want []string
	for _, i := range []int{5, 7, 13, 33, 43, 46, 58, 71, 83, 85, 89, 91, 93} {
		want = append(want, asked[i])
	}
	r.settle()
	if got := r.stubs["b"].takeAsked(); !slices.Equal(got, want) {
		t.Errorf("the shadow got %q; want %q", got, want)
	}
}

func TestShadowOfKeysAndOfChance(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindShadow, Target: ptr(to("a")), Shadows: []route.Shadow{
		{Route: to("b"), Keys: []string{"k3", "k5"}}, {Route: to("c"), Requests: 0.25},
	}}, "a", "b", "c")
	for i := range 400 {
		r.ask(0, fmt.Sprintf("get k%d\r\n", i))
	}
	r.settle()
	if got := fmt.Sprint(r.stubs["b"].takeAsked()); got != "[get k3 get k5]" {
		t.Errorf("the shadow of two keys got %s", got)
	}
	if n := len(r.stubs["c"].takeAsked()); n < 50 || n > 160 {
		t.Errorf("the shadow of a quarter of the requests got %d of 400", n)
	}
}

func TestShadowOfSomeMembers(t *testing.T) {
	pool := route.Pool{Name: "p", Members: []route.Member{{Address: "127.0.0.1:1", Name: "x"},
		{Address: "127.0.0.1:2", Name: "y"}}}
	o := route.Options{Pools: []route.Pool{pool,
		{Name: "s", Members: []route.Member{{Address: "127.0.0.1:3", Name: "s"}}}}}
	o.Route = route.Route{Kind: route.KindShadow, Target: ptr(to("p")),
		Shadows: []route.Shadow{{Route: to("s"), Members: []int{1, 1}}}}
	r := riggedWith(t, 1, o)
	for i := range 100 {
		r.ask(0, fmt.Sprintf("get k%d\r\n", i))
	}
	y, s := r.stubs["y"].takeAsked(), r.stubs["s"].takeAsked()
	if fmt.Sprint(y) != fmt.Sprint(s) || len(s) == 0 || len(s) == 100 {
		t.Errorf("the shadow got %v; want %v", s, y)
	}
}

func TestMigrate(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindMigrate, From: ptr(to("a")), To: ptr(to("b")),
		Start: time.Unix(1000, 0), Interval: 100 * time.Second}, "a", "b")
	m := r.tree.Load().root.(*migrate)
	moved := func() (gets int) {
		for i := range 200 {
			r.ask(0, fmt.Sprintf("get k%d\r\n", i))
		}
		r.stubs["a"].takeAsked()
		return len(r.stubs["b"].takeAsked())
	}
	for _, test := range []struct {
		at      int64
		deletes string
		lo, hi  int // gets of 200 that go to b
	}{
		{999, "a: delete k", 0, 0},
		{1000, "a: delete k; b: delete k", 0, 0},
		{1099, "a: delete k; b: delete k", 0, 0},
		{1125, "a: delete k; b: delete k", 30, 70},
		{1199, "a: delete k; b: delete k", 190, 200},
		{1200, "b: delete k", 200, 200},
	} {
		m.now = func() time.Time { return time.Unix(test.at, 0) }
		if got := moved(); got < test.lo || got > test.hi {
			t.Errorf("at %d %d of 200 keys have moved; want %d to %d", test.at, got, test.lo, test.hi)
		}
		r.ask(0, "delete k\r\n")
		r.wantAsked(test.deletes)
	}
	m.now = func() time.Time { return time.Unix(1050, 0) }
	r.stubs["b"].failing(upstream.Timeout)
	r.want("delete k\r\n", failure("b"))
}
