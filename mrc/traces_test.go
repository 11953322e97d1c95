package mrc

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestMatchesExactCurveOfRealTraces replays recorded traffic, if there is any beside the checkout.
// The rates are such that the keys of 4 times the memory fill the sample.
func TestMatchesExactCurveOfRealTraces(t *testing.T) {
	for _, test := range []struct {
		file     string
		keyBytes int
		maxRate  float64
		limit    float64
	}{
		{"scarab-recs.trace.xz", 8, 1, 0.02},
		{"scarab-recs.trace.xz", 8, 0.02, 0.03},
		{"orm-busy.trace.xz", 4, 1, 0.02},
		{"web12.trace.xz", 4, 1, 0.02},
	} {
		t.Run(test.file, func(t *testing.T) {
			keys := readTrace(t, filepath.Join("..", "..", "shared", "traces", test.file), test.keyBytes)
			trace := make([]access, len(keys))
			for i, key := range keys {
				trace[i] = access{key, 148}
			}
			checkTrace(t, trace, Options{MaxRate: test.maxRate}, true, test.limit)
		})
	}
}

// readTrace reads a file of big-endian keys, and skips the test if it or xz is missing.
func readTrace(t *testing.T, file string, keyBytes int) []uint64 {
	t.Helper()
	if testing.Short() {
		t.Skip("skipped by -short")
	}
	if _, err := os.Stat(file); err != nil {
		t.Skipf("the trace is missing: %v", err)
	}
	raw, err := exec.Command("xz", "-dc", file).Output()
	if err != nil {
		t.Skipf("%s: cannot be unpacked with xz: %v", file, err)
	}
	keys := make([]uint64, 0, len(raw)/keyBytes)
	var wide [8]byte
	for ; len(raw) >= keyBytes; raw = raw[keyBytes:] {
		copy(wide[8-keyBytes:], raw[:keyBytes])
		keys = append(keys, binary.BigEndian.Uint64(wide[:]))
	}
	return keys
}
