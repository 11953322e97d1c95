package router

import (
	"fmt"

	"holdfast/mc"
)

// Explain tells where a request would go now, of which only the operation and the key are known, and
// sends nothing. Where a prefix of the key names several clusters, each is a hop.
func (r *Router) Explain(op mc.Op, key []byte) []Hop { return r.tree.Load().explain(op, key) }

func (t *tree) explain(op mc.Op, key []byte) []Hop {
	r := &mc.Request{Op: op, Key: key}
	region, name, rest, ok := cutCluster(key)
	if !ok || len(t.clusters) == 0 {
		return []Hop{explain(t.root, r)}
	}
	r.Key = rest
	var hops []Hop
	for _, c := range t.clustersOf(region, name) {
		hop := explain(c.route, r)
		hops = append(hops, Hop{Route: "cluster", Name: "/" + c.region + "/" + c.name + "/", Next: []Hop{hop}})
	}
	for i := range hops {
		if i > 0 {
			hops[i].Why = "nobody waits for its answer"
		}
	}
	return hops
}

// explained is a route that tells where it takes a request.
type explained interface{ explain(r *mc.Request) Hop }

func explain(to forwarder, r *mc.Request) Hop {
	if e, ok := to.(explained); ok {
		return e.explain(r)
	}
	return Hop{Route: fmt.Sprintf("%T", to)}
}

// all explains children that all get the request.
func all(kind RouteKind, routes []forwarder, r *mc.Request, why string) Hop {
	h := Hop{Route: string(kind), Why: why}
	for _, to := range routes {
		h.Next = append(h.Next, explain(to, r))
	}
	return h
}

// through explains a route that stands before one other.
func through(kind RouteKind, why string, to forwarder, r *mc.Request) Hop {
	return Hop{Route: string(kind), Why: why, Next: []Hop{explain(to, r)}}
}

func (routes allSync) explain(r *mc.Request) Hop {
	return all(RouteAllSync, routes, r, "answers with the worst of all")
}

func (routes allAsync) explain(r *mc.Request) Hop {
	return all(RouteAllAsync, routes, r, "answers at once, as if nothing were held")
}

func (routes allInitial) explain(r *mc.Request) Hop {
	return all(RouteAllInitial, routes, r, "answers with the first one's")
}

func (routes allMajority) explain(r *mc.Request) Hop {
	return all(RouteAllMajority, routes, r, "answers with what most say")
}

func (routes allFastest) explain(r *mc.Request) Hop {
	return all(RouteAllFastest, routes, r, "answers with the first that is no error")
}

func (routes random) explain(r *mc.Request) Hop { return all(RouteRandom, routes, r, "one of them") }

func (h *hashed) explain(r *mc.Request) Hop {
	i := h.ring.Owner(r.Key)
	return through(RouteHash, fmt.Sprintf("child %d of %d by hash", i, len(h.children)), h.children[i], r)
}

func (b *bounded) explain(r *mc.Request) Hop {
	i := b.ring.OwnerBounded(r.Key, b.loadOf, b.factor)
	if i < 0 {
		return Hop{Route: string(RouteHash), Why: "none is up"}
	}
	return through(RouteHash, fmt.Sprintf("child %d of %d by hash and load", i, len(b.children)), b.children[i], r)
}

func (p *byPrefix) explain(r *mc.Request) Hop {
	why := "no prefix matches"
	for _, n := range p.lengths {
		if n <= len(r.Key) && p.routes[string(r.Key[:n])] != nil {
			why = fmt.Sprintf("prefix %q", r.Key[:n])
			break
		}
	}
	return through(RoutePrefixSelector, why, p.find(r.Key), r)
}

func (s *byOperation) explain(r *mc.Request) Hop {
	return through(RouteOperationSelector, "operation "+r.Op.String(), s.find(r), r)
}

func (f *failover) explain(r *mc.Request) Hop {
	h := Hop{Route: string(f.kind)}
	why := "if those before fail"
	if f.afterMiss {
		why = "if those before fail or miss"
	}
	order := f.ordered(r.Key)
	for i := range f.children {
		at := i
		if order != nil {
			at = order[i]
		}
		next := explain(f.children[at], r)
		if i > 0 {
			next = next.askedLater(why)
		}
		h.Next = append(h.Next, next)
	}
	return h
}

func (s *shadow) explain(r *mc.Request) Hop {
	h := through(RouteShadow, "", s.target, r)
	for _, to := range s.copies {
		if to.wantsKey(r.Key) {
			h.Next = append(h.Next, explain(to.target, r).because("a copy; nobody waits for its answer"))
		}
	}
	return h
}

func (m *migrate) explain(r *mc.Request) Hop {
	from, to := m.sides(r)
	switch {
	case from && to:
		return all(RouteMigrate, []forwarder{m.from, m.to}, r, "between the two")
	case to:
		return through(RouteMigrate, "the key has moved", m.to, r)
	}
	return through(RouteMigrate, "the key has not moved yet", m.from, r)
}

func (w *filling) explain(r *mc.Request) Hop {
	h := through(w.kind, "", w.cold, r)
	switch {
	case r.Op == mc.MetaDebug:
	case r.Op.Reads():
		question := *r
		question.Op = mc.Get
		h.Next = append(h.Next, explain(w.warm, &question).askedLater("if that misses; what it has is added"))
	case w.kind == RouteWarmUp && r.Op != mc.Touch:
		h.Next = append(h.Next, explain(w.warm, deleteOf(r)).because("what it holds is deleted"))
	}
	return h
}

func (m *modifyKey) explain(r *mc.Request) Hop {
	key, _ := m.modified(r.Key)
	inner := *r
	inner.Key = key
	return through(RouteModifyKey, fmt.Sprintf("key %q", key), m.target, &inner)
}

func (c *toCluster) explain(r *mc.Request) Hop { return explain(c.route(), r) }

func (m *modifyExptime) explain(r *mc.Request) Hop {
	return through(RouteModifyExptime, fmt.Sprintf("%s %v", m.action, m.limit), m.target, r)
}

func (r *rateLimit) explain(request *mc.Request) Hop {
	return through(RouteRateLimit, "", r.target, request)
}

func (o *outstandingLimit) explain(r *mc.Request) Hop {
	return through(RouteOutstandingLimit, fmt.Sprintf("%d on their way", o.limit), o.target, r)
}

func (g *logging) explain(r *mc.Request) Hop { return through(RouteLogging, "", g.target, r) }

func (n nothingHeld) explain(*mc.Request) Hop {
	return Hop{Route: string(n.kind), Why: "answers as if nothing were held"}
}

func (r refusing) explain(*mc.Request) Hop {
	return Hop{Route: string(RouteError), Why: "answers SERVER_ERROR " + r.text}
}

func (g *fillGuard) explain(r *mc.Request) Hop { return explain(g.target, r) }
