package route

import "slices"

// NeedFills reports whether a pool or a route is filled from another one.
func (o *Options) NeedFills() bool {
	warmed := slices.ContainsFunc(o.Pools, func(p Pool) bool { return p.WarmFrom != "" })
	return warmed || o.Have(KindWarmUp, KindL1L2Cache)
}

// Have reports whether o has a route of one of these kinds.
func (o *Options) Have(kinds ...Kind) bool {
	if o.Route.has(kinds) {
		return true
	}
	return slices.ContainsFunc(o.Clusters, func(c ClusterRoute) bool { return c.Route.has(kinds) }) ||
		slices.ContainsFunc(o.Entries, func(r Route) bool { return r.has(kinds) })
}

func (r *Route) has(kinds []Kind) bool {
	if slices.Contains(kinds, r.Kind) {
		return true
	}
	return slices.ContainsFunc(r.Nested(), func(n Nested) bool { return n.Route.has(kinds) })
}

// keeps reports whether r, or a route within it, leads to a pool that keeps prefixes.
func (o *Options) keeps(r *Route) bool {
	if r == nil {
		return false
	}
	if p := o.pool(r.Pool); r.Kind == KindPool && p != nil && p.KeepRoutingPrefix {
		return true
	}
	return slices.ContainsFunc(r.Nested(), func(n Nested) bool { return o.keeps(n.Route) })
}
