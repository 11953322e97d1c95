package config_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast/config"
	"holdfast/route"
)

const routerFile = `
router:
  listen:
    - 127.0.0.1:11212
    - {address: "unix:/run/r.sock", mode: "0770"}
    - address: "*:22121"
      route: {kind: random, children: [users, sessions]}
  idle_timeout: 1m
  item_max: 8MiB
  pools:
    - name: sessions
      members: [10.0.0.1:11211, {address: 10.0.0.2:11211, name: second, weight: 3}]
      hash: {placement: weighted_ch3, weights: [1, 0.25]}
      failover: users
      chunk_bytes: 1MiB
      timeout: 1m30s
    - name: users
      kind: replicated
      read: near
      members: [{address: "unix:/m", near: true}, dns:caches:11211, srv:_memcache._tcp.caches, cache]
  clusters:
    - {prefix: /a/b/, route: users}
  default_cluster: /a/a/
  journal: {max_bytes: 1MiB, max_age: 7d}
  route:
    kind: operation_selector
    operations:
      - operations: [delete, md]
        route: {kind: failover, children: [sessions, users], failover: {reads: [], updates: [timeout], burst: 2.5, ratio: 0.1}, exptime: 1h}
      - operations: [get]
        route:
          kind: shadow
          target: sessions
          shadows: [{route: users, key_fraction: [0, 0.5], members: [0, 1]}]
    default:
      kind: migrate
      from: sessions
      to: {kind: modify_key, target: users, ensure_key_prefix: "a: #'\"\t"}
      start: 2026-01-31T15:04:05Z
`

func parseRouter(t *testing.T, text []byte) *config.Router {
	t.Helper()
	c, err := config.Parse(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return c.Router
}

func TestRouterValues(t *testing.T) {
	r := parseRouter(t, []byte(routerFile))
	if len(r.Listen) != 3 || r.Listen[0].Route != nil || r.Listen[1].Mode != 0o770 ||
		len(r.Listen[2].Route.Children) != 2 {
		t.Errorf("got listeners %+v", r.Listen)
	}
	if r.IdleTimeout != time.Minute || r.ItemMax != 8<<20 || r.Connections != 1024 || r.Journal.MaxBytes != 1<<20 ||
		r.Journal.MaxAge != 7*24*time.Hour {
		t.Errorf("got %+v", r)
	}
	want := route.Pool{
		Name: "sessions", Kind: route.Sharded,
		Members: []route.Member{
			{Address: "10.0.0.1:11211", Name: "10.0.0.1:11211", Weight: 1}, {Address: "10.0.0.2:11211", Name: "second",
				Weight: 3},
		},
		Hash:    route.Hash{Placement: "weighted_ch3", Weights: []float64{1, 0.25}},
		Timeout: 90 * time.Second, ConnectTimeout: time.Second, Connections: 1,
		SoftErrors: 3, ProbeMin: 100 * time.Millisecond, ProbeMax: 10 * time.Second,
		Failover: "users", FailoverTTL: 10 * time.Second, MaxInFlight: 10000, OnError: route.ErrorAsError,
		ChunkBytes: 1 << 20,
	}
	if !reflect.DeepEqual(r.Pools[0], want) {
		t.Errorf("got pool %+v; want %+v", r.Pools[0], want)
	}
	deletes := r.Route.Operations[0].Route
	if f := deletes.Failover; f.Reads == nil || len(f.Reads) != 0 || f.Deletes != nil || !reflect.DeepEqual(f.Updates,
		[]string{"timeout"}) || deletes.Exptime != time.Hour {
		t.Errorf("got failover %+v", deletes)
	}
	migrate := r.Route.Default
	if !migrate.Start.Equal(time.Date(2026, 1, 31, 15, 4, 5, 0, time.UTC)) || migrate.Interval != time.Hour ||
		migrate.From.Pool != "sessions" || migrate.To.Kind != route.KindModifyKey {
		t.Errorf("got migrate %+v", migrate)
	}
}

func TestNullRouteNeedsNoQuotes(t *testing.T) {
	r := parseRouter(t, []byte("router: {route: {kind: all_sync, children: [{kind: null}, {kind: 'null'}]}}"))
	for _, child := range r.Route.Children {
		if child.Kind != route.KindNull {
			t.Errorf("got kind %q; want null", child.Kind)
		}
	}
}

func TestNoRouterUnlessAsked(t *testing.T) {
	for _, text := range []string{"", "router:\n", "router: ~"} {
		if r := parseRouter(t, []byte(text)); r != nil {
			t.Errorf("%q: got %+v; want none", text, r)
		}
	}
}

func TestRouterPrintsWhatItReads(t *testing.T) {
	want := parseRouter(t, []byte(routerFile))
	text := want.Print()
	if got := parseRouter(t, text); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v; want %+v\n%s", got, want, text)
	}
}

func TestPrintIsBrief(t *testing.T) {
	r := config.NewRouter(route.Options{
		Pools: []route.Pool{{Name: "a", Members: []route.Member{{Address: "h:1"}, {Address: "h:2", Name: "two words"}},
			Timeout: time.Hour}},
		Route: route.Route{Kind: route.KindAllSync, Children: []route.Route{{Kind: route.KindPool, Pool: "a"},
			{Kind: route.KindNull}, {}}},
	})
	want := `router:
  listen:
    - 127.0.0.1:11212
  pools:
    - name: a
      members:
        - h:1
        - address: h:2
          name: "two words"
      timeout: 1h
  route:
    kind: all_sync
    children:
      - a
      - kind: "null"
      - {}
`
	if got := string(r.Print()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func FuzzPrintQuotes(f *testing.F) {
	for _, text := range []string{"", "null", "~", "a: b", "a #b", "- a", "[a", "'", "\"", "1:2:", "é\n\t\x00", "...",
		"0x1", "&a", "*a", "!a", "%a", "@a", "a,b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text != strings.ToValidUTF8(text, "") {
			t.Skip("YAML is UTF-8")
		}
		r := config.NewRouter(route.Options{
			Pools: []route.Pool{{Name: "a", Members: []route.Member{{Address: "h:1"}}}},
			Route: route.Route{Kind: route.KindError, Name: text, Response: "." + text},
		})
		c, err := config.Parse(r.Print())
		if err != nil || c.Router.Route.Name != text || c.Router.Route.Response != "."+text {
			t.Errorf("%q: got %+v, %v\n%s", text, c.Router, err, r.Print())
		}
	})
}

func TestRouterFaultsCarryTheirPaths(t *testing.T) {
	tests := []struct{ text, want string }{
		{"{}", "router.route: neither a route nor a pool"},
		{"{pools: [{name: a, members: ['h:1']}, {name: sessions}]}", `router.pools[1] "sessions": no members`},
		{"{pools: [{name: a, members: ['h:1'], membres: 1}]}", `router.pools[0] "a": unknown key "membres" (line 1); the keys are acknowledge, big_values, chunk_bytes, connect_timeout, connections, eject, failover, failover_ttl, hash, journal, keep_routing_prefix, kind, max_in_flight, members, name, on_error, probe_max, probe_min, read, refill_rate, soft_errors, timeout, warm_from`},
		{"{pools: [{name: a, members: [h]}]}", `router.pools[0] "a".members[0] "h": "h" is not HOST:PORT`},
		{"{pools: [{name: a, members: ['h:1']}], route: b}", `router.route: there is no pool "b"`},
		{"{pools: [{name: a, members: ['h:1'], timeout: soon}]}", `router.pools[0] "a".timeout: "soon" is not a duration; write it like 30s, 15m, 12h or 7d`},
		{"{route: {kind: 'null'}, listen: []}", "router.listen: no addresses"},
		{"{route: {kind: 'null'}, listen: [{address: 'h:1', route: {kind: hash}}]}", `router.listen[0] "h:1".route.children: missing in a route of kind hash`},
		{"{route: {kind: 'null'}, listen: [{address: 'h:1', route: [a]}]}", `router.listen[0] "h:1".route: must be a mapping, not a list`},
		{"{route: {kind: 'null'}, threads: -1}", "router.threads: -1 is not in [0, 256]"},
		{"{route: {kind: 'null'}, item_max: 1}", "router.item_max: 1B is not in [1KiB, 1GiB]"},
		{"{route: {kind: 'null'}, tls: {clients: asked}}", "router.tls.clients: asked needs router.tls.client_ca"},
		{"{route: {kind: migrate, from: {kind: 'null'}, to: {kind: 'null'}, start: today}}", `router.route.start: "today" is not a time; write it like 2026-01-31T15:04:05Z`},
		{"{route: {kind: shadow, target: {kind: 'null'}, shadows: [{route: {kind: 'null'}, key_fraction: [0, x]}]}}", `router.route.shadows[0].key_fraction[1] "x": "x" is not a number`},
		{"{route: {kind: 'null'}, journal: {max_bytes: lots}}", `router.journal.max_bytes: "lots" is not a size; write it like 64MiB or 1GiB`},
	}
	for _, test := range tests {
		_, err := config.Parse([]byte("router: " + test.text))
		if err == nil || strings.Split(err.Error(), "\n")[0] != test.want {
			t.Errorf("%s\n got %v\nwant %s", test.text, err, test.want)
		}
	}
}
