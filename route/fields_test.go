package route_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/route"
)

// nonZero sets a field to some value that isn't zero.
func nonZero(field reflect.Value) {
	switch v := field.Addr().Interface().(type) {
	case *[]route.Route:
		*v = []route.Route{{Kind: route.KindNull}}
	case **route.Route:
		*v = &route.Route{Kind: route.KindNull}
	case *time.Time:
		*v = time.Unix(1, 0)
	case *route.Hash:
		v.Salt = "s"
	case *[]route.PrefixRoute:
		*v = []route.PrefixRoute{{Prefix: "p", Route: route.Route{Kind: route.KindNull}}}
	case *[]route.OperationRoute:
		*v = []route.OperationRoute{{Operations: []string{"get"}, Route: route.Route{Kind: route.KindNull}}}
	case *[]route.Shadow:
		*v = []route.Shadow{{Route: route.Route{Kind: route.KindNull}}}
	case *[]route.ShardSplit:
		*v = []route.ShardSplit{{Shard: "1", Splits: 2}}
	case *route.FailoverPolicy:
		v.MaxTries = 1
	case *route.Rates:
		v.Sets = 1
	default:
		if field.Kind() == reflect.String {
			field.SetString("x")
		} else {
			field.SetInt(1)
		}
	}
}

// fieldsOf returns the fields that a route of the kind accepts, by what Check accepts: each field
// is set alone in a valid route that doesn't have it.
func fieldsOf(t *testing.T, kind route.Kind) (accepted map[string]bool) {
	accepted = map[string]bool{}
	fields := reflect.TypeFor[route.Route]()
	for i := range fields.NumField() {
		name := fields.Field(i).Tag.Get("yaml")
		o := twoPools()
		o.Route = example(kind, func() route.Route { return toPool("a") })
		if field := reflect.ValueOf(&o.Route).Elem().Field(i); field.IsZero() {
			nonZero(field)
		}
		o.SetDefaults()
		refused := fmt.Sprintf("route.%s: a route of kind %s has no such setting", name, kind)
		accepted[name] = !strings.Contains(o.Check().Error(), refused)
	}
	return accepted
}

// kindFields are the fields that the comments on the kinds name. Those with an exclamation mark
// can't be left out.
var kindFields = map[route.Kind]string{
	route.KindPool: "pool! hash", route.KindHash: "children! hash", route.KindPrefixSelector: "prefixes default",
	route.KindOperationSelector: "operations default", route.KindAllSync: "children!", route.KindAllAsync: "children!",
	route.KindAllInitial: "children!", route.KindAllMajority: "children!", route.KindAllFastest: "children!",
	route.KindFailover: "children! failover exptime", route.KindMissFailover: "children! failover",
	route.KindLatest: "children! hash failover latest", route.KindRandom: "children!",
	route.KindHostID: "children! hash", route.KindShadow: "target! shadows!",
	route.KindShardSplit: "target! shard_splits!", route.KindMigrate: "from! to! start! interval",
	route.KindWarmUp: "cold! warm! exptime", route.KindL1L2Cache: "cold! warm! exptime negative_ttl",
	route.KindModifyKey:     "target! ensure_key_prefix replace_key_prefix set_cluster",
	route.KindModifyExptime: "target! exptime exptime_action", route.KindRateLimit: "target! rates!",
	route.KindOutstandingLimit: "target! max_in_flight!", route.KindLogging: "target!",
	route.KindDevNull: "", route.KindNull: "", route.KindError: "response",
}

// TestFieldsOfKinds checks that a kind refuses the fields that its comment doesn't name.
func TestFieldsOfKinds(t *testing.T) {
	for _, kind := range route.Kinds() {
		want := strings.Fields(strings.ReplaceAll(kindFields[kind], "!", "") + " kind name")
		for name, accepted := range fieldsOf(t, kind) {
			if wanted := slices.Contains(want, name); accepted != wanted {
				t.Errorf("%s: %s accepted: %v; want %v", kind, name, accepted, wanted)
			}
		}
	}
}

// TestMissingFields clears each field of a valid route of each kind. The fault names the field if
// the kind needs it; otherwise there is none.
func TestMissingFields(t *testing.T) {
	for _, kind := range route.Kinds() {
		fields := reflect.TypeFor[route.Route]()
		for i := range fields.NumField() {
			name := fields.Field(i).Tag.Get("yaml")
			o := twoPools()
			o.Route = example(kind, func() route.Route { return toPool("a") })
			field := reflect.ValueOf(&o.Route).Elem().Field(i)
			if name == "kind" || field.IsZero() {
				continue
			}
			field.SetZero()
			o.SetDefaults()
			got, want := o.Check().Error(), ""
			if slices.Contains(strings.Fields(kindFields[kind]), name+"!") {
				want = fmt.Sprintf("route.%s: missing in a route of kind %s", name, kind)
			}
			if !strings.HasPrefix(got, want) || want == "" && got != "" {
				t.Errorf("%s without %s: got %q; want %q", kind, name, got, want)
			}
		}
	}
}

// badValue returns a value that no field of its type may have.
func badValue(field reflect.Value, rnd *rand.Rand) (reflect.Value, bool) {
	switch field.Interface().(type) {
	case int, time.Duration:
		return reflect.ValueOf(-1 - rnd.Int64N(1000)).Convert(field.Type()), true
	case float64:
		return reflect.ValueOf([]float64{-1, math.NaN(), math.Inf(1), math.Inf(-1)}[rnd.IntN(4)]), true
	case route.Kind, route.PoolKind, route.Acknowledge, route.ReadPolicy, route.ErrorPolicy, route.UnknownCluster,
		route.FailoverOrder, route.ExptimeAction:
		return reflect.ValueOf("neither").Convert(field.Type()), true
	}
	return reflect.Value{}, false
}

// mayBeNegative are the paths of numbers that have a meaning below 0.
func mayBeNegative(path string, o *route.Options) bool {
	return strings.HasSuffix(path, ".refill_rate") || // no refill
		strings.HasSuffix(path, ".exptime") // of modify_exptime: expired at once
}

// TestBadValuesAreFound sets one number or name anywhere in random valid options to a value that it
// can't have. Check must find a fault, the path of which leads to the setting or to a part around
// it.
func TestBadValuesAreFound(t *testing.T) {
	fields := map[string]bool{}
	for seed := range uint64(1500) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		o := randomOptions(rnd)
		o.Pools[0].Failover, o.Pools[0].ChunkBytes = "r", 1<<20
		o.SetDefaults()
		var paths []string
		var places []reflect.Value
		visit("", reflect.ValueOf(&o), func(path string, field reflect.Value) {
			if _, ok := badValue(field, rnd); ok && !mayBeNegative(path, &o) {
				paths, places = append(paths, path), append(places, field)
			}
		})
		i := rnd.IntN(len(paths))
		was := fmt.Sprint(places[i])
		bad, _ := badValue(places[i], rnd)
		places[i].Set(bad)
		name := paths[i][strings.LastIndexByte(paths[i], '.')+1:]
		fields[name] = true
		f := o.Check()
		if len(f) == 0 {
			t.Fatalf("seed %d: %s is %v instead of %s: got no fault", seed, paths[i], bad, was)
		}
		top, _, _ := strings.Cut(paths[i], ".")
		if !strings.HasPrefix(f[0].Path, strings.TrimRight(top, ".")) {
			t.Fatalf("seed %d: %s is %v: got %v; want a path in %s", seed, paths[i], bad, f, top)
		}
	}
	for _, name := range []string{"weight", "timeout", "connections", "soft_errors", "max_in_flight", "failover_ttl",
		"load", "kind", "acknowledge", "read", "on_error", "unknown_cluster", "order", "per_second", "ratio", "burst", "gets",
		"sets_burst", "splits", "old_splits", "interval", "requests", "max_tries", "exptime_action", "latest", "negative_ttl",
		"max_bytes", "max_age", "probe_min", "chunk_bytes"} {
		if !fields[name] {
			t.Errorf("no seed changed %s", name)
		}
	}
}
