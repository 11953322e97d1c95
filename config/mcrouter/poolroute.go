package mcrouter

import (
	"holdfast/route"
)

// placements maps mcrouter's hash functions to ring's placements.
var placements = map[string]string{
	"Ch3":                "ch3",
	"WeightedCh3":        "weighted_ch3",
	"Crc32":              "crc32",
	"ConstShard":         "const_shard",
	"Rendezvous":         "mcrouter_rendezvous",
	"WeightedRendezvous": "weighted_rendezvous",
}

// poolHandle is the handle Pool: a route to each server.
func (b *builder) poolHandle(path string, v any) []route.Route {
	if s := b.pools.use(path, v); s != nil {
		routes := b.pools.each(s)
		b.count(path, len(routes))
		return routes
	}
	return one(unusable)
}

// unusable replaces a route that has a fault, so that the fault causes no further ones.
var unusable = route.Route{Kind: route.KindNull}

func (b *builder) poolRoute(path string, v any) []route.Route {
	o, ok := v.(*object)
	if !ok {
		s := b.pools.use(path, v)
		if s == nil {
			return one(unusable)
		}
		if s.place == 0 {
			return one(s.ifEmpty)
		}
		return one(route.Route{Kind: route.KindPool, Pool: s.name, Hash: b.pools.hashOf(s, s.own)})
	}
	r := b.reader(path, o)
	pool, found := r.get("pool")
	if !found {
		b.fault(path, "pool is missing")
		return nil
	}
	s := b.pools.use(r.at("pool"), pool)
	made := unusable
	if s != nil && s.place != 0 {
		made = b.toPool(r, s)
	} else {
		for _, key := range []string{"hash", "shadows", "shadow_policy", "max_outstanding", "slow_warmup"} {
			r.get(key) // of no use without the pool
		}
		if s != nil {
			made = s.ifEmpty
		}
	}
	if rates, found := r.get("rates"); found {
		made = b.rateLimit(r.at("rates"), rates, made)
	}
	r.ignore("failed deletes are recorded in the journal", "asynclog", "asynclog_name")
	r.ignore("it controls a feature that only mcrouter has", "pool_id", "shard_splits_rv")
	r.onlyDefault(false, "bucketize", "distribution_enabled", "axonlog", "useBucketHashSelector")
	made = b.shardSplits(r, made)
	r.end()
	return one(made)
}

// toPool returns a route to the pool with the limits, shadows and hash of its PoolRoute.
func (b *builder) toPool(r *reader, s *source) route.Route {
	if n := r.int("max_outstanding"); n < 0 {
		b.fault(r.at("max_outstanding"), "%d is negative", n)
	} else if n > 0 {
		b.pools.limit(r, s, n)
	}
	r.ignore("a member that returns empty gets all of its requests at once", "slow_warmup")
	r.onlyDefault("default", "shadow_policy")
	made := b.hashed(r, s)
	shadows := b.shadows(r)
	var own []route.Shadow
	for _, shadow := range shadows {
		if m := shadow.Members; m != nil {
			if m[0] >= s.servers {
				b.warn(r.at("shadows"), "the pool has no server %d: the shadow is ignored", m[0])
				continue
			}
			if m[1] = min(m[1], s.servers-1); m[0] == 0 && m[1] == s.servers-1 {
				shadow.Members = nil
			}
		}
		if shadow.Members != nil && made.Kind != route.KindPool {
			b.fault(r.at("shadows"), "index_range isn't supported with this hash")
		}
		own = append(own, shadow)
	}
	if own == nil {
		return made
	}
	return route.Route{Kind: route.KindShadow, Target: &made, Shadows: own}
}

// limit sets how many requests may be in flight to each member. A pool has one such limit.
func (ps *pools) limit(r *reader, s *source, n int) {
	p := &ps.made[s.place-1]
	if p.MaxInFlight != 0 && p.MaxInFlight != n {
		ps.fault(r.at("max_outstanding"), "pool %q already has another limit, %d", s.name, p.MaxInFlight)
	}
	p.MaxInFlight = n
}

// hashed returns a route to the pool with the hash of its option hash.
func (b *builder) hashed(r *reader, s *source) route.Route {
	v, found := r.get("hash")
	if !found {
		return route.Route{Kind: route.KindPool, Pool: s.name, Hash: b.pools.hashOf(s, s.own)}
	}
	o, ok := v.(*object)
	if name, isName := v.(string); isName {
		o, ok = newObject(), true
		o.set("hash_func", name)
	}
	if !ok {
		b.fault(r.at("hash"), "must be a hash function or a mapping, not %s", typeName(v))
		return route.Route{Kind: route.KindPool, Pool: s.name}
	}
	h := b.reader(r.at("hash"), o)
	if h.string("hash_func") == "Latest" {
		made := b.latest(h, b.pools.each(s))
		h.end()
		return made
	}
	hash, tags := readHash(h, s.own, s.servers)
	b.pools.tag(h, s, tags)
	h.end()
	return route.Route{Kind: route.KindPool, Pool: s.name, Hash: b.pools.hashOf(s, hash)}
}

// tag names the members by their tags, which are what a rendezvous hash places.
func (ps *pools) tag(h *reader, s *source, tags []string) {
	if tags == nil {
		return
	}
	p := &ps.made[s.place-1]
	if len(tags) != len(p.Members) {
		ps.fault(h.at("tags"), "%d tags for %d servers", len(tags), len(p.Members))
		return
	}
	for i := range p.Members {
		m := &p.Members[i]
		if m.Name != "" && m.Name != tags[i] {
			ps.fault(h.at("tags"), "server %s already has another name, %s", m.Address, m.Name)
		}
		if m.Address != tags[i] {
			m.Name = tags[i]
		}
	}
}

// readHash reads hash_func, salt, weights and tags; own is the hash without them.
func readHash(h *reader, own route.Hash, n int) (hash route.Hash, tags []string) {
	hash = own
	if name := h.string("hash_func"); name != "" {
		placement, found := placements[name]
		if !found {
			h.fault(h.at("hash_func"), "%s isn't supported", name)
		}
		hash.Placement = placement
	}
	hash.Salt = h.string("salt")
	weights := h.numbers("weights")
	h.onlyDefault(false, "bucketize")
	switch hash.Placement {
	case "weighted_ch3", "weighted_rendezvous":
		if weights != nil {
			hash.Weights = fitWeights(weights, n)
		}
		if hash.Weights == nil {
			h.fault(h.path, "weights is missing")
		}
	default:
		hash.Weights = nil
	}
	for i, w := range hash.Weights {
		if !(w >= 0 && w <= 1) {
			h.fault(h.path, "weight %d, %v, is not in [0, 1]", i, w)
		}
	}
	tags = h.strings("tags")
	return hash, tags
}

func (b *builder) hashRoute(path string, v any) []route.Route {
	r, children := b.children(path, v)
	if r == nil {
		r = b.reader(path, newObject())
	}
	if r.string("hash_func") == "Latest" {
		made := b.latest(r, children)
		r.end()
		return one(made)
	}
	hash, tags := readHash(r, route.Hash{Placement: "ch3"}, len(children))
	rendezvous := hash.Placement == "mcrouter_rendezvous" || hash.Placement == "weighted_rendezvous"
	if rendezvous && len(tags) != len(children) {
		b.fault(r.path, "%d tags for %d children", len(tags), len(children))
		tags = nil
	}
	errorOnEmpty := !r.has("error_on_empty") || r.bool("error_on_empty")
	r.end()
	if len(children) == 0 {
		if errorOnEmpty {
			return one(route.Route{Kind: route.KindError, Response: "a hash route has no children"})
		}
		return one(route.Route{Kind: route.KindNull})
	}
	if rendezvous && tags != nil {
		children = append([]route.Route{}, children...)
		for i := range children {
			children[i].Name = tags[i]
		}
	}
	return one(route.Route{Kind: route.KindHash, Children: children, Hash: hash})
}
