package server

import (
	"bytes"

	"holdfast/mc"
)

const answerNoMemory = "SERVER_ERROR out of memory reading request\r\n"

// park keeps the input, which is the start of a request, until more comes. It returns false when
// the request is refused instead, for lack of memory; the answer is in the batch then.
func (c *conn) park() bool {
	need := max(c.dialect.need(), c.login.tokenBytes)
	return c.in.keep(need, c.stream) || c.refuseLarge(need)
}

// refuseLarge answers a request that there is no memory for. If its length is known, need, the rest
// is skipped as it arrives; after a line that has no end yet, the rest can't be understood.
func (c *conn) refuseLarge(need int) bool {
	b := c.work.batch
	have := len(c.in.unread)
	switch {
	case c.dialect.binary != nil && need > have:
		b.Requests = append(b.Requests, c.dialect.binary.WithoutMemory(c.in.unread))
		c.in.discard = need - have
	case c.dialect.binary != nil: // it may not be known yet what to answer to
		c.endWith(closeError)
	case c.login.tokenBytes == 0 && need > have:
		b.Requests = append(b.Requests, withoutMemory(c.in.unread))
		c.in.discard = need - have
	default:
		b.Out = append(b.Out, answerNoMemory...)
		c.endWith(closeError)
	}
	c.in.unread = nil
	c.in.setOwn(nil)
	return false
}

// withoutMemory is what is served in place of the storage request that input starts with. As in
// memcached, a set that fails removes the value that it was to replace, since with noreply its
// client never learns of the failure.
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

// The answers before a connection is closed; memcached closes without one.
const (
	answerLineTooLong = "CLIENT_ERROR line too long\r\n"
	answerTooSlow     = "CLIENT_ERROR the rest of the request did not come in time\r\n"
)

// refuse closes the connection after input that can't be decoded, since it isn't known where the
// next request begins. The client gets the reason, in its protocol. Only HTTP gets no answer, as
// from memcached: its tests expect none, and a browser that a web page directs here must have
// nothing to show.
func (c *conn) refuse(err error) {
	switch err {
	case mc.ErrBinary:
		c.work.batch.Out = appendBinaryRefusal(c.work.batch.Out, c.in.unread)
	case mc.ErrLineTooLong:
		c.work.answer(answerLineTooLong)
	}
	c.in.unread = nil
	c.endWith(closeError)
}

// giveUp closes a connection that waits for the rest of a request. It sends the answer only where
// the client can't mistake it for that of an earlier request.
func (c *conn) giveUp(answer string) {
	if c.dialect.binary != nil || c.login.tokenBytes > 0 {
		c.close(closeIdle)
		return
	}
	c.work = c.lane.takeWork(c)
	c.in.unread = nil
	c.work.answer(answer)
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
