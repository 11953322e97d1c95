package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
)

// memory sets far more small items than fit, at full rate, and counts those that are held: by the
// server's own counter, and by requesting a sample of them.
func memory(ctx context.Context, args []string) error {
	var b binaries
	f := newFlags("memory", &b)
	var (
		memoryMiB = positiveFlag(f, "memory", 1024, "MiB, -m of both servers")
		value     = f.Int("value", 100, "bytes of each value; keys have 20")
		threads   = positiveFlag(f, "threads", 2, "-t of both servers")
		sample    = positiveFlag(f, "sample", 400_000, "number of keys to request")
	)
	if err := parse(f, args); err != nil {
		return err
	}
	_, done, err := b.scratch(ctx, "")
	if err != nil {
		return err
	}
	defer done()
	// More than a server without any overhead could hold.
	count := uint64(*memoryMiB) << 20 / uint64(20+*value) * 5 / 4
	fmt.Printf("%d sets of 20-byte keys and %d-byte values into -m %d, pipelined by %d on %d connections\n",
		count, *value, *memoryMiB, fillPipeline, fillConnections)
	rows := [][]string{{"", "refused", "sets/s", "curr_items", "held", "bytes/item", "evictions", "resident MiB"}}
	for _, p := range b.both(*memoryMiB, *threads) {
		row, err := memoryOf(ctx, p, count, bytes.Repeat([]byte("v"), *value), *sample, *memoryMiB)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	table(rows)
	fmt.Printf("held: counted by requesting %d random keys; bytes/item: -m divided by held\n", *sample)
	return nil
}

// memoryOf returns the server's row.
func memoryOf(ctx context.Context, p spec, count uint64, value []byte, sample, memoryMiB int) ([]string, error) {
	s, err := p.start(ctx)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	sets, err := fill(ctx, s.address, count, value)
	if err != nil {
		return nil, fmt.Errorf("%s: fill: %w", p.name, err)
	}
	if sets.refusal != "" {
		fmt.Printf("%s refused sets, the first with %q\n", p.name, sets.refusal)
	}
	c, err := dial(s.address)
	if err != nil {
		return nil, err
	}
	defer c.close()
	stats, err := c.stats()
	if err != nil {
		return nil, fmt.Errorf("%s: stats: %w", p.name, err)
	}
	share, err := shareHeld(ctx, c, count, sample)
	if err != nil {
		return nil, fmt.Errorf("%s: get: %w", p.name, err)
	}
	held := share * float64(count)
	return []string{
		p.name,
		strconv.FormatInt(sets.refused, 10),
		fmt.Sprintf("%.0f k", float64(count)/sets.took.Seconds()/1e3),
		stats["curr_items"],
		fmt.Sprintf("%.2f M", held/1e6),
		fmt.Sprintf("%.1f", float64(memoryMiB<<20)/held),
		stats["evictions"],
		strconv.Itoa(s.residentMiB()),
	}, nil
}

// shareHeld requests a sample of the keys below count, the same in every run.
func shareHeld(ctx context.Context, c *client, count uint64, sample int) (float64, error) {
	const together = 100
	r := rand.New(rand.NewPCG(1, 2))
	keys := make([]uint64, together)
	asked, found := 0, 0
	for asked < sample {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		for i := range keys {
			keys[i] = r.Uint64N(count)
		}
		n, err := c.get(keys...)
		if err != nil {
			return 0, err
		}
		asked += together
		found += n
	}
	return float64(found) / float64(asked), nil
}
