package node

import (
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/cache"
)

// A cacheSource is what the cache's metrics show: a *cache.Store.
type cacheSource interface {
	Snapshot() cache.Snapshot
	WhatIf() cache.WhatIf
}

var (
	requests    = counter("cache_requests_total", "Requests by operation and result.", "op", "result")
	staleMisses = counter("cache_stale_misses_total",
		"Requests that found their item expired or flushed; gets among them also count as misses.", "reason")
	metas     = counter("cache_meta_requests_total", "Requests by meta commands; they also count by their operation.")
	stored    = counter("cache_stored_total", "Items created or overwritten.")
	evictions = counter("cache_evictions_total", "Items evicted, by whether they had been read.", "read")
	expired   = counter("cache_expired_total",
		"Expired items whose memory was reclaimed, by whether they had been read.", "read")
	items       = gauge("cache_items", "Items held.")
	itemBytes   = gauge("cache_item_bytes", "Bytes of the items, headers and keys included.")
	memory      = gauge("cache_memory_bytes", "Memory by use.", "part")
	memoryLimit = gauge("cache_memory_limit_bytes", "Memory limit for items, index and ghosts together.")

	whatIfRatio = gauge("cache_whatif_hit_ratio",
		"Estimated hit ratio with the given multiple of the memory.", "times")
	whatIfSampled = counter("cache_whatif_sampled_gets_total", "Gets that the estimates are based on.")

	prefixRequests = counter("cache_prefix_requests_total",
		"Requests by the key's prefix, while counting by prefix is on.", "prefix", "op", "result")
	prefixEvictions = counter("cache_prefix_evictions_total",
		"Items evicted, by the key's prefix and by whether they had been read.", "prefix", "read")
	prefixExpired = counter("cache_prefix_expired_total",
		"Expired items whose memory was reclaimed, by the key's prefix.", "prefix")
	prefixItems = gauge("cache_prefix_items",
		"Items held that were stored while counting was on, by the key's prefix.", "prefix")
	prefixItemBytes = gauge("cache_prefix_item_bytes", "Bytes of those items.", "prefix")
)

// A cacheCollector takes one snapshot of the cache per scrape.
type cacheCollector struct {
	source cacheSource

	mu    sync.Mutex      // guards shown
	shown map[string]bool // prefixes that have their own label
}

// Clients choose keys, so the number of values of the label "prefix" is bounded. The first prefixes
// get a label and keep it; all others, and keys without a prefix, are counted together.
const (
	maxPrefixLabels = 200
	otherPrefixes   = "(other)"
)

// Describe is prometheus.Collector's.
func (c *cacheCollector) Describe(out chan<- *prometheus.Desc) {
	describeAll(out, requests, staleMisses, metas, stored, evictions, expired, items, itemBytes, memory, memoryLimit,
		whatIfRatio, whatIfSampled, prefixRequests, prefixEvictions, prefixExpired, prefixItems, prefixItemBytes)
}

// Collect is prometheus.Collector's.
func (c *cacheCollector) Collect(out chan<- prometheus.Metric) {
	n := c.source.Snapshot()
	collectRequests(out, &n.Counters)
	put(out, evictions, n.EvictedRead, "yes")
	put(out, evictions, n.EvictedUnread, "no")
	put(out, expired, n.Expired-n.ExpiredUnread, "yes")
	put(out, expired, n.ExpiredUnread, "no")
	collectMemory(out, &n)
	for prefix, p := range c.bounded(n.Prefixes) {
		collectPrefix(out, prefix, p)
	}
	w := c.source.WhatIf()
	put(out, whatIfSampled, w.Sampled)
	for _, row := range w.Estimates {
		put(out, whatIfRatio, row.HitRate, strconv.FormatFloat(row.Times, 'g', -1, 64))
	}
}

func collectRequests(out scrape, n *cache.Counters) {
	for _, r := range []struct {
		op, result string
		count      uint64
	}{
		{"get", "hit", n.GetHits}, {"get", "miss", n.GetMisses},
		{"set", "served", n.Sets}, {"set", "too_large", n.TooLarge}, {"set", "no_memory", n.NoMemory},
		{"cas", "hit", n.CASHits}, {"cas", "miss", n.CASMisses}, {"cas", "changed", n.CASBadval},
		{"touch", "hit", n.TouchHits}, {"touch", "miss", n.TouchMisses},
		{"delete", "hit", n.DeleteHits}, {"delete", "miss", n.DeleteMisses},
		{"incr", "hit", n.IncrHits}, {"incr", "miss", n.IncrMisses},
		{"decr", "hit", n.DecrHits}, {"decr", "miss", n.DecrMisses},
		{"flush", "done", n.Flushes},
	} {
		put(out, requests, r.count, r.op, r.result)
	}
	put(out, staleMisses, n.GetExpired, "expired")
	put(out, staleMisses, n.GetFlushed, "flushed")
	put(out, metas, n.MetaCommands)
	put(out, stored, n.Stored)
}

func collectMemory(out scrape, n *cache.Snapshot) {
	put(out, items, n.Items)
	put(out, itemBytes, n.ItemBytes)
	put(out, memory, n.SmallBytes, "small")
	put(out, memory, n.MainBytes, "main")
	put(out, memory, n.IndexBytes, "index")
	put(out, memory, n.GhostBytes, "ghosts")
	put(out, memory, n.FreeBytes, "free")
	put(out, memoryLimit, n.MemoryBytes)
}

func collectPrefix(out scrape, prefix string, p cache.PrefixStats) {
	put(out, prefixRequests, p.Hits, prefix, "get", "hit")
	put(out, prefixRequests, p.Gets-min(p.Gets, p.Hits), prefix, "get", "miss")
	put(out, prefixRequests, p.Sets, prefix, "set", "served")
	put(out, prefixRequests, p.Deletes, prefix, "delete", "served")
	put(out, prefixEvictions, p.EvictedRead, prefix, "yes")
	put(out, prefixEvictions, p.EvictedUnread, prefix, "no")
	put(out, prefixExpired, p.Expired, prefix)
	put(out, prefixItems, p.Items, prefix)
	put(out, prefixItemBytes, p.Bytes, prefix)
}

// bounded adds up the prefixes that have no label of their own.
func (c *cacheCollector) bounded(all map[string]cache.PrefixStats) map[string]cache.PrefixStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	labelled := map[string]cache.PrefixStats{}
	var others cache.PrefixStats
	for _, prefix := range slices.Sorted(maps.Keys(all)) {
		if c.label(prefix) {
			labelled[labelText(prefix)] = all[prefix]
		} else {
			others = sum(others, all[prefix])
		}
	}
	if others != (cache.PrefixStats{}) {
		labelled[otherPrefixes] = others
	}
	return labelled
}

// label reports whether prefix has its own label, and assigns one while there are some left.
func (c *cacheCollector) label(prefix string) bool {
	if prefix == "" || prefix == otherPrefixes {
		return false
	}
	if !c.shown[prefix] && len(c.shown) < maxPrefixLabels {
		if c.shown == nil {
			c.shown = map[string]bool{}
		}
		c.shown[prefix] = true
	}
	return c.shown[prefix]
}

// labelText turns a prefix into a label: a prefix may hold any bytes, a label only UTF-8.
func labelText(prefix string) string {
	quoted := strconv.Quote(prefix)
	if text := quoted[1 : len(quoted)-1]; text != prefix {
		return quoted
	}
	return prefix
}

func sum(a, b cache.PrefixStats) cache.PrefixStats {
	return cache.PrefixStats{
		Gets: a.Gets + b.Gets, Hits: a.Hits + b.Hits, Sets: a.Sets + b.Sets, Deletes: a.Deletes + b.Deletes,
		EvictedRead: a.EvictedRead + b.EvictedRead, EvictedUnread: a.EvictedUnread + b.EvictedUnread,
		Expired: a.Expired + b.Expired, Items: a.Items + b.Items, Bytes: a.Bytes + b.Bytes,
	}
}
