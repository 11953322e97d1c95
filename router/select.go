package router

import (
	"bytes"
	"slices"
	"sync/atomic"

	"holdfast/mc"
	"holdfast/ring"
	"holdfast/upstream"
)

// hashed forwards a query to the child that owns its key.
type hashed struct {
	ring     *ring.Ring
	children []forwarder
}

func (h *hashed) forward(l *lane, q *query) { h.children[h.ring.Owner(q.request.Key)].forward(l, q) }

// bounded is hashed with a bound on the load: no child has more than factor times the mean number
// of requests in flight. The next child in the key's order takes those above it.
type bounded struct {
	hashed
	factor float64
	load   []atomic.Int64 // by child, over all lanes
	up     func(int) bool // children that aren't up get no requests; nil: all do
}

func newBounded(h hashed, factor float64, up func(int) bool) *bounded {
	return &bounded{hashed: h, factor: factor, load: make([]atomic.Int64, len(h.children)), up: up}
}

func (b *bounded) forward(l *lane, q *query) {
	i := b.ring.OwnerBounded(q.request.Key, b.loadOf, b.factor)
	if i < 0 {
		q.fail(l, upstream.Down, "no member is up")
		return
	}
	b.load[i].Add(1)
	c := &counted{outer: q, count: &b.load[i]}
	c.request, c.taker = q.request, c
	b.children[i].forward(l, &c.query)
}

func (b *bounded) loadOf(i int) int64 {
	if b.up != nil && !b.up(i) {
		return -1
	}
	return b.load[i].Load()
}

// bounded returns the pool's route with a bound on the load of its members, or with eject of those
// that are up.
func (s *sharded) bounded(factor float64, eject bool) *bounded {
	h := hashed{ring: s.ring}
	for _, m := range s.members {
		h.children = append(h.children, m.route)
	}
	if !eject {
		return newBounded(h, factor, nil)
	}
	return newBounded(h, factor, func(i int) bool { return s.members[i].up() })
}

// A counted is a query that is counted until it is answered.
type counted struct {
	query
	outer *query
	count *atomic.Int64
}

func (c *counted) take(l *lane, _ *query, a *upstream.Answer) {
	c.count.Add(-1)
	c.outer.taker.take(l, c.outer, a)
}

// byPrefix forwards a query to the route of the longest prefix that its key has.
type byPrefix struct {
	lengths   []int // of the prefixes, longest first
	routes    map[string]forwarder
	otherwise forwarder
}

func (p *byPrefix) add(prefix string, to forwarder) {
	p.routes[prefix] = to
	if at, found := slices.BinarySearchFunc(p.lengths, len(prefix), func(n, want int) int { return want - n }); !found {
		p.lengths = slices.Insert(p.lengths, at, len(prefix))
	}
}

func (p *byPrefix) forward(l *lane, q *query) { p.find(q.request.Key).forward(l, q) }

func (p *byPrefix) find(key []byte) forwarder {
	for _, n := range p.lengths {
		if n <= len(key) {
			if to, ok := p.routes[string(key[:n])]; ok {
				return to
			}
		}
	}
	return p.otherwise
}

// byOperation forwards a query to the route of its operation.
type byOperation struct {
	routes    [mc.DebugTime + 1]forwarder // nil stands for otherwise
	decrement forwarder                   // of an ma that decrements
	otherwise forwarder
}

// operationGroups are the further operations that a name stands for, unless they are named
// themselves.
var operationGroups = map[string][]mc.Op{
	"get":    {mc.Gets, mc.Gat, mc.Gats, mc.MetaGet, mc.MetaDebug},
	"gat":    {mc.Gats},
	"set":    {mc.Add, mc.Replace, mc.Append, mc.Prepend, mc.CAS, mc.MetaSet},
	"delete": {mc.MetaDelete},
	"mg":     {mc.MetaDebug},
}

// parseOp returns the operation with this name on the wire.
func parseOp(name string) (mc.Op, bool) {
	for op := mc.Get; op <= mc.MetaDebug; op++ {
		if op.String() == name {
			return op, true
		}
	}
	return mc.Invalid, false
}

// newByOperation takes names that have passed route's Check. A smaller group goes before a larger
// one.
func newByOperation(named map[string]forwarder, otherwise forwarder) *byOperation {
	s := &byOperation{otherwise: otherwise}
	for _, group := range []string{"gat", "mg", "get", "set", "delete"} {
		for _, op := range operationGroups[group] {
			if to, ok := named[group]; ok && s.routes[op] == nil {
				s.routes[op] = to
			}
		}
	}
	s.routes[mc.MetaArithmetic], s.decrement = named["incr"], named["decr"]
	for name, to := range named {
		if op, ok := parseOp(name); ok {
			s.routes[op] = to
		}
	}
	if to, ok := named["ma"]; ok {
		s.decrement = to
	}
	return s
}

func (s *byOperation) forward(l *lane, q *query) { s.find(q.request).forward(l, q) }

func (s *byOperation) find(r *mc.Request) forwarder {
	to := s.routes[r.Op]
	if r.Op == mc.MetaArithmetic && decrements(r) {
		to = s.decrement
	}
	if to == nil {
		return s.otherwise
	}
	return to
}

// random forwards each query to a child that is chosen at random.
type random []forwarder

func (routes random) forward(l *lane, q *query) {
	routes[l.rand()%uint64(len(routes))].forward(l, q)
}

// A spread is a hash of a key for choices that all routers must make alike. The key is hashed up to
// "|#|", mcrouter's stop, so that keys which are placed together are chosen together.
type spread uint64

func spreadOf(key []byte) spread {
	if i := bytes.Index(key, []byte("|#|")); i >= 0 {
		key = key[:i]
	}
	return spreadOfText(key)
}

func spreadOfText[T ~string | ~[]byte](text T) spread {
	h := uint64(14695981039346656037) // FNV-1a, then the end of MurmurHash3, since FNV mixes the high bits poorly
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return spread(h ^ h>>33)
}

// fraction maps s to [0, 1).
func (s spread) fraction() float64 { return float64(s>>11) / (1 << 53) }

// below maps s to [0, n).
func (s spread) below(n int) int { return int(uint64(s) % uint64(n)) }
