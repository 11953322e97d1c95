package route_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast/route"
)

func members(addresses ...string) []route.Member {
	var m []route.Member
	for _, address := range addresses {
		m = append(m, route.Member{Address: address})
	}
	return m
}

func toPool(name string) route.Route { return route.Route{Pool: name} }

func to(r route.Route) *route.Route { return &r }

// twoPools are options that are as they should be.
func twoPools() route.Options {
	return route.Options{Pools: []route.Pool{
		{Name: "a", Members: members("h:1", "h:2")},
		{Name: "r", Kind: route.Replicated, Members: members("h:3", "unix:/s", "dns:caches:11211", "srv:_m._tcp.caches",
			"cache")},
	}}
}

func TestSetDefaults(t *testing.T) {
	o := twoPools()
	o.Clusters = []route.ClusterRoute{{Prefix: "/a/b/",
		Route: route.Route{Kind: route.KindLatest, Children: []route.Route{toPool("a")}}}}
	o.SetDefaults()
	if f := o.Check(); len(f) > 0 {
		t.Fatalf("got faults:\n%v", f)
	}
	if want := (route.Route{Kind: route.KindPool, Pool: "a"}); !reflect.DeepEqual(o.Route, want) {
		t.Errorf("got route %+v; want the first pool", o.Route)
	}
	if r := o.Clusters[0].Route; r.Children[0].Kind != route.KindPool || r.Failover.Order != route.InOrder {
		t.Errorf("got cluster's route %+v", r)
	}
	if p := o.Pools[1]; p.Acknowledge != route.AckAll || p.Read != route.ReadRandom || p.Hash.Placement != "" ||
		p.Members[1].Name != "unix:/s" {
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
	a, children := toPool("a"), []route.Route{toPool("a"), toPool("r")}
	for _, route := range []route.Route{
		a,
		{Kind: route.KindPool, Pool: "a", Hash: route.Hash{Placement: "weighted_ch3", Weights: []float64{1, 0.5}}},
		{Kind: route.KindHash, Children: children, Hash: route.Hash{Salt: "s"}},
		{Kind: route.KindPrefixSelector, Prefixes: []route.PrefixRoute{{Prefix: "u:", Route: a}}, Default: &a},
		{Kind: route.KindOperationSelector, Operations: []route.OperationRoute{{Operations: []string{"get", "mg"},
			Route: a}}},
		{Kind: route.KindAllSync, Children: children},
		{Kind: route.KindAllAsync, Children: children},
		{Kind: route.KindAllInitial, Children: children},
		{Kind: route.KindAllMajority, Children: children},
		{Kind: route.KindAllFastest, Children: children, Name: "fast"},
		{Kind: route.KindFailover, Children: children, Exptime: time.Minute,
			Failover: route.FailoverPolicy{Reads: []string{"down"}, MaxTries: 2, Ratio: 0.5, Burst: 10}},
		{Kind: route.KindMissFailover, Children: children, Failover: route.FailoverPolicy{Order: route.InRendezvousOrder}},
		{Kind: route.KindLatest, Children: children, Latest: 2, Hash: route.Hash{Salt: "s"}},
		{Kind: route.KindRandom, Children: children},
		{Kind: route.KindHostID, Children: children},
		{Kind: route.KindShadow, Target: &a, Shadows: []route.Shadow{{Route: a, KeyFraction: []float64{0, 0.1},
			Members: []int{0, 1}}}},
		{Kind: route.KindMigrate, From: &a, To: &a, Start: time.Unix(0, 0)},
		{Kind: route.KindWarmUp, Cold: &a, Warm: &a, Exptime: time.Minute},
		{Kind: route.KindL1L2Cache, Cold: &a, Warm: &a, NegativeTTL: time.Second},
		{Kind: route.KindModifyKey, Target: &a, EnsureKeyPrefix: "p:"},
		{Kind: route.KindModifyExptime, Target: &a, Exptime: -1},
		{Kind: route.KindRateLimit, Target: &a, Rates: route.Rates{Gets: 10}},
		{Kind: route.KindOutstandingLimit, Target: &a, MaxInFlight: 3},
		{Kind: route.KindLogging, Target: &a},
		{Kind: route.KindDevNull}, {Kind: route.KindNull}, {Kind: route.KindError, Response: "no"},
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
		change func(*route.Options)
		want   string
	}{
		{func(o *route.Options) { o.Pools = nil }, "route: neither a route nor a pool"},
		{func(o *route.Options) { o.Pools[1].Members = nil }, `pools[1] "r": no members`},
		{func(o *route.Options) { o.Pools[1].Name = "a" }, `pools[1] "a": pools[0] has the same name`},
		{func(o *route.Options) { o.Pools[0].Name = "" }, `pools[0] "".name: missing`},
		{func(o *route.Options) { o.Pools[0].Members[1].Address = "h:1" },
			`pools[0] "a".members[1] "h:1": members[0] has the same name, "h:1"`},
		{func(o *route.Options) { o.Pools[0].Members[1].Address = "h:0" },
			`pools[0] "a".members[1] "h:0": port "0" is not in [1, 65535]`},
		{func(o *route.Options) { o.Pools[0].Members[1].Address = "dns:h" },
			`pools[0] "a".members[1] "dns:h": "h" is not HOST:PORT`},
		{func(o *route.Options) { o.Pools[0].Members[1].Address = "unix:" },
			`pools[0] "a".members[1] "unix:": the path is missing`},
		{func(o *route.Options) { o.Pools[0].Members[1].Weight = -1 },
			`pools[0] "a".members[1] "h:2".weight: -1 is not in [1, 1000000]`},
		{func(o *route.Options) { o.Pools[0].Members[1].Near = true },
			`pools[0] "a".members[1] "h:2".near: needs read: near`},
		{func(o *route.Options) { o.Pools[0].Kind = "split" }, `pools[0] "a".kind: "split" is none of sharded, replicated`},
		{func(o *route.Options) { o.Pools[0].Acknowledge = route.AckAll }, `pools[0] "a": a sharded pool has no acknowledge`},
		{func(o *route.Options) { o.Pools[1].Hash.Tag = "{}" }, `pools[1] "r": a replicated pool has no hash`},
		{func(o *route.Options) { o.Pools[1].Read = "any" }, `pools[1] "r".read: "any" is none of random, near, first`},
		{func(o *route.Options) { o.Pools[1].Eject = true },
			`pools[1] "r": a replicated pool has no eject: its members all hold the same items`},
		{func(o *route.Options) { o.Pools[0].Timeout = -1 }, `pools[0] "a".timeout: a duration must not be negative`},
		{func(o *route.Options) { o.Pools[0].ProbeMin, o.Pools[0].ProbeMax = 2, 1 },
			`pools[0] "a".probe_max: 1ns is less than probe_min, 2ns`},
		{func(o *route.Options) { o.Pools[0].ChunkBytes = 7 }, `pools[0] "a".chunk_bytes: 7 is not in [1024, 1073741824]`},
		{func(o *route.Options) { o.Pools[0].OnError = "hang" }, `pools[0] "a".on_error: "hang" is none of error, miss`},
		{func(o *route.Options) { o.Pools[0].Failover = "b" }, `pools[0] "a".failover: there is no pool "b"`},
		{func(o *route.Options) { o.Pools[0].FailoverTTL = 1 }, `pools[0] "a".failover_ttl: needs failover`},
		{func(o *route.Options) { o.Pools[0].Failover, o.Pools[1].Failover = "r", "a" },
			`pools[0] "a".failover: forms a cycle: a → r → a`},
		{func(o *route.Options) { o.Pools[0].WarmFrom = "a" }, `pools[0] "a".warm_from: forms a cycle: a → a`},
		{func(o *route.Options) { o.Pools[0].Hash.Tag = "{" }, `pools[0] "a".hash: tag "{" is not two bytes`},
		{func(o *route.Options) { o.Pools[0].Hash.Load = 0.5 },
			`pools[0] "a".hash.load: 0.5 is neither 0, which is no bound, nor in (1, 1000]`},
		{func(o *route.Options) {
			o.Pools[0].Hash = route.Hash{Placement: "weighted_ch3", Weights: []float64{1}}
		}, `pools[0] "a".hash.weights: 1 weights for 2`},
		{func(o *route.Options) { o.Pools[0].Hash.Placement = "dart" },
			`pools[0] "a".hash: unknown placement "dart"; there are ch3,`},
		{func(o *route.Options) { o.Pools[0].Hash = route.Hash{Placement: "ketama", Function: "md6"} },
			`pools[0] "a".hash: unknown function "md6"`},
		{func(o *route.Options) {
			o.Route = route.Route{Kind: route.KindLatest, Children: []route.Route{a}, Hash: route.Hash{Tag: "{}"}}
		}, "route.hash: a route of kind latest has only hash.salt"},
		{func(o *route.Options) { o.Route = toPool("b") }, `route: there is no pool "b"`},
		{func(o *route.Options) { o.Route = route.Route{Name: "x"} }, "route: no kind"},
		{func(o *route.Options) { o.Route = route.Route{Kind: "loop"} }, `route: unknown kind "loop"; known are all_async,`},
		{func(o *route.Options) { o.Route = route.Route{Kind: route.KindRandom} },
			"route.children: missing in a route of kind random"},
		{func(o *route.Options) { o.Route = route.Route{Kind: route.KindNull, Pool: "a"} },
			"route.pool: a route of kind null has no such setting"},
		{func(o *route.Options) { o.Route = route.Route{Pool: "r", Hash: route.Hash{Salt: "s"}} },
			`route.hash: pool "r" is not sharded`},
		{func(o *route.Options) {
			o.Route = route.Route{Kind: route.KindPrefixSelector,
				Prefixes: []route.PrefixRoute{{Prefix: "u", Route: a}, {Prefix: "u", Route: a}}}
		}, `route.prefixes[1] "u": prefixes[0] has the same prefix`},
		{func(o *route.Options) {
			o.Route = route.Route{Kind: route.KindOperationSelector,
				Operations: []route.OperationRoute{{Operations: []string{"got"}, Route: a}}}
		}, `route.operations[0]: "got" is none of get, `},
		{func(o *route.Options) { o.Route = route.Route{Kind: route.KindMigrate, From: &a, To: &a} },
			"route.start: missing in a route of kind migrate"},
		{func(o *route.Options) {
			o.Route = route.Route{Kind: route.KindShadow, Target: &a,
				Shadows: []route.Shadow{{Route: a, KeyFraction: []float64{0.5, 0}}}}
		}, "route.shadows[0].key_fraction: [0.5 0] is not two numbers from 0 to 1, the smaller one first"},
		{func(o *route.Options) {
			o.Route = route.Route{Kind: route.KindShadow, Target: to(route.Route{Kind: route.KindLogging, Target: &a}),
				Shadows: []route.Shadow{{Route: a, Members: []int{0, 1}}}}
		}, "route.shadows[0].members: the target is not a pool"},
		{func(o *route.Options) {
			o.Route = route.Route{Kind: route.KindFailover, Children: []route.Route{a},
				Failover: route.FailoverPolicy{Deletes: []string{"luck"}}}
		}, `route.failover.deletes: "luck" is none of connect, `},
		{func(o *route.Options) {
			o.Route = route.Route{Kind: route.KindFailover, Children: []route.Route{a}, Failover: route.FailoverPolicy{Burst: 1}}
		}, "route.failover.burst: needs ratio or per_second"},
		{func(o *route.Options) {
			o.Route = route.Route{Kind: route.KindRateLimit, Target: &a, Rates: route.Rates{Gets: 1, SetsBurst: 1}}
		}, "route.rates.sets_burst: needs sets"},
		{func(o *route.Options) { o.Route = route.Route{Kind: route.KindModifyKey, Target: &a} },
			"route: nothing to modify: none of ensure_key_prefix, replace_key_prefix, set_cluster"},
		{func(o *route.Options) { o.Clusters = []route.ClusterRoute{{Prefix: "/a/*/", Route: a}} },
			`clusters[0] "/a/*/": the prefix is not /REGION/CLUSTER/`},
		{func(o *route.Options) {
			o.DefaultCluster, o.Clusters = "/a/b/", []route.ClusterRoute{{Prefix: "/a/b/", Route: a}}
		}, `clusters[0] "/a/b/": is default_cluster, whose route is the outer one`},
		{func(o *route.Options) { o.Journal.MaxAge = -1 }, "journal.max_age: -1ns is negative"},
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
		o.Route = route.Route{Kind: route.KindLogging, Target: to(o.Route)}
	}
	o.SetDefaults()
	if f := o.Check(); len(f) != 1 || !strings.HasSuffix(f[0].Text, "nested more than 64 deep") {
		t.Errorf("got %v; want one fault about the depth", f)
	}
}
