package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A recorder is an in-process cache that answers everything, and remembers what each connection has
// asked: "get KEY", or "set KEY BYTES".
type recorder struct {
	address string
	mu      sync.Mutex
	asked   map[int][]string // by connection
	limit   int              // requests of all; then the connections are closed
}

func record(t *testing.T, limit int) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	r := &recorder{address: l.Addr().String(), asked: map[int][]string{}, limit: limit}
	go func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go r.serve(n, conn)
		}
	}()
	return r
}

func (r *recorder) serve(n int, conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		words := strings.Fields(line)
		answer := "STORED\r\n"
		if words[0] == "get" {
			answer = "END\r\n"
			words = words[:2]
		} else if size, err := strconv.Atoi(words[4]); err == nil {
			in.Discard(size + 2)
			words = []string{"set", words[1], words[4]}
		}
		r.mu.Lock()
		r.asked[n] = append(r.asked[n], strings.Join(words, " "))
		r.limit--
		over := r.limit < 0
		r.mu.Unlock()
		if over {
			return
		}
		io.WriteString(conn, answer)
	}
}

// all are the requests of all connections.
func (r *recorder) all() (asked []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, of := range r.asked {
		asked = append(asked, of...)
	}
	return asked
}

// numberOf is the number that a key was made of.
func numberOf(t *testing.T, key string) uint64 {
	t.Helper()
	digits, ok := strings.CutPrefix(key, "key-")
	n, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil || len(key) != keyBytes {
		t.Fatalf("got the key %q; want key- and sixteen digits", key)
	}
	return n
}

// A fill stores each key once with the value that was asked for, whatever the number of keys.
func TestFillStoresEachKeyOnce(t *testing.T) {
	for _, count := range []uint64{0, 1, fillPipeline - 1, fillPipeline, fillPipeline + 1, 8*fillPipeline + 3, 3001} {
		r := record(t, math.MaxInt)
		f, err := fill(t.Context(), r.address, count, make([]byte, 33))
		if err != nil || f.stored != int64(count) {
			t.Fatalf("%d keys: got %+v, %v", count, f, err)
		}
		var keys []uint64
		for _, request := range r.all() {
			words := strings.Fields(request)
			if words[0] != "set" || words[2] != "33" {
				t.Fatalf("%d keys: got the request %q; want sets of 33 bytes", count, request)
			}
			keys = append(keys, numberOf(t, words[1]))
		}
		slices.Sort(keys)
		for i, key := range keys {
			if key != uint64(i) {
				t.Fatalf("%d keys: got key %d at place %d", count, key, i)
			}
		}
		if len(keys) != int(count) {
			t.Errorf("got %d keys; want %d", len(keys), count)
		}
	}
}

// loadOf records what one connection of tail asks.
func loadOf(t *testing.T, items, seed, connection uint64, requests int) []string {
	t.Helper()
	r := record(t, requests)
	l := load{value: make([]byte, 77), length: time.Minute}
	_, err := l.askOne(t.Context(), r.address, items, rand.New(rand.NewPCG(seed, connection)))
	if err == nil {
		t.Fatal("got no error of a server that closes")
	}
	return r.all()[:requests]
}

// Of tail's requests five in a hundred are sets of the given size, and every key below the number
// of items is as likely. The same seed asks the same, another seed or connection something else.
func TestLoadIsAsAsked(t *testing.T) {
	const items, n = 50, 20_000
	asked := loadOf(t, items, 1, 2, n)
	sets, byKey := 0, make([]int, items)
	for _, request := range asked {
		words := strings.Fields(request)
		if words[0] == "set" {
			sets++
			if words[2] != "77" {
				t.Fatalf("got %q; want 77 bytes", request)
			}
		}
		key := numberOf(t, words[1])
		if key >= items {
			t.Fatalf("got key %d of %d items", key, items)
		}
		byKey[key]++
	}
	if share := float64(sets) / n; share < 0.04 || share > 0.06 {
		t.Errorf("got %.3f of the requests as sets; want 0.05", share)
	}
	chi := 0.0 // squared; of 49 degrees of freedom: above 85 once in a thousand
	for _, k := range byKey {
		chi += math.Pow(float64(k)-n/items, 2) / (n / items)
	}
	if chi > 85 || chi < 20 {
		t.Errorf("got %v by key, chi squared %.1f; want them as likely", byKey, chi)
	}
	if again := loadOf(t, items, 1, 2, 500); !slices.Equal(again, asked[:500]) {
		t.Error("the same seed asks something else")
	}
	for _, other := range [][2]uint64{{2, 2}, {1, 3}} {
		if slices.Equal(loadOf(t, items, other[0], other[1], 500), asked[:500]) {
			t.Errorf("seed and connection %v ask the same as 1 and 2", other)
		}
	}
}

// The sample of memory is the same in every run, within the keys, and as large as asked.
func TestSampleIsTheSame(t *testing.T) {
	sample := func() []string {
		r := record(t, math.MaxInt)
		c, err := dial(r.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		if share, err := shareHeld(t.Context(), c, 1000, 950); err != nil || share != 0 {
			t.Fatalf("got %v, %v; want nothing held", share, err)
		}
		return r.all()
	}
	first := sample()
	if second := sample(); len(first) != 10 || !slices.Equal(first, second) { // ten times a hundred
		t.Errorf("got %q and %q; want the same ten requests", first, second)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := shareHeld(ctx, answering(t, ""), 10, 10); err == nil {
		t.Error("canceled: got no error")
	}
}

// GetItem and PutItem go over all items, whatever their number, so that none is hotter.
func TestTableLoadsGoOverAllItems(t *testing.T) {
	for _, items := range []int{1, 10, 1000, 7919, 2 * 7919} {
		for _, l := range tableLoads(items)[:2] {
			seen := map[string]bool{}
			for i := range items {
				_, key, ok := strings.Cut(string(l.body(i+5)), `"S":"user-`)
				if !ok {
					t.Fatalf("%s: got %s", l.name, l.body(i))
				}
				seen[key[:8]] = true
			}
			if len(seen) != items {
				t.Errorf("%s of %d items: got %d different keys", l.name, items, len(seen))
			}
		}
	}
}

// percentilesOf and median against plain counting, on random rounds.
func TestStatisticsAgainstCounting(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		took := make([]time.Duration, 1+r.IntN(3000))
		for i := range took {
			took[i] = time.Duration(r.Int64N(1 + r.Int64N(1e6)))
		}
		plain := slices.Clone(took)
		p := percentilesOf(took, 2*time.Second)
		for _, at := range []struct{ share, got float64 }{{0.5, p.p50}, {0.99, p.p99}, {0.999, p.p999}, {1, p.max}} {
			below, upTo := 0, 0
			for _, d := range plain {
				if micros := float64(d.Nanoseconds()) / 1e3; micros < at.got {
					below++
				} else if micros == at.got {
					upTo++
				}
			}
			// That share of the requests took no longer, and the others not less.
			n := at.share * float64(len(plain))
			if upTo == 0 || float64(below) > n || float64(below+upTo) < n {
				t.Fatalf("seed %d: %v of %d: got %v, with %d below it and %d like it",
					seed, at.share, len(plain), at.got, below, upTo)
			}
		}
		if want := float64(len(plain)) / 2; p.perSecond != want {
			t.Fatalf("seed %d: got %v requests per second; want %v", seed, p.perSecond, want)
		}

		rounds := make([]percentiles, 1+r.IntN(9))
		for i := range rounds {
			rounds[i] = percentiles{r.Float64(), r.Float64(), r.Float64(), r.Float64(), r.Float64()}
		}
		m := median(rounds)
		for name, of := range map[string]func(percentiles) float64{
			"perSecond": func(p percentiles) float64 { return p.perSecond }, "p50": func(p percentiles) float64 { return p.p50 },
			"p99": func(p percentiles) float64 { return p.p99 }, "p999": func(p percentiles) float64 { return p.p999 },
			"max": func(p percentiles) float64 { return p.max },
		} {
			less, more := 0, 0
			for _, round := range rounds {
				if of(round) < of(m) {
					less++
				} else if of(round) > of(m) {
					more++
				}
			}
			if less != more { // random values differ
				t.Fatalf("seed %d: %s of %d rounds: got %v, with %d less and %d more", seed, name, len(rounds), of(m), less, more)
			}
		}
	}
}

func TestMovedShareAndMostLostAgainstCounting(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 2))
		before, after := make([]string, 40), make([]string, 40)
		same := 0
		for i := range before {
			before[i], after[i] = strconv.Itoa(r.IntN(3)), strconv.Itoa(r.IntN(3))
			if before[i] == after[i] {
				same++
			}
		}
		if got, want := movedShare(before, after), 1-float64(same)/40; math.Abs(got-want) > 1e-9 {
			t.Fatalf("seed %d: got %v moved; want %v", seed, got, want)
		}
		var control, grown dipReport
		text := `{"hit_rate_over_time":[{"hit_rate":%.2f},{"hit_rate":%.2f},{"hit_rate":%.2f}]}`
		for _, r2 := range []*dipReport{&control, &grown} {
			if err := json.Unmarshal(fmt.Appendf(nil, text, r.Float64(), r.Float64(), r.Float64()), r2); err != nil {
				t.Fatal(err)
			}
		}
		worst, err := mostLost(&control, &grown)
		for i := range control.Over {
			lost := control.Over[i].HitRate - grown.Over[i].HitRate
			if err != nil || lost > control.Over[worst].HitRate-grown.Over[worst].HitRate {
				t.Fatalf("seed %d: got part %d, %v; part %d lost more", seed, worst, err, i)
			}
		}
	}
}

// Every row of a printed table has its fields, each column ends at the same place, and the first
// begins there.
func TestTableIsAligned(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 3))
		rows := make([][]string, 1+r.IntN(6))
		for i := range rows {
			rows[i] = make([]string, 4)
			for j := range rows[i] {
				rows[i][j] = strings.Repeat([]string{"x", "µ", "9"}[r.IntN(3)], 1+r.IntN(12))
			}
		}
		printed := captured(t, func() { table(rows) })
		lines := strings.Split(strings.TrimSuffix(printed, "\n"), "\n")
		if len(lines) != len(rows) {
			t.Fatalf("seed %d: got %d lines; want %d", seed, len(lines), len(rows))
		}
		var ends []int
		for i, line := range lines {
			if got := strings.Fields(line); !slices.Equal(got, rows[i]) {
				t.Fatalf("seed %d: got %q; want %q", seed, got, rows[i])
			}
			var of []int
			runes := []rune(line)
			for j := 1; j <= len(runes); j++ {
				if runes[j-1] != ' ' && (j == len(runes) || runes[j] == ' ') {
					of = append(of, j)
				}
			}
			if of = of[1:]; ends != nil && !slices.Equal(of, ends) {
				t.Fatalf("seed %d: got columns that end at %v and %v:\n%s", seed, ends, of, printed)
			}
			ends = of
		}
	}
}

// captured returns what f prints, also to the standard error.
func captured(t *testing.T, f func()) (printed string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = w, w
	text := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		text <- string(b)
	}()
	defer func() {
		os.Stdout, os.Stderr = stdout, stderr
		w.Close()
		printed = <-text
	}()
	f()
	return ""
}

// A dripping connection delivers a byte with each read.
type dripping struct {
	net.Conn
	from io.Reader
}

func (d dripping) Read(b []byte) (int, error) { return d.from.Read(b[:1]) }
func (dripping) Write(b []byte) (int, error)  { return len(b), nil }
func (dripping) SetDeadline(time.Time) error  { return nil }
func drip(text string) *client {
	conn := dripping{from: strings.NewReader(text)}
	return &client{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
}

// What a server sends means the same however it arrives, and cut anywhere it is an error: no
// request that wasn't answered whole counts as answered.
func TestAnswersCutAtEachByte(t *testing.T) {
	value := "VALUE a 0 5\r\nEND\r\n\r\nVALUE b 0 0\r\n\r\nEND\r\n" // the first value is END and a line end
	for _, test := range []struct {
		name, text string
		ask        func(c *client) (any, error)
		want       any
	}{
		{"get", value, func(c *client) (any, error) { return c.get(1, 2) }, 2},
		{"set", "STORED\r\n", func(c *client) (any, error) { return c.set(1, nil) }, true},
		{"version", "VERSION 1.2\r\n", func(c *client) (any, error) { return c.version() }, "1.2"},
		{"stats", "STAT a 1\r\nSTAT b c d\r\nEND\r\n",
			func(c *client) (any, error) { s, err := c.stats(); return s["a"] + s["b"], err }, "1c d"},
		{"text", "VALUE r 0 3\r\nm:1\r\nEND\r\n",
			func(c *client) (any, error) { s, err := c.text("r"); return strings.HasSuffix(s, "m:1"), err }, true},
		{"ask", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{\n}\n", func(c *client) (any, error) {
			b, err := (&dynamoClient{conn: c.conn, in: c.in}).ask("Scan", []byte("{}"))
			return string(b), err
		}, "{\n}\n"},
	} {
		if got, err := test.ask(drip(test.text)); err != nil || got != test.want {
			t.Errorf("%s, byte by byte: got %v, %v; want %v", test.name, got, err, test.want)
		}
		twice := drip(test.text + test.text)
		for range 2 { // nothing of the first answer is left for the second
			if got, err := test.ask(twice); err != nil || got != test.want {
				t.Errorf("%s, twice: got %v, %v; want %v", test.name, got, err, test.want)
			}
		}
		for cut := range len(test.text) {
			if got, err := test.ask(drip(test.text[:cut])); err == nil {
				t.Errorf("%s: got %v of %q; want an error", test.name, got, test.text[:cut])
			}
		}
	}
}

// Errors end what waits for more: none is waited for until the time-out.
func TestErrorsEndAnAnswer(t *testing.T) {
	for _, text := range []string{"ERROR\r\n", "CLIENT_ERROR bad\r\n", "SERVER_ERROR busy\r\n"} {
		_, err := drip(text + "END\r\n").stats()
		wantError(t, "stats", err, strings.TrimSpace(text))
		_, err = drip(text + "END\r\n").text("key")
		wantError(t, "text", err, strings.TrimSpace(text))
		_, err = drip(text + "END\r\n").get(1)
		wantError(t, "get", err, strings.TrimSpace(text))
	}
	for text, fault := range map[string]string{
		"VALUE a 0 3\r\nlonger\r\nEND\r\n": `"ger" behind a value of 3 bytes`,
		"VALUE a 0 -1\r\n\r\nEND\r\n":      "VALUE a 0 -1",
		"VALUE a 0 99999999999\r\n":        "VALUE a 0 99999999999",
		strings.Repeat("x", 70<<10):        "buffer full",
	} {
		_, err := drip(text).get(1)
		wantError(t, fmt.Sprintf("%.40q", text), err, fault)
	}
}

// Whatever bytes a server sends, the client returns.
func FuzzAnswers(f *testing.F) {
	for _, text := range []string{"VALUE a 0 5\r\nvalue\r\nEND\r\n", "STAT a b\r\nEND\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}", "HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		client := func() *client {
			conn := dripping{from: bytes.NewReader(text)}
			return &client{conn: conn, in: bufio.NewReader(conn)}
		}
		if found, err := client().get(1); err == nil && found*len("VALUE  0 0\r\n\r\n") > len(text) {
			t.Errorf("got %d values of %d bytes", found, len(text))
		}
		client().stats()
		client().version()
		c := client()
		(&dynamoClient{conn: c.conn, in: c.in}).ask("Scan", nil)
	})
}

// Pages of a Scan, made by encoding/json in any order of their fields, parse as they are.
func TestParseRandomPages(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 4))
		count := r.IntN(1000)
		page := map[string]any{"ScannedCount": count, "Count": r.IntN(count + 1)}
		var items []map[string]any
		for range r.IntN(5) {
			items = append(items, map[string]any{"ScannedCount": map[string]string{"N": "7"},
				"Count": map[string]string{"S": "x"}})
		}
		page["Items"] = items
		var key json.RawMessage
		if r.IntN(2) == 0 {
			key, _ = json.Marshal(map[string]any{"id": map[string]string{"S": strings.Repeat("}", r.IntN(3))}})
			page["LastEvaluatedKey"] = key
		}
		text, err := json.Marshal(page)
		if err != nil {
			t.Fatal(err)
		}
		n, last, err := parsePage(text)
		if err != nil || n != count || !bytes.Equal(last, key) {
			t.Errorf("seed %d: got %d, %s, %v of %s; want %d, %s", seed, n, last, err, text, count, key)
		}
	}
}

// This process's own memory and processor time are read from the system.
func TestProcOfThisProcess(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip(err)
	}
	s := &server{proc: "/proc/self"}
	if mib := s.residentMiB(); mib < 1 || mib > 1<<20 {
		t.Errorf("got %d MiB", mib)
	}
	before := s.cpuMicros()
	for start := time.Now(); s.cpuMicros() == before; { // it grows while this runs
		if time.Since(start) > 10*time.Second {
			t.Fatal("the processor time doesn't grow")
		}
	}
}
