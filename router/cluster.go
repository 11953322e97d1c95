package router

import (
	"holdfast/route"
	"holdfast/upstream"
)

// A cluster is the route of keys with a routing prefix.
type cluster struct {
	region, name string
	route        forwarder
}

// fallbackCluster is the name of the cluster that gets the keys of unknown clusters in its region,
// as in mcrouter (mcrouter/routes/RouteHandleMap-inl.h).
const fallbackCluster = "fallback"

// serveCluster forwards a query by the /region/cluster/ that its key begins with. A part "*"
// matches all.
func (t *tree) serveCluster(l *lane, q *query) {
	region, name, rest, ok := route.CutCluster(q.request.Key)
	if !ok {
		t.root.forward(l, q)
		return
	}
	var routes []forwarder
	for _, c := range t.clustersOf(region, name) {
		routes = append(routes, c.route)
	}
	inner := *q.request
	inner.Key = rest
	inner.Cluster = string(q.request.Key[:len(q.request.Key)-len(rest)])
	switch {
	case len(routes) == 0:
		q.fail(l, upstream.ClientError, "no route for /"+region+"/"+name+"/")
	case len(rest) == 0:
		q.fail(l, upstream.ClientError, "no key after /"+region+"/"+name+"/")
	default:
		initial(routes).forward(l, rewritten(q, &inner))
	}
}

// clustersOf returns the clusters that a key with this prefix goes to. The first one's answer is
// the client's. It is the default cluster if that is among them.
func (t *tree) clustersOf(region, name string) []cluster {
	var found []cluster
	n := len(t.options.Clusters) // after them comes the default cluster
	for _, part := range [][]cluster{t.clusters[n:], t.clusters[:n]} {
		for _, c := range part {
			if c.matches(region, name) {
				found = append(found, c)
			}
		}
	}
	if len(found) > 0 || t.options.UnknownCluster == "" || t.options.UnknownCluster == route.UnknownRefused {
		return found
	}
	if region != "*" && name != "*" && name != fallbackCluster {
		found = t.named(region, fallbackCluster)
	}
	if len(found) == 0 && t.options.UnknownCluster == route.UnknownToDefault {
		found = []cluster{{region, name, t.root}}
	}
	return found
}

func (t *tree) named(region, name string) []cluster {
	for _, c := range t.clusters {
		if c.region == region && c.name == name {
			return []cluster{c}
		}
	}
	return nil
}

func (c *cluster) matches(region, name string) bool {
	return (region == "*" || region == c.region) && (name == "*" || name == c.name)
}
