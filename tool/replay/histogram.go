package replay

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets whose width is a 64th to a 32nd of their value, so that a
// percentile is at most 3.2 % above the true one. Durations below 64 ns have a bucket each.
type histogram struct {
	counts [(64 - subBits + 2) * subBuckets / 2]int64
	total  int64
	max    time.Duration
}

const (
	subBits    = 6 // leading bits of a duration that choose its bucket
	subBuckets = 1 << subBits
)

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(uint64(d))]++
	h.total++
	h.max = max(h.max, d)
}

// quantile returns the duration that a share q of all doesn't exceed, 0 if there are none.
func (h *histogram) quantile(q float64) time.Duration {
	rank := int64(q * float64(h.total))
	for bucket, n := range h.counts {
		if rank -= n; rank < 0 {
			return min(time.Duration(lastOf(bucket)), h.max)
		}
	}
	return h.max
}

// bucketOf numbers the buckets in order of value. Above subBuckets, each doubling has half of
// subBuckets of them.
func bucketOf(v uint64) int {
	shift := bits.Len64(v) - subBits
	if shift <= 0 {
		return int(v)
	}
	return shift*subBuckets/2 + int(v>>shift)
}

// lastOf returns the largest value in a bucket.
func lastOf(bucket int) uint64 {
	if bucket < subBuckets {
		return uint64(bucket)
	}
	shift := bucket/(subBuckets/2) - 1
	return uint64(bucket-shift*subBuckets/2+1)<<shift - 1
}
