package dynamodb

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"net/http"

	"github.com/klauspost/compress/gzip"

	"holdfast"
)

// MaxForwarded is the length in bytes of the longest request that is forwarded, and of the longest
// response to one: a body, and what stands before it.
const MaxForwarded = 17 << 20

// forwardVersion is the version of the forms in this file, which docs/formats.md describes.
const forwardVersion = 1

// The lengths of what precedes the texts and the body.
const (
	requestHead = 8
	answerHead  = 12
)

// maxInflated limits a response that was compressed. It is more than the longest that a table gives.
const maxInflated = 512 << 20

// request returns the request as it is forwarded.
func (q *task) request() []byte {
	local := ""
	if q.local != nil {
		local = q.local.String()
	}
	texts := [...]string{q.op.name, q.seen.token, local, q.seen.kept, q.body}
	size := requestHead
	for _, text := range texts {
		size += len(text)
	}
	b := make([]byte, requestHead, size)
	b[0], b[1] = forwardVersion, byte(len(q.op.name))
	binary.LittleEndian.PutUint16(b[2:], uint16(len(q.seen.token))) // at most holdfast.MaxTokenBytes
	binary.LittleEndian.PutUint16(b[4:], uint16(len(local)))
	binary.LittleEndian.PutUint16(b[6:], uint16(len(q.seen.kept))) // likewise
	for _, text := range texts {
		b = append(b, text...)
	}
	return b
}

// A forwarded is a request that another node has forwarded.
type forwarded struct {
	op    string
	seen  sent
	local address
	body  string
}

// An address is that of the listener of another node.
type address string

// Network implements net.Addr.
func (a address) Network() string { return "tcp" }

// String implements net.Addr.
func (a address) String() string { return string(a) }

// parseForwarded returns the request that task.request made. The error is Invalid.
func parseForwarded(b []byte) (f forwarded, err error) {
	if len(b) < requestHead || b[0] != forwardVersion {
		return f, holdfast.Errorf(holdfast.Invalid, "a forwarded request of another version, or damaged")
	}
	texts, body, ok := cut(b[requestHead:], int(b[1]), int(binary.LittleEndian.Uint16(b[2:])),
		int(binary.LittleEndian.Uint16(b[4:])), int(binary.LittleEndian.Uint16(b[6:])))
	if !ok || len(body) > maxBodyBytes {
		return f, holdfast.Errorf(holdfast.Invalid, "a forwarded request has wrong lengths")
	}
	return forwarded{op: texts[0], seen: sent{token: texts[1], kept: texts[3]}, local: address(texts[2]),
		body: string(body)}, nil
}

// cut returns the texts of these lengths that b begins with, and the rest; !ok if b is shorter.
func cut(b []byte, lengths ...int) (texts []string, rest []byte, ok bool) {
	for _, n := range lengths {
		if n > len(b) {
			return nil, nil, false
		}
		texts, b = append(texts, string(b[:n])), b[n:]
	}
	return texts, b, true
}

// An answer is the response to a forwarded request.
type answer struct {
	status int
	token  string // "" is none
	typ    string // of an error, its __type; "" if it is none
	body   []byte // JSON
}

// The forms of an answer's body.
const (
	bodyPlain = iota
	bodyGzip  // if it would be too long otherwise
)

// response returns the answer as it is sent. JSON is longer than the items that it shows, so that a
// body may be too long although the items aren't; then it is compressed. The error is Limit.
func (a *answer) response() ([]byte, error) {
	form, body := byte(bodyPlain), a.body
	head := answerHead + len(a.token) + len(a.typ)
	if head+len(body) > MaxForwarded {
		shorter := (&writer{buf: body}).compressed()
		defer shorter.release()
		form, body = bodyGzip, shorter.buf
	}
	if head+len(body) > MaxForwarded || len(a.body) > maxInflated {
		return nil, holdfast.Errorf(holdfast.Limit, "the response has %d bytes, which is too long to be forwarded",
			len(a.body))
	}
	b := make([]byte, answerHead, head+len(body))
	b[0], b[1] = forwardVersion, form
	binary.LittleEndian.PutUint16(b[2:], uint16(a.status))
	binary.LittleEndian.PutUint16(b[4:], uint16(len(a.token)))
	binary.LittleEndian.PutUint16(b[6:], uint16(len(a.typ)))
	binary.LittleEndian.PutUint32(b[8:], uint32(len(a.body)))
	b = append(append(b, a.token...), a.typ...)
	return append(b, body...), nil
}

// parseAnswer returns the answer that response made. Its body may be a part of b. The error is
// Unavailable, since the request was carried out.
func parseAnswer(b []byte) (a answer, err error) {
	damaged := holdfast.Errorf(holdfast.Unavailable, "the leading node's response is of another version, or damaged")
	if len(b) < answerHead || b[0] != forwardVersion {
		return a, damaged
	}
	texts, body, ok := cut(b[answerHead:], int(binary.LittleEndian.Uint16(b[4:])),
		int(binary.LittleEndian.Uint16(b[6:])))
	if !ok {
		return a, damaged
	}
	a = answer{status: int(binary.LittleEndian.Uint16(b[2:])), token: texts[0], typ: texts[1], body: body}
	if failed := a.typ != ""; failed == (a.status == http.StatusOK) || a.status < http.StatusOK || a.status > 599 {
		return answer{}, damaged
	}
	length := binary.LittleEndian.Uint32(b[8:])
	switch {
	case b[1] == bodyGzip && length <= maxInflated:
		if a.body, ok = unzipped(body, int64(length)); !ok {
			return answer{}, damaged
		}
	case b[1] != bodyPlain || len(body) > math.MaxUint32 || uint32(len(body)) != length:
		return answer{}, damaged
	}
	return a, nil
}

// unzipped returns what b is compressed from; !ok if it is damaged, or that isn't of this length.
// Memory is taken as it is found.
func unzipped(b []byte, length int64) (plain []byte, ok bool) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, false
	}
	var found bytes.Buffer
	if n, err := io.Copy(&found, io.LimitReader(z, length+1)); err != nil || n != length {
		return nil, false
	}
	return found.Bytes(), true
}
