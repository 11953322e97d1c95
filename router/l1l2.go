package router

import (
	"bytes"

	"holdfast/mc"
	"holdfast/upstream"
)

// negativeFlag is the client flag by which mcrouter marks an item in L1 that stands for a miss in
// L2 (lib/mc/msg.h). Reads of such an item miss. It makes an add of the key fail until it has
// expired; a set replaces it.
const negativeFlag = 0x10000

var negativeValue = []byte("ncache")

// coldRequest returns the request that cold gets for r. It asks for the client flags, by which
// negative items are recognized.
func (w *filling) coldRequest(r *mc.Request) *mc.Request {
	if w.negative > 0 && r.Op == mc.MetaGet && !r.Has('f') {
		return withFlag(r, 'f', "")
	}
	return r
}

// positive answers with a hit of cold's, or with a miss if it stands for one.
func (f *fill) positive(l *lane, a *upstream.Answer) {
	var first mc.Answer
	block, parsed := first.Parse(a.Wire)
	flags, ok := clientFlagsOf(&first)
	switch {
	case ok && flags&negativeFlag != 0:
		f.outer.respond(l, upstream.Miss)
	case parsed && f.request != f.outer.request: // the flag f was added by coldRequest
		first.Args = withoutFlag(first.Args, 'f')
		f.forward(l, &upstream.Answer{Result: a.Result, Wire: appendWhole(make([]byte, 0, len(a.Wire)), &first, block)})
	default:
		f.forward(l, a)
	}
}

// addNegative adds an item to L1 that stands for L2's miss, and answers with the miss.
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
