package replay

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"
)

// seeded returns a source of randomness whose seed a failure prints.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// quotedField is a field in quotes, in which a quote is doubled.
func quotedField(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// randomField is a text without line ends, which may hold separators, quotes and spaces.
func randomField(r *rand.Rand) string {
	parts := []string{"a", "key", ",", ";", "\t", `"`, `""`, " ", "é", "\x7f", "/path?q=1", "0"}
	var s strings.Builder
	for range r.IntN(6) {
		s.WriteString(parts[r.IntN(len(parts))])
	}
	return s.String()
}

// TestFieldsParseBack checks that quoted and plain fields are read as what was written.
func TestFieldsParseBack(t *testing.T) {
	r := seeded(t)
	for range 5000 {
		separator := ",;\t"[r.IntN(3)]
		var want, written []string
		for range 1 + r.IntN(5) {
			field := randomField(r)
			want = append(want, field)
			plain := !strings.ContainsAny(field, `"`+string(separator)) && strings.TrimSpace(field) == field
			if plain && r.IntN(2) == 0 {
				written = append(written, field)
			} else {
				written = append(written, quotedField(field))
			}
		}
		line := strings.Join(written, string(separator))
		fields, err := splitFields(nil, []byte(line), separator)
		if got := string(bytes.Join(fields, []byte("|"))); err != nil || got != strings.Join(want, "|") {
			t.Fatalf("%q: got %q, %v; want %q", line, got, err, want)
		}
	}
}

// TestRandomTables writes tables with columns in any order and reads them back.
func TestRandomTables(t *testing.T) {
	r := seeded(t)
	for range 100 {
		separator := string(",;\t"[r.IntN(3)])
		names := []string{"time", "cacheKey", "object_size", "TTL", "op-count"}
		r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		var table strings.Builder
		table.WriteString(strings.Join(names, separator) + "\n")
		var want []string
		first := r.IntN(1000)
		at := first
		for n := range 1 + r.IntN(50) {
			key, size, ttl, count := randomField(r)+"k", r.IntN(1000), r.IntN(1000), 1+r.IntN(3)
			if n > 0 {
				at += r.IntN(10)
			}
			row := map[string]string{
				"time": fmt.Sprint(at), "cacheKey": quotedField(key), "object_size": fmt.Sprint(size), "TTL": fmt.Sprint(ttl),
				"op-count": fmt.Sprint(count),
			}
			shown := Request{
				Key: newKeyer(0).text([]byte(key)), ValueBytes: size, TTL: time.Duration(ttl) * time.Second,
				At: time.Duration(at-first) * time.Second, HasTime: true,
			}
			if r.IntN(4) == 0 {
				row["object_size"], shown.ValueBytes = "-1", -1 // unknown
			}
			var fields []string
			for _, name := range names {
				fields = append(fields, row[name])
			}
			table.WriteString(strings.Join(fields, separator) + []string{"\n", "\r\n"}[r.IntN(2)])
			for range count {
				want = append(want, show(shown))
			}
		}
		trace := opened(t, written(t, "t", []byte(table.String())), Options{Format: FormatCSV})
		got, err := drain(trace)
		if err != nil {
			t.Fatalf("%v of\n%s", err, table.String())
		}
		wantLines(t, got, want...)
	}
}

// A modelServer predicts a replay's counts against a server that refuses to store or to read some
// keys.
type modelServer struct {
	pipeline             int
	noStore, noRead      map[string]bool
	held                 map[string]bool
	hits, misses, failed int64
	refused              int64
}

// play is a replay over one connection: a batch's gets are all answered before its sets are sent.
func (m *modelServer) play(keys []string) {
	for len(keys) > 0 {
		batch := keys[:min(m.pipeline, len(keys))]
		keys = keys[len(batch):]
		var missed []string
		for _, k := range batch {
			switch {
			case m.noRead[k]:
				m.failed++
			case m.held[k]:
				m.hits++
			default:
				m.misses++
				missed = append(missed, k)
			}
		}
		for _, k := range missed {
			if m.noStore[k] {
				m.refused++
			} else {
				m.held[k] = true
			}
		}
	}
}

func TestReplayAgainstModel(t *testing.T) {
	r := seeded(t)
	for range 15 {
		m := modelServer{
			pipeline: 1 + r.IntN(40), noStore: map[string]bool{}, noRead: map[string]bool{}, held: map[string]bool{},
		}
		server := startFake(t, func(line string) string {
			words := strings.Fields(line)
			switch {
			case words[0] == "set" && m.noStore[words[1]]:
				return []string{"SERVER_ERROR out of memory storing object", "NOT_STORED"}[len(words[1])%2]
			case words[0] == "get" && m.noRead[words[1]]:
				return "SERVER_ERROR busy"
			}
			return ""
		})
		different := map[string]bool{}
		var keys keysOf
		for range r.IntN(600) {
			keys = append(keys, fmt.Sprint("k", r.IntN(1+r.IntN(200))))
			different[keys[len(keys)-1]] = true
		}
		for k := range different {
			m.noStore[k], m.noRead[k] = r.IntN(5) == 0, r.IntN(9) == 0
		}
		m.play(keys)
		size, all := r.IntN(5000), int64(len(keys))
		if size == 0 {
			size = defaultValueBytes
		}
		report, err := Run(t.Context(), &keys, Options{Server: server.address, Pipeline: m.pipeline, ValueBytes: size})
		if err != nil {
			t.Fatal(err)
		}
		got := []int64{report.Requests, report.Hits, report.Misses, report.GetErrors, report.SetsRefused, report.Keys,
			report.LoadedBytes, report.HitBytes, report.Items}
		want := []int64{all, m.hits, m.misses, m.failed, m.refused, int64(len(different)),
			(m.misses + m.failed) * int64(size), m.hits * int64(size), int64(len(m.held))}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("pipeline %d: got requests, hits, misses, failed, refused, keys, loaded, hit bytes, items %d; want %d",
				m.pipeline, got, want)
		}
	}
}

// Statistics that are missing, unusual or garbled are no error.
func TestStatistics(t *testing.T) {
	for _, c := range []struct {
		what, answer string
		names        int
		curr         string
	}{
		{"none", "END", 0, ""},
		{"unknown", "ERROR", 0, ""},
		{"refused", "SERVER_ERROR no", 0, ""},
		{"garbage", "\x00\x01", 0, ""},
		{"usual", "STAT curr_items 5\r\nSTAT version 1.6 beta\r\nEND", 2, "5"},
		{"without a value", "STAT curr_items\r\nEND", 1, ""},
		{"without a name", "STAT \r\nSTAT curr_items 5\r\nEND", 0, ""},
		{"cut by garbage", "STAT curr_items 5\r\nnonsense", 1, "5"},
		{"twice", "STAT curr_items 5\r\nSTAT curr_items 6\r\nEND", 1, "6"},
	} {
		server := startFake(t, func(string) string { return c.answer })
		s, err := dial(t.Context(), server.address, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		stats, err := s.stats()
		if err != nil || len(stats) != c.names || stats["curr_items"] != c.curr {
			t.Errorf("%s: got %q, %v; want %d, curr_items %q", c.what, stats, err, c.names, c.curr)
		}
		s.close()
	}
}

// Statistics without an end are cut at maxStats.
func TestEndlessStatistics(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for n := 0; ; n++ {
			if _, err := fmt.Fprintf(conn, "STAT name%d 1\r\n", n); err != nil {
				return
			}
		}
	}()
	s, err := dial(t.Context(), l.Addr().String(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	stats, err := s.stats()
	if err != nil || len(stats) != maxStats {
		t.Errorf("got %d, %v; want %d", len(stats), err, maxStats)
	}
	s.close()
	l.Close()
	<-ended
}

func TestFigures(t *testing.T) {
	for got, want := range map[string]string{
		group(0): "0", group(999): "999", group(1000): "1,000", group(-1234567): "-1,234,567", group(123456): "123,456",
		known(-1): "", known(12345): "12,345",
		size(1023): "1023 B", size(1024): "1.0 KiB", size(1536): "1.5 KiB", size(5 << 40): "5.0 TiB",
		size(5000 << 40):    "5000.0 TiB",
		span(1_500_000_000): "1.5 s", span(int64(599 * time.Second)): "599.0 s", span(int64(10 * time.Minute)): "10m0s",
		micros(99_940): "99.9 µs", micros(99_960): "100 µs", micros(1_234_567): "1,235 µs", percent(0.12345): "12.3 %",
		sparkline([]Point{{1, 0}, {2, 0.5}, {3, 1}}): "▁▅█", positive(0, group): "", positive(7, group): "7",
	} {
		if got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}
}

// Every text becomes a key that memcached accepts, always the same one, and different texts become
// different keys.
func TestKeysAreValid(t *testing.T) {
	r := seeded(t)
	k := newKeyer(0)
	seen := map[string]string{}
	for range 5000 {
		b := make([]byte, 1+r.IntN(300))
		for i := range b {
			b[i] = byte(r.IntN(256))
			if r.IntN(2) == 0 {
				b[i] = byte('a' + r.IntN(26))
			}
		}
		text := string(b[:max(1, r.IntN(len(b)+1))])
		key := string(k.text([]byte(text)))
		if before, ok := seen[key]; !validKey([]byte(key)) || key != string(k.text([]byte(text))) || ok && before != text {
			t.Fatalf("%q: got %q, as of %q", text, key, before)
		}
		seen[key] = text
	}
}

// TestRandomBinary writes traces of integers and of oracleGeneral and reads them back.
func TestRandomBinary(t *testing.T) {
	r := seeded(t)
	for range 50 {
		var keys32 []uint32
		var keys64 []uint64
		var records []oracleRecord
		var want32, want64, wantOracle []string
		for at := range 1 + r.IntN(100) {
			n32, n64, size := r.Uint32(), r.Uint64()>>r.IntN(64), r.Uint32N(1<<20)
			keys32, keys64 = append(keys32, n32), append(keys64, n64)
			records = append(records, oracleRecord{uint32(at + 5), n64, size, -1})
			want32 = append(want32, fmt.Sprintf("%020d - - -", n32))
			want64 = append(want64, fmt.Sprintf("%020d - - -", n64))
			wantOracle = append(wantOracle, fmt.Sprintf("%020d %s - %v", n64, oracleSize(size), time.Duration(at)*time.Second))
		}
		for _, c := range []struct {
			format  Format
			content []byte
			want    []string
		}{
			{FormatBE32, be32(keys32...), want32}, {FormatBE64, be64(keys64...), want64},
			{FormatOracle, oracleOf(records...), wantOracle},
		} {
			got, err := drain(opened(t, written(t, "t", c.content), Options{Format: c.format}))
			if err != nil {
				t.Fatal(err)
			}
			wantLines(t, got, c.want...)
			if len(c.content) < 8 {
				continue
			}
			cut := c.content[:len(c.content)-1-r.IntN(3)] // in the last record
			trace, err := Open(written(t, "cut", cut), Options{Format: c.format})
			if err != nil {
				continue // not even the first one is whole
			}
			if got, err = drain(trace); err == nil || len(got) != len(c.want)-1 {
				t.Errorf("%s, cut off: got %d requests, %v; want %d and an error", c.format, len(got), err, len(c.want)-1)
			}
			if err := trace.Close(); err != nil && err != io.EOF {
				t.Error(err)
			}
		}
	}
}

// oracleSize is how a size is shown; 0 is unknown.
func oracleSize(bytes uint32) string {
	if bytes == 0 {
		return "-"
	}
	return fmt.Sprint(bytes)
}
