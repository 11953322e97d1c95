package router

import (
	"bytes"
	"math"
	"strconv"

	"holdfast/mc"
)

// A meta request is printed from its Args (mc.AppendRequest), so a change of one of its fields must
// change Args as well.

// withFlag returns r with the meta flag c and that argument, instead of the c that it may have.
func withFlag(r *mc.Request, c byte, argument string) *mc.Request {
	changed := *r
	changed.Args = append(cutFlag(make([]byte, 0, len(r.Args)+len(argument)+2), r.Args, c), c)
	changed.Args = append(changed.Args, argument...)
	changed.Flags |= mc.Flag(c)
	return &changed
}

// cutFlag appends the flags in args but for c, each followed by a space.
func cutFlag(dst, args []byte, c byte) []byte {
	for token, rest := mc.Token(args); token != nil; token, rest = mc.Token(rest) {
		if token[0] != c {
			dst = append(append(dst, token...), ' ')
		}
	}
	return dst
}

// metaOf returns a meta request for key with these flags, and with b if the key requires it.
func metaOf(op mc.Op, key []byte, flags string) *mc.Request {
	r := &mc.Request{Op: op, Key: key}
	if !mc.IsGraphic(key) {
		flags += " b"
	}
	r.Args = bytes.TrimSpace([]byte(flags))
	for token, rest := mc.Token(r.Args); token != nil; token, rest = mc.Token(rest) {
		r.Flags |= mc.Flag(token[0])
	}
	return r
}

// addOf returns an add of the value. exptime is as on the wire.
func addOf(key, value []byte, clientFlags uint32, exptime int64) *mc.Request {
	return storeOf(mc.Add, 'E', key, value, clientFlags, exptime)
}

// storeOf returns a classic store, or a meta set in that mode if the key requires it.
func storeOf(op mc.Op, mode byte, key, value []byte, clientFlags uint32, exptime int64) *mc.Request {
	r := &mc.Request{Op: op, Key: key}
	if !mc.IsGraphic(key) {
		args := strconv.AppendUint([]byte{'M', mode, ' ', 'F'}, uint64(clientFlags), 10)
		r = metaOf(mc.MetaSet, key, string(strconv.AppendInt(append(args, " T"...), exptime, 10)))
		r.Mode = mode
	}
	r.Value, r.ClientFlags, r.Exptime = value, clientFlags, exptime
	return r
}

// A foundItem is the item in a hit.
type foundItem struct {
	value       []byte // borrowed
	clientFlags uint32
	ttl         int64 // seconds from now; negative: it doesn't expire
	hasTTL      bool
	stale       bool // it was invalidated
}

// parseItem reads the answer of a hit to a get, or to a meta get for v and f at least.
func parseItem(wire []byte) (item foundItem, ok bool) {
	var first mc.Answer
	value, ok := first.Parse(wire)
	if !ok || first.Kind != mc.AnswerValue && first.Kind != mc.AnswerVA {
		return item, false
	}
	item.value = value
	if first.Kind == mc.AnswerVA {
		_, item.stale = first.Flag('X')
		if ttl, found := first.Flag('t'); found {
			n, err := strconv.ParseInt(string(ttl), 10, 64)
			item.ttl, item.hasTTL = n, err == nil
		}
		if _, found := first.Flag('f'); !found {
			return item, true
		}
	}
	item.clientFlags, ok = clientFlagsOf(&first)
	return item, ok
}

// clientFlagsOf returns the client flags of a hit; of a meta get, the argument of its flag f.
func clientFlagsOf(first *mc.Answer) (uint32, bool) {
	flags, ok := first.ClientFlags, first.Kind == mc.AnswerValue
	if !ok {
		flags, ok = first.FlagUint('f')
	}
	return uint32(flags), ok && flags <= math.MaxUint32
}

// appendWhole appends a whole answer: the line of first, and its block if it has one.
func appendWhole(dst []byte, first *mc.Answer, block []byte) []byte {
	dst = append(first.AppendLine(dst), mc.CRLF...)
	if first.Kind == mc.AnswerValue || first.Kind == mc.AnswerVA {
		dst = append(append(dst, block...), mc.CRLF...)
	}
	return dst
}

// withoutFlag returns the flags in args without c; nil if none is left.
func withoutFlag(args []byte, c byte) []byte {
	left := bytes.TrimRight(cutFlag(make([]byte, 0, len(args)+1), args, c), " ")
	if len(left) == 0 {
		return nil
	}
	return left
}

// replaceFlag returns the flags in args with another argument for c, where they have it.
func replaceFlag(args []byte, c byte, argument []byte) []byte {
	if len(args) == 0 {
		return nil
	}
	out := make([]byte, 0, len(args)+len(argument))
	for token, rest := mc.Token(args); token != nil; token, rest = mc.Token(rest) {
		if len(out) > 0 {
			out = append(out, ' ')
		}
		if token[0] == c {
			out = append(append(out, c), argument...)
		} else {
			out = append(out, token...)
		}
	}
	return out
}
