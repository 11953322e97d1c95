package router

import (
	"bufio"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/route"
	"holdfast/upstream"
)

// allMissed is what a line of keys that nobody holds is answered.
const allMissed = "END\r\n"

// An answer that comes after its time reaches nobody.
func TestLateAnswer(t *testing.T) {
	late, said := make(chan struct{}), make(chan struct{})
	address := startMember(t, nil, func(n int, conn net.Conn, in *bufio.Reader) {
		in.ReadString('\n')
		if n == 0 {
			<-late
			conn.Write([]byte("VALUE a 0 4\r\nlate\r\nEND\r\n"))
			close(said)
			return
		}
		<-said
		conn.Write([]byte("VALUE a 0 6\r\nsecond\r\nEND\r\n"))
		serveNothing(conn, in)
	})
	o := onePool(address)
	o.Pools[0].Timeout = 300 * time.Millisecond
	r := run(t, o, 1)
	r.wantError(0, "get a\r\n")
	close(late)
	<-said
	r.want(0, "get a\r\n", "VALUE a 0 6\r\nsecond\r\nEND\r\n")
	r.want(0, "get b\r\n", allMissed)
}

// A client of a member that never answers gets an error in time; who asks another one doesn't wait
// for that.
func TestMemberNeverAnswers(t *testing.T) {
	asked, release := make(chan struct{}, 1), make(chan struct{})
	silent := startMember(t, nil, func(_ int, conn net.Conn, in *bufio.Reader) {
		in.ReadString('\n')
		select {
		case asked <- struct{}{}:
		default:
		}
		<-release
	})
	defer close(release)
	other := startFake(t, nil)
	o := onePool(silent, other.address())
	o.Pools[0].Timeout = 500 * time.Millisecond
	r := run(t, o, 1)
	mine, theirs := r.keysOf(0, 2), r.keysOf(1, 2)
	r.want(0, "set "+theirs[0]+" 0 0 1\r\n1\r\n", "STORED\r\n")
	var answered atomic.Bool
	var ended sync.WaitGroup
	ended.Go(func() {
		r.wantError(0, "get "+mine[0]+"\r\n")
		answered.Store(true)
	})
	<-asked
	r.want(0, "get "+theirs[0]+"\r\n", "VALUE "+theirs[0]+" 0 1\r\n1\r\nEND\r\n")
	if answered.Load() {
		t.Log("the machine was too slow to tell whether the other member's answer waited")
	}
	ended.Wait()
	got := r.ask(0, "get "+theirs[0]+" "+mine[0]+" "+theirs[1]+"\r\n")
	if rest, ok := strings.CutPrefix(got, "VALUE "+theirs[0]+" 0 1\r\n1\r\n"); !ok || !isError(rest) {
		t.Errorf("a line over both: got %q; want the value of the one and an error", got)
	}
}

// A member that can't be reached, or drops its clients at once, costs its own keys only, and serves
// again when it is well.
func TestMemberGoesDownAndComesBack(t *testing.T) {
	for _, test := range []struct {
		name  string
		serve func(n int, conn net.Conn, in *bufio.Reader)
	}{
		{"closes at once", func(int, net.Conn, *bufio.Reader) {}},
		{"too many connections", func(_ int, conn net.Conn, _ *bufio.Reader) {
			conn.Write([]byte("ERROR Too many open connections\r\n"))
		}},
		{"resets", func(_ int, conn net.Conn, _ *bufio.Reader) { conn.(*net.TCPConn).SetLinger(0) }},
		{"garbage", func(_ int, conn net.Conn, in *bufio.Reader) {
			in.ReadString('\n')
			conn.Write([]byte("garbage\r\n"))
		}},
		{"silent", func(_ int, conn net.Conn, _ *bufio.Reader) { untilClosed(conn) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			var well atomic.Bool
			address := startMember(t, well.Load, func(n int, conn net.Conn, in *bufio.Reader) {
				if well.Load() {
					serveNothing(conn, in)
				} else {
					test.serve(n, conn, in)
				}
			})
			other := startFake(t, nil)
			o := onePool(address, other.address())
			o.Pools[0].SoftErrors, o.Pools[0].Timeout = 3, 300*time.Millisecond
			r := run(t, o, 1)
			mine, theirs := r.keysOf(0, 1)[0], r.keysOf(1, 1)[0]
			r.want(0, "set "+theirs+" 0 0 1\r\n1\r\n", "STORED\r\n")
			for range 3 {
				r.wantError(0, "get "+mine+"\r\n")
				r.want(0, "get "+theirs+"\r\n", "VALUE "+theirs+" 0 1\r\n1\r\nEND\r\n")
			}
			await(t, "the member is down", func() bool { return r.state(0, 0) == "down" })
			if got := r.ask(0, "get "+mine+"\r\n"); !isError(got) || !strings.Contains(got, "down") {
				t.Errorf("got %q; want an error that says that the member is down", got)
			}
			well.Store(true)
			await(t, "the member is up", func() bool { return r.state(0, 0) == "up" })
			r.want(0, "get "+mine+"\r\n", allMissed)
		})
	}
}

// A member whose address refuses connections is down at the first try.
func TestMemberRefuses(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	other := startFake(t, nil)
	r := run(t, onePool(listener.Addr().String(), other.address()), 1)
	mine, theirs := r.keysOf(0, 1)[0], r.keysOf(1, 1)[0]
	r.wantError(0, "get "+mine+"\r\n")
	if got := r.state(0, 0); got != "down" {
		t.Errorf("the member is %s", got)
	}
	r.wantError(0, "set "+mine+" 0 0 1\r\n1\r\n")
	r.want(0, "get "+theirs+"\r\n", allMissed)
	if got := r.ask(0, "set "+mine+" 0 0 1 noreply\r\n1\r\nmn\r\n"); got != "MN\r\n" {
		t.Errorf("a set with noreply: got %q", got)
	}
	if got := r.ask(0, "mg "+mine+" v q\r\nmn\r\n"); !isError(strings.TrimSuffix(got, "MN\r\n")) {
		t.Errorf("a quiet mg: got %q; want the error", got)
	}
}

// What a member refuses in a line of many clients' keys is asked for again alone: the error is for
// those who asked for the bad key only.
func TestErrorInAMergedLine(t *testing.T) {
	for _, refusal := range []string{"SERVER_ERROR out of memory\r\n", "CLIENT_ERROR no\r\n", "ERROR\r\n"} {
		var lines atomic.Int32 // those of several keys
		address := startMember(t, nil, func(_ int, conn net.Conn, in *bufio.Reader) {
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				keys := strings.Fields(line)[1:]
				if len(keys) > 1 {
					lines.Add(1)
				}
				out := ""
				for _, key := range keys {
					if key == "bad" {
						out += refusal // after the values of the keys before it
						break
					}
					out += fmt.Sprintf("VALUE %s 0 %d\r\n%s\r\n", key, len(key), key)
				}
				if !strings.HasSuffix(out, refusal) {
					out += "END\r\n"
				}
				conn.Write([]byte(out))
			}
		})
		r := run(t, onePool(address), 1)
		r.want(0, "get a\r\nget bad\r\nget c\r\nget bad d\r\nget e\r\n",
			"VALUE a 0 1\r\na\r\nEND\r\n"+refusal+"VALUE c 0 1\r\nc\r\nEND\r\nVALUE d 0 1\r\nd\r\n"+refusal+"VALUE e 0 1\r\n"+
				"e\r\nEND\r\n")
		if lines.Load() == 0 {
			t.Error("nothing was merged")
		}
	}
}

// A member that reads nothing makes its clients' writes errors in time, and what waited for it is
// given back.
func TestMemberReadsNothing(t *testing.T) {
	release := make(chan struct{})
	deaf := startMember(t, nil, func(int, net.Conn, *bufio.Reader) { <-release })
	defer close(release)
	other := startFake(t, nil)
	o := onePool(deaf, other.address())
	r := run(t, o, 1)
	mine, theirs := r.keysOf(0, 1)[0], r.keysOf(1, 1)[0]
	request := fmt.Sprintf("set %s 0 0 1000000\r\n%s\r\n", mine, strings.Repeat("v", 1_000_000))
	var clients sync.WaitGroup
	for range 10 {
		clients.Go(func() { r.wantError(0, request) })
	}
	for range 10 {
		r.want(0, "get "+theirs+"\r\n", allMissed)
	}
	clients.Wait()
	r.wantPending(0)
}

// wantPending checks that the first member of the first pool owes n answers.
func (r *running) wantPending(n int) {
	r.t.Helper()
	if got := r.Pools()[0].Members[0].Pending; got != n {
		r.t.Errorf("%d requests are pending; want %d", got, n)
	}
}

// What is over the limit of requests in flight is refused at once.
func TestTooManyInFlight(t *testing.T) {
	release := make(chan struct{})
	address := startMember(t, nil, func(_ int, conn net.Conn, in *bufio.Reader) {
		<-release
		serveNothing(conn, in)
	})
	o := onePool(address)
	o.Pools[0].MaxInFlight = 10
	o.Pools[0].Timeout = patience
	r := run(t, o, 1)
	var first sync.WaitGroup
	first.Go(func() {
		got := r.ask(0, strings.Repeat("delete a\r\n", 12))
		want := strings.Repeat("NOT_FOUND\r\n", 10)
		if rest, ok := strings.CutPrefix(got, want); !ok || strings.Count(rest, "SERVER_ERROR ") != 2 {
			t.Errorf("got %q; want 10 answers and 2 errors", got)
		}
	})
	await(t, "the member owes ten answers", func() bool { return r.Pools()[0].Members[0].Pending == 10 })
	for range 5 {
		r.wantError(0, "get a\r\n") // and so before the others are answered
	}
	close(release)
	first.Wait()
	r.want(0, "get a\r\n", allMissed)
}

// What a member announces takes no memory before it comes.
func TestAnnouncedValue(t *testing.T) {
	announce := fmt.Sprintf("VALUE a 0 %d\r\n", upstream.MaxValueBytes)
	address := startMember(t, nil, func(_ int, conn net.Conn, in *bufio.Reader) {
		in.ReadString('\n')
		conn.Write([]byte(announce + strings.Repeat("v", 100_000)))
		untilClosed(conn)
	})
	o := onePool(address)
	o.Pools[0].Timeout = 50 * time.Millisecond
	r := run(t, o, 1)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r.wantError(0, "get a\r\n")
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 32<<20 {
		t.Errorf("%d bytes were allocated for a value of which 100,000 came", taken)
	}
}

// A large value in many pieces comes whole.
func TestLargeValue(t *testing.T) {
	value := strings.Repeat("0123456789abcdef", 5<<20/16)
	answer := fmt.Sprintf("VALUE a 0 %d\r\n%s\r\nEND\r\n", len(value), value)
	address := startMember(t, nil, func(_ int, conn net.Conn, in *bufio.Reader) {
		for {
			if _, err := in.ReadString('\n'); err != nil {
				return
			}
			conn.Write([]byte(answer))
		}
	})
	r := run(t, onePool(address), 1)
	if got := r.ask(0, "delete x\r\nget a\r\n"); isError(got) {
		t.Errorf("got %.80q", got)
	}
	for range 3 {
		if got := r.ask(0, "get a\r\n"); got != answer {
			t.Errorf("got %d bytes that begin with %.40q; want %d", len(got), got, len(answer))
		}
	}
}

// Reloads under load, with members that come and go, drop no request; members that are gone are
// left.
func TestReloadUnderLoad(t *testing.T) {
	for _, kind := range []route.PoolKind{route.Sharded, route.Replicated} {
		t.Run(string(kind), func(t *testing.T) {
			var members []*fakeMember
			var all []string
			for range 4 {
				m := startFake(t, nil)
				members, all = append(members, m), append(all, m.address())
			}
			options := func(addresses ...string) route.Options {
				o := onePool(addresses...)
				o.Pools[0].Kind = kind
				return o
			}
			r := run(t, options(all...), 2)
			end := make(chan struct{})
			var clients sync.WaitGroup
			for client := range 6 {
				clients.Go(func() { reloadClient(r, client, end) })
			}
			for i := range 60 {
				o := options(all[:1+i%4]...)
				if i%3 == 0 {
					o = options(all[0], all[1+i%3])
				}
				if i%5 == 0 {
					o.Pools[0].MaxInFlight = 1000 + i // treated otherwise, but the same member
				}
				if err := r.Reload(o); err != nil {
					t.Fatal(err)
				}
				await(t, "requests with the new pool", requestsAfter(r))
			}
			if err := r.Reload(options(all[0])); err != nil {
				t.Fatal(err)
			}
			close(end)
			clients.Wait()
			for i, m := range members[1:] {
				await(t, fmt.Sprintf("connections to member %d are closed", i+1), func() bool { return m.connections() == 0 })
			}
			r.want(0, "get none\r\n", allMissed)
		})
	}
}

// requestsAfter reports, when called later, whether some requests have been sent since.
func requestsAfter(r *running) func() bool {
	sent := func() (n int64) {
		for _, m := range r.Pools()[0].Members {
			n += m.Requests
		}
		return n
	}
	before := sent()
	return func() bool { return sent() > before+5 }
}

// reloadClient asks until the end, and takes no error.
func reloadClient(r *running, client int, end chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-end:
			return
		default:
		}
		key := fmt.Sprintf("k%d-%d", client, i%50)
		got := r.ask((client+i)%len(r.loops), fmt.Sprintf("set %s 0 0 1\r\n1\r\nget %s other\r\ndelete %s\r\n", key, key,
			key))
		for _, line := range strings.SplitAfter(got, "\r\n") {
			if isError(line) {
				r.t.Errorf("%s", line)
				return
			}
		}
		if !strings.HasPrefix(got, "STORED\r\n") || strings.Count(got, "END\r\n") != 1 {
			r.t.Errorf("got %q", got)
		}
	}
}

func (f *fakeMember) connections() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.conns)
}

// After Close nothing of the router is left: no goroutine, and no connection.
func TestCloseLeavesNothing(t *testing.T) {
	for _, kind := range []route.PoolKind{route.Sharded, route.Replicated} {
		var members []*fakeMember
		for range 2 {
			members = append(members, startFake(t, nil))
		}
		before := runtime.NumGoroutine()
		t.Run(string(kind), func(t *testing.T) {
			o := onePool(members[0].address(), members[1].address(), "127.0.0.1:1") // where nobody listens: it is probed
			o.Pools[0].Kind = kind
			r := run(t, o, 2)
			for i := range 100 {
				r.ask(i%2, fmt.Sprintf("set k%d 0 0 1\r\n1\r\nget k%d\r\n", i, i))
			}
			for i, m := range members {
				if m.connections() == 0 {
					t.Errorf("member %d has no connection: this shows nothing", i)
				}
			}
		})
		for i, m := range members {
			await(t, fmt.Sprintf("connections to member %d are closed", i), func() bool { return m.connections() == 0 })
		}
		await(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before })
	}
}
