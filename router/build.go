package router

import (
	"errors"
	"fmt"

	"holdfast/ring"
	"holdfast/route"
	"holdfast/upstream"
)

// A builder makes a tree of route.Options that have passed their Check.
type builder struct {
	router *Router
	tree   *tree
	pools  map[string]*pool

	layered map[*pool]bool // pools whose routes have their layers
	fills   *fills         // nil if no route fills another
	clock   clock
}

// build makes the tree of o. r.mu is held.
func (r *Router) build(o route.Options) (*tree, error) {
	o.SetDefaults()
	if faults := o.Check(); len(faults) > 0 {
		return nil, faults
	}
	b := &builder{
		router: r, tree: &tree{options: o}, pools: map[string]*pool{}, layered: map[*pool]bool{}, clock: r.elapsed,
	}
	if err := b.build(); err != nil {
		r.release(b.tree)
		return nil, err
	}
	return b.tree, nil
}

func (b *builder) build() error {
	t := b.tree
	for i := range t.options.Pools {
		p, err := b.pool(&t.options.Pools[i])
		if err != nil {
			return fmt.Errorf("pool %q: %w", t.options.Pools[i].Name, err)
		}
		b.pools[p.options.Name] = p
		t.pools = append(t.pools, p)
	}
	if t.options.NeedFills() {
		b.fills = b.router.sharedFills()
		t.fills = b.fills
	}
	b.layers()
	if err := b.clusters(); err != nil {
		return err
	}
	return b.entries()
}

func (b *builder) pool(o *route.Pool) (*pool, error) {
	p := &pool{options: o}
	for i := range o.Members {
		m, err := b.member(o, &o.Members[i])
		if err != nil {
			return nil, fmt.Errorf("member %q: %w", o.Members[i].Name, err)
		}
		p.members = append(p.members, m)
	}
	var err error
	if o.Kind == route.Replicated {
		p.route = b.replicated(o, p)
	} else if p.route, err = b.sharded(o, p.members); err != nil {
		return nil, err
	}
	if o.OnError == route.ErrorAsMiss {
		p.route = missOnError{p.route}
	}
	return p, nil
}

func (b *builder) sharded(o *route.Pool, members []*member) (forwarder, error) {
	placed := make([]ring.Member, len(members))
	for i, m := range members {
		placed[i] = ring.Member{Name: m.name, Weight: o.Members[i].Weight}
	}
	placement, err := ring.New(o.Hash.RingOptions(), placed)
	if err != nil {
		return nil, err
	}
	s := sharded{placement, members, o.KeepRoutingPrefix}
	switch load := o.Hash.Load; {
	case o.Failover != "":
		gutter := func() forwarder { return b.pools[o.Failover].route }
		return &guttered{s, gutter, o.FailoverTTL, b.router.latchesOf(o.Name), ledgerID(o.Name)}, nil
	case load > 0:
		return s.bounded(load, o.Eject), nil
	case o.Eject:
		return &ejecting{s}, nil
	}
	return &s, nil
}

func (b *builder) replicated(o *route.Pool, p *pool) forwarder {
	p.replicated = &replicated{options: o, members: p.members, near: nearMembers(o), latches: b.router.latchesOf(o.Name),
		id: ledgerID(o.Name)}
	return p.replicated
}

// cacheAddress is the address that stands for the cache of this process.
const cacheAddress = "cache"

func (b *builder) member(o *route.Pool, m *route.Member) (*member, error) {
	made := &member{name: m.Name}
	if m.Address == cacheAddress {
		if b.router.local == nil {
			return nil, errors.New("this process has no cache")
		}
		made.route = localRoute{b.router.local}
		return made, nil
	}
	s := upstream.Settings{
		Timeout: o.Timeout, Connect: o.ConnectTimeout, Links: o.Connections,
		SoftErrors: o.SoftErrors, ProbeMin: o.ProbeMin, ProbeMax: o.ProbeMax,
		MaxInFlight: max(1, o.MaxInFlight/len(b.router.lanes)/o.Connections),
	}
	var err error
	if b.journaled(o) {
		shared := "" // all sharded pools share an upstream, and what it missed by any of them
		if o.Kind == route.Replicated {
			shared = o.Name
		}
		made.to, err = b.router.replica(shared, m.Address, s)
	} else {
		made.to = b.router.plain(m.Address, s)
	}
	if err != nil {
		return nil, err
	}
	made.refill, _ = made.to.Watcher().(*refill)
	made.route = upstreamRoute{made.to}
	if o.Kind != route.Replicated && o.Failover == "" && made.to.Journaled {
		made.route = guarded{made.to, o.Journal, ledgerID(o.Name)}
	}
	b.tree.upstreams = append(b.tree.upstreams, made.to)
	return made, nil
}

// journaled reports whether the members of a pool have journals.
func (b *builder) journaled(o *route.Pool) bool {
	if o.Kind == route.Replicated || o.Failover != "" || o.Journal {
		return true
	}
	for _, other := range b.tree.options.Pools {
		if other.Failover == o.Name {
			return true
		}
	}
	return false
}
