package node

import (
	"errors"
	"io"
	"sync"

	"holdfast"
	"holdfast/config"
)

// Nodes are all nodes of a cluster in one process. They share nothing but the process: they have
// their own directories and listeners, and exchange frames over loopback connections. The first has
// the cache and the router, if there are any.
type Nodes struct {
	all    []*Node
	lock   io.Closer // of the directory above the nodes'
	failed chan error

	closeOnce sync.Once
	closeErr  error
}

// OpenNodes starts the nodes of a cluster, whose configurations are those of config.Config.Nodes. The
// first start forms the cluster. o has what is common to all; its Config, and Read, are for the
// first.
func OpenNodes(o Options, configs []config.Config) (*Nodes, error) {
	lock, err := formCluster(configs, o.Log)
	if err != nil {
		return nil, err
	}
	ns := &Nodes{lock: lock, failed: make(chan error, 1)}
	for i := range configs {
		n := newNode(ns.options(o, configs, i))
		n.failed = ns.failed
		ns.all = append(ns.all, n)
	}
	if err := ns.open(); err != nil {
		return nil, errors.Join(err, ns.stop())
	}
	return ns, nil
}

// options returns those of one node.
func (ns *Nodes) options(o Options, configs []config.Config, i int) Options {
	o.Config = configs[i]
	o.Log = o.Log.With("node", i+1)
	if i > 0 {
		o.WithoutCache, o.Read, o.Settings = true, nil, nil
	}
	return o
}

func (ns *Nodes) open() error {
	for _, n := range ns.all {
		if err := n.open(); err != nil {
			return err
		}
	}
	addresses := ns.all[0].memberAddresses()
	for id := range addresses {
		// One that has taken a free port is known only now.
		addresses[id] = ns.all[id-1].tables.member.transport.Addr().String()
	}
	for _, n := range ns.all {
		if err := n.start(addresses); err != nil {
			return err
		}
	}
	return nil
}

// All returns the nodes 1, 2, 3 and so on.
func (ns *Nodes) All() []*Node { return ns.all }

// Asked is closed when a client of the cache has asked for shutdown.
func (ns *Nodes) Asked() <-chan struct{} { return ns.all[0].Asked() }

// Failed delivers the error of a part that ended by itself. The caller then closes the nodes.
func (ns *Nodes) Failed() <-chan error { return ns.failed }

// Reload is Node.Reload for all.
func (ns *Nodes) Reload() error {
	var errs []error
	for _, n := range ns.all {
		errs = append(errs, n.Reload())
	}
	return errors.Join(errs...)
}

// Close stops all nodes. None of them stops before all have drained their requests, which may need
// the others.
func (ns *Nodes) Close() error {
	ns.closeOnce.Do(func() { ns.closeErr = ns.stop() })
	return ns.closeErr
}

func (ns *Nodes) stop() error {
	errs := make([]error, len(ns.all)+1)
	each := func(stop func(*Node) error) {
		var stopping sync.WaitGroup
		for i, n := range ns.all {
			stopping.Go(func() { errs[i] = errors.Join(errs[i], stop(n)) })
		}
		stopping.Wait()
	}
	for _, n := range ns.all {
		n.stopping.Store(true)
	}
	each((*Node).drain)
	each((*Node).end)
	errs[len(ns.all)] = ns.lock.Close()
	return errors.Join(errs...)
}

// memberAddresses returns where the nodes of the cluster listen for each other, as configured, or as
// they have met.
func (n *Node) memberAddresses() map[holdfast.NodeID]string {
	addresses := map[holdfast.NodeID]string{}
	if c := n.options.Config.Cluster; c != nil {
		for _, m := range c.Members {
			addresses[holdfast.NodeID(m.ID)] = m.Address
		}
		is := n.tables.member.is
		for i, m := range is.Met {
			addresses[is.Members[i]] = m.Addr
		}
	}
	return addresses
}
