package cache

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestHitsOfRecordedTraces is TestHitsOfPolicy with recorded traffic, if there is some beside the
// checkout or in the directory $HOLDFAST_TRACES.
func TestHitsOfRecordedTraces(t *testing.T) {
	for _, trace := range []struct {
		file   string
		unpack string
		parse  func(raw []byte) []string
	}{
		{"scarab-recs.trace.xz", "xz", bigEndian(8)},
		{"orm-busy.trace.xz", "xz", bigEndian(4)},
		{"web12.trace.xz", "xz", bigEndian(4)},
		{"arc-OLTP.lis.zst", "zstd", ranges},
		{"cachelib-short_bigcache_traces.csv.xz", "xz", secondColumn},
	} {
		t.Run(trace.file, func(t *testing.T) {
			raw := unpackTrace(t, trace.file, trace.unpack)
			const most = 2_000_000 // requests, to bound the time
			all := trace.parse(raw)
			numbers := map[string]uint32{}
			var keys []uint32
			for _, key := range all[:min(len(all), most)] {
				number, ok := numbers[key]
				if !ok {
					number = uint32(len(numbers))
					numbers[key] = number
				}
				keys = append(keys, number)
			}
			checkPolicy(t, keys)
		})
	}
}

// unpackTrace reads a trace, and skips the test if it or the program to unpack it is missing.
func unpackTrace(t *testing.T, file, program string) []byte {
	t.Helper()
	if testing.Short() {
		t.Skip("skipped by -short")
	}
	dir := os.Getenv("HOLDFAST_TRACES")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "traces")
	}
	file = filepath.Join(dir, file)
	if _, err := os.Stat(file); err != nil {
		t.Skipf("no such trace here: %v", err)
	}
	raw, err := exec.Command(program, "-dc", file).Output()
	if err != nil {
		t.Skipf("%s: cannot be unpacked with %s: %v", file, program, err)
	}
	return raw
}

// bigEndian returns a reader of traces of big-endian keys of keyBytes.
func bigEndian(keyBytes int) func([]byte) []string {
	return func(raw []byte) (keys []string) {
		for ; len(raw) >= keyBytes; raw = raw[keyBytes:] {
			keys = append(keys, string(raw[:keyBytes]))
		}
		return keys
	}
}

// ranges reads lines of the ARC paper's traces: a first key, a number of keys, and two more
// numbers.
func ranges(raw []byte) (keys []string) {
	for line := range bytes.Lines(raw) {
		var first, count uint64
		if n, _ := fmt.Sscan(string(line), &first, &count); n != 2 {
			continue
		}
		for key := first; key < first+count; key++ {
			keys = append(keys, string(binary.BigEndian.AppendUint64(nil, key)))
		}
	}
	return keys
}

// secondColumn reads a CSV file with a header, whose second column is the key.
func secondColumn(raw []byte) (keys []string) {
	for i, line := range bytes.Split(raw, []byte("\n")) {
		if fields := bytes.SplitN(line, []byte(","), 3); i > 0 && len(fields) == 3 {
			keys = append(keys, string(fields[1]))
		}
	}
	return keys
}
