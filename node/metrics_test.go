package node

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"holdfast/cache"
	"holdfast/dynamodb"
	"holdfast/router"
	"holdfast/server"
	"holdfast/session"
	"holdfast/shard"
	"holdfast/table"
	"holdfast/upstream"
)

type fakeCache struct {
	snapshot cache.Snapshot
	whatIf   cache.WhatIf
}

func (f *fakeCache) Snapshot() cache.Snapshot { return f.snapshot }
func (f *fakeCache) WhatIf() cache.WhatIf     { return f.whatIf }

type fakeServer server.Stats

func (f fakeServer) Stats() server.Stats { return server.Stats(f) }

func someCache() *fakeCache {
	return &fakeCache{
		snapshot: cache.Snapshot{
			Counters:    cache.Counters{Gets: 7, GetHits: 5, GetMisses: 2, Sets: 3},
			EvictedRead: 1, EvictedUnread: 2, Expired: 5, ExpiredUnread: 2,
			Items: 4, ItemBytes: 400, MemoryBytes: 1 << 20,
			Prefixes: map[string]cache.PrefixStats{"user": {Gets: 3, Hits: 2, Sets: 1, Items: 1, Bytes: 60}, "": {Gets: 1}},
		},
		whatIf: cache.WhatIf{Sampled: 9, Estimates: []cache.WhatIfRow{{Times: 0.5, HitRate: 0.25}, {Times: 2,
			HitRate: 0.75}}},
	}
}

type fakeRouter []router.PoolStats

func (f fakeRouter) pools() []router.PoolStats           { return f }
func (f fakeRouter) reloadCounts() (done, refused int64) { return 2, 1 }
func (f fakeRouter) lookups() []nameStats                { return []nameStats{{"srv:caches.test", 7, 3, 2}} }

func someRouter() fakeRouter {
	return fakeRouter{
		{Name: "a", Members: []router.MemberStats{
			{Name: "one", State: "up", Pending: 3, Results: map[string]int64{"hit": 5, "miss": 2}, Connects: 1, Probes: 4},
			{Name: "two", State: "returning", Downs: 1, Journal: upstream.JournalStats{Keys: 9, Bytes: 300, Cut: true}},
		}},
	}
}

// allMetrics is the registry of a node that has every part.
// fakeTables is so many tables, of one item each.
type fakeTables int

func (f fakeTables) requests() dynamodb.Stats {
	return dynamodb.Stats{
		Requests: []dynamodb.RequestCount{{Operation: "GetItem", Result: "ok", N: 2}, {Operation: "", Result: "refused",
			N: 1}},
		Times: []dynamodb.RequestTimes{{Operation: "GetItem", N: 2, Sum: 3 * time.Millisecond, AtMost: make([]uint64,
			len(dynamodb.TimeBounds()))}},
	}
}
func (f fakeTables) diskStats() shard.Stats        { return shard.Stats{Commits: 5, LogBytes: 7, Full: true} }
func (fakeTables) sessionStats() (s session.Stats) { return s }

func (f fakeTables) tableStats() (all []table.TableStats) {
	for i := range f {
		all = append(all, table.TableStats{Name: fmt.Sprint("t", i), Items: 1, ItemBytes: 10, Follows: i > 0})
		lag := &all[i].Lag
		lag.Transactions, lag.P50, lag.P99, lag.Applied, lag.Late = uint64(i), time.Millisecond, time.Second, 5, 1
	}
	return all
}

func TestTableLabelsAreBounded(t *testing.T) {
	count := testutil.CollectAndCount(&tablesCollector{source: fakeTables(maxTableLabels + 5)}, "holdfast_tables_items")
	if want := maxTableLabels + 1; count != want {
		t.Errorf("got %d tables; want %d", count, want)
	}
	var others table.TableStats
	for _, t := range fakeTables(5).tableStats() {
		addTable(&others, &t)
	}
	if l := others.Lag; l.Transactions != 4 || l.Applied != 25 || others.Items != 5 || !others.Follows {
		t.Errorf("got %+v of 5 tables; want the longest lag, and the sum of what can be added", others)
	}
	want := `
# HELP holdfast_tables_requests_total Requests of DynamoDB's API by operation and result.
# TYPE holdfast_tables_requests_total counter
holdfast_tables_requests_total{op="(unknown)",result="refused"} 1
holdfast_tables_requests_total{op="GetItem",result="ok"} 2
# HELP holdfast_tables_index_lag_p99_seconds The 99th percentile of that time.
# TYPE holdfast_tables_index_lag_p99_seconds gauge
holdfast_tables_index_lag_p99_seconds{table="t1"} 1
# HELP holdfast_tables_index_lag_transactions Transactions on disk that a global index of the table hasn't applied yet.
# TYPE holdfast_tables_index_lag_transactions gauge
holdfast_tables_index_lag_transactions{table="t1"} 1
# HELP holdfast_tables_disk_full 1 while writes are refused because the disk is full.
# TYPE holdfast_tables_disk_full gauge
holdfast_tables_disk_full 1
`
	if err := testutil.CollectAndCompare(&tablesCollector{source: fakeTables(2)}, strings.NewReader(want),
		"holdfast_tables_requests_total", "holdfast_tables_disk_full", "holdfast_tables_index_lag_p99_seconds",
		"holdfast_tables_index_lag_transactions"); err != nil {
		t.Error(err)
	}
}

func allMetrics() *prometheus.Registry {
	return newRegistry(&cacheCollector{source: someCache()}, newServerCollector("server", fakeServer{}),
		&routerCollector{source: someRouter()}, newServerCollector("router_server", fakeServer{}),
		&tablesCollector{source: fakeTables(3)}, &clusterCollector{source: fakeMember{}})
}

// The golden list shows a rename. What Go's and Prometheus' own collectors name is theirs.
func TestMetricNames(t *testing.T) {
	families, err := allMetrics().Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	runtime, process := false, false
	for _, f := range families {
		name := f.GetName()
		runtime = runtime || strings.HasPrefix(name, "go_")
		process = process || strings.HasPrefix(name, "process_")
		if !strings.HasPrefix(name, "holdfast_") {
			continue
		}
		labels := map[string]bool{}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = true
			}
		}
		fmt.Fprintf(&got, "%s %s {%s}\n", name, strings.ToLower(f.GetType().String()),
			strings.Join(slices.Sorted(maps.Keys(labels)), ","))
	}
	want, err := os.ReadFile("testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant, of testdata/metrics.txt,\n%s", got.String(), want)
	}
	if !runtime || !process {
		t.Errorf("got metrics of the Go runtime: %v, of the process: %v; want both", runtime, process)
	}
}

func TestMetricsFollowTheLint(t *testing.T) {
	problems, err := testutil.GatherAndLint(allMetrics())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "holdfast_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestCacheMetrics(t *testing.T) {
	want := `
# HELP holdfast_cache_evictions_total Items evicted, by whether they had been read.
# TYPE holdfast_cache_evictions_total counter
holdfast_cache_evictions_total{read="no"} 2
holdfast_cache_evictions_total{read="yes"} 1
# HELP holdfast_cache_expired_total Expired items whose memory was reclaimed, by whether they had been read.
# TYPE holdfast_cache_expired_total counter
holdfast_cache_expired_total{read="no"} 2
holdfast_cache_expired_total{read="yes"} 3
# HELP holdfast_cache_prefix_items Items held that were stored while counting was on, by the key's prefix.
# TYPE holdfast_cache_prefix_items gauge
holdfast_cache_prefix_items{prefix="(other)"} 0
holdfast_cache_prefix_items{prefix="user"} 1
# HELP holdfast_cache_whatif_hit_ratio Estimated hit ratio with the given multiple of the memory.
# TYPE holdfast_cache_whatif_hit_ratio gauge
holdfast_cache_whatif_hit_ratio{times="0.5"} 0.25
holdfast_cache_whatif_hit_ratio{times="2"} 0.75
`
	c := &cacheCollector{source: someCache()}
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), "holdfast_cache_evictions_total",
		"holdfast_cache_expired_total",
		"holdfast_cache_prefix_items", "holdfast_cache_whatif_hit_ratio"); err != nil {
		t.Error(err)
	}
}

func TestServerMetrics(t *testing.T) {
	want := `
# HELP holdfast_server_accept_paused_seconds_total Total time during which accepting was paused.
# TYPE holdfast_server_accept_paused_seconds_total counter
holdfast_server_accept_paused_seconds_total 1.5
# HELP holdfast_server_auth_requests_total Authentication attempts by result.
# TYPE holdfast_server_auth_requests_total counter
holdfast_server_auth_requests_total{result="ok"} 2
holdfast_server_auth_requests_total{result="refused"} 1
`
	c := newServerCollector("server", fakeServer{AuthCommands: 3, AuthErrors: 1,
		ListenDisabledTime: 1500 * time.Millisecond})
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), "holdfast_server_accept_paused_seconds_total",
		"holdfast_server_auth_requests_total"); err != nil {
		t.Error(err)
	}
}

// Clients can't make more labels than the bound, whatever bytes their keys have, and a prefix that
// has a label keeps it.
func TestPrefixLabelsAreBounded(t *testing.T) {
	f := &fakeCache{snapshot: cache.Snapshot{Prefixes: map[string]cache.PrefixStats{"first": {Items: 1},
		"\xff\n": {Items: 1}}}}
	c := &cacheCollector{source: f}
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	if _, err := r.Gather(); err != nil {
		t.Fatal(err)
	}
	for i := range 10 * maxPrefixLabels {
		f.snapshot.Prefixes[fmt.Sprintf("a%d", i)] = cache.PrefixStats{Items: 1}
	}
	got := c.bounded(f.snapshot.Prefixes)
	if len(got) != maxPrefixLabels+1 {
		t.Errorf("got %d labels; want %d", len(got), maxPrefixLabels+1)
	}
	if got["first"].Items != 1 || got[`"\xff\n"`].Items != 1 {
		t.Errorf("got %v, %v; want the first prefixes to keep their labels", got["first"], got[`"\xff\n"`])
	}
	if want := int64(9*maxPrefixLabels + 2); got[otherPrefixes].Items != want {
		t.Errorf("got %d items of other prefixes; want %d", got[otherPrefixes].Items, want)
	}
	if _, err := r.Gather(); err != nil {
		t.Error(err)
	}
}

func TestRouterMetrics(t *testing.T) {
	want := `
# HELP holdfast_router_member_up 1 while the member serves; 0 while it is down or the keys that it missed are invalidated.
# TYPE holdfast_router_member_up gauge
holdfast_router_member_up{member="one",pool="a"} 1
holdfast_router_member_up{member="two",pool="a"} 0
# HELP holdfast_router_requests_total Requests for a member by result, including those that were not sent.
# TYPE holdfast_router_requests_total counter
holdfast_router_requests_total{member="one",pool="a",result="hit"} 5
holdfast_router_requests_total{member="one",pool="a",result="miss"} 2
# HELP holdfast_router_name_lookups_total Lookups of a DNS name of members by result.
# TYPE holdfast_router_name_lookups_total counter
holdfast_router_name_lookups_total{name="srv:caches.test",result="failed"} 3
holdfast_router_name_lookups_total{name="srv:caches.test",result="ok"} 4
`
	if err := testutil.CollectAndCompare(&routerCollector{source: someRouter()}, strings.NewReader(want),
		"holdfast_router_member_up",
		"holdfast_router_requests_total", "holdfast_router_name_lookups_total"); err != nil {
		t.Error(err)
	}
}

func TestMemberLabelsAreBounded(t *testing.T) {
	var pools fakeRouter
	for p := range 3 {
		pool := router.PoolStats{Name: fmt.Sprint(p)}
		for m := range maxMemberLabels - 1 {
			pool.Members = append(pool.Members, router.MemberStats{Name: fmt.Sprint(m), State: "up", Downs: 1})
		}
		pools = append(pools, pool)
	}
	families, err := newRegistry(&routerCollector{source: pools}).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "holdfast_router_member_downs_total" {
			continue
		}
		if got, most := len(f.GetMetric()), maxMemberLabels+len(pools); got > most {
			t.Errorf("got %d series; want at most %d", got, most)
		}
		sum := 0.0
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue()
		}
		if want := float64(len(pools) * (maxMemberLabels - 1)); sum != want {
			t.Errorf("got %v in all; want %v", sum, want)
		}
	}
}
