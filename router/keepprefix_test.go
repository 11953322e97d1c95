package router

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/mc"
	"holdfast/route"
)

func TestMembersGetKeysWithTheirPrefix(t *testing.T) {
	kept, plain := stubPool("kept"), stubPool("plain")
	kept.KeepRoutingPrefix = true
	r := riggedWith(t, 1, route.Options{
		Pools: []route.Pool{kept, plain}, Route: to("kept"), DefaultCluster: "/eu/main/",
		Clusters: []route.ClusterRoute{
			{Prefix: "/eu/plain/", Route: to("plain")},
			{Prefix: "/us/all/", Route: route.Route{Kind: route.KindAllSync, Children: toAll("kept", "plain")}},
			{Prefix: "/us/mod/", Route: route.Route{Kind: route.KindModifyKey, EnsureKeyPrefix: "x:", Target: ptr(to("kept"))}},
		},
	})
	r.want(set("k", "v")+set("/eu/main/k", "w")+"get /eu/main/k k\r\n",
		"STORED\r\nSTORED\r\nVALUE /eu/main/k 0 1\r\nw\r\nVALUE k 0 1\r\nv\r\nEND\r\n")
	r.wantAsked("kept: set k 0 0 1 v; kept: set /eu/main/k 0 0 1 w; kept: get /eu/main/k; kept: get k")
	r.want("delete /eu/plain/k\r\nmg /us/all/k k v\r\nincr /us/mod/k 1\r\n", "NOT_FOUND\r\nEN k/us/all/k\r\nNOT_FOUND\r\n")
	r.wantAsked("kept: mg /us/all/k k v; kept: incr /us/mod/x:k 1; plain: delete k; plain: mg k k v")
	r.want("get /*/*/k\r\n", "END\r\n")
	r.settle()
	if got := strings.Join(r.stubs["kept"].takeAsked(), "; "); !strings.HasPrefix(got, "get /*/*/k") {
		t.Errorf("got %q; want the prefix as the client said it", got)
	}
	long := strings.Repeat("k", mc.MaxKeyBytes-len("/us/mod/")) // with x: it is too long
	r.want("get /us/mod/"+long+"\r\n", "CLIENT_ERROR the key is too long with its /region/cluster/\r\n")
}

// The prefix doesn't place a key.
func TestKeysAreKeptWhereTheyAreWithoutAPrefix(t *testing.T) {
	pool := route.Pool{Name: "p", KeepRoutingPrefix: true,
		Members: []route.Member{{Address: "127.0.0.1:1", Name: "x"}, {Address: "127.0.0.1:2", Name: "y"}}}
	r := riggedWith(t, 1, route.Options{Pools: []route.Pool{pool}, DefaultCluster: "/a/b/"})
	for i := range 100 {
		r.ask(0, fmt.Sprintf("get k%d\r\nget /a/b/k%d\r\n", i, i))
		for name, s := range r.stubs {
			if got := s.takeAsked(); len(got) == 1 {
				t.Fatalf("%s got %v; want both keys or neither", name, got)
			}
		}
	}
}
