package router

import (
	"bytes"

	"holdfast/mc"
)

// detach copies what r borrows, for a request that outlives its batch.
func detach(r *mc.Request) *mc.Request {
	own := *r
	own.Key = bytes.Clone(r.Key)
	own.Value = bytes.Clone(r.Value)
	own.Args = bytes.Clone(r.Args)
	return &own
}

// A rewrite is a query that goes on under another key. Its answer gets the first key back.
type rewrite struct {
	query
	outer *query
}

// rewritten returns the query for inner, which is outer's request with another key. Inner may
// borrow what outer's request does.
func rewritten(outer *query, inner *mc.Request) *query {
	w := &rewrite{outer: outer}
	w.request, w.taker = inner, w
	return &w.query
}

func (w *rewrite) take(l *lane, _ *query, a *answer) {
	restored := *a
	if a.result == resultHit || w.request.Has('k') && !a.result.failed() && a.result != resultClientError {
		restored.wire = restoreKey(a.wire, w.request, w.outer.request)
	}
	w.outer.taker.take(l, w.outer, &restored)
}

// restoreKey returns the answer with the key that the client asked for.
func restoreKey(wire []byte, inner, outer *mc.Request) []byte {
	if inner.Op.IsGet() {
		prefix := len("VALUE ")
		out := append(make([]byte, 0, len(wire)+len(outer.Key)), wire[:prefix]...)
		out = append(out, outer.Key...)
		return append(out, wire[prefix+len(inner.Key):]...)
	}
	if inner.Op == mc.MetaDebug {
		word, rest := mc.Token(wire)
		_, rest = mc.Token(rest)
		return append(append(append(append([]byte(nil), word...), ' '), outer.Key...), rest...)
	}
	if !inner.Op.IsMeta() || !inner.Has('k') {
		return wire
	}
	end := bytes.IndexByte(wire, '\n') + 1
	var out []byte
	for token, rest := mc.Token(bytes.TrimRight(wire[:end], "\r\n")); token != nil; token, rest = mc.Token(rest) {
		switch {
		case len(out) == 0:
			out = append(out, token...)
		case token[0] == 'k':
			out = mc.AppendMetaKey(out, outer.Key, false)
			if outer.Has('b') { // the mark stands further on already
				out = bytes.TrimSuffix(mc.AppendMetaKey(out[:len(out)-len(outer.Key)-2], outer.Key, true), []byte(" b"))
			}
		default:
			out = append(append(out, ' '), token...)
		}
	}
	return append(append(out, mc.CRLF...), wire[end:]...)
}
