package router

import (
	"holdfast/mc"
	"holdfast/route"
)

// keepPrefix forwards to a pool whose members get keys with the /region/cluster/ that the clients
// sent, as with mcrouter's keep_routing_prefix: the members are routers themselves. Keys are placed
// without that prefix, so that each is on the same member as in a pool without the option.
type keepPrefix struct{ target forwarder }

func (k keepPrefix) forward(l *lane, q *query) {
	r := q.request
	if len(r.Cluster) == 0 {
		k.target.forward(l, q)
		return
	}
	inner := *r
	inner.Key = append([]byte(r.Cluster), r.Key...)
	if keyBytes(inner.Key, r.Has('b')) > mc.MaxKeyBytes {
		q.failClient(l, "the key is too long with its /region/cluster/")
		return
	}
	k.target.forward(l, rewritten(q, &inner))
}

func (k keepPrefix) explain(r *mc.Request) route.Hop { return explain(k.target, r) }

// withoutCluster returns the part of a key by which such a pool places it.
func withoutCluster(key []byte) []byte {
	if _, _, rest, ok := route.CutCluster(key); ok {
		return rest
	}
	return key
}
