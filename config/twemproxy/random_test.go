package twemproxy_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast/config"
	"holdfast/config/twemproxy"
	"holdfast/route"
)

// setting returns a random line of a pool, or nothing.
func setting(r *rand.Rand) string {
	lines := []string{
		"hash: md5", "hash: crc32a", "distribution: modula", "distribution: random", "hash_tag: '{}'", "timeout: 400",
		"backlog: 1", "backlog: 2000", "preconnect: true", "preconnect: false", "server_connections: 3",
		"auto_eject_hosts: true", "server_retry_timeout: 2000", "server_failure_limit: 1", "client_connections: 5",
	}
	return lines[r.IntN(len(lines))]
}

// TestRandomPools parses files of random pools. Each pool has its listener and its settings,
// whatever other settings there are; the backlog is the largest; and the pools print as a file of
// Holdfast's that parses to the same options.
func TestRandomPools(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for range 400 {
		var text strings.Builder
		pools := 1 + r.IntN(3)
		set := make([]map[string]string, pools)
		backlog := 0
		for i := range pools {
			fmt.Fprintf(&text, "p%d:\n  listen: 127.0.0.1:%d\n  servers:\n", i, 22121+i)
			for j := range 1 + r.IntN(3) {
				fmt.Fprintf(&text, "   - 10.0.0.%d:11212:%d s%d\n", j+1, 1+r.IntN(3), j)
			}
			set[i] = make(map[string]string)
			for range r.IntN(8) {
				line := setting(r)
				key, value, _ := strings.Cut(line, ": ")
				if set[i][key] == "" {
					set[i][key] = value
					fmt.Fprintf(&text, "  %s\n", line)
				}
			}
			switch set[i]["backlog"] {
			case "":
				backlog = max(backlog, 512)
			case "2000":
				backlog = 2000
			}
			backlog = max(backlog, 1)
		}
		if !twemproxy.Is([]byte(text.String())) {
			t.Errorf("%s: got that it is another's file", text.String())
		}
		f, err := twemproxy.Parse([]byte(text.String()), twemproxy.ParseOptions{})
		if err != nil {
			t.Fatalf("%s: got %v", text.String(), err)
		}
		if len(f.Listeners) != pools || len(f.Options.Pools) != pools || f.Backlog != backlog {
			t.Fatalf("%s: got %+v; want %d pools and listeners, backlog %d", text.String(), f, pools, backlog)
		}
		for i, p := range f.Options.Pools {
			if f.Listeners[i].Pool != p.Name {
				t.Errorf("%s: got a listener of %s for %s", text.String(), f.Listeners[i].Pool, p.Name)
			}
			if fault := wrong(p, set[i]); fault != "" {
				t.Errorf("%s: got %s wrong in %+v", text.String(), fault, p)
			}
		}
		checkPrinted(t, text.String(), f)
	}
}

// wrong names a setting of a pool that differs from the file's, "" if all are right.
func wrong(p route.Pool, set map[string]string) string {
	or := func(key, byDefault string) string {
		if set[key] != "" {
			return set[key]
		}
		return byDefault
	}
	placement := map[string]string{"modula": "modulo"}[or("distribution", "")]
	if placement == "" {
		placement = or("distribution", "ketama")
	}
	eject := set["auto_eject_hosts"] == "true"
	probe, failures := time.Duration(0), 0
	if eject {
		probe, failures = 30*time.Second, 2
		if set["server_retry_timeout"] != "" {
			probe = 2 * time.Second
		}
		if set["server_failure_limit"] != "" {
			failures = 1
		}
	}
	switch {
	case p.Hash.Function != or("hash", "fnv1a_64"), p.Hash.Placement != placement:
		return "the hash"
	case p.Hash.Tag != strings.Trim(set["hash_tag"], "'"):
		return "the tag"
	case (p.Timeout == 400*time.Millisecond) != (set["timeout"] != ""), p.ConnectTimeout != p.Timeout:
		return "the timeout"
	case fmt.Sprint(p.Connections) != or("server_connections", "1"):
		return "the connections"
	case p.Eject != eject, p.ProbeMin != probe, p.ProbeMax != probe, p.SoftErrors != failures:
		return "when servers are ejected"
	}
	return ""
}

// checkPrinted prints the pools as a file of Holdfast's, and parses it.
func checkPrinted(t *testing.T, text string, f twemproxy.File) {
	t.Helper()
	o := f.Options
	o.Route = route.Route{Kind: route.KindPool, Pool: o.Pools[0].Name}
	o.SetDefaults()
	if faults := o.Check(); len(faults) > 0 {
		t.Errorf("%s: got %v", text, faults)
		return
	}
	printed := config.NewMcrouter(o).Print()
	c, err := config.Parse(printed)
	if err != nil {
		t.Errorf("%s: printed\n%s\ngot %v", text, printed, err)
	} else if !reflect.DeepEqual(c.Router.Options, o) {
		t.Errorf("%s: printed\n%s\ngot %+v; want %+v", text, printed, c.Router.Options, o)
	}
}
