package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// answering returns a client whose server answers everything with the text, and then closes.
func answering(t *testing.T, text string) *client {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	go io.Copy(io.Discard, theirs) // the requests
	go func() {
		io.WriteString(theirs, text)
		theirs.Close()
	}()
	return &client{conn: ours, in: bufio.NewReader(ours)}
}

// wantError reports an error that is missing, or lacks the text.
func wantError(t *testing.T, what string, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: got error %v; want one with %q", what, err, text)
	}
}

func TestGetParsesAnswers(t *testing.T) {
	for _, test := range []struct {
		name, text string
		found      int
		fault      string // in the error; empty for none
	}{
		{"none", "END\r\n", 0, ""},
		{"one", "VALUE key-1 0 5\r\nvalue\r\nEND\r\n", 1, ""},
		{"a value that looks like an end", "VALUE a 0 5\r\nEND\r\n\r\nVALUE b 0 0\r\n\r\nEND\r\n", 2, ""},
		{"an error after a value", "VALUE a 0 1\r\nx\r\nSERVER_ERROR busy\r\n", 1, "SERVER_ERROR busy"},
		{"a size that is no number", "VALUE a 0 x\r\n", 0, "VALUE a 0 x"},
		{"closed within a value", "VALUE a 0 9\r\nhalf", 0, "EOF"},
		{"closed before the end", "VALUE a 0 1\r\nx\r\n", 1, "EOF"},
	} {
		found, err := answering(t, test.text).get(1, 2)
		if test.fault != "" {
			wantError(t, test.name, err, test.fault)
		} else if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if found != test.found {
			t.Errorf("%s: got %d values; want %d", test.name, found, test.found)
		}
	}
}

func TestOtherAnswersAreParsed(t *testing.T) {
	stats, err := answering(t, "STAT version 1.6.18\r\nSTAT empty \r\nSTAT with two words\r\nRESET\r\nEND\r\n").stats()
	want := map[string]string{"version": "1.6.18", "empty": "", "with": "two words"}
	if err != nil || len(stats) != len(want) {
		t.Errorf("stats: got %v, %v; want %v", stats, err, want)
	}
	for name, value := range want {
		if stats[name] != value {
			t.Errorf("%s: got %q; want %q", name, stats[name], value)
		}
	}
	_, err = answering(t, "STAT a 1\r\n").stats()
	wantError(t, "stats that end early", err, "EOF")

	if version, err := answering(t, "VERSION 1.6.40\r\n").version(); err != nil || version != "1.6.40" {
		t.Errorf("version: got %q, %v", version, err)
	}
	refusing := answering(t, "SERVER_ERROR out of memory storing object\r\n")
	if stored, err := refusing.set(1, []byte("v")); err != nil || stored {
		t.Errorf("a refused set: got %v, %v; want false and no error", stored, err)
	}
	_, err = answering(t, "").set(1, []byte("v"))
	wantError(t, "a set without an answer", err, "EOF")
}

// Keys are 20 bytes, whatever the number, and different numbers have different keys.
func TestKeys(t *testing.T) {
	seen := map[string]uint64{}
	for _, key := range []uint64{0, 1, 9, 10, 99, 1234567, 9999999999999999} {
		text := string(appendKey([]byte("x"), key))
		if len(text) != 1+keyBytes || !strings.HasPrefix(text, "xkey-") {
			t.Errorf("%d: got %q; want x and %d bytes", key, text, keyBytes)
		}
		if other, ok := seen[text]; ok {
			t.Errorf("%d and %d have the same key %q", key, other, text)
		}
		seen[text] = key
	}
}

func TestShapesRequest(t *testing.T) {
	// header is the header of a request for a key of 20 bytes.
	header := func(opcode string) string {
		return "\x80" + opcode + "\x00\x14\x00\x00\x00\x00\x00\x00\x00\x14" + strings.Repeat("\x00", 12)
	}
	want := map[string]string{
		"text: multiget":  "get key-0000000000000007 key-0000000000000008\r\n",
		"text: pipelined": "get key-0000000000000007\r\nget key-0000000000000008\r\n",
		"binary: getkq … noop": header("\x0d") + "key-0000000000000007" + header("\x0d") + "key-0000000000000008" +
			"\x80\x0a" + strings.Repeat("\x00", 22),
		"binary: pipelined get": header("\x00") + "key-0000000000000007" + header("\x00") + "key-0000000000000008",
	}
	for _, s := range shapes {
		if got := string(s.request([]uint64{7, 8})); got != want[s.name] {
			t.Errorf("%s: got %q; want %q", s.name, got, want[s.name])
		}
	}
}

// The length that a shape expects of an answer is that of memcached's, or askLane would wait for
// ever or count answers that are not there.
func TestShapesExpectWhatMemcachedAnswers(t *testing.T) {
	s := memcached(t)
	const value = 100
	if f, err := fill(t.Context(), s.address, 64, make([]byte, value)); err != nil || f.stored != 64 {
		t.Fatalf("fill: got %+v, %v", f, err)
	}
	for _, shape := range shapes {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		keys := []uint64{3, 1, 3, 63}
		conn.Write(shape.request(keys))
		answer := make([]byte, shape.answer(len(keys), value))
		_, err = io.ReadFull(conn, answer)
		conn.(*net.TCPConn).CloseWrite()
		rest, _ := io.ReadAll(conn) // of what the server has sent beyond it
		conn.Close()
		if err != nil || len(rest) > 0 {
			t.Errorf("%s: got %v and %d bytes more; want %d bytes and no more", shape.name, err, len(rest), len(answer))
		}
	}
}

func TestOpsPerSecond(t *testing.T) {
	if got, err := opsPerSecond([]byte("conns 50 ops/s 123456 p50 10\n")); err != nil || got != 123456 {
		t.Errorf("got %v, %v; want 123456", got, err)
	}
	_, err := opsPerSecond([]byte("connection refused\n"))
	wantError(t, "no rate", err, "connection refused")
}

// A line of the referee becomes a row, with the ratio to twemproxy's line of the same cell,
// wherever that stands.
func TestRouterRows(t *testing.T) {
	printed := `value 100, 7 rounds
P1 sharded-1-thread 109.0 kops (min 101.2) p50 414 p99 868 us
P1 twemproxy 75.5 kops (min 70.0) p50 647 p99 1343 us
P32 twemproxy 223.0 kops (min 1.0) p50 6685 p99 14287 us
P32 replicated-2-threads 612.4 kops (min 1.0) p50 2458 p99 5833 us
mget32 replicated-2-threads 815.0 kops (min 1.0) p50 1737 p99 4325 us
`
	want := [][]string{
		{"", "k ops/s", "ratio", "p50 µs", "p99 µs"},
		{"P1 sharded 1 thread", "109", "1.44", "414", "868"},
		{"P1 twemproxy", "76", "1.00", "647", "1343"},
		{"P32 twemproxy", "223", "1.00", "6685", "14287"},
		{"P32 replicated 2 threads", "612", "2.75", "2458", "5833"},
		{"mget32 replicated 2 threads", "815", "", "1737", "4325"}, // without the peer there is no ratio
	}
	got, err := routerRows([]byte(printed))
	if err != nil || !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	_, err = routerRows([]byte("Traceback\n"))
	wantError(t, "no lines", err, "Traceback")
}

// The configurations of the routers differ in threads and kind alone, and twemproxy has the port of
// its place in the list.
func TestRouterServers(t *testing.T) {
	dir := t.TempDir()
	servers, err := routerServers(dir, "/bin/holdfast", "/bin/nutcracker")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range servers {
		names = append(names, s.name)
	}
	want := []string{"sharded-2-threads", "twemproxy", "sharded-1-thread", "replicated-1-thread", "replicated-2-threads"}
	if !slices.Equal(names, want) {
		t.Errorf("got %q; want %q", names, want)
	}
	for name, parts := range map[string][]string{
		"sharded-2-threads":   {"threads: 2\n", "placement: ketama", "- 127.0.0.1:22201\n", "- 127.0.0.1:22203\n"},
		"replicated-1-thread": {"threads: 1\n", "kind: replicated\n", "- 127.0.0.1:22202\n"},
		"twemproxy":           {"listen: 127.0.0.1:22302\n", "distribution: ketama\n", "- 127.0.0.1:22203:1\n"},
	} {
		text, err := os.ReadFile(filepath.Join(dir, name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range parts {
			if !strings.Contains(string(text), part) {
				t.Errorf("%s: got %q; want it to have %q", name, text, part)
			}
		}
	}
	if without, err := routerServers(dir, "/bin/holdfast", none); err != nil || len(without) != 4 {
		t.Errorf("without twemproxy: got %d servers, %v; want 4", len(without), err)
	}
}

func TestProcFields(t *testing.T) {
	status := "Name:\tholdfast\nVmPeak:\t  999999 kB\nVmRSS:\t  524288 kB\nThreads:\t9\n"
	if got := residentOf([]byte(status)); got != 512 {
		t.Errorf("resident: got %d MiB; want 512", got)
	}
	if got := residentOf([]byte("Name:\tholdfast\n")); got != 0 {
		t.Errorf("no VmRSS: got %d; want 0", got)
	}
	// The program's name has spaces and a parenthesis; user and system time are fields 14 and 15.
	stat := "42 (a (b) c) S 1 42 42 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 9 0 12345 1 2 3\n"
	if got := cpuMicrosOf([]byte(stat)); got != 2e6 {
		t.Errorf("processor time: got %v µs; want 2000000", got)
	}
	if got := cpuMicrosOf([]byte("42 (short) S 1")); got != 0 {
		t.Errorf("too few fields: got %v; want 0", got)
	}
}

func TestParsePage(t *testing.T) {
	for _, test := range []struct {
		name, page string
		items      int
		last       string
		fault      string
	}{
		{"last", `{"Items":[{"id":{"S":"a"}}],"Count":1,"ScannedCount":1}`, 1, "", ""},
		{"one of several", `{"Items":[],"Count":0,"ScannedCount":250,"LastEvaluatedKey":{"id":{"S":"user-7"}}}`,
			250, `{"id":{"S":"user-7"}}`, ""},
		{"other order", `{"LastEvaluatedKey":{"id":{"S":"x"}},"ScannedCount":3}`, 3, `{"id":{"S":"x"}}`, ""},
		{"an item with an attribute of that name", `{"Items":[{"ScannedCount":{"N":"9"}}],"ScannedCount":1}`, 1, "", ""},
		{"no count", `{"Items":[]}`, 0, "", "no ScannedCount"},
		{"no number", `{"ScannedCount":"x"}`, 0, "", "integer"},
		{"a key that is cut off", `{"ScannedCount":1,"LastEvaluatedKey":{"id":`, 1, "", "EOF"},
	} {
		items, last, err := parsePage([]byte(test.page))
		if test.fault != "" {
			wantError(t, test.name, err, test.fault)
			continue
		}
		if err != nil || items != test.items || string(last) != test.last {
			t.Errorf("%s: got %d, %s, %v; want %d, %s", test.name, items, last, err, test.items, test.last)
		}
	}
}

// Every body is JSON with the right number of items, and no two puts are the same.
func TestBodies(t *testing.T) {
	for _, size := range []int{1, 2, batchItems} {
		var batch struct {
			RequestItems map[string][]json.RawMessage
		}
		body := appendBatch(nil, 100, 100+size)
		if err := json.Unmarshal(body, &batch); err != nil || len(batch.RequestItems["bulk"]) != size {
			t.Errorf("a batch of %d: got %d items, %v", size, len(batch.RequestItems["bulk"]), err)
		}
	}
	for _, table := range []string{benchTable, listsTable, bulkTable} {
		if !json.Valid([]byte(table)) {
			t.Errorf("got %s; want JSON", table)
		}
	}
	for _, l := range tableLoads(10) {
		first, second := l.body(1), l.body(11) // the same key again
		if !json.Valid(first) {
			t.Errorf("%s: got %s; want JSON", l.name, first)
		}
		if same := bytes.Equal(first, second); same == (l.name == "PutItem") {
			t.Errorf("%s: bodies 1 and 11 are the same: %v", l.name, same)
		}
	}
}

func TestDynamoResponses(t *testing.T) {
	ask := func(text string) (string, error) {
		c := answering(t, text)
		body, err := (&dynamoClient{conn: c.conn, in: c.in}).ask("GetItem", []byte("{}"))
		return string(body), err
	}
	if body, err := ask("HTTP/1.1 200 OK\r\nDate: today\r\ncontent-length:  2\r\n\r\n{}"); err != nil || body != "{}" {
		t.Errorf("got %q, %v; want {}", body, err)
	}
	for text, fault := range map[string]string{
		"HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\nbody": "GetItem: 400 body",
		"HTTP/1.1 200 OK\r\n\r\n":                                   "without Content-Length",
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf":          "EOF",
		"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n":              "invalid syntax",
		"nonsense\r\n\r\n":                                          "status line",
		"HTTP/1.1 2xx OK\r\n\r\n":                                   "invalid syntax",
	} {
		_, err := ask(text)
		wantError(t, text, err, fault)
	}
}

func TestDip(t *testing.T) {
	over := func(rates ...float64) *dipReport {
		r := &dipReport{}
		for _, rate := range rates {
			r.Over = append(r.Over, struct {
				HitRate float64 `json:"hit_rate"`
			}{rate})
		}
		return r
	}
	for _, test := range []struct {
		control, grown *dipReport
		want           int
	}{
		{over(0.9, 0.9, 0.9), over(0.9, 0.5, 0.8), 1},
		{over(0.5, 0.9), over(0.4, 0.9, 0.1), 0}, // only parts that both have
		{over(0.5, 0.5), over(0.6, 0.55), 1},     // the least gained, if none is lost
	} {
		if got, err := mostLost(test.control, test.grown); err != nil || got != test.want {
			t.Errorf("%v and %v: got part %d, %v; want %d", test.control.Over, test.grown.Over, got, err, test.want)
		}
	}
	_, err := mostLost(over(), over(0.5))
	wantError(t, "no parts", err, "no hit rate over time")
	if got := movedShare([]string{"a", "b", "c", "d"}, []string{"a", "x", "c", "y"}); got != 0.5 {
		t.Errorf("moved: got %v; want 0.5", got)
	}
	if got := (&dipReport{report: report{Requests: 200, Misses: 50}}).share(); got != 0.75 {
		t.Errorf("hit rate: got %v; want 0.75", got)
	}
}

func TestTraceRows(t *testing.T) {
	ours := report{Requests: 1000, Misses: 100, SetsRefused: 1, Items: 7}
	theirs := report{Requests: 1000, Misses: 200, SetsRefused: 2, Items: 6}
	got := traceRow(trace{file: "web", valueBytes: 1000}, 8, []report{ours, theirs})
	if want := []string{"web", "1000", "8", "1000", "10.0 %", "20.0 %", "0.500", "1 / 2"}; !slices.Equal(got, want) {
		t.Errorf("got %q; want %q", got, want)
	}
	got = traceRow(trace{file: "web"}, 8, []report{ours})
	if want := []string{"web", "of the trace", "8", "1000", "10.0 %", "", "", "1"}; !slices.Equal(got, want) {
		t.Errorf("one server: got %q; want %q", got, want)
	}
	var table missTable
	table.add("web", 0.005, 0, 4, []report{ours, theirs})
	table.add("web", 0.5, 1000, 9, []report{theirs, ours})
	want := []string{"web", "0.5 %", "of the trace", "4", "7", "6", "10.00 %", "20.00 %", "0.500"}
	if !slices.Equal(table.rows[0], want) {
		t.Errorf("got %q; want %q", table.rows[0], want)
	}
	if table.worst != 2 || mean(table.ratios) != 1.25 {
		t.Errorf("got worst %v, mean %v; want 2 and 1.25", table.worst, mean(table.ratios))
	}
}

func TestMiddle(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{{[]float64{7}, 7}, {[]float64{9, 1}, 5}, {[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}} {
		before := slices.Clone(test.values)
		if got := middle(test.values); got != test.want {
			t.Errorf("%v: got %v; want %v", test.values, got, test.want)
		}
		if !slices.Equal(before, test.values) { // which are in the order of the rounds
			t.Errorf("got %v reordered to %v", before, test.values)
		}
	}
	if got := kilo([]float64{1_000_400, 3_000_000, 2}); got != "1000 k" {
		t.Errorf("got %q; want 1000 k", got)
	}
}

// More memory is never less for a larger share, and a trace without keys ends.
func TestMemoryGrowsWithTheShare(t *testing.T) {
	for _, value := range []int{0, 100, 1000} {
		least := 0
		for _, share := range keyShares {
			size, memoryMiB := memoryFor(share, report{Keys: 100_000, DataBytes: 200 << 20}, value)
			if memoryMiB < leastMissesMiB || value == 0 && (size != 0 || memoryMiB < least) {
				t.Errorf("values of %d, share %v: got %d bytes and %d MiB", value, share, size, memoryMiB)
			}
			if value > 0 && (size < value || math.Remainder(math.Log2(float64(size)/float64(value)), 1) != 0) {
				t.Errorf("values of %d: got %d; want it doubled", value, size)
			}
			least = memoryMiB
		}
		if size, memoryMiB := memoryFor(0.5, report{}, value); size != value || memoryMiB != leastMissesMiB {
			t.Errorf("no keys: got %d bytes, %d MiB; want %d and %d", size, memoryMiB, value, leastMissesMiB)
		}
	}
}

// The names of the parts are different, and each says what it is about in one line of a terminal.
func TestParts(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range parts {
		if seen[p.name] || p.about == "" || p.run == nil || utf8.RuneCountInString(p.about) > 100 {
			t.Errorf("%s: got %q", p.name, p.about)
		}
		seen[p.name] = true
	}
}

func Example_table() {
	table([][]string{
		{"", "p50 µs", "ratio"},
		{"holdfast", "252", "1.23"},
		{"memcached", "1,024"},
	})
	// Output:
	//            p50 µs  ratio
	// holdfast      252   1.23
	// memcached   1,024
}

func Example_printTables() {
	run := func(name string, rates, cpu []float64) *tableRun {
		return &tableRun{server: &server{spec: spec{name: name}},
			rate: map[string][]float64{"Query": rates}, cpu: map[string][]float64{"Query": cpu}}
	}
	printTables([]*tableRun{
		run("holdfast", []float64{3000, 2800, 3100}, []float64{576, 600, 500}),
		run(inMemory, []float64{260, 250, 270}, []float64{4467, 4467, 4467}),
	}, []tableLoad{{name: "Query", items: 1000}})
	// Output:
	//            load  requests/s  items/s  server's CPU µs per request  times dynalite  times dynalite --path
	// holdfast  Query        3000  3000000                        576.0            11.5
	// dynalite  Query         260   260000                       4467.0
}
