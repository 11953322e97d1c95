package cache

import (
	"bytes"

	"holdfast/mc"
)

// This file serves the requests that store, and applies mutations. It changes the lane, whose lock
// Serve holds; an item and its slot, under the item's stripe; and, only if an item needs memory,
// what segments.mu guards.

// A kind is the operation of a mutation.
type kind uint8

const (
	set       kind = iota
	add            // only if there is none
	replace        // only if there is one
	compare        // only if its CAS is the request's
	appendTo       // to the present value
	prependTo      // to the present value
	increment
	decrement
	touch   // change only the expiry
	mark    // md I: mark as stale, with a new CAS
	clearIt // md x: make the value empty, and with I mark the item as stale
	vivify  // mg N: an empty item if there is none
)

// A verdict is the result of a mutation.
type verdict uint8

const (
	stored verdict = iota
	notStored
	exists
	notFound
	notNumeric
	tooLarge
	noMemory
)

// A mutation is a change of one item. Its result depends on the present item; plan computes it
// under the item's stripe.
type mutation struct {
	kind   kind
	r      *mc.Request
	now    uint32
	expiry uint32 // of the item: Unix seconds, 0 never

	compareCAS bool // r.CAS must equal the item's CAS
	allowStale bool // ms I: a lower CAS stores the item, marked as stale
	vivify     bool // append, prepend and arithmetic create a missing item
	setExpiry  bool // arithmetic, mark: set the item's expiry to the mutation's
	markStale  bool // clearIt: md I x

	d      draft
	value  uint64 // the result of arithmetic
	before uint32 // arithmetic: the old item's expiry
	cas    uint64 // of the stored item
	length int    // of the stored value
	made   bool   // the item is new
}

// A step is what apply must do after plan.
type step uint8

const (
	refuse  step = iota // nothing
	changed             // nothing: the item was changed in place
	rewrite             // replace the item by the draft
)

// apply applies m.
//
// The naive way is to hold the item's stripe from finding the old item to publishing the new one.
// But memory for the new one may have to be freed first by eviction, which takes segments.mu and
// other stripes, and segments.mu must be taken before a stripe. So:
//
//  1. Under the stripe, plan reads the item and makes the draft. A draft that fits is written in
//     place.
//  2. Without the stripe, the draft gets memory and is written there.
//  3. Under the stripe again, the draft is published if the item has not changed since 1. Otherwise
//     the draft's memory is dead, and apply starts again.
func (l *lane) apply(m *mutation) verdict {
	st := l.index.stripe(m.r.Hash)
	for {
		st.Lock()
		it, at, loc := l.findLive(m.r, m.now)
		step, v := m.plan(l, it)
		if step == rewrite {
			m.d.layOut(l.segmentBytes)
			if it != nil && m.d.fits(it) && l.segments.mayStay(it, loc, m.d.expiry, l.lifetimes.now.Load()) {
				l.overwrite(m, it, at)
				step = changed
			}
		}
		was := versionOf(it)
		st.Unlock()
		if step != rewrite {
			return v
		}
		if m.d.tooLarge(l.itemMaxBytes) {
			if m.kind == appendTo || m.kind == prependTo {
				return notStored // the old value stays, as in memcached
			}
			return l.abandon(m, tooLarge)
		}
		switch l.place(m, was) {
		case placed:
			return v
		case outOfMemory:
			return l.abandon(m, noMemory)
		}
	}
}

// abandon abandons a store. If it is a set, the old item is removed, as in memcached: the client
// has replaced it, so nobody may read it any more.
func (l *lane) abandon(m *mutation, v verdict) verdict {
	if v == tooLarge {
		l.counters.TooLarge++
	} else {
		l.counters.NoMemory++
	}
	if m.kind == set {
		l.remove(m.r)
	}
	return v
}

// memcachedHeaderBytes is what memcached adds to key and value when it compares an item with -I.
const memcachedHeaderBytes = 59

func (d *draft) tooLarge(itemMaxBytes int) bool {
	return len(d.key)+d.valueBytes()+memcachedHeaderBytes > itemMaxBytes
}

// A version differs after any change of the item.
type version struct {
	seq    uint64
	expiry uint32
	bits   uint8
}

func versionOf(it item) version {
	if it == nil {
		return version{}
	}
	return version{it.seq(), it.expiry(), it[4] &^ bitFetched}
}

// overwrite writes the draft over the item. It needs the item's stripe.
func (l *lane) overwrite(m *mutation, it item, at uint64) {
	l.prefixes.uncount(it)
	m.stampDraft(&l.lifetimes)
	m.d.overwrite(it)
	l.prefixes.count(it)
	l.finish(m, it)
	l.index.countRead(at)
}

// stampDraft gives the draft a new sequence number. A touch keeps the item's.
func (m *mutation) stampDraft(t *lifetimes) {
	if m.kind != touch {
		m.d.seq = t.seq.Add(1)
	}
}

// finish counts the store, and sets the fields of m that answers show.
func (l *lane) finish(m *mutation, it item) {
	m.cas = l.answers.cas(it)
	m.length = it.valueBytes()
	l.counters.Stored++
	if l.curve.Sampled(m.r.Hash) {
		l.curve.Set(m.r.Hash, it.memoryBytes())
	}
}

// Outcomes of place.
const (
	placed = iota
	overtaken
	outOfMemory
)

// place writes the draft to new memory, and publishes it if the item hasn't changed.
func (l *lane) place(m *mutation, was version) int {
	d := &m.d
	first := none
	if d.layout&isLarge != 0 {
		var ok bool
		if first, ok = l.evictor.takeChunks(d, small); !ok {
			return outOfMemory
		}
	}
	l.segments.mu.Lock()
	defer l.segments.mu.Unlock()
	h := m.r.Hash
	r := uint8(small)
	if was.seq == 0 && l.evictor.ghosts.take(h) {
		r = main
	}
	loc, ok := l.evictor.allocate(r, d)
	if !ok {
		l.segments.freeChunks(first)
		return outOfMemory
	}
	st := l.index.stripe(h)
	st.Lock()
	defer st.Unlock()
	at, old := l.index.find(h, d.key)
	var it item
	if at != 0 {
		it = l.item(old)
	}
	fresh := l.item(loc)
	m.stampDraft(&l.lifetimes)
	d.write(fresh, first)
	// The time is m.now, as for plan. With a later one plan could find the item and place find it
	// gone, again and again.
	if versionOf(it) != was || it != nil && l.lifetimes.gone(it, m.now) {
		fresh.kill()
		l.segments.freeChunks(first)
		return overtaken
	}
	l.prefixes.count(fresh)
	l.index.count(loc, fresh)
	if it == nil {
		l.index.insert(h, newSlot(h, loc, r))
	} else {
		l.prefixes.uncount(it)
		reads := min(frequency(l.index.slot(at))+1, freqMax)
		l.segments.freeChunks(l.index.drop(old, it))
		l.index.set(at, newSlot(h, loc, r)|reads<<freqShift)
	}
	l.finish(m, fresh)
	return placed
}

// storeItem serves set, add, replace, append, prepend and cas.
func (l *lane) storeItem(b *mc.Batch, r *mc.Request, now uint32) {
	l.counters.Sets++
	m := mutation{r: r, now: now, expiry: l.lifetimes.expiryFor(r.Key, r.Exptime)}
	switch r.Op {
	case mc.Set:
		m.kind = set
	case mc.Add:
		m.kind = add
	case mc.Replace:
		m.kind = replace
	case mc.Append:
		m.kind, m.compareCAS = appendTo, r.CAS != 0
	case mc.Prepend:
		m.kind, m.compareCAS = prependTo, r.CAS != 0
	case mc.CAS:
		m.kind, m.compareCAS = compare, true
	}
	l.observeSet(r)
	v := l.apply(&m)
	if l.observer != nil {
		l.reportStored(b, r, &m, v, r.Op.String())
	}
	switch {
	case b.Binary:
		appendBinaryStored(b, r, v, m.cas)
	case !r.NoReply:
		b.Out = append(b.Out, storeAnswers[v]...)
	}
}

var storeAnswers = [...]string{
	stored:    mc.Stored,
	notStored: mc.NotStored,
	exists:    mc.Exists,
	notFound:  mc.NotFound,
	tooLarge:  mc.TooLarge,
	noMemory:  mc.OutOfMemory,
}

// arithmetic serves incr and decr.
func (l *lane) arithmetic(b *mc.Batch, r *mc.Request, now uint32) {
	m := mutation{kind: increment, r: r, now: now}
	if r.Op == mc.Decr {
		m.kind = decrement
	}
	if b.Binary {
		m.compareCAS = r.CAS != 0
		if m.vivify = r.HasExptime; m.vivify {
			m.expiry = l.lifetimes.expiryFor(r.Key, r.Exptime)
		}
	}
	v := l.apply(&m)
	if !m.made { // as in memcached, creating an item is neither a hit nor a miss
		l.counters.countArithmetic(m.kind, v)
	}
	if b.Binary {
		appendBinaryNumber(b, r, &m, v)
		return
	}
	if r.NoReply {
		return
	}
	switch v {
	case stored:
		b.Out = append(mc.AppendUint(b.Out, m.value), '\r', '\n')
	case notFound:
		b.Out = append(b.Out, mc.NotFound...)
	default:
		b.Out = append(b.Out, arithmeticFault(v)...)
	}
}

func arithmeticFault(v verdict) string {
	if v == notNumeric {
		return mc.NotANumber
	}
	return mc.NoMemoryDelta
}

func (c *Counters) countArithmetic(k kind, v verdict) {
	hits, misses := &c.IncrHits, &c.IncrMisses
	if k == decrement {
		hits, misses = &c.DecrHits, &c.DecrMisses
	}
	switch v {
	case stored:
		*hits++
	case notFound:
		*misses++
	}
}

// parseNumber parses an unsigned decimal number as memcached does, with strtoull: spaces may
// precede the digits, and anything may follow after a space, such as the padding that a decrement
// leaves.
func parseNumber(value []byte) (n uint64, ok bool) {
	value = bytes.TrimLeft(value, " ")
	digits := 0
	for ; digits < len(value) && value[digits] != ' '; digits++ {
		c := uint64(value[digits] - '0')
		if c > 9 || n > (1<<64-1-c)/10 {
			return 0, false
		}
		n = n*10 + c
	}
	return n, digits > 0
}
