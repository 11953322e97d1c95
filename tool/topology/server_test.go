package topology

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/mc"
)

// askedServer returns a server whose connection may break so often.
func askedServer(address string, breaks int) *server {
	return &server{address: address, timeout: 10 * time.Second, breaks: breaks, operations: new(atomic.Int64)}
}

// numbered returns gets of n keys, which their values repeat.
func numbered(n int) (keys []*key) {
	for i := range n {
		keys = append(keys, &key{name: fmt.Appendf(nil, "key%d", i)})
	}
	return keys
}

func echo(q line) string { return fmt.Sprintf("VALUE %s 0 %d\r\n%s\r\nEND", q.key, len(q.key), q.key) }

// A connection that breaks costs the answer that was awaited, and no other: the requests after it
// are sent again over a new connection, until too many have broken.
func TestBreaksAgainstModel(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 0))
		n, breaks := 1+r.IntN(100), r.IntN(4)
		bad := map[string]bool{}
		for range r.IntN(6) {
			bad[fmt.Sprint("key", r.IntN(n))] = true
		}
		address := serve(t, func(q line) string {
			if bad[q.key] {
				return hangUp
			}
			return echo(q)
		})
		s := askedServer(address, breaks)
		keys := numbered(n)
		answers := s.ask(t.Context(), requests(keys, get))
		broken := 0
		for i, a := range answers {
			name := string(keys[i].name)
			if broken > breaks || bad[name] {
				if a.err == nil || a.found {
					t.Errorf("seed %d, %d breaks: %s: got %+v; want an error", seed, breaks, name, a)
				}
				if broken <= breaks {
					broken++
				}
				continue
			}
			if !a.ok() || !a.found || string(a.value) != name {
				t.Errorf("seed %d, %d breaks: %s: got %+v; want its value", seed, breaks, name, a)
			}
		}
		s.close()
	}
}

// Answers are understood in whatever pieces they arrive.
func TestAnswersInPieces(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		byByte := pieces{conn}
		serveConn(byByte, echo)
	}()
	s := askedServer(l.Addr().String(), 0)
	keys := numbered(50)
	for i, a := range s.ask(t.Context(), requests(keys, get)) {
		if !a.ok() || string(a.value) != string(keys[i].name) {
			t.Errorf("%s: got %+v; want its value", keys[i].name, a)
		}
	}
	if got := s.operations.Load(); got != 50 {
		t.Errorf("got %d operations; want 50", got)
	}
	s.close()
	<-ended
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

// What a server may answer to each request, and how that is understood.
func TestAnswersToEachRequest(t *testing.T) {
	long := strings.Repeat("v", maxValueBytes+1)
	for _, c := range []struct {
		op, answer string
		want       string // found, no, a refusal, or an error's beginning
	}{
		{"get", "VALUE k 0 1\r\nv\r\nEND", "found"}, {"get", "END", "no"},
		{"get", "SERVER_ERROR busy", "SERVER_ERROR busy"}, {"get", "CLIENT_ERROR bad", "CLIENT_ERROR bad"},
		{"get", "ERROR", "ERROR"},
		{"get", "VALUE k 0 " + fmt.Sprint(len(long)) + "\r\n" + long + "\r\nEND",
			"error: answers a get with a value of 65537 bytes"},
		{"get", "STORED", `error: answers a get with "STORED"`},
		{"get", "VALUE k 0 1\r\nvv\r\nEND", `error: answers a get with "v"`},
		{"get", hangUp, "error: closes the connection"},
		{"get", "", `error: answers a get with ""`},
		{"set", "STORED", "found"}, {"set", "NOT_STORED", "NOT_STORED"}, {"set", "SERVER_ERROR full", "SERVER_ERROR full"},
		{"set", "ERROR", `error: answers a set with "ERROR"`}, {"set", "END", `error: answers a set with "END"`},
		{"set", "DELETED", `error: answers a set with "DELETED"`},
		{"delete", "DELETED", "found"}, {"delete", "NOT_FOUND", "no"}, {"delete", "ERROR", "ERROR"},
		{"delete", "STORED", `error: answers a delete with "STORED"`},
		{"delete", "CLIENT_ERROR no deletes", "CLIENT_ERROR no deletes"},
	} {
		s := askedServer(serve(t, always(c.answer)), 0)
		k := &key{name: []byte("k")}
		r := run{ttl: time.Minute}
		request := map[string]mc.Request{"get": get(k), "set": r.set(k, []byte("v")), "delete": remove(k)}[c.op]
		a := s.ask(t.Context(), []mc.Request{request})[0]
		got := "no"
		switch {
		case a.err != nil:
			got = "error: " + a.err.Error()
		case a.refusal != "":
			got = a.refusal
		case a.found:
			got = "found"
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s, %.40q: got %s; want %s", c.op, c.answer, got, c.want)
		}
		s.close()
	}
}

// A server that is silent costs the timeout once for each connection that may break, and then no
// more.
func TestSilentServerIsGivenUp(t *testing.T) {
	requestsSeen := atomic.Int64{}
	s := askedServer(serve(t, func(line) string { requestsSeen.Add(1); return silence }), 1)
	s.timeout = 50 * time.Millisecond
	for round := range 3 {
		for i, a := range s.ask(t.Context(), requests(numbered(100), get)) {
			if a.err == nil || a.err.Error() != "no answer within 50ms" {
				t.Fatalf("round %d, request %d: got %+v; want no answer", round, i, a)
			}
		}
	}
	if got := requestsSeen.Load(); got != 2 {
		t.Errorf("got %d connections; want 2", got)
	}
}

// A report is printed with columns aligned, whatever the cells.
func TestTablesAreAligned(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 0))
	for range 500 {
		width, left := 2+r.IntN(4), 1
		var table [][]string
		for range 1 + r.IntN(6) {
			var row []string
			for range width {
				row = append(row, strings.Repeat([]string{"x", "é", "7"}[r.IntN(3)], 1+r.IntN(9)))
			}
			table = append(table, row)
		}
		short := []string{"y", strings.Repeat("z", 60)}
		if r.IntN(2) == 0 && width > 2 {
			table = append(table, short)
		}
		var out strings.Builder
		printTable(&out, table, left)
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if len(lines) != len(table) {
			t.Fatalf("got %d lines; want %d", len(lines), len(table))
		}
		for i, line := range lines {
			if got := strings.Fields(line); strings.Join(got, " ") != strings.Join(table[i], " ") {
				t.Fatalf("got %q; want the cells %q", line, table[i])
			}
			if len(table[i]) < width {
				continue
			}
			if got, want := len([]rune(line)), len([]rune(lines[0])); got != want {
				t.Fatalf("got a line of %d characters, the first has %d:\n%s", got, want, out.String())
			}
		}
	}
	if err := Print(failingWriter{}, Report{}); err != io.ErrShortWrite {
		t.Errorf("got %v; want the writer's error", err)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
