package router_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast/router"
)

func members(addresses ...string) []router.Member {
	var m []router.Member
	for _, address := range addresses {
		m = append(m, router.Member{Address: address})
	}
	return m
}

func toPool(name string) router.Route { return router.Route{Pool: name} }

func to(r router.Route) *router.Route { return &r }

// twoPools are options that are as they should be.
func twoPools() router.Options {
	return router.Options{Pools: []router.Pool{
		{Name: "a", Members: members("h:1", "h:2")},
		{Name: "r", Kind: router.Replicated, Members: members("h:3", "unix:/s", "dns:caches:11211", "srv:_m._tcp.caches", "cache")},
	}}
}

func TestSetDefaults(t *testing.T) {
	o := twoPools()
	o.Clusters = []router.ClusterRoute{{Prefix: "/a/b/", Route: router.Route{Kind: router.RouteLatest, Children: []router.Route{toPool("a")}}}}
	o.SetDefaults()
	if f := o.Check(); len(f) > 0 {
		t.Fatalf("got faults:\n%v", f)
	}
	if want := (router.Route{Kind: router.RoutePool, Pool: "a"}); !reflect.DeepEqual(o.Route, want) {
		t.Errorf("got route %+v; want the first pool", o.Route)
	}
	if r := o.Clusters[0].Route; r.Children[0].Kind != router.RoutePool || r.Failover.Order != router.InOrder {
		t.Errorf("got cluster's route %+v", r)
	}
	if p := o.Pools[1]; p.Acknowledge != router.AckAll || p.Read != router.ReadRandom || p.Hash.Placement != "" || p.Members[1].Name != "unix:/s" {
		t.Errorf("got pool %+v", p)
	}
	once := twoPools()
	once.SetDefaults()
	twice := twoPools()
	twice.SetDefaults()
	twice.SetDefaults()
	if !reflect.DeepEqual(once, twice) {
		t.Errorf("got %+v the second time; want %+v", twice, once)
	}
}

func TestEveryKindOfRoutePasses(t *testing.T) {
	a, children := toPool("a"), []router.Route{toPool("a"), toPool("r")}
	for _, route := range []router.Route{
		a,
		{Kind: router.RoutePool, Pool: "a", Hash: router.Hash{Placement: "weighted_ch3", Weights: []float64{1, 0.5}}},
		{Kind: router.RouteHash, Children: children, Hash: router.Hash{Salt: "s"}},
		{Kind: router.RoutePrefixSelector, Prefixes: []router.PrefixRoute{{Prefix: "u:", Route: a}}, Default: &a},
		{Kind: router.RouteOperationSelector, Operations: []router.OperationRoute{{Operations: []string{"get", "mg"}, Route: a}}},
		{Kind: router.RouteAllSync, Children: children},
		{Kind: router.RouteAllAsync, Children: children},
		{Kind: router.RouteAllInitial, Children: children},
		{Kind: router.RouteAllMajority, Children: children},
		{Kind: router.RouteAllFastest, Children: children, Name: "fast"},
		{Kind: router.RouteFailover, Children: children, Exptime: time.Minute, Failover: router.FailoverPolicy{Reads: []string{"down"}, MaxTries: 2, Ratio: 0.5, Burst: 10}},
		{Kind: router.RouteMissFailover, Children: children, Failover: router.FailoverPolicy{Order: router.InRendezvousOrder}},
		{Kind: router.RouteLatest, Children: children, Latest: 2, Hash: router.Hash{Salt: "s"}},
		{Kind: router.RouteRandom, Children: children},
		{Kind: router.RouteHostID, Children: children},
		{Kind: router.RouteShadow, Target: &a, Shadows: []router.Shadow{{Route: a, KeyFraction: []float64{0, 0.1}, Members: []int{0, 1}}}},
		{Kind: router.RouteMigrate, From: &a, To: &a, Start: time.Unix(0, 0)},
		{Kind: router.RouteWarmUp, Cold: &a, Warm: &a, Exptime: time.Minute},
		{Kind: router.RouteL1L2Cache, Cold: &a, Warm: &a, NegativeTTL: time.Second},
		{Kind: router.RouteModifyKey, Target: &a, EnsureKeyPrefix: "p:"},
		{Kind: router.RouteModifyExptime, Target: &a, Exptime: -1},
		{Kind: router.RouteRateLimit, Target: &a, Rates: router.Rates{Gets: 10}},
		{Kind: router.RouteOutstandingLimit, Target: &a, MaxInFlight: 3},
		{Kind: router.RouteLogging, Target: &a},
		{Kind: router.RouteDevNull}, {Kind: router.RouteNull}, {Kind: router.RouteError, Response: "no"},
	} {
		o := twoPools()
		o.Route = route
		o.SetDefaults()
		if f := o.Check(); len(f) > 0 {
			t.Errorf("%s: got %v; want no faults", route.Kind, f)
		}
	}
}

func TestCheckFindsFaults(t *testing.T) {
	a := toPool("a")
	tests := []struct {
		change func(*router.Options)
		want   string
	}{
		{func(o *router.Options) { o.Pools = nil }, "route: there is neither a route nor a pool that it could go to"},
		{func(o *router.Options) { o.Pools[1].Members = nil }, `pools[1] "r": no members`},
		{func(o *router.Options) { o.Pools[1].Name = "a" }, `pools[1] "a": pools[0] has this name already`},
		{func(o *router.Options) { o.Pools[0].Name = "" }, `pools[0] "".name: missing`},
		{func(o *router.Options) { o.Pools[0].Members[1].Address = "h:1" }, `pools[0] "a".members[1] "h:1": members[0] is named "h:1" already`},
		{func(o *router.Options) { o.Pools[0].Members[1].Address = "h:0" }, `pools[0] "a".members[1] "h:0": port "0" is not in [1, 65535]`},
		{func(o *router.Options) { o.Pools[0].Members[1].Address = "dns:h" }, `pools[0] "a".members[1] "dns:h": "h" is not HOST:PORT`},
		{func(o *router.Options) { o.Pools[0].Members[1].Address = "unix:" }, `pools[0] "a".members[1] "unix:": the path is missing`},
		{func(o *router.Options) { o.Pools[0].Members[1].Weight = -1 }, `pools[0] "a".members[1] "h:2".weight: -1 is not in [1, 1000000]`},
		{func(o *router.Options) { o.Pools[0].Members[1].Near = true }, `pools[0] "a".members[1] "h:2": near, but read is not`},
		{func(o *router.Options) { o.Pools[0].Kind = "split" }, `pools[0] "a".kind: "split" is none of sharded, replicated`},
		{func(o *router.Options) { o.Pools[0].Acknowledge = router.AckAll }, `pools[0] "a": a sharded pool has no acknowledge`},
		{func(o *router.Options) { o.Pools[1].Hash.Tag = "{}" }, `pools[1] "r": a replicated pool has no hash`},
		{func(o *router.Options) { o.Pools[1].Read = "any" }, `pools[1] "r".read: "any" is none of random, near, first`},
		{func(o *router.Options) { o.Pools[1].Eject = true }, `pools[1] "r": a replicated pool has no eject: the other members have its items`},
		{func(o *router.Options) { o.Pools[0].Timeout = -1 }, `pools[0] "a".timeout: a duration is not negative`},
		{func(o *router.Options) { o.Pools[0].ProbeMin, o.Pools[0].ProbeMax = 2, 1 }, `pools[0] "a".probe_max: 1ns is less than probe_min, 2ns`},
		{func(o *router.Options) { o.Pools[0].ChunkBytes = 7 }, `pools[0] "a".chunk_bytes: 7 is not in [1024, 1073741824]`},
		{func(o *router.Options) { o.Pools[0].OnError = "hang" }, `pools[0] "a".on_error: "hang" is none of error, miss`},
		{func(o *router.Options) { o.Pools[0].Failover = "b" }, `pools[0] "a".failover: there is no pool "b"`},
		{func(o *router.Options) { o.Pools[0].FailoverTTL = 1 }, `pools[0] "a".failover_ttl: there is no failover`},
		{func(o *router.Options) { o.Pools[0].Failover, o.Pools[1].Failover = "r", "a" }, `pools[0] "a".failover: goes round in a circle: a → r → a`},
		{func(o *router.Options) { o.Pools[0].WarmFrom = "a" }, `pools[0] "a".warm_from: goes round in a circle: a → a`},
		{func(o *router.Options) { o.Pools[0].Hash.Tag = "{" }, `pools[0] "a".hash: tag "{" is not two bytes`},
		{func(o *router.Options) { o.Pools[0].Hash.Load = 0.5 }, `pools[0] "a".hash.load: 0.5 is neither 0, which is no bound, nor in (1, 1000]`},
		{func(o *router.Options) {
			o.Pools[0].Hash = router.Hash{Placement: "weighted_ch3", Weights: []float64{1}}
		}, `pools[0] "a".hash.weights: 1 weights for 2`},
		{func(o *router.Options) { o.Pools[0].Hash.Placement = "dart" }, `pools[0] "a".hash: unknown placement "dart"; there are ch3,`},
		{func(o *router.Options) { o.Pools[0].Hash = router.Hash{Placement: "ketama", Function: "md6"} }, `pools[0] "a".hash: unknown function "md6"`},
		{func(o *router.Options) {
			o.Route = router.Route{Kind: router.RouteLatest, Children: []router.Route{a}, Hash: router.Hash{Tag: "{}"}}
		}, "route.hash: a route of kind latest has no more of it than salt"},
		{func(o *router.Options) { o.Route = toPool("b") }, `route: there is no pool "b"`},
		{func(o *router.Options) { o.Route = router.Route{Name: "x"} }, "route: no kind"},
		{func(o *router.Options) { o.Route = router.Route{Kind: "loop"} }, `route: unknown kind "loop"; known are all_async,`},
		{func(o *router.Options) { o.Route = router.Route{Kind: router.RouteRandom} }, "route.children: missing in a route of kind random"},
		{func(o *router.Options) { o.Route = router.Route{Kind: router.RouteNull, Pool: "a"} }, "route.pool: a route of kind null has none"},
		{func(o *router.Options) { o.Route = router.Route{Pool: "r", Hash: router.Hash{Salt: "s"}} }, `route.hash: pool "r" is not sharded`},
		{func(o *router.Options) {
			o.Route = router.Route{Kind: router.RoutePrefixSelector, Prefixes: []router.PrefixRoute{{Prefix: "u", Route: a}, {Prefix: "u", Route: a}}}
		}, `route.prefixes[1] "u": has its route in prefixes[0] already`},
		{func(o *router.Options) {
			o.Route = router.Route{Kind: router.RouteOperationSelector, Operations: []router.OperationRoute{{Operations: []string{"got"}, Route: a}}}
		}, `route.operations[0]: "got" is none of get, `},
		{func(o *router.Options) { o.Route = router.Route{Kind: router.RouteMigrate, From: &a, To: &a} }, "route.start: missing in a route of kind migrate"},
		{func(o *router.Options) {
			o.Route = router.Route{Kind: router.RouteShadow, Target: &a, Shadows: []router.Shadow{{Route: a, KeyFraction: []float64{0.5, 0}}}}
		}, "route.shadows[0].key_fraction: [0.5 0] is not two numbers from 0 to 1, the smaller one first"},
		{func(o *router.Options) {
			o.Route = router.Route{Kind: router.RouteShadow, Target: to(router.Route{Kind: router.RouteLogging, Target: &a}), Shadows: []router.Shadow{{Route: a, Members: []int{0, 1}}}}
		}, "route.shadows[0].members: the target is not a pool"},
		{func(o *router.Options) {
			o.Route = router.Route{Kind: router.RouteFailover, Children: []router.Route{a}, Failover: router.FailoverPolicy{Deletes: []string{"luck"}}}
		}, `route.failover.deletes: "luck" is none of connect, `},
		{func(o *router.Options) {
			o.Route = router.Route{Kind: router.RouteFailover, Children: []router.Route{a}, Failover: router.FailoverPolicy{Burst: 1}}
		}, "route.failover.burst: neither ratio nor per_second"},
		{func(o *router.Options) {
			o.Route = router.Route{Kind: router.RouteRateLimit, Target: &a, Rates: router.Rates{Gets: 1, SetsBurst: 1}}
		}, "route.rates.sets_burst: there is no sets"},
		{func(o *router.Options) { o.Route = router.Route{Kind: router.RouteModifyKey, Target: &a} }, "route: nothing to modify: none of ensure_key_prefix, replace_key_prefix, set_cluster"},
		{func(o *router.Options) { o.Clusters = []router.ClusterRoute{{Prefix: "/a/*/", Route: a}} }, `clusters[0] "/a/*/": the prefix is not /REGION/CLUSTER/`},
		{func(o *router.Options) {
			o.DefaultCluster, o.Clusters = "/a/b/", []router.ClusterRoute{{Prefix: "/a/b/", Route: a}}
		}, `clusters[0] "/a/b/": is default_cluster, whose route is that of the top`},
		{func(o *router.Options) { o.Journal.MaxAge = -1 }, "journal.max_age: -1ns is negative"},
	}
	for _, test := range tests {
		o := twoPools()
		test.change(&o)
		o.SetDefaults()
		faults := o.Check()
		if len(faults) == 0 || !strings.HasPrefix(faults[0].String(), test.want) {
			t.Errorf("got %v; want %s", faults, test.want)
		}
	}
}

func TestRoutesMayNotBeTooDeep(t *testing.T) {
	o := twoPools()
	for range 100 {
		o.Route = router.Route{Kind: router.RouteLogging, Target: to(o.Route)}
	}
	o.SetDefaults()
	if f := o.Check(); len(f) != 1 || !strings.HasSuffix(f[0].Text, "nested more than 64 deep") {
		t.Errorf("got %v; want one fault about the depth", f)
	}
}
