package server

import (
	"errors"
	"io"
	"sync/atomic"

	"holdfast/loop"
)

// How much of the loop one connection's turn may take before the others have theirs.
const (
	turnBytes = 1 << 20
	turnSteps = 128
)

// A conn is one client's connection: the handler of its stream. While it is idle it owns neither
// buffer nor batch.
type conn struct {
	server  *Server
	lane    *lane
	entry   int // of its listener
	stream  loop.Stream
	grouped bool  // stream.Grouped
	work    *work // what serves it now; nil while idle

	in      input
	dialect dialect
	login   login

	ending  bool // write the answers, then close
	closed  bool
	reason  closeReason
	watcher *watcher // it watches, and requests of it are ignored

	waiting int // bytes of answers that are counted in Server.waitingBytes

	phase  atomic.Uint32 // what it waits for, for the lane's sweep
	active atomic.Int64  // when its client last sent or accepted bytes, Unix nanoseconds
}

// What a connection waits for.
const (
	phaseIdle    uint32 = iota // for a request
	phasePartial               // for the rest of a request
	phaseServing               // for the backend, or its turn
	phaseWriting               // for space in the socket
	phaseWatching
)

// Buffer is where the stream reads to.
func (c *conn) Buffer(shared []byte) []byte { return c.in.space(shared) }

// Received decodes the bytes that came and starts to serve their requests.
func (c *conn) Received(n int) (keep bool) {
	c.active.Store(c.stream.Now())
	c.lane.bytesRead.Add(int64(n))
	c.in.received(n)
	c.work = c.lane.takeWork(c)
	switch {
	case !c.decode():
		c.rest()
	case !c.lane.putOff(c):
		c.advance()
	}
	c.in.kept = c.work != nil && c.in.shared
	return c.in.kept
}

// advance decodes, serves and answers requests until the input is used up or the connection must
// wait: for the backend, for the socket, or for its next turn.
func (c *conn) advance() {
	w := c.work
	for step := 0; ; step++ {
		switch {
		case w.written > turnBytes || step > turnSteps:
			c.yield()
			return
		case w.writing || w.batch.Full():
			if !c.write() {
				return
			}
		case w.batch.Next < len(w.batch.Requests) && !c.ending:
			if !c.serve() {
				return
			}
		case w.dump.active:
			w.listMore(c.server.optional.dumper)
		case c.login.punished:
			c.delay()
			return
		case w.answered():
			if !c.write() {
				return
			}
		case c.ending:
			c.close(c.reason)
			return
		case len(c.in.unread) == 0 || !c.decode():
			c.rest()
			return
		}
	}
}

// decode makes the next batch from the input. It returns false when the input holds no whole
// request.
func (c *conn) decode() bool {
	w := c.work
	w.batch.Reset()
	w.served = -1
	switch {
	case c.in.discard > 0:
		c.in.skip()
		return true
	case c.watcher != nil:
		c.in.unread = nil
		return false
	case !c.login.known && c.dialect.binary == nil:
		return c.authenticate()
	}
	used, err := c.dialect.decode(c.server, c.in.unread, w.batch)
	c.in.unread = c.in.unread[used:]
	if n := len(w.batch.Requests); n > 0 {
		if n >= c.server.options.BatchRequests && len(c.in.unread) > 0 {
			c.lane.yields.Add(1) // memcached's -R ends a turn there
		}
		if c.server.watch.Wants(WatchCommands) {
			c.server.watch.commands(c, w.batch.Requests)
		}
		return true
	}
	if err != nil { // with requests before it, decoding returns it again after them
		c.refuse(err)
		return true
	}
	return used > 0 || !c.park()
}

// serve has the batch answered: by the backend, or by the server itself if it is an admin request,
// which is alone in its batch. It returns false when the answer comes later.
func (c *conn) serve() bool {
	w, b := c.work, c.work.batch
	if r := &b.Requests[b.Next]; r.Op.Admin() {
		c.phase.Store(phaseServing) // for stats conns
		b.Next++
		c.admin(r)
		return true
	}
	if b.Next == w.served {
		c.server.log.Error("a batch came back with no request answered", "conn", b.Conn, "op", b.Requests[b.Next].Op)
		c.endWith(closeError)
		return true
	}
	w.served = b.Next
	c.server.backend.Serve(b)
	if w.leave() {
		c.phase.Store(phaseServing)
		c.stream.Pause()
		return false
	}
	return true
}

// write sends the answers. It returns false when the socket doesn't take all of them now, or is
// broken.
func (c *conn) write() bool {
	w := c.work
	w.writing = true
	if !c.grouped { // Write waits for the client itself
		c.awaitReader()
	}
	n, err := w.send(c.stream)
	w.written += n
	c.lane.bytesWritten.Add(int64(n))
	switch {
	case err != nil:
		c.close(closeError)
		return false
	case w.unwritten():
		c.awaitReader()
		c.stream.Pause()
		return false
	}
	c.setWaiting(0)
	w.release()
	return true
}

// awaitReader has the lane's sweep close the connection if the client doesn't read.
func (c *conn) awaitReader() {
	c.setWaiting(c.work.heldBytes())
	c.active.Store(c.stream.Now())
	c.phase.Store(phaseWriting)
}

func (c *conn) setWaiting(bytes int) {
	if bytes != c.waiting {
		c.server.waitingBytes.Add(int64(bytes - c.waiting))
		c.waiting = bytes
	}
}

// Writable continues to write the answers.
func (c *conn) Writable() {
	if c.work != nil && c.work.writing {
		c.proceed()
	}
}

// yield gives the other connections of the loop their turn.
func (c *conn) yield() {
	c.lane.yields.Add(1)
	c.phase.Store(phaseServing)
	c.stream.Pause()
	c.work.state.Store(left) // so that a close in between leaves the work to proceed
	c.stream.Post(c.work.proceed)
}

// proceed continues after a wait.
func (c *conn) proceed() {
	if c.closed {
		c.dropWork()
		return
	}
	c.work.written = 0
	c.advance()
	if c.in.kept && (c.work == nil || !c.in.shared) {
		c.stream.Free()
		c.in.kept = false
	}
}

// rest ends a turn when the input holds no whole request any more; what is left is the start of
// one.
func (c *conn) rest() {
	c.lane.putWork(c.work)
	c.work = nil
	phase := phaseIdle
	switch {
	case c.server.conns.draining.Load():
		c.close(closeShutdown)
		return
	case c.watcher != nil:
		phase = phaseWatching
	case len(c.in.unread) > 0:
		phase = phasePartial
	}
	if phase != phasePartial {
		c.in.setOwn(nil)
	}
	if c.phase.Load() != phase {
		c.phase.Store(phase)
	}
	c.in.unread = nil
	c.stream.Resume()
	if c.watcher != nil {
		c.watcher.wake()
	}
}

// Ended is called when the client has closed the connection, or it broke.
func (c *conn) Ended(err error) {
	if errors.Is(err, io.EOF) {
		c.close(closeNormal)
		return
	}
	c.close(closeError)
}

// endWith has the connection closed once the present answers are written.
func (c *conn) endWith(reason closeReason) {
	c.ending, c.reason = true, reason
}

// close ends the connection at once. Work that is away is released by proceed.
func (c *conn) close(reason closeReason) {
	if c.closed {
		return
	}
	c.closed = true
	c.server.connClosed(c, reason)
	c.stream.Close()
	if c.watcher != nil {
		c.server.watch.remove(c.watcher)
	}
	c.in.setPartial(nil)
	c.setWaiting(0)
	if c.work == nil || !c.work.away() {
		c.dropWork()
	}
}

// dropWork releases what a closed connection held.
func (c *conn) dropWork() {
	if c.work != nil {
		c.work.release()
		c.lane.putWork(c.work)
		c.work = nil
	}
	c.in.setOwn(nil)
	c.in.unread = nil
	c.stream.Free()
}
