package upstream

import (
	"io"

	"holdfast/loop"
	"holdfast/mc"
)

// A conn is a connection of a link: the handler of its stream. Bytes that arrive after link.conn
// has become another conn, or nil, are discarded.
type conn struct {
	link   *link
	stream loop.Stream
	local  string    // our end of it
	buffer []byte    // the loop's, while the stream reads into it
	in     []byte    // the beginning of an answer of which the rest has not arrived
	need   int       // how many bytes that answer has; 0 if that isn't known
	away   []byte    // what writeAway writes
	first  mc.Answer // the parsed first line of the answer that is being read
	taken  Answer    // the answer that is being delivered
}

const (
	inBytes    = 16 << 10 // a conn's own buffer, unless an answer needs more
	eagerBytes = 1 << 20  // memory for a larger answer grows as its bytes arrive, which they may never do
)

// Buffer returns the loop's buffer, or memory behind the start of an answer.
func (c *conn) Buffer(shared []byte) []byte {
	if len(c.in) == 0 {
		c.buffer = shared
		return shared
	}
	if want := max(min(c.need, max(eagerBytes, 2*len(c.in))), len(c.in)+inBytes/2); cap(c.in) < want {
		c.in = append(make([]byte, 0, want), c.in...)
	}
	c.buffer = nil
	return c.in[len(c.in):cap(c.in)]
}

// Received reads answers, and delivers each before it reads the next.
func (c *conn) Received(n int) bool {
	l := c.link.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.link.conn != c {
		return false
	}
	data := c.buffer
	if data != nil {
		data = data[:n]
	} else {
		c.in = c.in[:len(c.in)+n]
		data = c.in
		if len(data) < c.need {
			return false
		}
	}
	used := c.read(data)
	if c.link.conn == c {
		c.keep(data[used:])
	}
	if !c.stream.Grouped() && len(l.dirty) > 0 {
		l.loop.Post(l.Flush)
	}
	return false
}

// keep copies the beginning of an answer of which the rest has not arrived.
func (c *conn) keep(rest []byte) {
	switch {
	case len(rest) == 0 && cap(c.in) > inBytes:
		c.in = nil
	case len(rest) > cap(c.in):
		c.in = append(make([]byte, 0, max(len(rest), min(c.need, eagerBytes), inBytes)), rest...)
	default:
		c.in = append(c.in[:0], rest...) // rest may lie in it, further on
	}
}

// Writable continues to write.
func (c *conn) Writable() {
	k := c.link
	k.lane.mu.Lock()
	defer k.lane.mu.Unlock()
	if k.conn == c {
		k.blocked = false
		k.endLine()
		k.write()
	}
}

// writeAway is link.write for a stream whose Write waits for the upstream: the lane is unlocked
// meanwhile.
func (c *conn) writeAway() {
	k, l := c.link, c.link.lane
	l.mu.Lock()
	if k.conn != c || k.blocked || len(k.out) == 0 {
		l.mu.Unlock()
		return
	}
	k.endLine()
	c.away, k.out = k.out, c.away[:0]
	k.blocked, k.unsent = true, 0
	l.mu.Unlock()
	_, err := c.stream.Write(c.away)
	l.Enter(func() {
		if k.conn != c {
			return
		}
		k.blocked = false
		switch {
		case err != nil:
			k.fail(Closed, err)
		case len(k.out) > 0:
			c.stream.Post(c.writeAway)
		}
	})
}

// Ended is called when the upstream has closed the connection. If it owes no answer, that isn't a
// failure: servers close connections that are idle.
func (c *conn) Ended(err error) {
	k := c.link
	k.lane.Enter(func() {
		c.stream.Close()
		if k.conn != c {
			return
		}
		k.conn = nil
		if k.untouched() {
			k.to.Outage.ended(c.local)
			k.writeLater()
			return
		}
		if err == io.EOF {
			err = errClosed
		}
		k.fail(Closed, err)
	})
}
