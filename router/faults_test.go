package router

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/route"
)

// startMember starts one that does with each connection, which is the n-th from 0 on, what serve
// does. A probe is answered without it as long as well says so; nil is always.
func startMember(t testing.TB, well func() bool, serve func(n int, conn net.Conn, in *bufio.Reader)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex // guards conns
	var conns []net.Conn
	var served atomic.Int32
	var ended sync.WaitGroup
	ended.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			ended.Go(func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				if well == nil || well() {
					if first, err := in.Peek(1); err == nil && first[0] == 'v' { // version
						conn.Write([]byte("VERSION fake\r\n"))
						return
					}
				}
				serve(int(served.Add(1))-1, conn, in)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		ended.Wait()
	})
	return listener.Addr().String()
}

// saying is a serve that says this to the first request of its first connections, and then behaves
// as a cache that holds nothing.
func saying(first string, connections int, then func(conn net.Conn)) func(int, net.Conn, *bufio.Reader) {
	return func(n int, conn net.Conn, in *bufio.Reader) {
		if n >= connections {
			serveNothing(conn, in)
			return
		}
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
		conn.Write([]byte(first))
		then(conn)
	}
}

// serveNothing answers each line as a cache that holds nothing.
func serveNothing(conn net.Conn, in *bufio.Reader) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		answer := "END\r\n"
		switch strings.Fields(line)[0] {
		case "mg":
			answer = "EN\r\n"
		case "md":
			answer = "NF\r\n"
		case "delete", "incr", "touch":
			answer = "NOT_FOUND\r\n"
		}
		conn.Write([]byte(answer))
	}
}

// untilClosed waits for the router's end.
func untilClosed(conn net.Conn) {
	for buffer := make([]byte, 1024); ; {
		if _, err := conn.Read(buffer); err != nil {
			return
		}
	}
}

// onePool are the options of a pool that tries failed members soon, and is patient with them.
func onePool(addresses ...string) route.Options {
	p := route.Pool{Name: "p", Timeout: time.Second, ProbeMin: time.Millisecond, ProbeMax: 5 * time.Millisecond,
		SoftErrors: 1000}
	for _, a := range addresses {
		p.Members = append(p.Members, route.Member{Address: a})
	}
	return route.Options{Pools: []route.Pool{p}}
}

// isError reports whether the answer is one SERVER_ERROR line.
func isError(answer string) bool {
	return strings.HasPrefix(answer, "SERVER_ERROR ") && strings.Index(answer, "\r\n") == len(answer)-2 &&
		strings.Count(answer, "\n") == 1
}

// wantError checks that requests are answered with one SERVER_ERROR.
func (r *running) wantError(lane int, requests string) {
	r.t.Helper()
	if got := r.ask(lane, requests); !isError(got) {
		r.t.Errorf("%.60q: got %.200q; want a SERVER_ERROR", requests, got)
	}
}

// keysOf are n keys that belong to the member of the first pool.
func (r *running) keysOf(member, n int) []string {
	s := r.tree.Load().pools[0].route.(*sharded)
	var keys []string
	for i := 0; len(keys) < n; i++ {
		if key := fmt.Sprintf("key%d", i); s.ring.Owner([]byte(key)) == member {
			keys = append(keys, key)
		}
	}
	return keys
}

// A member that closes within its answer: what came whole is given, the rest of the line is an
// error.
func TestMemberClosesWithinAnAnswer(t *testing.T) {
	const a, b, c = "VALUE a 0 2\r\naa\r\n", "VALUE b 0 2\r\n\r\n\r\n", "VALUE c 7 0\r\n\r\n"
	whole := a + b + c + "END\r\n"
	for cut := range len(whole) {
		address := startMember(t, nil, saying(whole[:cut], 1, func(net.Conn) {}))
		r := run(t, onePool(address), 1)
		values := ""
		for _, value := range []string{a, b} {
			if len(values)+len(value) <= cut {
				values += value
			}
		}
		got := r.ask(0, "get a b c\r\n")
		if rest, ok := strings.CutPrefix(got, values); !ok || !isError(rest) {
			t.Errorf("cut after %q: got %q; want %q and an error", whole[:cut], got, values)
		}
		r.want(0, "get a\r\n", "END\r\n")
	}
}

// The same with requests of several kinds in line: each gets its own answer or an error.
func TestMemberClosesWithinAnswers(t *testing.T) {
	answers := []string{"STORED\r\n", "VALUE a 0 1 77\r\n1\r\nEND\r\n", "VA 1 k Ox\r\n1\r\n", "8\r\n", "DELETED\r\n",
		"HD Oy\r\n"}
	const requests = "set a 0 0 1\r\n1\r\ngets a\r\nmg a v k Ox\r\nincr n 1\r\ndelete a\r\nmd a Oy\r\n"
	whole := strings.Join(answers, "")
	for cut := range len(whole) {
		address := startMember(t, nil, saying(whole[:cut], 1, func(net.Conn) {}))
		r := run(t, onePool(address), 1)
		got, come := r.ask(0, requests), 0
		for i, answer := range answers {
			come += len(answer)
			line, rest, _ := strings.Cut(got, "\n")
			switch {
			case strings.HasPrefix(got, answer) && cut >= come:
				got = got[len(answer):]
			case cut < come && isError(line+"\n"):
				got = rest
			case i == 1 && cut >= come-len("END\r\n") && cut < come &&
				strings.HasPrefix(got, answer[:len(answer)-len("END\r\n")]):
				t.Errorf("cut after %q: a value without its END was given", whole[:cut])
			default:
				t.Fatalf("cut after %q: answer %d is %q", whole[:cut], i, got)
			}
		}
		if got != "" {
			t.Errorf("cut after %q: %q is too much", whole[:cut], got)
		}
	}
}

// tooLong is a length that no line of an answer has.
const tooLong = 16<<10 + 1

// What can't be an answer to the request breaks the connection and is an error for its client
// alone.
func TestGarbage(t *testing.T) {
	for _, test := range []struct {
		request string
		answers []string
	}{
		{"get a\r\n", []string{
			"\r\n", "\n", "END\n", "\x00\x01\x02\r\n", "STORED\r\n", "HD\r\n", "7\r\n", "OK\r\n",
			"HTTP/1.1 400 Bad Request\r\n\r\n",
			"ERROR Too many open connections\r\n", "SERVER_ERRORS\r\n", "CLIENT_ERROR:\r\n", "VALUE\r\n", "VALUE \r\n",
			"VALUE a\r\n", "VALUE a 0\r\n", "VALUE a 0 \r\n",
			"VALUE a x 1\r\n1\r\nEND\r\n", "VALUE a 0 x\r\n1\r\nEND\r\n", "VALUE a 0 -1\r\n", "VALUE a 0 1\n1\r\nEND\r\n",
			"VALUE a 0 1 7\r\n1\r\nEND\r\n",
			"VALUE a 0 1x\r\n1\r\nEND\r\n", "VALUE a 0 1\r\n12\r\nEND\r\n", "VALUE a 0 3\r\n1\r\nEND\r\n",
			"VALUE a 0 0\r\n1\r\nEND\r\n",
			"VALUE b 0 1\r\n1\r\nEND\r\n", "VALUE a 0 1\r\n1\r\nVALUE a 0 1\r\n1\r\nEND\r\n", "VALUE a 0 1\r\n1\r\nSTORED\r\n",
			"VALUE a 0 2147483648\r\n", "VALUE a 0 9223372036854775807\r\n", "VALUE a 0 9999999999999999999\r\n1\r\nEND\r\n",
			"VALUE a 0 18446744073709551617\r\n1\r\nEND\r\n", "VALUE a 0 99999999999999999999999999\r\n1\r\nEND\r\n",
			"value a 0 1\r\n1\r\nEND\r\n", strings.Repeat("x", tooLong),
			"VALUE " + strings.Repeat("a", tooLong) + " 0 1\r\n",
		}},
		{"gets a\r\n", []string{"VALUE a 0 1\r\n1\r\nEND\r\n", "VALUE a 0 1 x\r\n1\r\nEND\r\n",
			"VALUE a 0 1 7 7\r\n1\r\nEND\r\n"}},
		{"delete a\r\n", []string{"STORED\r\n", "TOUCHED\r\n", "OK\r\n", "7\r\n", "END\r\n", "HD\r\n",
			"VALUE a 0 1\r\n1\r\nEND\r\n", "\n\r"}},
		{"touch a 1\r\n", []string{"STORED\r\n", "DELETED\r\n", "7\r\n"}},
		{"incr a 1\r\n", []string{"STORED\r\n", "DELETED\r\n", "x\r\n", "-1\r\n", "1 x\r\n", "\r\n\r\n",
			"99999999999999999999999\r\n"}},
		{"mg a v\r\n", []string{
			"VALUE a 0 1\r\n1\r\nEND\r\n", "END\r\n", "STORED\r\n", "MN\r\n", "VA\r\n", "VA x\r\n", "VA -1\r\n",
			"VA 1x\r\n1\r\n", "VA 1\n1\r\n",
			"VA 4294967296\r\n", "VA 99999999999999999999\r\n1\r\n", "VA 1\r\n12\r\n", "VA 2\r\n1\r\nEN\r\n", "HDx\r\n",
			"ZZ\r\n", "NS\r\n",
		}},
		{"md a\r\n", []string{"EN\r\n", "DELETED\r\n", "VA 1\r\n1\r\n", "NS\r\n"}},
	} {
		for _, answer := range test.answers {
			address := startMember(t, nil, saying(answer, 1, untilClosed))
			o := onePool(address)
			o.Pools[0].Timeout = 300 * time.Millisecond
			r := run(t, o, 1)
			if got := r.ask(0, test.request); !isError(got) {
				t.Errorf("%q, answered with %.60q: got %.80q; want a SERVER_ERROR", test.request, answer, got)
			}
			if got := r.ask(0, test.request); isError(got) {
				t.Errorf("%q after %.60q: got %q; want an answer", test.request, answer, got)
			}
		}
	}
}

// What a member says beyond its answer is nobody's, whether the next request stands in line or not.
func TestAnswersTooMuch(t *testing.T) {
	for _, extra := range []string{"END\r\n", "VALUE b 0 5\r\nwrong\r\nEND\r\n", "SERVER_ERROR wrong\r\n", "x",
		"VALUE b 0 5\r\nwr"} {
		more, sent := make(chan struct{}), make(chan struct{})
		address := startMember(t, nil, func(n int, conn net.Conn, in *bufio.Reader) {
			if n > 0 {
				startedFake(conn, in, map[string]string{"b": "right"})
				return
			}
			in.ReadString('\n')
			conn.Write([]byte("VALUE a 0 1\r\n1\r\nEND\r\n"))
			<-more
			conn.Write([]byte(extra))
			close(sent)
			untilClosed(conn)
		})
		r := run(t, onePool(address), 1)
		r.want(0, "get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n")
		// 1. The loop is held. 2. The member says too much. 3. The loop gets a request in line. 4. It
		// reads what the member has said, and only then would write the request.
		r.loops[0].Post(func() { close(more); <-sent })
		r.want(0, "get b\r\n", "VALUE b 0 5\r\nright\r\nEND\r\n")
	}
}

// startedFake answers gets from items.
func startedFake(conn net.Conn, in *bufio.Reader, items map[string]string) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		out := ""
		for _, key := range strings.Fields(line)[1:] {
			if value, ok := items[key]; ok {
				out += fmt.Sprintf("VALUE %s 0 %d\r\n%s\r\n", key, len(value), value)
			}
		}
		conn.Write([]byte(out + "END\r\n"))
	}
}

// Extra lines together with the answer break the connection too.
func TestAnswersTooMuchAtOnce(t *testing.T) {
	address := startMember(t, nil, saying("VALUE a 0 1\r\n1\r\nEND\r\nEND\r\n", 1, untilClosed))
	r := run(t, onePool(address), 1)
	r.want(0, "get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n")
	r.want(0, "get a\r\nget b\r\n", "END\r\nEND\r\n")
}

// An idle connection that the member closes costs no request its answer.
func TestIdleConnectionIsClosed(t *testing.T) {
	for range 20 {
		end, ended := make(chan struct{}), make(chan struct{})
		address := startMember(t, nil, func(n int, conn net.Conn, in *bufio.Reader) {
			if n > 0 {
				serveNothing(conn, in)
				return
			}
			in.ReadString('\n')
			conn.Write([]byte("END\r\n"))
			<-end
			conn.Close()
			close(ended)
		})
		r := run(t, onePool(address), 1)
		r.want(0, "get a\r\n", "END\r\n")
		r.loops[0].Post(func() { close(end); <-ended })
		r.want(0, "get a\r\n", "END\r\n")
	}
}
