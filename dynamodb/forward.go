package dynamodb

import (
	"context"
	"errors"
	"strings"
	"time"

	"holdfast"
)

// Peers are the other nodes of a cluster. One node at a time leads it: that one executes everything
// but the reads that any replica may answer.
type Peers interface {
	// Begin reports whether this node leads, and so executes all requests itself. If it does, the caller
	// executes one, and calls Done when it has: a node that is about to hand its leadership over waits
	// for those.
	Begin() (leads bool)
	Done()

	// Forward has the leading node's Handler.Answer answer a request, and returns its response, which
	// the caller owns. It may try again only if nothing was changed. Of its errors, NotLeader, Refused,
	// Overloaded, NotFound, Invalid and Closed say that nothing was changed; any other leaves the
	// outcome unknown. It must carry requests and responses of MaxForwarded bytes.
	Forward(ctx context.Context, request []byte) (response []byte, err error)
}

// clusterTime limits the execution of a request in a cluster. Otherwise a write whose entry a leader has
// proposed, and then lost the majority, would wait until that is back.
const clusterTime = 10 * time.Second

// executeInCluster has a request executed by the node that can, and otherwise is execute: here if
// this node leads, or if any replica may answer; else by the node that leads.
//
// What fails here is forwarded as well if nothing was changed: a read, since a replica may lack a
// table, or what the token has seen, and an operation that finds that this node no longer leads.
func (h *Handler) executeInCluster(ctx context.Context, q *task, w *writer) (token string, err error) {
	ctx, cancel := context.WithTimeout(ctx, clusterTime)
	defer cancel()
	leads := h.peers.Begin()
	if leads || q.eventual() {
		token, err = h.executeHere(ctx, q, w, leads)
		if err == nil || leads && !errors.Is(err, holdfast.NotLeader) {
			return token, err
		}
	}
	return h.forward(ctx, q, w)
}

// executeHere is execute. leads is what Begin has said.
func (h *Handler) executeHere(ctx context.Context, q *task, w *writer, leads bool) (token string, err error) {
	if leads {
		defer h.peers.Done()
	}
	return h.execute(ctx, q, w)
}

// eventual reports whether any replica may answer a request: it only reads items, and doesn't ask
// for what was written last. Package table refuses it where the index that it names has no replica.
func (q *task) eventual() bool {
	switch q.op.name {
	case "GetItem", "Query", "Scan":
		return !truth(q.root.get("ConsistentRead"))
	case "BatchGetItem":
		consistent := false
		q.root.get("RequestItems").each(func(_ string, part node) bool {
			consistent = truth(part.get("ConsistentRead"))
			return !consistent
		})
		return !consistent
	}
	return false
}

// forward has the leading node execute a request, and otherwise is execute. The token is "" if that
// node hasn't answered.
func (h *Handler) forward(ctx context.Context, q *task, w *writer) (token string, err error) {
	response, err := h.peers.Forward(ctx, q.request())
	if err != nil {
		return "", notForwarded(err, h.subject(q), q.reads())
	}
	a, err := parseAnswer(response)
	if err != nil {
		return "", notForwarded(err, h.subject(q), q.reads())
	}
	if a.typ != "" {
		return a.token, &wireError{status: a.status, typ: a.typ, body: a.body}
	}
	w.adopt(a.body)
	return a.token, nil
}

// subject names what a request is for, as errors do: the shard of an item, or a table; "" if it is
// neither for one.
func (h *Handler) subject(q *task) string {
	name := q.root.get("TableName")
	if name.kind() != text {
		return ""
	}
	table := name.text()
	if arn, ok := parseTableARN(table); ok {
		table = arn.name
	}
	key := q.root.get("Key")
	if key.kind() == absent {
		key = q.root.get("Item")
	}
	it, err := newItem(key)
	if key.kind() != object || err != nil {
		it = nil
	}
	return h.where(table, it)
}

// The texts of errors begin with what a client must know of its request.
const (
	nothingChanged = "nothing was changed"
	outcomeUnknown = "outcome unknown"
)

// unchanged are the kinds of Forward's errors that say that nothing was changed.
var unchanged = [...]holdfast.Kind{
	holdfast.NotLeader, holdfast.Refused, holdfast.Overloaded, holdfast.NotFound, holdfast.Invalid, holdfast.Closed,
}

// reads reports whether a request changes nothing, whatever becomes of it.
func (q *task) reads() bool {
	switch q.op.name {
	case "Query", "Scan", "BatchGetItem", "TransactGetItems":
		return true
	}
	for _, verb := range []string{"Get", "Describe", "List"} {
		if strings.HasPrefix(q.op.name, verb) {
			return true
		}
	}
	return false
}

// notForwarded returns the error of a request for something that the leading node hasn't answered.
// It is Refused if nothing was changed, as by a request that only reads, and otherwise Unavailable.
func notForwarded(err error, subject string, reads bool) error {
	kind, begins := holdfast.Unavailable, outcomeUnknown
	for _, k := range unchanged {
		if errors.Is(err, k) {
			kind, begins = holdfast.Refused, nothingChanged
		}
	}
	text := "the leading node couldn't be asked"
	if ours := (*holdfast.Error)(nil); errors.As(err, &ours) {
		text = strings.ReplaceAll(strings.TrimPrefix(ours.Text, begins+": "), ": "+begins, "")
		if ours.Shard != 0 {
			subject = "" // the text names it
		}
	}
	if reads && kind == holdfast.Unavailable {
		text = strings.ReplaceAll(text, ": "+begins, "")
		kind, begins = holdfast.Refused, nothingChanged
	}
	if subject != "" {
		text = subject + ": " + text
	}
	return &holdfast.Error{Kind: kind, Text: begins + ": " + text, Err: err}
}
