package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"
)

// tail runs two servers of the same kind, one with few items and one with many, and measures the
// two in turn, so that other work of the machine affects both.
func tail(ctx context.Context, args []string) error {
	var b binaries
	f := newFlags("tail", &b)
	var (
		few         = positiveFlag[uint64](f, "few", 10_000, "items of the first server")
		many        = positiveFlag[uint64](f, "many", 10_000_000, "items of the second server")
		value       = f.Int("value", 100, "bytes of each value; keys have 20")
		memoryMiB   = positiveFlag(f, "memory", 2500, "MiB, -m; the many items must fit")
		threads     = positiveFlag(f, "threads", 1, "-t of all servers")
		connections = positiveFlag(f, "connections", 50, "each with one request at a time, 95 % gets")
		rounds      = positiveFlag(f, "rounds", 10, "rounds of each server")
		seconds     = positiveFlag[float64](f, "seconds", 3, "length of each round")
	)
	if err := parse(f, args); err != nil {
		return err
	}
	_, done, err := b.scratch(ctx, "")
	if err != nil {
		return err
	}
	defer done()
	// The client's own garbage collections would show as tail latencies.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	load := load{value: bytes.Repeat([]byte("v"), *value), connections: *connections,
		length: time.Duration(*seconds * float64(time.Second))}
	rows := [][]string{{"", "items", "requests/s", "p50 µs", "p99 µs", "p99.9 µs", "max µs"}}
	for _, p := range b.both(*memoryMiB, *threads) {
		results, err := tailOf(ctx, p, []uint64{*few, *many}, load, *rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		for i, items := range []uint64{*few, *many} {
			rows = append(rows, append([]string{p.name, strconv.FormatUint(items, 10)}, results[i].fields()...))
		}
		fmt.Printf("%s: p99.9 with %d items is %.2f of p99.9 with %d (median of %d rounds)\n",
			p.name, *many, results[1].p999/results[0].p999, *few, *rounds)
	}
	table(rows)
	return nil
}

// A load is the traffic of one round.
type load struct {
	value       []byte
	connections int
	length      time.Duration
}

// tailOf measures one kind of server with each of the numbers of items.
func tailOf(ctx context.Context, p spec, items []uint64, l load, rounds int) (medians []percentiles, err error) {
	var servers []*server
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.stop())
		}
	}()
	for _, n := range items {
		s, err := p.start(ctx)
		if err != nil {
			return nil, err
		}
		servers = append(servers, s)
		f, err := fill(ctx, s.address, n, l.value)
		if err != nil {
			return nil, fmt.Errorf("fill: %w", err)
		}
		if f.refused > 0 {
			return nil, fmt.Errorf("fill: %d sets refused, the first with %q", f.refused, f.refusal)
		}
	}
	results := make([][]percentiles, len(items))
	for round := range rounds {
		for i, s := range servers {
			one, err := l.ask(ctx, s.address, items[i], uint64(round))
			if err != nil {
				return nil, err
			}
			results[i] = append(results[i], one)
		}
		debug.FreeOSMemory() // collects between rounds, when it disturbs no measurement
	}
	for _, r := range results {
		medians = append(medians, median(r))
	}
	return medians, nil
}

// ask requests random keys below items for the length of a round.
func (l load) ask(ctx context.Context, address string, items, seed uint64) (percentiles, error) {
	ctx, cancel := context.WithTimeout(ctx, l.length)
	defer cancel()
	var (
		mu    sync.Mutex // guards what follows
		all   []time.Duration
		fault error
		wg    sync.WaitGroup
	)
	for n := range l.connections {
		wg.Go(func() {
			took, err := l.askOne(ctx, address, items, rand.New(rand.NewPCG(seed, uint64(n))))
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			fault = errors.Join(fault, err)
		})
	}
	wg.Wait()
	if fault != nil {
		return percentiles{}, fault
	}
	if len(all) == 0 {
		return percentiles{}, errors.New("no request was answered in time")
	}
	return percentilesOf(all, l.length), nil
}

// askOne returns how long each request of one connection took.
func (l load) askOne(ctx context.Context, address string, items uint64, r *rand.Rand) ([]time.Duration, error) {
	c, err := dial(address)
	if err != nil {
		return nil, err
	}
	defer c.close()
	const perSecond = 20_000 // expected at most; beyond it the slice grows
	took := make([]time.Duration, 0, int(l.length.Seconds()*perSecond)+1)
	for ctx.Err() == nil {
		key, set := r.Uint64N(items), r.IntN(100) >= 95
		start := time.Now()
		if set {
			_, err = c.set(key, l.value)
		} else {
			_, err = c.get(key)
		}
		if err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
	}
	return took, nil
}

// percentiles are latencies of one round, in microseconds, or medians over several rounds.
type percentiles struct{ perSecond, p50, p99, p999, max float64 }

// percentilesOf sorts the durations of the requests of one round, of which there must be one at
// least.
func percentilesOf(took []time.Duration, length time.Duration) percentiles {
	slices.Sort(took)
	at := func(share float64) float64 {
		return float64(took[min(int(share*float64(len(took))), len(took)-1)].Nanoseconds()) / 1e3
	}
	return percentiles{float64(len(took)) / length.Seconds(), at(0.5), at(0.99), at(0.999), at(1)}
}

// median returns the median of each field.
func median(rounds []percentiles) percentiles {
	of := func(field func(percentiles) float64) float64 {
		values := make([]float64, len(rounds))
		for i, r := range rounds {
			values[i] = field(r)
		}
		return middle(values)
	}
	return percentiles{
		perSecond: of(func(p percentiles) float64 { return p.perSecond }),
		p50:       of(func(p percentiles) float64 { return p.p50 }),
		p99:       of(func(p percentiles) float64 { return p.p99 }),
		p999:      of(func(p percentiles) float64 { return p.p999 }),
		max:       of(func(p percentiles) float64 { return p.max }),
	}
}

func (p percentiles) fields() []string {
	return []string{
		fmt.Sprintf("%.0f k", p.perSecond/1e3),
		fmt.Sprintf("%.0f", p.p50), fmt.Sprintf("%.0f", p.p99), fmt.Sprintf("%.0f", p.p999), fmt.Sprintf("%.0f", p.max),
	}
}
