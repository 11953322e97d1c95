package dynamodb

import (
	"bytes"
	"context"
	"errors"
	"hash"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/valyala/fasthttp"
)

// maxBodyBytes limits a request's body, both as it is sent and after decoding.
const maxBodyBytes = 16 << 20

// maxDrainedBytes is how much of an oversized body is read before it is refused. Many clients read
// no response before they have sent their request, and closing a connection that has unread bytes
// resets it, which loses the response.
const maxDrainedBytes = 4 * maxBodyBytes

// chunkBytes is the size of the chunks that a body is read into.
const chunkBytes = 32 << 10

var (
	errTooLarge = errors.New("the body is too large")
	errEncoding = errors.New("the body doesn't match its Content-Encoding")
)

var chunks = sync.Pool{New: func() any { return new([chunkBytes]byte) }}

// chunked is the length of a body whose header gives none.
const chunked = -1

// A bodyReader reads a body into a string, whose bytes the request's items may share.
type bodyReader struct {
	ctx    context.Context
	hold   *hold     // takes the body's memory from the budget before the body is read
	sum    hash.Hash // hash of the bytes as they are sent; nil if not needed
	length int       // Content-Length, or chunked
	sent   sentBody
	chunks []*[chunkBytes]byte
	n      int // bytes in them; all but the last are full
}

// read reads a body of at most maxBodyBytes. A client can't make it take memory by announcing a
// long body: chunks are allocated as the bytes come, and joined at the end.
func (r *bodyReader) read(req *fasthttp.RequestCtx) (string, error) {
	stream := req.RequestBodyStream()
	if stream == nil {
		body := req.Request.Body()
		if r.sum != nil {
			r.sum.Write(body)
		}
		return string(body), nil
	}
	if r.length > maxBodyBytes {
		return "", drain(stream)
	}
	encoding := encodingOf(req)
	first := int64(r.length)
	if r.length == chunked || encoding != "" {
		first = smallBody // copy takes more if the body is longer
	}
	if err := r.hold.body(r.ctx, first); err != nil {
		return "", err
	}
	defer r.free()
	r.sent = sentBody{stream: stream, left: maxBodyBytes, sum: r.sum}
	sent := &r.sent
	plain, done, err := decoded(sent, encoding)
	if err == nil {
		err = r.copy(plain, first)
		done()
	}
	switch {
	case sent.err != nil:
		return "", sent.err
	case err == nil && encoding != "":
		err = sent.end()
	}
	switch {
	case errors.Is(err, errTooLarge):
		return "", drain(stream)
	case err != nil:
		return "", err
	case r.length >= 0 && sent.n != r.length:
		return "", io.ErrUnexpectedEOF
	}
	return r.joined(), nil
}

// copy reads all of plain. Memory for the first bytes has been taken already.
func (r *bodyReader) copy(plain io.Reader, first int64) error {
	held := first
	for {
		at := r.n % chunkBytes
		if at == 0 && len(r.chunks) == r.n/chunkBytes {
			r.chunks = append(r.chunks, chunks.Get().(*[chunkBytes]byte))
		}
		n, err := plain.Read(r.chunks[len(r.chunks)-1][at:])
		r.n += n
		if total := int64(r.n); total > held {
			if total > maxBodyBytes {
				return errTooLarge
			}
			held = min(2*total, maxBodyBytes)
			if err := r.hold.body(r.ctx, held); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// joined returns the chunks as one string.
func (r *bodyReader) joined() string {
	var text strings.Builder
	text.Grow(r.n)
	for i, chunk := range r.chunks {
		text.Write(chunk[:min(chunkBytes, r.n-i*chunkBytes)])
	}
	return text.String()
}

func (r *bodyReader) free() {
	for _, chunk := range r.chunks {
		chunks.Put(chunk)
	}
	r.chunks = r.chunks[:0]
}

// drain reads up to maxDrainedBytes of a body that is too large and returns errTooLarge, or the
// connection's error if the client is gone.
func drain(stream io.Reader) error {
	if _, err := io.CopyN(io.Discard, stream, maxDrainedBytes); err != nil && err != io.EOF {
		return err
	}
	return errTooLarge
}

// skip reads and discards the body of a request that is refused for its header. fasthttp itself
// would skip only a short body, and a client that is still sending when the connection is closed
// gets no response.
func skip(req *fasthttp.RequestCtx) {
	if stream := req.RequestBodyStream(); stream != nil && req.Request.Header.ContentLength() <= maxBodyBytes {
		_, _ = io.CopyN(io.Discard, stream, maxBodyBytes)
	}
}

// A sentBody reads a body as it is sent. It records errors of the connection, so that they can be
// distinguished from decoding errors: a decoder may wrap or replace them.
type sentBody struct {
	stream io.Reader
	left   int // bytes left of maxBodyBytes
	n      int
	sum    hash.Hash
	err    error
}

func (s *sentBody) Read(p []byte) (int, error) {
	n, err := s.stream.Read(p)
	s.n += n
	if s.sum != nil {
		s.sum.Write(p[:n])
	}
	if s.left -= n; s.left < 0 {
		return 0, errTooLarge
	}
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// end reads the bytes after the end of the encoded data. They are not part of the body's content,
// but they are signed.
func (s *sentBody) end() error {
	_, err := io.Copy(io.Discard, s)
	return err
}

// encodingOf returns a body's Content-Encoding; "" if it has none.
func encodingOf(req *fasthttp.RequestCtx) string {
	encoding := strings.ToLower(strings.TrimSpace(string(req.Request.Header.ContentEncoding())))
	if encoding == "identity" {
		return ""
	}
	return encoding
}

var gzipReaders sync.Pool // of *gzip.Reader

// decoded returns a reader of the decoded body, and a function to call once the body has been read.
func decoded(sent io.Reader, encoding string) (plain io.Reader, done func(), err error) {
	switch encoding {
	case "":
		return sent, func() {}, nil
	case "gzip", "x-gzip":
		z, _ := gzipReaders.Get().(*gzip.Reader)
		if z == nil {
			z = new(gzip.Reader)
		}
		if err := z.Reset(sent); err != nil {
			gzipReaders.Put(z)
			return nil, nil, encodingError(err)
		}
		return encoded{z}, func() { gzipReaders.Put(z) }, nil
	case "deflate":
		return inflated(sent)
	}
	return nil, nil, errEncoding
}

// inflated decodes deflate. By the standard that is zlib's format, but many clients send raw
// deflate data without zlib's header.
func inflated(sent io.Reader) (plain io.Reader, done func(), err error) {
	var head [2]byte
	if _, err := io.ReadFull(sent, head[:]); err != nil {
		return nil, nil, encodingError(err)
	}
	whole := io.MultiReader(bytes.NewReader(head[:]), sent)
	if head[0]&0x0f != 8 || (uint(head[0])<<8|uint(head[1]))%31 != 0 {
		z := flate.NewReader(whole)
		return encoded{z}, func() { _ = z.Close() }, nil
	}
	z, err := zlib.NewReader(whole)
	if err != nil {
		return nil, nil, encodingError(err)
	}
	return encoded{z}, func() { _ = z.Close() }, nil
}

// An encoded reads from a decoder. Its only errors are errTooLarge and errEncoding.
type encoded struct{ decoder io.Reader }

func (e encoded) Read(p []byte) (int, error) {
	n, err := e.decoder.Read(p)
	return n, encodingError(err)
}

func encodingError(err error) error {
	if err == nil || err == io.EOF || errors.Is(err, errTooLarge) {
		return err
	}
	return errEncoding
}

// respondTooLarge sets the response for a body that is too large. Like DynamoDB's, it has none of
// the usual headers and is chunked.
func respondTooLarge(ctx *fasthttp.RequestCtx) {
	ctx.SetStatusCode(http.StatusRequestEntityTooLarge)
	ctx.Response.SetBodyStream(strings.NewReader(""), -1)
	ctx.SetConnectionClose()
}
