package shard

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// randomRecords returns a file of records as manifests are, the records, and where each ends.
func randomRecords(t *testing.T, rng *rand.Rand) (file []byte, records [][]byte, ends []int64) {
	t.Helper()
	var buf bytes.Buffer
	w := record.NewWriter(&buf)
	for range 1 + rng.IntN(12) {
		p := make([]byte, 1+rng.IntN([]int{20, 3000, 90_000}[rng.IntN(3)]))
		for i := range p {
			p[i] = byte(1 + rng.IntN(255)) // zeros at a file's end don't count
		}
		end, err := w.WriteRecord(p)
		if err != nil {
			t.Fatal(err)
		}
		records, ends = append(records, p), append(ends, end)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes(), records, ends
}

// scanned scans a file, and fails unless it has the first n records.
func scanned(t *testing.T, file []byte, want extent, records [][]byte, n int) (*scan, tail) {
	t.Helper()
	fs := vfs.NewMem()
	writeFile(t, fs, "file", file)
	read := 0
	s, err := scanFile(fs, "file", want, func(p []byte) {
		if read < len(records) && !bytes.Equal(p, records[read]) {
			t.Errorf("record %d isn't what was written", read)
		}
		read++
	})
	if err != nil {
		t.Fatal(err)
	}
	if read != n || s.records != int64(n) {
		t.Errorf("got %d records, %d counted; want %d", read, s.records, n)
	}
	left, err := scanTail(fs, "file", s, extent{})
	if err != nil {
		t.Fatal(err)
	}
	return s, left
}

// Wherever a file of records ends, a scan ends with its last whole record, and what follows is
// torn, not damaged.
func TestScanOfATornFile(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for range 200 {
		file, records, ends := randomRecords(t, rng)
		size := rng.IntN(len(file) + 1)
		n, end := 0, int64(0)
		for n < len(ends) && ends[n] <= int64(size) {
			end = ends[n]
			n++
		}
		want := extent{bytes: rng.Int64N(int64(len(file)) + 1)}
		s, left := scanned(t, file[:size], want, records, n)
		if s.end != end || left.stray >= 0 || left.bytes < 0 || left.bytes > int64(size)-end {
			t.Errorf("%d of %d bytes: got the end at %d, tail %+v; want %d, and nothing whole behind it", size, len(file),
				s.end, left, end)
		}
		summed := min(want.bytes, int64(size))
		if s.summed != summed || s.sum != castagnoli(0, file[:summed]) {
			t.Errorf("got the sum of %d bytes; want that of %d", s.summed, summed)
		}
	}
}

// A byte that was changed ends the scan before its record. If another record follows, that is
// found, whole.
func TestScanOfADamagedFile(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	files := 200
	if testing.Short() {
		files = 20
	}
	for range files {
		file, records, ends := randomRecords(t, rng)
		n := rng.IntN(len(records))
		begin := int64(0)
		if n > 0 {
			begin = ends[n-1]
		}
		// The record's last byte is of what was written, unlike its first ones, which may be a block's
		// padding.
		at := ends[n] - 1 - rng.Int64N(min(int64(len(records[n])), ends[n]-begin))
		if at%blockOfRecords < chunkHeader {
			continue // a header that can't be read may hide the chunks of its block
		}
		file[at] ^= 0x40
		_, left := scanned(t, file, extent{}, records, n)
		if follows := n+1 < len(records); follows && left.stray < 0 {
			t.Errorf("byte %d of record %d of %d changed: got no whole chunk behind it", at, n, len(records))
		}
	}
}
