// Package mrc estimates a cache's miss-ratio curve while it runs: the hit ratio that the same
// traffic would have with less or more memory. It follows Waldspurger et al., "Efficient MRC
// Construction with SHARDS", FAST'15: the fixed-size variant with its correction of the counts
// (SHARDS-adj, refined for even traffic: see Sampler.lack), weighted by the items' bytes.
//
// The idea: an item is a hit in an LRU cache of m bytes exactly if the items used since its last
// use, and itself, sum to m bytes or less. That sum is the request's stack distance, so the
// distribution of distances is the curve for every m at once. Keys whose hash lies under a
// threshold are a fair sample of all keys; distances among them, divided by the share of keys that
// is sampled, estimate the distances among all. When the sample grows beyond MaxKeys, the
// threshold falls to its largest hash, so cost and memory stay bounded whatever the traffic.
//
// How a cache feeds it:
//
//	if s.Sampled(hash) { // false for 99 % of the keys, and about a nanosecond
//		s.Get(hash, itemBytes) // 0 on a miss
//	}
//
// likewise Set for each item stored, Delete for each deleted or expired, and DeleteAll for a flush.
// Evictions are not reported: the package estimates what a smaller or larger cache would still
// hold.
//
// A limit: the time at which an evicted item would have expired is unknown. If items expire long
// before they are requested again, the curve is too high above the present memory.
//
// Nothing here reads a clock or starts a goroutine. All methods may be called concurrently, and
// none returns an error.
package mrc
