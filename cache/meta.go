package cache

import (
	"encoding/base64"
	"fmt"

	"holdfast/mc"
)

// The meta commands: mg, ms, md, ma, me. What each flag means is memcached's doc/protocol.txt, and
// where that is silent, its proto_parser.c.

// metaGet answers mg.
func (s *Store) metaGet(l *lane, b *mc.Batch, r *mc.Request, now uint32) {
	made, seq := false, uint64(0)
	if r.Has('N') {
		m := mutation{kind: vivify, r: r, now: now, expiry: s.lifetimes.expiryOf(r.Vivify)}
		if v := s.apply(l, &m); v == noMemory || v == tooLarge {
			b.Out = append(b.Out, mc.NoMemoryDelta...)
			return
		}
		made, seq = m.made, m.d.seq
	}
	st := s.index.stripe(r.Hash)
	st.Lock()
	it, at := s.findReadable(l, r, now)
	bytes, touched := 0, true
	made = made && it != nil && it.seq() == seq // else another client's came between
	if it != nil {
		bytes = it.memoryBytes()
		touched = s.appendMetaItem(b, it, r, now, made)
		if !r.Has('u') {
			s.hit(at, it, now)
		}
	}
	if l.observer != nil {
		s.tellFetched(l, b, r, it, at)
	}
	st.Unlock()
	if !touched {
		s.touchAfter(l, r, now, s.lifetimes.expiryOf(r.Exptime))
	}
	l.countMetaGet(r, it != nil)
	s.observeGet(l, r, it != nil && !made, bytes)
	if it == nil && !r.NoReply {
		b.Out = append(b.Out, mc.EN...)
		b.Out = append(appendEcho(b.Out, r), mc.CRLF...)
	}
}

func (l *lane) countMetaGet(r *mc.Request, hit bool) {
	l.counters.MetaCommands++
	switch touched := r.Has('T'); {
	case touched && hit:
		l.counters.Touches++
		l.counters.TouchHits++
	case touched:
		l.counters.Touches++
		l.counters.TouchMisses++
	case hit:
		l.counters.Gets++
		l.counters.GetHits++
	default:
		l.counters.Gets++
		l.counters.GetMisses++
	}
}

// appendMetaItem appends mg's answer for an item, and hands out the right to recache it: the
// first client that finds it stale, empty from N, or near its end (R) wins (W), and the others
// see that somebody has (Z). Flags act in the order in which they stand. It needs the item's
// stripe; it is false if T is still to be done, by touchAfter.
func (s *Store) appendMetaItem(b *mc.Batch, it item, r *mc.Request, now uint32, made bool) (touched bool) {
	value := r.Has('v') && !(r.Has('C') && s.casOf(it) == r.CAS)
	if value {
		b.Out = mc.AppendMetaValue(b.Out, it.valueBytes())
	} else {
		b.Out = append(b.Out, mc.HD...)
	}
	won, expiry := made, it.expiry()
	touched = true
	for token, rest := mc.Token(r.Args); token != nil; token, rest = mc.Token(rest) {
		switch token[0] {
		case 'R':
			won = won || !made && !it.has(bitSent) && expiry != 0 && expiry < s.lifetimes.expiryOf(r.Recache)
		case 'T':
			expiry = s.lifetimes.expiryOf(r.Exptime)
			touched = it.touch(expiry)
		case 't':
			b.Out = appendTTL(b.Out, expiry, now)
		default:
			b.Out = s.appendReturn(b.Out, it, token, now)
		}
	}
	b.Out = s.appendWin(b.Out, it, won)
	b.Out = append(b.Out, mc.CRLF...)
	if value {
		s.appendData(b, it)
	}
	return touched
}

// appendReturn appends what one flag of mg asks to know.
func (s *Store) appendReturn(out []byte, it item, token []byte, now uint32) []byte {
	switch token[0] {
	case 's':
		return mc.AppendMetaUint(out, 's', uint64(it.valueBytes()))
	case 'c':
		return mc.AppendMetaUint(out, 'c', s.casOf(it))
	case 'f':
		return mc.AppendMetaUint(out, 'f', uint64(it.clientFlags()))
	case 'l':
		return mc.AppendMetaUint(out, 'l', uint64(now-min(now, it.accessed())))
	case 'h':
		if it.has(bitFetched) {
			return append(out, " h1"...)
		}
		return append(out, " h0"...)
	case 'O':
		return append(append(out, ' '), token...)
	case 'k':
		return mc.AppendMetaKey(out, it.key(), it.has(bitBinary))
	}
	return out
}

func appendTTL(out []byte, expiry, now uint32) []byte {
	if expiry == 0 {
		return append(out, " t-1"...)
	}
	return mc.AppendMetaUint(out, 't', uint64(expiry-min(expiry, now)))
}

// appendWin appends W, X and Z, and marks the item as won if somebody now has.
func (s *Store) appendWin(out []byte, it item, won bool) []byte {
	sent := it.has(bitSent)
	if sent {
		out = append(out, " Z"...)
	}
	if it.has(bitStale) {
		out = append(out, " X"...)
		won = won || !sent
	}
	if won {
		out = append(out, " W"...)
		it.setBit(bitSent)
	}
	return out
}

// appendEcho appends the flags that answers without an item return: O and k.
func appendEcho(out []byte, r *mc.Request) []byte {
	for token, rest := mc.Token(r.Args); token != nil; token, rest = mc.Token(rest) {
		switch token[0] {
		case 'O':
			out = append(append(out, ' '), token...)
		case 'k':
			out = mc.AppendMetaKey(out, r.Key, r.Has('b'))
		}
	}
	return out
}

// metaSet answers ms.
func (s *Store) metaSet(l *lane, b *mc.Batch, r *mc.Request, now uint32) {
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
	m.expiry = s.lifetimes.expiryFor(r.Key, exptime)
	l.observeSet(r)
	v := s.apply(l, &m)
	if l.observer != nil {
		l.tellStored(b, r, &m, v, kindNames[m.kind])
	}
	if v == tooLarge || v == noMemory {
		s.remove(l, r)
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

// kindNames are the classic commands that do what ms does.
var kindNames = map[kind]string{set: "set", add: "add", replace: "replace", compare: "cas", appendTo: "append", prependTo: "prepend"}

var metaCodes = [...]string{stored: mc.HD, notStored: mc.NS, exists: mc.EX, notFound: mc.NF}

// metaDelete answers md: it deletes the item, or marks it stale (I), or empties it (x).
func (s *Store) metaDelete(l *lane, b *mc.Batch, r *mc.Request, now uint32) {
	l.counters.MetaCommands++
	l.counters.Deletes++
	l.observeDelete(s, r)
	compareCAS := r.Has('C')
	var v verdict
	switch {
	case r.Has('x'):
		m := mutation{kind: clearIt, r: r, now: now, expiry: s.lifetimes.expiryOf(r.Exptime), compareCAS: compareCAS, markStale: r.Has('I')}
		v = s.apply(l, &m)
	case r.Has('I'):
		m := mutation{kind: mark, r: r, now: now, expiry: s.lifetimes.expiryOf(r.Exptime), setExpiry: r.Has('T'), compareCAS: compareCAS}
		v = s.apply(l, &m)
	default:
		v = s.deleteIf(l, r, now, compareCAS)
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

func (s *Store) deleteIf(l *lane, r *mc.Request, now uint32, compareCAS bool) verdict {
	st := s.index.stripe(r.Hash)
	st.Lock()
	defer st.Unlock()
	it, at, loc := s.findLive(l, r, now)
	switch {
	case it == nil:
		return notFound
	case compareCAS && s.casOf(it) != r.CAS:
		return exists
	}
	if l.observer != nil {
		l.observer.Deleted(it.key(), "md", classShown(s.index.slot(at)), it.valueBytes())
	}
	s.unlinkFor(l, at, loc, it)
	return stored
}

// metaArithmetic answers ma.
func (s *Store) metaArithmetic(l *lane, b *mc.Batch, r *mc.Request, now uint32) {
	l.counters.MetaCommands++
	m := mutation{kind: increment, r: r, now: now, compareCAS: r.Has('C') && r.CAS != 0, vivify: r.Has('N'), setExpiry: r.Has('T')}
	if r.Mode == 'D' || r.Mode == 'd' || r.Mode == '-' {
		m.kind = decrement
	}
	if m.vivify {
		m.expiry = s.lifetimes.expiryOf(r.Vivify)
	}
	if m.setExpiry {
		m.expiry = s.lifetimes.expiryOf(r.Exptime)
	}
	v := s.apply(l, &m)
	if m.made {
		l.countArithmetic(m.kind, notFound)
	} else {
		l.countArithmetic(m.kind, v)
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
	s.appendNumber(l, b, r, &m)
}

// appendNumber appends ma's answer: the code, the flags' returns, and the value if asked.
func (s *Store) appendNumber(l *lane, b *mc.Batch, r *mc.Request, m *mutation) {
	digits, expiry := l.decimal(m.value), m.before
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
			expiry = s.lifetimes.expiryOf(r.Exptime)
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

// metaDebug answers me: what is known of an item but its value.
func (s *Store) metaDebug(l *lane, b *mc.Batch, r *mc.Request, now uint32) {
	l.counters.MetaCommands++
	st := s.index.stripe(r.Hash)
	st.Lock()
	defer st.Unlock()
	it, at, _ := s.findLive(l, r, now)
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
		now-min(now, it.accessed()), s.casOf(it), yesNo(it.has(bitFetched)), classShown(s.index.slot(at)), it.memoryBytes())
}

// ttlOf is the seconds that the item has left, -1 for ever.
func ttlOf(it item, now uint32) int64 {
	if it.expiry() == 0 {
		return -1
	}
	return int64(it.expiry()) - int64(now)
}

// classShown is what stands for memcached's slab class: 1 in the small ring, 2 in the main ring.
func classShown(slot uint64) int { return 1 + int(slot/mainMark&1) }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
