package dynamodb

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/valyala/fasthttp"

	"holdfast/item"
	"holdfast/session"
	"holdfast/table"
)

// Options configure a Handler.
type Options struct {
	Tables *table.Store
	Peers  Peers // the other nodes of a cluster; nil: this node answers every request itself
	// Sessions keeps what is seen by clients that name their sessions; nil: that of a node alone. In a
	// cluster it must have the other nodes as peers.
	Sessions *session.Keeper
	// Connection returns the session that a client's connection is; nil: connections are none.
	Connection func(net.Conn) *session.Connection
	Region     string            // default us-east-1
	Account    string            // twelve digits, in ARNs; default 123456789012
	Keys       map[string]string // access key → secret; empty: any credentials are accepted
	Origins    bool              // web pages of any origin may send requests, even if any credentials are accepted
	// RequestBytes is about how much memory all requests may take together; default 256 MiB. Requests
	// over budget wait.
	RequestBytes int64
	Now          func() time.Time // default time.Now
	Log          *slog.Logger     // default: nothing is logged
}

// A Handler serves DynamoDB's requests over HTTP. A request passes through its methods in this
// order: Serve calls admit, receive and perform; perform calls run. In a cluster, a request that another
// node has accepted comes to Answer instead.
type Handler struct {
	peers      Peers // nil: none
	sessions   *session.Keeper
	connection func(net.Conn) *session.Connection // nil: connections are no sessions
	where      func(table string, it item.Item) string
	account    account
	auth       *authenticator
	origins    bool
	log        *slog.Logger
	operations map[string]map[string]operation // by the target's prefix, then by name
	counters   counters
	memory     *memory
	ctx        context.Context // of all operations; ends with Stop
	stop       context.CancelFunc
}

// New returns a handler.
func New(o Options) *Handler {
	now := o.Now
	if now == nil {
		now = time.Now
	}
	a := account{region: cmp.Or(o.Region, "us-east-1"), id: cmp.Or(o.Account, "123456789012")}
	log := cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	h := &Handler{
		peers:      o.Peers,
		sessions:   o.Sessions,
		connection: o.Connection,
		where:      o.Tables.Where,
		account:    a,
		auth:       &authenticator{region: a.region, now: now},
		origins:    o.Origins,
		log:        log,
		operations: operations(o.Tables, a, now, log),
		memory:     newMemory(cmp.Or(o.RequestBytes, defaultRequestBytes)),
	}
	if h.sessions == nil {
		h.sessions = session.New(session.Options{Now: now})
	}
	h.counters = newCounters(h.operations)
	h.ctx, h.stop = context.WithCancel(context.Background())
	h.SetKeys(o.Keys)
	return h
}

// SetKeys replaces Options.Keys for later requests. The caller must not change the map afterwards.
func (h *Handler) SetKeys(keys map[string]string) { h.auth.setKeys(keys) }

// Stop ends running and later operations with an error.
func (h *Handler) Stop() { h.stop() }

// Stats returns the counts of requests since the start.
func (h *Handler) Stats() Stats { return h.counters.stats() }

// Serve handles one request of a server that Server returned. Nothing keeps a reference to ctx but
// the response, until it is sent.
//
// The header is checked before the body is read, because a body costs memory, and its signature
// can't be checked before it is complete.
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
	r := newPending(h.memory)
	defer r.release()
	if !h.admit(ctx, r) {
		skip(ctx)
		return
	}
	body, ok := h.receive(ctx, r)
	if !ok {
		return
	}
	setRequestID(ctx)
	if body != "" && !r.typed {
		respondUnknown(ctx)
		return
	}
	w := newWriter()
	respondWriter(ctx, h.perform(ctx, r, body, w), r.contentType, w)
}

// admit reports whether the body of a request is to be read. If not, the header alone decided the
// response, which is set: requests of web pages, requests for no operation, and, if signatures are
// checked, requests that no known key has signed.
func (h *Handler) admit(ctx *fasthttp.RequestCtx, r *pending) bool {
	if length := ctx.Request.Header.ContentLength(); length > maxBodyBytes {
		return true // receive refuses it, as DynamoDB does
	}
	keyed := h.auth.keyed()
	if allowOrigin(ctx, h.origins || keyed) {
		setRequestID(ctx)
		return false
	}
	if ctx.IsGet() && string(ctx.Path()) == "/" {
		setRequestID(ctx)
		respond(ctx, http.StatusOK, "", []byte("healthy: dynamodb."+h.account.region+".amazonaws.com "))
		return false
	}
	r.contentType, r.typed = contentTypeOf(ctx)
	if !ctx.IsPost() || keyed && ctx.Request.Header.ContentLength() > 0 && !r.typed {
		setRequestID(ctx)
		respondUnknown(ctx)
		return false
	}
	prefix, short, _ := bytes.Cut(ctx.Request.Header.Peek("X-Amz-Target"), []byte("."))
	r.op, r.known = h.operations[string(prefix)][string(short)]
	if !keyed {
		return true
	}
	err := errUnknownOperation
	if r.known {
		r.claim, err = h.auth.claimOf(ctx)
	}
	if err != nil {
		h.respondError(ctx, r, err)
	}
	return err == nil
}

var errUnknownOperation = exceptionOf(coralService+"UnknownOperationException", "")

// receive reads the body within its limit and the memory budget. If it can't, the response is set,
// and ok is false.
func (h *Handler) receive(ctx *fasthttp.RequestCtx, r *pending) (body string, ok bool) {
	length := ctx.Request.Header.ContentLength()
	if length > smallBody || length == chunked || encodingOf(ctx) != "" {
		r.hold.address = ctx.RemoteIP().String()
	}
	r.hold.proven = r.claim.proven != ""
	r.reader.ctx, r.reader.hold, r.reader.sum, r.reader.length = h.ctx, &r.hold, r.claim.body, length
	body, err := r.reader.read(ctx)
	switch {
	case err == nil:
		return body, true
	case errors.Is(err, errTooLarge):
		respondTooLarge(ctx)
	case errors.Is(err, errNoMemory):
		skip(ctx) // otherwise a client that is still sending gets no response
		h.respondError(ctx, r, err)
	case errors.Is(err, errEncoding):
		h.respondError(ctx, r, internalError())
	default:
		fault(ctx, err)
	}
	return "", false
}

// respondError sets the response to a request whose body isn't read.
func (h *Handler) respondError(ctx *fasthttp.RequestCtx, r *pending, err error) {
	e := wireErrorOf(err, h.log)
	h.counters[r.op.name].count(e.status, e.typ)
	w := newWriter()
	e.write(w)
	setRequestID(ctx)
	respondWriter(ctx, e.status, cmp.Or(r.contentType, typeAmzJSON), w)
}

// perform runs a request, counts it, writes its response or its error, and returns the status.
func (h *Handler) perform(ctx *fasthttp.RequestCtx, r *pending, body string, w *writer) int {
	began := time.Now()
	op, err := h.run(ctx, r, body, w)
	status, _ := h.finish(op, began, err, w)
	return status
}

// finish counts a request that has been run, and writes its error. It returns the status of the
// response and, of an error, its __type.
func (h *Handler) finish(op string, began time.Time, err error, w *writer) (status int, typ string) {
	status = http.StatusOK
	if err != nil {
		e := wireErrorOf(err, h.log)
		status, typ = e.status, e.typ
		w.buf = w.buf[:0]
		e.write(w)
	}
	h.counters[op].count(status, typ)
	h.counters[op].took(time.Since(began))
	return status, typ
}

// A task is a request with its body parsed, whose operation exists.
type task struct {
	op    operation
	root  node
	body  string
	seen  sent     // by the client
	local net.Addr // of the listener that the client has connected to
}

// run checks a request, in DynamoDB's order, and has its operation run, whose name it returns for
// the counters.
func (h *Handler) run(ctx *fasthttp.RequestCtx, r *pending, body string, w *writer) (name string, err error) {
	if err := r.claim.verify(ctx); err != nil {
		return r.op.name, err
	}
	r.hold.prove()
	root, err := parseBody(h.ctx, &r.hold, body)
	if err != nil {
		return "", err
	}
	if root.doc != nil {
		defer root.doc.release()
	}
	if !r.known {
		return "", errUnknownOperation
	}
	if !r.claim.keyed() {
		if _, err := signatureOf(ctx); err != nil { // any key is accepted, but the form is checked
			return r.op.name, err
		}
	}
	q := task{op: r.op, root: root, body: body, local: ctx.LocalAddr()}
	q.seen.token = string(ctx.Request.Header.PeekBytes(headerToken))
	if err := h.prepare(h.ctx, &q, &r.hold); err != nil {
		return q.op.name, err
	}
	token, err := h.executeInSession(ctx, &q, w)
	if token != "" && q.seen.token != "" {
		ctx.Response.Header.SetCanonical(headerToken, []byte(token))
	}
	return q.op.name, err
}

// prepare checks a request against its operation's shape, and takes the memory for its response.
func (h *Handler) prepare(ctx context.Context, q *task, held *hold) error {
	if q.root.kind() != object {
		return serialization("")
	}
	if err := check(q.root, q.op.shape); err != nil {
		return err
	}
	if arn := h.account.foreign(q.root, q.op.shape); arn != "" {
		return h.account.denied(q.op.name, arn)
	}
	return held.response(ctx, q.op.name)
}

// execute runs a request's operation on this node. It returns the response's token, which is "" for
// a client that has sent none and has no session.
func (h *Handler) execute(ctx context.Context, q *task, w *writer) (token string, err error) {
	ctx = context.WithValue(ctx, localAddress{}, q.local)
	if q.seen.empty() {
		return "", q.op.run(ctx, q.root, w)
	}
	return withSeen(ctx, q.seen, func(ctx context.Context) error { return q.op.run(ctx, q.root, w) })
}

// parseBody returns the value of a body; absent if the body is empty. It counts the values of a
// large body against the memory budget before it allocates them.
func parseBody(ctx context.Context, held *hold, body string) (root node, err error) {
	if body == "" {
		return node{}, nil
	}
	cells := 0
	if len(body) > smallDocument {
		if cells = countCells(body); cells > maxCells {
			return node{}, invalid("The request has more than %d values", maxCells)
		}
		if err := held.cells(ctx, cells, len(body)); err != nil {
			return node{}, err
		}
	}
	doc, ok := parse(body, cells)
	if !ok {
		return node{}, serialization("")
	}
	return doc.root(), nil
}
