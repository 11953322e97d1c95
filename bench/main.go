// Command bench compares the cache with memcached, the router with twemproxy, tables with
// dynalite, and a cluster with etcd and MariaDB: speed, items held in a given memory, miss ratios of
// recorded traffic, restarts, tails.
// README.md beside this file says what each part does and how long it takes.
//
// It starts the servers itself, on free ports of 127.0.0.1, and stops them. It uses the standard
// library, MySQL's driver, and of Holdfast only the binary, so that it measures all servers from
// outside and in the same way.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// A part is one measurement; run parses its own flags, and prints its figures.
type part struct {
	name, about string
	run         func(ctx context.Context, args []string) error
}

var parts = []part{
	{"compare", "requests per second and latencies, compared with memcached, Redis and a bare event loop", compare},
	{"memory", "how many small items fit into 1 GiB", memory},
	{"traces", "miss ratios of recorded traffic at several memory sizes", traces},
	{"misses", "miss ratios of recorded traffic at equal shares of its keys", misses},
	{"restart", "time from the start to the first hit, with one GiB kept over the restart", restart},
	{"dip", "hits lost when a fourth member joins behind a router, by placement", dip},
	{"tail", "p99.9 with ten million items, compared with ten thousand", tail},
	{"router", "requests per second and latencies through a router, compared with twemproxy", routers},
	{"binary", "keys per second in batches of the text and of the binary protocol", binaryGetsPart},
	{"tables", "requests per second to tables, compared with dynalite", tables},
	{"builds", "what requests to tables cost with two builds of Holdfast, in turn", builds},
	{"cluster", "requests per second to three nodes, compared with etcd and with one node", clusters},
	{"acknowledge", "puts to three nodes by what a write waits for, compared with MariaDB", acknowledgements},
	{"idle", "processor time of three nodes with many groups that have nothing to do", idle},
	{"failover", "for how long a cluster acknowledges nothing when the node that leads fails", failover},
	{"tablesbulk", "ten million items: write, kill, start, scan", tablesBulk},
}

func main() {
	if len(os.Args) >= 2 {
		for _, p := range parts {
			if p.name == os.Args[1] {
				os.Exit(status(p))
			}
		}
	}
	fmt.Fprintln(os.Stderr, "usage: go run ./bench PART [flags]; go run ./bench PART -h shows them. The parts:")
	for _, p := range parts {
		fmt.Fprintf(os.Stderr, "  %-11s %s\n", p.name, p.about)
	}
	os.Exit(2)
}

func status(p part) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := p.run(ctx, os.Args[2:]); {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	default:
		fmt.Fprintf(os.Stderr, "bench %s: %v\n", p.name, err)
		return 1
	}
}

// parse parses a part's arguments, which are flags only.
func parse(f *flag.FlagSet, args []string) error {
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; %s takes flags only", f.Arg(0), f.Name())
	}
	return nil
}

// A positive is the value of a flag that must be above 0: a measurement of nothing has no figures,
// and would fail in its middle.
type positive[T int | uint64 | float64] struct{ at *T }

// positiveFlag is f.Int, f.Uint64 or f.Float64 of such a value.
func positiveFlag[T int | uint64 | float64](f *flag.FlagSet, name string, value T, usage string) *T {
	f.Var(positive[T]{&value}, name, usage)
	return &value
}

func (p positive[T]) String() string {
	if p.at == nil {
		return "" // package flag asks the zero value
	}
	return fmt.Sprint(*p.at)
}

func (p positive[T]) Set(text string) error {
	var n T
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		return errors.New("not a number of this kind")
	}
	if n <= 0 {
		return errors.New("must be above 0")
	}
	*p.at = n
	return nil
}

// newFlags returns the flags that all parts share.
func newFlags(name string, b *binaries) *flag.FlagSet {
	f := flag.NewFlagSet("bench "+name, flag.ContinueOnError)
	f.StringVar(&b.holdfast, "holdfast", "", "path of the binary; built from this checkout if empty; none leaves it out")
	f.StringVar(&b.memcached, "memcached", "memcached", "path of memcached; none leaves it out")
	return f
}

// table prints rows in columns as wide as their widest field, the first column left-aligned, the
// others right-aligned.
func table(rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, field := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len([]rune(field)))
		}
	}
	for _, row := range rows {
		line := ""
		for i, field := range row {
			if i == 0 {
				line = fmt.Sprintf("%-*s", widths[0], field)
				continue
			}
			line += fmt.Sprintf("  %*s", widths[i], field)
		}
		fmt.Println(strings.TrimRight(line, " "))
	}
}

// middle is the median of values, of which there must be one at least.
func middle(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
