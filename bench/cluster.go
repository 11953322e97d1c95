package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// clusters sends the same requests to three nodes of Holdfast, three of etcd, and one of Holdfast, in
// turn: puts of 256 bytes, consistent reads, and reads that any node answers from what it has. Each
// node is a process of its own, and syncs what it acknowledges.
func clusters(ctx context.Context, args []string) error {
	f := newClusterFlags("cluster", "number of items", func(clusterLoad) bool { return true })
	peer := f.String("etcd", "etcd", "path of etcd; none leaves it out")
	return f.measure(ctx, args, func(m *clusterMeasurement, dir string) error {
		setups, err := clusterSetups(&f.binaries, dir, *peer)
		if err != nil {
			return err
		}
		for _, s := range setups {
			if err := m.add(ctx, s, s); err != nil {
				return err
			}
		}
		return nil
	})
}

// clusterFlags are the flags of the parts that measure clusters, and the loads that a part has.
type clusterFlags struct {
	*flag.FlagSet
	binaries
	items, rounds *int
	seconds       *float64
	only          *string
	has           func(clusterLoad) bool
}

func newClusterFlags(name, items string, has func(clusterLoad) bool) *clusterFlags {
	f := &clusterFlags{has: has}
	f.FlagSet = newFlags(name, &f.binaries)
	f.items = positiveFlag(f.FlagSet, "items", 10_000, items)
	f.rounds = positiveFlag(f.FlagSet, "rounds", 7, "rounds of each server and load; the servers take turns to be first")
	f.seconds = positiveFlag(f.FlagSet, "seconds", 1.5, "length of each round")
	f.only = f.String("only", "", "measure the loads whose names contain this")
	return f
}

// measure has start start the servers, in a directory, gives each the loads, and prints the figures.
func (f *clusterFlags) measure(
	ctx context.Context, args []string, start func(m *clusterMeasurement, dir string) error,
) error {
	if err := parse(f.FlagSet, args); err != nil {
		return err
	}
	f.memcached = none
	loads := slices.DeleteFunc(clusterLoads(), func(l clusterLoad) bool {
		return !f.has(l) || !strings.Contains(l.name, *f.only)
	})
	if len(loads) == 0 {
		return fmt.Errorf("-only: no load's name contains %q", *f.only)
	}
	dir, done, err := f.scratch(ctx, "")
	if err != nil {
		return err
	}
	defer done()
	m := clusterMeasurement{loads: loads, items: *f.items, length: time.Duration(*f.seconds * float64(time.Second))}
	defer m.stop()
	if err := start(&m, dir); err != nil {
		return err
	}
	if len(m.runs) == 0 {
		return errors.New("there is nothing to measure: both servers are left out")
	}
	for i := range *f.rounds {
		if err := m.round(ctx, i); err != nil {
			return err
		}
	}
	m.print()
	return nil
}

// clusterSetups are those of the servers that aren't left out, the cluster of Holdfast first.
func clusterSetups(b *binaries, dir, peer string) (setups []clusterSetup, err error) {
	if peer != none {
		path, err := exec.LookPath(peer)
		if err != nil {
			fmt.Printf("without etcd (apt-get install etcd-server): %v\n", err)
		} else if s, err := etcdSetup(path, filepath.Join(dir, "etcd")); err != nil {
			return nil, err
		} else {
			setups = append(setups, s)
		}
	}
	if b.holdfast == none {
		return setups, nil
	}
	three, err := holdfastSetup(b.holdfast, filepath.Join(dir, "three"), 1)
	if err != nil {
		return nil, err
	}
	one, err := holdfastAlone(b.holdfast, filepath.Join(dir, "one"))
	if err != nil {
		return nil, err
	}
	return append(append([]clusterSetup{three}, setups...), one), nil
}

// A clusterLoad is one kind of request, on so many connections: of all nodes in turn, or of the one
// that leads.
type clusterLoad struct {
	name        string
	kind        requestKind
	connections int
	atLeader    bool
}

// A requestKind is what a request asks for.
type requestKind int

const (
	putting        requestKind = iota
	consistentRead             // of what was acknowledged before it
	eventualRead               // of what the node that is asked has
	tokenRead                  // of what the node has, but nothing older than the client's token
)

func (k requestKind) String() string {
	return [...]string{"put", "consistent read", "eventual read", "eventual read with a token"}[k]
}

// clusterLoads are all loads.
func clusterLoads() (loads []clusterLoad) {
	add := func(kind requestKind, connections int, atLeader bool) {
		loads = append(loads, clusterLoad{loadName(kind, connections, atLeader), kind, connections, atLeader})
	}
	for _, connections := range []int{1, 8, 64, 256} {
		add(putting, connections, false)
		add(putting, connections, true)
	}
	for _, kind := range []requestKind{consistentRead, eventualRead, tokenRead} {
		add(kind, readConnections, false)
		add(kind, readConnections, true)
	}
	return loads
}

const readConnections = 64

func loadName(kind requestKind, connections int, atLeader bool) string {
	where := "all nodes"
	if atLeader {
		where = "the leader"
	}
	return fmt.Sprintf("%v, %d at %s", kind, connections, where)
}

// A clusterMeasurement is the servers, and the loads that all get.
type clusterMeasurement struct {
	started []*clusterRun // what is to be stopped
	runs    []*clusterRun // what is measured; several may be of one server
	loads   []clusterLoad
	items   int // of each
	length  time.Duration
}

// add starts a server, and adds what is measured of it: the server as different clients see it.
func (m *clusterMeasurement) add(ctx context.Context, s clusterSetup, seen ...clusterSetup) error {
	started, err := s.start(ctx)
	if started != nil {
		m.started = append(m.started, started)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	for _, of := range seen {
		r := &clusterRun{clusterSetup: of, servers: started.servers, figures: map[string]clusterFigures{}}
		if err := r.fill(ctx, m.items); err != nil {
			return fmt.Errorf("%s: %w", of.name, err)
		}
		m.runs = append(m.runs, r)
	}
	return nil
}

// stop ends the servers that add has started.
func (m *clusterMeasurement) stop() {
	for _, r := range m.started {
		r.stop()
	}
}

// clusterTries is how often a load is measured if a node begins to lead in its middle.
const clusterTries = 3

// round gives each load to all servers once. The servers take turns to be first.
func (m *clusterMeasurement) round(ctx context.Context, i int) error {
	for n, l := range m.loads {
		for turn := range m.runs {
			r := m.runs[(i+n+turn)%len(m.runs)]
			if l.kind == tokenRead && !r.tokens {
				continue
			}
			for try := 1; ; try++ {
				if err := ctx.Err(); err != nil {
					return err
				}
				err := r.measure(ctx, l, i, m.length)
				if err == nil {
					break
				}
				err = fmt.Errorf("%s: %s: %w", r.name, l.name, err)
				if try == clusterTries || !errors.Is(err, errLeader) {
					return err
				}
				fmt.Fprintf(os.Stderr, "measured again: %v\n", err)
			}
		}
	}
	return nil
}

// print prints the figures of each load, and then what compares loads of the same server.
func (m *clusterMeasurement) print() {
	fmt.Printf("A ratio is that of %s to the row's server; processor time and bytes are those of all its nodes.\n",
		m.runs[0].name)
	table(m.rows())
	if within := m.within(); len(within) > 1 {
		fmt.Println()
		table(within)
	}
}

// rows are a header, and one row for each load and server, with the ratios of the first server's
// figures to those of the row's.
func (m *clusterMeasurement) rows() [][]string {
	rows := [][]string{{"load", "server", "requests/s", "ratio", "CPU µs per request", "ratio", "bytes written per put",
		"p50 µs", "p99 µs", "client's CPU µs per request"}}
	for _, l := range m.loads {
		of := m.runs[0].figures[l.name]
		for _, r := range m.runs {
			got := r.figures[l.name]
			if len(got.rate) == 0 {
				continue
			}
			row := []string{l.name, r.name, figure(middle(got.rate)), ratioOf(of.rate, got.rate),
				figure(middle(got.cpu)), ratioOf(of.cpu, got.cpu), "–",
				figure(middle(got.p50)), figure(middle(got.p99)), figure(middle(got.client))}
			if l.kind == putting {
				row[6] = figure(middle(got.written))
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// within are a header, and one row for each comparison and cluster whose loads were measured.
func (m *clusterMeasurement) within() [][]string {
	rows := [][]string{{"within one server", "server", "requests/s", "CPU per request"}}
	for _, w := range withinCluster {
		for _, r := range m.runs {
			load, of := r.figures[w.load], r.figures[w.of]
			if len(load.rate) > 0 && len(of.rate) > 0 && len(r.addresses) > 1 {
				rows = append(rows, []string{w.name, r.name, ratioOf(load.rate, of.rate), ratioOf(load.cpu, of.cpu)})
			}
		}
	}
	return rows
}

// ratioOf is the median of the rounds' ratios; "–" if the load wasn't measured.
func ratioOf(figures, to []float64) string {
	if cmp.Or(len(figures), -1) != len(to) {
		return "–"
	}
	return fmt.Sprintf("%.2f", middle(ratios(figures, to)))
}

// withinCluster are the comparisons of two loads of one cluster.
var withinCluster = []struct{ name, load, of string }{
	{"put, 64 connections: all nodes by the leader", loadName(putting, 64, false), loadName(putting, 64, true)},
	{"consistent read: all nodes by the leader",
		loadName(consistentRead, readConnections, false), loadName(consistentRead, readConnections, true)},
	{"eventual read: all nodes by one",
		loadName(eventualRead, readConnections, false), loadName(eventualRead, readConnections, true)},
	{"read at all nodes: eventual by consistent",
		loadName(eventualRead, readConnections, false), loadName(consistentRead, readConnections, false)},
	{"eventual read at all nodes: with a token by without",
		loadName(tokenRead, readConnections, false), loadName(eventualRead, readConnections, false)},
}
