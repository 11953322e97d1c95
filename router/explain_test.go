package router

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/mc"
	"holdfast/route"
)

func explainRig(t *testing.T) *rig {
	t.Helper()
	o := route.Options{
		Pools: []route.Pool{
			{Name: "a", Members: []route.Member{{Address: "127.0.0.1:1", Name: "a1"}, {Address: "127.0.0.1:2", Name: "a2"}}},
			{Name: "b", Members: []route.Member{{Address: "127.0.0.1:3", Name: "b1"}}},
			{Name: "c", Kind: route.Replicated, Members: []route.Member{{Address: "127.0.0.1:4", Name: "c1"},
				{Address: "127.0.0.1:5", Name: "c2"}}, Read: route.ReadFirst},
		},
		Route: route.Route{Kind: route.KindPrefixSelector, Prefixes: []route.PrefixRoute{
			{Prefix: "user:", Route: route.Route{Kind: route.KindFailover, Children: toAll("a", "b")}},
			{Prefix: "warm:", Route: route.Route{Kind: route.KindWarmUp, Cold: ptr(to("a")), Warm: ptr(to("b"))}},
			{Prefix: "all:", Route: route.Route{Kind: route.KindAllSync, Children: toAll("b", "c")}},
			{Prefix: "old:", Route: route.Route{Kind: route.KindModifyKey, EnsureKeyPrefix: "new:", Target: ptr(to("b"))}},
		}},
		Clusters: []route.ClusterRoute{{Prefix: "/east/x/", Route: to("b")}, {Prefix: "/east/y/", Route: to("c")}},
	}
	return &rig{running: run(t, o, 1)}
}

func TestExplain(t *testing.T) {
	r := explainRig(t)
	for _, test := range []struct {
		op   mc.Op
		key  string
		want string
	}{
		{mc.Get, "user:1", `prefix_selector (prefix "user:")
 failover
  pool a
   member a1 127.0.0.1:1 (owns the key)
  pool b (if those before fail)
   member b1 127.0.0.1:3 (owns the key)`},
		{mc.Get, "warm:1", `prefix_selector (prefix "warm:")
 warm_up
  pool a
   member a1 127.0.0.1:1 (owns the key)
  pool b (after a miss; its item is then added)
   member b1 127.0.0.1:3 (owns the key)`},
		{mc.Delete, "all:1", `prefix_selector (prefix "all:")
 all_sync (answers with the worst answer)
  pool b
   member b1 127.0.0.1:3 (owns the key)
  pool c (all members; acknowledge: all)
   member c1 127.0.0.1:4
   member c2 127.0.0.1:5`},
		{mc.Get, "old:1", `prefix_selector (prefix "old:")
 modify_key (key "new:old:1")
  pool b
   member b1 127.0.0.1:3 (owns the key)`},
		{mc.Get, "other", `prefix_selector (no prefix matches)
 null (answers as if nothing were held)`},
		{mc.Get, "/east/*/k", `cluster /east/x/
 pool b
  member b1 127.0.0.1:3 (owns the key)
cluster /east/y/ (its answer is dropped)
 pool c (read: first)
  member c1 127.0.0.1:4
  member c2 127.0.0.1:5 (or this one)`},
	} {
		var lines []string
		for _, hop := range r.Explain(test.op, []byte(test.key)) {
			lines = append(lines, hop.String())
		}
		if got := strings.Join(lines, "\n"); got != test.want {
			t.Errorf("%s %s:\n%s\nwant\n%s", test.op, test.key, got, test.want)
		}
	}
}

// Each kind of route tells its own name.
func TestEveryKindExplainsItself(t *testing.T) {
	null := route.Route{Kind: route.KindNull}
	two := []route.Route{null, null}
	for _, kind := range route.Kinds() {
		o := route.Route{Kind: kind}
		switch kind {
		case route.KindPool:
			o.Pool = "a"
		case route.KindShadow:
			o.Target, o.Shadows = &null, []route.Shadow{{Route: null}}
		case route.KindShardSplit:
			o.Target, o.ShardSplits = &null, []route.ShardSplit{{Shard: "1", Splits: 2}}
		case route.KindMigrate:
			o.From, o.To, o.Start = &null, &null, time.Unix(1, 0)
		case route.KindWarmUp, route.KindL1L2Cache:
			o.Cold, o.Warm = &null, &null
		case route.KindPrefixSelector, route.KindOperationSelector:
			o.Default = &null
		case route.KindModifyKey:
			o.Target, o.EnsureKeyPrefix = &null, "p"
		case route.KindModifyExptime, route.KindLogging:
			o.Target, o.Exptime = &null, time.Second
			if kind == route.KindLogging {
				o.Exptime = 0
			}
		case route.KindRateLimit:
			o.Target, o.Rates = &null, route.Rates{Gets: 1}
		case route.KindOutstandingLimit:
			o.Target, o.MaxInFlight = &null, 1
		case route.KindDevNull, route.KindNull, route.KindError:
		default:
			o.Children = two
		}
		r := rigged(t, 1, o, "a")
		hop := r.Explain(mc.Get, []byte("k"))[0]
		want := string(kind)
		switch kind {
		case route.KindHostID:
			want = "null" // it is the child
		case route.KindLatest:
			want = "latest"
		}
		if hop.Route != want {
			t.Errorf("%s explains itself as %s", kind, hop.Route)
		}
	}
}

func TestAdminKeys(t *testing.T) {
	r := explainRig(t)
	ask := func(key string) string {
		t.Helper()
		answer := r.ask(0, "get __mcrouter__."+key+"\r\n")
		head, rest, _ := strings.Cut(answer, "\r\n")
		text, ok := strings.CutSuffix(rest, "\r\nEND\r\n")
		if want := fmt.Sprintf("VALUE __mcrouter__.%s 0 %d", key, len(text)); !ok || head != want {
			t.Fatalf("got %q; want %s", answer, want)
		}
		return text
	}
	for key, want := range map[string]string{
		"version":              "holdfast ",
		"route(get,user:1)":    "127.0.0.1:1",
		"route(set,all:x,y)":   "127.0.0.1:3\r\n127.0.0.1:4\r\n127.0.0.1:5",
		"route(get,other)":     "",
		"route_handles(get,k)": "prefix_selector (no prefix matches)\n null",
		"route(fetch,k)":       "ERROR: route: unknown request fetch",
		"route(get)":           "ERROR: route: 2 args expected",
		"route_handles":        "ERROR: route_handles: 2 args expected",
		"nothing":              "ERROR: unknown command: nothing",
		"config_file":          "ERROR: no config file found",
		"pools":                "{\n  \"a\": [\n    \"127.0.0.1:1\",\n    \"127.0.0.1:2\"\n  ],",
		"preprocessed_config":  "pools:\n- name: a\n",
		"options":              "num_proxies 1\n",
	} {
		if got := ask(key); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q; want %q", key, got, want)
		}
	}
	r.SetSource(Source{File: "/etc/router.yaml", Text: []byte("route: a"), Taken: time.Now().Add(-time.Hour)})
	for key, want := range map[string]string{
		"config": "route: a", "config_file": "/etc/router.yaml", "config_md5_digest": "32af17b5a6320b9b29d35e089ccde726",
		"config_age":          "36",
		"config_sources_info": "{\n  \"mcrouter_config\"",
	} {
		if got := ask(key); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q; want %q", key, got, want)
		}
	}
	if got := r.ask(0, "gets __mcrouter__.config\r\n"); got != "VALUE __mcrouter__.config 0 8 0\r\nroute: a\r\nEND\r\n" {
		t.Errorf("gets: %q", got)
	}
}
