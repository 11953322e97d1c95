package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// keysOf is a Source of these keys, without sizes or times.
type keysOf []string

func (k *keysOf) Next() (Request, error) {
	if len(*k) == 0 {
		return Request{}, io.EOF
	}
	key := (*k)[0]
	*k = (*k)[1:]
	return Request{Key: []byte(key), ValueBytes: -1, TTL: -1}, nil
}

func words(s string) *keysOf {
	k := keysOf(strings.Fields(s))
	return &k
}

func TestRunLooksAside(t *testing.T) {
	server := startFake(t, nil)
	path := written(t, "t.csv",
		[]byte("time,key,size,ttl,op\n1,a,3,0,get\n2,b,0,60,\n3,a,3,0,get\n3,c,,9000000,get\n4,a,5,,set\n4,b,7,60,get\n"))
	report, err := Run(t.Context(), opened(t, path, Options{}),
		Options{Server: server.address, Flush: true, LoadDelay: time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	log := server.log()
	last := log[len(log)-4]
	var exptime int64
	if _, err := fmt.Sscanf(last, "set c 0 %d 1000", &exptime); err != nil || exptime <= 9_000_000 {
		t.Errorf("%q: want a TTL beyond 30 days as Unix seconds", last)
	}
	log[len(log)-4] = "set c 0 TIME 1000"
	wantLines(t, log, "version", "flush_all", "stats",
		"get a", "set a 0 0 3", "get b", "set b 0 60 0", "get a", "get c", "set c 0 TIME 1000", "get b", "stats", "closed")
	if report.Requests != 5 || report.Hits != 2 || report.Misses != 3 || report.HitRate != 0.4 || report.Keys != 3 ||
		report.LoadedBytes != 1003 || report.HitBytes != 3 || report.DataBytes != 1006 ||
		report.LoadSaved != Seconds(2*time.Microsecond) {
		t.Errorf("got %+v", report)
	}
	if report.Version != "fake" || report.MemoryBytes != 1<<20 || report.Items != 3 || report.Evictions != 0 {
		t.Errorf("of the server, got %+v", report)
	}
	if fmt.Sprint(report.Skipped) != "[{operation set 1}]" || report.Format != FormatCSV || report.Stopped != "" {
		t.Errorf("of the trace, got %+v", report)
	}
}

// TestRunPipelined checks that a batch's gets go out before its sets, so that a key which comes
// twice in a batch misses twice.
func TestRunPipelined(t *testing.T) {
	server := startFake(t, nil)
	report, err := Run(t.Context(), words("a b a c a"),
		Options{Server: server.address, Pipeline: 3, ValueBytes: 2, TTL: 1500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, server.log(), "version", "stats", "get a", "get b", "get a",
		"set a 0 2 2", "set b 0 2 2", "set a 0 2 2", "get c", "get a", "set c 0 2 2", "stats", "closed")
	if report.Hits != 1 || report.Misses != 4 {
		t.Errorf("got %d hits, %d misses; want 1, 4", report.Hits, report.Misses)
	}
}

func TestRunOnManyConnections(t *testing.T) {
	const keys, rounds = 300, 20
	var all keysOf
	for i := range keys * rounds {
		all = append(all, fmt.Sprint("key", i%keys))
	}
	server := startFake(t, nil)
	calls, last := 0, int64(0)
	o := Options{Server: server.address, Connections: 7, Pipeline: 16, Limit: keys * (rounds - 1), ValueBytes: 100_000}
	o.Progress = func(requests, hits int64) { calls, last = calls+1, requests }
	report, err := Run(t.Context(), &all, o)
	if err != nil {
		t.Fatal(err)
	}
	// A connection may still be loading a key that another asks for, so some miss again.
	if report.Requests != o.Limit || report.Hits+report.Misses != o.Limit || report.Misses < keys ||
		report.Misses > 2*keys {
		t.Errorf("got %d requests, %d hits, %d misses; want %d requests, at least %d misses", report.Requests, report.Hits,
			report.Misses, o.Limit, keys)
	}
	if report.Keys != keys || !report.KeysExact || len(report.Over) != defaultPoints ||
		report.Latency.Max < report.Latency.P50 {
		t.Errorf("got %+v", report)
	}
	if calls < 2 || last != o.Limit {
		t.Errorf("progress: %d calls, the last with %d; want %d", calls, last, o.Limit)
	}
}

func TestRunCountsRefusals(t *testing.T) {
	server := startFake(t, func(line string) string {
		switch {
		case strings.HasPrefix(line, "set big "):
			return "SERVER_ERROR object too large for cache"
		case strings.HasPrefix(line, "set n"):
			return "SERVER_ERROR " + strings.Fields(line)[1]
		case line == "get broken":
			return "SERVER_ERROR out of memory writing get response"
		}
		return ""
	})
	report, err := Run(t.Context(), words("big big broken ok n1 n2 n3 n4 n5 n6 n7 n8 n9"), Options{Server: server.address})
	if err != nil {
		t.Fatal(err)
	}
	if report.SetsRefused != 11 || report.GetErrors != 1 || report.Misses != 12 || report.Requests != 13 ||
		report.LoadedBytes != 13000 {
		t.Errorf("got %+v", report)
	}
	var got []string
	for _, r := range report.Refusals {
		got = append(got, fmt.Sprintf("%d %s", r.Count, r.Answer))
	}
	wantLines(t, got, "2 SERVER_ERROR object too large for cache", "1 SERVER_ERROR out of memory writing get response",
		"1 SERVER_ERROR n1", "1 SERVER_ERROR n2", "1 SERVER_ERROR n3", "1 SERVER_ERROR n4",
		"1 SERVER_ERROR n5", "4 other answers")
}

// TestRunAgainstBadServers checks that each way in which a server fails is reported, with the
// figures until then.
func TestRunAgainstBadServers(t *testing.T) {
	for _, c := range []struct {
		what, on, answer string
		want             string
		requests         int64
	}{
		{"goes away at a get", "get c", hangUp, "server ADDRESS went away: it closed the connection", 2},
		{"goes away at a set", "set b 0 0 1000", hangUp, "server ADDRESS went away: it closed the connection", 2},
		{"goes away in a value", "get c", "VALUE c 0 50\r\nabc" + hangUp,
			"server ADDRESS went away: it closed the connection", 2},
		{"goes away at the end", "stats", hangUp, "server ADDRESS went away: it closed the connection", 0},
		{"doesn't know get", "get b", "ERROR", `server ADDRESS: unexpected answer to a get: "ERROR"`, 1},
		{"doesn't know set", "set a 0 0 1000", "ERROR", `server ADDRESS: unexpected answer to a set: "ERROR"`, 1},
		{"answers another key", "get b", "VALUE bb 0 1\r\nx\r\nEND",
			`server ADDRESS: unexpected answer to a get, for another key: "VALUE bb 0 1"`, 1},
		{"answers no size", "get b", "VALUE b 0 x\r\nx\r\nEND",
			`server ADDRESS: unexpected answer to a get: "VALUE b 0 x"`, 1},
		{"is wrong about a size", "get b", "VALUE b 0 1\r\nxy\r\nEND",
			`server ADDRESS: unexpected answer to a get, after the value: "y"`, 1},
		{"wants a password", "version", "CLIENT_ERROR unauthenticated",
			`server ADDRESS: unexpected answer to a version: "CLIENT_ERROR unauthenticated"`, 0},
		{"won't be emptied", "flush_all", "CLIENT_ERROR flush_all not allowed",
			`server ADDRESS: unexpected answer to a flush_all: "CLIENT_ERROR flush_all not allowed"`, 0},
		{"never ends its line", "get b", strings.Repeat("x", 10000),
			`server ADDRESS: unexpected answer to a request: "` + strings.Repeat("x", 100) + `"`, 1},
	} {
		t.Run(c.what, func(t *testing.T) {
			server := startFake(t, func(line string) string {
				if line == c.on {
					return c.answer
				}
				return ""
			})
			report, err := Run(t.Context(), words("a b c d"), Options{Server: server.address, Flush: true})
			want := strings.Replace(c.want, "ADDRESS", server.address, 1)
			if err == nil || err.Error() != want || report.Stopped != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if report.Requests != c.requests {
				t.Errorf("got %d requests; want %d", report.Requests, c.requests)
			}
		})
	}
}

func TestRunWithoutStatistics(t *testing.T) {
	server := startFake(t, func(line string) string {
		if line == "stats" || line == "version" {
			return "ERROR"
		}
		return ""
	})
	report, err := Run(t.Context(), words("a a"), Options{Server: server.address})
	if err != nil || report.Hits != 1 || report.Version != "" || report.MemoryBytes != 0 || report.Items != -1 ||
		report.Evictions != -1 {
		t.Errorf("got %+v, %v", report, err)
	}
}

func TestRunSilentServer(t *testing.T) {
	server := startFake(t, func(line string) string {
		if line == "get a" {
			return silence
		}
		return ""
	})
	_, err := Run(t.Context(), words("a"), Options{Server: server.address, Timeout: time.Millisecond * 200})
	if want := "server " + server.address + ": no answer within 200ms"; err == nil || err.Error() != want {
		t.Errorf("got %v; want %s", err, want)
	}
}

// TestRunInterrupted ends the context while the answer is awaited, which must not wait for the
// timeout, and during a load.
func TestRunInterrupted(t *testing.T) {
	for _, o := range []Options{{Timeout: time.Hour}, {Timeout: time.Hour, LoadDelay: time.Hour}} {
		ctx, cancel := context.WithCancel(t.Context())
		server := startFake(t, func(line string) string {
			if line == "get b" && o.LoadDelay == 0 || line == "get a" && o.LoadDelay > 0 {
				cancel()
				if o.LoadDelay == 0 {
					return silence
				}
			}
			return ""
		})
		o.Server, o.Connections = server.address, 2
		report, err := Run(ctx, words("a a a b"), o)
		if !errors.Is(err, context.Canceled) || !strings.HasPrefix(report.Stopped, "interrupted") {
			t.Errorf("got %v, %+v; want interrupted", err, report)
		}
		cancel()
	}
}

func TestRunTraceFault(t *testing.T) {
	server := startFake(t, nil)
	path := written(t, "t.csv", []byte("1,a,1\n2,a,1\n3,a,x\n"))
	report, err := Run(t.Context(), opened(t, path, Options{}), Options{Server: server.address, Pipeline: 10})
	if err == nil || err.Error() != path+`:3: size "x": want a whole number` || report.Requests != 2 {
		t.Errorf("got %d requests, %v; want 2 and what is wrong with line 3", report.Requests, err)
	}
	var fault *TraceError
	if !errors.As(err, &fault) || report.Stopped != err.Error() {
		t.Errorf("got %T, stopped %q; want a *TraceError, and its text", err, report.Stopped)
	}
	if report.Items != 1 || report.Evictions != 0 {
		t.Errorf("got %d items, %d evictions; want the server's figures, 1 and 0", report.Items, report.Evictions)
	}
}

// If one connection meets the trace's fault while another waits for its answer, that answer still
// counts.
func TestRunFaultLetsOthersFinish(t *testing.T) {
	faulty := make(chan struct{})
	server := startFake(t, func(line string) string {
		if strings.HasPrefix(line, "get ") {
			<-faulty
		}
		return ""
	})
	source := sourceFunc(func(n int) (Request, error) {
		if n < 2 {
			return Request{Key: []byte("k"), ValueBytes: 1, TTL: -1}, nil
		}
		close(faulty)
		return Request{}, errors.New("damaged")
	})
	report, err := Run(t.Context(), &source, Options{Server: server.address, Connections: 3})
	if err == nil || err.Error() != "damaged" || report.Requests != 2 {
		t.Errorf("got %d requests, %v; want 2, damaged", report.Requests, err)
	}
}

// A countedSource returns what its function returns for 0, 1, ….
type countedSource struct {
	give func(n int) (Request, error)
	n    int
}

func sourceFunc(give func(n int) (Request, error)) countedSource { return countedSource{give: give} }

func (s *countedSource) Next() (Request, error) {
	s.n++
	return s.give(s.n - 1)
}

// TestFeedKeepsTheTracesTime plays five seconds of a trace at twice its speed, in virtual time.
func TestFeedKeepsTheTracesTime(t *testing.T) {
	trace := opened(t, written(t, "t.csv", []byte("1000,a\n1002,b\n1002,c\n1001,late\n1002,d\n1005,e\n")), Options{})
	synctest.Test(t, func(t *testing.T) {
		f := &feed{src: trace, speed: 2, start: time.Now()}
		var got []string
		for {
			batch, err := f.fill(t.Context(), make([]play, 0, 3), &Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(batch) == 0 {
				break
			}
			line := time.Since(f.start).String()
			for i := range batch {
				line += " " + string(batch[i].key)
			}
			got = append(got, line)
		}
		wantLines(t, got, "0s a", "1s b c late", "1s d", "2.5s e")
	})
}

func TestRunAtTheTracesSpeed(t *testing.T) {
	server := startFake(t, nil)
	path := written(t, "t.csv", []byte("1000,a,1\n1001,b,1\n"))
	report, err := Run(t.Context(), opened(t, path, Options{}), Options{Server: server.address, Speed: 1000})
	if err != nil || report.Requests != 2 {
		t.Errorf("got %d requests, %v; want 2", report.Requests, err)
	}
	_, err = Run(t.Context(), words("a"), Options{Server: server.address, Speed: 1})
	if want := "request 1 of the trace has no time: it can't be played at its own speed"; err == nil ||
		err.Error() != want {
		t.Errorf("got %v; want %s", err, want)
	}
}

func TestRunOptions(t *testing.T) {
	for want, o := range map[string]Options{
		"no server to replay against":                           {},
		"pipeline: 257; at most 256":                            {Server: "x", Pipeline: 257},
		"connections: -1; at most 1024":                         {Server: "x", Connections: -1},
		"limit: -1 requests":                                    {Server: "x", Limit: -1},
		"timeout 10s, load delay -1s: a time can't be negative": {Server: "x", LoadDelay: -time.Second},
		"speed: NaN; want 0 for as fast as possible, or a factor of the trace's time": {Server: "x", Speed: math.NaN()},
	} {
		if _, err := Run(t.Context(), words("a"), o); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	missing := filepath.Join(t.TempDir(), "no.sock")
	_, err := Run(t.Context(), words("a"), Options{Server: missing})
	if want := "can't connect to server " + missing + ": "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v; want %s…", err, want)
	}
}
