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

// An Asked is a request whose way through a router is asked for.
type Asked struct {
	Key    string // 1 to 250 bytes
	Op     string // a command that has a key: get, set, delete, …
	Listen string // the router's address by which it comes; "" is any without a route of its own
}

// Explain reports where a request would go in a router of o, which need not run: all members are
// taken to be up. Nothing listens, and nothing is sent but questions for DNS names.
func Explain(o Options, asked Asked) (hops []route.Hop, err error) {
	op, err := asked.op()
	if err != nil {
		return nil, err
	}
	options, err := asked.options(o.Config.Router)
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
	hops = r.Explain(op, []byte(asked.Key))
	return hops, r.Close()
}

func (a Asked) op() (mc.Op, error) {
	if len(a.Key) == 0 || len(a.Key) > mc.MaxKeyBytes {
		return 0, fmt.Errorf("a key has 1 to %d bytes, not %d", mc.MaxKeyBytes, len(a.Key))
	}
	for op := mc.Get; op <= mc.MetaDebug; op++ {
		if op.String() == a.Op && op != mc.FlushAll && op != mc.MetaNoop {
			return op, nil
		}
	}
	return 0, fmt.Errorf("%q is no command that has a key", a.Op)
}

// options are those of r with the listener's route as the only one, and no journal on disk, which a
// running router may have open.
func (a Asked) options(r *config.Router) (route.Options, error) {
	o := r.Options
	o.Journal.Folder = ""
	if a.Listen == "" {
		return o, nil
	}
	for _, l := range r.Listen {
		if l.Address == a.Listen {
			if l.Route != nil {
				o.Route = *l.Route
			}
			return o, nil
		}
	}
	return o, errors.New("the router doesn't listen at " + a.Listen)
}
