package router

import (
	"fmt"

	"holdfast/mc"
	"holdfast/route"
)

// Explain returns where a request with this operation and key would go now. It sends nothing. If
// the key's prefix names several clusters, there is a hop for each.
func (r *Router) Explain(op mc.Op, key []byte) []route.Hop { return r.tree.Load().explain(op, key) }

func (t *tree) explain(op mc.Op, key []byte) []route.Hop {
	r := &mc.Request{Op: op, Key: key}
	region, name, rest, ok := route.CutCluster(key)
	if !ok || len(t.clusters) == 0 {
		return []route.Hop{explain(t.root, r)}
	}
	r.Key = rest
	var hops []route.Hop
	for _, c := range t.clustersOf(region, name) {
		hop := explain(c.route, r)
		hops = append(hops, route.Hop{Route: "cluster", Name: "/" + c.region + "/" + c.name + "/", Next: []route.Hop{hop}})
	}
	for i := range hops {
		if i > 0 {
			hops[i].Why = "its answer is dropped"
		}
	}
	return hops
}

// An explained is a forwarder that can explain where it forwards a request to.
type explained interface{ explain(r *mc.Request) route.Hop }

func explain(to forwarder, r *mc.Request) route.Hop {
	if e, ok := to.(explained); ok {
		return e.explain(r)
	}
	return route.Hop{Route: fmt.Sprintf("%T", to)}
}

// all explains a route whose children all get the request.
func all(kind route.Kind, routes []forwarder, r *mc.Request, why string) route.Hop {
	h := route.Hop{Route: string(kind), Why: why}
	for _, to := range routes {
		h.Next = append(h.Next, explain(to, r))
	}
	return h
}

// through explains a route that forwards the request to one other.
func through(kind route.Kind, why string, to forwarder, r *mc.Request) route.Hop {
	return route.Hop{Route: string(kind), Why: why, Next: []route.Hop{explain(to, r)}}
}

func (routes allSync) explain(r *mc.Request) route.Hop {
	return all(route.KindAllSync, routes, r, "answers with the worst answer")
}

func (routes allAsync) explain(r *mc.Request) route.Hop {
	return all(route.KindAllAsync, routes, r, "answers at once, as if nothing were held")
}

func (routes allInitial) explain(r *mc.Request) route.Hop {
	return all(route.KindAllInitial, routes, r, "answers with the first one's answer")
}

func (routes allMajority) explain(r *mc.Request) route.Hop {
	return all(route.KindAllMajority, routes, r, "answers with the answer of most")
}

func (routes allFastest) explain(r *mc.Request) route.Hop {
	return all(route.KindAllFastest, routes, r, "answers with the first answer that is no error")
}

func (routes random) explain(r *mc.Request) route.Hop {
	return all(route.KindRandom, routes, r, "one of them")
}

func (h *hashed) explain(r *mc.Request) route.Hop {
	i := h.ring.Owner(r.Key)
	return through(route.KindHash, fmt.Sprintf("child %d of %d by hash", i, len(h.children)), h.children[i], r)
}

func (b *bounded) explain(r *mc.Request) route.Hop {
	i := b.ring.OwnerBounded(r.Key, b.loadOf, b.factor)
	if i < 0 {
		return route.Hop{Route: string(route.KindHash), Why: "none is up"}
	}
	return through(route.KindHash, fmt.Sprintf("child %d of %d by hash and load", i, len(b.children)), b.children[i], r)
}

func (p *byPrefix) explain(r *mc.Request) route.Hop {
	why := "no prefix matches"
	for _, n := range p.lengths {
		if n <= len(r.Key) && p.routes[string(r.Key[:n])] != nil {
			why = fmt.Sprintf("prefix %q", r.Key[:n])
			break
		}
	}
	return through(route.KindPrefixSelector, why, p.find(r.Key), r)
}

func (s *byOperation) explain(r *mc.Request) route.Hop {
	return through(route.KindOperationSelector, "operation "+r.Op.String(), s.find(r), r)
}

func (f *failover) explain(r *mc.Request) route.Hop {
	h := route.Hop{Route: string(f.kind)}
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
			next = next.AskedLater(why)
		}
		h.Next = append(h.Next, next)
	}
	return h
}

func (s *shadow) explain(r *mc.Request) route.Hop {
	h := through(route.KindShadow, "", s.target, r)
	for _, to := range s.copies {
		if to.wantsKey(r.Key) {
			h.Next = append(h.Next, explain(to.target, r).Because("a copy; its answer is dropped"))
		}
	}
	return h
}

func (m *migrate) explain(r *mc.Request) route.Hop {
	from, to := m.sides(r)
	switch {
	case from && to:
		return all(route.KindMigrate, []forwarder{m.from, m.to}, r, "to both")
	case to:
		return through(route.KindMigrate, "the key has moved", m.to, r)
	}
	return through(route.KindMigrate, "the key has not moved yet", m.from, r)
}

func (w *filling) explain(r *mc.Request) route.Hop {
	h := through(w.kind, "", w.cold, r)
	switch {
	case r.Op == mc.MetaDebug:
	case r.Op.Reads():
		question := *r
		question.Op = mc.Get
		h.Next = append(h.Next, explain(w.warm, &question).AskedLater("after a miss; its item is then added"))
	case w.kind == route.KindWarmUp && r.Op != mc.Touch:
		h.Next = append(h.Next, explain(w.warm, deleteOf(r)).Because("its item is deleted"))
	}
	return h
}

func (m *modifyKey) explain(r *mc.Request) route.Hop {
	key, _ := m.modified(r.Key)
	inner := *r
	inner.Key = key
	return through(route.KindModifyKey, fmt.Sprintf("key %q", key), m.target, &inner)
}

func (c *toCluster) explain(r *mc.Request) route.Hop { return explain(c.route(), r) }

func (m *modifyExptime) explain(r *mc.Request) route.Hop {
	return through(route.KindModifyExptime, fmt.Sprintf("%s %v", m.action, m.limit), m.target, r)
}

func (r *rateLimit) explain(request *mc.Request) route.Hop {
	return through(route.KindRateLimit, "", r.target, request)
}

func (o *outstandingLimit) explain(r *mc.Request) route.Hop {
	return through(route.KindOutstandingLimit, fmt.Sprintf("at most %d in flight", o.limit), o.target, r)
}

func (g *logging) explain(r *mc.Request) route.Hop {
	return through(route.KindLogging, "", g.target, r)
}

func (n nothingHeld) explain(*mc.Request) route.Hop {
	return route.Hop{Route: string(n.kind), Why: "answers as if nothing were held"}
}

func (r refusing) explain(*mc.Request) route.Hop {
	return route.Hop{Route: string(route.KindError), Why: "answers SERVER_ERROR " + r.text}
}

func (g *fillGuard) explain(r *mc.Request) route.Hop { return explain(g.target, r) }
