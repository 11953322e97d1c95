package router

import (
	"testing"

	"holdfast/route"
)

// Where an unknown cluster's keys go, as in mcrouter's RouteHandleMap-inl.h.
func TestUnknownClusters(t *testing.T) {
	const refused = "SERVER_ERROR no route for /"
	for _, test := range []struct {
		unknown                     route.UnknownCluster
		eu, us, broadcast, fallback string // the answers to get /eu/x/k, /us/x/k, /us/*/k, /us/fallback/k
	}{
		{"", refused + "eu/x/\r\n", refused + "us/x/\r\n", refused + "us/*/\r\n", refused + "us/fallback/\r\n"},
		{route.UnknownToFallback, "fallback", refused + "us/x/\r\n", refused + "us/*/\r\n", refused + "us/fallback/\r\n"},
		{route.UnknownToDefault, "fallback", "default", "default", "default"},
	} {
		o := route.Options{
			Route: to("default"), DefaultCluster: "/eu/main/", UnknownCluster: test.unknown,
			Clusters: []route.ClusterRoute{{Prefix: "/eu/fallback/", Route: to("fallback")}},
		}
		for _, name := range []string{"default", "fallback"} {
			o.Pools = append(o.Pools, stubPool(name))
		}
		r := riggedWith(t, 1, o)
		for _, name := range []string{"default", "fallback"} {
			r.stubs[name].do(t, set("k", name))
		}
		for key, want := range map[string]string{"/eu/x/k": test.eu, "/us/x/k": test.us, "/us/*/k": test.broadcast,
			"/us/fallback/k": test.fallback} {
			if len(want) < len(refused) {
				want = value(key, want)
			}
			if got := r.ask(0, "get "+key+"\r\n"); got != want {
				t.Errorf("%q: get %s: got %q; want %q", test.unknown, key, got, want)
			}
		}
	}
}

// A key for several clusters is answered by that of keys without a prefix, if it is among them.
func TestTheDefaultClusterAnswersForSeveral(t *testing.T) {
	r := riggedWith(t, 1, route.Options{
		Pools: []route.Pool{stubPool("default"), stubPool("other")}, Route: to("default"), DefaultCluster: "/eu/main/",
		Clusters: []route.ClusterRoute{{Prefix: "/eu/other/", Route: to("other")}},
	})
	r.stubs["default"].do(t, set("k", "default"))
	r.stubs["other"].do(t, set("k", "other"))
	r.want("get /*/*/k\r\nget /eu/*/k\r\n", value("/*/*/k", "default")+value("/eu/*/k", "default"))
	r.settle()
	r.wantAsked("default: get k; default: get k; other: get k; other: get k")
}

func TestReadsOnly(t *testing.T) {
	r := riggedWith(t, 1, route.Options{Pools: []route.Pool{stubPool("a")}, Route: to("a"), ReadsOnly: true})
	r.stubs["a"].do(t, set("k", "5"))
	r.want("get k\r\n", value("k", "5"))
	r.wantAsked("a: get k")
	r.want(set("k", "v")+"add n 0 0 1\r\nx\r\nappend k 0 0 1\r\nx\r\ndelete k\r\nincr k 1\r\ntouch k 0\r\nms k 1\r\n"+
		"x\r\nmd k\r\nflush_all\r\n",
		"NOT_STORED\r\nNOT_STORED\r\nNOT_STORED\r\nNOT_FOUND\r\nNOT_FOUND\r\nNOT_FOUND\r\nNS\r\nNF\r\n"+
			"SERVER_ERROR Command disabled\r\n")
	r.wantAsked("")
}

func TestFlushAllIsDisabled(t *testing.T) {
	r := riggedWith(t, 1, route.Options{Pools: []route.Pool{stubPool("a")}, Route: to("a"), DisableFlushAll: true})
	r.want(set("k", "v")+"flush_all\r\nflush_all 10\r\nget k\r\n",
		"STORED\r\nSERVER_ERROR Command disabled\r\nSERVER_ERROR Command disabled\r\n"+value("k", "v"))
}

func stubPool(name string) route.Pool {
	return route.Pool{Name: name, Members: []route.Member{{Address: "127.0.0.1:1", Name: name}}}
}
