package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"time"
)

// restart fills a server whose memory is a file, stops it, starts it again on the same file, and
// measures until a client has its first hit.
func restart(ctx context.Context, args []string) error {
	var b binaries
	f := newFlags("restart", &b)
	var (
		memoryMiB = positiveFlag(f, "memory", 1024, "MiB, -m")
		value     = f.Int("value", 100, "bytes of each value; keys have 20")
		rounds    = positiveFlag(f, "rounds", 5, "restarts")
		shm       = f.String("dir", "/dev/shm", "directory of the memory file, which is removed at the end")
	)
	if err := parse(f, args); err != nil {
		return err
	}
	b.memcached = none
	dir, done, err := b.scratch(ctx, *shm)
	if err != nil {
		return err
	}
	defer done()
	file := filepath.Join(dir, "items")
	ours := b.both(*memoryMiB, 2, "-e", file)
	if len(ours) == 0 {
		return errors.New("without holdfast there is nothing to restart")
	}
	s, err := ours[0].start(ctx)
	if err != nil {
		return err
	}
	count := uint64(*memoryMiB) << 20 / uint64(20+*value)
	kept, err := fillAndPick(ctx, s, count, bytes.Repeat([]byte("v"), *value))
	if err != nil {
		s.stop()
		return err
	}
	rows := [][]string{{"", "stop ms", "first hit after ms", fmt.Sprintf("of %d kept", len(kept))}}
	for round := range *rounds {
		began := time.Now()
		if err := s.stop(); err != nil {
			return err
		}
		stopped := time.Since(began)
		var first time.Duration
		var found int
		if s, first, found, err = again(ctx, s, kept); err != nil {
			return err
		}
		rows = append(rows, []string{"restart " + strconv.Itoa(round+1), millis(stopped), millis(first), strconv.Itoa(found)})
	}
	table(rows)
	return s.stop()
}

func millis(d time.Duration) string { return fmt.Sprintf("%.0f", d.Seconds()*1e3) }

// fillAndPick fills the server and returns some keys that it holds.
func fillAndPick(ctx context.Context, s *server, count uint64, value []byte) ([]uint64, error) {
	if _, err := fill(ctx, s.address, count, value); err != nil {
		return nil, fmt.Errorf("fill: %w", err)
	}
	c, err := dial(s.address)
	if err != nil {
		return nil, err
	}
	defer c.close()
	stats, err := c.stats()
	if err != nil {
		return nil, err
	}
	fmt.Printf("-m is full: %s items, %s bytes\n", stats["curr_items"], stats["bytes"])
	const picked = 1000
	var kept []uint64
	r := rand.New(rand.NewPCG(1, 2))
	for tries := 0; len(kept) < picked; tries++ {
		if tries == 100*picked {
			return nil, fmt.Errorf("only %d of %d keys are held", len(kept), tries)
		}
		key := r.Uint64N(count)
		n, err := c.get(key)
		if err != nil {
			return nil, err
		}
		if n == 1 {
			kept = append(kept, key)
		}
	}
	return kept, nil
}

// again starts the stopped server again at its address, and requests a kept key as soon as the
// server answers: first is the time from before the process began to that hit. found is how many of
// the kept keys are held.
func again(ctx context.Context, old *server, kept []uint64) (s *server, first time.Duration, found int, err error) {
	began := time.Now()
	if s, err = old.launch(old.address); err != nil {
		return nil, 0, 0, err
	}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	c, err := s.firstAnswer(ctx)
	if err != nil {
		return s, 0, 0, err
	}
	defer c.close()
	n, err := c.get(kept[0])
	if err != nil {
		return s, 0, 0, err
	}
	if n == 0 {
		return s, 0, 0, fmt.Errorf("a kept key is missing after the restart\n%s", s.output.String())
	}
	first = time.Since(began)
	for from := 0; from < len(kept); from += 100 {
		n, err := c.get(kept[from:min(from+100, len(kept))]...)
		if err != nil {
			return s, 0, 0, err
		}
		found += n
	}
	return s, first, found, nil
}
