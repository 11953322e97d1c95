package twemproxy_test

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast/config/twemproxy"
	"holdfast/route"
)

func TestParse(t *testing.T) {
	text, err := os.ReadFile("testdata/nutcracker.yml")
	if err != nil {
		t.Fatal(err)
	}
	var warnings []string
	got, err := twemproxy.Parse(text, twemproxy.ParseOptions{Warn: func(f route.Fault) {
		warnings = append(warnings,
			f.String())
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := twemproxy.File{
		Options: route.Options{Pools: []route.Pool{
			{
				Name: "alpha", Connections: 1, OnError: route.ErrorAsError,
				Hash:    route.Hash{Placement: "ketama", Function: "fnv1a_64"},
				Members: []route.Member{{Address: "127.0.0.1:11211"}, {Address: "127.0.0.1:11212", Weight: 3}},
				Eject:   true, SoftErrors: 1, ProbeMin: 2 * time.Second, ProbeMax: 2 * time.Second,
			},
			{
				Name: "beta", Connections: 2, OnError: route.ErrorAsError,
				Hash: route.Hash{Placement: "modulo", Function: "md5", Tag: "{}"},
				Members: []route.Member{
					{Address: "127.0.0.1:11213", Name: "server1"}, {Address: "unix:/tmp/server.sock", Name: "/tmp/server.sock:"},
					{Address: "[::1]:11211", Name: "::1"},
				},
				Timeout: 400 * time.Millisecond, ConnectTimeout: 400 * time.Millisecond,
			},
			{
				Name: "gamma", Connections: 1, OnError: route.ErrorAsError,
				Hash:    route.Hash{Placement: "random", Function: "fnv1a_64"},
				Members: []route.Member{{Address: "cache.example.com:11214"}},
				Timeout: 250 * time.Millisecond, ConnectTimeout: 250 * time.Millisecond,
				Eject: true, SoftErrors: 2, ProbeMin: 30 * time.Second, ProbeMax: 30 * time.Second,
			},
		}},
		Listeners: []twemproxy.Listener{
			{Address: "127.0.0.1:22121", Pool: "alpha"}, {Address: "unix:/tmp/beta", Mode: 0o666, Pool: "beta"},
			{Address: "0.0.0.0:22123", Pool: "gamma"},
		},
		Backlog: 1024,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	wantWarnings := []string{
		"alpha.client_connections: has no effect, as in twemproxy: router.connections is the limit of all clients",
		"alpha: no timeout: twemproxy would wait forever, here a request times out after 1s",
		"beta.preconnect: has no effect here",
	}
	if !reflect.DeepEqual(warnings, wantWarnings) {
		t.Errorf("got warnings %q; want %q", warnings, wantWarnings)
	}
	got.Options.SetDefaults()
	if faults := got.Options.Check(); len(faults) > 0 {
		t.Errorf("got faults %v", faults)
	}
}

func TestFaultsNameThePlace(t *testing.T) {
	const servers = "listen: 'h:1', timeout: 1, servers: ['h:2:1']"
	tests := []struct{ text, want string }{
		{"", "the file must be a mapping of pools"},
		{"a: [", "not YAML"},
		{"a: 1", "a: must be a mapping: the settings of a pool"},
		{"a: {listen: 'h:1', timeout: 1}", "a: no servers"},
		{"a: {servers: ['h:2:1'], timeout: 1}", "a.listen: missing"},
		{"a: {" + servers + ", redis: true}", "a.redis: a pool for Redis isn't supported"},
		{"a: {" + servers + ", redis_auth: x}", "a.redis_auth: a pool for Redis isn't supported"},
		{"a: {" + servers + ", distribution: even}", `a.distribution: "even" is none of ketama, modula, random`},
		{"a: {" + servers + ", backlog: -1}", `a.backlog: "-1" is not a whole number, 0 or more`},
		{"a: {" + servers + ", server_connections: 0}", "a.server_connections: must be above 0"},
		{"a: {" + servers + ", auto_eject_hosts: yes}", `a.auto_eject_hosts: "yes" is neither true nor false`},
		{"a: {" + servers + ", hsah: md5}", "a.hsah: unknown setting"},
		{"a: {listen: /s 9, timeout: 1, servers: ['h:2:1']}", `a.listen: "9" is not an access mode in octal`},
		{"a: {listen: 'h:1', timeout: 1, servers: ['h:2']}",
			`a.servers[0]: "h:2" is neither HOST:PORT:WEIGHT nor /PATH:WEIGHT, optionally followed by a name`},
		{"a: {listen: 'h:1', timeout: 1, servers: ['h:2:0']}",
			`a.servers[0]: "h:2:0" has a weight that is not a whole number above 0`},
	}
	for _, test := range tests {
		_, err := twemproxy.Parse([]byte(test.text), twemproxy.ParseOptions{})
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s\n got %v\nwant %s", test.text, err, test.want)
		}
	}
}

func TestIs(t *testing.T) {
	for text, want := range map[string]bool{
		"a: {servers: ['h:1:1']}":           true,
		"a:\n  servers:\n   - h:1:1\nb: {}": false,
		"cache: {memory: 1GiB}":             false,
		"router: {pools: [{name: a}]}":      false,
		`{"pools": {"A": {"servers": []}}}`: false,
		"":                                  false,
		"- a":                               false,
		"a: [":                              false,
		"pools: {servers: ['h:1:1']}":       true,
	} {
		if got := twemproxy.Is([]byte(text)); got != want {
			t.Errorf("%s: got %v; want %v", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	text, err := os.ReadFile("testdata/nutcracker.yml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Fuzz(func(t *testing.T, text string) {
		if file, err := twemproxy.Parse([]byte(text), twemproxy.ParseOptions{}); err == nil &&
			len(file.Listeners) != len(file.Options.Pools) {
			t.Errorf("got %d listeners for %d pools", len(file.Listeners), len(file.Options.Pools))
		}
	})
}
