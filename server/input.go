package server

import (
	"bytes"
	"sync/atomic"

	"holdfast/loop"
)

// smallRequestBytes is up to where the start of a request is kept in a buffer of its exact size and
// copied in front of what comes next; a larger one gets a buffer that the rest fits into.
const smallRequestBytes = loop.MinShared / 2

// growth is by how much a large request's buffer grows at most before its bytes have come: a
// client that announces a megabyte and sends nothing holds little.
const growth = 4

// An input is what a connection has received and not decoded yet. Its methods are for the
// connection's stream; held and since are also for the lane's sweep.
type input struct {
	pending *pending

	unread  []byte // received and not decoded yet; in the loop's shared buffer or in own
	buffer  []byte // where the stream is reading to, if that is the loop's buffer
	partial []byte // the start of a request, kept between reads while it is small
	own     []byte // the same when it is large: what is received follows it in place. See keep for both
	discard int    // further bytes to skip: the rest of a request that was refused

	shared bool // unread lies in the loop's buffer
	kept   bool // and the loop lets us keep that

	held  atomic.Int64 // bytes of own
	since atomic.Int64 // when own was first taken for the request that comes in, Unix nanoseconds
}

// space is where the stream reads to: behind what came before of a request.
func (in *input) space(shared []byte) []byte {
	if in.own != nil {
		in.shared = false
		return in.own[len(in.own):cap(in.own)]
	}
	n := copy(shared, in.partial)
	in.buffer, in.shared = shared, true
	return shared[n:]
}

// received makes what came before and the n bytes that followed it in space unread.
func (in *input) received(n int) {
	if in.shared {
		in.unread, in.buffer = in.buffer[:len(in.partial)+n], nil
		in.setPartial(nil)
		return
	}
	in.own = in.own[:len(in.own)+n]
	in.unread = in.own
}

// skip discards what has been received of the bytes to discard.
func (in *input) skip() {
	n := min(in.discard, len(in.unread))
	in.unread, in.discard = in.unread[n:], in.discard-n
}

// leaveLoop copies what is unread out of the loop's buffer.
func (in *input) leaveLoop() {
	if in.shared {
		in.unread, in.shared = bytes.Clone(in.unread), false
	}
}

// keep keeps what is unread, the start of a request, until more comes. need is how many bytes the
// request has in all, 0 if that is unknown. It returns false if there is no memory.
func (in *input) keep(need int, stream loop.Stream) bool {
	have := len(in.unread)
	if max(need, have+1) <= smallRequestBytes {
		if !in.pending.reserve(have) {
			return false
		}
		in.setPartial(append(make([]byte, 0, have), in.unread...))
		in.setOwn(nil)
		return true
	}
	if in.own != nil && cap(in.own) > have {
		in.own = in.own[:copy(in.own[:cap(in.own)], in.unread)] // to the front, if it isn't there
		return true
	}
	size := growth * max(have, smallRequestBytes)
	if need > 0 {
		size = min(size, need)
	}
	if !in.pending.reserve(size) {
		return false
	}
	if in.own == nil {
		in.since.Store(stream.Now())
	}
	in.setOwn(append(make([]byte, 0, size), in.unread...))
	return true
}

// setPartial replaces partial; the memory of p has been reserved.
func (in *input) setPartial(p []byte) {
	if in.partial != nil {
		in.pending.release(cap(in.partial))
	}
	in.partial = p
}

// setOwn replaces own; the memory of p has been reserved.
func (in *input) setOwn(p []byte) {
	if in.own != nil {
		in.pending.release(cap(in.own))
	}
	in.own = p
	in.held.Store(int64(cap(p)))
}

// pending is the memory of all requests that have come in part. Its methods may be called from any
// goroutine.
type pending struct {
	limit   int64
	bytes   atomic.Int64
	refused atomic.Int64 // requests, for lack of it
}

// reserve counts n bytes in. It returns false, and counts a request that is refused, if they are
// too many.
func (p *pending) reserve(n int) bool {
	if p.bytes.Add(int64(n)) > p.limit {
		p.bytes.Add(-int64(n))
		p.refused.Add(1)
		return false
	}
	return true
}

func (p *pending) release(n int) { p.bytes.Add(-int64(n)) }
