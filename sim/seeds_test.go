package sim

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// seeds returns which seeds are to be run: HOLDFAST_SIM_SEEDS is a number, or two of them with a dash
// in between. Otherwise they are the first n.
func seeds(t *testing.T, n uint64) (first, last uint64) {
	t.Helper()
	text := os.Getenv("HOLDFAST_SIM_SEEDS")
	if text == "" {
		return 1, n
	}
	from, to, several := strings.Cut(text, "-")
	if !several {
		to = from
	}
	first, err := strconv.ParseUint(from, 10, 64)
	last, err2 := strconv.ParseUint(to, 10, 64)
	if err := errors.Join(err, err2); err != nil || last < first {
		t.Fatalf("HOLDFAST_SIM_SEEDS=%s: got %v; want a number, or two as in 1-300", text, err)
	}
	return first, last
}

func TestSeeds(t *testing.T) {
	first, last := seeds(t, 20)
	began, sum, failures := time.Now(), Report{}, 0
	for seed := first; seed <= last && failures < 3; seed++ {
		fmt.Printf("seed %d\n", seed) // so that a panic has one
		o := Options{Seed: seed}
		if text := os.Getenv("HOLDFAST_SIM_LENGTH"); text != "" {
			var err error
			if o.Length, err = time.ParseDuration(text); err != nil {
				t.Fatal(err)
			}
		}
		if os.Getenv("HOLDFAST_SIM_LOG") != "" {
			o.Log = func(line string) { fmt.Println(line) }
		}
		r, err := Run(t, o)
		if err != nil {
			failures++
			t.Errorf("seed %d: %v\nagain: HOLDFAST_SIM_SEEDS=%d HOLDFAST_SIM_LOG=1 go test -run TestSeeds ./sim",
				seed, err, seed)
		}
		sum.add(r)
	}
	least := min(sum.Crashes, sum.Snapshots, sum.Lost, sum.Done, sum.Failed, sum.Refused, sum.Unknown, sum.Asleep,
		sum.Early)
	if last-first >= 19 && failures == 0 && least == 0 {
		t.Errorf("got %+v; want something of each", sum)
	}
	if last-first >= 299 && failures == 0 && sum.Gone == 0 {
		t.Errorf("got no write that was lost, of %d that async acknowledged before they were committed", sum.Early)
	}
	t.Logf("%d seeds in %v: %+v", last-first+1, time.Since(began), sum)
}

// Two runs of a seed are equal, event for event.
func TestOneSeedGivesOneTrace(t *testing.T) {
	first, last := seeds(t, 20)
	for seed := first; seed <= last; seed++ {
		expectOneTrace(t, Options{Seed: seed})
	}
}

// expectOneTrace runs a cluster twice.
func expectOneTrace(t *testing.T, o Options) {
	t.Helper()
	var lines [2][]string
	var traces [2][32]byte
	for i := range lines {
		o.Log = func(line string) { lines[i] = append(lines[i], line) }
		r, err := Run(t, o)
		if err != nil {
			t.Fatalf("seed %d: %v", o.Seed, err)
		}
		traces[i] = r.Trace
	}
	if traces[0] == traces[1] {
		return
	}
	for i := range min(len(lines[0]), len(lines[1])) {
		if lines[0][i] != lines[1][i] {
			t.Fatalf("seed %d: the runs differ in line %d:\n%s\n%s", o.Seed, i+1, lines[0][i], lines[1][i])
		}
	}
	t.Fatalf("seed %d: the runs have %d and %d lines", o.Seed, len(lines[0]), len(lines[1]))
}
