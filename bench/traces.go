package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// A trace is a file of recorded traffic, and the memory sizes at which its miss ratio says
// something: from a few percent of its data to where nearly all of it fits.
type trace struct {
	file       string
	valueBytes int // 0 takes the sizes of the file
	memoryMiB  []int
}

// The traces' keys are numbers and have no sizes, so values have a usual one; the last is a CSV
// file with sizes up to some megabytes, of which those above an item's limit are refused by both.
var recorded = []trace{
	{"scarab-recs.trace.xz", 1000, []int{8, 32, 128}},
	{"scarab-recs.trace.xz", 100, []int{8, 32}},
	{"orm-busy.trace.xz", 1000, []int{8, 16, 32}},
	{"web12.trace.xz", 1000, []int{4, 8}},
	{"arc-OLTP.lis.zst", 1000, []int{8, 32, 64}},
	{"arc-OLTP.lis.zst", 100, []int{8}},
	{"cachelib-short_bigcache_traces.csv.xz", 0, []int{32, 128}},
}

// traces replays every trace to both servers at each memory size, with one connection and one
// request at a time, so that the order is the trace's.
func traces(ctx context.Context, args []string) error {
	var b binaries
	f := newFlags("traces", &b)
	var (
		dir   = f.String("dir", "../shared/traces", "where the traces are")
		limit = f.Int("limit", 1_300_000, "requests of each trace at most; 0 is all")
		only  = f.String("only", "", "a trace's file name, or none for all")
	)
	if err := f.Parse(args); err != nil {
		return err
	}
	if _, err := os.Stat(*dir); err != nil {
		fmt.Printf("no traces here, nothing to do: %v\n", err)
		return nil
	}
	_, done, err := b.scratch(ctx, "")
	if err != nil {
		return err
	}
	defer done()
	if b.holdfast == none {
		return errors.New("holdfast plays the traces, and can't be left out")
	}
	rows := [][]string{{"trace", "value", "-m", "requests", "holdfast misses", "memcached misses", "ratio", "sets refused"}}
	for _, t := range recorded {
		file := filepath.Join(*dir, t.file)
		if *only != "" && *only != t.file {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			fmt.Printf("left out: %v\n", err)
			continue
		}
		for _, memoryMiB := range t.memoryMiB {
			reports, err := replay(ctx, b, file, t.valueBytes, memoryMiB, *limit)
			if err != nil {
				return fmt.Errorf("%s at -m %d: %w", t.file, memoryMiB, err)
			}
			rows = append(rows, traceRow(t, memoryMiB, reports))
			fmt.Fprintf(os.Stderr, "%v\n", rows[len(rows)-1]) // it takes minutes: show that it goes on
		}
	}
	table(rows)
	return nil
}

// A report is what the table needs of those of holdfast replay --json.
type report struct {
	Requests    int64 `json:"requests"`
	Keys        int64 `json:"keys"`       // distinct ones
	DataBytes   int64 `json:"data_bytes"` // of all of them, with their values
	Items       int64 `json:"items"`      // held at the end
	Misses      int64 `json:"misses"`
	SetsRefused int64 `json:"sets_refused"`
}

// replay starts both servers and plays the trace to the one and then to the other.
func replay(ctx context.Context, b binaries, file string, valueBytes, memoryMiB, limit int) (reports []report, err error) {
	args := []string{"replay", file, "--json"}
	if valueBytes > 0 {
		args = append(args, "--value-size", strconv.Itoa(valueBytes))
	}
	if limit > 0 {
		args = append(args, "--limit", strconv.Itoa(limit))
	}
	for _, p := range b.both(memoryMiB, 1) {
		s, err := p.start(ctx)
		if err != nil {
			return nil, err
		}
		defer s.stop()
		args = append(args, "--server", s.address)
	}
	cmd := exec.CommandContext(ctx, b.holdfast, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("holdfast replay: %w", err)
	}
	var all struct {
		Reports []report `json:"reports"`
	}
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, fmt.Errorf("output of holdfast replay: %w", err)
	}
	return all.Reports, nil
}

func traceRow(t trace, memoryMiB int, reports []report) []string {
	value := "of the trace"
	if t.valueBytes > 0 {
		value = strconv.Itoa(t.valueBytes)
	}
	row := []string{t.file, value, strconv.Itoa(memoryMiB), "", "", "", "", ""}
	for i, r := range reports {
		row[3] = strconv.FormatInt(r.Requests, 10)
		row[4+i] = fmt.Sprintf("%.1f %%", 100*float64(r.Misses)/float64(r.Requests))
		if i > 0 {
			row[7] += " / "
		}
		row[7] += strconv.FormatInt(r.SetsRefused, 10)
	}
	if len(reports) == 2 {
		row[6] = fmt.Sprintf("%.3f", float64(reports[0].Misses)/float64(reports[1].Misses))
	}
	return row
}
