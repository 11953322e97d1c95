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
		sum.Early, sum.Full, sum.Behind)
	if last-first >= 19 && failures == 0 && least == 0 {
		t.Errorf("got %+v; want something of each", sum)
	}
	if last-first >= 299 && failures == 0 && sum.Gone == 0 {
		t.Errorf("got no write that was lost, of %d that async acknowledged before they were committed", sum.Early)
	}
	t.Logf("%d seeds in %v: %+v", last-first+1, time.Since(began), sum)
}

// Two runs of a seed are equal, event for event; of three, if the machine is busy.
func TestOneSeedGivesOneTrace(t *testing.T) {
	first, last := seeds(t, 20)
	for seed := first; seed <= last; seed++ {
		expectOneTrace(t, Options{Seed: seed})
	}
}

// expectOneTrace runs a cluster twice, and once more if the two differ: on a busy machine Go's
// scheduler may interrupt a goroutine in the middle of an event, since it looks at real time, and
// what a crash leaves of Pebble's log depends on whose batch came first. With the race detector no
// two runs are equal: Go's scheduler then takes goroutines that can run in a random order
// (randomizeScheduler), also those of one event, and Pebble checks itself at random (its package
// invariants). Neither has a seed that a program can set.
func expectOneTrace(t *testing.T, o Options) {
	t.Helper()
	if raced {
		t.Skip("the race detector has goroutines run in a random order")
	}
	var lines [3][]string
	var traces [3][32]byte
	for i := range lines {
		o.Log = func(line string) { lines[i] = append(lines[i], line) }
		r, err := Run(t, o)
		if err != nil {
			t.Fatalf("seed %d: %v", o.Seed, err)
		}
		traces[i] = r.Trace
		if i > 0 && (traces[i] == traces[i-1] || traces[i] == traces[0]) {
			return
		}
	}
	for i := range min(len(lines[0]), len(lines[1])) {
		if lines[0][i] != lines[1][i] {
			t.Fatalf("seed %d: the runs differ in line %d:\n%s\n%s", o.Seed, i+1, lines[0][i], lines[1][i])
		}
	}
	t.Fatalf("seed %d: the runs have %d and %d lines", o.Seed, len(lines[0]), len(lines[1]))
}
