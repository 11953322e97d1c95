package router

import (
	"bytes"
	"encoding/base64"
	"time"

	"holdfast/mc"
	"holdfast/route"
	"holdfast/upstream"
)

// modifyKey forwards requests with another key. Their answers get the client's key back.
type modifyKey struct {
	target  forwarder
	ensure  string // the prefix of all keys afterwards
	replace string // a prefix that ensure replaces, in keys that have it
}

func (m *modifyKey) forward(l *lane, q *query) {
	key, changed := m.modified(q.request.Key)
	if !changed {
		m.target.forward(l, q)
		return
	}
	if keyBytes(key, q.request.Has('b')) > mc.MaxKeyBytes {
		q.failClient(l, "the key is too long with the prefix "+m.ensure)
		return
	}
	inner := *q.request
	inner.Key = key
	m.target.forward(l, rewritten(q, &inner))
}

func (m *modifyKey) modified(key []byte) (_ []byte, changed bool) {
	rest := key
	switch {
	case m.replace != "" && bytes.HasPrefix(key, []byte(m.replace)):
		rest = key[len(m.replace):]
	case bytes.HasPrefix(key, []byte(m.ensure)):
		return key, false
	}
	return append([]byte(m.ensure), rest...), true
}

// keyBytes returns the length of the key on the wire.
func keyBytes(key []byte, binary bool) int {
	if binary {
		return base64.StdEncoding.EncodedLen(len(key))
	}
	return len(key)
}

// failClient answers q with a CLIENT_ERROR.
func (q *query) failClient(l *lane, text string) {
	l.scratch = mc.AppendClientError(l.scratch[:0], text)
	q.taker.take(l, q, &upstream.Answer{Result: upstream.ClientError, Wire: l.scratch})
}

// A toCluster forwards to the route of a cluster, in the tree that it is part of.
type toCluster struct {
	tree    *tree
	cluster int // of tree.clusters; -1 is the root
}

func (c *toCluster) forward(l *lane, q *query) { c.route().forward(l, q) }

func (c *toCluster) route() forwarder {
	if c.cluster < 0 {
		return c.tree.root
	}
	return c.tree.clusters[c.cluster].route
}

// modifyExptime changes the exptime of requests that have one.
type modifyExptime struct {
	target forwarder
	action route.ExptimeAction
	limit  time.Duration // set: 0 is no end, < 0 is at once
}

func (m *modifyExptime) forward(l *lane, q *query) {
	p := &passed{outer: q}
	p.request, p.taker = mapExptime(q.request, m.changed(l.router.now())), p
	m.target.forward(l, &p.query)
}

// changed returns what an exptime becomes.
func (m *modifyExptime) changed(now time.Time) func(int64) int64 {
	return func(exptime int64) int64 {
		if m.action == route.ExptimeMin && m.limit >= 0 {
			return earlier(exptime, m.limit, now)
		}
		return exptimeOf(m.limit, now)
	}
}

// A passed is a query in place of another one, which gets its answer.
type passed struct {
	query
	outer *query
}

func (p *passed) take(l *lane, _ *query, a *upstream.Answer) { p.outer.taker.take(l, p.outer, a) }

// exptimeOf returns the exptime, as on the wire, that is d from now, rounded up to a second.
func exptimeOf(d time.Duration, now time.Time) int64 {
	if d < 0 {
		return -1
	}
	return relative(int64((d+time.Second-1)/time.Second), now)
}

// relative returns the exptime, as on the wire, that is these seconds from now.
func relative(seconds int64, now time.Time) int64 {
	if seconds > maxRelative {
		return now.Unix() + seconds
	}
	return seconds
}
