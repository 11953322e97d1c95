package cache

import (
	"bytes"

	"holdfast/mc"
)

// This file has the requests that store, and how a mutation is applied. They change the lane, whose
// lock the batch holds; an item and its slot, under the item's stripe; and, only where an item
// needs memory, what segments.mu guards.

// kind is what a mutation does.
type kind uint8

const (
	set       kind = iota
	add            // only if there is none
	replace        // only if there is one
	compare        // only if its CAS is the one given
	appendTo       // to the value that is there
	prependTo      // likewise
	increment
	decrement
	touch   // the expiry alone
	mark    // md I: mark it and give it a new CAS
	clearIt // md x: an empty value, marked stale as well if asked
	vivify  // mg N: an empty item if there is none
)

// verdict is the result of a mutation.
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

// A mutation is a change of one item. Its result depends on the present item, and is worked out by
// plan under the item's stripe.
type mutation struct {
	kind   kind
	r      *mc.Request
	now    uint32
	expiry uint32 // of the item: Unix seconds, 0 never

	compareCAS bool // r.CAS must be the item's
	allowStale bool // ms I: a lower CAS stores, and marks stale
	vivify     bool // append, prepend and arithmetic make the item where there is none
	setExpiry  bool // arithmetic, stale: expiry counts
	markStale  bool // clearIt: md I x

	d      draft
	value  uint64 // that arithmetic makes
	before uint32 // arithmetic: the expiry of the item that was there
	cas    uint64 // of the item after it was stored
	length int    // of the value after it was stored
	made   bool   // the item is new
}

// step is what apply has to do after plan.
type step uint8

const (
	refuse  step = iota // nothing; the verdict is plan's
	changed             // the item was changed where it is
	rewrite             // the draft is to take its place
)

// apply carries m out.
//
// The naive way is to hold the item's stripe from finding the old item to publishing the new one.
// But memory for the new one may have to be evicted first, which takes segments.mu and other
// stripes, and segments.mu must be taken before a stripe. So:
//
//  1. under the stripe, plan looks at the item and makes the draft; what fits is changed in place;
//  2. without it, the draft gets memory and is written there;
//  3. under the stripe again, if the item is still as it was in 1, the draft is published; if not,
//     its memory is dead and apply begins again.
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
			return l.spoil(m, tooLarge)
		}
		switch l.place(m, was) {
		case placed:
			return v
		case outOfMemory:
			return l.spoil(m, noMemory)
		}
	}
}

// spoil gives up a store. A set also removes the older item, as in memcached: the client has
// replaced it, so nobody may read it.
func (l *lane) spoil(m *mutation, v verdict) verdict {
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

// memcachedHeaderBytes is what memcached adds to key and value when it holds an item against -I.
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

// overwrite puts the draft in the item's place. It needs the item's stripe.
func (l *lane) overwrite(m *mutation, it item, at uint64) {
	l.prefixes.uncount(it)
	m.stampDraft(&l.lifetimes)
	m.d.overwrite(it)
	l.prefixes.count(it)
	l.finish(m, it)
	l.index.countRead(at)
}

// stampDraft gives the draft its sequence number. A touch leaves the one that it has.
func (m *mutation) stampDraft(t *lifetimes) {
	if m.kind != touch {
		m.d.seq = t.seq.Add(1)
	}
}

// finish counts the store and keeps what the answer shows of the item.
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

// place writes the draft to new memory and publishes it, if the item is still as it was.
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
	// The time is m.now, as for plan: by another, plan could find the item and place find it gone, for
	// ever.
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

// storeItem answers set, add, replace, append, prepend and cas.
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

// arithmetic answers incr and decr.
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
	if !m.made { // as in memcached, an item that was made is neither a hit nor a miss
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

// parseNumber reads an unsigned decimal as memcached does, by strtoull: spaces may precede the
// digits, and anything may follow after a space, such as the spaces that a decrement leaves.
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
