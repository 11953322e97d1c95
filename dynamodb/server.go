package dynamodb

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

// faultWait is how long the client of what is no request may still send before it has its answer.
const faultWait = 50 * time.Millisecond

// Server returns a server of the handler, with the options that the protocol needs: headers are
// sent only if they are set, bodies come as streams, so that no memory is taken for what a client
// only announces. Buffers, times and numbers are the caller's.
func (h *Handler) Server() *fasthttp.Server {
	return &fasthttp.Server{
		Handler:                      h.Serve,
		ErrorHandler:                 fault,
		ExpectHandler:                h.mayContinue,
		HeaderReceived:               bodyTime,
		MaxRequestBodySize:           maxBodyBytes,
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		SecureErrorLogMessage:        true, // else it has the client's headers
		Logger:                       slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
	}
}

// How long a body may take that is longer than what comes with its header. One that takes memory
// must not take it for long.
const (
	bodyTimeLeast  = 10 * time.Second
	bodyRateLeast  = 256 << 10 // bytes a second
	chunkedTime    = time.Minute
	shortBodyBytes = 64 << 10
)

// bodyTime gives a long body the time that it needs at bodyRateLeast. A short one has the header's.
func bodyTime(header *fasthttp.RequestHeader) fasthttp.RequestConfig {
	switch length := header.ContentLength(); {
	case length == chunked:
		return fasthttp.RequestConfig{ReadTimeout: chunkedTime}
	case length > shortBodyBytes:
		return fasthttp.RequestConfig{ReadTimeout: bodyTimeLeast +
			time.Duration(min(length, maxDrainedBytes))*time.Second/bodyRateLeast}
	}
	return fasthttp.RequestConfig{}
}

// mayContinue says whether a client that waits for it may send its body. If not, the answer is set.
func (h *Handler) mayContinue(ctx *fasthttp.RequestCtx) (status int) {
	if ctx.Request.Header.ContentLength() > maxBodyBytes {
		return http.StatusRequestEntityTooLarge
	}
	r := newPending(h.memory)
	defer r.release()
	if !h.admit(ctx, r) {
		return ctx.Response.StatusCode()
	}
	return http.StatusContinue
}

// fault answers what is no request, and closes the connection. One that ends or is too slow in the
// middle of a request has no answer.
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

// recovered answers a request whose code has panicked, if it has; deferred. What the request holds
// is in an unknown state, so the connection is closed.
func (h *Handler) recovered(ctx *fasthttp.RequestCtx) {
	cause := recover()
	if cause == nil {
		return
	}
	h.log.Error("request panicked", "target", string(ctx.Request.Header.Peek("X-Amz-Target")), "err", cause, "stack",
		string(debug.Stack()))
	h.counters[""].count(http.StatusInternalServerError, "")
	ctx.Response.Reset()
	ctx.SetConnectionClose()
	w := newWriter()
	internalError().write(w)
	setRequestID(ctx)
	respondWriter(ctx, http.StatusInternalServerError, typeAmzJSON, w)
}
