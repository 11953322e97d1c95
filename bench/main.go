// Command bench measures the cache service beside memcached, and the router beside twemproxy: speed,
// items held in a given memory, miss ratios of recorded traffic, restarts, tails. See README.md beside this file for what each
// part does and how long it takes.
//
// It starts the servers itself, on free ports of 127.0.0.1, and stops them. It uses the standard
// library only and nothing of Holdfast's but the binary, so that it measures both servers from the
// outside and alike.
package main

import (
	"context"
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
	{"compare", "requests a second and latencies beside memcached, Redis and the bare event loop", compare},
	{"memory", "how many small items fit into 1 GiB", memory},
	{"traces", "miss ratios of recorded traffic at several memory sizes", traces},
	{"misses", "miss ratios of recorded traffic at equal parts of its keys", misses},
	{"restart", "from the start to the first hit, with a gibibyte kept over the restart", restart},
	{"dip", "hits lost by a fourth member behind a router, by placement", dip},
	{"tail", "p99.9 with ten million items beside that with ten thousand", tail},
	{"router", "requests a second and latencies through a router, beside twemproxy", routers},
	{"binary", "keys a second by text and by the binary protocol, in batches", binaryGetsPart},
	{"tables", "requests a second to tables, beside dynalite", tables},
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
		fmt.Fprintf(os.Stderr, "  %-10s %s\n", p.name, p.about)
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

// newFlags returns the flags that all parts have.
func newFlags(name string, b *binaries) *flag.FlagSet {
	f := flag.NewFlagSet("bench "+name, flag.ContinueOnError)
	f.StringVar(&b.holdfast, "holdfast", "", "path of the binary; built from this checkout if empty; none leaves it out")
	f.StringVar(&b.memcached, "memcached", "memcached", "path of the peer; none leaves it out")
	return f
}

// table prints rows in columns as wide as their widest field, the first to the left.
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

// middle is the median.
func middle(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
