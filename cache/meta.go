package cache

import (
	"encoding/base64"
	"fmt"

	"holdfast/mc"
)

// This file serves the meta commands mg, ms, md, ma and me. Each flag means what memcached's
// doc/protocol.txt says or, where that says nothing, what its proto_parser.c does. This file
// changes the lane, whose lock Serve holds, and the item and its slot, under the item's stripe.

// metaGet serves mg.
func (l *lane) metaGet(b *mc.Batch, r *mc.Request, now uint32) {
	made, seq := false, uint64(0)
	if r.Has('N') {
		m := mutation{kind: vivify, r: r, now: now, expiry: l.lifetimes.expiryOf(r.Vivify)}
		if v := l.apply(&m); v == noMemory || v == tooLarge {
			b.Out = append(b.Out, mc.NoMemoryDelta...)
			return
		}
		made, seq = m.made, m.d.seq
	}
	st := l.index.stripe(r.Hash)
	st.Lock()
	it, at := l.findReadable(r, now)
	bytes, touched := 0, true
	made = made && it != nil && it.seq() == seq // another client may have replaced it
	if it != nil {
		bytes = it.memoryBytes()
		touched = l.answers.appendMetaItem(b, it, r, now, made)
		if !r.Has('u') {
			l.hit(at, it, now)
		}
	}
	if l.observer != nil {
		l.reportFetched(b, r, it, at)
	}
	st.Unlock()
	if !touched {
		l.touchAfter(r, now, l.lifetimes.expiryOf(r.Exptime))
	}
	l.counters.countMetaGet(r, it != nil)
	l.observeGet(r, it != nil && !made, bytes)
	if it == nil && !r.NoReply {
		b.Out = append(b.Out, mc.EN...)
		b.Out = append(appendEcho(b.Out, r), mc.CRLF...)
	}
}

func (c *Counters) countMetaGet(r *mc.Request, hit bool) {
	c.MetaCommands++
	switch touched := r.Has('T'); {
	case touched && hit:
		c.Touches++
		c.TouchHits++
	case touched:
		c.Touches++
		c.TouchMisses++
	case hit:
		c.Gets++
		c.GetHits++
	default:
		c.Gets++
		c.GetMisses++
	}
}

// metaSet serves ms.
func (l *lane) metaSet(b *mc.Batch, r *mc.Request, now uint32) {
	l.counters.MetaCommands++
	l.counters.Sets++
	m := mutation{kind: set, r: r, now: now, compareCAS: r.Has('C') && r.CAS != 0, allowStale: r.Has('I')}
	exptime := r.Exptime
	switch r.Mode {
	case 'E':
		m.kind, m.compareCAS = add, false
	case 'A', 'P':
		if m.kind = appendTo; r.Mode == 'P' {
			m.kind = prependTo
		}
		if m.vivify = r.Has('N'); m.vivify {
			exptime = r.Vivify
		}
	case 'R':
		m.kind = replace
	}
	if r.Has('C') && (m.kind == set || m.kind == replace) {
		m.kind, m.compareCAS = compare, true
	}
	m.expiry = l.lifetimes.expiryFor(r.Key, exptime)
	l.observeSet(r)
	v := l.apply(&m)
	if l.observer != nil {
		l.reportStored(b, r, &m, v, kindNames[m.kind])
	}
	if v == tooLarge || v == noMemory {
		l.remove(r)
		b.Out = append(b.Out, storeAnswers[v]...)
		return
	}
	if v == stored && r.NoReply {
		return
	}
	b.Out = append(b.Out, metaCodes[v]...)
	for token, rest := mc.Token(r.Args); token != nil; token, rest = mc.Token(rest) {
		switch token[0] {
		case 'O':
			b.Out = append(append(b.Out, ' '), token...)
		case 'k':
			b.Out = mc.AppendMetaKey(b.Out, r.Key, r.Has('b'))
		case 'c':
			b.Out = mc.AppendMetaUint(b.Out, 'c', m.cas)
		case 's':
			length := m.length
			if v != stored {
				length = len(r.Value)
			}
			b.Out = mc.AppendMetaUint(b.Out, 's', uint64(length))
		}
	}
	b.Out = append(b.Out, '\r', '\n')
}

// kindNames are the classic commands that correspond to the modes of ms.
var kindNames = map[kind]string{set: "set", add: "add", replace: "replace", compare: "cas", appendTo: "append",
	prependTo: "prepend"}

var metaCodes = [...]string{stored: mc.HD, notStored: mc.NS, exists: mc.EX, notFound: mc.NF}

// metaDelete serves md, which deletes the item, marks it as stale (I), or empties it (x).
func (l *lane) metaDelete(b *mc.Batch, r *mc.Request, now uint32) {
	l.counters.MetaCommands++
	l.counters.Deletes++
	l.observeDelete(r)
	compareCAS := r.Has('C')
	var v verdict
	switch {
	case r.Has('x'):
		m := mutation{kind: clearIt, r: r, now: now, expiry: l.lifetimes.expiryOf(r.Exptime),
			compareCAS: compareCAS, markStale: r.Has('I')}
		v = l.apply(&m)
	case r.Has('I'):
		m := mutation{kind: mark, r: r, now: now, expiry: l.lifetimes.expiryOf(r.Exptime),
			setExpiry: r.Has('T'), compareCAS: compareCAS}
		v = l.apply(&m)
	default:
		v = l.deleteIf(r, now, compareCAS)
	}
	if v == noMemory {
		b.Out = append(b.Out, mc.NoMemoryDelta...)
		return
	}
	if v == stored {
		l.counters.DeleteHits++
		if r.NoReply {
			return
		}
	} else {
		l.counters.DeleteMisses++
	}
	b.Out = append(b.Out, metaCodes[v]...)
	b.Out = append(appendEcho(b.Out, r), '\r', '\n')
}

func (l *lane) deleteIf(r *mc.Request, now uint32, compareCAS bool) verdict {
	st := l.index.stripe(r.Hash)
	st.Lock()
	defer st.Unlock()
	it, at, loc := l.findLive(r, now)
	switch {
	case it == nil:
		return notFound
	case compareCAS && l.answers.cas(it) != r.CAS:
		return exists
	}
	if l.observer != nil {
		l.observer.Deleted(it.key(), "md", classShown(l.index.slot(at)), it.valueBytes())
	}
	l.unlinkFor(at, loc, it)
	return stored
}

// metaArithmetic serves ma.
func (l *lane) metaArithmetic(b *mc.Batch, r *mc.Request, now uint32) {
	l.counters.MetaCommands++
	m := mutation{kind: increment, r: r, now: now,
		compareCAS: r.Has('C') && r.CAS != 0, vivify: r.Has('N'), setExpiry: r.Has('T')}
	if r.Mode == 'D' || r.Mode == 'd' || r.Mode == '-' {
		m.kind = decrement
	}
	if m.vivify {
		m.expiry = l.lifetimes.expiryOf(r.Vivify)
	}
	if m.setExpiry {
		m.expiry = l.lifetimes.expiryOf(r.Exptime)
	}
	v := l.apply(&m)
	if m.made {
		l.counters.countArithmetic(m.kind, notFound)
	} else {
		l.counters.countArithmetic(m.kind, v)
	}
	if v == notNumeric || v == noMemory || v == tooLarge {
		b.Out = append(b.Out, arithmeticFault(v)...)
		return
	}
	if v != stored {
		b.Out = append(b.Out, metaCodes[v]...)
		b.Out = append(appendEcho(b.Out, r), '\r', '\n')
		return
	}
	if r.NoReply {
		return
	}
	l.appendNumber(b, r, &m)
}

// appendNumber appends ma's answer: the code, what the flags ask for, and with v the value.
func (l *lane) appendNumber(b *mc.Batch, r *mc.Request, m *mutation) {
	digits, expiry := l.scratch.decimal(m.value), m.before
	if r.Has('v') {
		b.Out = mc.AppendMetaValue(b.Out, len(digits))
	} else {
		b.Out = append(b.Out, mc.HD...)
	}
	for token, rest := mc.Token(r.Args); token != nil; token, rest = mc.Token(rest) {
		switch token[0] {
		case 'N':
			if m.made {
				expiry = m.expiry
			}
		case 'T':
			expiry = l.lifetimes.expiryOf(r.Exptime)
		case 't':
			b.Out = appendTTL(b.Out, expiry, m.now)
		case 'c':
			b.Out = mc.AppendMetaUint(b.Out, 'c', m.cas)
		case 'O':
			b.Out = append(append(b.Out, ' '), token...)
		case 'k':
			b.Out = mc.AppendMetaKey(b.Out, r.Key, r.Has('b'))
		}
	}
	b.Out = append(b.Out, '\r', '\n')
	if r.Has('v') {
		b.Out = append(append(b.Out, digits...), '\r', '\n')
	}
}

// metaDebug serves me: everything about an item except its value.
func (l *lane) metaDebug(b *mc.Batch, r *mc.Request, now uint32) {
	l.counters.MetaCommands++
	st := l.index.stripe(r.Hash)
	st.Lock()
	defer st.Unlock()
	it, at, _ := l.findLive(r, now)
	if it == nil {
		b.Out = append(b.Out, mc.EN+mc.CRLF...)
		return
	}
	b.Out = append(b.Out, mc.ME+" "...)
	if it.has(bitBinary) {
		b.Out = base64.StdEncoding.AppendEncode(b.Out, it.key())
	} else {
		b.Out = append(b.Out, it.key()...)
	}
	b.Out = fmt.Appendf(b.Out, " exp=%d la=%d cas=%d fetch=%s cls=%d size=%d\r\n", ttlOf(it, now),
		now-min(now, it.accessed()), l.answers.cas(it), yesNo(it.has(bitFetched)), classShown(l.index.slot(at)),
		it.memoryBytes())
}

// ttlOf returns the number of seconds until the item expires, -1 for never.
func ttlOf(it item, now uint32) int64 {
	if it.expiry() == 0 {
		return -1
	}
	return int64(it.expiry()) - int64(now)
}

// classShown returns the number to show as memcached's slab class: 1 in the small ring, 2 in the
// main ring.
func classShown(slot uint64) int { return 1 + int(slot/mainMark&1) }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
