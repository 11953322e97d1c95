package server

import (
	"bytes"

	"holdfast/loop"
	"holdfast/mc"
)

// smallRequestBytes is up to where the start of a request is kept in a buffer of its exact size and
// copied in front of what comes next; a larger one gets a buffer that the rest fits into.
const smallRequestBytes = loop.MinShared / 2

// growth is by how much a large request's buffer grows at most before its bytes have come: a
// client that announces a megabyte and sends nothing holds little.
const growth = 4

const answerNoMemory = "SERVER_ERROR out of memory reading request\r\n"

// park keeps the input, which is the start of a request, until more comes. It returns false when
// the request is refused instead, for lack of memory; the answer is in the batch then.
func (c *conn) park() bool {
	have := len(c.input)
	need := max(c.need(), c.authBytes)
	if max(need, have+1) <= smallRequestBytes {
		if !c.reserve(have) {
			return c.refuseLarge(need)
		}
		c.setPartial(append(make([]byte, 0, have), c.input...))
		c.setOwn(nil)
		return true
	}
	if c.own != nil && cap(c.own) > have {
		c.own = c.own[:copy(c.own[:cap(c.own)], c.input)] // to the front, if it isn't there
		return true
	}
	size := growth * max(have, smallRequestBytes)
	if need > 0 {
		size = min(size, need)
	}
	if !c.reserve(size) {
		return c.refuseLarge(need)
	}
	c.setOwn(append(make([]byte, 0, size), c.input...))
	return true
}

// refuseLarge answers a request that there is no memory for. If its length is known, need, the rest
// is thrown away as it comes; after a line that has no end yet, nothing can be made of the rest.
func (c *conn) refuseLarge(need int) bool {
	b := c.work.batch
	have := len(c.input)
	switch {
	case c.binary != nil && need > have:
		b.Requests = append(b.Requests, c.binary.WithoutMemory(c.input))
		c.discard = need - have
	case c.binary != nil: // it may not be known yet what to answer to
		c.endWith(closeError)
	case c.authBytes == 0 && need > have:
		b.Requests = append(b.Requests, withoutMemory(c.input))
		c.discard = need - have
	default:
		b.Out = append(b.Out, answerNoMemory...)
		c.endWith(closeError)
	}
	c.input = nil
	c.setOwn(nil)
	return false
}

// withoutMemory is what is served in place of the storage request that input starts with. As in
// memcached, a set that fails removes the value that it was to replace, since with noreply its client never
// learns of the failure.
func withoutMemory(input []byte) mc.Request {
	r := mc.Request{Op: mc.Invalid, Fault: answerNoMemory}
	line, _, _ := bytes.Cut(input, []byte{'\n'})
	name, rest := mc.Token(bytes.TrimRight(line, " \r"))
	if string(name) == "ms" {
		return r // its q hides no errors
	}
	if bytes.HasSuffix(rest, []byte(" noreply")) {
		r.Fault = ""
	}
	if string(name) == "set" {
		r.Key, _ = mc.Token(rest)
		r.Drop = true
	}
	return r
}

// reserve counts n bytes against what all connections may hold of requests; setPartial and setOwn
// return what is no longer held.
func (c *conn) reserve(n int) bool {
	if c.server.pendingBytes.Add(int64(n)) > c.server.options.PendingBytes {
		c.server.pendingBytes.Add(-int64(n))
		c.server.requestsRefused.Add(1)
		return false
	}
	return true
}

func (c *conn) setPartial(p []byte) {
	if c.partial != nil {
		c.server.pendingBytes.Add(-int64(cap(c.partial)))
	}
	c.partial = p
}

func (c *conn) setOwn(p []byte) {
	if c.own != nil {
		c.server.pendingBytes.Add(-int64(cap(c.own)))
	} else if p != nil {
		c.since.Store(c.stream.Now())
	}
	c.own = p
	c.held.Store(int64(cap(p)))
}

// The answers to what ends a connection, where memcached closes without one.
const (
	answerLineTooLong = "CLIENT_ERROR line too long\r\n"
	answerTooSlow     = "CLIENT_ERROR the rest of the request did not come in time\r\n"
)

// refuse closes after what can't be decoded, since where the next request begins is lost. The
// client gets the reason, in its protocol. HTTP alone gets no answer, as from memcached: its tests
// expect none, and a browser that a web page has sent here must have nothing to show.
func (c *conn) refuse(err error) {
	switch err {
	case mc.ErrBinary:
		c.work.batch.Out = appendBinaryRefusal(c.work.batch.Out, c.input)
	case mc.ErrLineTooLong:
		c.answer(answerLineTooLong)
	}
	c.input = nil
	c.endWith(closeError)
}

// giveUp closes a connection that waits for the rest of a request, with an answer where the
// protocol allows one that isn't taken for that of an earlier request.
func (c *conn) giveUp(answer string) {
	if c.binary != nil || c.authBytes > 0 {
		c.close(closeIdle)
		return
	}
	c.work = c.lane.takeWork(c)
	c.input = nil
	c.answer(answer)
	c.endWith(closeIdle)
	c.advance()
}

// appendBinaryRefusal answers a request of memcached's binary protocol in that protocol, so that
// its client can say what is wrong: status 0x0081, "Unknown command", with a text.
func appendBinaryRefusal(out, request []byte) []byte {
	const text = "Only memcached's text protocol is served here"
	header := [24]byte{0: 0x81, 6: 0x00, 7: 0x81, 11: byte(len(text))}
	if len(request) > 1 {
		header[1] = request[1] // opcode
	}
	if len(request) >= 16 {
		copy(header[12:16], request[12:16]) // opaque
	}
	return append(append(out, header[:]...), text...)
}
