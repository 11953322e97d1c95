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
	"holdfast/server"
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
		whatIf: cache.WhatIf{Sampled: 9, Estimates: []cache.WhatIfRow{{Times: 0.5, HitRate: 0.25}, {Times: 2, HitRate: 0.75}}},
	}
}

// The golden list shows a rename. What Go's and Prometheus' own collectors name is theirs.
func TestMetricNames(t *testing.T) {
	families, err := newRegistry(someCache(), fakeServer{}).Gather()
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
		fmt.Fprintf(&got, "%s %s {%s}\n", name, strings.ToLower(f.GetType().String()), strings.Join(slices.Sorted(maps.Keys(labels)), ","))
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
	problems, err := testutil.GatherAndLint(newRegistry(someCache(), fakeServer{}))
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
# HELP holdfast_cache_evictions_total Items evicted, by whether anybody had read them.
# TYPE holdfast_cache_evictions_total counter
holdfast_cache_evictions_total{read="no"} 2
holdfast_cache_evictions_total{read="yes"} 1
# HELP holdfast_cache_expired_total Expired items whose memory was taken back, by whether anybody had read them.
# TYPE holdfast_cache_expired_total counter
holdfast_cache_expired_total{read="no"} 2
holdfast_cache_expired_total{read="yes"} 3
# HELP holdfast_cache_prefix_items Items held that were stored while counting was on, by the key's prefix.
# TYPE holdfast_cache_prefix_items gauge
holdfast_cache_prefix_items{prefix="(other)"} 0
holdfast_cache_prefix_items{prefix="user"} 1
# HELP holdfast_cache_whatif_hit_ratio Estimated share of gets that would be hits with so many times the memory.
# TYPE holdfast_cache_whatif_hit_ratio gauge
holdfast_cache_whatif_hit_ratio{times="0.5"} 0.25
holdfast_cache_whatif_hit_ratio{times="2"} 0.75
`
	c := &cacheCollector{source: someCache()}
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), "holdfast_cache_evictions_total", "holdfast_cache_expired_total",
		"holdfast_cache_prefix_items", "holdfast_cache_whatif_hit_ratio"); err != nil {
		t.Error(err)
	}
}

func TestServerMetrics(t *testing.T) {
	want := `
# HELP holdfast_server_accept_paused_seconds_total How long new connections had to wait in all.
# TYPE holdfast_server_accept_paused_seconds_total counter
holdfast_server_accept_paused_seconds_total 1.5
# HELP holdfast_server_auth_requests_total Clients that gave a name and a password, by what came of it.
# TYPE holdfast_server_auth_requests_total counter
holdfast_server_auth_requests_total{result="ok"} 2
holdfast_server_auth_requests_total{result="refused"} 1
`
	c := &serverCollector{source: fakeServer{AuthCommands: 3, AuthErrors: 1, ListenDisabledTime: 1500 * time.Millisecond}}
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), "holdfast_server_accept_paused_seconds_total", "holdfast_server_auth_requests_total"); err != nil {
		t.Error(err)
	}
}

// Clients can't make more labels than the bound, whatever bytes their keys have, and a prefix that
// has a label keeps it.
func TestPrefixLabelsAreBounded(t *testing.T) {
	f := &fakeCache{snapshot: cache.Snapshot{Prefixes: map[string]cache.PrefixStats{"first": {Items: 1}, "\xff\n": {Items: 1}}}}
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
