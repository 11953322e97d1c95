package sim

import (
	"fmt"
	"os"
	"testing"
	"time"
)

func TestTableSeeds(t *testing.T) {
	first, last := seeds(t, 5)
	began, sum := time.Now(), Report{}
	for seed := first; seed <= last; seed++ {
		fmt.Printf("tables, seed %d\n", seed) // so that a panic has one
		o := Options{Seed: seed, Tables: true}
		if os.Getenv("HOLDFAST_SIM_LOG") != "" {
			o.Log = func(line string) { fmt.Println(line) }
		}
		r, err := Run(t, o)
		if err != nil {
			t.Fatalf("seed %d: %v\nagain: HOLDFAST_SIM_SEEDS=%d HOLDFAST_SIM_LOG=1 go test -run TestTableSeeds ./sim",
				seed, err, seed)
		}
		sum.add(r)
	}
	least := min(sum.Crashes, sum.Lost, sum.Done, sum.Failed, sum.Refused, sum.Unknown, sum.Sums, sum.Again)
	if last-first >= 4 && least == 0 {
		t.Errorf("got %+v; want something of each", sum)
	}
	if last-first >= 29 && min(sum.Snapshots, sum.Asleep, sum.Full) == 0 {
		t.Errorf("got %+v; want snapshots, faults while groups sleep, and full disks", sum)
	}
	t.Logf("%d seeds in %v: %+v", last-first+1, time.Since(began), sum)
}

// Two runs of a seed are equal with tables, too.
func TestOneSeedGivesOneTraceOfTables(t *testing.T) {
	first, last := seeds(t, 2)
	for seed := first; seed <= last; seed++ {
		expectOneTrace(t, Options{Seed: seed, Tables: true})
	}
}
