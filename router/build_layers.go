package router

import (
	"holdfast/route"
	"time"
)

// warmPoolExptime is that of items that a pool has from its WarmFrom, where that can't tell their
// TTL.
const warmPoolExptime = time.Hour

// layers puts before each pool what its options say: pieces, and in front of them its WarmFrom, so
// that both of the pools cut large values as they are set to.
func (b *builder) layers() {
	for _, p := range b.tree.pools {
		b.layer(p, map[*pool]bool{})
	}
}

// layer is for a pool that may have been done before, as that which another is warmed from.
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

// poolRoute is the pool's route, or one by another hash.
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
		to = missing{to}
	}
	return pooled{p, p.prefixed(b.layersOf(p, to))}, nil
}

// prefixed has the pool's members get keys with their prefixes, if its options say so.
func (p *pool) prefixed(to forwarder) forwarder {
	if p.options.KeepRoutingPrefix {
		return keepPrefix{to}
	}
	return to
}

// pooled is a pool's route, by its name.
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

// guard has writes to a route pass its fills, if the tree has any.
func (b *builder) guard(to forwarder) forwarder {
	if b.fills == nil {
		return to
	}
	return &fillGuard{b.fills, to}
}
