package dynamodb

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// maxBodyBytes is how long a request may be.
const maxBodyBytes = 16 << 20

// maxDrainedBytes is how much of a longer one is read before it is refused. Many clients read no answer before they have sent
// what they have, and none gets it once the connection is closed with something unread.
const maxDrainedBytes = 4 * maxBodyBytes

// maxPooledBody is up to how long a body's buffer may be to be used again.
const maxPooledBody = 64 << 10

// faultWait is how long the client of what is no request may still send before it has its answer.
const faultWait = 50 * time.Millisecond

// Server returns a server of the handler, with the options that the protocol needs: headers are sent only if they are set, bodies
// come as streams, so that no memory is taken for what a client only announces. Buffers, times and numbers are the caller's.
func (h *Handler) Server() *fasthttp.Server {
	return &fasthttp.Server{
		Handler:                      h.Serve,
		ErrorHandler:                 fault,
		ExpectHandler:                expect,
		MaxRequestBodySize:           maxBodyBytes,
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		SecureErrorLogMessage:        true, // else it has the client's headers
		Logger:                       slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
	}
}

// expect says whether a client that waits for it may send its body.
func expect(ctx *fasthttp.RequestCtx) (status int) {
	if ctx.Request.Header.ContentLength() > maxBodyBytes {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusContinue
}

// fault answers what is no request, and closes the connection. One that ends or is too slow in the middle of a request has no answer.
func fault(ctx *fasthttp.RequestCtx, err error) {
	status := http.StatusBadRequest
	var (
		tooLong *fasthttp.ErrSmallBuffer
		network net.Error
	)
	switch {
	case errors.As(err, &tooLong):
		status = http.StatusRequestHeaderFieldsTooLarge
	case errors.Is(err, fasthttp.ErrUnsupportedTransferEncoding):
		status = http.StatusNotImplemented
	case errors.As(err, &network):
		_ = ctx.Conn().Close() // what fasthttp writes then goes nowhere
	}
	if network == nil { // else what is unread when the connection is closed would take the answer with it
		_ = ctx.Conn().SetReadDeadline(time.Now().Add(faultWait))
		_, _ = io.CopyN(io.Discard, ctx.Conn(), maxBodyBytes)
	}
	ctx.Error(strconv.Itoa(status)+" "+http.StatusText(status), status)
	ctx.SetConnectionClose()
}

// recovered answers a request whose code has panicked, if it has; deferred. What the request holds is in an unknown state, so the
// connection is closed.
func (h *Handler) recovered(ctx *fasthttp.RequestCtx) {
	cause := recover()
	if cause == nil {
		return
	}
	h.log.Error("request panicked", "target", string(ctx.Request.Header.Peek("X-Amz-Target")), "err", cause, "stack", string(debug.Stack()))
	h.counters[""].count(http.StatusInternalServerError, "")
	ctx.Response.Reset()
	ctx.SetConnectionClose()
	w := newWriter()
	internalError().write(w)
	setRequestID(ctx)
	respondWriter(ctx, http.StatusInternalServerError, typeAmzJSON, w)
}

var errTooLarge = errors.New("the body is too large")

var bodies = sync.Pool{New: func() any { return new([]byte) }}

// readBody reads a body of at most maxBodyBytes. It is a string of its own, which items may share.
func readBody(ctx *fasthttp.RequestCtx) (string, error) {
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return string(ctx.Request.Body()), nil
	}
	length := ctx.Request.Header.ContentLength() // negative: chunked
	if length > maxBodyBytes {
		return "", drain(stream)
	}
	pooled := bodies.Get().(*[]byte)
	buf := (*pooled)[:0]
	// Enough at once for most, but not all that a client only says; one more, so that the end is seen without growing.
	if n := min(max(length, 1<<10), maxPooledBody) + 1; n > cap(buf) {
		buf = make([]byte, 0, n)
	}
	var err error
	for err == nil && len(buf) <= maxBodyBytes {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		var n int
		n, err = stream.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
	}
	body := ""
	switch {
	case len(buf) > maxBodyBytes:
		err = drain(stream)
	case err == io.EOF && length >= 0 && len(buf) != length:
		err = io.ErrUnexpectedEOF
	case err == io.EOF: // of chunks fasthttp says so, too, if the connection ends between two: what is cut is no JSON
		body, err = string(buf), nil
	}
	if cap(buf) <= 2*maxPooledBody {
		*pooled = buf
		bodies.Put(pooled)
	}
	return body, err
}

// drain reads what a client sends of a body that is too large, and returns errTooLarge; another error if the client is gone.
func drain(stream io.Reader) error {
	if _, err := io.CopyN(io.Discard, stream, maxDrainedBytes); err != nil && err != io.EOF {
		return err
	}
	return errTooLarge
}

// respondTooLarge has no header of the service's, and is chunked, as the service's is.
func respondTooLarge(ctx *fasthttp.RequestCtx) {
	ctx.SetStatusCode(http.StatusRequestEntityTooLarge)
	ctx.Response.SetBodyStream(strings.NewReader(""), -1)
	ctx.SetConnectionClose()
}
