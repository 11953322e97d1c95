package route

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// maxRouteDepth is how deep routes may be nested. Each level is a nested call for each request.
const maxRouteDepth = 64

// fieldsOfKinds are the fields that a route of each kind must have and may have, by their names in
// the file. Every route may have a name.
var fieldsOfKinds = map[Kind]struct{ must, may string }{
	KindPool:              {"pool", "hash"},
	KindHash:              {"children", "hash"},
	KindPrefixSelector:    {"", "prefixes default"},
	KindOperationSelector: {"", "operations default"},
	KindAllSync:           {"children", ""},
	KindAllAsync:          {"children", ""},
	KindAllInitial:        {"children", ""},
	KindAllMajority:       {"children", ""},
	KindAllFastest:        {"children", ""},
	KindFailover:          {"children", "failover exptime"},
	KindMissFailover:      {"children", "failover"},
	KindLatest:            {"children", "failover latest hash"},
	KindRandom:            {"children", ""},
	KindHostID:            {"children", "hash"},
	KindShadow:            {"target shadows", ""},
	KindShardSplit:        {"target shard_splits", ""},
	KindMigrate:           {"from to start", "interval"},
	KindWarmUp:            {"cold warm", "exptime"},
	KindL1L2Cache:         {"cold warm", "exptime negative_ttl"},
	KindModifyKey:         {"target", "ensure_key_prefix replace_key_prefix set_cluster"},
	KindModifyExptime:     {"target", "exptime exptime_action"},
	KindRateLimit:         {"target rates", ""},
	KindOutstandingLimit:  {"target max_in_flight", ""},
	KindLogging:           {"target", ""},
	KindDevNull:           {"", ""},
	KindNull:              {"", ""},
	KindError:             {"", "response"},
}

// operations are the ones that an operation_selector distinguishes: see OperationRoute.
var operations = strings.Fields("get gets gat gats set add replace append prepend cas delete incr decr touch mg ms " +
	"md ma")

// failoverErrors are the ones that a FailoverPolicy distinguishes.
var failoverErrors = strings.Fields("connect connect_timeout timeout down busy server_error")

// Nested is a route within another.
type Nested struct {
	path  string // from the outer route, with a leading dot
	Route *Route
}

// Nested returns the routes directly within r, in the order of its fields.
func (r *Route) Nested() []Nested {
	var n []Nested
	for i := range r.Children {
		n = append(n, Nested{fmt.Sprintf(".children[%d]", i), &r.Children[i]})
	}
	add := func(path string, route *Route) {
		if route != nil {
			n = append(n, Nested{path, route})
		}
	}
	add(".target", r.Target)
	for i := range r.Prefixes {
		p := &r.Prefixes[i]
		add(fmt.Sprintf(".prefixes[%d] %q.route", i, p.Prefix), &p.Route)
	}
	for i := range r.Operations {
		add(fmt.Sprintf(".operations[%d].route", i), &r.Operations[i].Route)
	}
	add(".default", r.Default)
	for i := range r.Shadows {
		add(fmt.Sprintf(".shadows[%d].route", i), &r.Shadows[i].Route)
	}
	add(".from", r.From)
	add(".to", r.To)
	add(".cold", r.Cold)
	add(".warm", r.Warm)
	return n
}

// CheckRoute returns the faults of a route over the pools of o, with path before theirs. The route
// must have its defaults. Check does the same for the routes within o.
func (o *Options) CheckRoute(path string, r *Route) Faults {
	var f Faults
	o.checkRoute(&f, path, r, 0)
	return f
}

func (o *Options) checkRoute(f *Faults, path string, r *Route, depth int) {
	if depth > maxRouteDepth {
		f.Add(path, "routes are nested more than %d deep", maxRouteDepth)
		return
	}
	fields, known := fieldsOfKinds[r.Kind]
	switch {
	case r.Kind == "":
		f.Add(path, "no kind")
	case !known:
		f.Add(path, "unknown kind %q; known are %s", r.Kind, list(Kinds()))
	default:
		r.checkFields(f, path, strings.Fields(fields.must), strings.Fields(fields.may))
		o.checkValues(f, path, r)
	}
	for _, n := range r.Nested() {
		o.checkRoute(f, path+n.path, n.Route, depth+1)
	}
}

// Kinds returns all kinds of routes, in alphabetical order.
func Kinds() []Kind { return slices.Sorted(maps.Keys(fieldsOfKinds)) }

// checkFields adds a fault for each field that is missing, and for each that r's kind doesn't have.
func (r *Route) checkFields(f *Faults, path string, must, may []string) {
	v := reflect.ValueOf(*r)
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		field := v.Field(i)
		empty := field.IsZero() || field.Kind() == reflect.Slice && field.Len() == 0
		switch {
		case name == "kind" || name == "name" || slices.Contains(may, name):
		case slices.Contains(must, name):
			if empty {
				f.Add(path+"."+name, "missing in a route of kind %s", r.Kind)
			}
		case !empty:
			f.Add(path+"."+name, "a route of kind %s has no such setting", r.Kind)
		}
	}
}

// checkValues checks the fields that r's kind has.
func (o *Options) checkValues(f *Faults, path string, r *Route) {
	switch r.Kind {
	case KindPool:
		o.checkPoolRoute(f, path, r)
	case KindHash:
		r.Hash.check(f, path+".hash", r.RingMembers())
	case KindPrefixSelector:
		r.checkPrefixes(f, path)
	case KindOperationSelector:
		r.checkOperations(f, path)
	case KindFailover, KindMissFailover, KindLatest:
		r.Failover.check(f, path+".failover")
		if r.Latest < 0 {
			f.Add(path+".latest", "%d is negative", r.Latest)
		}
		notNegative(f, path+".exptime", r.Exptime)
		r.Hash.checkUnread(f, path+".hash", r.Kind)
	case KindHostID:
		r.Hash.checkUnread(f, path+".hash", r.Kind)
	case KindShadow:
		r.checkShadows(f, path)
	case KindShardSplit:
		for i := range r.ShardSplits {
			r.ShardSplits[i].check(f, fmt.Sprintf("%s.shard_splits[%d]", path, i))
		}
	case KindMigrate:
		notNegative(f, path+".interval", r.Interval)
	case KindWarmUp, KindL1L2Cache:
		if o.keeps(r.Cold) || o.keeps(r.Warm) {
			f.Add(path, "leads to a pool with keep_routing_prefix: items would be added to it without the prefix")
		}
		notNegative(f, path+".exptime", r.Exptime)
		notNegative(f, path+".negative_ttl", r.NegativeTTL)
	case KindModifyKey:
		if r.EnsureKeyPrefix == "" && r.ReplaceKeyPrefix == "" && r.SetCluster == "" {
			f.Add(path, "nothing to modify: none of ensure_key_prefix, replace_key_prefix, set_cluster")
		}
		if r.SetCluster != "" && !isCluster(r.SetCluster) {
			f.Add(path+".set_cluster", "%q is not /REGION/CLUSTER/", r.SetCluster)
		}
	case KindModifyExptime:
		oneOf(f, path+".exptime_action", r.ExptimeAction, ExptimeSet, ExptimeMin)
	case KindRateLimit:
		r.Rates.check(f, path+".rates")
	case KindOutstandingLimit:
		f.Within(path+".max_in_flight", int64(r.MaxInFlight), 1, maxInFlight)
	}
}

func (o *Options) checkPoolRoute(f *Faults, path string, r *Route) {
	o.refer(f, path, r.Pool)
	p := o.pool(r.Pool)
	if p == nil || r.Hash.IsZero() {
		return
	}
	if p.Kind != Sharded {
		f.Add(path+".hash", "pool %q is not sharded", p.Name)
		return
	}
	p.checkHash(f, path+".hash", &r.Hash)
}

func (r *Route) checkPrefixes(f *Faults, path string) {
	seen := map[string]int{}
	for i, p := range r.Prefixes {
		at := fmt.Sprintf("%s.prefixes[%d] %q", path, i, p.Prefix)
		if first, again := seen[p.Prefix]; again {
			f.Add(at, "prefixes[%d] has the same prefix", first)
		} else {
			seen[p.Prefix] = i
		}
		if p.Prefix == "" {
			f.Add(at, "matches every key; use default instead")
		}
	}
	if len(r.Prefixes) == 0 && r.Default == nil {
		f.Add(path, "neither prefixes nor default")
	}
}

func (r *Route) checkOperations(f *Faults, path string) {
	seen := map[string]int{}
	for i, route := range r.Operations {
		at := fmt.Sprintf("%s.operations[%d]", path, i)
		if len(route.Operations) == 0 {
			f.Add(at, "no operations")
		}
		for _, name := range route.Operations {
			oneOf(f, at, name, operations...)
			if first, again := seen[name]; again {
				f.Add(at, "operations[%[2]d] has a route for %[1]s already", name, first)
			} else {
				seen[name] = i
			}
		}
	}
	if len(r.Operations) == 0 && r.Default == nil {
		f.Add(path, "neither operations nor default")
	}
}

func (r *Route) checkShadows(f *Faults, path string) {
	for i, s := range r.Shadows {
		at := fmt.Sprintf("%s.shadows[%d]", path, i)
		if k := s.KeyFraction; len(k) > 0 && !(len(k) == 2 && k[0] >= 0 && k[0] <= k[1] && k[1] <= 1) {
			f.Add(at+".key_fraction", "%v is not two numbers from 0 to 1, the smaller one first", k)
		}
		if !(s.Requests >= 0 && s.Requests <= 1) {
			f.Add(at+".requests", "%v is not in [0, 1]", s.Requests)
		}
		if len(s.Keys) > 0 && (len(s.KeyFraction) > 0 || len(s.Members) > 0) {
			f.Add(at+".keys", "keys excludes key_fraction and members")
		}
		f.Within(at+".max_in_flight", int64(s.MaxInFlight), 1, maxInFlight)
		if m := s.Members; len(m) > 0 {
			if !(len(m) == 2 && m[0] >= 0 && m[0] <= m[1]) {
				f.Add(at+".members", "%v is not [FIRST, LAST]", m)
			}
			if r.Target != nil && r.Target.Kind != KindPool {
				f.Add(at+".members", "the target is not a pool")
			}
		}
	}
}

func (p *FailoverPolicy) check(f *Faults, path string) {
	for _, l := range []struct {
		name   string
		errors []string
	}{{"reads", p.Reads}, {"updates", p.Updates}, {"deletes", p.Deletes}} {
		for _, name := range l.errors {
			oneOf(f, path+"."+l.name, name, failoverErrors...)
		}
	}
	if p.MaxTries < 0 {
		f.Add(path+".max_tries", "%d is negative", p.MaxTries)
	}
	oneOf(f, path+".order", p.Order, InOrder, InRendezvousOrder, LeastFailures)
	checkRate(f, path+".per_second", p.PerSecond)
	checkRate(f, path+".burst", p.Burst)
	if !(p.Ratio >= 0 && p.Ratio <= 1) {
		f.Add(path+".ratio", "%v is not in [0, 1]", p.Ratio)
	}
	if p.Ratio != 0 && p.PerSecond != 0 {
		f.Add(path, "ratio excludes per_second")
	}
	if p.Burst != 0 && p.Ratio == 0 && p.PerSecond == 0 {
		f.Add(path+".burst", "needs ratio or per_second")
	}
}

func (r *Rates) check(f *Faults, path string) {
	for _, l := range []struct {
		name        string
		rate, burst float64
	}{{"gets", r.Gets, r.GetsBurst}, {"sets", r.Sets, r.SetsBurst}, {"deletes", r.Deletes, r.DeletesBurst}} {
		checkRate(f, path+"."+l.name, l.rate)
		checkRate(f, path+"."+l.name+"_burst", l.burst)
		if l.burst != 0 && l.rate == 0 {
			f.Add(path+"."+l.name+"_burst", "needs %s", l.name)
		}
	}
}

// checkRate checks a number of tokens, or a rate of them.
func checkRate(f *Faults, path string, rate float64) {
	if !(rate >= 0 && rate <= 1e12) {
		f.Add(path, "%v is not in [0, 1e12]", rate)
	}
}

func notNegative(f *Faults, path string, d time.Duration) {
	if d < 0 {
		f.Add(path, "%v is negative", d)
	}
}
