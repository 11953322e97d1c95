package replay

import (
	"bufio"
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestDetectWidth makes traces as they occur: small and hashed keys, of both widths.
func TestDetectWidth(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	popular := func() uint64 { return uint64(random.ExpFloat64() * 500) }
	hash := func(n uint64) uint64 { return (n + 1) * 0x9e3779b97f4a7c15 }
	for _, c := range []struct {
		what string
		key  func(i int) uint64
		wide bool
		want Format
	}{
		{"small 32-bit keys", func(int) uint64 { return popular() }, false, FormatBE32},
		{"hashed 32-bit keys", func(int) uint64 { return hash(popular()) >> 32 }, false, FormatBE32},
		{"small 64-bit keys", func(int) uint64 { return popular() }, true, FormatBE64},
		{"hashed 64-bit keys", func(int) uint64 { return hash(popular()) }, true, FormatBE64},
		{"64-bit keys that never come again", func(i int) uint64 { return hash(uint64(i)) }, true, FormatBE64},
		{"a scan of 32-bit keys", func(i int) uint64 { return uint64(i) }, false, ""},
	} {
		var trace []byte
		for i := range 20000 {
			if c.wide {
				trace = append(trace, be64(c.key(i))...)
			} else {
				trace = append(trace, be32(uint32(c.key(i)))...)
			}
		}
		got, err := detect(bufio.NewReaderSize(bytes.NewReader(trace), maxLineBytes), "x.trace")
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: got %q, %v; want %q", c.what, got, err, c.want)
		}
	}
}

func TestDetectText(t *testing.T) {
	const logLine = `1.2.3.4 - - [10/Oct/2025:13:55:36 +0000] "POST /a HTTP/1.1" 200 2326`
	for _, c := range []struct {
		what, content, name string
		want                Format
	}{
		{"a log that begins with garbage", "???, garbage\n" + logLine + "\n", "t.csv", FormatLog},
		{"page list", "1 1 0 0\n", "t", FormatARC},
		{"three numbers", "1,1,0\n", "t.lis", FormatCSV},
		{"one column", "k1\nk2\n", "t", FormatCSV},
		{"named csv", "a key with spaces\n", "T.CSV.gz", FormatCSV},
		{"Latin-1", "time,key\n1,caf\xe9\n", "t", FormatCSV},
		{"prose", "to be\n", "t.txt", ""},
	} {
		got, _ := detect(bufio.NewReaderSize(bytes.NewReader([]byte(c.content)), maxLineBytes), c.name)
		if got != c.want {
			t.Errorf("%s: got %q; want %q", c.what, got, c.want)
		}
	}
}

// TestDetectOracle checks that oracleGeneral's records are recognised, and that integers never are
// recognised as such.
func TestDetectOracle(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var records []oracleRecord
	for i := range 5000 {
		next := int64(-1)
		if random.IntN(2) == 0 {
			next = int64(i) + 1 + random.Int64N(100_000)
		}
		records = append(records, oracleRecord{uint32(i / 10), random.Uint64(), uint32(random.IntN(1 << 20)), next})
	}
	for what, n := range map[string]int{"many": len(records), "two": 2} {
		trace := oracleOf(records[:n]...)
		got, err := detect(bufio.NewReaderSize(bytes.NewReader(trace), maxLineBytes), "x.zst")
		if got != FormatOracle || err != nil {
			t.Errorf("%s records: got %q, %v; want %q", what, got, err, FormatOracle)
		}
	}
	for range 1000 { // so few keys that another format is plausible
		var trace []byte
		for range 12 {
			trace = append(trace, be64(uint64(random.ExpFloat64()*500))...)
		}
		if isOracle(trace) {
			t.Errorf("% x is recognised as oracleGeneral; want integers", trace)
		}
	}
}
