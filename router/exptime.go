package router

import (
	"strconv"
	"time"

	"holdfast/mc"
)

// maxRelative is the largest exptime that counts from now; a larger one is Unix seconds. It is
// memcached's REALTIME_MAXDELTA.
const maxRelative = 60 * 60 * 24 * 30

// capExptime returns r with an exptime of at most ttl from now, if r sets one.
func capExptime(r *mc.Request, ttl time.Duration, now time.Time) *mc.Request {
	return mapExptime(r, func(exptime int64) int64 { return earlier(exptime, ttl, now) })
}

// earlier returns the exptime, or the one that is ttl from now if that is earlier.
func earlier(exptime int64, ttl time.Duration, now time.Time) int64 {
	limit := max(1, int64((ttl+time.Second-1)/time.Second))
	if limit > maxRelative {
		limit += now.Unix()
	}
	at := func(e int64) int64 {
		if e > maxRelative {
			return e
		}
		return now.Unix() + e
	}
	if exptime == 0 || exptime > 0 && at(exptime) > at(limit) {
		return limit
	}
	return exptime
}

// mapExptime returns r with f applied to its exptime, if r sets that of an item. Exptime 0 is none.
func mapExptime(r *mc.Request, f func(int64) int64) *mc.Request {
	switch r.Op {
	case mc.Set, mc.Add, mc.Replace, mc.CAS, mc.Touch, mc.Gat, mc.Gats:
		mapped := *r
		mapped.Exptime = f(r.Exptime)
		return &mapped
	case mc.MetaSet, mc.MetaGet, mc.MetaArithmetic:
		return mapMetaExptime(r, f)
	}
	return r
}

// mapMetaExptime is mapExptime for meta commands, which have exptimes in their flags: T, and N for
// an item that they create.
func mapMetaExptime(r *mc.Request, f func(int64) int64) *mc.Request {
	if r.Op != mc.MetaSet && !r.Has('T') && !r.Has('N') {
		return r
	}
	mapped := *r
	mapped.Args = nil
	for token, rest := mc.Token(r.Args); token != nil; token, rest = mc.Token(rest) {
		switch token[0] {
		case 'T':
			continue // below
		case 'N':
			mapped.Vivify = f(r.Vivify)
			mapped.Args = strconv.AppendInt(append(mapped.Args, 'N'), mapped.Vivify, 10)
		default:
			mapped.Args = append(mapped.Args, token...)
		}
		mapped.Args = append(mapped.Args, ' ')
	}
	if r.Op == mc.MetaSet || r.Has('T') {
		mapped.Exptime = f(r.Exptime)
		mapped.Args = strconv.AppendInt(append(mapped.Args, 'T'), mapped.Exptime, 10)
		mapped.Flags |= mc.Flag('T')
	}
	return &mapped
}
