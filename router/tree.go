package router

import (
	"bytes"
	"strings"
	"time"

	"holdfast/mc"
)

// A tree is the routes made from one Options. It never changes.
type tree struct {
	options      Options
	root         route
	clusters     []cluster
	entries      []*tree // by mc.Batch.Entry: this one, or a copy with another root
	pools        []*pool
	destinations []*destination // each as often as it is used
	fills        *fills         // nil if nothing is filled from something else
}

// A cluster is the route of keys with a routing prefix.
type cluster struct {
	region, name string
	route        route
}

// serve is the way of each request.
func (t *tree) serve(l *lane, q *query) {
	r := q.request
	switch {
	case r.Op == mc.Invalid:
		if r.Drop {
			t.drop(l, r.Key)
		}
		q.taker.take(l, q, &answer{result: resultClientError, wire: []byte(r.Fault)})
	case r.Op == mc.MetaNoop:
		q.taker.take(l, q, &answer{result: resultDone, wire: noop})
	case r.Op == mc.FlushAll:
		t.flush(l, q)
	case len(r.Key) > 0 && r.Key[0] == '/' && len(t.clusters) > 0:
		t.serveCluster(l, q)
	case bytes.HasPrefix(r.Key, adminPrefix) && r.Op.IsGet():
		t.admin(l, q)
	default:
		t.root.serve(l, q)
	}
}

var noop = []byte("MN\r\n")

// drop deletes what is held under key: the client has tried to replace it, and could not.
func (t *tree) drop(l *lane, key []byte) {
	r := &mc.Request{Op: mc.Delete, Key: bytes.Clone(key)}
	t.serve(l, &query{request: r, taker: nobody{}})
}

// nobody takes answers that no one waits for.
type nobody struct{}

func (nobody) take(*lane, *query, *answer) {}

// flush has every pool flushed.
func (t *tree) flush(l *lane, q *query) {
	all := make([]route, len(t.pools))
	for i, p := range t.pools {
		all[i] = routeFunc(func(l *lane, q *query) {
			if p.journaled() || t.fills != nil {
				l.router.delayed.set(l.router, p.options.Name, flushDelay(q.request, time.Now()))
			}
			p.flush(l, q)
		})
	}
	t.flushing(worst(all)).serve(l, q)
}

// flushing is the route of a flush to pools, ordered with what is filled from others. What it takes along
// are the marks of members.
func (t *tree) flushing(to route) route {
	marked := routeFunc(func(l *lane, q *query) {
		to.serve(l, &query{request: q.request, taker: takeFunc(func(l *lane, _ *query, a *answer) {
			l.router.marks.flushed()
			q.taker.take(l, q, a)
		})})
	})
	if t.fills == nil {
		return marked
	}
	return &flushGuard{t.fills, marked}
}

// routeFunc is a route that is a function.
type routeFunc func(l *lane, q *query)

func (f routeFunc) serve(l *lane, q *query) { f(l, q) }

// serveCluster goes by the /region/cluster/ that the key begins with; a part "*" is any.
func (t *tree) serveCluster(l *lane, q *query) {
	region, name, rest, ok := cutCluster(q.request.Key)
	if !ok {
		t.root.serve(l, q)
		return
	}
	var routes []route
	for _, c := range t.clusters {
		if (region == "*" || region == c.region) && (name == "*" || name == c.name) {
			routes = append(routes, c.route)
		}
	}
	inner := *q.request
	inner.Key = rest
	switch {
	case len(routes) == 0:
		q.fail(l, resultClientError, "no route for /"+region+"/"+name+"/")
	case len(rest) == 0:
		q.fail(l, resultClientError, "no key after /"+region+"/"+name+"/")
	default:
		initial(routes).serve(l, rewritten(q, &inner))
	}
}

// cutCluster cuts "/region/cluster/" off key.
func cutCluster(key []byte) (region, name string, rest []byte, ok bool) {
	parts := bytes.SplitN(key, []byte{'/'}, 4)
	if len(parts) < 4 || len(parts[0]) > 0 || len(parts[1]) == 0 || len(parts[2]) == 0 {
		return "", "", nil, false
	}
	return string(parts[1]), string(parts[2]), parts[3], true
}

func parseCluster(prefix string) (region, name string, ok bool) {
	region, name, rest, ok := cutCluster([]byte(prefix))
	return region, name, ok && len(rest) == 0 && !strings.Contains(prefix, "*")
}
