package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// keyShares are the sizes of the cache in items, as shares of a trace's distinct keys.
var keyShares = []float64{0.005, 0.016, 0.05, 0.16, 0.50}

const (
	// leastMissesMiB is the least -m. Below it, memcached's pages of 1 MiB matter too much.
	leastMissesMiB = 4
	// countingMiB is the memory of the server that is used while the keys are counted; its misses
	// don't matter.
	countingMiB = 64
	// itemOverhead is about how many bytes an item takes besides its key, of keyBytes, and its value.
	itemOverhead = 80
)

// misses plays each trace to both servers with equal memory, at the sizes of keyShares. So it
// measures the same parts of every trace's miss ratio curve, from very little memory to half of all
// keys.
func misses(ctx context.Context, args []string) error {
	var b binaries
	f := newFlags("misses", &b)
	var (
		dir   = f.String("dir", "../shared/traces", "directory of the traces")
		limit = f.Int("limit", 600_000, "requests of each trace at most; 0 is all")
		only  = f.String("only", "", "a trace's file name, or none for all")
		value = f.Int("value", 1000, "bytes of each value; doubled until the memory is at least 4 MiB; "+
			"0 plays the traces that have sizes of their own")
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
	t := missTable{rows: [][]string{{
		"trace", "of its keys", "value", "-m", "items held", "memcached's", "misses", "memcached's", "ratio",
	}}}
	played := map[string]bool{}
	for _, r := range recorded {
		file := filepath.Join(*dir, r.file)
		if played[r.file] || *only != "" && *only != r.file || *value == 0 && r.valueBytes != 0 {
			continue
		}
		played[r.file] = true
		if _, err := os.Stat(file); err != nil {
			fmt.Printf("left out: %v\n", err)
			continue
		}
		if err := t.play(ctx, b, file, *value, *limit); err != nil {
			return fmt.Errorf("%s: %w", r.file, err)
		}
	}
	table(t.rows)
	if len(t.ratios) > 0 {
		fmt.Printf("ratio: mean %.3f, worst %.3f\n", mean(t.ratios), t.worst)
	}
	return nil
}

// A missTable is the table that misses prints.
type missTable struct {
	rows   [][]string
	ratios []float64
	worst  float64
}

// play adds a row for each size.
func (t *missTable) play(ctx context.Context, b binaries, file string, value, limit int) error {
	alone := b
	alone.memcached = none
	counted, err := replay(ctx, alone, file, value, countingMiB, limit)
	if err != nil {
		return err
	}
	for _, share := range keyShares {
		size, memoryMiB := memoryFor(share, counted[0], value)
		reports, err := replay(ctx, b, file, size, memoryMiB, limit)
		if err != nil {
			return fmt.Errorf("at -m %d: %w", memoryMiB, err)
		}
		t.add(filepath.Base(file), share, size, memoryMiB, reports)
	}
	return nil
}

// memoryFor is the -m that holds a share of the trace's keys, and the size of the values: the given
// one, doubled until the memory reaches leastMissesMiB, or 0 for the trace's own sizes. A trace
// without keys gets the least memory.
func memoryFor(share float64, counted report, value int) (size, memoryMiB int) {
	if counted.Keys == 0 {
		return value, leastMissesMiB
	}
	if value == 0 {
		data := share * (float64(counted.DataBytes) + float64(counted.Keys)*itemOverhead)
		return 0, max(leastMissesMiB, int(data/(1<<20)+0.5))
	}
	for size = value; ; size *= 2 {
		memoryMiB = int(share*float64(counted.Keys)*float64(size+keyBytes+itemOverhead)/(1<<20) + 0.5)
		if memoryMiB >= leastMissesMiB {
			return size, memoryMiB
		}
	}
}

func (t *missTable) add(name string, share float64, size, memoryMiB int, reports []report) {
	row := []string{name, percent(share), strconv.Itoa(size), strconv.Itoa(memoryMiB), "", "", "", "", ""}
	if size == 0 {
		row[2] = "of the trace"
	}
	for i, r := range reports {
		row[4+i] = strconv.FormatInt(r.Items, 10)
		row[6+i] = fmt.Sprintf("%.2f %%", 100*float64(r.Misses)/float64(r.Requests))
	}
	if len(reports) == 2 {
		ratio := float64(reports[0].Misses) / float64(reports[1].Misses)
		t.ratios = append(t.ratios, ratio)
		t.worst = max(t.worst, ratio)
		row[8] = fmt.Sprintf("%.3f", ratio)
	}
	t.rows = append(t.rows, row)
	fmt.Fprintf(os.Stderr, "%v\n", row) // the part takes minutes: show its progress
}

func mean(values []float64) (sum float64) {
	for _, v := range values {
		sum += v / float64(len(values))
	}
	return sum
}
