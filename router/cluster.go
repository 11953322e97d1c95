package router

import (
	"bytes"
	"strings"
)

// A cluster is the route of keys with a routing prefix.
type cluster struct {
	region, name string
	route        route
}

// UnknownCluster says where a key goes whose /region/cluster/ has no route.
type UnknownCluster string

// The places.
const (
	UnknownRefused    UnknownCluster = "refuse"   // nowhere: it is answered with an error; the default
	UnknownToFallback UnknownCluster = "fallback" // to /region/fallback/, if that is a cluster
	UnknownToDefault  UnknownCluster = "default"  // likewise, and where that is none, to Route
)

// fallbackCluster is the name of the cluster that takes the unknown ones of its region, as in mcrouter
// (mcrouter/routes/RouteHandleMap-inl.h).
const fallbackCluster = "fallback"

// serveCluster goes by the /region/cluster/ that the key begins with; a part "*" is any.
func (t *tree) serveCluster(l *lane, q *query) {
	region, name, rest, ok := cutCluster(q.request.Key)
	if !ok {
		t.root.serve(l, q)
		return
	}
	var routes []route
	for _, c := range t.clustersOf(region, name) {
		routes = append(routes, c.route)
	}
	inner := *q.request
	inner.Key = rest
	inner.Cluster = string(q.request.Key[:len(q.request.Key)-len(rest)])
	switch {
	case len(routes) == 0:
		q.fail(l, resultClientError, "no route for /"+region+"/"+name+"/")
	case len(rest) == 0:
		q.fail(l, resultClientError, "no key after /"+region+"/"+name+"/")
	default:
		initial(routes).serve(l, rewritten(q, &inner))
	}
}

// clustersOf are those that a key with this prefix goes to. The first one answers: that of keys without
// a prefix, if it is among them.
func (t *tree) clustersOf(region, name string) []cluster {
	var found []cluster
	n := len(t.options.Clusters) // behind them stands the default
	for _, part := range [][]cluster{t.clusters[n:], t.clusters[:n]} {
		for _, c := range part {
			if c.matches(region, name) {
				found = append(found, c)
			}
		}
	}
	if len(found) > 0 || t.options.UnknownCluster == "" || t.options.UnknownCluster == UnknownRefused {
		return found
	}
	if region != "*" && name != "*" && name != fallbackCluster {
		found = t.named(region, fallbackCluster)
	}
	if len(found) == 0 && t.options.UnknownCluster == UnknownToDefault {
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

// cutCluster cuts "/region/cluster/" off key.
func cutCluster(key []byte) (region, name string, rest []byte, ok bool) {
	parts := bytes.SplitN(key, []byte{'/'}, 4)
	if len(parts) < 4 || len(parts[0]) > 0 || len(parts[1]) == 0 || len(parts[2]) == 0 {
		return "", "", nil, false
	}
	return string(parts[1]), string(parts[2]), parts[3], true
}

func parseCluster(prefix string) (region, name string, ok bool) {
	region, name, rest, ok := cutCluster([]byte(prefix))
	return region, name, ok && len(rest) == 0 && !strings.Contains(prefix, "*")
}
