package router

import (
	"math/bits"
	"strconv"

	"holdfast/mc"
	"holdfast/upstream"
)

// deleteOf returns a delete of r's key.
func deleteOf(r *mc.Request) *mc.Request { return upstream.DeleteRequest(r.Key) }

// followUp returns the request that is sent to the other members once the first has answered r with
// this result. After it they have the same item as the first, or none. If same is true, they must
// give the same answer as the first; a member that doesn't has another item, which is then deleted.
// Nil means that nothing has changed.
func followUp(r *mc.Request, result upstream.Result) (next *mc.Request, same bool) {
	if result != upstream.Done && result != upstream.Hit {
		if r.Op == mc.MetaDelete && r.Has('I') {
			return deleteOf(r), false
		}
		return nil, false
	}
	switch r.Op {
	case mc.Add, mc.Replace, mc.CAS:
		return &mc.Request{Op: mc.Set, Key: r.Key, Value: r.Value, ClientFlags: r.ClientFlags, Exptime: r.Exptime}, false
	case mc.Incr, mc.Decr, mc.Append, mc.Prepend:
		return r, true
	case mc.Touch, mc.Gat, mc.Gats:
		return &mc.Request{Op: mc.Touch, Key: r.Key, Exptime: r.Exptime}, false
	case mc.MetaSet:
		switch {
		case setsWhole(r):
			return plainSet(r), false
		case !r.Has('C') && !r.Has('E') && !r.Has('I'): // an append or a prepend
			return r, true
		}
	case mc.MetaArithmetic:
		if !r.Has('C') && !r.Has('E') {
			return r, true
		}
	case mc.MetaGet:
		if r.Has('T') {
			return metaTouch(r), false
		}
		return nil, false
	}
	return deleteOf(r), false
}

// setsWhole reports whether the item after an ms that succeeded is known from the request alone.
func setsWhole(r *mc.Request) bool {
	if r.Has('I') || r.Has('E') {
		return false
	}
	switch r.Mode {
	case 0, 'S', 's', 'E', 'e', 'R', 'r': // set, add, replace
		return true
	}
	return false
}

// plainSet returns an ms in mode set for the item that r, which succeeded, has stored.
func plainSet(r *mc.Request) *mc.Request {
	args := strconv.AppendUint([]byte("F"), uint64(r.ClientFlags), 10)
	args = strconv.AppendInt(append(args, " T"...), r.Exptime, 10)
	flags := mc.Flag('F') | mc.Flag('T')
	if r.Has('b') {
		args = append(args, " b"...)
		flags |= mc.Flag('b')
	}
	return &mc.Request{Op: mc.MetaSet, Key: r.Key, Value: r.Value, ClientFlags: r.ClientFlags, Exptime: r.Exptime,
		Args: args, Flags: flags}
}

// metaTouch returns an mg that only touches.
func metaTouch(r *mc.Request) *mc.Request {
	args := strconv.AppendInt([]byte("T"), r.Exptime, 10)
	flags := mc.Flag('T')
	if r.Has('b') {
		args = append(args, " b"...)
		flags |= mc.Flag('b')
	}
	return &mc.Request{Op: mc.MetaGet, Key: r.Key, Exptime: r.Exptime, Args: args, Flags: flags}
}

// Each member numbers its items itself, so the CAS of one member means nothing on another, where it
// could match by chance. The CAS that clients see has the member's index in its low bits.

func (p *replicated) casBits() int { return bits.Len(uint(len(p.members) - 1)) }

// checkCAS returns r with the CAS as the member numbers it. A CAS of another member becomes one
// that no item has.
func (p *replicated) checkCAS(member int, r *mc.Request) *mc.Request {
	if r.Op != mc.CAS && !(r.Op.IsMeta() && r.Has('C') && r.CAS != 0) { // 0 compares with nothing
		return r
	}
	n := p.casBits()
	own := *r
	own.CAS = r.CAS >> n
	if int(r.CAS&(1<<n-1)) != member || own.CAS == 0 {
		own.CAS = 1<<63 - 1
	}
	if r.Op.IsMeta() {
		own.Args = nil
		for token, rest := mc.Token(r.Args); token != nil; token, rest = mc.Token(rest) {
			if token[0] == 'C' {
				own.Args = mc.AppendUint(append(own.Args, 'C'), own.CAS)
			} else {
				own.Args = append(own.Args, token...)
			}
			own.Args = append(own.Args, ' ')
		}
	}
	return &own
}

// markCAS returns the answer with the member's index added to its CAS, if it has one.
func (p *replicated) markCAS(member int, a *upstream.Answer, r *mc.Request) *upstream.Answer {
	var first mc.Answer
	block, ok := first.Parse(a.Wire)
	if !ok {
		return a
	}
	if first.HasCAS {
		first.CAS = p.shownCAS(member, first.CAS)
	} else {
		cas, ok := first.FlagUint('c')
		if !ok || !r.Op.IsMeta() {
			return a
		}
		first.Args = replaceFlag(first.Args, 'c', mc.AppendUint(nil, p.shownCAS(member, cas)))
	}
	return &upstream.Answer{Result: a.Result, Wire: appendWhole(make([]byte, 0, len(a.Wire)+4), &first, block)}
}

// shownCAS returns a member's CAS in the form that clients see.
func (p *replicated) shownCAS(member int, cas uint64) uint64 {
	return cas<<p.casBits() | uint64(member)
}
