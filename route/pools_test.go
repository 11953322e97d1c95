package route_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"holdfast/route"
)

// TestCyclesOfPools compares the faults of random failovers and warm_froms with a plain search: a
// pool that its own way leads back to has a fault, and no other.
func TestCyclesOfPools(t *testing.T) {
	found := 0
	for seed := range uint64(1000) {
		rnd := rand.New(rand.NewPCG(seed, 8))
		n := 1 + rnd.IntN(5)
		next := [2][]int{make([]int, n), make([]int, n)}
		var o route.Options
		for i := range n {
			p := route.Pool{Name: fmt.Sprint("p", i), Members: members("h:1")}
			for field, name := range []*string{&p.Failover, &p.WarmFrom} {
				next[field][i] = rnd.IntN(n+2) - 2
				if to := next[field][i]; to >= 0 {
					*name = fmt.Sprint("p", to)
				}
			}
			o.Pools = append(o.Pools, p)
		}
		o.SetDefaults()
		got := map[string]bool{}
		for _, f := range o.Check() {
			if !strings.HasPrefix(f.Text, "forms a cycle: ") {
				t.Fatalf("seed %d: got %v", seed, f)
			}
			got[f.Path] = true
		}
		want := 0
		for field, name := range []string{"failover", "warm_from"} {
			for i := range n {
				at := next[field][i]
				for steps := 0; at >= 0 && at != i && steps < n; steps++ {
					at = next[field][at]
				}
				path := fmt.Sprintf(`pools[%d] "p%d".%s`, i, i, name)
				if at == i {
					want++
				}
				if got[path] != (at == i) {
					t.Fatalf("seed %d: %s: got a fault: %v; want %v; next are %v", seed, path, got[path], at == i, next[field])
				}
			}
		}
		if len(got) != want {
			t.Fatalf("seed %d: got faults %v; want %d", seed, got, want)
		}
		found += want
	}
	if found < 100 {
		t.Errorf("only %d cycles in all seeds", found)
	}
}

func TestAddressesOfMembers(t *testing.T) {
	for _, address := range []string{"cache", "h:1", "h:65535", "127.0.0.1:11211", "[::1]:11211", "unix:/run/m.sock",
		"unix:m", "dns:caches.example:11211", "srv:_memcache._tcp.example"} {
		o := route.Options{Pools: []route.Pool{{Name: "p", Members: members(address)}}}
		o.SetDefaults()
		if f := o.Check(); len(f) > 0 {
			t.Errorf("%q: got %v; want no fault", address, f)
		}
		if got := o.Pools[0].Members[0]; got.Name != address || got.Weight != 1 {
			t.Errorf("%q: got name %q and weight %d; want the address and 1", address, got.Name, got.Weight)
		}
	}
	for address, want := range map[string]string{
		"": `"" is not HOST:PORT`, "h": `"h" is not HOST:PORT`, ":1": `":1" is not HOST:PORT`, "h:": `port "" is not in`,
		"h:0": `port "0" is not in`, "h:65536": `port "65536" is not in`, "h:-1": `port "-1" is not in`,
		"h:x": `port "x" is not in`, "::1:1": `"::1:1" is not HOST:PORT`, "unix:": "the path is missing",
		"srv:": "the name is missing", "dns:": `"" is not HOST:PORT`, "dns:h": `"h" is not HOST:PORT`,
		"dns:h:0": `port "0" is not in`, "Cache": `"Cache" is not HOST:PORT`,
	} {
		o := route.Options{Pools: []route.Pool{{Name: "p", Members: members(address)}}}
		o.SetDefaults()
		if f := o.Check(); len(f) != 1 || !strings.HasPrefix(f[0].Text, want) {
			t.Errorf("%q: got %v; want one fault, %s", address, f, want)
		}
	}
}

// TestDefaultsOfPools checks the defaults that the comments of Pool promise, and those that depend
// on other settings.
func TestDefaultsOfPools(t *testing.T) {
	defaults := func(change func(p *route.Pool)) route.Pool {
		p := route.Pool{Name: "p", Members: members("h:1", "h:2")}
		change(&p)
		o := route.Options{Pools: []route.Pool{p, {Name: "g", Members: members("h:3")}}}
		o.SetDefaults()
		if f := o.Check(); len(f) > 0 {
			t.Errorf("got %v; want no faults of %+v", f, o.Pools[0])
		}
		return o.Pools[0]
	}
	p := defaults(func(*route.Pool) {})
	for name, c := range map[string]struct{ got, want any }{
		"kind": {p.Kind, route.Sharded}, "placement": {p.Hash.Placement, "rendezvous"}, "timeout": {p.Timeout, time.Second},
		"connect_timeout": {p.ConnectTimeout, time.Second}, "connections": {p.Connections, 1},
		"soft_errors": {p.SoftErrors, 3}, "probe_min": {p.ProbeMin, 100 * time.Millisecond},
		"probe_max": {p.ProbeMax, 10 * time.Second}, "failover_ttl": {p.FailoverTTL, time.Duration(0)},
		"max_in_flight": {p.MaxInFlight, 10_000}, "on_error": {p.OnError, route.ErrorAsError},
		"acknowledge": {p.Acknowledge, route.Acknowledge("")}, "read": {p.Read, route.ReadPolicy("")},
		"refill_rate": {p.RefillRate, 0},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %v; want %v", name, c.got, c.want)
		}
	}
	r := defaults(func(p *route.Pool) { p.Kind = route.Replicated })
	if r.Acknowledge != route.AckAll || r.Read != route.ReadRandom || r.RefillRate != 10_000 || !r.Hash.IsZero() {
		t.Errorf("got replicated pool %+v", r)
	}
	if got := defaults(func(p *route.Pool) { p.Kind, p.RefillRate = route.Replicated, -1 }).RefillRate; got != -1 {
		t.Errorf("got refill_rate %d; want -1, which is none", got)
	}
	if got := defaults(func(p *route.Pool) { p.Failover = "g" }).FailoverTTL; got != 10*time.Second {
		t.Errorf("got failover_ttl %v; want 10s", got)
	}
	// the two bounds of probes never contradict each other by a default
	for _, set := range []time.Duration{time.Millisecond, 50 * time.Millisecond, time.Second, time.Minute} {
		if p := defaults(func(p *route.Pool) { p.ProbeMax = set }); p.ProbeMax != set || p.ProbeMin > set {
			t.Errorf("probe_max %v: got probe_min %v, probe_max %v", set, p.ProbeMin, p.ProbeMax)
		}
		if p := defaults(func(p *route.Pool) { p.ProbeMin = set }); p.ProbeMin != set || p.ProbeMax < set {
			t.Errorf("probe_min %v: got probe_min %v, probe_max %v", set, p.ProbeMin, p.ProbeMax)
		}
	}
}

// TestPoolsThatKeepPrefixes checks that all options by which the router makes keys of its own, or
// sends a key to a member that doesn't own it, exclude keep_routing_prefix.
func TestPoolsThatKeepPrefixes(t *testing.T) {
	for name, change := range map[string]func(o *route.Options){
		"replicated": func(o *route.Options) { o.Pools[0].Kind = route.Replicated },
		"eject":      func(o *route.Options) { o.Pools[0].Eject = true },
		"failover":   func(o *route.Options) { o.Pools[0].Failover = "g" },
		"load":       func(o *route.Options) { o.Pools[0].Hash.Load = 1.5 },
		"warm_from":  func(o *route.Options) { o.Pools[0].WarmFrom = "g" },
		"warm_up": func(o *route.Options) {
			o.Route = route.Route{Kind: route.KindWarmUp, Cold: to(toPool("g")), Warm: to(toPool("p"))}
		},
		"l1_l2_cache, deep in it": func(o *route.Options) {
			o.Route = route.Route{Kind: route.KindL1L2Cache, Warm: to(toPool("g")), Cold: to(route.Route{
				Kind: route.KindFailover, Children: []route.Route{toPool("g"), {Kind: route.KindLogging, Target: to(toPool("p"))}},
			})}
		},
	} {
		for _, keep := range []bool{false, true} {
			o := route.Options{Pools: []route.Pool{{Name: "p", Members: members("h:1"), KeepRoutingPrefix: keep},
				{Name: "g", Members: members("h:2")}}}
			change(&o)
			o.SetDefaults()
			f := o.Check()
			if (len(f) > 0) != keep || keep && !strings.Contains(f.Error(), "keep_routing_prefix") {
				t.Errorf("%s with keep_routing_prefix %v: got %v", name, keep, f)
			}
		}
	}
}
