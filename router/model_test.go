package router

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"holdfast/route"
)

// A shape is a route over pools that all work, and that a client can't tell from a single cache:
// all answers are the cache's own, for each sequence of requests.
type shape struct {
	name  string
	route route.Route
	pool  route.Pool // the options of pool a; the others have none
	// Requests with these words are left out, with the reason why they differ.
	without string
}

// shapes are one for each kind of route and of pool that is to behave as one cache does.
func shapes() []shape {
	two, three := toAll("a", "b"), toAll("a", "b", "c")
	a, b := ptr(to("a")), ptr(to("b"))
	past, future := time.Now().Add(-100*time.Hour), time.Now().Add(100*time.Hour)
	split := []route.ShardSplit{{Shard: "s1", Splits: 5}, {Shard: "s2", Splits: 1}}
	return []shape{
		{name: "pool", route: to("a")},
		{name: "pieces", route: to("a"), pool: route.Pool{ChunkBytes: 1024}, without: "append prepend MA MP"}, // are refused
		{name: "big values", route: to("a"), pool: route.Pool{ChunkBytes: 1024, BigValues: true},
			without: "append prepend MA MP"},
		{name: "eject", route: to("a"), pool: route.Pool{Eject: true}},
		{name: "gutter", route: to("a"), pool: route.Pool{Failover: "b"}},
		{name: "errors as misses", route: to("a"), pool: route.Pool{OnError: route.ErrorAsMiss}},
		{name: "warm_from", route: to("a"), pool: route.Pool{WarmFrom: "b"}},
		{name: "warm_from, pieces", route: to("a"), pool: route.Pool{WarmFrom: "b", ChunkBytes: 1024},
			without: "append prepend MA MP"},
		{name: "replicated", route: to("a"), pool: route.Pool{Kind: route.Replicated}},
		{name: "replicated, near", route: to("a"), pool: route.Pool{Kind: route.Replicated, Read: route.ReadNear}},
		{name: "hash", route: route.Route{Kind: route.KindHash, Children: three}},
		{name: "hash by load", route: route.Route{Kind: route.KindHash, Hash: route.Hash{Load: 100}, Children: three}},
		{name: "prefixes", route: route.Route{Kind: route.KindPrefixSelector, Default: b,
			Prefixes: []route.PrefixRoute{{Prefix: "k", Route: to("a")}, {Prefix: "k1", Route: to("c")}}}},
		{name: "operations", route: route.Route{Kind: route.KindOperationSelector, Default: a,
			Operations: []route.OperationRoute{{Operations: []string{"get"}, Route: to("a")}}}},
		{name: "all_sync", route: route.Route{Kind: route.KindAllSync, Children: three},
			without: "gets cas c"}, // each child has its own CAS
		{name: "all_initial", route: route.Route{Kind: route.KindAllInitial, Children: two}, without: "gets cas c"},
		{name: "all_majority", route: route.Route{Kind: route.KindAllMajority, Children: three}, without: "gets cas c"},
		{name: "all_fastest", route: route.Route{Kind: route.KindAllFastest, Children: two}, without: "gets cas c"},
		{name: "failover", route: route.Route{Kind: route.KindFailover, Children: three}},
		{name: "latest", route: route.Route{Kind: route.KindLatest, Children: three}},
		{name: "host_id", route: route.Route{Kind: route.KindHostID, Children: three}},
		{name: "random", route: route.Route{Kind: route.KindRandom, Children: toAll("a")}},
		{name: "shadow", route: route.Route{Kind: route.KindShadow, Target: a, Shadows: []route.Shadow{{Route: to("b")}}}},
		{name: "before a migration", route: route.Route{Kind: route.KindMigrate, From: a, To: b, Start: future}},
		{name: "after a migration", route: route.Route{Kind: route.KindMigrate, From: b, To: a, Start: past}},
		{name: "warm_up", route: route.Route{Kind: route.KindWarmUp, Cold: a, Warm: b}},
		{name: "l1_l2_cache", route: route.Route{Kind: route.KindL1L2Cache, Cold: a, Warm: b}},
		{name: "l1_l2_cache, misses",
			without: "add ME append prepend MA MP replace MR touch gat cas incr decr T0 N0 gets ma c delete md",
			// the item that stands for a miss is found by requests that depend on an item
			route: route.Route{Kind: route.KindL1L2Cache, Cold: a, Warm: b, NegativeTTL: time.Hour}},
		{name: "modify_key", route: route.Route{Kind: route.KindModifyKey, Target: a, EnsureKeyPrefix: "kk"}},
		{name: "modify_key, replaced", route: route.Route{Kind: route.KindModifyKey, Target: a, EnsureKeyPrefix: "x:",
			ReplaceKeyPrefix: "k"}},
		{name: "shard_split", route: route.Route{Kind: route.KindShardSplit, Target: a, ShardSplits: split},
			without: "delete md"}, // which answer for the key itself
		{name: "rate_limit",
			route: route.Route{Kind: route.KindRateLimit, Target: a, Rates: route.Rates{Gets: 1e9, Sets: 1e9}}},
		{name: "outstanding_limit", route: route.Route{Kind: route.KindOutstandingLimit, Target: a, MaxInFlight: 1}},
		{name: "logging", route: route.Route{Kind: route.KindLogging, Target: a}},
	}
}

// modelRequest returns a random request, with CAS where the item's belongs.
func modelRequest(rnd *rand.Rand, key, without string) string {
	forms := []string{
		"get %[1]s", "get %[1]s k8 %[1]s", "gets %[1]s", "gat 0 %[1]s", "mg %[1]s v", "mg %[1]s v f k", "mg %[1]s s k Oab",
		"mg %[1]s f s v t k", "mg %[1]s t f", "mg %[1]s", "mg %[1]s v q", "mg %[1]s c v", "mg %[1]s T0 t v", "touch %[1]s 0",
		"set %[1]s 7 0 %[2]d\r\n%[3]s", "set %[1]s 65535 0 %[2]d\r\n%[3]s", "set %[1]s 0 0 %[2]d noreply\r\n%[3]s",
		"add %[1]s 1 0 %[2]d\r\n%[3]s", "replace %[1]s 2 0 %[2]d\r\n%[3]s", "append %[1]s 0 0 %[2]d\r\n%[3]s",
		"prepend %[1]s 0 0 %[2]d\r\n%[3]s", "cas %[1]s 3 0 %[2]d CAS\r\n%[3]s",
		"ms %[1]s %[2]d F9 k s\r\n%[3]s", "ms %[1]s %[2]d ME k\r\n%[3]s", "ms %[1]s %[2]d MR Ozz\r\n%[3]s",
		"ms %[1]s %[2]d MA\r\n%[3]s", "ms %[1]s %[2]d MP q\r\n%[3]s", "set %[1]s 0 0 2\r\n41", "incr %[1]s 2",
		"decr %[1]s 100", "ma %[1]s v k", "ma %[1]s N0 J13 v", "delete %[1]s", "delete %[1]s noreply",
		"md %[1]s k", "md %[1]s q",
	}
	for {
		form := forms[rnd.IntN(len(forms))]
		left := true
		for _, word := range strings.Fields(without) {
			left = left && !strings.Contains(" "+strings.NewReplacer("\r\n", " ").Replace(form)+" ", " "+word+" ")
		}
		if left {
			v := big([]int{0, 1, 1023, 1024, 1025, 3000}[rnd.IntN(6)], key)
			return fmt.Sprintf(form+"%[4]s", key, len(v), v, "\r\n")
		}
	}
}

// casOf finds the CAS in an answer, which is not the same for each cache.
var casOf = regexp.MustCompile(`(?m)^(VALUE \S+ \d+ \d+ |(?:VA \d+|HD) c)(\d+)`)

// TestRoutesAnswerAsOneCache asks each shape and a cache the same random requests, and compares
// each answer, of which the CAS is left out: each side is given back its own.
func TestRoutesAnswerAsOneCache(t *testing.T) {
	for _, s := range shapes() {
		t.Run(s.name, func(t *testing.T) {
			for seed := range uint64(2) {
				agreesWithOneCache(t, &s, seed)
			}
		})
	}
}

func agreesWithOneCache(t *testing.T, s *shape, seed uint64) {
	o := route.Options{Route: s.route}
	for i, name := range []string{"a", "b", "c", "model"} {
		p := route.Pool{Name: name}
		if name == "a" {
			p = s.pool
			p.Name = name
		}
		for j := range 2 {
			m := route.Member{Address: fmt.Sprintf("127.0.0.1:%d", 1+2*i+j), Name: fmt.Sprint(name, j)}
			m.Near = p.Read == route.ReadNear && j == 0
			p.Members = append(p.Members, m)
		}
		o.Pools = append(o.Pools, p)
	}
	r := riggedWith(t, 1, o)
	model := newStub(t, r.running, "the model")
	for _, stub := range r.stubs {
		stub.late = seed%2 == 1
	}
	rnd := rand.New(rand.NewPCG(seed, 0))
	cas := map[string][2]string{}
	for i := range 250 {
		key := []string{"k1", "k2", "k:s1:x", "k:s2:y", "other", "k1|#|z"}[rnd.IntN(6)]
		own := cas[key]
		if own[0] == "" {
			own = [2]string{"1", "1"}
		}
		request := modelRequest(rnd, key, s.without) + "mn\r\n"
		got := r.ask(0, strings.Replace(request, "CAS", own[0], 1))
		want := model.do(t, strings.Replace(request, "CAS", own[1], 1))
		if g, w := casOf.FindStringSubmatch(got), casOf.FindStringSubmatch(want); g != nil && w != nil {
			cas[key] = [2]string{g[2], w[2]}
		}
		if g, w := casOf.ReplaceAllString(got, "${1}CAS"), casOf.ReplaceAllString(want, "${1}CAS"); g != w {
			t.Fatalf("seed %d: request %d %.80q: got %.200q; want %.200q", seed, i, request, g, w)
		}
	}
}
