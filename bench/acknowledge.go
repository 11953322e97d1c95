package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// acknowledgements sends the same puts to tables of one cluster of Holdfast that acknowledge
// differently, and to MariaDB with semi-synchronous replication, in turn, always at the node that
// leads. Each node is a process of its own, and syncs what it acknowledges.
func acknowledgements(ctx context.Context, args []string) error {
	var b binaries
	f := newFlags("acknowledge", &b)
	var (
		peer    = f.String("mariadb", "mariadbd", "path of mariadbd; none leaves it out")
		items   = positiveFlag(f, "items", 10_000, "number of items of each table")
		rounds  = positiveFlag(f, "rounds", 7, "rounds of each server and load; the servers take turns to be first")
		seconds = positiveFlag(f, "seconds", 1.5, "length of each round")
		only    = f.String("only", "", "measure the loads whose names contain this")
	)
	if err := parse(f, args); err != nil {
		return err
	}
	b.memcached = none
	loads := slices.DeleteFunc(clusterLoads(), func(l clusterLoad) bool {
		return l.kind != putting || !l.atLeader || !strings.Contains(l.name, *only)
	})
	if len(loads) == 0 {
		return fmt.Errorf("-only: no load's name contains %q", *only)
	}
	dir, done, err := b.scratch(ctx, "")
	if err != nil {
		return err
	}
	defer done()
	m := clusterMeasurement{loads: loads, length: time.Duration(*seconds * float64(time.Second))}
	defer m.stop()
	if b.holdfast != none {
		s, err := holdfastSetup(b.holdfast, filepath.Join(dir, "three"), 1)
		if err != nil {
			return err
		}
		if err := m.add(ctx, s, *items, byPolicy(s)...); err != nil {
			return err
		}
	}
	if *peer != none {
		path, err := exec.LookPath(*peer)
		if err != nil {
			fmt.Printf("without MariaDB (apt-get install mariadb-server): %v\n", err)
		} else if s, err := mariaSetup(path, filepath.Join(dir, "mariadb")); err != nil {
			return err
		} else if err := m.add(ctx, s, *items, s); err != nil {
			return err
		}
	}
	if len(m.runs) == 0 {
		return errors.New("there is nothing to measure: both servers are left out")
	}
	for i := range *rounds {
		if err := m.round(ctx, i); err != nil {
			return err
		}
	}
	m.print()
	return nil
}

// byPolicy are the setups of a started cluster as its clients see it that use the table of a policy,
// the default one first.
func byPolicy(s clusterSetup) (all []clusterSetup) {
	for _, policy := range []string{"semisync:1", "async", "sync"} {
		s.name = "holdfast, " + policy
		s.dial = func(address string) (kvClient, error) {
			c, err := dialDynamo(address)
			kind, _, _ := strings.Cut(policy, ":")
			return &holdfastClient{dynamoClient: c, table: kind, acknowledge: policy}, err
		}
		all = append(all, s)
	}
	return all
}

// add starts a server, and adds what is measured of it: the server as different clients see it.
func (m *clusterMeasurement) add(ctx context.Context, s clusterSetup, items int, seen ...clusterSetup) error {
	started, err := s.start(ctx)
	if started != nil {
		m.started = append(m.started, started)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	for _, of := range seen {
		r := &clusterRun{clusterSetup: of, servers: started.servers, figures: map[string]clusterFigures{}}
		if err := r.fill(ctx, items); err != nil {
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
