package cache

import (
	"runtime/debug"
	"strings"

	"holdfast/mc"
)

// This file serves batches. It holds lane.mu while the lane serves a batch; of the shared parts it
// uses the index, under the request's stripe, and frees chunks under segments.mu once no stripe is
// held.

// prefetchRequests is the number of requests that are prefetched together.
const prefetchRequests = 32

// Serve implements mc.Handler. It waits for nothing but other lanes' short-held locks.
func (s *Store) Serve(b *mc.Batch) {
	if s.file != nil {
		defer s.explainFault()
		debug.SetPanicOnFault(true)
	}
	l := &s.lanes[uint(b.Lane)%uint(len(s.lanes))]
	l.mu.Lock()
	now := s.lifetimes.now.Load()
	l.observer = s.watch.watching()
	for more := true; more && b.Next < len(b.Requests); {
		part := b.Requests[b.Next:min(b.Next+prefetchRequests, len(b.Requests))]
		s.prefetchPart(part)
		for i := range part {
			l.serve(b, &part[i], now)
			b.Next++
			if b.Full() {
				more = false
				break
			}
		}
	}
	l.gets.Store(l.getCount)
	l.mu.Unlock()
	b.Done()
}

// Prefetch prefetches the buckets and items that the batches need into the processor's cache, and
// sets the requests' Hash. See server.Prefetcher.
func (s *Store) Prefetch(batches []*mc.Batch) {
	if s.file != nil {
		defer s.explainFault()
		debug.SetPanicOnFault(true)
	}
	for _, b := range batches {
		part := b.Requests[b.Next:min(b.Next+prefetchRequests, len(b.Requests))]
		s.index.hashAll(part)
		s.index.prefetchBuckets(part)
	}
	for _, b := range batches {
		s.index.prefetchItems(b.Requests[b.Next:min(b.Next+prefetchRequests, len(b.Requests))])
	}
}

// prefetchPart hashes the requests' keys, and prefetches first their buckets and then their items,
// so that the processor's cache misses overlap instead of coming one after the other.
func (s *Store) prefetchPart(requests []mc.Request) {
	if len(requests) < 2 {
		if len(requests) == 1 && requests[0].Hash == 0 {
			s.index.hashAll(requests)
		}
		return
	}
	s.index.hashAll(requests)
	s.index.prefetchBuckets(requests)
	s.index.prefetchItems(requests)
}

// serve answers one request.
func (l *lane) serve(b *mc.Batch, r *mc.Request, now uint32) {
	switch r.Op {
	case mc.Get, mc.Gets:
		l.get(b, r, now)
	case mc.Set, mc.Add, mc.Replace, mc.Append, mc.Prepend, mc.CAS:
		l.storeItem(b, r, now)
	case mc.Gat, mc.Gats:
		l.getAndTouch(b, r, now)
	case mc.Delete:
		l.delete(b, r, now)
	case mc.Incr, mc.Decr:
		l.arithmetic(b, r, now)
	case mc.Touch:
		if b.Binary {
			l.getAndTouch(b, r, now)
		} else {
			l.touchItem(b, r, now)
		}
	case mc.FlushAll:
		l.flushAll(b, r)
	case mc.MetaGet:
		l.metaGet(b, r, now)
	case mc.MetaSet:
		l.metaSet(b, r, now)
	case mc.MetaDelete:
		l.metaDelete(b, r, now)
	case mc.MetaArithmetic:
		l.metaArithmetic(b, r, now)
	case mc.MetaNoop:
		if b.Binary {
			appendBinaryDone(b, r, stored)
		} else {
			b.Out = append(b.Out, mc.MN+mc.CRLF...)
		}
	case mc.MetaDebug:
		l.metaDebug(b, r, now)
	default:
		l.refused(b, r)
	}
	if l.orphans != none {
		l.segments.mu.Lock()
		l.segments.freeChunks(l.orphans)
		l.segments.mu.Unlock()
		l.orphans = none
	}
}

// refused answers a request that the decoder refused. If the value was too large, or there was no
// memory to receive it, the item that it would have replaced is removed, so that nobody reads the
// old value.
func (l *lane) refused(b *mc.Batch, r *mc.Request) {
	if r.Drop && len(r.Key) > 0 {
		if r.Status == mc.StatusOutOfMemory || strings.HasPrefix(r.Fault, "SERVER_ERROR out of memory") {
			l.counters.NoMemory++
		} else {
			l.counters.TooLarge++
		}
		l.remove(r)
	}
	if b.Binary {
		b.Out = mc.AppendBinaryStatus(b.Out, r, r.Status)
		return
	}
	b.Out = append(b.Out, r.Fault...)
}

// remove unlinks the item of r's key, expired or not.
func (l *lane) remove(r *mc.Request) {
	st := l.index.stripe(r.Hash)
	st.Lock()
	if at, loc := l.index.find(r.Hash, r.Key); at != 0 {
		l.unlinkFor(at, loc, l.item(loc))
	}
	st.Unlock()
}

func (l *lane) flushAll(b *mc.Batch, r *mc.Request) {
	l.counters.Flushes++
	if r.Exptime > 0 {
		l.lifetimes.flushAt.Store(l.lifetimes.expiryOf(r.Exptime))
	} else {
		l.lifetimes.flushAt.Store(0)
		l.flush()
	}
	switch {
	case b.Binary:
		appendBinaryDone(b, r, stored)
	case !r.NoReply:
		b.Out = append(b.Out, mc.OK...)
	}
}

// hit records a read of the item. It needs the item's stripe.
func (l *lane) hit(at uint64, it item, now uint32) {
	l.index.countRead(at)
	if !it.has(bitFetched) {
		it.setBit(bitFetched)
	}
	if it.accessed() != now {
		it.setAccessed(now)
	}
}
