package router

import (
	"fmt"

	"holdfast/mc"
)

// How the pools and their members explain themselves: see Hop.

func (p pooled) explain(r *mc.Request) Hop {
	h := Hop{Route: string(RoutePool), Name: p.pool.options.Name, Next: []Hop{explain(p.to, r)}}
	if inner := h.Next[0]; inner.Route == "" { // it only says which members
		h.Why, h.Next = inner.Why, inner.Next
	}
	return h
}

// asMember explains a member of a pool.
func (m *member) explain(why string) Hop {
	h := Hop{Route: "member", Name: m.name, Address: cacheAddress}
	if m.to != nil {
		h.Address = m.to.address
		if state := m.to.state.Load(); state != stateUp {
			h.Why = stateNames[state]
		}
	}
	return h.because(why)
}

func (s *sharded) explain(r *mc.Request) Hop {
	return Hop{Next: []Hop{s.members[s.ring.Owner(r.Key)].explain("owns the key")}}
}

func (s *ejecting) explain(r *mc.Request) Hop {
	owner := s.ring.Owner(r.Key)
	i := s.ring.OwnerAmong(r.Key, s.memberUp)
	switch {
	case i < 0:
		return Hop{Why: "no member is up"}
	case i != owner:
		return Hop{Next: []Hop{s.members[i].explain("its owner, " + s.members[owner].name + ", is down")}}
	}
	return Hop{Next: []Hop{s.members[i].explain("owns the key")}}
}

func (g *guttered) explain(r *mc.Request) Hop {
	m := g.members[g.ring.Owner(r.Key)]
	gutter := explain(g.gutter(), r)
	if gutter.Route == "" && len(gutter.Next) == 1 {
		gutter = gutter.Next[0]
	}
	if !m.up() {
		return Hop{Next: []Hop{gutter.because(fmt.Sprintf("the owner, %s, is down", m.name))}}
	}
	return Hop{Next: []Hop{m.explain("owns the key"), gutter.askedLater("if the owner fails")}}
}

func (m missing) explain(r *mc.Request) Hop { return explain(m.to, r) }

func (c *chunked) explain(r *mc.Request) Hop { return explain(c.target, r) }

func (p *replicated) explain(r *mc.Request) Hop {
	intent := intentOf(r)
	if intent == intentWrite || intent == intentDepends {
		h := Hop{Why: "all members; acknowledge: " + string(p.options.Acknowledge)}
		for _, m := range p.members {
			h.Next = append(h.Next, m.explain(""))
		}
		return h
	}
	h := Hop{Why: "read: " + string(p.options.Read)}
	if intent == intentReadFirst {
		h.Why = "the first that is up"
	}
	first := max(0, p.first())
	for i := range p.members {
		m := p.members[(first+i)%len(p.members)]
		if i == 0 {
			h.Next = append(h.Next, m.explain(""))
		} else {
			h.Next = append(h.Next, m.explain("").askedLater("or it"))
		}
	}
	return h
}

func (m remote) explain(*mc.Request) Hop {
	return Hop{Route: "member", Name: m.to.address, Address: m.to.address}
}

func (g guarded) explain(r *mc.Request) Hop { return remote{g.to}.explain(r) }

func (localRoute) explain(*mc.Request) Hop {
	return Hop{Route: "member", Name: cacheAddress, Address: cacheAddress}
}
