package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A clusterSetup is a server of one node or several, each a process.
type clusterSetup struct {
	name      string
	nodes     []spec
	addresses []string                               // where the clients of each node connect
	web       []string                               // where each node of Holdfast has its HTTP
	form      func(ctx context.Context) error        // what comes before the nodes' start; nil: nothing
	join      func(ctx context.Context) error        // what comes after it, once all answer; nil: nothing
	dial      func(address string) (kvClient, error) // opens a connection
	leads     func(node int) (bool, error)           // reports whether the node leads
	tokens    bool                                   // its clients have tokens
}

// A kvClient is a connection to a node, with one request at a time.
type kvClient interface {
	ping() error                          // an error unless the node answers
	prepare() error                       // creates what the items are put in
	put(item, n int) error                // the item's value is that of the n-th put
	get(item int, kind requestKind) error // errMissing if the node doesn't have the item
	close() error
}

var (
	errMissing = errors.New("an item that was put is missing")
	errLeader  = errors.New("no node leads, or another has begun to")
)

// clusterValueBytes is the size of the values; a key has 13 bytes.
const clusterValueBytes = 256

func clusterKey(b []byte, item int) []byte { return fmt.Appendf(b, "user-%08d", item) }

func clusterValue(n int) string { return valueOf(n)[:clusterValueBytes] }

// A clusterRun is a started server, and its figures by load.
type clusterRun struct {
	clusterSetup
	servers []*server
	spread  func(i int) int // the item of the i-th request
	next    atomic.Int64
	figures map[string]clusterFigures
}

// clusterFigures are those of one load, by round.
type clusterFigures struct {
	rate     []float64 // requests per second
	cpu      []float64 // µs of all nodes' processor time per request
	client   []float64 // µs of this process's processor time per request
	written  []float64 // bytes that the nodes caused to be written to disks per request
	p50, p99 []float64 // µs
}

// start starts all nodes and waits until one leads and all answer.
func (s clusterSetup) start(ctx context.Context) (*clusterRun, error) {
	if s.form != nil {
		if err := s.form(ctx); err != nil {
			return nil, err
		}
	}
	r := &clusterRun{clusterSetup: s, figures: map[string]clusterFigures{}}
	for i, p := range s.nodes {
		started, err := p.launch(s.addresses[i])
		if err != nil {
			return r, err
		}
		r.servers = append(r.servers, started)
	}
	err := await(ctx, r.servers, func() error {
		for _, address := range s.addresses {
			if err := s.ping(address); err != nil {
				return err
			}
		}
		_, err := r.leader()
		return err
	})
	if err == nil && s.join != nil {
		err = s.join(ctx)
	}
	return r, err
}

func (s clusterSetup) ping(address string) error {
	c, err := s.dial(address)
	if err != nil {
		return err
	}
	defer c.close()
	return c.ping()
}

// await waits until ready returns no error.
func await(ctx context.Context, servers []*server, ready func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		for _, s := range servers {
			select {
			case <-s.exited:
				return fmt.Errorf("%s ended: %v\n%s", s.name, s.err, s.output.String())
			default:
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// stop ends all nodes at the same time: one alone may hand over first.
func (r *clusterRun) stop() {
	var wait sync.WaitGroup
	for _, s := range r.servers {
		wait.Go(func() {
			if err := s.stop(); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		})
	}
	wait.Wait()
}

// leader is the node that leads.
func (r *clusterRun) leader() (int, error) {
	for i := range r.addresses {
		if leads, err := r.leads(i); leads || err != nil {
			return i, err
		}
	}
	return 0, errLeader
}

// fill stores the items, at the node that leads, and waits until each node has them.
func (r *clusterRun) fill(ctx context.Context, items int) error {
	r.spread = spreadOver(items)
	lead, err := r.leader()
	if err != nil {
		return err
	}
	clients, err := r.connect(readConnections, func(int) int { return lead })
	if err != nil {
		return err
	}
	defer closeAll(clients)
	if err := clients[0].prepare(); err != nil {
		return err
	}
	err = onAll(clients, func(lane int, c kvClient) error {
		for i := lane; i < items; i += readConnections {
			if err := c.put(i, i); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.each(readConnections, 0, func(lane int, c kvClient) error {
		// A lane has one node, and so goes over all items of its place among the lanes of this node.
		nodes := len(r.addresses)
		for i := lane / nodes; i < items; i += readConnections / nodes {
			if err := await(ctx, r.servers, func() error { return c.get(i, eventualRead) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// connect opens connections, each to the node that at names for it.
func (r *clusterRun) connect(connections int, at func(lane int) int) (clients []kvClient, err error) {
	for lane := range connections {
		c, err := r.dial(r.addresses[at(lane)])
		if err != nil {
			closeAll(clients)
			return nil, err
		}
		clients = append(clients, c)
	}
	return clients, nil
}

func closeAll(clients []kvClient) {
	for _, c := range clients {
		c.close()
	}
}

// each opens connections to all nodes in turn, beginning with first, and calls each function on all
// of them in goroutines, one function after the other.
func (r *clusterRun) each(connections, first int, functions ...func(lane int, c kvClient) error) error {
	clients, err := r.connect(connections, func(lane int) int { return (first + lane) % len(r.addresses) })
	if err != nil {
		return err
	}
	defer closeAll(clients)
	for _, f := range functions {
		if err := onAll(clients, f); err != nil {
			return err
		}
	}
	return nil
}

// onAll calls f for each connection, in goroutines, and returns the errors of all.
func onAll[C any](clients []C, f func(lane int, c C) error) error {
	var wait sync.WaitGroup
	errs := make([]error, len(clients))
	for i, c := range clients {
		wait.Go(func() { errs[i] = f(i, c) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

// measure sends requests for the given time. If another node begins to lead meanwhile, that is an
// error, errLeader, and there are no figures. Connections to all nodes begin with another node in
// each round, so that a single one isn't always at the same.
func (r *clusterRun) measure(ctx context.Context, l clusterLoad, round int, length time.Duration) error {
	lead := 0
	err := await(ctx, r.servers, func() (err error) {
		lead, err = r.leader()
		return err
	})
	if err != nil {
		return err
	}
	clients, err := r.connect(l.connections, func(lane int) int {
		if l.atLeader {
			return lead
		}
		return (lane + round) % len(r.addresses)
	})
	if err != nil {
		return err
	}
	defer closeAll(clients)
	got, err := r.ask(l, clients, length)
	if after, lost := r.leader(); lost != nil || after != lead {
		return errors.Join(errLeader, lost, err)
	}
	if err != nil {
		return err
	}
	r.figures[l.name] = r.figures[l.name].with(got)
	return nil
}

// ask sends requests on all connections and returns the figures of this round. The first requests,
// for which connections are set up, don't count.
func (r *clusterRun) ask(l clusterLoad, clients []kvClient, length time.Duration) (clusterFigures, error) {
	once := func(c kvClient) error {
		i := int(r.next.Add(1))
		if l.kind == putting {
			return c.put(r.spread(i), i)
		}
		return c.get(r.spread(i), l.kind)
	}
	if err := onAll(clients, func(_ int, c kvClient) error { return once(c) }); err != nil {
		return clusterFigures{}, err
	}
	runtime.GC() // so that less is collected while it is measured
	took := make([][]time.Duration, len(clients))
	cpu, client, written, start := r.cpuMicros(), ownMicros(), r.writtenBytes(), time.Now()
	err := onAll(clients, func(lane int, c kvClient) error {
		for at := time.Now(); ; {
			if err := once(c); err != nil {
				return err
			}
			now := time.Now()
			took[lane] = append(took[lane], now.Sub(at))
			if at = now; at.Sub(start) >= length {
				return nil
			}
		}
	})
	lasted := time.Since(start)
	all := slices.Concat(took...)
	if err != nil {
		return clusterFigures{}, err
	}
	n, p := float64(len(all)), percentilesOf(all, lasted)
	return clusterFigures{
		rate:    []float64{p.perSecond},
		cpu:     []float64{(r.cpuMicros() - cpu) / n},
		client:  []float64{(ownMicros() - client) / n},
		written: []float64{(r.writtenBytes() - written) / n},
		p50:     []float64{p.p50},
		p99:     []float64{p.p99},
	}, nil
}

// with adds another round.
func (f clusterFigures) with(g clusterFigures) clusterFigures {
	return clusterFigures{append(f.rate, g.rate...), append(f.cpu, g.cpu...), append(f.client, g.client...),
		append(f.written, g.written...), append(f.p50, g.p50...), append(f.p99, g.p99...)}
}

// cpuMicros is the processor time of all nodes.
func (r *clusterRun) cpuMicros() (sum float64) {
	for _, s := range r.servers {
		sum += s.cpuMicros()
	}
	return sum
}

// writtenBytes is what all nodes have caused to be written.
func (r *clusterRun) writtenBytes() (sum float64) {
	for _, s := range r.servers {
		sum += s.writtenBytes()
	}
	return sum
}
