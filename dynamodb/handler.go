package dynamodb

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"hash/crc32"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"holdfast/table"
)

// Options are what a Handler is made with.
type Options struct {
	Tables  *table.Store
	Region  string            // default us-east-1
	Account string            // twelve digits, in ARNs; default 123456789012
	Keys    map[string]string // access key → secret; empty: any credentials are taken
	Origins bool              // pages of any origin may ask, even where any credentials are taken
	// RequestBytes is how much memory requests may take together, about; default 256 MiB. Those over budget wait.
	RequestBytes int64
	Now          func() time.Time // default time.Now
	Log          *slog.Logger     // default: nothing is logged
}

// A Handler answers DynamoDB's requests over HTTP.
type Handler struct {
	tables     *table.Store
	region     string
	account    string
	keys       atomic.Pointer[map[string]string]
	origins    bool
	now        func() time.Time
	log        *slog.Logger
	operations map[string]map[string]operation // by the target's prefix, then by name
	counters   map[string]*counter             // by operation; "" is what is none
	memory     *memory
	ctx        context.Context // of all operations; ends with Stop
	stop       context.CancelFunc
}

// An operation is what a request can ask for.
type operation struct {
	name  string // "GetItem"
	shape *shape // of the request
	// serve runs a request that has the shape, and writes the answer's JSON. Errors become answers in Handler.wireError.
	serve func(h *Handler, ctx context.Context, req node, w *writer) error
}

// The content types, which the answer shares with the request.
const (
	typeJSON    = "application/json"
	typeAmzJSON = "application/x-amz-json-1.0"
)

// New returns a handler.
func New(o Options) *Handler {
	h := &Handler{
		tables:     o.Tables,
		region:     cmp.Or(o.Region, "us-east-1"),
		account:    cmp.Or(o.Account, "123456789012"),
		now:        o.Now,
		log:        cmp.Or(o.Log, slog.New(slog.DiscardHandler)),
		origins:    o.Origins,
		operations: operations(),
		counters:   map[string]*counter{"": new(counter)},
		memory:     newMemory(cmp.Or(o.RequestBytes, defaultRequestBytes)),
	}
	h.ctx, h.stop = context.WithCancel(context.Background())
	h.SetKeys(o.Keys)
	if h.now == nil {
		h.now = time.Now
	}
	for _, named := range h.operations {
		for name := range named {
			h.counters[name] = new(counter)
		}
	}
	return h
}

// SetKeys replaces Options.Keys for the requests to come. The map isn't changed any more.
func (h *Handler) SetKeys(keys map[string]string) { h.keys.Store(&keys) }

// Stop ends the operations that still run, and those that come, with an error.
func (h *Handler) Stop() { h.stop() }

// Serve answers one request, of a server that Server has made. Nothing of ctx is kept but the answer, until it is sent.
//
// What the header alone refuses is refused before the body is held: a body costs memory, and its signature can't be checked before it
// is there.
func (h *Handler) Serve(ctx *fasthttp.RequestCtx) {
	defer h.recovered(ctx)
	if version := ctx.Request.Header.Protocol(); string(version) != "HTTP/1.1" && string(version) != "HTTP/1.0" {
		skip(ctx)
		ctx.Error("HTTP/1.1 is required", http.StatusHTTPVersionNotSupported)
		ctx.SetConnectionClose()
		return
	}
	if _, err := target(ctx); err != nil {
		fault(ctx, err)
		return
	}
	r := h.newPending()
	defer r.release()
	if h.early(ctx, r) {
		skip(ctx)
		return
	}
	body, err := h.receive(ctx, r)
	switch {
	case errors.Is(err, errTooLarge):
		respondTooLarge(ctx)
		return
	case errors.Is(err, errNoMemory):
		skip(ctx) // else a client that is still sending gets no answer
		h.answerError(ctx, r, err)
		return
	case errors.Is(err, errEncoding):
		h.answerError(ctx, r, internalError())
		return
	case err != nil:
		fault(ctx, err)
		return
	}
	setRequestID(ctx)
	if body != "" && !r.typed {
		respondUnknown(ctx)
		return
	}
	w := newWriter()
	respondWriter(ctx, h.serve(ctx, r, body, w), r.contentType, w)
}

// A pending is what is known of a request before its body.
type pending struct {
	contentType string // of the answer
	typed       bool   // the request's is one that there is
	op          operation
	known       bool  // op is one that there is
	claim       claim // where there are keys
	hold        hold
	reader      bodyReader
}

var pendings = sync.Pool{New: func() any { return new(pending) }}

func (h *Handler) newPending() *pending {
	r := pendings.Get().(*pending)
	chunks := r.reader.chunks
	*r = pending{hold: hold{m: h.memory}}
	r.reader.chunks = chunks
	return r
}

// maxPooledChunks is up to how many chunks a body may have had for its reader to be used again.
const maxPooledChunks = 64

// release gives the memory of the request back.
func (r *pending) release() {
	r.hold.release()
	if cap(r.reader.chunks) <= maxPooledChunks {
		pendings.Put(r)
	}
}

// early answers what the header alone decides: requests of pages, of no operation, and where there are keys those that are signed by no
// key that there is.
func (h *Handler) early(ctx *fasthttp.RequestCtx, r *pending) (answered bool) {
	if length := ctx.Request.Header.ContentLength(); length > maxBodyBytes {
		return false // it is refused in the service's way, when it has been read
	}
	if h.answerOrigin(ctx) {
		setRequestID(ctx)
		return true
	}
	if ctx.IsGet() && string(ctx.Path()) == "/" {
		setRequestID(ctx)
		respond(ctx, http.StatusOK, "", []byte("healthy: dynamodb."+h.region+".amazonaws.com "))
		return true
	}
	r.contentType, r.typed = contentTypeOf(ctx)
	keyed := len(*h.keys.Load()) > 0
	if !ctx.IsPost() || keyed && ctx.Request.Header.ContentLength() > 0 && !r.typed {
		setRequestID(ctx)
		respondUnknown(ctx)
		return true
	}
	prefix, short, _ := bytes.Cut(ctx.Request.Header.Peek("X-Amz-Target"), []byte("."))
	r.op, r.known = h.operations[string(prefix)][string(short)]
	if !keyed {
		return false
	}
	err := errUnknownOperation
	if r.known {
		r.claim, err = h.claimOf(ctx)
	}
	if err != nil {
		h.answerError(ctx, r, err)
		return true
	}
	return false
}

var errUnknownOperation = exceptionOf(coralService+"UnknownOperationException", "")

// receive reads the body.
func (h *Handler) receive(ctx *fasthttp.RequestCtx, r *pending) (string, error) {
	length := ctx.Request.Header.ContentLength()
	if length > smallBody || length == chunked || encodingOf(ctx) != "" {
		r.hold.address = ctx.RemoteIP().String()
	}
	r.hold.proven = r.claim.proven != ""
	r.reader.ctx, r.reader.hold, r.reader.sum, r.reader.length = h.ctx, &r.hold, r.claim.body, length
	return r.reader.read(ctx)
}

// answerError answers a request whose body isn't there.
func (h *Handler) answerError(ctx *fasthttp.RequestCtx, r *pending, err error) {
	e := h.wireError(err)
	h.counters[r.op.name].count(e.status, e.typ)
	w := newWriter()
	e.write(w)
	setRequestID(ctx)
	respondWriter(ctx, e.status, cmp.Or(r.contentType, typeAmzJSON), w)
}

// respondUnknown answers what is no request of the service.
func respondUnknown(ctx *fasthttp.RequestCtx) {
	respond(ctx, http.StatusNotFound, "", []byte("<UnknownOperationException/>\n"))
}

// contentTypeOf returns the answer's content type, and says whether the request's is one that there is.
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

// serve writes the answer to a request, or its error, and returns the status.
func (h *Handler) serve(ctx *fasthttp.RequestCtx, r *pending, body string, w *writer) int {
	began := time.Now()
	op, err := h.run(ctx, r, body, w)
	status, typ := http.StatusOK, ""
	if err != nil {
		e := h.wireError(err)
		status, typ = e.status, e.typ
		w.buf = w.buf[:0]
		e.write(w)
	}
	h.counters[op].count(status, typ)
	h.counters[op].took(time.Since(began))
	return status
}

// run runs the operation that a request asks for, and returns its name.
func (h *Handler) run(ctx *fasthttp.RequestCtx, r *pending, body string, w *writer) (name string, err error) {
	if r.claim.body != nil {
		if err := r.claim.verify(ctx); err != nil {
			return r.op.name, err
		}
	}
	r.hold.prove()
	root, err := h.parse(r, body)
	if err != nil {
		return "", err
	}
	if root.doc != nil {
		defer root.doc.release()
	}
	if !r.known {
		return "", errUnknownOperation
	}
	op := r.op
	if r.claim.body == nil {
		if _, err := signatureOf(ctx); err != nil {
			return op.name, err
		}
	}
	if root.kind() != object {
		return op.name, serialization("")
	}
	if err := check(root, op.shape); err != nil {
		return op.name, err
	}
	if arn := h.foreign(root, op.shape); arn != "" {
		return op.name, h.denied(op.name, arn)
	}
	if pages := answerPages(op.name); pages > 0 {
		if err := wait(h.ctx, h.memory.pages, pages); err != nil {
			return op.name, err
		}
		defer h.memory.pages.Release(pages)
	}
	return op.name, op.serve(h, context.WithValue(h.ctx, localAddress{}, ctx.LocalAddr()), root, w)
}

// parse returns the value of a body, absent if there is none.
func (h *Handler) parse(r *pending, body string) (root node, err error) {
	if body == "" {
		return node{}, nil
	}
	cells := 0
	if len(body) > smallDocument {
		if cells = countCells(body); cells > maxCells {
			return node{}, invalid("The request has more than %d values", maxCells)
		}
		if err := r.hold.cells(h.ctx, cells, len(body)); err != nil {
			return node{}, err
		}
	}
	doc, ok := parse(body, cells)
	if !ok {
		return node{}, serialization("")
	}
	return doc.root(), nil
}

// answerOrigin lets pages of any origin read the answer, as the service does, and says whether the request needs none but that.
// Where any credentials are taken, a page that its user merely visits could do anything with the tables, so a request from a page is
// refused: a browser names the origin with each.
func (h *Handler) answerOrigin(ctx *fasthttp.RequestCtx) (answered bool) {
	sent, header := &ctx.Request.Header, &ctx.Response.Header
	if len(sent.Peek("Origin")) == 0 {
		return false
	}
	if !h.origins && len(*h.keys.Load()) == 0 {
		respond(ctx, http.StatusForbidden, "text/plain", []byte("Pages may ask only where signatures are checked, or any origin is allowed.\n"))
		return true
	}
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Access-Control-Expose-Headers", "x-amzn-RequestId, x-amzn-ErrorType, x-amzn-ErrorMessage, Date")
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

// The headers of each answer, as net/http and browsers write names.
var (
	headerCRC       = []byte("X-Amz-Crc32")
	headerRequestID = []byte("X-Amzn-Requestid")
)

// respond sets an answer. Its body isn't copied.
func respond(ctx *fasthttp.RequestCtx, status int, contentType string, body []byte) {
	ctx.SetStatusCode(status)
	header := &ctx.Response.Header
	header.SetContentType(contentType) // none is guessed
	var digits [10]byte
	header.SetCanonical(headerCRC, strconv.AppendUint(digits[:0], uint64(crc32.ChecksumIEEE(body)), 10))
	ctx.Response.SetBodyRaw(body)
}

// writerKey is that of the answer's writer among the values of a request.
type writerKey struct{}

// respondWriter sets what has been written as an answer. The writer is released by the server: it closes a request's values when the
// answer is sent.
func respondWriter(ctx *fasthttp.RequestCtx, status int, contentType string, w *writer) {
	if len(w.buf) > maxPlainAnswer && acceptsGzip(&ctx.Request.Header) {
		compressed := w.compressed()
		w.release()
		w = compressed
		ctx.Response.Header.SetContentEncoding("gzip")
	}
	respond(ctx, status, contentType, w.buf)
	ctx.SetUserValue(writerKey{}, w)
}

// setRequestID sets 52 random digits and letters, as the service has them.
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
