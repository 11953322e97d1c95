package wire

import (
	"fmt"
	"strings"
	"testing"
)

// The common setups of mcrouter's wiki, each in mcrouter's own form in front of real memcacheds,
// with the behaviour that the wiki describes.
var mcrouterSetups = []struct {
	name    string
	members int
	config  string // M0, M1, … are the members' addresses
	steps   []mcrouterStep
}{
	{
		name: "sharded pool", members: 3,
		config: `{"pools": {"A": {"servers": ["M0", "M1", "M2"]}}, "route": "PoolRoute|A"} // each key on one`,
		steps: []mcrouterStep{
			{"set user:1 0 0 1\r\nx\r\nset user:2 0 0 1\r\ny\r\n", "STORED\r\nSTORED\r\n"},
			{"get user:1 user:2\r\n", "VALUE user:1 0 1\r\nx\r\nVALUE user:2 0 1\r\ny\r\nEND\r\n"},
			{"held user:1", "1"},
			{"delete user:1\r\n", "DELETED\r\n"},
			{"held user:1", "0"},
		},
	},
	{
		name: "replicated pool", members: 3,
		config: `{
			"pools": {"A": {"servers": ["M0", "M1", "M2"]}},
			"route": {
				"type": "OperationSelectorRoute",
				"operation_policies": {
					"add": "AllSyncRoute|Pool|A", "delete": "AllSyncRoute|Pool|A",
					"get": "LatestRoute|Pool|A", "set": "AllSyncRoute|Pool|A"
				}
			}
		}`,
		steps: []mcrouterStep{
			{"set k 0 0 1\r\nx\r\n", "STORED\r\n"},
			{"held k", "3"},
			{"get k\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n"},
			{"delete k\r\n", "DELETED\r\n"},
			{"held k", "0"},
		},
	},
	{
		name: "prefix routing", members: 3,
		config: `{
			"pools": {"workload1": {"servers": ["M0"]}, "workload2": {"servers": ["M1"]}, "common_cache": {"servers": ["M2"]}},
			"route": {
				"type": "PrefixSelectorRoute",
				"policies": {"a": "PoolRoute|workload1", "b": "PoolRoute|workload2"},
				"wildcard": "PoolRoute|common_cache"
			}
		}`,
		steps: []mcrouterStep{
			{"set a:1 0 0 1\r\nx\r\nset b:1 0 0 1\r\nx\r\nset c:1 0 0 1\r\nx\r\n", strings.Repeat("STORED\r\n", 3)},
			{"at 0 a:1", "1"}, {"at 1 b:1", "1"}, {"at 2 c:1", "1"}, {"held a:1", "1"}, {"held b:1", "1"}, {"held c:1", "1"},
		},
	},
	{
		name: "shadowing", members: 2,
		config: `{
			"pools": {"A": {"servers": ["M0"]}, "test": {"servers": ["M1"]}},
			"route": {"type": "PoolRoute", "pool": "A", "shadows": [
				{"target": "PoolRoute|test", "index_range": [0, 1], "key_fraction_range": [0, 1]}
			]}
		}`,
		steps: []mcrouterStep{
			{"set k 0 0 1\r\nx\r\n", "STORED\r\n"},
			{"at 0 k", "1"}, {"at 1 k", "1"}, // the copy may come later
		},
	},
	{
		name: "cold cache warm-up", members: 2,
		config: `{
			"pools": {"cold": {"servers": ["M0"]}, "warm": {"servers": ["M1"]}},
			"route": {"type": "WarmUpRoute", "cold": "PoolRoute|cold", "warm": "PoolRoute|warm"}
		}`,
		steps: []mcrouterStep{
			{"direct 1 set k 5 100 1\r\nx\r\n", "STORED\r\n"},
			{"get k\r\n", "VALUE k 5 1\r\nx\r\nEND\r\n"},
			{"at 0 k", "1"},
		},
	},
	{
		name: "failover", members: 2,
		config: `{
			"pools": {"main": {"servers": ["127.0.0.1:1"]}, "gutter": {"servers": ["M0"]}},
			"route": {
				"type": "FailoverWithExptimeRoute", "normal": "PoolRoute|main", "failover": "PoolRoute|gutter",
				"failover_exptime": 60
			}
		}`,
		steps: []mcrouterStep{
			{"set k 0 0 1\r\nx\r\n", "STORED\r\n"}, // nobody listens at port 1
			{"get k\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n"},
			{"direct 0 mg k t\r\n", "HD t60\r\n"},
		},
	},
	{
		name: "clusters", members: 3,
		config: `{
			"pools": {"A": {"servers": ["M0"]}, "B": {"servers": ["M1"]}, "C": {"servers": ["M2"]}},
			"routes": [
				{"aliases": ["/datacenter1/clusterA/"], "route": "PoolRoute|A"},
				{"aliases": ["/datacenter1/clusterB/"], "route": "PoolRoute|B"},
				{"aliases": ["/datacenter2/clusterC/"], "route": "PoolRoute|C"}
			]
		}`,
		steps: []mcrouterStep{
			{"set k 0 0 1\r\na\r\nset /datacenter1/clusterB/k 0 0 1\r\nb\r\nset /datacenter2/clusterC/k 0 0 1\r\nc\r\n",
				strings.Repeat("STORED\r\n", 3)},
			{"get k /datacenter2/clusterC/k\r\n", "VALUE k 0 1\r\na\r\nVALUE /datacenter2/clusterC/k 0 1\r\nc\r\nEND\r\n"},
			{"held k", "3"},
			{"delete /datacenter1/*/k\r\n", "DELETED\r\n"},
			{"held k", "1"}, {"at 2 k", "1"},
			{"delete /*/*/k\r\n", "NOT_FOUND\r\n"}, // the nearest one's answer
			{"held k", "0"},
		},
	},
	{
		name: "two levels", members: 4,
		config: `{
			"pools": {"A": {"servers": ["M0", "M1"]}, "B": {"servers": ["M2", "M3"]}},
			"route": {
				"type": "OperationSelectorRoute",
				"operation_policies": {"delete": {"type": "AllSyncRoute", "children": ["PoolRoute|A", "PoolRoute|B"]}},
				"default_policy": {"type": "HashRoute", "children": ["PoolRoute|A", "PoolRoute|B"], "hash_func": "Crc32"}
			}
		}`,
		steps: []mcrouterStep{
			{"set k 0 0 1\r\nx\r\n", "STORED\r\n"},
			{"held k", "1"},
			{"get k\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n"},
			{"delete k\r\n", "NOT_FOUND\r\n"}, // the worst answer
			{"held k", "0"},
		},
	},
}

// A mcrouterStep is a request to the router, or "direct N REQUEST" to a member, and its answer; or
// "held KEY", how many members hold the key; or "at N KEY", whether that member does.
type mcrouterStep struct{ ask, want string }

func TestRouterMcrouterSetups(t *testing.T) {
	for _, setup := range mcrouterSetups {
		t.Run(setup.name, func(t *testing.T) {
			members := startMembers(t, setup.members)
			config := setup.config
			for i, m := range members {
				config = strings.ReplaceAll(config, fmt.Sprintf(`"M%d"`, i), `"`+m.addr+`"`)
			}
			address := freeAddress(t)
			_, port, _ := strings.Cut(address, ":")
			router := startProgram(t, address, config,
				ours(t).argv[0], "router", "-R", "/datacenter1/clusterA/", "-p", port, "-f")
			run := mcrouterRun{t, talk(t, router), nil}
			for _, m := range members {
				run.members = append(run.members, talk(t, m))
			}
			for _, step := range setup.steps {
				eventually(t, fmt.Sprintf("%q is answered with %q", step.ask, step.want), func() bool { return run.do(step) })
			}
		})
	}
}

// A mcrouterRun is a router with its members.
type mcrouterRun struct {
	t       *testing.T
	router  *talker
	members []*talker
}

// do runs a step. It repeats only the steps about what members hold, since copies may come later.
func (r *mcrouterRun) do(step mcrouterStep) bool {
	verb, rest, _ := strings.Cut(step.ask, " ")
	switch verb {
	case "held":
		held := 0
		for i := range r.members {
			held += r.holds(i, rest)
		}
		return fmt.Sprint(held) == step.want
	case "at":
		n, key, _ := strings.Cut(rest, " ")
		return fmt.Sprint(r.holds(int(n[0]-'0'), key)) == step.want
	case "direct":
		n, request, _ := strings.Cut(rest, " ")
		r.check(r.members[n[0]-'0'], request, step.want)
	default:
		r.check(r.router, step.ask, step.want)
	}
	return true
}

func (r *mcrouterRun) check(to *talker, request, want string) {
	r.t.Helper()
	answer := ""
	for _, one := range splitRequests(request) {
		got, err := to.ask(one)
		if err != nil {
			r.t.Fatalf("%q: %v", one, err)
		}
		answer += got
	}
	if answer != want {
		r.t.Fatalf("%q: got %q; want %q", request, answer, want)
	}
}

// holds is 1 if the member holds the key, else 0.
func (r *mcrouterRun) holds(member int, key string) int {
	answer, err := r.members[member].ask("get " + key + "\r\n")
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.Count(answer, "VALUE ")
}

// splitRequests returns the requests one by one; of these, only sets have a second line.
func splitRequests(text string) []string {
	var requests []string
	lines := strings.SplitAfter(text, "\r\n")
	for i := 0; i < len(lines)-1; i++ {
		one := lines[i]
		if strings.HasPrefix(one, "set ") {
			i++
			one += lines[i]
		}
		requests = append(requests, one)
	}
	return requests
}
