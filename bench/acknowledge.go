package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// acknowledgements sends the same puts to tables of one cluster of Holdfast that acknowledge
// differently, and to MariaDB with semi-synchronous replication, in turn, always at the node that
// leads. Each node is a process of its own, and syncs what it acknowledges.
func acknowledgements(ctx context.Context, args []string) error {
	f := newClusterFlags("acknowledge", "number of items of each table",
		func(l clusterLoad) bool { return l.kind == putting && l.atLeader })
	peer := f.String("mariadb", "mariadbd", "path of mariadbd; none leaves it out")
	return f.measure(ctx, args, func(m *clusterMeasurement, dir string) error {
		if f.holdfast != none {
			s, err := holdfastSetup(f.holdfast, filepath.Join(dir, "three"), 1)
			if err != nil {
				return err
			}
			if err := m.add(ctx, s, byPolicy(s)...); err != nil {
				return err
			}
		}
		if *peer == none {
			return nil
		}
		path, err := exec.LookPath(*peer)
		if err != nil {
			fmt.Printf("without MariaDB (apt-get install mariadb-server): %v\n", err)
			return nil
		}
		s, err := mariaSetup(path, filepath.Join(dir, "mariadb"))
		if err != nil {
			return err
		}
		return m.add(ctx, s, s)
	})
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
