package replay

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func wantGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got:\n%s\nwant, as in %s:\n%s", got, path, want)
	}
}

func fixedReports() []Report {
	full := Report{
		Trace: "/var/log/access.log.gz", Format: FormatLog, Server: "127.0.0.1:11211",
		Version: "1.6.18", MemoryBytes: 32 << 20, Items: 28320, Evictions: 0,
		Requests: 1245184, Keys: 258368, KeysExact: true, DataBytes: 263535360,
		Hits: 775750, Misses: 469434, HitRate: share(775750, 1245184), HitBytes: 775750000,
		SetsRefused: 1203, Refusals: []Refusal{{"SERVER_ERROR object too large for cache", 1200}, {"NOT_STORED", 3}},
		LoadedBytes: 469434000, LoadDelay: Seconds(5 * time.Millisecond), LoadSaved: Seconds(775750 * 5 * time.Millisecond),
		Connections: 1, Pipeline: 1, Elapsed: Seconds(48300 * time.Millisecond), PerSecond: 25780.2,
		Latency: Latency{P50: 21300, P90: 30100, P99: 99990, P999: 312400, Max: 4100000},
		Over:    []Point{{311296, 0}, {622592, 0.5}, {933888, 0.875}, {1245184, 1}},
		Skipped: []Skip{{"method POST", 5120}, {skipNoLog, 2}},
	}
	short := Report{
		Trace: full.Trace, Format: FormatLog, Server: "/run/cache.sock", Items: -1, Evictions: -1,
		Stopped: "server /run/cache.sock went away: it closed the connection", Requests: 1, Keys: 1, Misses: 1,
		GetErrors: 1, LoadedBytes: 999, Connections: 8, Pipeline: 16, Over: []Point{{1, 0}},
	}
	return []Report{full, short}
}

func TestPrint(t *testing.T) {
	var text, json bytes.Buffer
	if err := Print(&text, fixedReports()); err != nil {
		t.Fatal(err)
	}
	wantGolden(t, "report.txt", text.Bytes())
	if err := PrintJSON(&json, fixedReports()); err != nil {
		t.Fatal(err)
	}
	wantGolden(t, "report.json", json.Bytes())
	if err := Print(io.Discard, nil); err != nil {
		t.Errorf("no reports: %v", err)
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{group(0), "0"}, {group(999), "999"}, {group(1000), "1,000"}, {group(1234567), "1,234,567"}, {group(-1000), "-1,000"},
		{size(1023), "1023 B"}, {size(1024), "1.0 KiB"}, {size(3 << 40), "3.0 TiB"}, {size(3 << 50), "3072.0 TiB"},
		{span(int64(1500 * time.Millisecond)), "1.5 s"}, {span(int64(90 * time.Minute)), "1h30m0s"},
		{micros(99_940), "99.9 µs"}, {micros(1_234_567), "1,235 µs"}, {percent(0.6234), "62.3 %"},
	} {
		if c.got != c.want {
			t.Errorf("got %q; want %q", c.got, c.want)
		}
	}
}
