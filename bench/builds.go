package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// builds measures what requests to tables cost with two builds of Holdfast, in turn: rates,
// processor time, bytes written, and how long a global index lags behind its table.
func builds(ctx context.Context, args []string) error {
	var b binaries
	f := newFlags("builds", &b)
	var (
		before  = f.String("before", "", "path of the binary to compare with")
		items   = positiveFlag(f, "items", 10_000, "number of items of each table")
		rounds  = positiveFlag(f, "rounds", 7, "rounds of each load and build; the builds take turns to be first")
		seconds = positiveFlag[float64](f, "seconds", 1, "length of each round")
		only    = f.String("only", "", "measure the loads whose names contain this")
	)
	if err := parse(f, args); err != nil {
		return err
	}
	if *before == "" || b.holdfast == none {
		return errors.New("-before or -holdfast names no binary of holdfast")
	}
	b.memcached = none
	dir, done, err := b.scratch(ctx, "")
	if err != nil {
		return err
	}
	defer done()
	c := &comparison{length: time.Duration(*seconds * float64(time.Second))}
	c.loads = slices.DeleteFunc(buildLoads(*items), func(l tableLoad) bool { return !strings.Contains(l.name, *only) })
	lag := strings.Contains(lagLoad, *only)
	if len(c.loads) == 0 && !lag {
		return fmt.Errorf("-only: no load's name contains %q", *only)
	}
	for i, path := range []string{*before, b.holdfast} {
		s := setup{name: []string{"before", "after"}[i], path: path, dir: filepath.Join(dir, fmt.Sprint(i)), items: *items}
		r, err := s.start(ctx)
		if r != nil {
			defer r.stop()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		c.runs[i] = r
	}
	for i := range *rounds {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.round(i, lag); err != nil {
			return err
		}
	}
	c.print()
	return nil
}

// A comparison is two builds, before and after, and the loads that both get.
type comparison struct {
	runs   [2]*tableRun
	loads  []tableLoad
	length time.Duration
	lags   [2]lags
}

// round gives each load to both builds once. The builds take turns to be first.
func (c *comparison) round(i int, lag bool) error {
	for n, l := range c.loads {
		for turn := range 2 {
			r := c.runs[(i+n+turn)%2]
			if err := r.measure(l, c.length); err != nil {
				return fmt.Errorf("%s: %s: %w", r.name, l.name, err)
			}
		}
	}
	if !lag {
		return nil
	}
	for turn := range 2 {
		at := (i + turn) % 2
		if err := c.lags[at].measure(c.runs[at], c.length); err != nil {
			return fmt.Errorf("%s: %s: %w", c.runs[at].name, lagLoad, err)
		}
	}
	return nil
}

// A setup is a build, and the tables to create with it.
type setup struct {
	name, path, dir string
	items           int
}

const buildConnections = 64

// start creates the tables and returns the running build. The number of shards is that of all new
// tables, so the server starts once for each number.
func (s setup) start(ctx context.Context) (*tableRun, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	var r *tableRun
	for _, tables := range buildTables() {
		if r != nil {
			r.stop()
		}
		var err error
		if r, err = s.launch(ctx, tables.shards); err != nil {
			return r, err
		}
		for _, t := range tables.create {
			if _, err := r.clients[0].ask("CreateTable", []byte(t.create)); err != nil {
				return r, fmt.Errorf("table %s: %w", t.name, err)
			}
			if err := r.clients[0].awaitActive(t.name); err != nil {
				return r, err
			}
			if err := r.put(t, s.items); err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

func (s setup) launch(ctx context.Context, shards int) (*tableRun, error) {
	config := filepath.Join(s.dir, "holdfast.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "tables: {new_shards: %d}\n", shards), 0o600); err != nil {
		return nil, err
	}
	p := tablesAlone(s.name, s.path, filepath.Join(s.dir, "data"), "--config", config)
	return connectTables(ctx, p, buildConnections)
}

// put fills a table on all connections.
func (r *tableRun) put(t buildTable, items int) error {
	return onAll(r.clients, func(lane int, c *dynamoClient) error {
		for i := lane; i < items; i += len(r.clients) {
			if _, err := c.ask("PutItem", t.put(i, i)); err != nil {
				return err
			}
		}
		return nil
	})
}

// print prints a row for each load, and then rows that compare loads of the same build.
func (c *comparison) print() {
	rows := [][]string{{"load", "requests/s before", "after", "ratio", "CPU µs per request before", "after", "ratio",
		"bytes written per request before", "after", "ratio"}}
	before, after := c.runs[0], c.runs[1]
	for _, l := range c.loads {
		row := append([]string{l.name}, compared(before.rate[l.name], after.rate[l.name])...)
		row = append(row, compared(before.cpu[l.name], after.cpu[l.name])...)
		if l.writes() {
			row = append(row, compared(before.written[l.name], after.written[l.name])...)
		}
		rows = append(rows, row)
	}
	table(rows)
	rows = [][]string{{"within one build", "before", "after", "ratio"}}
	for _, w := range withinBuild {
		if len(before.rate[w.load]) > 0 && len(before.rate[w.of]) > 0 {
			rows = append(rows, append([]string{w.name}, compared(w.figures(before), w.figures(after))...))
		}
	}
	if len(rows) > 1 {
		fmt.Println()
		table(rows)
	}
	c.printLags()
}

// compared are the medians of two builds' figures, and the median of the rounds' ratios.
func compared(before, after []float64) []string {
	return []string{figure(middle(before)), figure(middle(after)), fmt.Sprintf("%.2f", middle(ratios(after, before)))}
}

// figure prints about three digits.
func figure(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.3g", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// ratios are those of each round.
func ratios(of, to []float64) []float64 {
	r := make([]float64, len(of))
	for i := range of {
		r[i] = of[i] / to[i]
	}
	return r
}
