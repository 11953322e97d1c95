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
	var first mc.Answer
	block, parsed := first.Parse(a.wire)
	flags, ok := clientFlagsOf(&first)
	switch {
	case ok && flags&negativeFlag != 0:
		f.outer.respond(l, resultMiss)
	case parsed && f.request != f.outer.request: // its f was asked for here
		first.Args = withoutFlag(first.Args, 'f')
		f.forward(l, &answer{result: a.result, wire: appendWhole(make([]byte, 0, len(a.wire)), &first, block)})
	default:
		f.forward(l, a)
	}
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
