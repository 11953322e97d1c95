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

// maxBodyBytes is how long a request may be, as it is sent and after its encoding is taken off.
const maxBodyBytes = 16 << 20

// maxDrainedBytes is how much of a longer one is read before it is refused. Many clients read no
// answer before they have sent what they have, and none gets it once the connection is closed with
// something unread.
const maxDrainedBytes = 4 * maxBodyBytes

// chunkBytes is how long the pieces are in which a body is received.
const chunkBytes = 32 << 10

var (
	errTooLarge = errors.New("the body is too large")
	errEncoding = errors.New("the body isn't encoded as it says")
)

var chunks = sync.Pool{New: func() any { return new([chunkBytes]byte) }}

// chunked is the length of a body whose header says none.
const chunked = -1

// A bodyReader reads a body into a string, which items may share.
type bodyReader struct {
	ctx    context.Context
	hold   *hold     // takes the body's memory, before it is read
	sum    hash.Hash // of the bytes as they are sent; nil is none
	length int       // what the header says; chunked
	sent   sentBody
	chunks []*[chunkBytes]byte
	n      int // bytes in them; all but the last are full
}

// read reads a body of at most maxBodyBytes. It takes no memory for what is only announced: chunks
// come as they are filled, and are joined at the end.
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
		first = smallBody // it takes more when it turns out to be longer
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

// copy reads all of plain, for first bytes of which memory has been taken.
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

// joined returns what was read, as one string.
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

// drain reads what a client sends of a body that is too large, and returns errTooLarge; another
// error if the client is gone.
func drain(stream io.Reader) error {
	if _, err := io.CopyN(io.Discard, stream, maxDrainedBytes); err != nil && err != io.EOF {
		return err
	}
	return errTooLarge
}

// skip reads the body of a request that is refused for its header, and keeps nothing of it.
// fasthttp would skip only a short one, and a client that is still sending when the connection is
// closed gets no answer.
func skip(req *fasthttp.RequestCtx) {
	if stream := req.RequestBodyStream(); stream != nil && req.Request.Header.ContentLength() <= maxBodyBytes {
		_, _ = io.CopyN(io.Discard, stream, maxBodyBytes)
	}
}

// A sentBody is a body as it is sent. It tells errors of the connection from those of its encoding,
// which a decoder may change.
type sentBody struct {
	stream io.Reader
	left   int // bytes that it may still have
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

// end reads what is behind an encoded text. Nobody needs it, but it is signed.
func (s *sentBody) end() error {
	_, err := io.Copy(io.Discard, s)
	return err
}

// encodingOf is how a body is encoded; "" is not at all.
func encodingOf(req *fasthttp.RequestCtx) string {
	encoding := strings.ToLower(strings.TrimSpace(string(req.Request.Header.ContentEncoding())))
	if encoding == "identity" {
		return ""
	}
	return encoding
}

var gzipReaders sync.Pool // of *gzip.Reader

// decoded returns what a body says without its encoding, and what must be called when it has been
// read.
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

// inflated decodes deflate, which is zlib's form, though many clients send what is inside of it
// alone.
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

// An encoded is a decoder with errors that tell a body that is too large from one that doesn't
// decode.
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

// respondTooLarge has no header of the service's, and is chunked, as the service's is.
func respondTooLarge(ctx *fasthttp.RequestCtx) {
	ctx.SetStatusCode(http.StatusRequestEntityTooLarge)
	ctx.Response.SetBodyStream(strings.NewReader(""), -1)
	ctx.SetConnectionClose()
}
