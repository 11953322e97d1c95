package shard

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"holdfast"
)

// Whatever happens to the files beside the sorted tables, a start either has all items or is
// refused, and a recovery leaves the first ones, or says that it can't help.
func TestRandomDamage(t *testing.T) {
	base := newStopped(t, false, true)
	trials := uint64(60)
	if testing.Short() {
		trials = 10
	}
	for seed := range trials {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 11))
			r := &stopped{t: t, boot: base.boot, fs: base.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})}
			for range 1 + rng.IntN(2) {
				r.damage(rng)
			}
			s, err := Open(r.options())
			if err == nil {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if got := r.left(); got != stoppedItems {
					t.Errorf("started: got %d items; want all %d", got, stoppedItems)
				}
				return
			}
			if !errors.Is(err, holdfast.Corrupt) {
				t.Fatalf("got %v; want corrupt", err)
			}
			if recovery, left := r.recover(); !recovery.Unrecoverable && left < stoppedTabled {
				t.Errorf("recovered: got %d items; want at least the %d of the sorted tables", left, stoppedTabled)
			}
		})
	}
}

// damage changes, cuts, empties, removes or exchanges a log, a manifest, a marker or the control
// file.
func (r *stopped) damage(rng *rand.Rand) {
	logs := r.pebble("", ".log")
	paths := append(logs, r.pebble("MANIFEST", "")...)
	paths = append(append(paths, r.pebble("marker.", "")...), "/data/"+controlName)
	path := paths[rng.IntN(len(paths))]
	p := r.read(path)
	used := len(bytes.TrimRight(p, "\x00"))
	switch what := rng.IntN(5); {
	case what == 0 || used == 0:
		r.remove(path)
	case what == 1:
		r.write(path, p[:rng.IntN(used)])
	case what == 2:
		from := rng.IntN(used)
		clear(p[from:min(used, from+rng.IntN(40_000))])
		r.write(path, p)
	case what == 3 && len(logs) > 1:
		a, b := logs[rng.IntN(len(logs))], logs[rng.IntN(len(logs))]
		pa, pb := r.read(a), r.read(b)
		r.write(a, pb)
		r.write(b, pa)
	default:
		p[rng.IntN(used)] ^= 1 << rng.IntN(8)
		r.write(path, p)
	}
}
