package mcrouter_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast/config/mcrouter"
	"holdfast/route"
)

// show prints the fields of options that aren't zero: a structure as {kind Field:value …}.
func show(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Time:
		return fmt.Sprint(x.Unix())
	case time.Duration:
		return x.String()
	}
	switch v.Kind() {
	case reflect.Pointer:
		return show(v.Elem())
	case reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = show(v.Index(i))
		}
		return "[" + strings.Join(parts, " ") + "]"
	case reflect.Struct:
		var parts []string
		for i := range v.NumField() {
			if f := v.Field(i); !f.IsZero() {
				parts = append(parts, strings.TrimPrefix(v.Type().Field(i).Name+":"+show(f), "Kind:"))
			}
		}
		return "{" + strings.Join(parts, " ") + "}"
	}
	return fmt.Sprint(v.Interface())
}

// allErrors is how show prints the errors after which mcrouter fails over by default.
const allErrors = "Reads:[connect connect_timeout timeout down busy server_error] " +
	"Updates:[connect connect_timeout timeout down busy server_error] " +
	"Deletes:[connect connect_timeout timeout down busy server_error]"

// parsed parses a route in a file with two pools, and describes the result: the route and the
// pools, or the faults; then the warnings.
func parsed(text string) string {
	var warnings strings.Builder
	o, err := mcrouter.Parse(
		[]byte(`{"pools": {"A": {"servers": ["a:1"]}, "B": {"servers": ["b:1", "b:2"]}}, "route": `+text+`}`),
		mcrouter.ParseOptions{Warn: func(f route.Fault) { warnings.WriteString("; " + f.String()) }})
	if err != nil {
		return strings.ReplaceAll(err.Error(), "\n", "; ") + warnings.String()
	}
	return strings.ReplaceAll(show(reflect.ValueOf(o.Route)), allErrors, "ALL") + changedPools(o) + warnings.String()
}

// changedPools describes what routes can change in pools: the hash, the limit and the names of
// members.
func changedPools(o route.Options) string {
	text := ""
	for _, p := range o.Pools {
		about := route.Pool{Hash: p.Hash, MaxInFlight: p.MaxInFlight}
		for _, m := range p.Members {
			if m.Name != "" {
				about.Members = append(about.Members, m)
			}
		}
		if about.Hash.Placement == "ch3" && about.Hash.Salt == "" {
			about.Hash = route.Hash{}
		}
		if shown := show(reflect.ValueOf(about)); shown != "{}" {
			text += " " + p.Name + "=" + shown
		}
	}
	return text
}

// TestHandles parses each route handle with its options, and compares the route, or the faults with
// their paths. Warnings follow a semicolon.
func TestHandles(t *testing.T) {
	for _, test := range handles {
		if got := parsed(test.route); got != test.want {
			t.Errorf("%s:\ngot  %s\nwant %s", test.route, got, test.want)
		}
	}
}

var handles = []struct{ route, want string }{
	{`"NullRoute"`, `{null}`},
	{`"DevNullRoute"`, `{dev_null}`},
	{`"ErrorRoute"`, `{error}`},
	{`"ErrorRoute|no"`, `{error Response:no}`},
	{
		`{"type": "ErrorRoute", "response": "no", "result": 1, "enable_logging": true}`,
		`{error Response:no}; route.result: has no effect here: every error is answered SERVER_ERROR; ` +
			`route.enable_logging: has no effect here: every error is answered SERVER_ERROR`,
	},
	{`"AllSyncRoute"`, `route: must be a route, not null`},
	{`"AllSyncRoute|DevNullRoute"`, `{all_sync Children:[{dev_null}]}`},
	{`"AllAsyncRoute|DevNullRoute"`, `{all_async Children:[{dev_null}]}`},
	{`"AllFastestRoute|DevNullRoute"`, `{all_fastest Children:[{dev_null}]}`},
	{`"AllInitialRoute|DevNullRoute"`, `{all_initial Children:[{dev_null}]}`},
	{`"AllMajorityRoute|DevNullRoute"`, `{all_majority Children:[{dev_null}]}`},
	{
		`{"type": "RandomRoute", "children": ["DevNullRoute", "", ["NullRoute"]]}`,
		`{random Children:[{dev_null} {null}]}`,
	},
	{`{"type": "AllSyncRoute", "children": "Pool|B"}`, `{all_sync Children:[{pool Pool:B#0} {pool Pool:B#1}]}`},
	{`"PoolRoute|A"`, `{pool Pool:A}`},
	{`"PoolRoute|B"`, `{pool Pool:B}`},
	{`"PoolRoute|none"`, `route: there is no pool "none"`},
	{`{"type": "PoolRoute", "pool": {"name": "C", "servers": ["c:1"]}}`, `{pool Pool:C}`},
	{`{"type": "PoolRoute", "pool": "B", "hash": "Crc32"}`, `{pool Pool:B} B={Hash:{Placement:crc32}}`},
	{
		`{"type": "PoolRoute", "pool": "B", "hash": {"hash_func": "WeightedCh3", "weights": [0.25], "salt": "x"}}`,
		`{pool Pool:B} B={Hash:{Placement:weighted_ch3 Salt:x Weights:[0.25 0.5]}}`,
	},
	{
		`{"type": "PoolRoute", "pool": "B", "hash": {"hash_func": "Rendezvous", "tags": ["x", "y"]}}`,
		`{pool Pool:B} B={Members:[{Address:b:1 Name:x} {Address:b:2 Name:y}] Hash:{Placement:mcrouter_rendezvous}}`,
	},
	{
		`{"type": "PoolRoute", "pool": "B", "hash": {"hash_func": "Latest", "failover_count": 1}}`,
		`{latest Children:[{pool Pool:B#0} {pool Pool:B#1}] Failover:{ALL} Latest:1}`,
	},
	{
		`{"type": "PoolRoute", "pool": "B", "rates": {"sets_rate": 2.5, "sets_burst": 10}}`,
		`{rate_limit Target:{pool Pool:B} Rates:{Sets:2.5 SetsBurst:10}}`,
	},
	{
		`{"type": "PoolRoute", "pool": "B", "shard_splits": {"s": 3}}`,
		`{shard_split Target:{pool Pool:B} ShardSplits:[{Shard:s Splits:3}]}`,
	},
	{
		`{"type": "PoolRoute", "pool": "B", "shadows": [{"target": "NullRoute", "index_range": [0, 1], ` +
			`"key_fraction_range": [0, 0.5]}]}`,
		`{shadow Target:{pool Pool:B} Shadows:[{Route:{null} KeyFraction:[0 0.5] Members:[0 0] MaxInFlight:1000}]}`,
	},
	{
		`{"type": "PoolRoute", "pool": "B", "shadows": [{"target": "NullRoute", "requests_fraction": 0}]}`,
		`{pool Pool:B}; route.shadows[0]: is ignored: it copies nothing`,
	},
	{
		`{"type": "PoolRoute", "pool": "B", "asynclog": true, "pool_id": 3}`,
		`{pool Pool:B}; route.asynclog: has no effect here: failed deletes are recorded in the journal; ` +
			`route.pool_id: has no effect here: it controls a feature that only mcrouter has`,
	},
	{`{"type": "PoolRoute", "pool": "B", "bucketize": true}`, `route.bucketize: isn't supported`},
	{`{"type": "PoolRoute", "pool": "B", "max_outstanding": -1}`, `route.max_outstanding: -1 is negative`},
	{`{"type": "PoolRoute", "pool": "B", "max_outstanding": 7}`, `{pool Pool:B} B={MaxInFlight:7}`},
	{
		`{"type": "AllSyncRoute", "children": [{"type": "PoolRoute", "pool": "B", "max_outstanding": 7}, ` +
			`{"type": "PoolRoute", "pool": "B", "max_outstanding": 8}]}`,
		`route.children[1].max_outstanding: pool "B" already has another limit, 7`,
	},
	{
		`{"type": "AllSyncRoute", "children": [{"type": "PoolRoute", "pool": "B", "hash": "Crc32"}, "PoolRoute|B"]}`,
		`{all_sync Children:[{pool Pool:B} {pool Pool:B Hash:{Placement:ch3}}]} B={Hash:{Placement:crc32}}`,
	},
	{
		`{"type": "PoolRoute", "pool": "B", "hash": {"hash_func": "Rendezvous", "tags": ["x"]}}`,
		`route.hash.tags: 1 tags for 2 servers`,
	},
	{`"HashRoute|Pool|B"`, `{hash Children:[{pool Pool:B#0} {pool Pool:B#1}] Hash:{Placement:ch3}}`},
	{
		`{"type": "HashRoute", "children": "Pool|B", "hash_func": "Crc32", "salt": "x"}`,
		`{hash Children:[{pool Pool:B#0} {pool Pool:B#1}] Hash:{Placement:crc32 Salt:x}}`,
	},
	{
		`{"type": "HashRoute", "children": "Pool|B", "hash_func": "Rendezvous", "tags": ["x"]}`,
		`route: 1 tags for 2 children`,
	},
	{`{"type": "HashRoute", "children": []}`, `{error Response:a hash route has no children}`},
	{`{"type": "HashRoute", "children": [], "error_on_empty": false}`, `{null}`},
	{
		`{"type": "HashRoute", "children": "Pool|B", "hash_func": "Latest", "salt": "x", "thread_local_failover": true}`,
		`{latest Children:[{pool Pool:B#0} {pool Pool:B#1}] Hash:{Salt:x} Failover:{ALL} Latest:2}; ` +
			`route.thread_local_failover: has no effect here: all event loops choose the same child`,
	},
	{`"HostIdRoute|DevNullRoute"`, `{host_id Children:[{dev_null}]}`},
	{
		`{"type": "HostIdRoute", "children": ["DevNullRoute"], "salt": "x"}`,
		`{host_id Children:[{dev_null}] Hash:{Salt:x}}`,
	},
	{`"LatestRoute|Pool|B"`, `{latest Children:[{pool Pool:B#0} {pool Pool:B#1}] Failover:{ALL} Latest:2}`},
	{
		`{"type": "LatestRoute", "children": "Pool|B", "failover_count": 1, "weights": [1, 2]}`,
		`route.weights: isn't supported`,
	},
	{
		`{"type": "LatestRoute", "children": "Pool|B", "failover_count": 0}`,
		`route.failover_count: must be a number above 0`,
	},
	{`"FailoverRoute|Pool|B"`, `{failover Children:[{pool Pool:B#0} {pool Pool:B#1}] Failover:{ALL}}`},
	{
		`{"type": "FailoverRoute", "children": "Pool|B", "failover_errors": ["tko", "try_again", "busy"]}`,
		`{failover Children:[{pool Pool:B#0} {pool Pool:B#1}] Failover:{Reads:[down busy] Updates:[down busy] ` +
			`Deletes:[down busy]}}`,
	},
	{
		`{"type": "FailoverRoute", "children": "Pool|B", "failover_errors": {"gets": [], "updates": ["aborted"]}}`,
		`{failover Children:[{pool Pool:B#0} {pool Pool:B#1}] Failover:{Reads:[] Updates:[] Deletes:[connect ` +
			`connect_timeout timeout down busy server_error]}}; route.failover_errors.updates[0]: has no effect ` +
			`here: aborted is not distinguished`,
	},
	{
		`{"type": "FailoverRoute", "children": "Pool|B", "failover_limit": {"rate": 3, "burst": 0.5}, ` +
			`"failover_exptime": 9}`,
		`{failover Children:[{pool Pool:B#0} {pool Pool:B#1}] Failover:{ALL Burst:1 Ratio:1} Exptime:9s}`,
	},
	{
		`{"type": "FailoverRoute", "children": "Pool|B", "failover_limit": {"rate": 0}}`,
		`route.failover_limit.rate: must be above 0`,
	},
	{
		`{"type": "FailoverRoute", "children": "Pool|B", "failover_policy": {"type": "LeastFailuresPolicy"}}`,
		`route.failover_policy: max_tries is missing`,
	},
	{
		`{"type": "FailoverRoute", "children": "Pool|B", "failover_policy": {"type": "LeastFailuresPolicy", ` +
			`"max_tries": 9}}`,
		`{failover Children:[{pool Pool:B#0} {pool Pool:B#1}] Failover:{ALL MaxTries:2 Order:least_failures}}`,
	},
	{
		`{"type": "FailoverRoute", "children": "Pool|B", "failover_policy": {"type": "OwnPolicy", "max_tries": 1}}`,
		`{failover Children:[{pool Pool:B#0} {pool Pool:B#1}] Failover:{ALL}}; route.failover_policy.type: ` +
			`"OwnPolicy" is treated as the default, children in order`,
	},
	{
		`{"type": "FailoverRoute", "children": "Pool|B", "failover_policy": {"max_tries": -1, "type": ` +
			`"RendezvousPolicy"}}`,
		`route.failover_policy.max_tries: -1 is negative; route.failover_policy: the order after the first child ` +
			`differs from mcrouter's`,
	},
	{`"MissFailoverRoute|Pool|B"`, `{miss_failover Children:[{pool Pool:B#0} {pool Pool:B#1}] Failover:{ALL}}`},
	{
		`{"type": "MissFailoverRoute", "children": "Pool|B", "return_best_on_error": true}`,
		`{miss_failover Children:[{pool Pool:B#0} {pool Pool:B#1}] Failover:{ALL}}; route.return_best_on_error: ` +
			`has no effect here: if all answers are errors, the last one is returned`,
	},
	{
		`{"type": "FailoverWithExptimeRoute", "normal": "PoolRoute|A", "failover": "Pool|B"}`,
		`{failover Children:[{pool Pool:A} {pool Pool:B#0} {pool Pool:B#1}] Failover:{ALL} Exptime:1m0s}`,
	},
	{
		`{"type": "FailoverWithExptimeRoute", "normal": "PoolRoute|A", "failover_exptime": -5, "settings": {}}`,
		`{failover Children:[{pool Pool:A}] Failover:{ALL}}; route.settings: has no effect here: ` +
			`failover_errors and failover_limit decide`,
	},
	{
		`{"type": "FailoverWithExptimeRoute", "failover": "Pool|B"}`,
		`route: normal is missing`,
	},
	{`"LoggingRoute"`, `{logging Target:{null}}`},
	{`"LoggingRoute|DevNullRoute"`, `{logging Target:{dev_null}}`},
	{`{"type": "LoggingRoute", "target": "DevNullRoute"}`, `{logging Target:{dev_null}}`},
	{
		`{"type": "PrefixSelectorRoute", "policies": {"a": "DevNullRoute", "b:": "PoolRoute|A"}, "wildcard": ` +
			`"NullRoute"}`,
		`{prefix_selector Prefixes:[{Prefix:a Route:{dev_null}} {Prefix:b: Route:{pool Pool:A}}] Default:{null}}`,
	},
	{`{"type": "PrefixSelectorRoute", "wildcard": "DevNullRoute"}`, `{dev_null}`},
	{`{"type": "PrefixSelectorRoute"}`, `route: policies or wildcard is required`},
	{
		`{"type": "OperationSelectorRoute", "operation_policies": {"get": "DevNullRoute", "gets": "PoolRoute|A", ` +
			`"stats": "NullRoute"}, "default_policy": "PoolRoute|A"}`,
		`{operation_selector Operations:[{Operations:[get] Route:{dev_null}} {Operations:[gets] Route:{pool ` +
			`Pool:A}} {Operations:[gat gats] Route:{pool Pool:A}}] Default:{pool Pool:A}}; ` +
			`route.operation_policies.stats: is ignored: such requests don't go through routes`,
	},
	{`{"type": "PrefixPolicyRoute", "default_policy": "DevNullRoute"}`, `{dev_null}`},
	{`{"type": "OperationSelectorRoute"}`, `route: default_policy or operation_policies is required`},
	{
		`{"type": "OperationSelectorRoute", "operation_policies": {"set": "DevNullRoute"}}`,
		`{operation_selector Operations:[{Operations:[set] Route:{dev_null}} {Operations:[add replace append ` +
			`prepend cas] Route:{null}}]}`,
	},
	{
		`{"type": "MigrateRoute", "from": "DevNullRoute", "to": "NullRoute", "start_time": 1000, "interval": 60}`,
		`{migrate From:{dev_null} To:{null} Start:1000 Interval:1m0s}`,
	},
	{
		`{"type": "MigrateRoute", "from": "DevNullRoute", "to": "NullRoute", "start_time": 1000, "interval": 0}`,
		`route.interval: must be a number of seconds above 0`,
	},
	{
		`{"type": "ShadowRoute", "children": "Pool|B", "shadows": [{"target": "NullRoute", "index_range": [1, 2]}]}`,
		`route: must be one route, not 2`,
	},
	{
		`{"type": "ShadowRoute", "children": "Pool|B", "shadows": [{"target": "NullRoute", "index_range": [1, 1]}]}`,
		`route: must be one route, not 2; route.shadows[0]: is ignored: it copies nothing`,
	},
	{
		`{"type": "ShadowRoute", "children": ["DevNullRoute"], "shadows": [{"target": "NullRoute", ` +
			`"keys_to_shadow": ["a"], "requests_fraction": 0.5}]}`,
		`{shadow Target:{dev_null} Shadows:[{Route:{null} Keys:[a] Requests:0.5 MaxInFlight:1000}]}`,
	},
	{`{"type": "ShadowRoute", "shadows": []}`, `route: children is missing`},
	{
		`{"type": "ShadowRoute", "children": ["DevNullRoute"], "shadows": [{"target": "NullRoute", ` +
			`"key_fraction_range": [0.5, 0.25]}]}`,
		`route.shadows[0].key_fraction_range: must be two numbers from 0 to 1, the smaller one first`,
	},
	{
		`{"type": "ShardSplitRoute", "destination": "PoolRoute|A", "shard_splits": {"1": {"new_split_size": 4, ` +
			`"old_split_size": 2, "split_start": 100, "migration_period": 60, "fanout_deletes": true}, "2": 1}}`,
		`{shard_split Target:{pool Pool:A} ShardSplits:[{Shard:1 Splits:4 OldSplits:2 Start:100 Interval:1m0s}]}`,
	},
	{
		`{"type": "ShardSplitRoute", "destination": "PoolRoute|A", "shard_splits": {"1": 100000}}`,
		`{shard_split Target:{pool Pool:A} ShardSplits:[{Shard:1 Splits:677}]}; route.shard_splits.1: 100000 is ` +
			`above the limit; 677 is used instead`,
	},
	{
		`{"type": "ShardSplitRoute", "destination": "PoolRoute|A", "shard_splits": {"1": "x"}}`,
		`route.shard_splits.1: must be a number of splits or a mapping, not a string`,
	},
	{
		`{"type": "WarmUpRoute", "cold": "DevNullRoute", "warm": "PoolRoute|A", "exptime": 60, "enable_metaget": true}`,
		`{warm_up Cold:{dev_null} Warm:{pool Pool:A} Exptime:1m0s}; route.enable_metaget: has no effect here: ` +
			`the warm pool is always read with mg`,
	},
	{`{"type": "WarmUpRoute", "cold": "DevNullRoute"}`, `route: warm is missing`},
	{
		`{"type": "L1L2CacheRoute", "l1": "DevNullRoute", "l2": "PoolRoute|A", "upgradingL1Exptime": 60, ` +
			`"ncacheExptime": 5, "ncacheUpdatePeriod": 3}`,
		`{l1_l2_cache Cold:{dev_null} Warm:{pool Pool:A} Exptime:1m0s NegativeTTL:5s}; route.ncacheUpdatePeriod: ` +
			`has no effect here: a miss that L1 has stored ends by its TTL only`,
	},
	{
		`{"type": "L1L2CacheRoute", "l1": "DevNullRoute", "l2": "PoolRoute|A"}`,
		`route: upgradingL1Exptime is missing`,
	},
	{
		`{"type": "ModifyKeyRoute", "target": "PoolRoute|A", "ensure_key_prefix": "x"}`,
		`{modify_key Target:{pool Pool:A} EnsureKeyPrefix:x}`,
	},
	{
		`{"type": "ModifyKeyRoute", "target": "PoolRoute|A", "replace_key_prefix": ""}`,
		`route.replace_key_prefix: must not be empty`,
	},
	{
		`{"type": "ModifyKeyRoute", "target": "PoolRoute|A", "set_routing_prefix": "/a/b/"}`,
		`{pool Pool:A}; route.set_routing_prefix: has no effect here: members get keys without the prefix of a cluster`,
	},
	{
		`{"type": "ModifyExptimeRoute", "target": "PoolRoute|A", "exptime": 60}`,
		`{modify_exptime Target:{pool Pool:A} Exptime:1m0s ExptimeAction:set}`,
	},
	{
		`{"type": "ModifyExptimeRoute", "target": "PoolRoute|A", "exptime": 60, "action": "min"}`,
		`{modify_exptime Target:{pool Pool:A} Exptime:1m0s ExptimeAction:min}`,
	},
	{`{"type": "ModifyExptimeRoute", "target": "PoolRoute|A", "exptime": 0, "action": "min"}`, `{pool Pool:A}`},
	{
		`{"type": "ModifyExptimeRoute", "target": "PoolRoute|A", "exptime": 60, "action": "max"}`,
		`route.action: "max" is neither set nor min`,
	},
	{`{"type": "ModifyExptimeRoute", "target": "PoolRoute|A"}`, `route: exptime is missing`},
	{
		`{"type": "RateLimitRoute", "target": "PoolRoute|A", "rates": {"gets_rate": 5, "deletes_rate": 2, ` +
			`"deletes_burst": 1}}`,
		`{rate_limit Target:{pool Pool:A} Rates:{Gets:5 GetsBurst:5 Deletes:2 DeletesBurst:1}}`,
	},
	{`{"type": "RateLimitRoute", "target": "PoolRoute|A", "rates": {}}`, `{pool Pool:A}`},
	{
		`{"type": "RateLimitRoute", "target": "PoolRoute|A", "rates": 5}`,
		`route.rates: must be a mapping, not a whole number`,
	},
	{`{"type": "RateLimitRoute", "target": "PoolRoute|A"}`, `route: rates is missing`},
	{
		`{"type": "OutstandingLimitRoute", "target": "PoolRoute|A", "max_outstanding": 5}`,
		`{outstanding_limit Target:{pool Pool:A} MaxInFlight:5}`,
	},
	{
		`{"type": "OutstandingLimitRoute", "target": "PoolRoute|A", "max_outstanding": 0}`,
		`route: max_outstanding must be a number above 0`,
	},
	{`"MigrateRoute"`, `route: MigrateRoute has no short form: it needs a mapping with its options`},
	{`"CarbonLookasideRoute|A"`, `route: CarbonLookasideRoute isn't supported`},
	{`{"type": 5}`, `route: the type of the route is missing`},
}
