package dynamodb

import (
	"context"
	"errors"
	"time"

	"holdfast"
)

// Answer executes a request that another node's Handler has forwarded, and returns the response for
// it. It owns the request, and its caller the response. The error is NotLeader if this node doesn't
// lead, or doesn't any more: nothing was changed. It is Invalid for what isn't a request, and Limit if
// the request was executed, but its response is too long.
//
// The other node has checked the request, and its signature; all but the signature is checked again
// here, and counts against this node's memory budget as well. When ctx ends, the operation does.
func (h *Handler) Answer(ctx context.Context, request []byte) (response []byte, err error) {
	if h.peers != nil {
		if !h.peers.Begin() {
			return nil, holdfast.Errorf(holdfast.NotLeader, "this node doesn't lead: %s", nothingChanged)
		}
		defer h.peers.Done()
	}
	f, err := parseForwarded(request)
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	defer context.AfterFunc(h.ctx, end)()
	w := newWriter()
	defer w.release()
	defer func() {
		if cause := recover(); cause != nil {
			h.panicked(f.op, cause)
			w.buf = w.buf[:0]
			e := internalError()
			e.write(w)
			a := answer{status: e.status, typ: e.typ, body: w.buf}
			response, err = a.response()
		}
	}()
	began := time.Now()
	op, token, err := h.answer(ctx, &f, w)
	if errors.Is(err, holdfast.NotLeader) { // the other node names what the request is for
		return nil, holdfast.Errorf(holdfast.NotLeader, "the leader changes: %s", nothingChanged)
	}
	a := answer{token: token}
	a.status, a.typ = h.finish(op, began, err, w)
	a.body = w.buf
	return a.response()
}

// answer is run for a request that was forwarded.
func (h *Handler) answer(ctx context.Context, f *forwarded, w *writer) (name, token string, err error) {
	held := hold{m: h.memory, proven: true}
	defer held.release()
	waits, end := inTime(ctx)
	defer end()
	if err := held.body(waits, int64(len(f.body))); err != nil {
		return "", "", err
	}
	root, err := parseBody(waits, &held, f.body)
	if err != nil {
		return "", "", err
	}
	if root.doc != nil {
		defer root.doc.release()
	}
	q := task{root: root, body: f.body, seen: f.seen}
	if f.local != "" {
		q.local = f.local
	}
	known := false
	for _, named := range h.operations {
		if op, ok := named[f.op]; ok {
			q.op, known = op, true
		}
	}
	if !known {
		return "", "", errUnknownOperation
	}
	if err := h.prepare(waits, &q, &held); err != nil {
		return q.op.name, "", err
	}
	token, err = h.execute(ctx, &q, w)
	return q.op.name, token, err
}

// inTime returns a context for waits for memory. The other node doesn't wait longer than ctx says,
// and then can't know whether the request was executed; so it is refused before, while it hasn't
// begun.
func inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/2)
}
