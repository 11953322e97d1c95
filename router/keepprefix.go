package router

import (
	"slices"

	"holdfast/mc"
)

// keepPrefix is before a pool whose members get keys with the /region/cluster/ that they came with, as
// mcrouter's keep_routing_prefix has it: the members are routers themselves. Keys are placed without
// it, so that a pool of caches would hold each at the same member as without.
type keepPrefix struct{ target route }

func (k keepPrefix) serve(l *lane, q *query) {
	r := q.request
	if len(r.Cluster) == 0 {
		k.target.serve(l, q)
		return
	}
	inner := *r
	inner.Key = append([]byte(r.Cluster), r.Key...)
	if keyBytes(inner.Key, r.Has('b')) > mc.MaxKeyBytes {
		q.failClient(l, "the key is too long with its /region/cluster/")
		return
	}
	k.target.serve(l, rewritten(q, &inner))
}

func (k keepPrefix) explain(r *mc.Request) Hop { return explain(k.target, r) }

// withoutCluster is the part of a key that places it in such a pool.
func withoutCluster(key []byte) []byte {
	if _, _, rest, ok := cutCluster(key); ok {
		return rest
	}
	return key
}

// checkKept finds what a pool that keeps prefixes can't do: keys that the router makes itself have none.
func (p *Pool) checkKept(f *Faults, path string) {
	if !p.KeepRoutingPrefix {
		return
	}
	if p.Kind != Sharded || p.Eject || p.Failover != "" || p.Hash.Load > 0 || p.WarmFrom != "" {
		f.add(path+".keep_routing_prefix", "is for a sharded pool without eject, failover, hash.load and warm_from")
	}
}

// keeps reports whether r, or a route within it, leads to a pool that keeps prefixes.
func (o *Options) keeps(r *Route) bool {
	if r == nil {
		return false
	}
	if p := o.pool(r.Pool); r.Kind == RoutePool && p != nil && p.KeepRoutingPrefix {
		return true
	}
	return slices.ContainsFunc(r.nested(), func(n nestedRoute) bool { return o.keeps(n.route) })
}
