package mcrouter

import (
	"fmt"
	"slices"
	"strings"

	"holdfast/route"
)

// maxRoutes limits the routes of a file. Each use of a named handle counts, so that a few lines
// can't make millions.
const maxRoutes = 20_000

// A builder makes the routes of a file whose macros are expanded.
type builder struct {
	*notes
	pools *pools

	out     route.Options
	handles map[string]*handle // those with names
	routes  int                // their number, each use counted
}

// notes collects the faults of the file, and holds the options of the command line.
type notes struct {
	options ParseOptions
	faults  route.Faults
}

// A handle is a named route handle. Its routes are made at its first use.
type handle struct {
	path   string
	json   any
	routes []route.Route
	count  int // of its routes and those below them, for builder.routes
	state  state
}

type state uint8

const (
	unmade state = iota
	making
	made
)

func newBuilder(o ParseOptions) *builder {
	n := &notes{options: o}
	return &builder{notes: n, pools: &pools{notes: n, byName: map[string]*source{}}, handles: map[string]*handle{}}
}

func (n *notes) fault(path, format string, args ...any) {
	n.faults = append(n.faults, route.Fault{Path: path, Text: fmt.Sprintf(format, args...)})
}

func (n *notes) warn(path, format string, args ...any) {
	if n.options.Warn != nil {
		n.options.Warn(route.Fault{Path: path, Text: fmt.Sprintf(format, args...)})
	}
}

func (b *builder) file(o *object) {
	r := b.reader("", o)
	b.pools.take(r.object("pools"))
	r.ignore("pools aren't grouped by region", "regional_pools")
	if v, found := r.get("named_handles"); found {
		b.nameHandles("named_handles", v)
	}
	b.out.DefaultCluster = b.options.RoutePrefix
	b.out.ReadsOnly = b.options.ReadsOnly
	b.out.DisableFlushAll = !b.options.EnableFlush
	if b.options.InvalidToDefault {
		b.out.UnknownCluster = route.UnknownToDefault
	}
	top, one := r.get("route")
	routes, several := r.get("routes")
	switch {
	case one && several:
		b.fault("", "route and routes can't both be set")
	case one:
		if made := b.one("route", top); made != nil {
			b.out.Route = *made
		}
	case several:
		b.clusters("routes", routes)
	default:
		b.fault("", "route or routes is required")
	}
	r.ignore("it controls a feature that only mcrouter has", "routing_options")
	r.end()
	b.pools.makeRest()
	b.out.Pools = b.pools.made
}

// clusters reads the routes of clusters: a mapping, or a list with aliases.
func (b *builder) clusters(path string, v any) {
	switch v := v.(type) {
	case *object:
		for _, prefix := range v.keys {
			b.cluster(join(path, prefix), []string{prefix}, v.values[prefix])
		}
	case []any:
		for i, element := range v {
			at := fmt.Sprintf("%s[%d]", path, i)
			o, ok := element.(*object)
			if !ok {
				b.fault(at, "must be a mapping, not %s", typeName(element))
				continue
			}
			r := b.reader(at, o)
			aliases := r.strings("aliases")
			route, found := r.get("route")
			if len(aliases) == 0 || !found {
				b.fault(at, "aliases and route are required")
				continue
			}
			b.cluster(r.at("route"), aliases, route)
			r.end()
		}
	default:
		b.fault(path, "must be a list or a mapping, not %s", typeName(v))
	}
	if b.out.Route.Kind == "" && len(b.faults) == 0 {
		b.fault(path, "no route is for %s, the cluster of keys without a prefix; -R selects another", b.options.RoutePrefix)
	}
}

func (b *builder) cluster(path string, prefixes []string, v any) {
	made := b.one(path, v)
	if made == nil {
		return
	}
	for _, prefix := range prefixes {
		if strings.HasSuffix(prefix, "/fallback/") && b.out.UnknownCluster == "" {
			b.out.UnknownCluster = route.UnknownToFallback
		}
		if prefix == b.options.RoutePrefix {
			b.out.Route = *made
			continue
		}
		same := func(c route.ClusterRoute) bool { return c.Prefix == prefix }
		if slices.ContainsFunc(b.out.Clusters, same) {
			b.fault(path, "%s already has a route", prefix)
			continue
		}
		b.out.Clusters = append(b.out.Clusters, route.ClusterRoute{Prefix: prefix, Route: *made})
	}
}

func (b *builder) nameHandles(path string, v any) {
	switch v := v.(type) {
	case *object:
		for _, name := range v.keys {
			b.handles[name] = &handle{path: join(path, name), json: v.values[name]}
		}
		for _, name := range v.keys { // unused ones must be valid too
			b.list(b.handles[name].path, name)
		}
	case []any:
		for i, element := range v {
			b.list(fmt.Sprintf("%s[%d]", path, i), element)
		}
	default:
		b.fault(path, "must be a list or a mapping, not %s", typeName(v))
	}
}

// one makes the single route that v describes; nil after a fault.
func (b *builder) one(path string, v any) *route.Route {
	before := len(b.faults)
	routes := b.list(path, v)
	if len(b.faults) > before || b.routes > maxRoutes {
		return nil
	}
	if len(routes) != 1 {
		b.fault(path, "must be one route, not %d", len(routes))
		return nil
	}
	return &routes[0]
}

// list makes the routes that v describes.
func (b *builder) list(path string, v any) []route.Route {
	if b.routes > maxRoutes {
		return nil
	}
	switch v := v.(type) {
	case []any:
		var routes []route.Route
		for i, element := range v {
			routes = append(routes, b.list(fmt.Sprintf("%s[%d]", path, i), element)...)
		}
		return routes
	case string:
		if v == "" {
			return nil
		}
		if h := b.handles[v]; h != nil {
			return b.named(path, v, h)
		}
		kind, argument, hasArgument := strings.Cut(v, "|")
		if hasArgument {
			return b.make(path, kind, argument)
		}
		return b.make(path, kind, nil)
	case *object:
		return b.listOfObject(path, v)
	}
	b.fault(path, "must be a route, not %s", typeName(v))
	return nil
}

func (b *builder) listOfObject(path string, o *object) []route.Route {
	name, ok := o.values["name"].(string)
	if !ok || o.values["type"] == "Pool" {
		return b.typed(path, o)
	}
	h := b.handles[name]
	if h == nil {
		h = &handle{path: path, json: o}
		b.handles[name] = h
	}
	return b.named(path, name, h)
}

func (b *builder) typed(path string, o *object) []route.Route {
	kind, ok := o.values["type"].(string)
	if !ok {
		b.fault(path, "the type of the route is missing")
		return nil
	}
	return b.make(path, kind, o)
}

// named makes the routes of a named handle, or returns those made before.
func (b *builder) named(path, name string, h *handle) []route.Route {
	switch h.state {
	case making:
		b.fault(path, "route %q contains itself", name)
		return nil
	case made:
		b.count(path, h.count)
		return h.routes
	}
	h.state = making
	before, faults := b.routes, len(b.faults)
	if o, ok := h.json.(*object); ok {
		h.routes = b.typed(h.path, o)
	} else {
		h.routes = b.list(h.path, h.json)
	}
	if len(b.faults) > faults {
		h.routes = one(unusable)
	} else if len(h.routes) == 1 && h.routes[0].Name == "" {
		h.routes = one(h.routes[0]) // a copy: other routes may share those of a pool
		h.routes[0].Name = name
	}
	h.count, h.state = b.routes-before, made
	return h.routes
}

// count counts n more routes.
func (b *builder) count(path string, n int) {
	before := b.routes
	b.routes += n
	if before <= maxRoutes && b.routes > maxRoutes {
		b.fault(path, "there are more than %d routes", maxRoutes)
	}
}
