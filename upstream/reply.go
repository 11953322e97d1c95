package upstream

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"

	"holdfast/mc"
)

// What an upstream may say at most.
const (
	maxLineBytes    = 16 << 10
	MaxValueBytes   = 1 << 30
	maxLengthDigits = 10 // of maxValueBytes
)

// Why a connection is given up.
var (
	errClosed  = errors.New("the member closed the connection")
	errGarbled = errors.New("garbled answer")
)

// read takes the whole answers that data begins with, and returns how many bytes they took. What
// can't be an answer breaks the connection: nothing after it could be trusted.
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

// answer reads the answer, or a part of that to a get line, that begins with the line data[:end].
// It returns the bytes that it took: 0 when more must come, or when the connection is broken.
func (c *conn) answer(data []byte, end int) int {
	k := c.link
	line := data[:end]
	p := k.pending.at(0)
	switch {
	case p.form == formGet && bytes.HasPrefix(line, valueWord):
		return c.value(data, end)
	case p.form == formGet && string(line) == mc.End:
		c.misses(nil)
		return end
	case p.form == formMeta && bytes.HasPrefix(line, vaWord):
		size, rest, ok := length(line[len(vaWord):])
		if !ok || rest[0] != ' ' && !isEnd(rest) || !bytes.HasSuffix(line, crlf) || !answersWithValue(p.request.Op) {
			return c.garbled(line, "no length")
		}
		if !echoes(rest, p.request) {
			return c.garbled(line, "it answers another request")
		}
		if !c.block(data, end, size) {
			return 0
		}
		took := end + size + len(mc.CRLF)
		c.deliver(found(p.request), data[:took])
		return took
	}
	r, ok := lineResult(line, p.form, p.request)
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

var (
	valueWord = []byte("VALUE ")
	vaWord    = []byte("VA ")
	crlf      = []byte(mc.CRLF)
)

// isEnd reports whether nothing but the line's end is left of it.
func isEnd(rest []byte) bool { return string(rest) == mc.CRLF }

// answersWithValue reports whether the answer to a meta command may be VA.
func answersWithValue(op mc.Op) bool { return op == mc.MetaGet || op == mc.MetaArithmetic }

// value reads "VALUE key flags bytes [cas]" and its block. The keys of the line that come before
// this one were missed.
func (c *conn) value(data []byte, end int) int {
	k := c.link
	rest := data[len(valueWord):end]
	space := bytes.IndexByte(rest, ' ')
	if space < 0 {
		return c.garbled(data[:end], "no flags")
	}
	key := rest[:space]
	_, rest, ok := Number(rest[space+1:])
	if !ok || rest[0] != ' ' {
		return c.garbled(data[:end], "no length")
	}
	size, rest, ok := length(rest[1:])
	if op := k.pending.at(0).request.Op; ok && (op == mc.Gets || op == mc.Gats) && rest[0] == ' ' {
		_, rest, ok = Number(rest[1:])
	} else {
		ok = ok && op != mc.Gets && op != mc.Gats
	}
	if !ok || !isEnd(rest) {
		return c.garbled(data[:end], "no length")
	}
	if !c.block(data, end, size) {
		return 0
	}
	if !k.expects(key) {
		return c.garbled(data[:end], "that key was not asked for")
	}
	c.misses(key)
	took := end + size + len(mc.CRLF)
	p := k.pending.at(0)
	if p.last { // END is to come, and then the next answer begins
		return c.lastValue(data, took)
	}
	c.deliver(Hit, data[:took])
	return took
}

// lastValue reads END after the value of the line's last key.
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

// block reports whether the block of size bytes after the line data[:end] is there, and well. If
// not, more must come, or the connection is broken.
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

// expects reports whether key is among those that the get line in front still waits for.
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

// misses answers the keys of the get line in front that come before key with misses, with nil all.
// Those who take an answer may put more in line, behind.
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

// refused ends the get line in front with an error. If it asked for several keys, each is asked for
// again alone: the error may be for one of them only, and they may be of different clients.
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

// deliver answers the request in front.
func (k *link) deliver(a *Answer) {
	p := k.pending.pop()
	request, to, epoch := p.request, p.to, p.epoch
	if epoch != k.to.epoch.Load() && !request.Op.Reads() {
		// Others have found the upstream down since, and what it missed then may undo this.
		k.results[Closed]++
		k.lane.refuse(to, Closed, k.to.Address+" went down")
		return
	}
	k.results[a.Result]++
	to.Receive(a)
}

// deliver answers the request in front.
func (c *conn) deliver(r Result, wire []byte) {
	c.taken = Answer{Result: r, Wire: wire} // one at a time, and nobody keeps it
	c.link.deliver(&c.taken)
}

// lineResult tells what a line of one of the simple forms means; false when it can't be an answer.
func lineResult(line []byte, f form, r *mc.Request) (Result, bool) {
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return 0, false
	}
	switch {
	case string(line) == mc.BadCommand, saysError(line, clientError):
		return ClientError, true
	case saysError(line, serverError):
		return ServerError, true
	case f == formLine:
		return classicResult(line, r.Op)
	case f == formMeta:
		return metaResult(line, r)
	}
	return 0, false
}

var (
	clientError = []byte("CLIENT_ERROR")
	serverError = []byte("SERVER_ERROR")
)

// saysError reports whether the line is that word, with or without a text behind it.
func saysError(line, word []byte) bool {
	return bytes.HasPrefix(line, word) && (line[len(word)] == ' ' || isEnd(line[len(word):]))
}

// classicResult takes only what an upstream can answer to op: another answer belongs to another
// request.
func classicResult(line []byte, op mc.Op) (Result, bool) {
	switch op {
	case mc.Delete:
		return doneOr(line, mc.Deleted)
	case mc.Touch:
		return doneOr(line, mc.Touched)
	case mc.FlushAll:
		return Done, string(line) == mc.OK
	case mc.Incr, mc.Decr:
		if _, rest, ok := Number(line); ok && len(bytes.TrimSpace(rest)) == 0 { // decr may leave spaces behind
			return Done, true
		}
		return NotFound, string(line) == mc.NotFound
	}
	switch string(line) {
	case mc.NotStored:
		return NotStored, true
	case mc.Exists:
		return Exists, true
	}
	return doneOr(line, mc.Stored)
}

// doneOr is the result of what was done or found nothing.
func doneOr(line []byte, done string) (Result, bool) {
	if string(line) == done {
		return Done, true
	}
	return NotFound, string(line) == mc.NotFound
}

// metaResult takes only what an upstream can answer to r, like classicResult.
func metaResult(line []byte, r *mc.Request) (Result, bool) {
	if len(line) < 4 || line[2] != ' ' && line[2] != '\r' || r.Op != mc.MetaDebug && !echoes(line[2:], r) {
		return 0, false
	}
	writes := r.Op != mc.MetaGet && r.Op != mc.MetaDebug
	switch string(line[:2]) {
	case mc.HD:
		return found(r), true
	case mc.ME:
		return Hit, r.Op == mc.MetaDebug
	case mc.EN:
		return Miss, !writes
	case mc.NF:
		return NotFound, writes
	case mc.NS:
		return NotStored, writes && r.Op != mc.MetaDelete
	case mc.EX:
		return Exists, writes
	}
	return 0, false
}

// echoes reports whether the opaque and the key among the flags of an answer, if they are there,
// are those of the request. Members give them back as they come, so others are of another request:
// its client would take the answer for one to something that it never asked.
func echoes(flags []byte, r *mc.Request) bool {
	for token, rest := mc.Token(bytes.TrimRight(flags, "\r\n")); token != nil; token, rest = mc.Token(rest) {
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

// namesKey reports whether what an answer says of its key is the key, as it is or, of an item that
// was stored so, in base64.
func namesKey(said, key []byte) bool {
	if len(said) == 0 || string(said) == string(key) {
		return true
	}
	decoded, err := base64.StdEncoding.AppendDecode(nil, said)
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

// found is the result of a meta command that did what it was to do.
func found(r *mc.Request) Result {
	if r.Op == mc.MetaGet || r.Op == mc.MetaDebug {
		return Hit
	}
	return Done
}

// length reads the length of a block.
func length(b []byte) (n int, rest []byte, ok bool) {
	n, rest, ok = Number(b)
	return n, rest, ok && len(b)-len(rest) <= maxLengthDigits && n <= MaxValueBytes
}

// number reads the decimal number that b begins with, of up to 20 digits; values above an int's are
// cut, which only answers to incr have.
func Number(b []byte) (n int, rest []byte, ok bool) {
	i := 0
	for i < len(b) && i < 20 && b[i] >= '0' && b[i] <= '9' {
		n = n*10 + int(b[i]-'0')
		i++
	}
	return n, b[i:], i > 0 && i < len(b) && n >= 0 || i > 18
}

// garbled breaks the connection, since the upstream says what can't be an answer. It returns 0.
// What the upstream said is logged, and not for the clients: it may be another one's.
func (c *conn) garbled(line []byte, why string) int {
	if k := c.link; k.conn == c {
		k.to.log.Warn("garbled answer", "member", k.to.Address, "answer",
			fmt.Sprintf("%.60q", bytes.TrimRight(line, "\r\n")), "err", why)
		k.fail(Closed, errGarbled)
	}
	return 0
}
