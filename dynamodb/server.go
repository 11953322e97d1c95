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

// faultWait is how long the client of an invalid HTTP request may continue to send before it gets
// its response.
const faultWait = 50 * time.Millisecond

// Server returns a server of the handler, with the options that the protocol needs: no default
// headers, and bodies as streams, so that a body that is only announced takes no memory. Buffers,
// timeouts and limits are left to the caller.
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
		SecureErrorLogMessage:        true, // otherwise log lines contain the client's headers
		Logger:                       slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
	}
}

// Timeouts of bodies that are too long to arrive with the header. A request that holds memory must
// not hold it for long.
const (
	bodyTimeLeast  = 10 * time.Second
	bodyRateLeast  = 256 << 10 // bytes per second
	chunkedTime    = time.Minute
	shortBodyBytes = 64 << 10
)

// bodyTime returns the read timeout of a body: a long one gets the time that it needs at
// bodyRateLeast, a short one shares the header's timeout.
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

// mayContinue reports whether a client that sent Expect: 100-continue may send its body. If not,
// the response is set.
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

// fault sets the response to an invalid HTTP request, and closes the connection. A request that
// ends early or is too slow gets no response.
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
		_ = ctx.Conn().Close() // discards what fasthttp writes afterwards
	}
	if network == nil { // closing with unread bytes would lose the response
		_ = ctx.Conn().SetReadDeadline(time.Now().Add(faultWait))
		_, _ = io.CopyN(io.Discard, ctx.Conn(), maxBodyBytes)
	}
	ctx.Error(strconv.Itoa(status)+" "+http.StatusText(status), status)
	ctx.SetConnectionClose()
}

// recovered sets the response to a request whose code has panicked; it must be deferred. The state
// of what the request holds is unknown, so the connection is closed.
func (h *Handler) recovered(ctx *fasthttp.RequestCtx) {
	cause := recover()
	if cause == nil {
		return
	}
	h.panicked(string(ctx.Request.Header.Peek("X-Amz-Target")), cause)
	ctx.Response.Reset()
	ctx.SetConnectionClose()
	w := newWriter()
	internalError().write(w)
	setRequestID(ctx)
	respondWriter(ctx, http.StatusInternalServerError, typeAmzJSON, w)
}

// panicked logs and counts a request whose code has panicked. It must be called by what is deferred.
func (h *Handler) panicked(target string, cause any) {
	h.log.Error("request panicked", "target", target, "err", cause, "stack", string(debug.Stack()))
	h.counters[""].count(http.StatusInternalServerError, "")
}
