package route_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"holdfast/route"
)

// visit calls f with each field within v that has a name in the file, and its path there, as
// pools[0].members[1].weight. Nil pointers and empty slices have no fields.
func visit(path string, v reflect.Value, f func(path string, field reflect.Value)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			visit(path, v.Elem(), f)
		}
	case reflect.Slice:
		for i := range v.Len() {
			visit(fmt.Sprintf("%s[%d]", path, i), v.Index(i), f)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			name := v.Type().Field(i).Tag.Get("yaml")
			if name == "" || name == "-" {
				continue
			}
			at := name
			if path != "" {
				at = path + "." + name
			}
			f(at, v.Field(i))
			visit(at, v.Field(i), f)
		}
	}
}

// routesIn returns the routes within r, itself included, as reflection finds them.
func routesIn(v reflect.Value) []*route.Route {
	var all []*route.Route
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			all = routesIn(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			all = append(all, routesIn(v.Index(i))...)
		}
	case reflect.Struct:
		if r, ok := v.Addr().Interface().(*route.Route); ok && !r.IsZero() {
			all = append(all, r)
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				all = append(all, routesIn(v.Field(i))...)
			}
		}
	}
	return all
}

// example is a valid route of a kind that leads to others by all fields that the kind has for that.
func example(kind route.Kind, next func() route.Route) route.Route {
	r := route.Route{Kind: kind}
	one := func() *route.Route { n := next(); return &n }
	switch kind {
	case route.KindPool:
		r.Pool = "a"
	case route.KindPrefixSelector:
		r.Prefixes = []route.PrefixRoute{{Prefix: "u:", Route: next()}, {Prefix: "u:1", Route: next()}}
		r.Default = one()
	case route.KindOperationSelector:
		r.Operations = []route.OperationRoute{
			{Operations: []string{"get"}, Route: next()}, {Operations: []string{"set", "ma"}, Route: next()},
		}
		r.Default = one()
	case route.KindShadow:
		r.Target, r.Shadows = one(), []route.Shadow{{Route: next(), Requests: 0.5, Keys: []string{"k"}}, {Route: next()}}
	case route.KindShardSplit:
		r.Target, r.ShardSplits = one(), []route.ShardSplit{{Shard: "s1", Splits: 3, OldSplits: 2, Interval: time.Hour}}
	case route.KindMigrate:
		r.From, r.To, r.Start = one(), one(), time.Unix(1, 0)
	case route.KindWarmUp, route.KindL1L2Cache:
		r.Cold, r.Warm = one(), one()
	case route.KindModifyKey:
		r.Target, r.EnsureKeyPrefix, r.SetCluster = one(), "p:", "/r/c/"
	case route.KindModifyExptime:
		r.Target, r.Exptime = one(), time.Minute
	case route.KindRateLimit:
		r.Target, r.Rates = one(), route.Rates{Gets: 1, GetsBurst: 2}
	case route.KindOutstandingLimit:
		r.Target, r.MaxInFlight = one(), 5
	case route.KindLogging:
		r.Target = one()
	case route.KindDevNull, route.KindNull, route.KindError:
	case route.KindFailover, route.KindMissFailover, route.KindLatest:
		r.Children = []route.Route{next(), next()}
		r.Failover = route.FailoverPolicy{Reads: []string{"down"}, MaxTries: 2, Ratio: 0.1, Burst: 5}
	default:
		r.Children = []route.Route{next(), next()}
	}
	return r
}

// randomTree returns a valid route with routes up to depth levels below it.
func randomTree(rnd *rand.Rand, depth int) route.Route {
	if depth == 0 {
		leaves := []route.Route{toPool("a"), toPool("r"), {Kind: route.KindNull}, {Kind: route.KindError, Response: "no"}}
		return leaves[rnd.IntN(len(leaves))]
	}
	kinds := route.Kinds()
	return example(kinds[rnd.IntN(len(kinds))], func() route.Route { return randomTree(rnd, rnd.IntN(depth)) })
}

// randomOptions are valid, with a random tree at each place for a route.
func randomOptions(rnd *rand.Rand) route.Options {
	o := twoPools()
	o.Route = randomTree(rnd, 3)
	for i := range rnd.IntN(3) {
		o.Clusters = append(o.Clusters, route.ClusterRoute{Prefix: fmt.Sprintf("/r/c%d/", i), Route: randomTree(rnd, 2)})
	}
	for range rnd.IntN(3) {
		o.Entries = append(o.Entries, []route.Route{{}, randomTree(rnd, 2)}[rnd.IntN(2)])
	}
	return o
}

// TestNestedFindsAllRoutes compares Nested with the routes that reflection finds, in random trees:
// a field that Nested leaves out would have no defaults and no checks.
func TestNestedFindsAllRoutes(t *testing.T) {
	for seed := range uint64(300) {
		tree := randomTree(rand.New(rand.NewPCG(seed, 1)), 4)
		want := map[*route.Route]int{}
		for _, r := range routesIn(reflect.ValueOf(&tree)) {
			want[r]++
		}
		got := map[*route.Route]int{}
		var collect func(r *route.Route)
		collect = func(r *route.Route) {
			got[r]++
			for _, n := range r.Nested() {
				collect(n.Route)
			}
		}
		collect(&tree)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: got %d routes; want %d, each once, of %+v", seed, len(got), len(want), tree)
		}
	}
}

// TestHave plants a kind of route at a random place of random options.
func TestHave(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		o := randomOptions(rnd)
		routes := routesIn(reflect.ValueOf(&o).Elem())
		kinds := map[route.Kind]bool{}
		for _, r := range routes {
			kinds[r.Kind] = true
		}
		o.SetDefaults() // gives routes to pools their kind
		for _, kind := range route.Kinds() {
			want := kinds[kind] || kind == route.KindPool && kinds[""]
			if got := o.Have(kind); got != want {
				t.Fatalf("seed %d: Have(%s): got %v; want %v of %+v", seed, kind, got, want, o)
			}
		}
		fills := kinds[route.KindWarmUp] || kinds[route.KindL1L2Cache]
		if got := o.NeedFills(); got != fills {
			t.Fatalf("seed %d: NeedFills: got %v; want %v", seed, got, fills)
		}
		o.Pools[0].WarmFrom = "r"
		if !o.NeedFills() {
			t.Fatalf("seed %d: NeedFills: got false with warm_from", seed)
		}
	}
}

// TestRandomOptionsPass checks that random trees of valid routes have no faults, and that the
// defaults are set once: a second SetDefaults changes nothing, and a value that is set is not
// replaced.
func TestRandomOptionsPass(t *testing.T) {
	for seed := range uint64(300) {
		o := randomOptions(rand.New(rand.NewPCG(seed, 3)))
		set := map[string]any{}
		visit("", reflect.ValueOf(&o), func(path string, field reflect.Value) {
			if k := field.Kind(); !field.IsZero() && k != reflect.Slice && k != reflect.Struct && k != reflect.Pointer {
				set[path] = field.Interface()
			}
		})
		o.SetDefaults()
		if f := o.Check(); len(f) > 0 {
			t.Fatalf("seed %d: got faults\n%v\nof %+v", seed, f, o)
		}
		first := map[string]any{}
		visit("", reflect.ValueOf(&o), func(path string, field reflect.Value) {
			if field.Kind() != reflect.Pointer {
				first[path] = field.Interface()
			}
			if want, ok := set[path]; ok && !reflect.DeepEqual(field.Interface(), want) {
				t.Errorf("seed %d: %s: got the default %v; want what was set, %v", seed, path, field, want)
			}
		})
		o.SetDefaults()
		visit("", reflect.ValueOf(&o), func(path string, field reflect.Value) {
			if field.Kind() != reflect.Pointer && !reflect.DeepEqual(field.Interface(), first[path]) {
				t.Errorf("seed %d: %s: got %v from the second SetDefaults; want %v", seed, path, field, first[path])
			}
		})
	}
}
