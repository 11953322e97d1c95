package replay

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

const smallCSV = "1,a,10\n2,b,20\n3,a,10\n"

// bzip2OfSmallCSV was made by bzip2, as Go's library has no compressor.
const bzip2OfSmallCSV = "\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\xec\xde\x9e\xf5" +
	"\x00\x00\x06\x59\x00\x00\x10\x00\x04\x78" +
	"\x00\x30\x00\x20\x00\x31\x0c\x08\x1a\x7a\x83\x25\xd3\x52\x38\x21\xc4\x01\x5e\x2e\xe4\x8a\x70\xa1" +
	"\x21\xd9\xbd\x3d\xea"

// written writes content to a file in a temporary directory and returns its path.
func written(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// drain reads all requests and shows each as "key size ttl at", with - for what isn't known.
func drain(src Source) (all []string, err error) {
	for {
		r, err := src.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, show(r))
	}
}

func show(r Request) string {
	size, ttl, at := "-", "-", "-"
	if r.ValueBytes >= 0 {
		size = fmt.Sprint(r.ValueBytes)
	}
	if r.TTL >= 0 {
		ttl = r.TTL.String()
	}
	if r.HasTime {
		at = r.At.String()
	}
	return fmt.Sprintf("%s %s %s %s", r.Key, size, ttl, at)
}

func opened(t *testing.T, name string, o Options) *Trace {
	t.Helper()
	trace, err := Open(name, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := trace.Close(); err != nil {
			t.Error(err)
		}
	})
	return trace
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got:\n%s\nwant:\n%s", g, w)
	}
}

func be32(keys ...uint32) []byte {
	var b []byte
	for _, k := range keys {
		b = binary.BigEndian.AppendUint32(b, k)
	}
	return b
}

func be64(keys ...uint64) []byte {
	var b []byte
	for _, k := range keys {
		b = binary.BigEndian.AppendUint64(b, k)
	}
	return b
}

func oracleOf(records ...oracleRecord) []byte {
	var b []byte
	for _, r := range records {
		b = binary.LittleEndian.AppendUint32(b, r.time)
		b = binary.LittleEndian.AppendUint64(b, r.key)
		b = binary.LittleEndian.AppendUint32(b, r.size)
		b = binary.LittleEndian.AppendUint64(b, uint64(r.next))
	}
	return b
}

func TestFormats(t *testing.T) {
	for _, c := range []struct {
		what    string
		content []byte
		options Options
		want    []string
	}{
		{"be32", be32(7, 4294967295), Options{Format: FormatBE32},
			[]string{"00000000000000000007 - - -", "00000000004294967295 - - -"}},
		{"be64", be64(7, 1<<64-1), Options{Format: FormatBE64},
			[]string{"00000000000000000007 - - -", "18446744073709551615 - - -"}},
		{"oracleGeneral", oracleOf(oracleRecord{100, 7, 4096, 3}, oracleRecord{100, 1<<64 - 1, 0, -1},
			oracleRecord{103, 7, 1 << 31, math.MaxInt64}),
			Options{}, []string{"00000000000000000007 4096 - 0s", "18446744073709551615 - - 0s",
				"00000000000000000007 1073741824 - 3s"}},
		{"arc", []byte("5 3 0 1\n\n9 1 0 2\n"), Options{KeyBytes: 4},
			[]string{"0005 - - -", "0006 - - -", "0007 - - -", "0009 - - -"}},
		{"padded text", []byte("k1\nk2222222"), Options{KeyBytes: 5}, []string{"k1... - - -", "k2222222 - - -"}},
		{"csv", []byte(smallCSV), Options{}, []string{"a 10 - 0s", "b 20 - 1s", "a 10 - 2s"}},
		{"csv without sizes", []byte("5;a\r\n5.5;b\r\n"), Options{}, []string{"a - - 0s", "b - - 500ms"}},
		{"csv with TTL", []byte("1\ta\t10\t0\n2\tb\t\t60\n"), Options{}, []string{"a 10 0s 0s", "b - 1m0s 1s"}},
		{"csv with byte-order mark", []byte("\xef\xbb\xbfkey,size\na,1\n"), Options{}, []string{"a 1 - -"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			trace := opened(t, written(t, "trace", c.content), c.options)
			got, err := drain(trace)
			if err != nil {
				t.Fatal(err)
			}
			wantLines(t, got, c.want...)
			if trace.Done() != 1 {
				t.Errorf("Done() = %v at the end; want 1", trace.Done())
			}
		})
	}
}

// compressed is content as each compressor that Go has writes it.
func compressed(t *testing.T, content []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for name, open := range map[string]func(io.Writer) (io.WriteCloser, error){
		"gzip": func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
		"xz":   func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) },
		"zstd": func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) },
	} {
		var b bytes.Buffer
		w, err := open(&b)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(content)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		files[name] = b.Bytes()
	}
	return files
}

func compressedSmallCSV(t *testing.T) map[string][]byte {
	t.Helper()
	files := compressed(t, []byte(smallCSV))
	files["bzip2"] = []byte(bzip2OfSmallCSV)
	return files
}

func TestCompressed(t *testing.T) {
	files := compressedSmallCSV(t)
	files["none"] = []byte(smallCSV)
	for name, content := range files {
		t.Run(name, func(t *testing.T) {
			got, err := drain(opened(t, written(t, "log.1", content), Options{}))
			if err != nil {
				t.Fatal(err)
			}
			wantLines(t, got, "a 10 - 0s", "b 20 - 1s", "a 10 - 2s")

			// The same from standard input, whose length isn't known.
			trace := opened(t, "-", Options{Stdin: bytes.NewReader(content)})
			got, err = drain(trace)
			if err != nil || len(got) != 3 || trace.Done() != -1 || trace.Name() != "standard input" {
				t.Errorf("standard input %q: %d requests, done %v, error %v", trace.Name(), len(got), trace.Done(), err)
			}
		})
	}
}

// A compressed trace that is truncated at any length ends with an error, never as if it were
// whole.
func TestCutOff(t *testing.T) {
	for name, content := range compressedSmallCSV(t) {
		t.Run(name, func(t *testing.T) {
			const magic = 6 // bytes: with less of it, nothing says that it is a compressed file
			for length := magic; length < len(content); length++ {
				trace, err := Open(written(t, "cut.csv", content[:length]), Options{Format: FormatCSV})
				var got []string
				if err == nil {
					got, err = drain(trace)
					trace.Close()
				}
				if err == nil {
					t.Errorf("cut to %d of %d bytes: %d requests and the end; want an error", length, len(content), len(got))
				}
			}
		})
	}
}

// If the end of a compressed file is missing, its format is still detected and its beginning read;
// then the error names the file.
func TestDamagedTail(t *testing.T) {
	var plain bytes.Buffer
	for i := range 20_000 {
		fmt.Fprintf(&plain, "%d,key%d,%d\n", i, i*7919%5000, i%900)
	}
	for name, content := range compressed(t, plain.Bytes()) {
		for _, cut := range []int{len(content) - 1, len(content) - 30, len(content) / 2} {
			path := written(t, "t."+name, content[:cut])
			trace, err := Open(path, Options{})
			if err != nil {
				if !strings.Contains(err.Error(), path+": "+name+": the file is cut off") {
					t.Errorf("%s, cut to %d bytes: %v; want that the file is cut off", name, cut, err)
				}
				continue // nothing of it can be read
			}
			got, err := drain(trace)
			trace.Close()
			if err == nil || !strings.HasPrefix(err.Error(), path) ||
				!strings.Contains(err.Error(), name+": the file is cut off") {
				t.Errorf("%s, cut to %d bytes: got %v; want that the file is cut off", name, cut, err)
			}
			if trace.Format() != FormatCSV || len(got) == 0 && cut > len(content)/2 && name != "bzip2" {
				t.Errorf("%s, cut to %d bytes: format %s, %d requests; want csv and what can be read", name, cut,
					trace.Format(), len(got))
			}
		}
	}
}

func TestAccessLog(t *testing.T) {
	long := "/" + strings.Repeat("x", 300)
	log := strings.Join([]string{
		`1.2.3.4 - - [10/Oct/2025:13:55:36 +0000] "GET /a HTTP/1.1" 200 2326`,
		`1.2.3.4 - bob [10/Oct/2025:13:55:37 +0000] "GET /a?b=\"1\" HTTP/1.0" 200 10 "http://r/" "agent [x] \"y\""`,
		`www.example.org:443 1.2.3.4 - - [10/Oct/2025:14:55:38 +0100] "HEAD /a HTTP/2.0" 200 0 "-" "-" 0.002`,
		`1.2.3.4 - - [10/Oct/2025:13:55:38 +0000] "GET /a HTTP/1.1" 304 -`,
		`1.2.3.4 - - [10/Oct/2025:13:55:38 +0000] "POST /a HTTP/1.1" 200 5`,
		`1.2.3.4 - - [10/Oct/2025:13:55:38 +0000] "POST /b HTTP/1.1" 200 5`,
		`1.2.3.4 - - [10/Oct/2025:13:55:38 +0000] "-" 408 0`,
		`1.2.3.4 - - [10/Oct/2025:13:55:38 +0000] "\x16\x03\x01" 400 150`,
		`what is this?`,
		`"` + strings.Repeat("y", maxLineBytes) + `"`,
		``,
		`1.2.3.4 - - [10/Oct/2025:13:55:39 +0000] "GET ` + long + ` HTTP/1.1" 200 7`,
		`1.2.3.4 - - [some day] "GET /a b HTTP/1.1" 206 7`,
	}, "\n")
	trace := opened(t, written(t, "access.log", []byte(log)), Options{})
	got, err := drain(trace)
	if err != nil {
		t.Fatal(err)
	}
	if trace.Format() != FormatLog {
		t.Errorf("format %s; want log", trace.Format())
	}
	wantLines(t, got,
		"/a 2326 - 0s",
		`/a?b=\"1\" 10 - 1s`,
		"/a - - 2s",
		"/a - - 2s",
		"sha256:2f2e149caf438697dcb448f24724e955 7 - 3s",
		"sha256:73c9c45d21e1dbbab5ec7d874b3972a9 - - -",
	)
	want := fmt.Sprint([]Skip{{"method POST", 2}, {skipNoRequest, 2}, {skipNoLog, 1}, {errLineTooLong.Error(), 1}})
	if fmt.Sprint(trace.Skips()) != want {
		t.Errorf("got skips %v; want %v", trace.Skips(), want)
	}
}

func TestCSVHeaders(t *testing.T) {
	for _, c := range []struct {
		what, csv string
		want      []string
		skips     []Skip
	}{
		{"CacheLib's CDN traces",
			"timestamp,cacheKey,OpType,objectSize,responseSize,responseHeaderSize,rangeStart,rangeEnd,TTL,SamplingRate\n" +
				"1585119589,cdn:a.mp4,1,28816957,54773,496,1582962,1637233,1209600,0.00100000\n" +
				"1585119591,cdn:b.mp4,1,-1,54773,496,-1,-1,-1,0.00100000\n",
			[]string{"cdn:a.mp4 28816957 336h0m0s 0s", "cdn:b.mp4 - - 2s"}, nil},
		{"CacheLib's key-value traces",
			"key,op,size,op_count,key_size\n1,GET,50,3,8\n2,SET,60,1,8\n3,GET_LEASE,70,1,8\n4,GET,70,0,8\n",
			[]string{"1 50 - -", "1 50 - -", "1 50 - -", "3 70 - -"}, []Skip{{"operation SET", 1}, {"op_count 0", 1}}},
		{"quotes", "\"Key\",\"Size\"\n\"a,\"\"b\"\"\",5\n,6\n",
			[]string{`a,"b" 5 - -`}, []Skip{{"no key", 1}}},
		{"CacheLib's key-value traces of 2024",
			"op_time,key,key_size,op,op_count,size,cache_hits,ttl,usecase,sub_usecase\n" +
				"10,k1,8,GET,2,50,2,0,u,s\n11,k2,8,GET,1,0,0,0,u,s\n12,k2,8,SET,1,70,0,3600,u,s\n",
			[]string{"k1 50 - 0s", "k1 50 - 0s", "k2 - - 1s"}, []Skip{{"operation SET", 1}}},
		{"Twitter's traces, which have no header",
			"0,nz:u:eeW511W3dcH3de3d15ec,27,2048,16,get,0\n0,nz:u:eeW511W3dcH3de3d15ed,27,0,16,gets,0\n" +
				"1,nz:u:eeW511W3dcH3de3d15ed,27,300,16,set,3600\n2,a,1,5,3,incr,0\n",
			[]string{"nz:u:eeW511W3dcH3de3d15ec 2048 - 0s", "nz:u:eeW511W3dcH3de3d15ed - - 0s"},
			[]Skip{{"operation set", 1}, {"operation incr", 1}}},
		{"libCacheSim's text", "# time, object, size, next_access_vtime\n5, 17, 4096, -1\n",
			[]string{"17 4096 - 0s"}, nil},
		{"milliseconds", "ts,key\n1700000000000,a\n1700000001500,b\n", []string{"a - - 0s", "b - - 1.5s"}, nil},
		{"RFC 3339", "time,url\n2025-01-01T00:00:00Z,a\n2025-01-01T00:01:00Z,b\n", []string{"a - - 0s", "b - - 1m0s"}, nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			trace := opened(t, written(t, "t.csv", []byte(c.csv)), Options{})
			got, err := drain(trace)
			if err != nil {
				t.Fatal(err)
			}
			wantLines(t, got, c.want...)
			if fmt.Sprint(trace.Skips()) != fmt.Sprint(c.skips) {
				t.Errorf("got skips %v; want %v", trace.Skips(), c.skips)
			}
		})
	}
}

func TestTraceErrors(t *testing.T) {
	for _, c := range []struct {
		what, content string
		options       Options
		want          string // in which FILE stands for the path
	}{
		{"empty", "", Options{}, "FILE: is empty"},
		{"prose", "to be or\nnot to be\n", Options{},
			"FILE: can't detect its format from its content; specify one of [log csv arc be32 be64 oraclegeneral]"},
		{"size", "1,a,10\n2,b,x\n", Options{}, `FILE:2: size "x": want a whole number`},
		{"time", "1,a,10\nnoon,b,1\n", Options{}, `FILE:2: time "noon": want seconds or 2006-01-02T15:04:05Z`},
		{"columns", "size,key\n5\n", Options{}, "FILE:2: 1 columns; the key is in column 2"},
		{"cut line", "1,a,10\n2,b", Options{}, "FILE:2: is cut off: 2 of 3 columns and no line end"},
		{"cut record", string(oracleOf(oracleRecord{next: -1}, oracleRecord{next: -1})[:40]), Options{Format: FormatOracle},
			"FILE: byte 24: ends after 16 bytes of a 24-byte record"},
		{"quote", "key,size\n\"a,5\n", Options{}, "FILE:2: a quoted field has no end"},
		{"after quote", "key,size\n\"a\"b,5\n", Options{}, `FILE:2: 'b' follows a quoted field; want ','`},
		{"long line", "key,size\n" + strings.Repeat("x", maxLineBytes), Options{}, "FILE:2: the line is longer than 64 KiB"},
		{"arc", "1 1 0 0\n2 x 0 0\n", Options{}, `FILE:2: "2 x 0 0": want start, count (1 to 16777216), ignored and number`},
		{"arc count", "1 1 0 0\n2 0 0 0\n", Options{},
			`FILE:2: "2 0 0 0": want start, count (1 to 16777216), ignored and number`},
		{"half a key", "\x00\x00\x00\x01\x00\x00", Options{Format: FormatBE32},
			"FILE: byte 4: ends after 2 bytes of a 4-byte key"},
		{"few keys", "\x00\x00\x00\x01\x00\x00\x00\x02", Options{},
			"FILE: can't detect whether its keys are of 32 or 64 bits; specify be32 or be64"},
		{"no log", "a,b\nc\n", Options{Format: FormatLog},
			"FILE: no request in it: line 1 is skipped (not in the common or combined log format), and so are all others"},
		{"only a header", "key,size\n", Options{}, "FILE: no request in it"},
		{"gzip", "\x1f\x8bnonsense", Options{}, "FILE: gzip: gzip: invalid header"},
		{"format", "a", Options{Format: "xml"}, `format "xml": want one of [log csv arc be32 be64 oraclegeneral]`},
		{"key size", "a", Options{KeyBytes: 251}, "key size: 251 bytes; at most 250"},
	} {
		t.Run(c.what, func(t *testing.T) {
			path := written(t, "trace", []byte(c.content))
			trace, err := Open(path, c.options)
			if err == nil {
				defer trace.Close()
				_, err = drain(trace)
			}
			if want := strings.Replace(c.want, "FILE", path, 1); err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
	if _, err := Open(filepath.Join(t.TempDir(), "nothing"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: got %v", err)
	}
}

// TestSharedTraces reads real traces, if they are available, and checks their known figures.
func TestSharedTraces(t *testing.T) {
	const dir = "../../../shared/traces"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the real traces aren't available")
	}
	if testing.Short() {
		t.Skip("reads millions of requests")
	}
	for _, c := range []struct {
		name           string
		format         Format
		requests, keys int64
	}{
		{"scarab-recs.trace.xz", FormatBE64, 1_245_184, 258_368},
		{"orm-busy.trace.xz", FormatBE32, 5_000_000, 76_349},
		{"web12.trace.xz", FormatBE32, 95_607, 13_756},
		{"arc-OLTP.lis.zst", FormatARC, 914_145, 186_880},
		{"cachelib-short_bigcache_traces.csv.xz", FormatCSV, 9_999, 3_125},
	} {
		t.Run(c.name, func(t *testing.T) {
			trace := opened(t, filepath.Join(dir, c.name), Options{})
			keys, requests := newDistinct(maxDistinctHashes), int64(0)
			for {
				r, err := trace.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				keys.add(r.Key, 0)
				requests++
			}
			if trace.Format() != c.format || requests != c.requests || keys.keys() != c.keys {
				t.Errorf("got %s, %d requests, %d keys; want %s, %d, %d",
					trace.Format(), requests, keys.keys(), c.format, c.requests, c.keys)
			}
		})
	}
}

// FuzzText checks that every request read from a text trace can be sent, and that reading ends.
func FuzzText(f *testing.F) {
	f.Add([]byte(smallCSV), "csv")
	f.Add([]byte("key,op,size,op_count\n1,GET,5,2\n\"a\"\"b\",,,\n"), "csv")
	f.Add([]byte("5 3 0 1\n"), "arc")
	f.Add([]byte(`1.2.3.4 - - [10/Oct/2025:13:55:36 +0000] "GET /a\" HTTP/1.1" 200 2326`), "log")
	f.Add([]byte("\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x01"), "")
	f.Fuzz(func(t *testing.T, content []byte, format string) {
		trace, err := Open("-", Options{Stdin: bytes.NewReader(content), Format: Format(format)})
		if err != nil {
			return
		}
		for range 1000 {
			r, err := trace.Next()
			if err != nil {
				return
			}
			if !validKey(r.Key) || r.ValueBytes < -1 || r.ValueBytes > MaxValueBytes || r.TTL < -1 {
				t.Fatalf("got %q", show(r))
			}
		}
	})
}
