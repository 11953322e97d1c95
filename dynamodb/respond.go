package dynamodb

import (
	"bytes"
	"hash/crc32"
	"math/rand/v2"
	"net/http"
	"strconv"

	"github.com/valyala/fasthttp"
)

// The content types, which a response shares with its request.
const (
	typeJSON    = "application/json"
	typeAmzJSON = "application/x-amz-json-1.0"
)

// noPages is the response to a web page's request that isn't allowed.
const noPages = "Web pages may send requests only if signatures are checked or any origin is allowed.\n"

// respondUnknown sets the response to a request for no operation of DynamoDB.
func respondUnknown(ctx *fasthttp.RequestCtx) {
	respond(ctx, http.StatusNotFound, "", []byte("<UnknownOperationException/>\n"))
}

// contentTypeOf returns the response's content type, and whether the request's content type is one
// of DynamoDB's.
func contentTypeOf(ctx *fasthttp.RequestCtx) (contentType string, known bool) {
	of, _, _ := bytes.Cut(ctx.Request.Header.ContentType(), []byte(";"))
	switch string(bytes.TrimSpace(of)) {
	case typeAmzJSON:
		return typeAmzJSON, true
	case typeJSON:
		return typeJSON, true
	}
	return typeJSON, false
}

// allowOrigin lets web pages of any origin read the response, as DynamoDB does, and reports
// whether that is the whole response. A browser names the origin in each request of a page; if
// requests of pages aren't allowed, they are refused.
func allowOrigin(ctx *fasthttp.RequestCtx, allowed bool) (done bool) {
	sent, header := &ctx.Request.Header, &ctx.Response.Header
	if len(sent.Peek("Origin")) == 0 {
		return false
	}
	if !allowed {
		respond(ctx, http.StatusForbidden, "text/plain", []byte(noPages))
		return true
	}
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Access-Control-Expose-Headers",
		"x-amzn-RequestId, x-amzn-ErrorType, x-amzn-ErrorMessage, Date, "+string(headerToken))
	if !ctx.IsOptions() {
		return false
	}
	if names := sent.Peek("Access-Control-Request-Headers"); len(names) > 0 {
		header.SetBytesV("Access-Control-Allow-Headers", names)
	}
	if method := sent.Peek("Access-Control-Request-Method"); len(method) > 0 {
		header.SetBytesV("Access-Control-Allow-Methods", method)
	}
	header.Set("Access-Control-Max-Age", "172800")
	return true
}

// The headers of each response, spelled as net/http and browsers write them.
var (
	headerCRC       = []byte("X-Amz-Crc32")
	headerRequestID = []byte("X-Amzn-Requestid")
)

// headerToken is the header of requests and responses that have a token: what the client has seen.
// Only a client that sends one gets one.
var headerToken = []byte("X-Holdfast-Token")

// respond sets a response. Its body isn't copied.
func respond(ctx *fasthttp.RequestCtx, status int, contentType string, body []byte) {
	ctx.SetStatusCode(status)
	header := &ctx.Response.Header
	header.SetContentType(contentType) // otherwise fasthttp would set a default
	var digits [10]byte
	header.SetCanonical(headerCRC, strconv.AppendUint(digits[:0], uint64(crc32.ChecksumIEEE(body)), 10))
	ctx.Response.SetBodyRaw(body)
}

// writerKey is the key of the response's writer among the request's user values.
type writerKey struct{}

// respondWriter sets the response to the writer's bytes. The server releases the writer: it closes
// a request's user values once the response is sent.
func respondWriter(ctx *fasthttp.RequestCtx, status int, contentType string, w *writer) {
	if len(w.buf) > maxPlainResponse && acceptsGzip(&ctx.Request.Header) {
		compressed := w.compressed()
		w.release()
		w = compressed
		ctx.Response.Header.SetContentEncoding("gzip")
	}
	respond(ctx, status, contentType, w.buf)
	ctx.SetUserValue(writerKey{}, w)
}

// setRequestID sets a request ID of 52 random digits and letters, like DynamoDB's.
func setRequestID(ctx *fasthttp.RequestCtx) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	const perWord = 12 // letters of five bits in 64
	var id [52]byte
	bits := uint64(0)
	for i := range id {
		if i%perWord == 0 {
			bits = rand.Uint64()
		}
		id[i] = letters[bits&31]
		bits >>= 5
	}
	ctx.Response.Header.SetCanonical(headerRequestID, id[:])
}
