package router

import (
	"time"

	"holdfast/route"
)

// warmPoolExptime is the exptime of items that a pool gets from its WarmFrom, if that can't report
// their TTL.
const warmPoolExptime = time.Hour

// layers puts before each pool the routes that its options require: the splitting of large values,
// and before it the filling from WarmFrom, so that each of the two pools splits by its own options.
func (b *builder) layers() {
	for _, p := range b.tree.pools {
		b.layer(p, map[*pool]bool{})
	}
}

// layer puts the layers before a pool, unless it has them already. A pool that fills others gets
// its layers before those others do.
func (b *builder) layer(p *pool, on map[*pool]bool) {
	if b.layered[p] || on[p] {
		return
	}
	on[p] = true
	if warm := b.pools[p.options.WarmFrom]; warm != nil {
		b.layer(warm, on)
	}
	b.layered[p] = true
	p.route = p.prefixed(b.layersOf(p, p.route))
}

func (b *builder) layersOf(p *pool, to forwarder) forwarder {
	if n := p.options.ChunkBytes; n > 0 {
		to = &chunked{target: to, bytes: n, theirs: p.options.BigValues}
	}
	if warm := b.pools[p.options.WarmFrom]; warm != nil {
		to = b.filling(route.KindWarmUp, to, pooled{warm, warm.route}, warmPoolExptime, 0)
	}
	return to
}

// poolRoute returns the pool's route, or a route over its members with the hash of o.
func (b *builder) poolRoute(o *route.Route) (forwarder, error) {
	p := b.pools[o.Pool]
	if o.Hash.IsZero() {
		return pooled{p, p.route}, nil
	}
	own := *p.options
	own.Hash = o.Hash
	to, err := b.sharded(&own, p.members)
	if err != nil {
		return nil, err
	}
	if own.OnError == route.ErrorAsMiss {
		to = missOnError{to}
	}
	return pooled{p, p.prefixed(b.layersOf(p, to))}, nil
}

// prefixed returns a route that keeps the prefixes of keys, if the pool's options require it.
func (p *pool) prefixed(to forwarder) forwarder {
	if p.options.KeepRoutingPrefix {
		return keepPrefix{to}
	}
	return to
}

// A pooled is a pool's route. Explanations name it by the pool.
type pooled struct {
	pool *pool
	to   forwarder
}

func (p pooled) forward(l *lane, q *query) { p.to.forward(l, q) }

func (b *builder) filling(kind route.Kind, cold, warm forwarder, exptime, negative time.Duration) forwarder {
	f := &filling{kind: kind, cold: cold, warm: warm, fills: b.fills, exptime: exptime, negative: negative,
		log: b.router.log}
	if b.tree.options.Have(route.KindAllAsync, route.KindAllInitial, route.KindAllMajority, route.KindAllFastest) {
		f.remember = rememberWrites
	}
	return f
}

// guard puts a fillGuard before a route, if the tree has fills.
func (b *builder) guard(to forwarder) forwarder {
	if b.fills == nil {
		return to
	}
	return &fillGuard{b.fills, to}
}
