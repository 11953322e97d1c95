package cache

// This file computes the results of mutations. It changes the mutation, the counters and scratch
// memory of the lane, and, if the mutation can be done in place, the item. It needs the item's
// stripe.

// plan computes the result of m for the present item, or nil. If the step is rewrite, m.d is the
// draft, which refers to nothing that the stripe guards.
func (m *mutation) plan(l *lane, it item) (step, verdict) {
	if it == nil {
		return m.planMissing(l)
	}
	m.made = false
	switch m.kind {
	case add:
		return refuse, notStored
	case touch:
		return m.planTouch(l, it)
	case vivify:
		return refuse, exists
	case increment, decrement:
		if it.valueBytes() == 0 {
			return refuse, notNumeric // with any CAS, as in memcached
		}
	}
	stale := false
	if m.compareCAS && m.r.CAS != l.answers.cas(it) {
		if m.kind != compare || !m.allowStale || m.r.CAS >= l.answers.cas(it) {
			if m.kind == compare {
				l.counters.CASBadval++
			}
			return refuse, exists
		}
		stale = true
	}
	switch m.kind {
	case set, replace, compare:
		if m.kind == compare {
			l.counters.CASHits++
		}
		m.draftValue()
		if stale {
			m.d.expiry = it.expiry()
			m.d.bits |= bitStale | it[4]&bitSent
		}
	case appendTo, prependTo:
		m.draftFrom(it)
		m.d.head, m.d.tail = l.scratch.whole(&l.segments, it), m.r.Value
		if m.kind == prependTo {
			m.d.head, m.d.tail = m.d.tail, m.d.head
		}
	case increment, decrement:
		return m.planArithmetic(l, it)
	case clearIt:
		m.draftValue()
		if m.markStale {
			m.d.bits |= bitStale
		} else if !m.d.wantOwn {
			m.d.own, m.d.wantOwn = it.cas(), true // as in memcached, only I changes the CAS
		}
	case mark:
		return m.planStale(l, it)
	}
	return rewrite, stored
}

// planMissing is plan for a key without an item.
func (m *mutation) planMissing(l *lane) (step, verdict) {
	switch m.kind {
	case set, add, vivify:
		m.draftValue()
	case appendTo, prependTo:
		if !m.vivify {
			return refuse, notStored
		}
		m.draftValue()
	case increment, decrement:
		if !m.vivify {
			return refuse, notFound
		}
		m.value = m.r.Initial
		m.draftValue()
		m.d.head = l.scratch.decimal(m.value)
	case replace:
		return refuse, notStored
	case compare:
		l.counters.CASMisses++
		return refuse, notFound
	default:
		return refuse, notFound
	}
	m.made = true
	return rewrite, stored
}

// draftValue drafts an item with the request's value.
func (m *mutation) draftValue() {
	m.d = draft{key: m.r.Key, head: m.r.Value, clientFlags: m.r.ClientFlags, expiry: m.expiry, accessed: m.now,
		own: m.r.NewCAS, wantOwn: m.r.Has('E')}
	if m.r.Has('b') {
		m.d.bits = bitBinary
	}
}

// draftFrom drafts a copy of the item with another value.
func (m *mutation) draftFrom(it item) {
	m.d = draft{key: m.r.Key, clientFlags: it.clientFlags(), expiry: it.expiry(), accessed: m.now,
		bits: it[4] & (bitFetched | bitBinary), own: m.r.NewCAS, wantOwn: m.r.Has('E')}
}

// planArithmetic changes a number. As in memcached, a number that gets shorter keeps its length,
// padded with spaces.
func (m *mutation) planArithmetic(l *lane, it item) (step, verdict) {
	if it.large() {
		return refuse, notNumeric
	}
	old := it.inline()
	n, ok := parseNumber(old)
	switch {
	case !ok:
		return refuse, notNumeric
	case m.kind == increment:
		n += m.r.Delta
	default:
		n -= min(n, m.r.Delta)
	}
	m.value, m.before = n, it.expiry()
	length := len(old)
	m.draftFrom(it)
	m.d.bits = it[4] &^ padMask &^ bitCounted
	digits := l.scratch.decimal(n)
	if m.setExpiry {
		m.d.expiry = m.expiry
	}
	m.d.head = digits
	if len(digits) < length {
		m.d.tail = l.scratch.spaces(length - len(digits))
	}
	return rewrite, stored
}

// planTouch changes the expiry, in place if the item has the field.
func (m *mutation) planTouch(l *lane, it item) (step, verdict) {
	if it.touch(m.expiry) {
		return changed, stored
	}
	m.draftSame(l, it)
	m.d.expiry = m.expiry
	return rewrite, stored
}

// planStale marks the item as stale, gives it a new CAS, and lets the next client win again.
func (m *mutation) planStale(l *lane, it item) (step, verdict) {
	wantOwn := m.r.Has('E')
	if wantOwn && it.layout()&hasOwnCAS == 0 || m.setExpiry && m.expiry != 0 && it.layout()&hasExpiry == 0 {
		m.draftSame(l, it)
		m.d.bits = m.d.bits&^bitSent | bitStale
		m.d.own, m.d.wantOwn = m.r.NewCAS, wantOwn
		if m.setExpiry {
			m.d.expiry = m.expiry
		}
		return rewrite, stored
	}
	it.setBit(bitStale)
	it.clearBit(bitSent)
	seq := l.lifetimes.seq.Add(1)
	own := seq
	if wantOwn {
		own = m.r.NewCAS
	}
	l.prefixes.uncount(it) // whether an item is counted depends on its sequence number
	it.stamp(seq, own)
	l.prefixes.count(it)
	if m.setExpiry && it.layout()&hasExpiry != 0 {
		it.setExpiry(m.expiry)
	}
	m.cas = l.answers.cas(it)
	return changed, stored
}

// draftSame drafts a copy of the item, to add a field that it lacks. Large items have all fields.
func (m *mutation) draftSame(l *lane, it item) {
	m.draftFrom(it)
	m.d.head = l.scratch.whole(&l.segments, it)
	m.d.bits = it[4] &^ padMask &^ bitCounted
	m.d.seq = it.seq()
	m.d.accessed = it.accessed()
	if it.layout()&hasOwnCAS != 0 {
		m.d.own, m.d.wantOwn = it.cas(), true
	}
}
