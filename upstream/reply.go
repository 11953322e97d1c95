package upstream

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"

	"holdfast/mc"
)

// Limits of an answer.
const (
	maxLineBytes  = 16 << 10
	MaxValueBytes = 1 << 30 // a longer block breaks the connection
)

// Reasons why a connection is closed.
var (
	errClosed  = errors.New("the member closed the connection")
	errGarbled = errors.New("garbled answer")
)

// read delivers the whole answers at the beginning of data, and returns how many bytes they have.
// An answer that can't be one to its request breaks the connection, since no later one could be
// trusted.
func (c *conn) read(data []byte) (used int) {
	k := c.link
	c.need = 0
	for used < len(data) {
		if k.owed() <= 0 {
			c.garbled(data[used:], "nothing was asked")
			return used
		}
		end := bytes.IndexByte(data[used:], '\n')
		if end < 0 {
			if len(data)-used > maxLineBytes {
				c.garbled(data[used:], "the line is too long")
			}
			return used
		}
		n := c.answer(data[used:], end+1)
		if n == 0 || k.conn != c {
			return used
		}
		used += n
		k.to.answered()
	}
	return used
}

// answer reads an answer, or a part of the answer to a get line, that begins with the line
// data[:end]. It returns how many bytes it has: 0 if some have not arrived, or if the connection
// was broken.
func (c *conn) answer(data []byte, end int) int {
	k := c.link
	line := data[:end]
	p := k.pending.at(0)
	first := &c.first
	if !parseLine(first, line) {
		return c.garbled(line, "it is no answer")
	}
	switch {
	case p.form == formGet && first.Kind == mc.AnswerValue:
		return c.value(data, end)
	case p.form == formGet && first.Kind == mc.AnswerEnd:
		c.misses(nil)
		return end
	case p.form == formMeta && first.Kind == mc.AnswerVA:
		return c.metaValue(data, end)
	}
	r, ok := lineResult(first, p.form, p.request)
	if !ok {
		return c.garbled(line, "it answers nothing that was asked")
	}
	if p.form == formGet {
		c.refused(&Answer{Result: r, Wire: line})
	} else {
		c.deliver(r, line)
	}
	return end
}

// parseLine parses a line that ends in \r\n into first. Where mc.Answer accepts several forms, it
// accepts only the one that servers print: one space before a length, and no text after ERROR. An
// ERROR with a text is what a server sends unasked before it closes the connection.
func parseLine(first *mc.Answer, line []byte) bool {
	text, ok := bytes.CutSuffix(line, crlf)
	if !ok || !first.ParseLine(text) {
		return false
	}
	switch first.Kind {
	case mc.AnswerError:
		return first.Args == nil
	case mc.AnswerVA:
		return text[len("VA ")] != ' ' && first.ValueBytes <= MaxValueBytes
	case mc.AnswerValue:
		return first.ValueBytes <= MaxValueBytes
	}
	return true
}

var crlf = []byte(mc.CRLF)

// metaValue reads a VA line and its block.
func (c *conn) metaValue(data []byte, end int) int {
	request := c.link.pending.at(0).request
	if request.Op != mc.MetaGet && request.Op != mc.MetaArithmetic {
		return c.garbled(data[:end], "that command has no value")
	}
	if !echoes(&c.first, request) {
		return c.garbled(data[:end], "it answers another request")
	}
	size := c.first.ValueBytes
	if !c.block(data, end, size) {
		return 0
	}
	took := end + size + len(mc.CRLF)
	c.deliver(found(request), data[:took])
	return took
}

// value reads a VALUE line and its block. The keys of the get line before this one are misses.
func (c *conn) value(data []byte, end int) int {
	k := c.link
	op := k.pending.at(0).request.Op
	if c.first.HasCAS != (op == mc.Gets || op == mc.Gats) {
		return c.garbled(data[:end], "it has a CAS that was not asked for, or none")
	}
	key, size := c.first.Key, c.first.ValueBytes
	if !c.block(data, end, size) {
		return 0
	}
	if !k.expects(key) {
		return c.garbled(data[:end], "that key was not asked for")
	}
	c.misses(key)
	took := end + size + len(mc.CRLF)
	p := k.pending.at(0)
	if p.last { // END follows, and then the next answer
		return c.lastValue(data, took)
	}
	c.deliver(Hit, data[:took])
	return took
}

// lastValue reads END after the value of the get line's last key.
func (c *conn) lastValue(data []byte, took int) int {
	rest := data[took:]
	switch {
	case len(rest) < len(mc.End):
		c.need = took + len(mc.End)
		return 0
	case string(rest[:len(mc.End)]) != mc.End:
		return c.garbled(rest[:min(len(rest), 64)], "no END")
	}
	c.deliver(Hit, data[:took])
	return took + len(mc.End)
}

// block reports whether the block of size bytes after the line data[:end] is complete and ends with
// \r\n. If not, some bytes have not arrived, or the connection was broken.
func (c *conn) block(data []byte, end, size int) bool {
	if len(data) < end+size+len(mc.CRLF) {
		c.need = end + size + len(mc.CRLF)
		return false
	}
	if string(data[end+size:end+size+len(mc.CRLF)]) != mc.CRLF {
		c.garbled(data[:end], "the block doesn't end there")
		return false
	}
	return true
}

// expects reports whether key is among the unanswered ones of the first get line in the queue.
func (k *link) expects(key []byte) bool {
	for i := 0; i < k.pending.len(); i++ {
		p := k.pending.at(i)
		if string(p.key) == string(key) {
			return true
		}
		if p.last {
			return false
		}
	}
	return false
}

// misses answers the keys of the first get line before key with misses; if key is nil, all of them.
// The receivers may enqueue more requests, behind.
func (c *conn) misses(key []byte) {
	k := c.link
	for {
		p := k.pending.at(0)
		if key != nil && string(p.key) == string(key) {
			return
		}
		last := p.last
		c.deliver(Miss, nil)
		if last {
			return
		}
	}
}

// refused handles an error as the answer to the first get line. If the line has several keys, each
// is requested again alone: the error may concern one of them only, and they may be of different
// clients.
func (c *conn) refused(a *Answer) {
	k := c.link
	for {
		p := k.pending.at(0)
		last, alone, request, to := p.last, p.alone, p.request, p.to
		if alone {
			k.deliver(a)
			return
		}
		k.pending.pop()
		k.enqueue(request, to, true)
		if last {
			return
		}
	}
}

// deliver takes the first request off the queue and gives its receiver the answer.
func (k *link) deliver(a *Answer) {
	p := k.pending.pop()
	request, to, epoch := p.request, p.to, p.epoch
	if epoch != k.to.epoch.Load() && !request.Op.Reads() {
		// The upstream went down on another lane since, and deleting what it missed may undo this write.
		k.results[Closed]++
		k.lane.refuse(to, Closed, k.to.Address+" went down")
		return
	}
	k.results[a.Result]++
	to.Receive(a)
}

// deliver answers the first request in the queue.
func (c *conn) deliver(r Result, wire []byte) {
	c.taken = Answer{Result: r, Wire: wire} // reused: receivers don't keep it
	c.link.deliver(&c.taken)
}

// lineResult returns the result of an answer of one line to r; false if it can't be an answer to r,
// so that it must be one to another request.
func lineResult(first *mc.Answer, f form, r *mc.Request) (Result, bool) {
	switch first.Kind {
	case mc.AnswerError, mc.AnswerClientError:
		return ClientError, true
	case mc.AnswerServerError:
		return ServerError, true
	}
	switch f {
	case formLine:
		return classicResult(first.Kind, r.Op)
	case formMeta:
		return metaResult(first, r)
	}
	return 0, false
}

// classicResult is lineResult of a classic command that isn't a get.
func classicResult(kind mc.AnswerKind, op mc.Op) (Result, bool) {
	done := mc.AnswerStored
	switch op {
	case mc.Delete:
		done = mc.AnswerDeleted
	case mc.Touch:
		done = mc.AnswerTouched
	case mc.FlushAll:
		return Done, kind == mc.AnswerOK
	case mc.Incr, mc.Decr:
		done = mc.AnswerNumber
	default:
		switch kind {
		case mc.AnswerNotStored:
			return NotStored, true
		case mc.AnswerExists:
			return Exists, true
		}
	}
	if kind == done {
		return Done, true
	}
	return NotFound, kind == mc.AnswerNotFound
}

// metaResult is lineResult of a meta command.
func metaResult(first *mc.Answer, r *mc.Request) (Result, bool) {
	if r.Op != mc.MetaDebug && !echoes(first, r) {
		return 0, false
	}
	writes := r.Op != mc.MetaGet && r.Op != mc.MetaDebug
	switch first.Kind {
	case mc.AnswerHD:
		return found(r), true
	case mc.AnswerME:
		return Hit, r.Op == mc.MetaDebug
	case mc.AnswerEN:
		return Miss, !writes
	case mc.AnswerNF:
		return NotFound, writes
	case mc.AnswerNS:
		return NotStored, writes && r.Op != mc.MetaDelete
	case mc.AnswerEX:
		return Exists, writes
	}
	return 0, false
}

// echoes reports whether the opaque and the key among the flags of an answer, if there are any, are
// those of the request. Upstreams return them unchanged, so with others it is the answer to another
// request, which must not reach this one's client.
func echoes(first *mc.Answer, r *mc.Request) bool {
	for token, rest := mc.Token(first.Args); token != nil; token, rest = mc.Token(rest) {
		switch token[0] {
		case 'O':
			if !hasFlag(r.Args, token) {
				return false
			}
		case 'k':
			if !r.Has('k') || !namesKey(token[1:], r.Key) {
				return false
			}
		}
	}
	return true
}

// namesKey reports whether the key in an answer is the request's: as it is, or in base64 for an
// item that was stored with a key in base64.
func namesKey(answered, key []byte) bool {
	if len(answered) == 0 || string(answered) == string(key) {
		return true
	}
	decoded, err := base64.StdEncoding.AppendDecode(nil, answered)
	return err == nil && string(decoded) == string(key)
}

// hasFlag reports whether the flag is among those of a request, with the same argument.
func hasFlag(args, flag []byte) bool {
	for token, rest := mc.Token(args); token != nil; token, rest = mc.Token(rest) {
		if string(token) == string(flag) {
			return true
		}
	}
	return false
}

// found returns the result of a meta command that succeeded.
func found(r *mc.Request) Result {
	if r.Op == mc.MetaGet || r.Op == mc.MetaDebug {
		return Hit
	}
	return Done
}

// garbled breaks the connection, since the upstream has sent what can't be the answer. It returns
// 0. The bytes are logged and not sent to clients: they may be for another client.
func (c *conn) garbled(line []byte, why string) int {
	if k := c.link; k.conn == c {
		k.to.log.Warn("garbled answer", "member", k.to.Address, "answer",
			fmt.Sprintf("%.60q", bytes.TrimRight(line, "\r\n")), "err", why)
		k.fail(Closed, errGarbled)
	}
	return 0
}
