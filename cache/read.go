package cache

import "holdfast/mc"

// findLive returns the item of r's key, its slot and location, or nil; what has expired it
// unlinks. It needs r's stripe.
func (s *Store) findLive(l *lane, r *mc.Request, now uint32) (it item, at, loc uint64) {
	at, loc = s.index.find(r.Hash, r.Key)
	if at == 0 {
		return nil, 0, 0
	}
	it = s.item(loc)
	if !s.lifetimes.gone(it, now) {
		return it, at, loc
	}
	if it.seq() <= s.lifetimes.flushed.Load() {
		l.counters.GetFlushed++
	} else {
		l.counters.GetExpired++
		if s.prefixes.on.Load() {
			l.prefixes.of(it.key()).Expired++
		}
	}
	forget(s.curve, r.Hash)
	s.unlinkFor(l, at, loc, it)
	return nil, 0, 0
}

// findReadable is findLive for an item whose value is to be answered with.
func (s *Store) findReadable(l *lane, r *mc.Request, now uint32) (it item, at uint64) {
	it, at, _ = s.findLive(l, r, now)
	if it != nil && it.large() && !s.segments.mayPin(it) {
		return nil, 0
	}
	return it, at
}

// unlinkFor is unlink by a request.
func (s *Store) unlinkFor(l *lane, at, loc uint64, it item) {
	l.prefixes.uncount(it)
	if first := s.index.unlink(at, loc, it); first != none {
		l.orphans = first
	}
}

// get answers get and gets: one line and the value on a hit, and END after the line's last key.
func (s *Store) get(l *lane, b *mc.Batch, r *mc.Request, now uint32) {
	l.counters.Gets++
	st := s.index.stripe(r.Hash)
	st.Lock()
	it, at := s.findReadable(l, r, now)
	bytes := 0
	if it != nil {
		s.hit(at, it, now)
		bytes = it.memoryBytes()
		s.appendValue(b, it, r)
	}
	if l.observer != nil {
		s.tellFetched(l, b, r, it, at)
	}
	st.Unlock()
	if it != nil {
		l.counters.GetHits++
	} else {
		l.counters.GetMisses++
	}
	s.observeGet(l, r, it != nil, bytes)
	switch {
	case r.Last:
		b.Out = append(b.Out, mc.End...)
	case it == nil && b.Binary:
		b.Out = mc.AppendBinaryMiss(b.Out, r)
	}
}

// observeGet counts a get by prefix, if that is on, and shows it to the curve.
func (s *Store) observeGet(l *lane, r *mc.Request, hit bool, bytes int) {
	l.asked++
	if s.prefixes.on.Load() {
		p := l.prefixes.of(r.Key)
		p.Gets++
		if hit {
			p.Hits++
		}
	}
	if s.curve.Sampled(r.Hash) {
		s.curve.Get(r.Hash, bytes)
	}
}

// appendValue appends VALUE, the key, flags, length and CAS, and the value. It needs the item's
// stripe.
func (s *Store) appendValue(b *mc.Batch, it item, r *mc.Request) {
	if b.Binary {
		s.appendBinaryValue(b, it, r)
		return
	}
	if r.Op == mc.Gets || r.Op == mc.Gats {
		b.Out = mc.AppendValueCAS(b.Out, r.Key, it.clientFlags(), it.valueBytes(), s.casOf(it))
	} else {
		b.Out = mc.AppendValue(b.Out, r.Key, it.clientFlags(), it.valueBytes())
	}
	s.appendData(b, it)
}

// appendData appends the value and \r\n.
func (s *Store) appendData(b *mc.Batch, it item) {
	if it.large() {
		s.pinTo(b, it)
	}
	b.Out = append(b.Out, it.inline()...)
	b.Out = append(b.Out, '\r', '\n')
}

// pinTo has the chunks of a large item go out from where they stand. It needs the item's stripe.
func (s *Store) pinTo(b *mc.Batch, it item) {
	first, chunks := s.segments.pin(it)
	_, total := it.largeRef()
	b.Pin(chunks, func() { s.segments.unpin(first, total) })
}

func (s *Store) casOf(it item) uint64 {
	if s.noCAS {
		return 0
	}
	return it.cas()
}

// getAndTouch answers gat, gats and the binary protocol's touch: the value that is there, whatever
// becomes of it then.
func (s *Store) getAndTouch(l *lane, b *mc.Batch, r *mc.Request, now uint32) {
	l.counters.Touches++
	expiry := s.lifetimes.expiryOf(r.Exptime)
	st := s.index.stripe(r.Hash)
	st.Lock()
	it, at := s.findReadable(l, r, now)
	bytes, touched := 0, true
	if it != nil {
		s.hit(at, it, now)
		bytes = it.memoryBytes()
		s.appendValue(b, it, r)
		touched = it.touch(expiry)
	}
	if l.observer != nil {
		s.tellFetched(l, b, r, it, at)
	}
	st.Unlock()
	if !touched {
		s.touchAfter(l, r, now, expiry)
	}
	if it != nil {
		l.counters.TouchHits++
	} else {
		l.counters.TouchMisses++
	}
	s.observeGet(l, r, it != nil, bytes)
	switch {
	case r.Last:
		b.Out = append(b.Out, mc.End...)
	case it == nil && b.Binary:
		b.Out = mc.AppendBinaryMiss(b.Out, r)
	}
}

// touchAfter gives an item without an expiry one, which takes another place. Where there is no
// memory for that, the item goes: it must not outlive its time.
func (s *Store) touchAfter(l *lane, r *mc.Request, now, expiry uint32) {
	m := mutation{kind: touch, r: r, now: now, expiry: expiry}
	if s.apply(l, &m) == noMemory {
		s.remove(l, r)
	}
}

func (s *Store) touchItem(l *lane, b *mc.Batch, r *mc.Request, now uint32) {
	l.counters.Touches++
	m := mutation{kind: touch, r: r, now: now, expiry: s.lifetimes.expiryOf(r.Exptime)}
	answer := mc.NotFound
	switch s.apply(l, &m) {
	case noMemory:
		s.remove(l, r) // as touchAfter
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

func (s *Store) delete(l *lane, b *mc.Batch, r *mc.Request, now uint32) {
	l.counters.Deletes++
	st := s.index.stripe(r.Hash)
	st.Lock()
	it, at, loc := s.findLive(l, r, now)
	v := notFound
	switch {
	case it == nil:
	case r.CAS != 0 && s.casOf(it) != r.CAS: // of the binary protocol alone
		v = exists
	default:
		v = stored
		if l.observer != nil {
			l.observer.Deleted(it.key(), "delete", classShown(s.index.slot(at)), it.valueBytes())
		}
		s.unlinkFor(l, at, loc, it)
	}
	st.Unlock()
	answer := mc.NotFound
	if v == stored {
		l.counters.DeleteHits++
		answer = mc.Deleted
	} else {
		l.counters.DeleteMisses++
	}
	l.observeDelete(s, r)
	switch {
	case b.Binary:
		appendBinaryDone(b, r, v)
	case !r.NoReply:
		b.Out = append(b.Out, answer...)
	}
}
