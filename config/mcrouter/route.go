package mcrouter

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/route"
)

// ofChildren has the handles whose only option is their children.
var ofChildren = map[string]route.Kind{
	"AllAsyncRoute":    route.KindAllAsync,
	"AllFastestRoute":  route.KindAllFastest,
	"AllInitialRoute":  route.KindAllInitial,
	"AllMajorityRoute": route.KindAllMajority,
	"AllSyncRoute":     route.KindAllSync,
	"RandomRoute":      route.KindRandom,
}

// make makes the routes of a handle; v is a mapping of options, the argument of the short form, or
// nil.
func (b *builder) make(path, kind string, v any) []route.Route {
	b.count(path, 1)
	if parent, found := ofChildren[kind]; found {
		r, children := b.children(path, v)
		if r != nil {
			r.end()
		}
		return one(parentOf(parent, children))
	}
	switch kind {
	case "Pool":
		return b.poolHandle(path, v)
	case "PoolRoute":
		return b.poolRoute(path, v)
	case "HashRoute":
		return b.hashRoute(path, v)
	case "FailoverRoute":
		return b.failoverRoute(path, v)
	case "MissFailoverRoute":
		return b.missFailoverRoute(path, v)
	case "LatestRoute":
		return b.latestRoute(path, v)
	case "HostIdRoute":
		return b.hostIDRoute(path, v)
	case "NullRoute":
		return one(route.Route{Kind: route.KindNull})
	case "DevNullRoute":
		return one(route.Route{Kind: route.KindDevNull})
	case "ErrorRoute":
		return b.errorRoute(path, v)
	case "LoggingRoute":
		return b.loggingRoute(path, v)
	}
	if make, found := b.ofOptions(kind); found {
		o, ok := v.(*object)
		if !ok {
			b.fault(path, "%s has no short form: it needs a mapping with its options", kind)
			return nil
		}
		r := b.reader(path, o)
		routes := make(r)
		r.end()
		return routes
	}
	if _, ok := v.(*object); ok {
		path = join(path, "type")
	}
	if v == nil && !strings.HasSuffix(kind, "Route") {
		b.fault(path, "there is no route %q", kind)
	} else {
		b.fault(path, "%s isn't supported", kind)
	}
	return nil
}

// ofOptions returns the function that makes a handle without a short form.
func (b *builder) ofOptions(kind string) (func(*reader) []route.Route, bool) {
	switch kind {
	case "PrefixSelectorRoute":
		return b.prefixSelector, true
	case "OperationSelectorRoute", "PrefixPolicyRoute":
		return b.operationSelector, true
	case "FailoverWithExptimeRoute":
		return b.failoverWithExptime, true
	case "ShadowRoute":
		return b.shadowRoute, true
	case "MigrateRoute":
		return b.migrateRoute, true
	case "ShardSplitRoute":
		return b.shardSplitRoute, true
	case "WarmUpRoute":
		return b.warmUpRoute, true
	case "L1L2CacheRoute":
		return b.l1l2CacheRoute, true
	case "ModifyKeyRoute":
		return b.modifyKeyRoute, true
	case "ModifyExptimeRoute":
		return b.modifyExptimeRoute, true
	case "RateLimitRoute":
		return b.rateLimitRoute, true
	case "OutstandingLimitRoute":
		return b.outstandingLimitRoute, true
	}
	return nil, false
}

func one(r route.Route) []route.Route { return []route.Route{r} }

// parentOf returns a route with these children; without any, a null route, as in mcrouter.
func parentOf(kind route.Kind, children []route.Route) route.Route {
	if len(children) == 0 {
		return route.Route{Kind: route.KindNull}
	}
	return route.Route{Kind: kind, Children: children}
}

// children reads the children of a handle. In the short form they follow the bar, and the reader is
// nil.
func (b *builder) children(path string, v any) (*reader, []route.Route) {
	o, ok := v.(*object)
	if !ok {
		return nil, b.list(path, v)
	}
	r := b.reader(path, o)
	return r, r.routes("children")
}

func (b *builder) missFailoverRoute(path string, v any) []route.Route {
	r, children := b.children(path, v)
	made := parentOf(route.KindMissFailover, children)
	if made.Kind == route.KindMissFailover {
		made.Failover = anyError()
	}
	if r != nil {
		r.ignore("if all answers are errors, the last one is returned", "return_best_on_error")
		r.end()
	}
	return one(made)
}

func (b *builder) hostIDRoute(path string, v any) []route.Route {
	r, children := b.children(path, v)
	made := parentOf(route.KindHostID, children)
	if r != nil {
		if salt := r.string("salt"); made.Kind == route.KindHostID {
			made.Hash.Salt = salt
		}
		r.end()
	}
	return one(made)
}

func (b *builder) errorRoute(path string, v any) []route.Route {
	made := route.Route{Kind: route.KindError}
	switch v := v.(type) {
	case string:
		made.Response = v
	case *object:
		r := b.reader(path, v)
		made.Response = r.string("response")
		r.ignore("every error is answered SERVER_ERROR", "result", "enable_logging")
		r.read["enable_logging"] = true
		r.end()
	}
	return one(made)
}

func (b *builder) loggingRoute(path string, v any) []route.Route {
	target := v
	if o, ok := v.(*object); ok {
		r := b.reader(path, o)
		target, _ = r.get("target")
		path = r.at("target")
		r.end()
	}
	if target == nil {
		target = "NullRoute"
	}
	return one(route.Route{Kind: route.KindLogging, Target: b.one(path, target)})
}

func (b *builder) prefixSelector(r *reader) []route.Route {
	selector := route.Route{Kind: route.KindPrefixSelector, Default: r.optionalRoute("wildcard")}
	policies := r.object("policies")
	if policies == nil && selector.Default == nil && !r.has("wildcard") {
		r.fault(r.path, "policies or wildcard is required")
		return nil
	}
	if policies != nil {
		for _, prefix := range policies.keys {
			if made := b.one(join(r.at("policies"), prefix), policies.values[prefix]); made != nil {
				selector.Prefixes = append(selector.Prefixes, route.PrefixRoute{Prefix: prefix, Route: *made})
			}
		}
	}
	if len(selector.Prefixes) == 0 && selector.Default != nil {
		return one(*selector.Default)
	}
	return one(selector)
}

// included lists the operations that get and set include in Holdfast, unless those have their own
// route. In mcrouter no operation includes another.
var included = map[string][]string{
	"get": {"gets", "gat", "gats"},
	"set": {"add", "replace", "append", "prepend", "cas"},
}

// unrouted are the operations of mcrouter that don't go through routes here.
var unrouted = strings.Fields("lease-get lease-set metaget stats version flushall flushre quit shutdown exec goaway")

func (b *builder) operationSelector(r *reader) []route.Route {
	selector := route.Route{Kind: route.KindOperationSelector, Default: r.optionalRoute("default_policy")}
	policies := r.object("operation_policies")
	if policies == nil {
		if selector.Default == nil {
			b.fault(r.path, "default_policy or operation_policies is required")
			return nil
		}
		return one(*selector.Default)
	}
	for _, name := range policies.keys {
		path := join(r.at("operation_policies"), name)
		made := b.one(path, policies.values[name])
		switch {
		case slices.Contains(unrouted, name):
			b.warn(path, "is ignored: such requests don't go through routes")
		case made == nil:
		case !slices.Contains(strings.Fields("get gets gat gats set add replace append prepend cas delete incr decr touch"),
			name):
			b.fault(path, "unknown operation")
		default:
			selector.Operations = append(selector.Operations, route.OperationRoute{Operations: []string{name}, Route: *made})
		}
	}
	selector.Operations = append(selector.Operations, others(policies, selector.Default)...)
	if len(selector.Operations) == 0 && selector.Default != nil {
		return one(*selector.Default)
	}
	return one(selector)
}

// others returns the routes of the operations that Holdfast would send with get and set, unlike
// mcrouter, which sends them to the default route.
func others(policies *object, byDefault *route.Route) []route.OperationRoute {
	var names []string
	for _, head := range []string{"get", "set"} {
		if _, found := policies.values[head]; !found {
			continue
		}
		for _, name := range included[head] {
			if _, own := policies.values[name]; !own {
				names = append(names, name)
			}
		}
	}
	if names == nil {
		return nil
	}
	if byDefault == nil {
		byDefault = &route.Route{Kind: route.KindNull}
	}
	return []route.OperationRoute{{Operations: names, Route: *byDefault}}
}

func (b *builder) shardSplitRoute(r *reader) []route.Route {
	target := r.route("destination")
	if target == nil {
		target = &unusable // the splits are checked all the same
	}
	return one(b.shardSplits(r, *target))
}

func (b *builder) migrateRoute(r *reader) []route.Route {
	made := route.Route{Kind: route.KindMigrate, From: r.route("from"), To: r.route("to")}
	if !r.has("start_time") {
		b.fault(r.path, "start_time is missing")
	}
	made.Start = time.Unix(int64(r.int("start_time")), 0).UTC()
	made.Interval = time.Hour
	if r.has("interval") {
		if made.Interval = time.Duration(r.int("interval")) * time.Second; made.Interval <= 0 {
			b.fault(r.at("interval"), "must be a number of seconds above 0")
		}
	}
	return one(made)
}

func (b *builder) warmUpRoute(r *reader) []route.Route {
	r.ignore("the warm pool is always read with mg", "enable_metaget")
	r.read["enable_metaget"] = true
	return one(route.Route{Kind: route.KindWarmUp, Cold: r.route("cold"), Warm: r.route("warm"),
		Exptime: r.seconds("exptime")})
}

func (b *builder) l1l2CacheRoute(r *reader) []route.Route {
	if !r.has("upgradingL1Exptime") {
		b.fault(r.path, "upgradingL1Exptime is missing")
	}
	r.ignore("a miss that L1 has stored ends by its TTL only", "ncacheUpdatePeriod")
	return one(route.Route{
		Kind: route.KindL1L2Cache, Cold: r.route("l1"), Warm: r.route("l2"),
		Exptime: r.seconds("upgradingL1Exptime"), NegativeTTL: r.seconds("ncacheExptime"),
	})
}

func (b *builder) modifyKeyRoute(r *reader) []route.Route {
	made := route.Route{
		Kind: route.KindModifyKey, Target: r.route("target"),
		EnsureKeyPrefix: r.string("ensure_key_prefix"), ReplaceKeyPrefix: r.string("replace_key_prefix"),
	}
	if r.has("replace_key_prefix") && made.ReplaceKeyPrefix == "" {
		b.fault(r.at("replace_key_prefix"), "must not be empty")
	}
	if r.string("set_routing_prefix") != "" {
		if slices.ContainsFunc(b.pools.made, func(p route.Pool) bool { return p.KeepRoutingPrefix }) {
			b.fault(r.at("set_routing_prefix"), "isn't supported with keep_routing_prefix")
		}
		b.warn(r.at("set_routing_prefix"), "has no effect here: members get keys without the prefix of a cluster")
	}
	r.onlyDefault("", "set_key_suffix")
	r.onlyDefault(false, "modify_inplace")
	if made.EnsureKeyPrefix == "" && made.ReplaceKeyPrefix == "" && made.Target != nil {
		return one(*made.Target)
	}
	return one(made)
}

func (b *builder) modifyExptimeRoute(r *reader) []route.Route {
	made := route.Route{Kind: route.KindModifyExptime, Target: r.route("target"), Exptime: r.seconds("exptime")}
	if !r.has("exptime") {
		b.fault(r.path, "exptime is missing")
	}
	switch action := r.string("action"); action {
	case "", "set":
		made.ExptimeAction = route.ExptimeSet
	case "min":
		made.ExptimeAction = route.ExptimeMin
		if made.Exptime == 0 && made.Target != nil {
			return one(*made.Target)
		}
	default:
		b.fault(r.at("action"), "%q is neither set nor min", action)
	}
	return one(made)
}

func (b *builder) rateLimitRoute(r *reader) []route.Route {
	target := r.route("target")
	v, found := r.get("rates")
	if !found {
		b.fault(r.path, "rates is missing")
		return nil
	}
	if target == nil {
		return nil
	}
	return one(b.rateLimit(r.at("rates"), v, *target))
}

// rateLimit puts a limit before a route. By default a burst is the rate of one second.
func (b *builder) rateLimit(path string, v any, target route.Route) route.Route {
	o, ok := v.(*object)
	if !ok {
		b.fault(path, "must be a mapping, not %s", typeName(v))
		return target
	}
	r := b.reader(path, o)
	var rates route.Rates
	for _, l := range []struct {
		name        string
		rate, burst *float64
	}{{"gets", &rates.Gets, &rates.GetsBurst}, {"sets", &rates.Sets, &rates.SetsBurst},
		{"deletes", &rates.Deletes, &rates.DeletesBurst}} {
		if !r.has(l.name + "_rate") {
			continue
		}
		*l.rate = r.number(l.name + "_rate")
		*l.burst = orElse(r.number(l.name+"_burst"), *l.rate)
		if !(*l.rate > 0 && *l.burst > 0) {
			b.fault(r.at(l.name+"_rate"), "the rate and its burst must be above 0")
		}
	}
	r.end()
	if rates == (route.Rates{}) {
		return target
	}
	return route.Route{Kind: route.KindRateLimit, Target: &target, Rates: rates}
}

func (b *builder) outstandingLimitRoute(r *reader) []route.Route {
	made := route.Route{Kind: route.KindOutstandingLimit, Target: r.route("target"), MaxInFlight: r.int("max_outstanding")}
	if made.MaxInFlight <= 0 {
		b.fault(r.path, "max_outstanding must be a number above 0")
	}
	return one(made)
}

func (b *builder) shadowRoute(r *reader) []route.Route {
	if !r.has("children") {
		b.fault(r.path, "children is missing")
	}
	r.onlyDefault("default", "shadow_policy")
	children := slices.Clone(r.routes("children"))
	shadows := b.shadows(r)
	for i := range children {
		var own []route.Shadow
		for _, s := range shadows {
			if m := s.Members; m == nil || m[0] <= i && i <= m[1] {
				s.Members = nil // they select children, not members
				own = append(own, s)
			}
		}
		if own != nil {
			target := children[i]
			children[i] = route.Route{Kind: route.KindShadow, Target: &target, Shadows: own}
		}
	}
	return children
}

// maxShadowed returns how many requests to a shadow may be in flight; 0 is Holdfast's default.
func (b *builder) maxShadowed() int {
	switch n := b.options.MaxShadowed; {
	case n > 0:
		return n
	case n < 0:
		return 0
	}
	return maxShadowRequests
}

// maxShadowRequests is mcrouter's target_max_shadow_requests.
const maxShadowRequests = 1000

// shadows reads the routes that get copies of requests. Members holds the first and the last index
// of the members or children whose requests are copied; nil is all.
func (b *builder) shadows(r *reader) []route.Shadow {
	var shadows []route.Shadow
	for i, v := range r.list("shadows") {
		at := fmt.Sprintf("%s[%d]", r.at("shadows"), i)
		o, ok := v.(*object)
		if !ok {
			b.fault(at, "must be a mapping, not %s", typeName(v))
			continue
		}
		s := b.reader(at, o)
		shadow := route.Shadow{KeyFraction: s.numbers("key_fraction_range"), MaxInFlight: b.maxShadowed()}
		if k := shadow.KeyFraction; k != nil && !(len(k) == 2 && k[0] >= 0 && k[0] <= k[1] && k[1] <= 1) {
			b.fault(s.at("key_fraction_range"), "must be two numbers from 0 to 1, the smaller one first")
		}
		never := false
		if indexes := s.numbers("index_range"); s.has("index_range") {
			if len(indexes) != 2 || indexes[0] < 0 || indexes[1] < indexes[0] {
				b.fault(s.at("index_range"), "must be two indexes, the smaller one first")
				continue
			}
			never = indexes[0] == indexes[1] // the second index is excluded
			shadow.Members = []int{int(indexes[0]), int(indexes[1]) - 1}
		}
		s.ignore("runtime variables aren't supported", "key_fraction_range_rv", "index_range_rv")
		shadow.Keys = s.strings("keys_to_shadow")
		if s.has("requests_fraction") {
			if shadow.Requests = s.number("requests_fraction"); !(shadow.Requests >= 0 && shadow.Requests <= 1) {
				s.fault(s.at("requests_fraction"), "must be a number from 0 to 1")
			}
			never = never || shadow.Requests == 0
		}
		target := s.route("target")
		s.end()
		if never {
			b.warn(at, "is ignored: it copies nothing")
		} else if target != nil {
			shadow.Route = *target
			shadows = append(shadows, shadow)
		}
	}
	return shadows
}
