package cache

import "holdfast/mc"

// This file and binary.go append items to answers. They read the item, and meta commands mark it,
// under its stripe.

// An encoder appends items to answers.
type encoder struct {
	segments  *segments
	lifetimes *lifetimes
	noCAS     bool
}

// appendValue appends VALUE, the key, flags, length and CAS, and the value. It needs the item's
// stripe.
func (e *encoder) appendValue(b *mc.Batch, it item, r *mc.Request) {
	if b.Binary {
		e.appendBinaryValue(b, it, r)
		return
	}
	if r.Op == mc.Gets || r.Op == mc.Gats {
		b.Out = mc.AppendValueCAS(b.Out, r.Key, it.clientFlags(), it.valueBytes(), e.cas(it))
	} else {
		b.Out = mc.AppendValue(b.Out, r.Key, it.clientFlags(), it.valueBytes())
	}
	e.appendData(b, it)
}

// appendData appends the value and \r\n.
func (e *encoder) appendData(b *mc.Batch, it item) {
	if it.large() {
		e.pinTo(b, it)
	}
	b.Out = append(b.Out, it.inline()...)
	b.Out = append(b.Out, '\r', '\n')
}

// pinTo adds the chunks of a large item to the answer without copying them. It needs the item's
// stripe.
func (e *encoder) pinTo(b *mc.Batch, it item) {
	first, chunks := e.segments.pin(it)
	_, total := it.largeRef()
	b.Pin(chunks, func() { e.segments.unpin(first, total) })
}

func (e *encoder) cas(it item) uint64 {
	if e.noCAS {
		return 0
	}
	return it.cas()
}

// appendMetaItem appends mg's answer for an item, and grants the right to recache it: the first
// client that finds it stale, created by N, or near its expiry (R) wins (W), and the others see
// that another client has won (Z). Flags act in the order of the request. It needs the item's
// stripe. touched is false if T could not be done in place: see touchAfter.
func (e *encoder) appendMetaItem(b *mc.Batch, it item, r *mc.Request, now uint32, made bool) (touched bool) {
	value := r.Has('v') && !(r.Has('C') && e.cas(it) == r.CAS)
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
			won = won || !made && !it.has(bitSent) && expiry != 0 && expiry < e.lifetimes.expiryOf(r.Recache)
		case 'T':
			expiry = e.lifetimes.expiryOf(r.Exptime)
			touched = it.touch(expiry)
		case 't':
			b.Out = appendTTL(b.Out, expiry, now)
		default:
			b.Out = e.appendReturn(b.Out, it, token, now)
		}
	}
	b.Out = appendWin(b.Out, it, won)
	b.Out = append(b.Out, mc.CRLF...)
	if value {
		e.appendData(b, it)
	}
	return touched
}

// appendReturn appends what one flag of mg asks for.
func (e *encoder) appendReturn(out []byte, it item, token []byte, now uint32) []byte {
	switch token[0] {
	case 's':
		return mc.AppendMetaUint(out, 's', uint64(it.valueBytes()))
	case 'c':
		return mc.AppendMetaUint(out, 'c', e.cas(it))
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

// appendWin appends W, X and Z, and marks the item as won if this client wins.
func appendWin(out []byte, it item, won bool) []byte {
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

// appendEcho appends the flags that an answer without an item repeats: O and k.
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
