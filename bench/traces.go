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

// A trace is a file of recorded traffic, with the memory sizes at which its miss ratio is of
// interest: from a few percent of its data to nearly all of it.
type trace struct {
	file       string
	valueBytes int // 0 takes the sizes of the file
	memoryMiB  []int
}

// The traces' keys are numbers without sizes, so values have a usual size. The last trace is a CSV
// file with sizes up to some megabytes; both servers refuse those above the limit of an item.
var recorded = []trace{
	{"scarab-recs.trace.xz", 1000, []int{8, 32, 128}},
	{"scarab-recs.trace.xz", 100, []int{8, 32}},
	{"orm-busy.trace.xz", 1000, []int{8, 16, 32}},
	{"web12.trace.xz", 1000, []int{4, 8}},
	{"arc-OLTP.lis.zst", 1000, []int{8, 32, 64}},
	{"arc-OLTP.lis.zst", 100, []int{8}},
	{"cachelib-short_bigcache_traces.csv.xz", 0, []int{32, 128}},
}

// traces replays every trace to both servers with each memory size. It uses one connection and
// sends one request at a time, so that the order is the trace's.
func traces(ctx context.Context, args []string) error {
	var b binaries
	f := newFlags("traces", &b)
	var (
		dir   = f.String("dir", "../shared/traces", "directory of the traces")
		limit = f.Int("limit", 1_300_000, "requests of each trace at most; 0 is all")
		only  = f.String("only", "", "a trace's file name, or none for all")
	)
	if err := parse(f, args); err != nil {
		return err
	}
	if _, err := os.Stat(*dir); err != nil {
		fmt.Printf("there are no traces, so there is nothing to do: %v\n", err)
		return nil
	}
	_, done, err := b.scratch(ctx, "")
	if err != nil {
		return err
	}
	defer done()
	if b.holdfast == none {
		return errors.New("holdfast plays the traces, so it can't be left out")
	}
	rows := [][]string{{
		"trace", "value", "-m", "requests", "holdfast misses", "memcached misses", "ratio", "sets refused",
	}}
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
			fmt.Fprintf(os.Stderr, "%v\n", rows[len(rows)-1]) // the part takes minutes: show its progress
		}
	}
	table(rows)
	return nil
}

// A report is the part of a report of holdfast replay --json that the table needs.
type report struct {
	Requests    int64 `json:"requests"`
	Keys        int64 `json:"keys"`       // distinct keys
	DataBytes   int64 `json:"data_bytes"` // of all keys with their values
	Items       int64 `json:"items"`      // held at the end
	Misses      int64 `json:"misses"`
	SetsRefused int64 `json:"sets_refused"`
}

// replay starts both servers and plays the trace to one after the other.
func replay(ctx context.Context, b binaries, file string, valueBytes, memoryMiB, limit int) ([]report, error) {
	args := []string{"replay", file, "--json"}
	if valueBytes > 0 {
		args = append(args, "--value-size", strconv.Itoa(valueBytes))
	}
	if limit > 0 {
		args = append(args, "--limit", strconv.Itoa(limit))
	}
	servers := b.both(memoryMiB, 1)
	for _, p := range servers {
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
	return reportsOf[report](out, len(servers))
}

// reportsOf parses what holdfast replay --json prints: a report for each of n servers.
func reportsOf[T any](printed []byte, n int) ([]T, error) {
	var all struct {
		Reports []T `json:"reports"`
	}
	if err := json.Unmarshal(printed, &all); err != nil {
		return nil, fmt.Errorf("output of holdfast replay: %w", err)
	}
	if len(all.Reports) != n {
		return nil, fmt.Errorf("output of holdfast replay: %d reports of %d servers", len(all.Reports), n)
	}
	return all.Reports, nil
}

// traceRow is the row of one trace at one memory size, with a ratio if there are two reports.
func traceRow(t trace, memoryMiB int, reports []report) []string {
	value := "of the trace"
	if t.valueBytes > 0 {
		value = strconv.Itoa(t.valueBytes)
	}
	row := []string{t.file, value, strconv.Itoa(memoryMiB), "", "", "", "", ""}
	for i, r := range reports {
		row[3] = strconv.FormatInt(r.Requests, 10)
		row[4+i] = percent(float64(r.Misses) / float64(r.Requests))
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
