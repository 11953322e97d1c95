package router

import (
	"bytes"
	"strconv"

	"holdfast/mc"
	"holdfast/upstream"
)

// A chunked pool may hold values that mcrouter's BigValueRoute has stored (BigValueRoute-inl.h):
// the value of the key is "1-PIECES-SUFFIX", with bigValueFlag among the client flags, and the
// pieces have the keys KEY:0:SUFFIX, KEY:1:SUFFIX …, and unknown sizes. The router reads, touches,
// replaces and deletes such values, and never stores them. Clients don't see the flag.

// bigValueFlag is MC_MSG_FLAG_BIG_VALUE (mcrouter/lib/mc/msg.h).
const bigValueFlag = 0x8000

// A bigValue is the parsed value of such a key.
type bigValue struct {
	pieces int
	suffix string
}

// parseBigValue accepts exactly the values that mcrouter makes.
func parseBigValue(clientFlags uint32, value []byte) (v bigValue, ok bool) {
	const version = "1-"
	if clientFlags&bigValueFlag == 0 || !bytes.HasPrefix(value, []byte(version)) || len(value) > manifestBytes {
		return v, false
	}
	pieces, suffix, ok := bytes.Cut(value[len(version):], []byte{'-'})
	n, err := strconv.ParseUint(string(pieces), 10, 32)
	s, bad := strconv.ParseUint(string(suffix), 10, 64)
	v = bigValue{int(n), strconv.FormatUint(s, 10)}
	return v, ok && err == nil && bad == nil && n > 0 && n <= maxPieces
}

// key returns the key of the i-th piece of the value under key.
func (v *bigValue) key(key []byte, i int) []byte {
	b := append(make([]byte, 0, len(key)+len(v.suffix)+8), key...)
	b = append(strconv.AppendInt(append(b, ':'), int64(i), 10), ':')
	return append(b, v.suffix...)
}

// bigValue reports whether the hit that s parsed is one of mcrouter's big values. If so, it removes
// their flag from s.first.
func (s *chunkRead) bigValue(value []byte) (v bigValue, ok bool) {
	flags, ok := clientFlagsOf(&s.first)
	if !s.route.theirs || !ok {
		return bigValue{}, false
	}
	if v, ok = parseBigValue(flags, value); !ok {
		return bigValue{}, false
	}
	flags &^= bigValueFlag
	if s.first.Kind == mc.AnswerValue {
		s.first.ClientFlags = uint64(flags)
	} else {
		s.first.Args = replaceFlag(s.first.Args, 'f', mc.AppendUint(nil, uint64(flags)))
	}
	return v, true
}

// join reads mcrouter's pieces, also touches them if the value is touched, and answers with the
// value.
func (s *chunkRead) join(l *lane, v bigValue) {
	r := s.outer.request
	one := mc.Request{Op: mc.Get, Last: true}
	if r.Op == mc.Gat || r.Op == mc.Gats || r.Op == mc.Touch || r.Has('T') {
		one.Op, one.Exptime = mc.Gat, r.Exptime
	}
	values, total := make([][]byte, v.pieces), 0
	p := &pieces{route: s.route, count: v.pieces}
	p.request = func(i int) *mc.Request {
		own := one
		own.Key = v.key(r.Key, i)
		return &own
	}
	p.keep = func(i int, a *upstream.Answer) bool {
		value, ok := blockOf(a)
		total += len(value)
		if !ok || total > upstream.MaxValueBytes {
			return false
		}
		values[i] = bytes.Clone(value)
		return true
	}
	p.done = func(l *lane, _ int, failure *upstream.Answer) {
		if failure != nil {
			s.lost(l, failure)
			return
		}
		line := s.appendLine(nil, s.first.Kind, total)
		whole := append(make([]byte, 0, len(line)+total+len(mc.CRLF)), line...)
		for _, value := range values {
			whole = append(whole, value...)
		}
		s.forward(l, total, append(whole, mc.CRLF...))
	}
	p.send(l)
}
