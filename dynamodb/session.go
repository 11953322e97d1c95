package dynamodb

import (
	"cmp"
	"context"
	"regexp"

	"github.com/valyala/fasthttp"

	"holdfast"
	"holdfast/session"
)

// headerSession is the header of requests that names the session of the client.
const headerSession = "X-Holdfast-Session"

// sessionName is what a session may be named.
var sessionName = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)

// A visit is a request of a session, of which this node keeps what it has seen.
type visit struct {
	named      *session.Visit      // nil: the session is the connection
	connection *session.Connection // nil: the client has named the session
}

// visit begins the request's visit of its session; nil: it has none.
func (h *Handler) visit(ctx *fasthttp.RequestCtx) (*visit, error) {
	switch names := ctx.Request.Header.PeekAll(headerSession); {
	case len(names) > 1, len(names) == 1 && !sessionName.Match(names[0]):
		return nil, invalid("Invalid %s: it is one name of 1 to 64 letters, digits, and the characters . _ : and -",
			headerSession)
	case len(names) == 1:
		within, end := context.WithTimeout(h.ctx, clusterTime)
		defer end()
		named, err := h.sessions.Visit(within, string(names[0]))
		return &visit{named: named}, err
	case h.connection != nil:
		if c := h.connection(ctx.Conn()); c != nil {
			return &visit{connection: c}, nil
		}
	}
	return nil, nil
}

// executeInSession runs a request, and returns its response's token, as execute does. If the request
// is of a session, the answer isn't older than what the node keeps of it, and what the answer shows is
// kept before it is sent.
func (h *Handler) executeInSession(ctx *fasthttp.RequestCtx, q *task, w *writer) (token string, err error) {
	if q.seen.token != "" {
		if _, err := parseToken(q.seen.token); err != nil {
			return "", err
		}
	}
	v, err := h.visit(ctx)
	if err != nil {
		return q.seen.token, err
	}
	if v != nil {
		q.seen.kept = v.token().String()
	}
	token, err = h.executeAnywhere(q, w)
	if v != nil && token != "" {
		within, end := context.WithTimeout(h.ctx, clusterTime)
		defer end()
		if failed := v.keep(within, q.seen, token); failed != nil {
			w.buf, err = w.buf[:0], notKept(q, failed)
		}
	}
	return cmp.Or(token, q.seen.token), err
}

// executeAnywhere runs a request here or at another node. It returns the response's token, which is
// "" if none was sent, or no node has answered.
func (h *Handler) executeAnywhere(q *task, w *writer) (token string, err error) {
	if h.peers == nil {
		return h.execute(h.ctx, q, w)
	}
	return h.executeInCluster(h.ctx, q, w)
}

// token returns what the node keeps: the request reads shards that it lacks consistently.
func (v *visit) token() holdfast.Token {
	if v.named != nil {
		return v.named.Token()
	}
	return v.connection.Token()
}

// keep keeps what an answer shows, of which this is the token. If there is an error, the answer must
// not be sent.
func (v *visit) keep(within context.Context, by sent, answer string) error {
	seen, err := holdfast.ParseToken(answer)
	if err != nil {
		return err // another node has sent it
	}
	told, _ := holdfast.ParseToken(by.token) // was checked; "" has seen nothing
	learned, gone := learn(v.token(), told, seen)
	if v.named != nil {
		return v.named.Keep(within, learned, gone)
	}
	v.connection.Keep(learned, gone)
	return nil
}

// learn returns what a node that has kept a token learns from an answer's: the shards that the
// request has read or written, or that were kept. Those that only the client has told of are left
// out, since the session may have seen more of them. gone are shards that were kept and that the
// answer's token lacks: it had no space for them, or what was seen of them is lost. They aren't known
// any more.
func learn(kept, told, answer holdfast.Token) (learned holdfast.Token, gone []holdfast.ShardID) {
	for tx := range answer.All() {
		_, has := kept.Of(tx.Shard)
		if of, ok := told.Of(tx.Shard); has || !ok || of != tx {
			learned.See(tx)
		}
	}
	for tx := range kept.All() {
		if _, ok := answer.Of(tx.Shard); !ok {
			gone = append(gone, tx.Shard)
		}
	}
	return learned, gone
}

// notKept returns the error of a request that was executed, and whose answer isn't sent.
func notKept(q *task, err error) error {
	kind, begins := holdfast.Unavailable, outcomeUnknown
	if q.eventual() {
		kind, begins = holdfast.Refused, nothingChanged
	}
	return &holdfast.Error{Kind: kind, Text: begins + ": " + err.Error(), Err: err}
}
