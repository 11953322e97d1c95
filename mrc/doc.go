// Package mrc estimates a cache's miss-ratio curve while it runs: the hit ratio that the same
// traffic would have with less or more memory. It follows Waldspurger et al., "Efficient MRC
// Construction with SHARDS", FAST'15: the fixed-size variant with its correction of the counts
// (SHARDS-adj, refined for even traffic: see Sampler.lack), weighted by the items' bytes.
//
// A request is a hit in an LRU cache of m bytes if and only if the items used since the item's last
// use, plus the item itself, sum to at most m bytes. That sum is the request's stack distance, so
// the distribution of distances is the curve for all m at once. Keys whose hash is below a
// threshold are a fair sample of all keys; distances among them, divided by the share of keys that
// is sampled, estimate the distances among all keys. When the sample exceeds MaxKeys, the threshold
// falls to its largest hash, so cost and memory are bounded for any traffic.
//
// How a cache feeds it:
//
//	if s.Sampled(hash) { // false for 99 % of the keys, and about a nanosecond
//		s.Get(hash, itemBytes) // 0 on a miss
//	}
//
// It also calls Set for each stored item, Delete for each deleted or expired one, and DeleteAll for
// a flush. It doesn't report evictions: the package estimates what a smaller or larger cache would
// still hold.
//
// A limit: the time at which an evicted item would have expired is unknown. If items expire long
// before they are requested again, the curve is too high above the present memory.
//
// Nothing here reads a clock or starts a goroutine. All methods may be called concurrently, and
// none returns an error.
package mrc
