package router

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/mc"
	"holdfast/route"
	"holdfast/upstream"
)

func TestModifyKey(t *testing.T) {
	r := rigged(t, 1, route.Route{Kind: route.KindModifyKey, EnsureKeyPrefix: "new:", ReplaceKeyPrefix: "old:",
		Target: ptr(to("a"))}, "a")
	r.want(set("k", "v"), "STORED\r\n")
	r.want("get old:k new:k k\r\n", "VALUE old:k 0 1\r\nv\r\nVALUE new:k 0 1\r\nv\r\nVALUE k 0 1\r\nv\r\nEND\r\n")
	r.wantAsked("a: set new:k 0 0 1 v; a: get new:k; a: get new:k; a: get new:k")
	r.want("mg k v k\r\nmg old:k k O7 s\r\nmg none k\r\nmd k k\r\n",
		"VA 1 kk\r\nv\r\nHD kold:k O7 s1\r\nEN knone\r\nHD kk\r\n")
	r.want("mg bmV3OmI= b k v\r\nms Yg== 1 b k\r\nx\r\nmg Yg== b k v\r\n",
		"EN kbmV3OmI= b\r\nHD kYg== b\r\nVA 1 kYg== b\r\nx\r\n")
	long := strings.Repeat("k", 247)
	r.want("get "+long+"\r\n", "CLIENT_ERROR the key is too long with the prefix new:\r\n")
	r.want("me k\r\n", "EN\r\n")
	r.ask(0, set("k", "v"))
	if got := r.ask(0, "me k\r\n"); !strings.HasPrefix(got, "ME k ") {
		t.Errorf("got %q; want the client's key", got)
	}
	r.stubs["a"].failing(upstream.Timeout)
	r.want("mg k k v\r\n", failure("a"))
}

func TestModifyKeyToAnotherCluster(t *testing.T) {
	o := route.Options{
		Pools: []route.Pool{{Name: "a", Members: []route.Member{{Address: "127.0.0.1:1", Name: "a"}}},
			{Name: "b", Members: []route.Member{{Address: "127.0.0.1:2", Name: "b"}}}},
		Route: route.Route{Kind: route.KindModifyKey, SetCluster: "/r/b/", EnsureKeyPrefix: "x",
			Target: ptr(to("a"))},
		Clusters:       []route.ClusterRoute{{Prefix: "/r/b/", Route: to("b")}},
		DefaultCluster: "/r/a/",
	}
	r := riggedWith(t, 1, o)
	r.want("get k /r/a/k /r/b/k\r\n", "END\r\n")
	r.wantAsked("b: get xk; b: get xk; b: get k")
}

func TestClustersInACircleAreRefused(t *testing.T) {
	back := func(prefix string) route.Route {
		return route.Route{Kind: route.KindModifyKey, SetCluster: prefix, Target: &route.Route{Kind: route.KindNull}}
	}
	o := route.Options{Route: back("/r/b/"), DefaultCluster: "/r/a/",
		Clusters: []route.ClusterRoute{{Prefix: "/r/b/", Route: back("/r/c/")}, {Prefix: "/r/c/", Route: back("/r/a/")}}}
	_, err := New(o, Parts{Log: quiet})
	want := "set_cluster forms a cycle: route → /r/b/ → /r/c/ → route"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v; want %s", err, want)
	}
}

func TestKeyPrefixThatIsNoPartOfAKeyIsRefused(t *testing.T) {
	for _, prefix := range []string{"a b", "a\r\n", strings.Repeat("k", mc.MaxKeyBytes)} {
		o := route.Options{Route: route.Route{Kind: route.KindModifyKey, EnsureKeyPrefix: prefix,
			Target: &route.Route{Kind: route.KindNull}}}
		if _, err := New(o, Parts{Log: quiet}); err == nil {
			t.Errorf("%q was taken", prefix)
		}
	}
}

func TestModifyExptime(t *testing.T) {
	set := rigged(t, 1, route.Route{Kind: route.KindModifyExptime, Exptime: 1500 * time.Millisecond,
		Target: ptr(to("a"))}, "a")
	set.ask(0, "set k 0 9 0\r\n\r\ntouch k 0\r\ngat 1 k\r\nms k 0 T0 F1\r\n\r\nms k 0\r\n\r\nget k\r\nmg k v\r\n"+
		"mg k T9\r\ndelete k\r\n")
	set.wantAsked("a: set k 0 2 0; a: touch k 2; a: gat 2 k; a: ms k 0 F1 T2; a: ms k 0 T2; a: get k; a: mg k v; a: " +
		"mg k T2; a: delete k")
	gone := rigged(t, 1, route.Route{Kind: route.KindModifyExptime, Exptime: -time.Second, Target: ptr(to("a"))}, "a")
	gone.want("set k 0 0 1\r\nv\r\nget k\r\n", "STORED\r\nEND\r\n")
	least := rigged(t, 1, route.Route{Kind: route.KindModifyExptime, ExptimeAction: route.ExptimeMin,
		Exptime: 10 * time.Second, Target: ptr(to("a"))}, "a")
	least.ask(0, "set k 0 9 0\r\n\r\nset k 0 11 0\r\n\r\nset k 0 0 0\r\n\r\nset k 0 -1 0\r\n\r\n"+
		"set k 0 4000000000 0\r\n\r\nset k 0 2600000 0\r\n\r\n")
	least.wantAsked("a: set k 0 9 0; a: set k 0 10 0; a: set k 0 10 0; a: set k 0 -1 0; a: set k 0 -294967296 0; a: " +
		"set k 0 2600000 0")
}

func TestExptimesGoByTheClockOfTheRouter(t *testing.T) {
	o := route.Options{
		Pools: []route.Pool{{Name: "a", Members: []route.Member{{Address: "127.0.0.1:1", Name: "a"}}}},
		Route: route.Route{Kind: route.KindModifyExptime, Exptime: 60 * 24 * time.Hour, Target: ptr(to("a"))},
	}
	now := time.Unix(2_000_000_000, 0)
	r := riggedOn(t, runWith(t, o, 1, Parts{Clock: fixedClock{at: now}}))
	r.want("set k 0 5 1\r\nv\r\n", "STORED\r\n")
	r.wantAsked(fmt.Sprintf("a: set k 0 %d 1 v", 2_000_000_000+60*24*60*60))
}

// A fixedClock stands still, but for its timers.
type fixedClock struct {
	upstream.SystemClock
	at time.Time
}

func (c fixedClock) Now() time.Time { return c.at }
