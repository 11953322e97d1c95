package mcrouter_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast/config"
	"holdfast/config/mcrouter"
	"holdfast/route"
)

var update = flag.Bool("update", false, "write the golden files anew")

// optionsOf returns the options with which a file of testdata is parsed.
func optionsOf(name string, warn func(route.Fault)) mcrouter.ParseOptions {
	o := mcrouter.ParseOptions{Import: mcrouter.Files("testdata"), Warn: warn}
	switch name {
	case "clusters":
		o.RoutePrefix = "/eu/one/"
		o.WithinClusterTimeout, o.CrossClusterTimeout = 20*time.Millisecond, 200*time.Millisecond
		o.SoftErrors, o.ProbeMin, o.ProbeMax, o.MissOnGetErrors = 5, time.Second, 5*time.Second, true
	case "macros":
		o.RoutePrefix = "/eu/main/"
		o.Params = map[string]string{"wanted": "spares"}
	}
	return o
}

// The golden files are the files in Holdfast's form, with the warnings as comments. Each parses to
// the same options.
func TestGoldenFiles(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("got %v, %v", paths, err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		if strings.HasSuffix(name, "-imported") {
			continue
		}
		t.Run(name, func(t *testing.T) { testFile(t, name) })
	}
}

func testFile(t *testing.T, name string) {
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	o, err := mcrouter.Parse(text, optionsOf(name, func(f route.Fault) { got.WriteString("# " + f.String() + "\n") }))
	if err != nil {
		t.Fatal(err)
	}
	printed := config.NewMcrouter(o).Print()
	got.Write(printed)

	golden := filepath.Join("testdata", name+".yaml")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}

	c, err := config.Parse(printed)
	if err != nil {
		t.Fatal(err)
	}
	o.SetDefaults()
	if !reflect.DeepEqual(c.Router.Options, o) {
		t.Errorf("the printed file parses to %+v; want %+v", c.Router.Options, o)
	}
}

func TestFaultsHavePaths(t *testing.T) {
	pools := `"pools": {"A": {"servers": ["a:1"]}, "B": {"servers": ["b:1", "b:2"]}}, `
	tests := []struct{ text, want string }{
		{`{`, "line 1: expected a key in quotes or }"},
		{`[]`, "the file must be a mapping, not a list"},
		{"{\"a\": 1,\n\"a\": 2}", `line 2: duplicate key "a"`},
		{"{\n/* no end", "line 2: the comment isn't closed"},
		{`{"route": tru}`, `line 1: "tru" is not a value`},
		{`{"route": "a` + "\n" + `"}`, "line 1: the string isn't closed"},
		{`{"route": "NullRoute"} x`, "line 1: unexpected text after the end"},
		{`{"route": ` + strings.Repeat("[", 300), "line 1: nested more than 200 deep"},
		{`{}`, "route or routes is required"},
		{`{"route": "NullRoute", "routes": []}`, "route and routes can't both be set"},
		{`{"route": "NullRoute", "pool": {}}`, "pool: isn't supported"},
		{`{"routes": [{"aliases": ["/a/b/"], "route": "NullRoute"}]}`,
			"routes: no route is for /././, the cluster of keys without a prefix; -R selects another"},
		{`{"routes": [{"aliases": [1], "route": "NullRoute"}]}`,
			"routes[0].aliases[0]: must be a string, not a whole number"},
		{`{"routes": [{"route": "NullRoute"}]}`, "routes[0]: aliases and route are required"},
		{`{"route": {"type": "AllSyncRoute", "children": ["NullRoute", {"type": "CarbonLookasideRoute"}]}}`,
			"route.children[1].type: CarbonLookasideRoute isn't supported"},
		{`{"route": "BigValueRoute|NullRoute"}`, "route: BigValueRoute isn't supported"},
		{`{"route": "nowhere"}`, `route: there is no route "nowhere"`},
		{`{"route": 7}`, "route: must be a route, not a whole number"},
		{`{"route": ["NullRoute", "NullRoute"]}`, "route: must be one route, not 2"},
		{`{"route": {"children": []}}`, "route: the type of the route is missing"},
		{`{"route": {"type": "RandomRoute", "childs": []}}`, "route.childs: isn't supported"},
		{`{"route": "MigrateRoute|A"}`, "route: MigrateRoute has no short form: it needs a mapping with its options"},
		{`{` + pools + `"route": "PoolRoute|C"}`, `route: there is no pool "C"`},
		{`{` + pools + `"route": {"type": "PoolRoute"}}`, "route: pool is missing"},
		{`{` + pools + `"route": {"type": "PoolRoute", "pool": "A", "shard_splits": {"1": 0}}}`,
			"route.shard_splits.1: 0 is not above 0"},
		{`{` + pools + `"route": {"type": "PoolRoute", "pool": "B", "hash": "LoadBalancer"}}`,
			"route.hash.hash_func: LoadBalancer isn't supported"},
		{`{` + pools + `"route": {"type": "PoolRoute", "pool": "B", "hash": "WeightedCh3"}}`,
			"route.hash: weights is missing"},
		{`{` + pools + `"route": {"type": "PoolRoute", "pool": "B", "hash": {"hash_func": "WeightedCh3", "weights": [2]}}}`,
			"route.hash: weight 0, 2, is not in [0, 1]"},
		{`{` + pools +
			`"route": {"type": "PoolRoute", "pool": "B", "shadows": [{"target": "NullRoute", "requests_fraction": 2.0}]}}`,
			"route.shadows[0].requests_fraction: must be a number from 0 to 1"},
		{`{"pools": {"A": {}}, "route": "PoolRoute|A"}`, "pools.A: servers is missing"},
		{`{"pools": {"A.b": {"servers": ["a"]}}, "route": "NullRoute"}`,
			`pools["A.b"].servers[0]: "a" has no port in [1, 65535]`},
		{`{"pools": {"A": {"servers": ["a:1:caret"]}}, "route": "NullRoute"}`,
			`pools.A.servers[0]: "a:1:caret" has caret, which isn't supported`},
		{`{"pools": {"A": {"servers": ["a:1"], "protocol": "caret"}}, "route": "NullRoute"}`,
			"pools.A.protocol: isn't supported"},
		{`{"pools": {"A": {"servers": ["a:1"], "server_timeout": 0}}, "route": "NullRoute"}`,
			"pools.A.server_timeout: 0 is not a number of milliseconds above 0"},
		{`{"pools": {"A": {"servers": [{}]}}, "route": "NullRoute"}`,
			"pools.A.servers[0]: must be a server, not a mapping; routes in pools aren't supported"},
		{`{"pools": {"A": {"inherit": "B", "servers": []}, "B": {"inherit": "A"}}, "route": "PoolRoute|A"}`,
			"pools.A.inherit: the pool inherits from itself"},
		{`{"named_handles": {"x": {"type": "AllSyncRoute", "children": "x"}}, "route": "x"}`,
			`named_handles.x.children: route "x" contains itself`},
		{`{"route": {"type": "FailoverRoute", "children": ["NullRoute"], "failover_errors": ["bad luck"]}}`,
			"route.failover_errors[0]: unknown error bad luck"},
		{`{"route": {"type": "OperationSelectorRoute", "operation_policies": {"got": "NullRoute"}}}`,
			"route.operation_policies.got: unknown operation"},
		{`{"route": {"type": "MigrateRoute", "from": "NullRoute", "to": "NullRoute"}}`, "route: start_time is missing"},
		{`{"route": {"type": "ModifyKeyRoute", "target": "NullRoute", "set_key_suffix": "x"}}`,
			"route.set_key_suffix: isn't supported"},
		{`{"route": {"type": "ModifyExptimeRoute", "target": "NullRoute", "exptime": 1500000000}}`,
			"route.exptime: 1500000000 is above 30 days: memcached reads that as an absolute time"},
		{`{"route": {"type": "RateLimitRoute", "target": "NullRoute", "rates": {"gets_rate": 0}}}`,
			"route.rates.gets_rate: the rate and its burst must be above 0"},
		{`{"route": "@nothing(1)"}`, "route: undefined macro @nothing"},
		{`{"route": "@hash(x)"}`, "route: macro @hash isn't supported"},
		{`{"route": {"type": "shuffle", "dictionary": []}}`, "route: macro @shuffle isn't supported"},
		{`{"route": ["a", "%nothing%"]}`, "route[1]: undefined name %nothing%"},
		{`{"route": "100%"}`, `route: "100%" has an odd number of %; write \% for a literal one`},
		{`{"route": "@int(x"}`, `route: "@int(x" doesn't end with a closing bracket`},
		{`{"route": {"type": "select", "dictionary": {"a": 1}, "key": "b"}}`,
			`route: macro select: there is no key "b", and no default`},
		{`{"route": "@import(none.json)"}`,
			"route: macro import: none.json: stat testdata/none.json: no such file or directory"},
		{`{"macros": {"a": {"type": "macroDef"}}, "route": ""}`, "macros.a: the definition has no result"},
		{`{"macros": {"a": {"type": "macroDef", "result": "@a()", "params": ["x"]}}, "route": "@a()"}`,
			"macros are nested more than 200 deep; perhaps one uses itself"},
		{`{"macros": {"c": {"type": "constDef", "result": "%c%"}}, "route": "%c%"}`,
			"macros are nested more than 200 deep; perhaps one uses itself"},
		{`{"route": {"type": "range", "from": 1, "to": 9999999999}}`,
			"route: macro range: [1, 9999999999] has more than 1000000 numbers"},
	}
	for _, test := range tests {
		_, err := mcrouter.Parse([]byte(test.text), mcrouter.ParseOptions{Import: mcrouter.Files("testdata")})
		if err == nil {
			t.Errorf("%s: got no error; want %s", test.text, test.want)
			continue
		}
		if first := strings.Split(err.Error(), "\n")[0]; first != test.want &&
			!(len(test.want) > 30 && strings.HasSuffix(first, test.want)) {
			t.Errorf("%s\n got %v\nwant %s", test.text, err, test.want)
		}
	}
}

func TestAFaultIsReportedOnce(t *testing.T) {
	_, err := mcrouter.Parse([]byte(`{
		"pools": {"A": {"servers": ["a"]}},
		"named_handles": {"x": "NoRoute|1"},
		"route": {"type": "AllSyncRoute", "children": ["PoolRoute|A", {"type": "LoggingRoute", "target": "PoolRoute|A"}, "LoggingRoute|x", "Pool|A"]}
	}`), mcrouter.ParseOptions{})
	var faults route.Faults
	if !errors.As(err, &faults) || len(faults) != 2 {
		t.Errorf("got\n%v\nwant two faults", err)
	}
}

func TestHandlesCantMakeTooManyRoutes(t *testing.T) {
	var text strings.Builder
	text.WriteString(`{"named_handles": {"h0": "NullRoute"`)
	names := "h0"
	for _, letter := range "abcdefghijklmnopqrstuvwxyz" {
		text.WriteString(`, "` + string(letter) + `": {"type": "AllSyncRoute", "children": ["` + names + `", "` + names +
			`"]}`)
		names = string(letter)
	}
	text.WriteString(`}, "route": "z"}`)
	_, err := mcrouter.Parse([]byte(text.String()), mcrouter.ParseOptions{})
	if err == nil || !strings.Contains(err.Error(), "there are more than 20000 routes") {
		t.Errorf("got %v; want that there are too many routes", err)
	}
}

func FuzzParse(f *testing.F) {
	paths, _ := filepath.Glob("testdata/*.json")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add(`{"route": "@if(@less(1,2),@str(@add(@int(1),2)),@define(\\%a\\%))"}`)
	f.Fuzz(func(t *testing.T, text string) {
		o, err := mcrouter.Parse([]byte(text), mcrouter.ParseOptions{})
		if err != nil {
			return
		}
		o.SetDefaults()
		if faults := o.Check(); len(faults) > 0 {
			t.Logf("read, but %v", faults)
		}
	})
}
