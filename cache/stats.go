package cache

import (
	"fmt"
	"math/bits"
	"sort"
	"strings"

	"holdfast/mc"
)

// This file reports statistics. It reads each lane under its lock, and then, under segments.mu, the
// segments, the sizes of index and ghosts, and the evictor's losses. ResetStats zeroes counters
// under the same locks.

// A Snapshot has the counters of a store and the sizes of its contents.
type Snapshot struct {
	Counters
	EvictedRead, EvictedUnread uint64 // evicted after, and before, their first read
	Expired, ExpiredUnread     uint64 // expired items that the evictor removed

	Items       int64
	ItemBytes   int64 // of the items, with headers and large values
	MemoryBytes int64
	IndexBytes  int64
	GhostBytes  int64
	SmallBytes  int64 // of the small ring's segments
	MainBytes   int64
	FreeBytes   int64

	Prefixes map[string]PrefixStats // "" is for keys without a prefix, and for prefixes beyond the limit
}

// Snapshot sums the lanes' counters, one lane after another. While requests are served, the sums
// are not exactly of one point in time.
func (s *Store) Snapshot() Snapshot {
	n := Snapshot{MemoryBytes: int64(len(s.mem)), Items: s.index.items.Load(), ItemBytes: s.index.bytes.Load()}
	sum := prefixes{byName: map[string]*PrefixStats{}}
	for i := range s.lanes {
		l := &s.lanes[i]
		l.mu.Lock()
		n.Counters.add(&l.counters)
		l.prefixes.addTo(&sum)
		l.mu.Unlock()
	}
	s.segments.mu.Lock()
	n.EvictedRead, n.EvictedUnread = s.evictor.losses.EvictedRead, s.evictor.losses.EvictedUnread
	n.Expired, n.ExpiredUnread = s.evictor.losses.Expired, s.evictor.losses.ExpiredUnread
	s.evictor.losses.prefixes.addTo(&sum)
	size := int64(s.segmentBytes)
	n.IndexBytes = int64(s.index.state.chunks+s.index.state.overflow) * size
	n.GhostBytes = int64(s.evictor.ghosts.state.chunks) * size
	n.SmallBytes, n.MainBytes = int64(s.segments.rings[small].count)*size, int64(s.segments.rings[main].count)*size
	n.FreeBytes = int64(s.segments.freeCount) * size
	s.segments.mu.Unlock()
	n.Prefixes = map[string]PrefixStats{}
	for name, c := range sum.byName {
		n.Prefixes[name] = *c
	}
	if sum.others != (PrefixStats{}) {
		n.Prefixes[""] = sum.others
	}
	return n
}

// ResetStats zeroes the counters, except the numbers and bytes of items.
func (s *Store) ResetStats() {
	for i := range s.lanes {
		l := &s.lanes[i]
		l.mu.Lock()
		l.counters = Counters{}
		l.prefixes.reset()
		l.mu.Unlock()
	}
	s.segments.mu.Lock()
	defer s.segments.mu.Unlock()
	kept := s.evictor.losses.prefixes
	kept.reset()
	s.evictor.losses = losses{prefixes: kept}
}

// Detail turns counting by key prefix on or off. Earlier counts are kept.
func (s *Store) Detail(on bool) { s.counting.on.Store(on) }

// Stats appends a group of statistics to dst as lines "STAT name value\r\n", under memcached's
// names where it has them. The group "" is that of the command without an argument. Stats returns
// false for an unknown group.
func (s *Store) Stats(dst []byte, group string) ([]byte, bool) {
	switch name, arg, _ := strings.Cut(group, " "); {
	case group == "":
		return s.appendStats(dst), true
	case group == "settings":
		return s.appendSettings(dst), true
	case group == "items", group == "sizes":
		return dst, true
	case group == "slabs", group == "holdfast":
		return s.appendMemory(dst), true
	case group == "detail dump":
		return s.appendPrefixes(dst, false), true
	case group == "prefixes":
		return s.appendPrefixes(dst, true), true
	case group == "whatif":
		return s.appendWhatIf(dst), true
	case name == "cachedump":
		return s.appendCacheDump(dst, arg)
	}
	return dst, false
}

func appendStat[T any](dst []byte, name string, value T) []byte {
	return fmt.Appendf(dst, "STAT %s %v\r\n", name, value)
}

func (s *Store) appendStats(dst []byte) []byte {
	n := s.Snapshot()
	c := &n.Counters
	for _, stat := range []struct {
		name  string
		value uint64
	}{
		{"cmd_get", c.Gets}, {"cmd_set", c.Sets}, {"cmd_flush", c.Flushes}, {"cmd_touch", c.Touches},
		{"cmd_meta", c.MetaCommands},
		{"get_hits", c.GetHits}, {"get_misses", c.GetMisses}, {"get_expired", c.GetExpired}, {"get_flushed", c.GetFlushed},
		{"delete_misses", c.DeleteMisses}, {"delete_hits", c.DeleteHits},
		{"incr_misses", c.IncrMisses}, {"incr_hits", c.IncrHits}, {"decr_misses", c.DecrMisses}, {"decr_hits", c.DecrHits},
		{"cas_misses", c.CASMisses}, {"cas_hits", c.CASHits}, {"cas_badval", c.CASBadval},
		{"touch_hits", c.TouchHits}, {"touch_misses", c.TouchMisses},
		{"store_too_large", c.TooLarge}, {"store_no_memory", c.NoMemory},
		{"limit_maxbytes", uint64(n.MemoryBytes)},
		{"hash_power_level", uint64(bits.Len64(s.index.buckets.Load()) - 1)},
		{"hash_bytes", uint64(n.IndexBytes)}, {"hash_is_expanding", 0},
		{"slab_reassign_rescues", 0}, {"slab_reassign_chunk_rescues", 0}, {"slab_reassign_evictions_nomem", 0},
		{"slab_reassign_inline_reclaim", 0},
		{"slab_reassign_busy_items", 0}, {"slab_reassign_busy_deletes", 0}, {"slab_reassign_busy_nomem", 0},
		{"slab_reassign_last_busy_status", 0}, {"slab_reassign_running", 0}, {"slabs_moved", 0}, {"malloc_fails", 0},
		{"bytes", uint64(n.ItemBytes)}, {"curr_items", uint64(n.Items)}, {"total_items", c.Stored},
		{"slab_global_page_pool", uint64(n.FreeBytes / int64(s.segmentBytes))},
		{"expired_unfetched", n.ExpiredUnread}, {"evicted_unfetched", n.EvictedUnread},
		{"evictions", n.EvictedRead + n.EvictedUnread}, {"reclaimed", n.Expired},
		{"crawler_reclaimed", 0}, {"crawler_items_checked", 0}, {"lrutail_reflocked", 0}, {"evicted_active", 0},
		{"lru_crawler_running", 0}, {"lru_crawler_starts", 0}, {"lru_maintainer_juggles", 0}, {"lru_bumps_dropped", 0},
		{"moves_to_cold", 0}, {"moves_to_warm", 0}, {"moves_within_lru", 0}, {"direct_reclaims", 0},
	} {
		dst = appendStat(dst, stat.name, stat.value)
	}
	return dst
}

func (s *Store) appendSettings(dst []byte) []byte {
	onOff := map[bool]string{true: "on", false: "off"}
	dst = appendStat(dst, "maxbytes", len(s.mem))
	dst = appendStat(dst, "evictions", onOff[!s.evictor.noEvict])
	dst = appendStat(dst, "cas_enabled", yesNo(!s.answers.noCAS))
	dst = appendStat(dst, "detail_enabled", yesNo(s.counting.on.Load()))
	dst = appendStat(dst, "stat_key_prefix", string(s.counting.delimiter))
	dst = appendStat(dst, "hash_algorithm", "xxh3")
	// Settings of memcached's slabs and LRU lists, which tools expect, and which don't exist here.
	for _, name := range []string{"oldest", "growth_factor", "chunk_size", "hashpower_init", "slab_automove",
		"slab_automove_ratio", "slab_automove_window", "slab_automove_freeratio", "slab_chunk_max",
		"lru_crawler_sleep", "lru_crawler_tocrawl", "hot_lru_pct", "warm_lru_pct", "hot_max_factor", "warm_max_factor",
		"tail_repair_time", "temporary_ttl", "num_napi_ids"} {
		dst = appendStat(dst, name, 0)
	}
	for _, name := range []string{"slab_reassign", "lru_maintainer_thread", "lru_segmented", "temp_lru", "track_sizes"} {
		dst = appendStat(dst, name, "no")
	}
	return dst
}

// appendMemory appends the use of the memory.
func (s *Store) appendMemory(dst []byte) []byte {
	n := s.Snapshot()
	dst = appendStat(dst, "segment_bytes", s.segmentBytes)
	dst = appendStat(dst, "segments", len(s.segments.table))
	dst = appendStat(dst, "index_bytes", n.IndexBytes)
	dst = appendStat(dst, "ghost_bytes", n.GhostBytes)
	dst = appendStat(dst, "small_ring_bytes", n.SmallBytes)
	dst = appendStat(dst, "main_ring_bytes", n.MainBytes)
	dst = appendStat(dst, "free_bytes", n.FreeBytes)
	dst = appendStat(dst, "total_malloced", n.MemoryBytes-n.FreeBytes) // memcached's name for it
	dst = appendStat(dst, "active_slabs", 0)
	dst = appendStat(dst, "item_bytes", n.ItemBytes)
	dst = appendStat(dst, "evicted_read", n.EvictedRead)
	return appendStat(dst, "evicted_unread", n.EvictedUnread)
}

// appendPrefixes appends a line for each prefix, in memcached's form or, with all, with all counts.
func (s *Store) appendPrefixes(dst []byte, all bool) []byte {
	counts := s.Snapshot().Prefixes
	names := make([]string, 0, len(counts))
	for name := range counts {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		c := counts[name]
		if asked := c.Gets+c.Sets+c.Deletes > 0; !all && (!asked || name == "") {
			continue // as in memcached, which doesn't count keys without a prefix
		}
		if strings.ContainsAny(name, " \r\n") { // of binary keys
			name = escape(name)
		}
		dst = fmt.Appendf(dst, "PREFIX %s get %d hit %d set %d del %d", name, c.Gets, c.Hits, c.Sets, c.Deletes)
		if all {
			dst = fmt.Appendf(dst, " evict_read %d evict_unread %d expired %d items %d bytes %d",
				c.EvictedRead, c.EvictedUnread, c.Expired, c.Items, c.Bytes)
		}
		dst = append(dst, mc.CRLF...)
	}
	return dst
}

// A WhatIf has the hit rates that the recent traffic would have with other amounts of memory.
type WhatIf struct {
	HitRate   float64     `json:"hit_rate"`  // measured, since the counters were last reset
	Sampled   uint64      `json:"sampled"`   // the number of gets behind the estimates
	Estimates []WhatIfRow `json:"estimates"` // from a quarter to four times the memory
}

// A WhatIfRow is a point of the curve.
type WhatIfRow struct {
	Times       float64 `json:"times"` // of the present memory
	MemoryBytes int64   `json:"memory_bytes"`
	HitRate     float64 `json:"hit_rate"`
}

var whatIfTimes = [...]float64{0.25, 0.5, 0.75, 1, 1.5, 2, 3, maxTimes}

// maxTimes is the end of the curve, as a multiple of the present memory.
const maxTimes = 4

// WhatIf estimates the curve by a sample of keys. See package mrc.
func (s *Store) WhatIf() WhatIf {
	n := s.Snapshot()
	w := WhatIf{Sampled: s.curve.Stats().SampledRequests}
	if n.Gets > 0 {
		w.HitRate = float64(n.GetHits) / float64(n.Gets)
	}
	// The memory of index and ghosts grows with the items.
	forItems := int64(1)
	if rings := n.SmallBytes + n.MainBytes; n.ItemBytes > 0 && n.EvictedRead+n.EvictedUnread > 0 {
		forItems = n.ItemBytes
	} else {
		forItems = n.MemoryBytes - n.IndexBytes - n.GhostBytes - max(0, rings-n.ItemBytes)
	}
	var sizes []int64
	for _, times := range whatIfTimes {
		sizes = append(sizes, int64(times*float64(forItems)))
	}
	for i, p := range s.curve.Curve(sizes) {
		times := whatIfTimes[i]
		w.Estimates = append(w.Estimates, WhatIfRow{times, int64(times * float64(n.MemoryBytes)), p.HitRatio})
	}
	return w
}

func (s *Store) appendWhatIf(dst []byte) []byte {
	w := s.WhatIf()
	dst = appendStat(dst, "hit_rate", fmt.Sprintf("%.4f", w.HitRate))
	dst = appendStat(dst, "sampled_gets", w.Sampled)
	for _, row := range w.Estimates {
		dst = appendStat(dst, fmt.Sprintf("hit_rate_at_%gx", row.Times), fmt.Sprintf("%.4f", row.HitRate))
	}
	return dst
}
