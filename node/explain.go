package node

import (
	"errors"
	"fmt"

	"holdfast/config"
	"holdfast/loop"
	"holdfast/mc"
	"holdfast/route"
	"holdfast/router"
)

// A RouteQuery asks where a router would send a request.
type RouteQuery struct {
	Key    string // 1 to 250 bytes
	Op     string // a command that has a key: get, set, delete, …
	Listen string // the router's address that receives it; "" is any without a route of its own
}

// Explain reports where a router with the configuration of o would send a request. No such router
// need be running: all members are assumed to be up. Nothing listens, and nothing is sent except
// DNS queries.
func Explain(o Options, query RouteQuery) (hops []route.Hop, err error) {
	op, err := query.op()
	if err != nil {
		return nil, err
	}
	options, err := query.options(o.Config.Router)
	if err != nil {
		return nil, err
	}
	names := newDiscovery(o, func() {})
	defer names.close()
	if err := names.follow(options.Pools); err != nil {
		return nil, err
	}
	l, err := loop.New()
	if err != nil {
		return nil, err
	}
	defer l.Close()
	nothing := mc.HandlerFunc(func(b *mc.Batch) { b.Done() })
	r, err := router.New(names.expand(options), router.Parts{Loops: []*loop.Loop{l}, Cache: nothing, Log: o.Log})
	if err != nil {
		return nil, err
	}
	hops = r.Explain(op, []byte(query.Key))
	return hops, r.Close()
}

func (q RouteQuery) op() (mc.Op, error) {
	if len(q.Key) == 0 || len(q.Key) > mc.MaxKeyBytes {
		return 0, fmt.Errorf("a key has 1 to %d bytes, not %d", mc.MaxKeyBytes, len(q.Key))
	}
	for op := mc.Get; op <= mc.MetaDebug; op++ {
		if op.String() == q.Op && op != mc.FlushAll && op != mc.MetaNoop {
			return op, nil
		}
	}
	return 0, fmt.Errorf("%q is no command that has a key", q.Op)
}

// options returns those of r with the listener's route as the only one, and without a journal on
// disk, which a running router may have open.
func (q RouteQuery) options(r *config.Router) (route.Options, error) {
	o := r.Options
	o.Journal.Folder = ""
	if q.Listen == "" {
		return o, nil
	}
	for _, l := range r.Listen {
		if l.Address == q.Listen {
			if l.Route != nil {
				o.Route = *l.Route
			}
			return o, nil
		}
	}
	return o, errors.New("the router doesn't listen at " + q.Listen)
}
