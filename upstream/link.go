package upstream

import (
	"context"
	"errors"
	"fmt"

	"holdfast/loop"
	"holdfast/mc"
)

// Limits of a link.
const (
	maxLineKeys   = 64       // of one get line
	maxOutBytes   = 64 << 20 // that an upstream has not taken
	spareOutBytes = 1 << 20  // a larger buffer is left to the garbage collector
)

// errLate is the reason why a connection is closed on which an answer is overdue.
var errLate = errors.New("no answer in time")

// errDown is the reason why a connection is closed whose upstream went down on another lane.
var errDown = errors.New("the member is down")

// A link is a lane's way to an upstream: a queue of requests, and a connection that is made when
// there is something to send. Requests are written in the order in which they are enqueued, and
// answered in that order. The lane's lock guards it.
type link struct {
	lane *Lane
	to   *Upstream

	conn       *conn // nil while there is none
	connecting bool
	pending    queue
	unsent     int // how many at the end of pending the socket has taken nothing of

	out       []byte
	written   int  // of out
	partial   bool // the socket has taken a part of out
	blocked   bool // the socket accepts no more until it is writable
	dirty     bool // in lane.dirty
	line      bool // out ends in a get line that may take more keys
	lineOp    mc.Op
	lineTime  int64 // the exptime of a gat line
	lineKeys  int
	spareText []byte // scratch for arguments

	requests int64
	results  [Closed + 1]int64
}

func newLink(l *Lane, d *Upstream) *link { return &link{lane: l, to: d} }

// enqueue sends the request, or fails it at once if the upstream is down or the link is full. If
// alone is true, the request doesn't share a get line with others.
func (k *link) enqueue(request *mc.Request, to Receiver, alone bool) {
	d := k.to
	switch {
	case d.state.Load() != StateUp:
		k.results[Down]++
		k.lane.refuse(to, Down, d.Address+" is down")
		return
	case k.pending.len() >= d.MaxInFlight || len(k.out)-k.written >= maxOutBytes:
		k.results[Busy]++
		k.lane.refuse(to, Busy, "too many requests wait for "+d.Address)
		return
	}
	k.requests++
	p := k.appendRequest(request, alone)
	p.request, p.to, p.at, p.epoch = request, to, k.lane.loop.Now(), d.epoch.Load()
	k.unsent++
	if k.pending.len() == 1 {
		k.lane.tickLater(d.Timeout)
	}
	k.writeLater()
}

// writeLater has Flush write out at the end of the round.
func (k *link) writeLater() {
	if !k.dirty {
		k.dirty = true
		k.lane.dirty = append(k.lane.dirty, k)
	}
}

// appendRequest adds the request to pending and to out.
func (k *link) appendRequest(r *mc.Request, alone bool) *pending {
	if !r.Op.IsGet() {
		k.endLine()
		k.appendOther(r)
		p := k.pending.push()
		p.form, p.last, p.alone = formOf(r.Op), true, true
		return p
	}
	merged := k.line && !alone && k.lineOp == r.Op && k.lineTime == r.Exptime && k.lineKeys < maxLineKeys
	if merged {
		k.pending.back().alone = false
		k.lineKeys++
		k.out = append(append(k.out, ' '), r.Key...)
	} else {
		k.endLine()
		one := mc.Request{Op: r.Op, Exptime: r.Exptime, Key: r.Key}
		k.out = mc.AppendRequest(k.out, &one)
		k.out = k.out[:len(k.out)-len(mc.CRLF)]
		k.line, k.lineOp, k.lineTime, k.lineKeys = true, r.Op, r.Exptime, 1
	}
	p := k.pending.push()
	p.form, p.last, p.alone = formGet, false, !merged
	p.key = append(p.key[:0], r.Key...)
	if alone {
		k.endLine()
	}
	return p
}

// endLine ends the get line that out ends in.
func (k *link) endLine() {
	if k.line {
		k.out = append(k.out, mc.CRLF...)
		k.line = false
		k.pending.back().last = true
	}
}

// appendOther appends a request that is no get. The upstream must answer it even if the client
// asked for no answer (noreply, q), since answers are matched to requests by their order.
func (k *link) appendOther(r *mc.Request) {
	if !r.NoReply {
		k.out = mc.AppendRequest(k.out, r)
		return
	}
	loud := *r
	loud.NoReply = false
	if r.Op.IsMeta() {
		k.spareText = k.spareText[:0]
		for token, rest := mc.Token(r.Args); token != nil; token, rest = mc.Token(rest) {
			if token[0] != 'q' {
				k.spareText = append(append(k.spareText, token...), ' ')
			}
		}
		loud.Args = k.spareText
	}
	k.out = mc.AppendRequest(k.out, &loud)
}

// flush writes out, or begins to connect if there is no connection. It is called on the loop.
func (k *link) flush() {
	k.endLine()
	switch {
	case k.conn == nil:
		k.connect()
	case k.conn.stream.Grouped():
		k.write()
	default:
		k.conn.stream.Post(k.conn.writeAway)
	}
}

func (k *link) write() {
	if k.blocked || len(k.out) == 0 {
		return
	}
	n, err := k.conn.stream.Write(k.out[k.written:])
	k.wrote(n, err)
}

// wrote records that the socket took n bytes of out.
func (k *link) wrote(n int, err error) {
	k.written += n
	if n > 0 {
		k.unsent, k.partial = 0, true
	}
	switch {
	case err != nil:
		k.fail(Closed, err)
	case k.written < len(k.out):
		k.blocked = true
		if k.written > len(k.out)/2 { // else bytes that were written would count against maxOutBytes
			k.out, k.written = append(k.out[:0], k.out[k.written:]...), 0
		}
	default:
		k.out, k.written, k.partial = k.out[:0], 0, false
		if cap(k.out) > spareOutBytes {
			k.out = nil
		}
	}
}

// owed returns how many requests of which the socket has taken bytes are not answered yet.
func (k *link) owed() int { return k.pending.len() - k.unsent }

// untouched reports whether the upstream owes no answer and has received no byte of the pending
// requests, so that they can be sent on another connection.
func (k *link) untouched() bool { return k.owed() == 0 && !k.partial }

// connect begins to connect. Pending requests wait until that succeeds or fails.
func (k *link) connect() {
	if k.connecting || k.pending.len() == 0 {
		return
	}
	k.connecting = true
	go func() {
		netConn, err := k.to.dial(context.Background())
		if err == nil {
			var socket loop.Socket
			if socket, err = loop.Adopt(netConn); err == nil {
				k.lane.loop.Open(socket, k.opened, loop.Limits{Stall: k.to.Timeout})
				return
			}
		}
		k.lane.Enter(func() {
			k.connecting = false
			k.to.TakeDown(err)
			k.failAll(connectResult(err), err)
		})
	}()
}

// opened makes the handler of a new connection, on the loop.
func (k *link) opened(s loop.Stream) loop.Handler {
	k.lane.mu.Lock()
	defer k.lane.mu.Unlock()
	c := &conn{link: k, stream: s, local: s.LocalAddr()}
	k.connecting = false
	k.to.counters.connects.Add(1)
	k.to.Outage.connected(c.local)
	k.conn, k.blocked = c, false
	if k.pending.len() > 0 {
		s.Post(func() { k.lane.Enter(func() { k.resume(c) }) }) // the stream doesn't belong to the loop yet
	}
	return c
}

// resume continues to write, if c is still the link's connection.
func (k *link) resume(c *conn) {
	if k.conn == c {
		k.endLine()
		k.flush()
	}
}

// expire closes the connection if the answer to the oldest request is overdue.
func (k *link) expire(now int64) {
	if k.pending.len() == 0 || now-k.pending.at(0).at < int64(k.to.Timeout) {
		return
	}
	if k.conn == nil {
		return // the attempt to connect has its own limit
	}
	k.fail(Timeout, errLate)
}

// fail closes the connection, counts the failure against the upstream, and fails the pending
// requests, unless they can be sent on another connection.
func (k *link) fail(r Result, cause error) {
	k.disconnect(loop.Stream.Reset)
	k.to.failedSoft(cause)
	if k.untouched() && k.to.Up() {
		k.writeLater()
		return
	}
	k.failAll(r, cause)
}

// disconnect closes the connection. Bytes that still arrive on it are discarded.
func (k *link) disconnect(how func(loop.Stream)) {
	if k.conn == nil {
		return
	}
	stream := k.conn.stream
	k.conn = nil
	if stream.Grouped() {
		how(stream)
		return
	}
	stream.Abort()
	stream.Post(func() { how(stream) })
}

// cut closes the connection to an upstream that is down, and fails all pending requests.
func (k *link) cut() {
	k.disconnect(loop.Stream.Reset)
	k.failAll(Closed, errDown)
}

// failAll fails all pending requests. Their receivers may enqueue others, or the same again, which
// are sent on the next connection.
func (k *link) failAll(r Result, cause error) {
	old := k.pending
	k.pending = queue{}
	k.unsent = 0
	k.out, k.written, k.partial, k.line, k.blocked = nil, 0, false, false, false
	text := fmt.Sprintf("%s: %v", k.to.Address, cause)
	for old.len() > 0 {
		k.results[r]++
		k.lane.refuse(old.pop().to, r, text)
	}
}

// drop closes the connection if no request is pending, and reports whether it did. It is called on
// the loop.
func (k *link) drop() bool {
	if k.pending.len() > 0 || k.connecting {
		return false
	}
	k.disconnect(loop.Stream.Close)
	return true
}
