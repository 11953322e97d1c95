package mc

import (
	"bytes"
	"errors"
	"slices"
)

// Errors of Decode. Each closes the connection after the requests before it are answered. The
// server sends a line with the reason, except for ErrHTTP.
var (
	ErrLineTooLong = errors.New("mc: line too long")
	ErrBinary      = errors.New("mc: binary protocol")
	ErrHTTP        = errors.New("mc: HTTP request")
)

const (
	minLineBytes      = 4        // with the newline; memcached refuses shorter lines as bad lines
	maxOtherLineBytes = 64 << 10 // of a line other than a get, without its newline; valid ones are far shorter
	maxTokens         = 23       // of a line in which memcached searches for noreply and meta flags
	maxBlockBytes     = 1<<31 - 1 - 2

	defaultItemMaxBytes = 1 << 20
)

// A Decoder decodes the requests of one connection that speaks text. The zero value has memcached's
// defaults.
//
// What it accepts, refuses and skips follows memcached 1.6.40 (proto_text.c, proto_parser.c,
// vendor/mcmc), except where memcached reads past a line or accepts what it should not:
//   - a number that is missing at the end of a line is not read from the next line;
//   - a command's name can't be abbreviated ("flush" is not flush_all) or empty;
//   - the answer to a get line with a bad key is one error line, without an empty line;
//   - "me KEY b" decodes its key, as doc/protocol.txt says;
//   - an opaque that is too long is refused before the item is touched, not after;
//   - whether a line is too long doesn't depend on its division into packets.
type Decoder struct {
	ItemMaxBytes int  // memcached's -I: the largest item, including memcached's item header; default 1 MiB
	MaxRequests  int  // memcached's -R: the most requests of one batch; default and at most MaxRequests
	Debug        bool // accept memcached-debug's commands: misbehave, debugtime
	NoFlush      bool // memcached's -F: refuse flush_all

	need    int  // what Need returns
	scanned int  // bytes of the incomplete line that have no newline
	swallow int  // bytes of a refused data block that remain to be skipped
	begun   bool // a byte was decoded: the connection's protocol is known

	rest        int   // bytes left of a get line that didn't fit in the batch; its keys are checked
	restOp      Op    // that line's
	restExptime int64 // that line's
}

// Decode appends the complete requests at the start of in to b.Requests and returns their length in
// bytes. The caller passes in[used:] again, with the bytes that have arrived since. Requests borrow
// in, and base64 keys are decoded in place.
//
// It stops early if b is full, and before and after an admin request, which is alone in its batch.
// A refused request has Op Invalid. The errors ErrLineTooLong, ErrBinary and ErrHTTP end the
// connection.
func (d *Decoder) Decode(in []byte, b *Batch) (used int, err error) {
	d.need = 0
	if !d.begun && len(in) > 0 {
		if in[0] == BinaryRequestMagic {
			return 0, ErrBinary
		}
		d.begun = true
	}
	for used < len(in) {
		if d.swallow > 0 {
			n := min(d.swallow, len(in)-used)
			d.swallow -= n
			used += n
			continue
		}
		if len(b.Requests) >= maxRequests(d.MaxRequests) || len(b.Requests) == 1 && b.Requests[0].Op.Admin() {
			return used, nil
		}
		var n int
		if d.rest > 0 {
			n = d.restOfGet(in[used:], b)
		} else if n, err = d.next(in[used:], b); n == 0 {
			return used, err
		}
		used += n
	}
	return used, nil
}

// Need returns the whole length of the request that Decode has left in in[used:] if its first line
// says it, and 0 otherwise. It is at most ItemMaxBytes and a line.
func (d *Decoder) Need() int { return d.need }

// maxRequests returns the limit of requests in a batch for a decoder's MaxRequests option.
func maxRequests(option int) int {
	if option > 0 && option < MaxRequests {
		return option
	}
	return MaxRequests
}

// next decodes one line and its data block. It returns their length in bytes, or 0 if they are
// incomplete, must wait for another batch, or end the connection.
func (d *Decoder) next(in []byte, b *Batch) (int, error) {
	i := bytes.IndexByte(in[d.scanned:], '\n')
	if i < 0 {
		d.scanned = len(in)
		return 0, checkLine(in)
	}
	i += d.scanned
	d.scanned = 0
	if i > maxOtherLineBytes {
		if err := checkLine(in[:i]); err != nil {
			return 0, err
		}
	}
	return d.request(in, i+1, b)
}

// checkLine returns ErrLineTooLong if line, which has no newline, is too long to start a request.
func checkLine(line []byte) error {
	if len(line) <= maxOtherLineBytes {
		return nil
	}
	if len(line) <= MaxLineBytes {
		name, _, _ := bytes.Cut(line[:len("gats ")], []byte{' '})
		switch string(name) {
		case "get", "gets", "gat", "gats":
			return nil
		}
	}
	return ErrLineTooLong
}

// request decodes the request whose line is in[:end], newline included. It returns what next does.
func (d *Decoder) request(in []byte, end int, b *Batch) (int, error) {
	if end < minLineBytes {
		return b.refuse(faultLine, false, end), nil
	}
	if string(in[:4]) == "get " {
		return d.get(Get, 0, in[:end], 3, false, b), nil
	}
	line := cutEnd(in[:end])
	n := 0
	for n < len(line) && line[n] != ' ' {
		n++
	}
	args := line[n:]
	switch string(line[:n]) {
	case "get":
		return b.refuse(faultLine, false, end), nil // without a key; with one it was handled above
	case "gets":
		return d.get(Gets, 0, in[:end], n, false, b), nil
	case "gat":
		return d.gat(Gat, in[:end], n, b), nil
	case "gats":
		return d.gat(Gats, in[:end], n, b), nil
	case "set":
		return d.store(Set, in, end, args, b), nil
	case "mg":
		return d.meta(MetaGet, end, args, b), nil
	case "ms":
		return d.metaSet(in, end, args, b), nil
	case "md":
		return d.meta(MetaDelete, end, args, b), nil
	case "ma":
		return d.meta(MetaArithmetic, end, args, b), nil
	case "mn":
		b.add(MetaNoop)
		return end, nil
	case "me":
		return d.metaDebug(end, args, b), nil
	case "add":
		return d.store(Add, in, end, args, b), nil
	case "replace":
		return d.store(Replace, in, end, args, b), nil
	case "append":
		return d.store(Append, in, end, args, b), nil
	case "prepend":
		return d.store(Prepend, in, end, args, b), nil
	case "cas":
		return d.store(CAS, in, end, args, b), nil
	case "delete":
		return d.delete(end, args, b), nil
	case "incr":
		return d.arithmetic(Incr, end, args, b), nil
	case "decr":
		return d.arithmetic(Decr, end, args, b), nil
	case "touch":
		return d.touch(end, args, b), nil
	case "flush_all":
		return d.flushAll(end, args, b), nil
	}
	return d.admin(line, n, end, b)
}

// add appends a clean request to b.
func (b *Batch) add(op Op) *Request {
	n := len(b.Requests)
	if n == cap(b.Requests) {
		b.Requests = slices.Grow(b.Requests, max(n, 8))
	}
	b.Requests = b.Requests[:n+1]
	r := &b.Requests[n]
	*r = Request{}
	r.Op = op
	return r
}

// refuse appends a request whose answer is fault, or nothing with noreply, and returns took for the
// caller to return.
func (b *Batch) refuse(fault string, noreply bool, took int) int {
	b.add(Invalid).fail(fault, noreply)
	return took
}

func (r *Request) fail(fault string, noreply bool) {
	*r = Request{Fault: fault}
	if noreply {
		r.Fault = ""
	}
}

// cutEnd returns line without its \r\n or \n.
func cutEnd(line []byte) []byte {
	if n := len(line); n >= 2 && line[n-2] == '\r' {
		return line[:n-2]
	}
	return line[:len(line)-1]
}

// Token cuts the first token off args, whose tokens are separated by spaces only. A loop over the
// flags of a meta request is
//
//	for tok, rest := mc.Token(r.Args); tok != nil; tok, rest = mc.Token(rest) {
//
// A token is never empty; at the end it is nil.
func Token(args []byte) (token, rest []byte) {
	i := 0
	for i < len(args) && args[i] == ' ' {
		i++
	}
	if i == len(args) {
		return nil, nil
	}
	j := i + 1
	for j < len(args) && args[j] != ' ' {
		j++
	}
	return args[i:j:j], args[j:]
}

// lastToken returns the last token in rest, nil if there is none, and the number of tokens in the
// line, of which seen precede rest. Like memcached it ignores tokens beyond maxTokens.
func lastToken(rest []byte, seen int) (last []byte, n int) {
	for seen < maxTokens {
		token, after := Token(rest)
		if token == nil {
			break
		}
		last, rest = token, after
		seen++
	}
	return last, seen
}

// hasNoReply reports whether a line ends in noreply; seen tokens precede rest.
func hasNoReply(rest []byte, seen int) bool {
	if len(rest) == 0 {
		return false
	}
	last, _ := lastToken(rest, seen)
	return string(last) == "noreply"
}

// trim returns args without leading and trailing spaces.
func trim(args []byte) []byte {
	for len(args) > 0 && args[0] == ' ' {
		args = args[1:]
	}
	for len(args) > 0 && args[len(args)-1] == ' ' {
		args = args[:len(args)-1]
	}
	return args[:len(args):len(args)]
}
