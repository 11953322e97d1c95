package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// checkFigures checks what holds for the figures of every report.
func checkFigures(t *testing.T, what string, r Report) {
	t.Helper()
	if r.Hits+r.Misses+r.GetErrors != r.Requests || r.Keys > r.Requests || r.SetsRefused > r.Misses {
		t.Errorf("%s: got %d requests, %d hits, %d misses, %d failed, %d keys, %d sets refused", what, r.Requests, r.Hits,
			r.Misses, r.GetErrors, r.Keys, r.SetsRefused)
	}
	through, hits := int64(0), 0.0
	for _, p := range r.Over {
		hits += p.HitRate * float64(p.Through-through)
		through = p.Through
	}
	if through != r.Requests || math.Abs(hits-float64(r.Hits)) > 0.01 || r.HitRate != share(r.Hits, r.Requests) {
		t.Errorf("%s: got points of %d requests with %.2f hits, a hit rate of %v; want %d, %d", what, through, hits,
			r.HitRate, r.Requests, r.Hits)
	}
	l := r.Latency
	if l.P50 > l.P90 || l.P90 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max {
		t.Errorf("%s: got latencies %+v; want them rising", what, l)
	}
}

var wrongAnswers = []string{hangUp, "SERVER_ERROR busy", "NOT_STORED", "CLIENT_ERROR no", "ERROR", "STORED", "END", "",
	"VALUE", "VALUE k1 0 3\r\nabc\r\nEND", "VALUE k1 0 3\r\nab" + hangUp, "VALUE k1 0 99999999999\r\n", "\x00\x01", "OK"}

// Whatever a server answers, in the middle of a replay, the replay ends, its figures are those of
// the requests that were answered, and its error names the server.
func TestRandomFaultsOfServers(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 0))
		var served, gets atomic.Int64
		at, wrong := int64(1+r.IntN(250)), wrongAnswers[r.IntN(len(wrongAnswers))]
		server := startFake(t, func(line string) string {
			if strings.HasPrefix(line, "get ") {
				gets.Add(1)
			}
			if served.Add(1) == at {
				return cmp.Or(wrong, " ")
			}
			return ""
		})
		var keys keysOf
		for range 200 {
			keys = append(keys, fmt.Sprint("k", r.IntN(50)))
		}
		report, err := Run(t.Context(), &keys, Options{Server: server.address, Connections: 1 + r.IntN(3),
			Pipeline: 1 + r.IntN(20), ValueBytes: 1 + r.IntN(100), Timeout: 10 * time.Second})
		what := fmt.Sprintf("seed %d, %q at line %d", seed, wrong, at)
		checkFigures(t, what, report)
		if report.Requests > gets.Load() || err == nil && report.Requests != 200 {
			t.Errorf("%s: got %d requests, %v; the server had %d", what, report.Requests, err, gets.Load())
		}
		if err != nil && (!strings.HasPrefix(err.Error(), "server "+server.address) || report.Stopped != err.Error()) {
			t.Errorf("%s: got %v, stopped %q; want an error that names the server", what, err, report.Stopped)
		}
	}
}

// pieces writes each byte on its own.
type pieces struct{ net.Conn }

func (p pieces) Write(b []byte) (int, error) {
	for i := range b {
		if _, err := p.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// A server whose answers arrive byte by byte gets the same requests, and the same figures.
func TestAnswersInPieces(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	slow := &fake{sizes: map[string]string{}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		slow.serve(pieces{conn})
	}()
	quick := startFake(t, nil)
	var reports [2]Report
	for i, address := range []string{l.Addr().String(), quick.address} {
		keys := *words(strings.Repeat("a b c a d b e f a ", 10))
		if reports[i], err = Run(t.Context(), &keys, Options{Server: address, Pipeline: 7, ValueBytes: 300}); err != nil {
			t.Fatal(err)
		}
	}
	<-ended
	slow.mu.Lock()
	defer slow.mu.Unlock()
	if want := quick.log(); !slices.Equal(append(slow.lines, "closed"), want) {
		t.Errorf("got the requests %q; want %q", slow.lines, want)
	}
	if a, b := reports[0], reports[1]; a.Hits != b.Hits || a.Misses != b.Misses || a.HitBytes != b.HitBytes ||
		a.Items != b.Items {
		t.Errorf("got %+v; want the figures of %+v", a, b)
	}
}

// A replay that is interrupted at any request ends at once, with the figures until then.
func TestInterruptedAnywhere(t *testing.T) {
	for _, at := range []int64{1, 2, 3, 10, 57, 200} { // lines that the server has had
		ctx, interrupt := context.WithCancelCause(t.Context())
		why := errors.New("stopped by the test")
		var served atomic.Int64
		server := startFake(t, func(string) string {
			if served.Add(1) == at {
				interrupt(why)
			}
			return ""
		})
		var keys keysOf
		for n := range 5000 {
			keys = append(keys, fmt.Sprint("k", n%70))
		}
		report, err := Run(ctx, &keys, Options{Server: server.address, Connections: 2, Timeout: time.Hour})
		if err == nil || report.Requests >= 5000 || report.Stopped != err.Error() {
			t.Errorf("at line %d: got %d requests, %v; want fewer, and an error", at, report.Requests, err)
		}
		checkFigures(t, fmt.Sprint("interrupted at line ", at), report)
	}
}

// The recorder's figures are those that are computed from the same plays, whatever the order in
// which connections report them.
func TestRecorderAgainstModel(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 2))
		o := Options{Points: 1 + r.IntN(30), LoadDelay: time.Duration(r.IntN(1000)), Server: "s"}
		n := r.IntN(3000)
		plays := make([]play, n)
		var hits, misses, failed, hitBytes, loaded, data int64
		seen, latencies := map[string]int64{}, []time.Duration(nil)
		for i := range plays {
			p := &plays[i]
			*p = play{seq: int64(i), key: fmt.Append(nil, "k", r.IntN(200)), valueBytes: r.IntN(500),
				latency: time.Duration(r.IntN(1_000_000))}
			latencies = append(latencies, p.latency)
			switch r.IntN(5) {
			case 0:
				p.answer.refusal = "SERVER_ERROR busy"
				failed++
				loaded += int64(p.valueBytes)
			case 1, 2:
				misses++
				loaded += int64(p.valueBytes)
			default:
				p.answer.hit, p.answer.valueBytes = true, int64(r.IntN(500))
				hits++
				hitBytes += p.answer.valueBytes
			}
		}
		r.Shuffle(n, func(i, j int) { plays[i], plays[j] = plays[j], plays[i] })
		rec := newRecorder(o)
		for i := 0; i < n; {
			end := min(n, i+1+r.IntN(20))
			rec.add(plays[i:end])
			i = end
		}
		for _, p := range plays { // an item's size is that of the first play that was recorded
			if _, ok := seen[string(p.key)]; !ok {
				seen[string(p.key)] = int64(len(p.key) + p.valueBytes)
				data += seen[string(p.key)]
			}
		}
		report := rec.finish(o, time.Second)
		got := []int64{report.Requests, report.Hits, report.Misses, report.GetErrors, report.HitBytes, report.LoadedBytes,
			report.Keys, report.DataBytes, int64(report.LoadSaved), int64(report.PerSecond), int64(len(report.Over))}
		want := []int64{int64(n), hits, misses, failed, hitBytes, loaded, int64(len(seen)), data,
			hits * int64(o.LoadDelay), int64(n), int64(min(o.Points, n))}
		if !slices.Equal(got, want) {
			t.Errorf("seed %d: got requests, hits, misses, failed, bytes of hits, loaded bytes, keys, bytes, time saved, "+
				"requests per second, points\n %d; want\n %d", seed, got, want)
		}
		checkFigures(t, fmt.Sprint("seed ", seed), report)
		if n > 0 && report.Latency.Max != Micros(slices.Max(latencies)) {
			t.Errorf("seed %d: got a largest latency of %v; want %v", seed, report.Latency.Max, slices.Max(latencies))
		}
		if failed > 0 && (len(report.Refusals) != 1 || report.Refusals[0].Count != failed) {
			t.Errorf("seed %d: got refusals %v; want %d of one kind", seed, report.Refusals, failed)
		}
	}
}

// At the trace's speed, no request is sent before its time, and requests are sent in order without
// further delay.
func TestFeedAgainstTimes(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 3))
		times := make([]time.Duration, 1+r.IntN(60))
		for i := range times[1:] {
			times[i+1] = times[i] + time.Duration(r.IntN(3)*r.IntN(5000))*time.Millisecond
		}
		speed := []float64{0.5, 1, 2, 10}[r.IntN(4)]
		source := sourceFunc(func(n int) (Request, error) {
			if n == len(times) {
				return Request{}, errors.New("the end")
			}
			return Request{Key: fmt.Append(nil, n), At: times[n], HasTime: true}, nil
		})
		synctest.Test(t, func(t *testing.T) {
			f := &feed{src: &source, speed: speed, start: time.Now()}
			next, before := 0, time.Duration(0)
			for {
				batch, err := f.fill(t.Context(), make([]play, 0, 1+r.IntN(4)), &Options{})
				if err != nil {
					t.Fatal(err)
				}
				if len(batch) == 0 {
					break
				}
				since, due := time.Since(f.start), time.Duration(float64(times[next])/speed)
				if early := max(before, due); since < early-time.Microsecond || since > early+time.Microsecond {
					t.Fatalf("seed %d: got request %d at %v; want it at %v", seed, next, since, early)
				}
				before = since
				for i := range batch {
					if due := time.Duration(float64(times[next]) / speed); batch[i].seq != int64(next) ||
						due > since+time.Microsecond {
						t.Fatalf("seed %d: got request %d at %v; want %d, which is due at %v", seed, batch[i].seq, since, next, due)
					}
					next++
				}
			}
			if next != len(times) || f.fault() == nil {
				t.Errorf("seed %d: got %d requests, fault %v; want %d and the source's", seed, next, f.fault(), len(times))
			}
		})
	}
}

// An item's time to live is sent as seconds up to 30 days, and as a time beyond; a part of a second
// counts as a whole one.
func TestExptime(t *testing.T) {
	const day = 24 * time.Hour
	for ttl, want := range map[time.Duration]int64{
		-1: 0, 0: 0, 1: 1, time.Second: 1, time.Second + 1: 2, 30 * day: 30 * 86400, 30*day - 1: 30 * 86400,
	} {
		if got := exptime(ttl); got != want {
			t.Errorf("%v: got %d; want %d", ttl, got, want)
		}
	}
	now := time.Now().Unix()
	if got := exptime(30*day + 1); got < now+30*86400+1 || got > now+30*86400+60 {
		t.Errorf("more than 30 days: got %d; want a time 30 days after %d", got, now)
	}
}
