package transfer

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A faultyServer passes requests to a fake server, but fails at some of them, before or after the
// fake has executed them. All of its faults pass by themselves.
type faultyServer struct {
	*fakeServer
	mu     sync.Mutex // guards what follows
	r      *rand.Rand
	rate   int // one request in so many fails
	failed int
}

func (f *faultyServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	f.mu.Lock()
	kind, executed := -1, f.r.IntN(2) == 0
	if f.r.IntN(f.rate) == 0 {
		kind = f.r.IntN(6)
		f.failed++
	}
	f.mu.Unlock()
	if kind < 0 {
		f.fakeServer.ServeHTTP(w, req)
		return
	}
	answer := httptest.NewRecorder()
	if executed {
		f.fakeServer.ServeHTTP(answer, req)
	} else if _, err := io.Copy(io.Discard, req.Body); err != nil {
		f.t.Error(err)
	}
	switch kind {
	case 0:
		http.Error(w, "<html>bad gateway</html>", http.StatusBadGateway)
	case 1:
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, `{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"sorry"}`)
	case 2:
		f.fail(w, "com.amazon.coral.availability#ThrottlingException", "slow down")
	case 3: // a response that is cut
		w.Header().Set("Content-Length", fmt.Sprint(answer.Body.Len()+1))
		w.Write(answer.Body.Bytes())
	case 4: // no response
		panic(http.ErrAbortHandler)
	case 5: // no JSON
		io.WriteString(w, strings.TrimSuffix(answer.Body.String(), "}")+"<!-- proxy -->")
	}
}

// newFaulty returns a server that fails at one request in rate, and a client that retries often
// enough.
func newFaulty(t *testing.T, r *rand.Rand, rate int) (*faultyServer, *Client) {
	t.Helper()
	inner, _ := newFake(t)
	f := &faultyServer{fakeServer: inner, r: r, rate: rate}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	c, err := NewClient(Options{Endpoint: server.URL, Region: "us-east-1", AccessKey: "a", SecretKey: "s", Retries: 12,
		Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return f, c
}

// Imports and exports over a server that fails now and then are complete: each request may be
// repeated, whether it was executed or not.
func TestPassingFaults(t *testing.T) {
	failed := 0
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 0))
		g := generator{r}
		items := g.items(100 + g.IntN(100))
		want := map[string]item{}
		for _, it := range items {
			want[string(it["id"])] = it
		}
		from, c := newFaulty(t, r, 6)
		done, err := c.Import(t.Context(), "users", strings.NewReader(asLines(items)), ImportOptions{})
		if err != nil || done.Items != int64(len(items)) || done.Next != 0 {
			t.Fatalf("seed %d: got %+v, %v; want %d items", seed, done, err, len(items))
		}
		same(t, fmt.Sprint("imported, seed ", seed), from.contents(), want)
		for _, format := range Formats {
			var file bytes.Buffer
			n, err := c.Export(t.Context(), "users", &file, ExportOptions{Format: format, Segments: 3})
			if err != nil || n != int64(len(items)) {
				t.Fatalf("seed %d, %s: got %d items, %v; want %d", seed, format, n, err, len(items))
			}
			to, other := newFake(t)
			imported(t, other, file.String(), ImportOptions{Format: format})
			same(t, fmt.Sprintf("exported, seed %d, %s", seed, format), to.contents(), want)
		}
		failed += from.failed
	}
	if failed < 10 {
		t.Errorf("got %d faults; want more, so that the test means something", failed)
	}
}

// files are items as files of each format.
func files(t *testing.T, items []item) map[string]string {
	t.Helper()
	_, c := newFake(t)
	imported(t, c, asLines(items), ImportOptions{})
	all := map[string]string{"a.json": asLines(items), "a.csv": exported(t, c, ExportOptions{Format: CSV})}
	for _, name := range []string{"a.json", "a.csv"} {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		io.WriteString(z, all[name])
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		all[name+".gz"] = packed.String()
	}
	return all
}

// An import that is interrupted at any item says where it may be resumed, and then no item is
// missing; in CSV too, whose items may have several lines.
func TestInterruptedImportsResume(t *testing.T) {
	interruptions := 0
	for seed := range uint64(6) {
		g := generator{rand.New(rand.NewPCG(seed, 1))}
		items := g.items(80 + g.IntN(120))
		want := map[string]item{}
		for _, it := range items {
			want[string(it["id"])] = it
		}
		for name, text := range files(t, items) {
			format, _ := FormatOf(name)
			f, c := newFake(t)
			o := ImportOptions{Format: format, Connections: 1 + g.IntN(4)}
			for attempt := 0; ; attempt++ {
				ctx, interrupt := context.WithCancel(t.Context())
				at, last := int64(1+g.IntN(60)), int64(0)
				o.Progress = func(n int64) {
					if n < last {
						t.Errorf("seed %d, %s: got progress from %d to %d", seed, name, last, n)
					}
					if last = n; n >= at && attempt < 5 {
						interrupt()
					}
				}
				done, err := c.Import(ctx, "users", strings.NewReader(text), o)
				interrupt()
				if done.Items != last {
					t.Errorf("seed %d, %s: got %d items; the progress is %d", seed, name, done.Items, last)
				}
				if err == nil {
					if done.Next != 0 {
						t.Errorf("seed %d, %s: got %+v; want nothing left to resume", seed, name, done)
					}
					break
				}
				interruptions++
				if done.Next == 0 { // interrupted after the last item
					break
				}
				if done.Next < o.FromLine || attempt > 5 {
					t.Fatalf("seed %d, %s: got %+v, %v from line %d; want to resume there or later, and an end", seed, name, done,
						err, o.FromLine)
				}
				o.FromLine = done.Next
			}
			same(t, fmt.Sprintf("seed %d, %s", seed, name), f.contents(), want)
		}
	}
	if interruptions < 20 {
		t.Errorf("got %d interruptions; want more, so that the test means something", interruptions)
	}
}

// The damage of a compressed file is always an error, if only at its end. Of another one, at most
// the item in the damaged line is imported as something else.
func TestDamagedFiles(t *testing.T) {
	for seed := range uint64(40) {
		g := generator{rand.New(rand.NewPCG(seed, 2))}
		items := g.items(10 + g.IntN(40))
		all := files(t, items)
		for _, name := range slices.Sorted(maps.Keys(all)) {
			format, compressed := FormatOf(name)
			const head = 10 // bytes of gzip, of which some may have any value
			damaged := []byte(all[name])
			at := head + g.IntN(len(damaged)-head)
			damaged[at] ^= 1 << g.IntN(7)
			f, c := newFake(t)
			done, err := c.Import(t.Context(), "users", bytes.NewReader(damaged), ImportOptions{Format: format})
			if compressed && err == nil {
				t.Errorf("seed %d, %s, byte %d: got %+v and no error", seed, name, at, done)
			}
			if line := new(LineError); err != nil && errors.As(err, &line) && (line.Line < 1 || done.Next > line.Line) {
				t.Errorf("seed %d, %s: got %v, to resume at line %d; want it there or before", seed, name, err, done.Next)
			}
			other := f.contents()
			for _, it := range items {
				delete(other, string(it["id"]))
			}
			if len(other) > 1 && name == "a.json" {
				t.Errorf("seed %d, %s, byte %d: got %d other items; want at most the damaged one", seed, name, at, len(other))
			}
		}
	}
}
