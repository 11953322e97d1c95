package router

import (
	"fmt"

	"holdfast/mc"
	"holdfast/route"
	"holdfast/upstream"
)

// This file explains pools and their members: see route.Hop.

func (p pooled) explain(r *mc.Request) route.Hop {
	h := route.Hop{Route: string(route.KindPool), Name: p.pool.options.Name, Next: []route.Hop{explain(p.to, r)}}
	if inner := h.Next[0]; inner.Route == "" { // it only lists members
		h.Why, h.Next = inner.Why, inner.Next
	}
	return h
}

// explain explains a member of a pool.
func (m *member) explain(why string) route.Hop {
	h := route.Hop{Route: "member", Name: m.name, Address: cacheAddress}
	if m.to != nil {
		h.Address = m.to.Address
		if state := m.to.State(); state != upstream.StateUp {
			h.Why = state.String()
		}
	}
	return h.Because(why)
}

func (s *sharded) explain(r *mc.Request) route.Hop {
	return route.Hop{Next: []route.Hop{s.members[s.ring.Owner(r.Key)].explain("owns the key")}}
}

func (s *ejecting) explain(r *mc.Request) route.Hop {
	owner := s.ring.Owner(r.Key)
	i := s.ring.OwnerAmong(r.Key, s.memberUp)
	switch {
	case i < 0:
		return route.Hop{Why: "no member is up"}
	case i != owner:
		return route.Hop{Next: []route.Hop{s.members[i].explain("its owner, " + s.members[owner].name + ", is down")}}
	}
	return route.Hop{Next: []route.Hop{s.members[i].explain("owns the key")}}
}

func (g *guttered) explain(r *mc.Request) route.Hop {
	m := g.members[g.ring.Owner(r.Key)]
	gutter := explain(g.gutter(), r)
	if gutter.Route == "" && len(gutter.Next) == 1 {
		gutter = gutter.Next[0]
	}
	if !m.up() {
		return route.Hop{Next: []route.Hop{gutter.Because(fmt.Sprintf("the owner, %s, is down", m.name))}}
	}
	return route.Hop{Next: []route.Hop{m.explain("owns the key"), gutter.AskedLater("if the owner fails")}}
}

func (m missOnError) explain(r *mc.Request) route.Hop { return explain(m.to, r) }

func (c *chunked) explain(r *mc.Request) route.Hop { return explain(c.target, r) }

func (p *replicated) explain(r *mc.Request) route.Hop {
	intent := intentOf(r)
	if intent == intentWrite || intent == intentDepends {
		h := route.Hop{Why: "all members; acknowledge: " + string(p.options.Acknowledge)}
		for _, m := range p.members {
			h.Next = append(h.Next, m.explain(""))
		}
		return h
	}
	h := route.Hop{Why: "read: " + string(p.options.Read)}
	if intent == intentReadFirst {
		h.Why = "the first that is up"
	}
	first := max(0, p.first())
	for i := range p.members {
		m := p.members[(first+i)%len(p.members)]
		if i == 0 {
			h.Next = append(h.Next, m.explain(""))
		} else {
			h.Next = append(h.Next, m.explain("").AskedLater("or this one"))
		}
	}
	return h
}

func (m upstreamRoute) explain(*mc.Request) route.Hop {
	return route.Hop{Route: "member", Name: m.to.Address, Address: m.to.Address}
}

func (g guarded) explain(r *mc.Request) route.Hop { return upstreamRoute{g.to}.explain(r) }

func (localRoute) explain(*mc.Request) route.Hop {
	return route.Hop{Route: "member", Name: cacheAddress, Address: cacheAddress}
}
