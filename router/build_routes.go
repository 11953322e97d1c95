package router

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"holdfast/mc"
	"holdfast/ring"
	"holdfast/route"
)

// route makes a route of options that have passed their Check.
func (b *builder) route(o *route.Route) (forwarder, error) {
	switch o.Kind {
	case route.KindPool:
		return b.poolRoute(o)
	case route.KindPrefixSelector, route.KindOperationSelector:
		return b.selector(o)
	case route.KindShadow:
		return b.shadow(o)
	case route.KindMigrate:
		from, to, err := b.two(o.From, o.To)
		return &migrate{from: from, to: to, start: o.Start, interval: o.Interval, now: b.router.now}, err
	case route.KindWarmUp, route.KindL1L2Cache:
		cold, warm, err := b.two(o.Cold, o.Warm)
		return b.filling(o.Kind, cold, warm, o.Exptime, o.NegativeTTL), err
	case route.KindModifyKey, route.KindModifyExptime, route.KindRateLimit, route.KindOutstandingLimit,
		route.KindLogging, route.KindShardSplit:
		return b.before(o)
	case route.KindDevNull, route.KindNull:
		return nothingHeld{o.Kind}, nil
	case route.KindError:
		return refusing{cmp.Or(o.Response, "this route answers with an error")}, nil
	}
	return b.among(o)
}

// routes makes the routes of the children.
func (b *builder) routes(children []route.Route) ([]forwarder, error) {
	made := make([]forwarder, len(children))
	for i := range children {
		var err error
		if made[i], err = b.route(&children[i]); err != nil {
			return nil, fmt.Errorf("children[%d]: %w", i, err)
		}
	}
	return made, nil
}

func (b *builder) two(first, second *route.Route) (forwarder, forwarder, error) {
	one, err := b.route(first)
	if err != nil {
		return nil, nil, err
	}
	other, err := b.route(second)
	return one, other, err
}

// among makes the routes that have children.
func (b *builder) among(o *route.Route) (forwarder, error) {
	children, err := b.routes(o.Children)
	if err != nil {
		return nil, err
	}
	switch o.Kind {
	case route.KindHash:
		return b.hash(o, children)
	case route.KindAllSync:
		return allSync(children), nil
	case route.KindAllAsync:
		return allAsync(children), nil
	case route.KindAllInitial:
		return allInitial(children), nil
	case route.KindAllMajority:
		return allMajority(children), nil
	case route.KindAllFastest:
		return allFastest(children), nil
	case route.KindRandom:
		return random(children), nil
	case route.KindHostID:
		return children[spreadOfText(b.host()+o.Hash.Salt).below(len(children))], nil
	case route.KindFailover, route.KindMissFailover:
		return b.failover(o, children, o.RingMembers())
	case route.KindLatest:
		return b.latest(o, children)
	}
	return nil, fmt.Errorf("unknown kind %q", o.Kind)
}

func (b *builder) hash(o *route.Route, children []forwarder) (forwarder, error) {
	placed, err := ring.New(o.Hash.RingOptions(), o.RingMembers())
	if err != nil {
		return nil, err
	}
	h := hashed{placed, children}
	if o.Hash.Load > 0 {
		return newBounded(h, o.Hash.Load, nil), nil
	}
	return &h, nil
}

// host returns the name by which this host makes its choices.
func (b *builder) host() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

// latest orders the children at random, in an order that this process keeps over reloads.
func (b *builder) latest(o *route.Route, children []forwarder) (forwarder, error) {
	start := b.router.started.UnixNano()
	members := o.RingMembers()
	order, err := ring.New(ring.Options{}, members)
	if err != nil {
		return nil, err
	}
	seed := fmt.Sprintf("%s %d %d %s", b.host(), os.Getpid(), start, o.Hash.Salt)
	var own []forwarder
	var names []ring.Member
	for _, i := range order.Next(nil, []byte(seed), cmp.Or(o.Latest, len(children))) {
		own, names = append(own, children[i]), append(names, members[i])
	}
	return b.failover(o, own, names)
}

func (b *builder) failover(o *route.Route, children []forwarder, names []ring.Member) (forwarder, error) {
	p := &o.Failover
	f := &failover{
		kind: o.Kind, children: children, afterMiss: o.Kind == route.KindMissFailover, maxTries: p.MaxTries,
		limit: newFailoverLimit(p, b.clock), ttl: o.Exptime, order: p.Order,
	}
	f.setErrors(classRead, p.Reads, f.afterMiss)
	f.setErrors(classUpdate, p.Updates, f.afterMiss)
	f.setErrors(classDelete, p.Deletes, f.afterMiss)
	if p.Order == route.LeastFailures {
		f.countFailures()
	}
	var err error
	if p.Order == route.InRendezvousOrder && len(children) > 2 {
		f.ring, err = ring.New(ring.Options{}, names[1:])
	}
	return f, err
}

func (b *builder) selector(o *route.Route) (forwarder, error) {
	var otherwise forwarder = nothingHeld{route.KindNull}
	if o.Default != nil {
		var err error
		if otherwise, err = b.route(o.Default); err != nil {
			return nil, err
		}
	}
	if o.Kind == route.KindOperationSelector {
		named := map[string]forwarder{}
		for i := range o.Operations {
			to, err := b.route(&o.Operations[i].Route)
			if err != nil {
				return nil, err
			}
			for _, name := range o.Operations[i].Operations {
				named[name] = to
			}
		}
		return newByOperation(named, otherwise), nil
	}
	s := &byPrefix{routes: map[string]forwarder{}, otherwise: otherwise}
	for i := range o.Prefixes {
		to, err := b.route(&o.Prefixes[i].Route)
		if err != nil {
			return nil, err
		}
		s.add(o.Prefixes[i].Prefix, to)
	}
	return s, nil
}

// before makes the routes that stand before a target.
func (b *builder) before(o *route.Route) (forwarder, error) {
	target, err := b.route(o.Target)
	if err != nil {
		return nil, err
	}
	switch o.Kind {
	case route.KindModifyKey:
		return b.modifyKey(o, target)
	case route.KindModifyExptime:
		if o.ExptimeAction == route.ExptimeMin && o.Exptime == 0 {
			return target, nil
		}
		return &modifyExptime{target: target, action: o.ExptimeAction, limit: o.Exptime}, nil
	case route.KindRateLimit:
		return newRateLimit(target, o.Rates, b.clock), nil
	case route.KindShardSplit:
		return newShardSplit(b.guard(target), o.ShardSplits, b.host(), b.router.now), nil
	case route.KindOutstandingLimit:
		return &outstandingLimit{target: target, limit: o.MaxInFlight}, nil
	}
	return &logging{log: b.router.log, name: cmp.Or(o.Name, string(route.KindLogging)), target: target}, nil
}

func (b *builder) modifyKey(o *route.Route, target forwarder) (forwarder, error) {
	if prefix := []byte(o.EnsureKeyPrefix); !mc.IsGraphic(prefix) || len(prefix) >= mc.MaxKeyBytes {
		return nil, fmt.Errorf("ensure_key_prefix %q is no part of a key", o.EnsureKeyPrefix)
	}
	if at, ok := b.cluster(o.SetCluster); ok {
		target = &toCluster{b.tree, at}
	}
	return &modifyKey{target: b.guard(target), ensure: o.EnsureKeyPrefix, replace: o.ReplaceKeyPrefix}, nil
}

// cluster returns the index in tree.clusters that the route of keys with this prefix has or will
// have;
// -1 is the root.
func (b *builder) cluster(prefix string) (int, bool) {
	o := &b.tree.options
	if prefix == "" {
		return 0, false
	}
	if prefix == o.DefaultCluster {
		return -1, true
	}
	at := slices.IndexFunc(o.Clusters, func(c route.ClusterRoute) bool { return c.Prefix == prefix })
	return at, at >= 0
}

func (b *builder) shadow(o *route.Route) (forwarder, error) {
	target, err := b.route(o.Target)
	if err != nil {
		return nil, err
	}
	s := &shadow{target: target}
	for i := range o.Shadows {
		to, err := b.shadowed(&o.Shadows[i], o.Target)
		if err != nil {
			return nil, fmt.Errorf("shadows[%d]: %w", i, err)
		}
		s.copies = append(s.copies, to)
	}
	return s, nil
}

func (b *builder) shadowed(o *route.Shadow, target *route.Route) (*shadowed, error) {
	to, err := b.route(&o.Route)
	if err != nil {
		return nil, err
	}
	s := newShadowed(to, o)
	if len(o.Members) == 0 {
		return s, nil
	}
	s.first, s.last = o.Members[0], o.Members[1]
	pool := *b.pools[target.Pool].options
	if pool.Kind == route.Replicated {
		return nil, errors.New("members of a replicated pool get all requests: they can't be told apart")
	}
	if !target.Hash.IsZero() {
		pool.Hash = target.Hash
	}
	s.ring, err = ring.New(pool.Hash.RingOptions(), pool.RingMembers())
	return s, err
}

// clusters makes the root and the routes of keys with a routing prefix.
func (b *builder) clusters() error {
	t := b.tree
	root, err := b.route(&t.options.Route)
	if err != nil {
		return fmt.Errorf("route: %w", err)
	}
	t.root = b.guard(root)
	for i := range t.options.Clusters {
		o := &t.options.Clusters[i]
		to, err := b.route(&o.Route)
		if err != nil {
			return fmt.Errorf("cluster %s: %w", o.Prefix, err)
		}
		region, name, _ := route.ParseCluster(o.Prefix)
		t.clusters = append(t.clusters, cluster{region, name, b.guard(to)})
	}
	if region, name, ok := route.ParseCluster(t.options.DefaultCluster); ok {
		t.clusters = append(t.clusters, cluster{region, name, t.root})
	}
	return b.checkClusters()
}

// checkClusters returns an error if set_cluster leads from a route back to itself, since a request
// would never be answered.
func (b *builder) checkClusters() error {
	o := &b.tree.options
	next := func(at int) []int {
		r := &o.Route
		if at >= 0 {
			r = &o.Clusters[at].Route
		}
		return b.leadsTo(r)
	}
	name := func(at int) string {
		if at < 0 {
			return "route"
		}
		return o.Clusters[at].Prefix
	}
	done := map[int]bool{}
	var visit func(at int, way []int) error
	visit = func(at int, way []int) error {
		if i := slices.Index(way, at); i >= 0 {
			var names []string
			for _, w := range append(way[i:], at) {
				names = append(names, name(w))
			}
			return fmt.Errorf("set_cluster forms a cycle: %s", strings.Join(names, " → "))
		}
		if done[at] {
			return nil
		}
		for _, to := range next(at) {
			if err := visit(to, append(slices.Clip(way), at)); err != nil {
				return err
			}
		}
		done[at] = true
		return nil
	}
	for at := -1; at < len(o.Clusters); at++ {
		if err := visit(at, nil); err != nil {
			return err
		}
	}
	return nil
}

// leadsTo returns the clusters that a route, or one within it, sends requests to.
func (b *builder) leadsTo(r *route.Route) []int {
	var to []int
	if at, ok := b.cluster(r.SetCluster); ok {
		to = append(to, at)
	}
	for _, n := range r.Nested() {
		to = append(to, b.leadsTo(n.Route)...)
	}
	return to
}
