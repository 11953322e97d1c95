package mcrouter_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/config/mcrouter"
	"holdfast/route"
)

// A grower makes random files, and the trees of routes that they are by mcrouter's documentation.
type grower struct {
	*rand.Rand
	named map[string][]route.Route // handles with names, and the routes that each stands for
	names []string                 // in the order of their definitions
}

// anyErrors are the errors after which mcrouter fails over by default.
var anyErrors = []string{"connect", "connect_timeout", "timeout", "down", "busy", "server_error"}

var anyFailover = route.FailoverPolicy{Reads: anyErrors, Updates: anyErrors, Deletes: anyErrors}

// plainParents are handles whose only option is their children.
var plainParents = []struct {
	handle string
	kind   route.Kind
}{{"AllSyncRoute", route.KindAllSync}, {"AllAsyncRoute", route.KindAllAsync}, {"AllInitialRoute", route.KindAllInitial},
	{"AllMajorityRoute", route.KindAllMajority}, {"AllFastestRoute", route.KindAllFastest},
	{"RandomRoute", route.KindRandom}}

// route returns a route in a form that a file may have for it.
func (g *grower) route(depth int) (text string, want route.Route) {
	if depth <= 0 {
		return g.leaf()
	}
	switch g.IntN(5) {
	case 0:
		return g.leaf()
	case 1:
		return g.selector(depth)
	case 2:
		return g.wrapper(depth)
	}
	return g.parent(depth)
}

func (g *grower) leaf() (string, route.Route) {
	switch g.IntN(7) {
	case 0:
		return `"NullRoute"`, route.Route{Kind: route.KindNull}
	case 1:
		return `{"type": "DevNullRoute"}`, route.Route{Kind: route.KindDevNull}
	case 2:
		return `"ErrorRoute|no: |"`, route.Route{Kind: route.KindError, Response: "no: |"}
	case 3:
		return `{"type": "PoolRoute", "pool": "B"}`, route.Route{Kind: route.KindPool, Pool: "B"}
	case 4:
		if single := g.singles(); len(single) > 0 {
			name := single[g.IntN(len(single))]
			return `"` + name + `"`, g.named[name][0]
		}
	}
	return `"PoolRoute|A"`, route.Route{Kind: route.KindPool, Pool: "A"}
}

// singles returns the names that stand for one route.
func (g *grower) singles() []string {
	return slices.DeleteFunc(slices.Clone(g.names), func(name string) bool { return len(g.named[name]) != 1 })
}

// children returns several routes: a list of routes and lists, one of which may be empty, the
// servers of a pool, or a name.
func (g *grower) children(depth int) (text string, want []route.Route) {
	switch g.IntN(6) {
	case 0:
		if g.IntN(2) == 0 {
			return `"Pool|A"`, []route.Route{{Kind: route.KindPool, Pool: "A#0"}}
		}
		return `"Pool|B"`, []route.Route{{Kind: route.KindPool, Pool: "B#0"}, {Kind: route.KindPool, Pool: "B#1"}}
	case 1:
		if len(g.names) > 0 {
			name := g.names[g.IntN(len(g.names))]
			return `"` + name + `"`, g.named[name]
		}
	case 2:
		text, one := g.route(depth - 1)
		return text, []route.Route{one}
	}
	var elements []string
	for range g.IntN(4) {
		switch g.IntN(5) {
		case 0:
			elements = append(elements, `""`)
		case 1:
			inner, routes := g.children(depth - 1)
			elements, want = append(elements, "["+inner+", []]"), append(want, routes...)
		default:
			inner, one := g.route(depth - 1)
			elements, want = append(elements, inner), append(want, one)
		}
	}
	return "[" + strings.Join(elements, ", ") + "]", want
}

// orNull is what mcrouter has for a parent without children.
func orNull(r route.Route) route.Route {
	if len(r.Children) == 0 {
		return route.Route{Kind: route.KindNull}
	}
	return r
}

func (g *grower) parent(depth int) (string, route.Route) {
	children, want := g.children(depth)
	mapping := func(handle, more string) string {
		return `{"children": ` + children + `, "type": "` + handle + `"` + more + "}"
	}
	switch g.IntN(6) {
	case 0:
		return mapping("HostIdRoute", `, "salt": "x"`), orNull(route.Route{Kind: route.KindHostID, Children: want,
			Hash: route.Hash{Salt: "x"}})
	case 1:
		policy := anyFailover
		policy.Ratio, policy.Burst = 0.25, 1000
		policy.Reads, policy.Deletes = []string{"down"}, []string{}
		return mapping("FailoverRoute", `, "failover_limit": {"rate": 0.25}, "failover_exptime": 9,
				"failover_errors": {"gets": ["tko", "tko"], "deletes": []}`),
			orNull(route.Route{Kind: route.KindFailover, Children: want, Failover: policy, Exptime: 9 * time.Second})
	case 2:
		return mapping("MissFailoverRoute", ""), orNull(route.Route{Kind: route.KindMissFailover, Children: want,
			Failover: anyFailover})
	case 3:
		tries := 1 + g.IntN(6)
		return mapping("LatestRoute", fmt.Sprintf(`, "failover_count": %d`, tries)),
			orNull(route.Route{Kind: route.KindLatest, Children: want, Failover: anyFailover, Latest: min(tries, len(want))})
	case 4:
		if len(want) == 0 {
			return mapping("HashRoute", ""), route.Route{Kind: route.KindError, Response: "a hash route has no children"}
		}
		return mapping("HashRoute", `, "hash_func": "Crc32", "salt": "é"`), route.Route{Kind: route.KindHash,
			Children: want, Hash: route.Hash{Placement: "crc32", Salt: "é"}}
	}
	p := plainParents[g.IntN(len(plainParents))]
	made := orNull(route.Route{Kind: p.kind, Children: want})
	if name := strings.Trim(children, `"`); g.IntN(2) == 0 && len(name) == len(children)-2 && name != "" {
		return `"` + p.handle + "|" + name + `"`, made // the short form, for children that are a text
	}
	return mapping(p.handle, ""), made
}

func (g *grower) selector(depth int) (string, route.Route) {
	byDefault, wantDefault := g.route(depth - 1)
	one, wantOne := g.route(depth - 1)
	two, wantTwo := g.route(depth - 1)
	switch g.IntN(4) {
	case 0:
		return `{"type": "PrefixSelectorRoute", "wildcard": ` + byDefault + "}", wantDefault
	case 1:
		return `{"type": "PrefixSelectorRoute", "policies": {"a": ` + one + `, "a:b": ` + two + "}}",
			route.Route{Kind: route.KindPrefixSelector, Prefixes: []route.PrefixRoute{
				{Prefix: "a", Route: wantOne}, {Prefix: "a:b", Route: wantTwo}}}
	case 2: // get includes gets, gat and gats here, which mcrouter sends to the default
		return `{"type": "OperationSelectorRoute", "operation_policies": {"gat": ` + one + `, "get": ` + two +
				`}, "default_policy": ` + byDefault + "}",
			route.Route{Kind: route.KindOperationSelector, Default: &wantDefault, Operations: []route.OperationRoute{
				{Operations: []string{"gat"}, Route: wantOne}, {Operations: []string{"get"}, Route: wantTwo},
				{Operations: []string{"gets", "gats"}, Route: wantDefault}}}
	}
	return `{"type": "OperationSelectorRoute", "operation_policies": {"delete": ` + one + `, "touch": ` + two + "}}",
		route.Route{Kind: route.KindOperationSelector, Operations: []route.OperationRoute{
			{Operations: []string{"delete"}, Route: wantOne}, {Operations: []string{"touch"}, Route: wantTwo}}}
}

// wrapper returns a route that changes, limits, copies or moves the requests of others.
func (g *grower) wrapper(depth int) (string, route.Route) {
	one, wantOne := g.route(depth - 1)
	two, wantTwo := g.route(depth - 1)
	switch g.IntN(10) {
	case 0:
		return `{"type": "LoggingRoute", "target": ` + one + "}", route.Route{Kind: route.KindLogging, Target: &wantOne}
	case 1:
		return `{"type": "ModifyKeyRoute", "target": ` + one + `, "ensure_key_prefix": "p:"}`,
			route.Route{Kind: route.KindModifyKey, Target: &wantOne, EnsureKeyPrefix: "p:"}
	case 2:
		if g.IntN(2) == 0 {
			return `{"type": "ModifyExptimeRoute", "target": ` + one + `, "exptime": 0, "action": "min"}`, wantOne
		}
		return `{"type": "ModifyExptimeRoute", "target": ` + one + `, "exptime": 60}`, route.Route{
			Kind: route.KindModifyExptime, Target: &wantOne, Exptime: time.Minute, ExptimeAction: route.ExptimeSet}
	case 3:
		return `{"type": "RateLimitRoute", "target": ` + one + `, "rates": {"sets_rate": 2.5}}`,
			route.Route{Kind: route.KindRateLimit, Target: &wantOne, Rates: route.Rates{Sets: 2.5, SetsBurst: 2.5}}
	case 4:
		return `{"type": "OutstandingLimitRoute", "target": ` + one + `, "max_outstanding": 3}`,
			route.Route{Kind: route.KindOutstandingLimit, Target: &wantOne, MaxInFlight: 3}
	case 5:
		return `{"type": "ShadowRoute", "children": [` + one + `], "shadows": [{"target": ` + two +
				`, "key_fraction_range": [0.5, 1]}]}`,
			route.Route{Kind: route.KindShadow, Target: &wantOne, Shadows: []route.Shadow{
				{Route: wantTwo, KeyFraction: []float64{0.5, 1}, MaxInFlight: 1000}}}
	case 6:
		return `{"type": "MigrateRoute", "to": ` + two + `, "from": ` + one + `, "start_time": 100}`, route.Route{
			Kind: route.KindMigrate, From: &wantOne, To: &wantTwo, Start: time.Unix(100, 0).UTC(), Interval: time.Hour}
	case 7:
		return `{"type": "WarmUpRoute", "warm": ` + two + `, "cold": ` + one + `, "exptime": 5}`,
			route.Route{Kind: route.KindWarmUp, Cold: &wantOne, Warm: &wantTwo, Exptime: 5 * time.Second}
	case 8:
		return `{"type": "L1L2CacheRoute", "l2": ` + two + `, "l1": ` + one + `, "upgradingL1Exptime": 5, ` +
				`"ncacheExptime": 1}`,
			route.Route{Kind: route.KindL1L2Cache, Cold: &wantOne, Warm: &wantTwo, Exptime: 5 * time.Second,
				NegativeTTL: time.Second}
	}
	children, want := g.children(depth)
	return `{"type": "FailoverWithExptimeRoute", "failover": ` + children + `, "normal": ` + one + "}",
		route.Route{Kind: route.KindFailover, Children: append([]route.Route{wantOne}, want...), Failover: anyFailover,
			Exptime: time.Minute}
}

// define defines a handle with a name, of one route or of several.
func (g *grower) define() string {
	name := fmt.Sprintf("h%d", len(g.names))
	text, routes := "", []route.Route(nil)
	if g.IntN(3) == 0 {
		text, routes = g.children(2)
	} else {
		one, want := g.route(2)
		text, routes = one, []route.Route{want}
	}
	if len(routes) == 1 && routes[0].Name == "" { // the first name is the one that stats and hashes show
		routes = slices.Clone(routes)
		routes[0].Name = name
	}
	g.named[name], g.names = routes, append(g.names, name)
	return `"` + name + `": ` + text
}

// TestTreesAgainstTheDocumentation parses files of random combinations of handles, in their long
// and short forms, with names, and compares the whole tree.
func TestTreesAgainstTheDocumentation(t *testing.T) {
	for seed := range uint64(4000) {
		g := &grower{Rand: rand.New(rand.NewPCG(seed, 3)), named: map[string][]route.Route{}}
		var named []string
		for range g.IntN(4) {
			named = append(named, g.define())
		}
		top, want := g.route(4)
		text := `{"pools": {"A": {"servers": ["a:1"]}, "B": {"servers": ["b:1", "b:2"]}},
			"named_handles": {` + strings.Join(named, ", ") + `}, "route": ` + top + "}"
		o, err := mcrouter.Parse([]byte(text), mcrouter.ParseOptions{})
		if err != nil {
			t.Fatalf("seed %d: %s: %v", seed, text, err)
		}
		if !reflect.DeepEqual(o.Route, want) {
			t.Fatalf("seed %d: %s:\ngot  %s\nwant %s", seed, text, show(reflect.ValueOf(o.Route)), show(reflect.ValueOf(want)))
		}
	}
}
