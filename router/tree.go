package router

import (
	"bytes"

	"holdfast/mc"
	"holdfast/route"
	"holdfast/upstream"
)

// A tree is the forwarders that are made from one Options. It never changes.
type tree struct {
	options   route.Options
	root      forwarder
	clusters  []cluster
	entries   []*tree // by mc.Batch.Entry: this tree, or a copy with another root
	pools     []*pool
	upstreams []*upstream.Upstream // each as often as pools use it
	fills     *fills               // nil if no route is filled from another
}

// dispatch sends a query down the tree, unless it is for all pools or for the router itself.
func (t *tree) dispatch(l *lane, q *query) {
	r := q.request
	switch {
	case r.Op == mc.Invalid:
		if r.Drop {
			t.drop(l, r.Key)
		}
		q.taker.take(l, q, &upstream.Answer{Result: upstream.ClientError, Wire: []byte(r.Fault)})
	case r.Op == mc.MetaNoop:
		q.taker.take(l, q, &upstream.Answer{Result: upstream.Done, Wire: noop})
	case r.Op == mc.FlushAll:
		t.flush(l, q)
	case t.options.ReadsOnly && !r.Op.Reads():
		q.respondAbsent(l)
	case len(r.Key) > 0 && r.Key[0] == '/' && len(t.clusters) > 0:
		t.serveCluster(l, q)
	case bytes.HasPrefix(r.Key, adminPrefix) && r.Op.IsGet():
		t.admin(l, q)
	default:
		t.root.forward(l, q)
	}
}

var noop = []byte("MN\r\n")

// drop deletes the item under key, which a client has tried to replace with one that is too large.
func (t *tree) drop(l *lane, key []byte) {
	r := &mc.Request{Op: mc.Delete, Key: bytes.Clone(key)}
	t.dispatch(l, &query{request: r, taker: discard{}})
}

// discard takes answers that no request waits for.
type discard struct{}

func (discard) take(*lane, *query, *upstream.Answer) {}

// flush flushes all pools, unless the options forbid it.
func (t *tree) flush(l *lane, q *query) {
	if t.options.DisableFlushAll || t.options.ReadsOnly {
		q.fail(l, upstream.Down, "Command disabled") // mcrouter's text
		return
	}
	all := make([]forwarder, len(t.pools))
	for i, p := range t.pools {
		all[i] = forwardFunc(func(l *lane, q *query) {
			if p.journaled() || t.fills != nil {
				l.router.delayed.set(l.router, p.options.Name, flushDelay(q.request, l.router.now()))
			}
			p.flush(l, q)
		})
	}
	t.flushing(worst(all)).forward(l, q)
}

// flushing returns the route of a flush to pools: it waits for fills, and then has the members
// marked again, since the flush removes their marks.
func (t *tree) flushing(to forwarder) forwarder {
	marked := forwardFunc(func(l *lane, q *query) {
		to.forward(l, &query{request: q.request, taker: takeFunc(func(l *lane, _ *query, a *upstream.Answer) {
			l.router.marks.flushed()
			q.taker.take(l, q, a)
		})})
	})
	if t.fills == nil {
		return marked
	}
	return &flushGuard{t.fills, marked}
}

// A forwardFunc is a forwarder that is a function.
type forwardFunc func(l *lane, q *query)

func (f forwardFunc) forward(l *lane, q *query) { f(l, q) }
