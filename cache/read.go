package cache

import "holdfast/mc"

// This file serves the requests that read, touch or delete one item. It changes the lane, whose
// lock Serve holds, and the item and its slot, under the item's stripe.

// findLive returns the item of r's key, its slot and location, or nil. An expired item is unlinked.
// It needs r's stripe.
func (l *lane) findLive(r *mc.Request, now uint32) (it item, at, loc uint64) {
	at, loc = l.index.find(r.Hash, r.Key)
	if at == 0 {
		return nil, 0, 0
	}
	it = l.item(loc)
	if !l.lifetimes.gone(it, now) {
		return it, at, loc
	}
	if it.seq() <= l.lifetimes.flushed.Load() {
		l.counters.GetFlushed++
	} else {
		l.counters.GetExpired++
		if l.prefixes.rule.on.Load() {
			l.prefixes.of(it.key()).Expired++
		}
	}
	deleteFromCurve(l.curve, r.Hash)
	l.unlinkFor(at, loc, it)
	return nil, 0, 0
}

// findReadable is findLive for an answer with the value: a large value that may not be pinned is a
// miss.
func (l *lane) findReadable(r *mc.Request, now uint32) (it item, at uint64) {
	it, at, _ = l.findLive(r, now)
	if it != nil && it.large() && !l.segments.mayPin(it) {
		return nil, 0
	}
	return it, at
}

// unlinkFor unlinks the item for a request. It needs the item's stripe.
func (l *lane) unlinkFor(at, loc uint64, it item) {
	l.prefixes.uncount(it)
	l.index.set(at, 0)
	if first := l.index.drop(loc, it); first != none {
		l.orphans = first
	}
}

// get serves get and gets: a line and the value on a hit, and END after the line's last key.
func (l *lane) get(b *mc.Batch, r *mc.Request, now uint32) {
	l.counters.Gets++
	st := l.index.stripe(r.Hash)
	st.Lock()
	it, at := l.findReadable(r, now)
	bytes := 0
	if it != nil {
		l.hit(at, it, now)
		bytes = it.memoryBytes()
		l.answers.appendValue(b, it, r)
	}
	if l.observer != nil {
		l.reportFetched(b, r, it, at)
	}
	st.Unlock()
	if it != nil {
		l.counters.GetHits++
	} else {
		l.counters.GetMisses++
	}
	l.observeGet(r, it != nil, bytes)
	switch {
	case r.Last:
		b.Out = append(b.Out, mc.End...)
	case it == nil && b.Binary:
		b.Out = mc.AppendBinaryMiss(b.Out, r)
	}
}

// observeGet counts a get, also by prefix if that is on, and samples it for the curve.
func (l *lane) observeGet(r *mc.Request, hit bool, bytes int) {
	l.getCount++
	if l.prefixes.rule.on.Load() {
		p := l.prefixes.of(r.Key)
		p.Gets++
		if hit {
			p.Hits++
		}
	}
	if l.curve.Sampled(r.Hash) {
		l.curve.Get(r.Hash, bytes)
	}
}

// getAndTouch serves gat, gats and the binary protocol's touch. The answer has the value even if
// the touch then fails.
func (l *lane) getAndTouch(b *mc.Batch, r *mc.Request, now uint32) {
	l.counters.Touches++
	expiry := l.lifetimes.expiryOf(r.Exptime)
	st := l.index.stripe(r.Hash)
	st.Lock()
	it, at := l.findReadable(r, now)
	bytes, touched := 0, true
	if it != nil {
		l.hit(at, it, now)
		bytes = it.memoryBytes()
		l.answers.appendValue(b, it, r)
		touched = it.touch(expiry)
	}
	if l.observer != nil {
		l.reportFetched(b, r, it, at)
	}
	st.Unlock()
	if !touched {
		l.touchAfter(r, now, expiry)
	}
	if it != nil {
		l.counters.TouchHits++
	} else {
		l.counters.TouchMisses++
	}
	l.observeGet(r, it != nil, bytes)
	switch {
	case r.Last:
		b.Out = append(b.Out, mc.End...)
	case it == nil && b.Binary:
		b.Out = mc.AppendBinaryMiss(b.Out, r)
	}
}

// touchAfter gives an expiry to an item without the field for it, which needs another location.
// Where there is no memory for that, the item is removed: it must not live longer than the client
// wants.
func (l *lane) touchAfter(r *mc.Request, now, expiry uint32) {
	m := mutation{kind: touch, r: r, now: now, expiry: expiry}
	if l.apply(&m) == noMemory {
		l.remove(r)
	}
}

func (l *lane) touchItem(b *mc.Batch, r *mc.Request, now uint32) {
	l.counters.Touches++
	m := mutation{kind: touch, r: r, now: now, expiry: l.lifetimes.expiryOf(r.Exptime)}
	answer := mc.NotFound
	switch l.apply(&m) {
	case noMemory:
		l.remove(r) // as touchAfter
		l.counters.TouchMisses++
	case stored:
		l.counters.TouchHits++
		answer = mc.Touched
	default:
		l.counters.TouchMisses++
	}
	if !r.NoReply {
		b.Out = append(b.Out, answer...)
	}
}

func (l *lane) delete(b *mc.Batch, r *mc.Request, now uint32) {
	l.counters.Deletes++
	st := l.index.stripe(r.Hash)
	st.Lock()
	it, at, loc := l.findLive(r, now)
	v := notFound
	switch {
	case it == nil:
	case r.CAS != 0 && l.answers.cas(it) != r.CAS: // of the binary protocol alone
		v = exists
	default:
		v = stored
		if l.observer != nil {
			l.observer.Deleted(it.key(), "delete", classShown(l.index.slot(at)), it.valueBytes())
		}
		l.unlinkFor(at, loc, it)
	}
	st.Unlock()
	answer := mc.NotFound
	if v == stored {
		l.counters.DeleteHits++
		answer = mc.Deleted
	} else {
		l.counters.DeleteMisses++
	}
	l.observeDelete(r)
	switch {
	case b.Binary:
		appendBinaryDone(b, r, v)
	case !r.NoReply:
		b.Out = append(b.Out, answer...)
	}
}
