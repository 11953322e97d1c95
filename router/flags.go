package router

import (
	"bytes"
	"strconv"

	"holdfast/mc"
)

// A meta request is printed from its Args, so what changes a field of it changes them too: see
// mc.AppendRequest.

// withFlag returns r with the meta flag c of that argument, in the place of the one that it has.
func withFlag(r *mc.Request, c byte, argument string) *mc.Request {
	changed := *r
	changed.Args = append(cutFlag(make([]byte, 0, len(r.Args)+len(argument)+2), r.Args, c), c)
	changed.Args = append(changed.Args, argument...)
	changed.Flags |= mc.Flag(c)
	return &changed
}

// cutFlag appends the flags in args without c, and with a space behind each.
func cutFlag(dst, args []byte, c byte) []byte {
	for token, rest := mc.Token(args); token != nil; token, rest = mc.Token(rest) {
		if token[0] != c {
			dst = append(append(dst, token...), ' ')
		}
	}
	return dst
}

// graphic reports whether the classic commands, and meta ones without b, can say the key.
func graphic(key []byte) bool {
	for _, c := range key {
		if c <= ' ' || c == 127 {
			return false
		}
	}
	return true
}

// metaOf is a meta request under key with these flags, b if the key needs it.
func metaOf(op mc.Op, key []byte, flags string) *mc.Request {
	r := &mc.Request{Op: op, Key: key}
	if !graphic(key) {
		flags += " b"
	}
	r.Args = bytes.TrimSpace([]byte(flags))
	for token, rest := mc.Token(r.Args); token != nil; token, rest = mc.Token(rest) {
		r.Flags |= mc.Flag(token[0])
	}
	return r
}

// addOf is an add of the value. Exptime is as on the wire.
func addOf(key, value []byte, clientFlags uint32, exptime int64) *mc.Request {
	return storeOf(mc.Add, 'E', key, value, clientFlags, exptime)
}

// storeOf is a classic store, or one of the meta command in that mode if the key needs it.
func storeOf(op mc.Op, mode byte, key, value []byte, clientFlags uint32, exptime int64) *mc.Request {
	r := &mc.Request{Op: op, Key: key}
	if !graphic(key) {
		args := strconv.AppendUint([]byte{'M', mode, ' ', 'F'}, uint64(clientFlags), 10)
		r = metaOf(mc.MetaSet, key, string(strconv.AppendInt(append(args, " T"...), exptime, 10)))
		r.Mode = mode
	}
	r.Value, r.ClientFlags, r.Exptime = value, clientFlags, exptime
	return r
}

// A found item is what a hit says.
type foundItem struct {
	value       []byte // borrowed
	clientFlags uint32
	ttl         int64 // seconds from now; < 0 without end
	hasTTL      bool
	stale       bool // it was invalidated: an item in name only
}

// parseItem reads the answer of a hit to r, which is a get, or a meta get for v and f at least.
func parseItem(r *mc.Request, wire []byte) (item foundItem, ok bool) {
	end := bytes.IndexByte(wire, '\n') + 1
	if end < 2 || len(wire) < end+2 {
		return item, false
	}
	item.value = wire[end : len(wire)-len(mc.CRLF)]
	line := bytes.TrimRight(wire[:end], "\r\n")
	if r.Op.IsGet() {
		_, rest := mc.Token(line)
		_, rest = mc.Token(rest)
		token, _ := mc.Token(rest)
		flags, err := strconv.ParseUint(string(token), 10, 32)
		item.clientFlags = uint32(flags)
		return item, err == nil
	}
	for token, rest := mc.Token(line); token != nil; token, rest = mc.Token(rest) {
		switch token[0] {
		case 'f':
			flags, err := strconv.ParseUint(string(token[1:]), 10, 32)
			if err != nil {
				return item, false
			}
			item.clientFlags = uint32(flags)
		case 't':
			ttl, err := strconv.ParseInt(string(token[1:]), 10, 64)
			item.ttl, item.hasTTL = ttl, err == nil
		case 'X':
			item.stale = true
		}
	}
	return item, bytes.HasPrefix(line, vaWord)
}
