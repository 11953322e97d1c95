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

// TestServers parses servers in all forms, alone in a pool.
func TestServers(t *testing.T) {
	for server, want := range map[string]string{
		"h:1":                           "h:1",
		"10.0.0.1:65535":                "10.0.0.1:65535",
		"[::1]:5":                       "[::1]:5",
		"[fd00::2]:5:ascii":             "[fd00::2]:5",
		"h:1:ascii":                     "h:1",
		"h:1:ascii:plain":               "h:1",
		"h:1:ascii:plain:":              "h:1",
		"h:1::plain":                    "h:1",
		"h:1:ascii:plain:notcompressed": "h:1",
		"unix:/run/s":                   "unix:/run/s",
		"unix:/run/s:ascii:plain":       "unix:/run/s",
		"h:1:caret":                     `"h:1:caret" has caret, which isn't supported`,
		"h:1:ascii:ssl":                 `"h:1:ascii:ssl" has ssl, which isn't supported`,
		"h:1:ascii:plain:compressed":    `"h:1:ascii:plain:compressed" has compressed, which isn't supported`,
		"h:1:ascii:plain::x":            `"h:1:ascii:plain::x" is not HOST:PORT`,
		"unix:/run/s:ssl":               `"unix:/run/s:ssl" has ssl, which isn't supported`,
		"h":                             `"h" has no port in [1, 65535]`,
		"h:0":                           `"h:0" has no port in [1, 65535]`,
		"h:65536":                       `"h:65536" has no port in [1, 65535]`,
		"h:-1":                          `"h:-1" has no port in [1, 65535]`,
		":1":                            `":1" is not HOST:PORT`,
		"unix:":                         `"unix:" is not HOST:PORT`,
		"[::1:5":                        `"[::1:5" has no ]`,
		"":                              `"" is not HOST:PORT`,
	} {
		o, err := mcrouter.Parse(fmt.Appendf(nil, `{"pools": {"A": {"servers": [%q]}}, "route": "NullRoute"}`, server),
			mcrouter.ParseOptions{})
		got := ""
		if err != nil {
			got = strings.TrimPrefix(err.Error(), "pools.A.servers[0]: ")
		} else {
			got = o.Pools[0].Members[0].Address
		}
		if got != want {
			t.Errorf("%s: got %s; want %s", server, got, want)
		}
	}
}

// TestTimeoutsByDistance compares the time-out of pools at every distance from the default cluster,
// with each of the flags set or not, with mcrouter's rule: the nearest description that fits wins.
func TestTimeoutsByDistance(t *testing.T) {
	flags := []time.Duration{1000, 2000, 3000} // milliseconds: another region, another cluster, the same one
	for set := range 8 {
		o := mcrouter.ParseOptions{RoutePrefix: "/r/c/", ServerTimeout: 700 * time.Millisecond}
		for i, field := range []*time.Duration{&o.CrossRegionTimeout, &o.CrossClusterTimeout, &o.WithinClusterTimeout} {
			if set&(1<<i) != 0 {
				*field = flags[i] * time.Millisecond
			}
		}
		for _, own := range []int{0, 400} {
			for distance, place := range []string{`"region": "x", "cluster": "c"`, `"region": "r", "cluster": "x"`,
				`"region": "r", "cluster": "c"`, `"region": "r"`, `"cluster": "c"`, ``} {
				options := []string{`"servers": ["h:1"]`}
				want := 700 * time.Millisecond
				if own > 0 {
					options = append(options, fmt.Sprintf(`"server_timeout": %d`, own))
					want = time.Duration(own) * time.Millisecond
				}
				connect := want
				if distance < 3 && set&(1<<distance) != 0 {
					want = flags[distance] * time.Millisecond
				}
				if place != "" {
					options = append(options, place)
				}
				text := `{"pools": {"A": {` + strings.Join(options, ", ") + `}}, "route": "PoolRoute|A"}`
				got, err := mcrouter.Parse([]byte(text), o)
				if err != nil || got.Pools[0].Timeout != want || got.Pools[0].ConnectTimeout != connect {
					t.Errorf("%s with flags %03b: got %v, %+v; want %v, and %v to connect", text, set, err, got.Pools, want,
						connect)
				}
			}
		}
	}
}

// TestInheritAgainstAModel has pools that inherit from each other, in any order of the file. An
// option is that of the nearest pool that has it.
func TestInheritAgainstAModel(t *testing.T) {
	options := []string{"servers", "server_timeout", "connect_timeout", "port_override", "keep_routing_prefix", "weights"}
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 4))
		n := 2 + r.IntN(5)
		own, parents, lines := make([]map[string]int, n), make([]int, n), make([]string, n)
		for i := range n {
			own[i], parents[i] = map[string]int{}, r.IntN(i+1)-1 // -1 is none; otherwise one before it
			var fields []string
			for _, option := range options {
				if r.IntN(3) > 0 && (parents[i] >= 0 || option != "servers") {
					continue
				}
				value := 1 + r.IntN(1000)
				own[i][option] = value
				text := fmt.Sprint(value)
				switch option {
				case "servers":
					text = fmt.Sprintf(`["h%d:1", "h:%d"]`, value, value)
				case "keep_routing_prefix":
					text = fmt.Sprint(value%2 == 0)
				case "weights":
					text = fmt.Sprintf("[%v]", float64(value)/1000)
				}
				fields = append(fields, fmt.Sprintf("%q: %s", option, text))
			}
			if parents[i] >= 0 {
				fields = append(fields, fmt.Sprintf(`"inherit": "p%d"`, parents[i]))
			}
			lines[i] = fmt.Sprintf(`"p%d": {%s}`, i, strings.Join(fields, ", "))
		}
		order := r.Perm(n)
		var text []string
		for _, i := range order {
			text = append(text, lines[i])
		}
		file := `{"route": "NullRoute", "pools": {` + strings.Join(text, ", ") + "}}"
		o, err := mcrouter.Parse([]byte(file), mcrouter.ParseOptions{})
		if err != nil || len(o.Pools) != n {
			t.Fatalf("seed %d: %s: got %d pools, %v", seed, file, len(o.Pools), err)
		}
		for at, i := range order {
			value := func(option string) int {
				for p := i; p >= 0; p = parents[p] {
					if v, found := own[p][option]; found {
						return v
					}
				}
				return 0
			}
			if got, want := o.Pools[at], inherited(i, value); !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d: %s:\ngot  %+v\nwant %+v", seed, file, got, want)
			}
		}
	}
}

// inherited returns the pool with these values of its options, 0 for those that no pool sets.
func inherited(i int, value func(option string) int) route.Pool {
	milliseconds := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	p := route.Pool{Name: fmt.Sprintf("p%d", i), SoftErrors: 3, ProbeMin: 10 * time.Second, ProbeMax: time.Minute,
		OnError: route.ErrorAsError, Journal: true, Timeout: time.Second, Hash: route.Hash{Placement: "ch3"}}
	if n := value("server_timeout"); n > 0 {
		p.Timeout = milliseconds(n)
	}
	if p.ConnectTimeout = p.Timeout; value("connect_timeout") > 0 {
		p.ConnectTimeout = milliseconds(value("connect_timeout"))
	}
	n := value("servers")
	ports := []int{1, n}
	if port := value("port_override"); port > 0 {
		ports = []int{port, port}
	}
	p.Members = []route.Member{{Address: fmt.Sprintf("h%d:%d", n, ports[0])}, {Address: fmt.Sprintf("h:%d", ports[1])}}
	if w := value("weights"); w > 0 {
		p.Hash = route.Hash{Placement: "weighted_ch3", Weights: []float64{float64(w) / 1000, 0.5}}
	}
	p.KeepRoutingPrefix = value("keep_routing_prefix") > 0 && value("keep_routing_prefix")%2 == 0
	return p
}

// TestTheFirstRouteSetsThePoolsHash has several routes to one pool with hashes of their own: the
// pool has the first one's, and the others state theirs where it differs.
func TestTheFirstRouteSetsThePoolsHash(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 6))
		var children []string
		var hashes []route.Hash
		for range 1 + r.IntN(4) {
			salt, weight := []string{"", "x", "y"}[r.IntN(3)], []float64{0.25, 0.75}[r.IntN(2)]
			switch r.IntN(3) {
			case 0:
				children = append(children, `"PoolRoute|A"`)
				hashes = append(hashes, route.Hash{Placement: "ch3"})
			case 1:
				children = append(children, fmt.Sprintf(
					`{"type": "PoolRoute", "pool": "A", "hash": {"hash_func": "ConstShard", "salt": %q}}`, salt))
				hashes = append(hashes, route.Hash{Placement: "const_shard", Salt: salt})
			default:
				children = append(children, fmt.Sprintf(
					`{"type": "PoolRoute", "pool": "A", "hash": {"hash_func": "WeightedCh3", "weights": [%v, 1, 0, 0]}}`, weight))
				hashes = append(hashes, route.Hash{Placement: "weighted_ch3", Weights: []float64{weight, 1}})
			}
		}
		text := `{"pools": {"A": {"servers": ["a:1", "a:2"]}}, "route": {"type": "AllSyncRoute", "children": [` +
			strings.Join(children, ", ") + "]}}"
		o, err := mcrouter.Parse([]byte(text), mcrouter.ParseOptions{})
		if err != nil {
			t.Fatalf("seed %d: %s: %v", seed, text, err)
		}
		var got []route.Hash
		for _, child := range o.Route.Children {
			if h := child.Hash; h.IsZero() {
				got = append(got, o.Pools[0].Hash)
			} else {
				got = append(got, h)
			}
		}
		if !reflect.DeepEqual(got, hashes) || !o.Route.Children[0].Hash.IsZero() ||
			slices.ContainsFunc(o.Route.Children,
				func(c route.Route) bool { return reflect.DeepEqual(c.Hash, o.Pools[0].Hash) }) {
			t.Errorf("seed %d: %s: got hashes %+v in %+v; want %+v", seed, text, got, o.Route.Children, hashes)
		}
	}
}

// TestPoolFaults has the faults of pools that other tests don't have.
func TestPoolFaults(t *testing.T) {
	const server = `"servers": ["a:1"]`
	for pools, want := range map[string]string{
		`{"A": 5}`:                  "pools.A: must be a mapping, not a whole number",
		`{"A": {"servers": "a:1"}}`: "pools.A: servers must be a list, not a string",
		`{"A": {` + server + `, "port_override": 65536}}`:                                             "pools.A.port_override: 65536 is not a port",
		`{"A": {` + server + `, "port_override": -1}}`:                                                "pools.A.port_override: -1 is not a port",
		`{"A": {` + server + `, "tags": ["x", "y"]}}`:                                                 "pools.A.tags: 2 tags for 1 servers",
		`{"A": {` + server + `, "tags": [1]}}`:                                                        "pools.A.tags[0]: must be a string, not a whole number",
		`{"A": {` + server + `, "weights": ["x"]}}`:                                                   "pools.A.weights[0]: must be a number, not a string",
		`{"A": {` + server + `, "inherit": "B"}}`:                                                     "pools.A.inherit: there is no pool \"B\"",
		`{"A": {` + server + `, "inherit": ["B"]}}`:                                                   "pools.A.inherit: must be the name of a pool, not a list",
		`{"A": {` + server + `, "inherit": "A"}}`:                                                     "pools.A.inherit: the pool inherits from itself",
		`{"A": {` + server + `, "additional_fanout": 1}}`:                                             "pools.A.additional_fanout: isn't supported",
		`{"A": {` + server + `, "server_timeout": 1000000001}}`:                                       "pools.A.server_timeout: 1000000001 is not a number of milliseconds above 0",
		`{"A": {` + server + `, "keep_routing_prefix": "yes"}}`:                                       "pools.A.keep_routing_prefix: must be true or false, not a string",
		`{"A": {` + server + `, "security_mech_cross_dc": "tls"}}`:                                    "pools.A.security_mech_cross_dc: isn't supported",
		`{"A": {` + server + `, "use_ssl": false, "enable_compression": false, "protocol": "ascii"}}`: "",
	} {
		_, err := mcrouter.Parse([]byte(`{"pools": `+pools+`, "route": "NullRoute"}`), mcrouter.ParseOptions{})
		if got := strings.Split(fmt.Sprint(err), "\n")[0]; got != want && (want != "" || err != nil) {
			t.Errorf("%s: got %s; want %s", pools, got, want)
		}
	}
}
