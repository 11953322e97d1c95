package cache

import (
	"sync/atomic"
	"unsafe"

	"holdfast/mc"
)

// This file reads slots without a lock, each atomically, and uses them only as hints. It changes
// nothing but the requests' hashes.

// hashAll sets the hashes of the requests' keys.
func (x *index) hashAll(requests []mc.Request) {
	for i := range requests {
		if r := &requests[i]; len(r.Key) > 0 {
			r.Hash = x.hash(r.Key)
		}
	}
}

// prefetchBuckets prefetches the buckets of the requests' keys, and their locks.
func (x *index) prefetchBuckets(requests []mc.Request) {
	for i := range requests {
		if r := &requests[i]; len(r.Key) > 0 {
			prefetchLine(unsafe.Pointer(&x.words[x.bucket(r.Hash)]))
			prefetchLine(unsafe.Pointer(x.stripe(r.Hash)))
		}
	}
}

// prefetchItems prefetches the items that the buckets seem to have for the keys, and then those of
// overflow buckets.
func (x *index) prefetchItems(requests []mc.Request) {
	var overflow [prefetchRequests]struct{ w, tag uint64 }
	links := 0
	for i := range requests {
		r := &requests[i]
		if len(r.Key) == 0 {
			continue
		}
		tag := tagOf(r.Hash)
		if more := x.prefetchItem(x.bucket(r.Hash), tag); more != 0 {
			prefetchLine(unsafe.Pointer(&x.words[more]))
			overflow[links].w, overflow[links].tag = more, tag
			links++
		}
	}
	for _, o := range overflow[:links] {
		x.prefetchItem(o.w, o.tag)
	}
}

// prefetchItem prefetches the item with this tag in the bucket at w. If there is none, more is the
// overflow bucket where it may be, or 0.
func (x *index) prefetchItem(w, tag uint64) (more uint64) {
	for at := w; at < w+slots; at++ {
		slot := atomic.LoadUint64(&x.words[at])
		switch {
		case slot&linkMark != 0:
			return location(slot)
		case slot>>tagShift == tag && slot != 0:
			prefetchLines(unsafe.Pointer(&x.words[location(slot)]))
			return 0
		}
	}
	return 0
}
