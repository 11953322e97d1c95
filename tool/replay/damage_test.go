package replay

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// A sample is a trace of some format, with the requests in each of its lines or records.
type sample struct {
	format  Format
	records [][]byte
	want    [][]string // requests of each record
	skipped map[string]int64
}

func (s *sample) add(record string, requests ...string) {
	s.records, s.want = append(s.records, []byte(record)), append(s.want, requests)
}

func (s *sample) content() []byte { return bytes.Join(s.records, nil) }

func (s *sample) requests() []string { return slices.Concat(s.want...) }

// randomLog returns an access log in which some lines are no requests that a cache could serve.
func randomLog(r *rand.Rand) *sample {
	s := &sample{format: FormatLog, skipped: map[string]int64{}}
	start := time.Date(2026, 3, 29, 0, 30, 0, 0, time.UTC)
	first, begun := time.Time{}, false
	for n := range 30 {
		at := start.Add(time.Duration(n*r.IntN(50)) * time.Second)
		zone := time.FixedZone("", (r.IntN(25)-12)*3600)
		path := fmt.Sprintf("/%d", r.IntN(5)) + []string{"", "?q=a+b", `?q=\"x\"`, "/é", "?a=[1]"}[r.IntN(5)]
		method := []string{"GET", "GET", "HEAD", "POST", "PURGE"}[r.IntN(5)]
		status, size := []int{200, 200, 206, 304, 404}[r.IntN(5)], 1+r.IntN(5000)
		line := fmt.Sprintf(`192.0.2.%d - %s [%s] "%s %s HTTP/1.1" %d %d`, n, []string{"-", "bob"}[r.IntN(2)],
			at.In(zone).Format("02/Jan/2006:15:04:05 -0700"), method, path, status, size) +
			[]string{"", ` "http://r/" "agent \"x\" [y]"`, ` "-" "-" 0.003`}[r.IntN(3)] + []string{"\n", "\r\n"}[r.IntN(2)]
		switch {
		case r.IntN(8) == 0:
			s.add("what is this?\n")
			s.skipped[skipNoLog]++
			continue
		case method != "GET" && method != "HEAD":
			s.add(line)
			s.skipped["method "+method]++
			continue
		}
		if !begun {
			first, begun = at, true
		}
		bytes := "-"
		if status == 200 && method == "GET" {
			bytes = fmt.Sprint(size)
		}
		s.add(line, fmt.Sprintf("%s %s - %v", path, bytes, at.Sub(first)))
	}
	return s
}

func randomPages(r *rand.Rand) *sample {
	s := &sample{format: FormatARC}
	for range 30 {
		start, count := r.Uint64N(1<<40), 1+r.IntN(5)
		var requests []string
		for i := range count {
			requests = append(requests, fmt.Sprintf("%020d - - -", start+uint64(i)))
		}
		s.add(fmt.Sprintf("%d %d 0 %d\n", start, count, r.IntN(99)), requests...)
	}
	return s
}

func randomCSV(r *rand.Rand) *sample {
	s := &sample{format: FormatCSV}
	s.add("time,key,size\n")
	for n := range 40 {
		key, size := fmt.Sprint("key", r.IntN(20)), r.IntN(1000)
		s.add(fmt.Sprintf("%d,%s,%d\n", 100+n, key, size), fmt.Sprintf("%s %d - %v", key, size, time.Duration(n)*time.Second))
	}
	return s
}

func randomIntegers(r *rand.Rand, format Format) *sample {
	s := &sample{format: format}
	for n := range 40 {
		key := r.Uint64N(50)
		record, want := be64(key), fmt.Sprintf("%020d - - -", key)
		switch format {
		case FormatBE32:
			record = be32(uint32(key))
		case FormatOracle:
			record = oracleOf(oracleRecord{uint32(n + 9), key, 7, -1})
			want = fmt.Sprintf("%020d 7 - %v", key, time.Duration(n)*time.Second)
		}
		s.add(string(record), want)
	}
	return s
}

func randomSamples(r *rand.Rand) []*sample {
	return []*sample{randomLog(r), randomPages(r), randomCSV(r), randomIntegers(r, FormatBE32),
		randomIntegers(r, FormatBE64), randomIntegers(r, FormatOracle)}
}

// readAll reads a trace from memory, in its format.
func readAll(t *testing.T, content []byte, format Format) (got []string, skips []Skip, err error) {
	t.Helper()
	trace, err := Open("-", Options{Stdin: bytes.NewReader(content), Format: format})
	if err != nil {
		return nil, nil, err
	}
	got, err = drain(trace)
	return got, trace.Skips(), err
}

// Random logs and page lists are read as what was written, with each skipped line counted.
func TestRandomLogsAndPages(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 0))
		for _, s := range []*sample{randomLog(r), randomPages(r)} {
			got, skips, err := readAll(t, s.content(), "") // the format is detected
			if err != nil {
				t.Fatalf("seed %d, %s: %v of\n%s", seed, s.format, err, s.content())
			}
			wantLines(t, got, s.requests()...)
			for _, skip := range skips {
				if skip.Lines != s.skipped[skip.Reason] {
					t.Errorf("seed %d: got %d lines skipped for %q; want %d", seed, skip.Lines, skip.Reason, s.skipped[skip.Reason])
				}
			}
			if len(skips) != len(s.skipped) {
				t.Errorf("seed %d: got skips %v; want %v", seed, skips, s.skipped)
			}
		}
	}
}

// Of a trace that is damaged or cut anywhere, the requests before the damage are read as they are,
// those after it can be sent, and reading ends.
func TestDamagedTraces(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		for _, s := range randomSamples(r) {
			content := s.content()
			at := r.IntN(len(content))
			whole, end := 0, 0 // requests of the records before the damage
			for i, record := range s.records {
				if end += len(record); end > at {
					break
				}
				whole += len(s.want[i])
			}
			switch r.IntN(4) {
			case 0:
				content = content[:at]
			case 1:
				content[at] = byte(r.Uint32())
			case 2:
				content = slices.Insert(content, at, byte(r.Uint32()))
			default:
				content = slices.Replace(content, at, min(at+1+r.IntN(100), len(content)), 0)
			}
			got, _, err := readAll(t, content, s.format)
			if before := s.requests()[:whole]; len(got) < whole || !slices.Equal(got[:whole], before) {
				if s.format == FormatCSV && at < len(s.records[0]) { // the header
					continue
				}
				t.Fatalf("seed %d, %s damaged at %d: got %q, %v; want it to begin with %q", seed, s.format, at, got, err, before)
			}
			for _, line := range got {
				if key, _, _ := strings.Cut(line, " "); !validKey([]byte(key)) {
					t.Errorf("seed %d, %s: got the key %q", seed, s.format, key)
				}
			}
			if err != nil && !strings.HasPrefix(err.Error(), "standard input:") {
				t.Errorf("seed %d, %s: got %v; want the input's name and the place", seed, s.format, err)
			}
		}
	}
}

// A compressed trace with a damaged byte is never read as another trace: either an error says that
// it is damaged, or its requests are the right ones.
func TestDamagedCompression(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 0))
	var plain bytes.Buffer
	for i := range 3000 {
		fmt.Fprintf(&plain, "%d,key%d,%d\n", i, r.IntN(900), r.IntN(1000))
	}
	want, _, err := readAll(t, plain.Bytes(), FormatCSV)
	if err != nil {
		t.Fatal(err)
	}
	for name, packed := range compressed(t, plain.Bytes()) {
		damaged := 0
		for range 150 {
			content := bytes.Clone(packed)
			at := r.IntN(len(content))
			if r.IntN(3) == 0 {
				at = r.IntN(30) // headers
			}
			content[at] ^= 1 << r.IntN(8)
			got, _, err := readAll(t, content, FormatCSV)
			if err != nil {
				damaged++
				continue
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, byte %d of %d changed: got %d other requests and no error", name, at, len(content), len(got))
			}
		}
		if damaged < 100 {
			t.Errorf("%s: got %d errors; want one for most changes", name, damaged)
		}
	}
}

// Compressed files that are joined are one trace, as rotated logs are joined with cat.
func TestJoinedCompression(t *testing.T) {
	first, second := compressed(t, []byte("1,a,10\n2,b,20\n")), compressed(t, []byte("3,a,10\n"))
	for name := range first {
		for _, parts := range [][]byte{slices.Concat(first[name], second[name]),
			slices.Concat(first[name], second[name], second[name], first[name])} {
			got, _, err := readAll(t, parts, FormatCSV)
			if want := bytes.Count(parts, second[name]) + 2*bytes.Count(parts, first[name]); err != nil || len(got) != want {
				t.Errorf("%s: got %q, %v; want %d requests", name, got, err, want)
			}
		}
		cut := slices.Concat(first[name], second[name][:len(second[name])-3])
		if got, _, err := readAll(t, cut, FormatCSV); err == nil || len(got) < 2 {
			t.Errorf("%s, the second cut off: got %q, %v; want the first's requests and an error", name, got, err)
		}
	}
}
