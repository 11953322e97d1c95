package router

import (
	"bytes"

	"holdfast/mc"
)

// negativeFlag is mcrouter's mark of an item in L1 that stands for a miss in L2 (lib/mc/msg.h).
// Reads of such an item miss. An add of the key is refused until it has expired; set isn't.
const negativeFlag = 0x10000

var negativeValue = []byte("ncache")

// coldRequest is what cold is asked; so that negative items can be told, with their flags.
func (w *filling) coldRequest(r *mc.Request) *mc.Request {
	if w.negative > 0 && r.Op == mc.MetaGet && !r.Has('f') {
		return withFlag(r, 'f', "")
	}
	return r
}

// positive forwards a hit of cold's, unless it stands for a miss.
func (f *fill) positive(l *lane, a *answer) {
	flags, ok := clientFlagsOf(f.request, a.wire)
	switch {
	case ok && flags&negativeFlag != 0:
		f.outer.say(l, resultMiss)
	case f.request != f.outer.request:
		f.forward(l, &answer{result: a.result, wire: cutAnswerFlag(a.wire, 'f')})
	default:
		f.forward(l, a)
	}
}

// clientFlagsOf reads the client flags from an answer, which has a value or, of a meta get, not.
func clientFlagsOf(r *mc.Request, wire []byte) (uint32, bool) {
	if r.Op.IsGet() {
		item, ok := parseItem(r, wire)
		return item.clientFlags, ok
	}
	line := wire[:bytes.IndexByte(wire, '\n')+1]
	for token, rest := mc.Token(bytes.TrimRight(line, "\r\n")); token != nil; token, rest = mc.Token(rest) {
		if token[0] == 'f' {
			n, _, ok := number(append(bytes.Clone(token[1:]), ' '))
			return uint32(n), ok
		}
	}
	return 0, false
}

// cutAnswerFlag returns a meta answer without a flag.
func cutAnswerFlag(wire []byte, flag byte) []byte {
	end := bytes.IndexByte(wire, '\n') + 1
	line := cutFlag(make([]byte, 0, len(wire)), bytes.TrimRight(wire[:end], "\r\n"), flag)
	return append(append(bytes.TrimRight(line, " "), mc.CRLF...), wire[end:]...)
}

// addNegative has L1 remember that L2 has no such item, and answers with the miss.
func (f *fill) addNegative(l *lane) {
	w, key := f.route, f.outer.request.Key
	if !w.fills.beginAdd(key, f.hash, f.began, w.remember) {
		f.forward(l, &f.cold)
		return
	}
	add := w.detachedAdd(f.hash, bytes.Clone(key), negativeValue, negativeFlag, exptimeOf(w.negative, l.router.now()))
	f.forward(l, &f.cold)
	w.cold.forward(l, &add.query)
}
