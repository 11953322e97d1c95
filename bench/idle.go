package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// idle measures the processor time of three nodes with many groups of which nobody asks anything.
func idle(ctx context.Context, args []string) error {
	var b binaries
	f := newFlags("idle", &b)
	var (
		before  = f.String("before", "", "path of a binary to compare with")
		groups  = positiveFlag(f, "groups", 1000, "number of groups, at least: tables are made until there are as many")
		shards  = positiveFlag(f, "shards", 64, "shards of each table, at most 64")
		rounds  = positiveFlag(f, "rounds", 3, "rounds of each build; the builds take turns to be first")
		settle  = positiveFlag(f, "settle", 15.0, "how long nothing is asked before a round begins, in seconds")
		seconds = positiveFlag(f, "seconds", 60.0, "length of each round")
	)
	if err := parse(f, args); err != nil {
		return err
	}
	b.memcached = none
	dir, done, err := b.scratch(ctx, "")
	if err != nil {
		return err
	}
	defer done()
	if b.holdfast == none {
		return errors.New("holdfast is what is measured, so it can't be left out")
	}
	m := idling{tables: (*groups + *shards - 1) / *shards, shards: *shards,
		settle: time.Duration(*settle * float64(time.Second)), length: time.Duration(*seconds * float64(time.Second))}
	builds := []*idleBuild{{name: "holdfast", path: b.holdfast}}
	if *before != "" {
		builds = append(builds, &idleBuild{name: "before", path: *before})
	}
	for round := range *rounds {
		for i := range builds {
			build := builds[(i+round)%len(builds)]
			if err := m.measure(ctx, build, filepath.Join(dir, fmt.Sprint(round, i))); err != nil {
				return fmt.Errorf("%s: %w", build.name, err)
			}
		}
	}
	m.print(builds)
	return nil
}

// An idling is how it is measured.
type idling struct {
	tables, shards int
	settle, length time.Duration
}

// An idleBuild is a build of Holdfast, with its figures by round.
type idleBuild struct {
	name, path string
	percent    []float64 // of one core, of all nodes
	awake      []float64 // replicas that are awake at the end; none if the build doesn't say
}

// measure starts the nodes of a build, makes the tables, and measures one round.
func (m *idling) measure(ctx context.Context, b *idleBuild, dir string) error {
	s, err := holdfastSetup(b.path, dir, m.shards)
	if err != nil {
		return err
	}
	r, err := s.start(ctx)
	if r != nil {
		defer r.stop()
	}
	if err != nil {
		return err
	}
	if err := m.create(ctx, r); err != nil {
		return err
	}
	if err := pause(ctx, m.settle); err != nil {
		return err
	}
	cpu, start := r.cpuMicros(), time.Now()
	if err := pause(ctx, m.length); err != nil {
		return err
	}
	b.percent = append(b.percent, 100*(r.cpuMicros()-cpu)/float64(time.Since(start).Microseconds()))
	awake, found, err := replicasAwake(s.web)
	if found {
		b.awake = append(b.awake, awake)
	}
	return err
}

// create makes the tables.
func (m *idling) create(ctx context.Context, r *clusterRun) error {
	leader, err := r.leader()
	if err != nil {
		return err
	}
	c, err := dialDynamo(r.addresses[leader])
	if err != nil {
		return err
	}
	defer c.close()
	for i := range m.tables {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := fmt.Sprintf("idle-%d", i)
		body := strings.Replace(benchTable, `"bench"`, strconv.Quote(name), 1)
		if _, err := c.ask("CreateTable", []byte(body)); err != nil {
			return err
		}
		if err := c.awaitActive(name); err != nil {
			return err
		}
	}
	return nil
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// replicasAwake returns how many replicas of all nodes are awake; !found: the nodes don't say.
func replicasAwake(web []string) (sum float64, found bool, err error) {
	for _, address := range web {
		c := http.Client{Timeout: startLimit, Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := c.Get("http://" + address + "/metrics")
		if err != nil {
			return 0, false, err
		}
		lines := bufio.NewScanner(response.Body)
		for lines.Scan() {
			if text, is := strings.CutPrefix(lines.Text(), "holdfast_group_awake "); is {
				n, err := strconv.ParseFloat(text, 64)
				if err != nil {
					response.Body.Close()
					return 0, false, fmt.Errorf("/metrics of %s: %w", address, err)
				}
				sum, found = sum+n, true
			}
		}
		response.Body.Close()
		if err := lines.Err(); err != nil {
			return 0, false, fmt.Errorf("/metrics of %s: %w", address, err)
		}
	}
	return sum, found, nil
}

func (m *idling) print(builds []*idleBuild) {
	fmt.Printf("Three nodes, %d tables with %d shards each; nothing is asked for %v, %d rounds\n\n",
		m.tables, m.shards, m.length, len(builds[0].percent))
	rows := [][]string{{"build", "groups", "CPU of all nodes, % of a core, median", "least", "most",
		"replicas awake at the end"}}
	for _, b := range builds {
		awake := "–"
		if len(b.awake) > 0 {
			awake = fmt.Sprintf("%.0f", middle(b.awake))
		}
		rows = append(rows, []string{b.name, strconv.Itoa(m.tables * m.shards), fmt.Sprintf("%.2f", middle(b.percent)),
			fmt.Sprintf("%.2f", slices.Min(b.percent)), fmt.Sprintf("%.2f", slices.Max(b.percent)), awake})
	}
	table(rows)
}
