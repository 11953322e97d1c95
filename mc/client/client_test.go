package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/mc"
)

// A scripted connection returns its answers, whatever is written to it.
type scripted struct {
	net.Conn           // nil: what a test needs is below
	answers  io.Reader // then io.EOF
	sent     bytes.Buffer
	refuse   error // of each write
}

func (s *scripted) Read(p []byte) (int, error) { return s.answers.Read(p) }

func (s *scripted) Write(p []byte) (int, error) {
	if s.refuse != nil {
		return 0, s.refuse
	}
	return s.sent.Write(p)
}

func connTo(answers string) *Conn { return New(&scripted{answers: strings.NewReader(answers)}) }

func TestReadGet(t *testing.T) {
	for _, c := range []struct{ what, answer, want string }{
		{"a hit", "VALUE k 0 5\r\nhello\r\nEND\r\n", `VALUE "hello"`},
		{"a hit of gets", "VALUE k 7 5 99\r\nhello\r\nEND\r\n", `VALUE "hello"`},
		{"an empty value", "VALUE k 0 0\r\n\r\nEND\r\n", `VALUE ""`},
		{"a value with line ends", "VALUE k 0 6\r\nEND\r\n\n\r\nEND\r\n", `VALUE "END\r\n\n"`},
		{"a value above the limit", "VALUE k 0 11\r\nhello world\r\nEND\r\n", "VALUE skipped"},
		{"a miss", "END\r\n", "END"},
		{"lines that end in \\n alone", "VALUE k 0 1\na\nEND\n", `VALUE "a"`},
		{"a refusal", "SERVER_ERROR out of memory\r\n", "SERVER_ERROR"},
		{"an unknown command", "ERROR\r\n", "ERROR"},
		{"another command's answer", "STORED\r\n", `unexpected answer to a get: "STORED"`},
		{"another key", "VALUE kk 0 1\r\na\r\nEND\r\n", `unexpected answer to a get, for another key: "VALUE kk 0 1"`},
		{"two values", "VALUE k 0 1\r\na\r\nVALUE k 0 1\r\na\r\nEND\r\n",
			`unexpected answer to a get, after the value: "VALUE k 0 1"`},
		{"a value longer than it says", "VALUE k 0 1\r\nab\r\nEND\r\n", `unexpected answer to a get, after the value: "b"`},
		{"a value shorter than it says", "VALUE k 0 3\r\na\r\nEND\r\n", `unexpected answer to a get, after the value: "END"`},
		{"no length", "VALUE k 0\r\n", `unexpected answer to a get: "VALUE k 0"`},
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n", `unexpected answer to a get: "HTTP/1.1 400 Bad Request"`},
		{"a cut line", "VALUE k 0 ", ErrClosed.Error()},
		{"a cut value", "VALUE k 0 5\r\nhel", ErrClosed.Error()},
		{"a cut end", "VALUE k 0 5\r\nhello\r\n", ErrClosed.Error()},
		{"a cut value above the limit", "VALUE k 0 2000000000\r\nhel", ErrClosed.Error()},
		{"nothing", "", ErrClosed.Error()},
	} {
		a, value, err := connTo(c.answer).ReadGet([]byte("k"), 10)
		got := a.Kind.String()
		switch {
		case err != nil:
			got = err.Error()
		case a.Kind == mc.AnswerValue && value == nil:
			got += " skipped"
		case a.Kind == mc.AnswerValue:
			got += fmt.Sprintf(" %q", value)
		}
		if got != c.want {
			t.Errorf("%s: got %s; want %s", c.what, got, c.want)
		}
	}
}

// TestPipeline checks that answers are read in the order of the requests, and that each call reads
// only its own.
func TestPipeline(t *testing.T) {
	s := &scripted{answers: strings.NewReader("STORED\r\n" +
		"VALUE k 0 1\r\na\r\nEND\r\nVALUE k 0 3\r\nabc\r\nEND\r\nDELETED\r\nVERSION 1\r\n")}
	c := New(s)
	c.Add(&mc.Request{Op: mc.Set, Key: []byte("k"), Value: []byte("a"), Exptime: 60})
	c.Add(&mc.Request{Op: mc.Get, Key: []byte("k"), Last: true})
	c.Write([]byte("get k\r\n"))
	c.Add(&mc.Request{Op: mc.Delete, Key: []byte("k")})
	c.Add(&mc.Request{Op: mc.Version})
	if s.sent.Len() != 0 {
		t.Errorf("sent %q before Flush; want nothing", s.sent.String())
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	if want := "set k 0 60 1\r\na\r\nget k\r\nget k\r\ndelete k\r\nversion\r\n"; s.sent.String() != want {
		t.Errorf("sent %q; want %q", s.sent.String(), want)
	}
	stored, err1 := c.Read("set")
	_, value, err2 := c.ReadGet([]byte("k"), 1)
	_, skipped, err3 := c.ReadGet([]byte("k"), -1)
	deleted, err4 := c.Read("delete")
	line, err5 := c.ReadLine()
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		t.Fatal(err)
	}
	if stored.Kind != mc.AnswerStored || string(value) != "a" || skipped != nil || deleted.Kind != mc.AnswerDeleted ||
		string(line) != "VERSION 1" {
		t.Errorf("got %s, %q, %q, %s, %q", stored.Kind, value, skipped, deleted.Kind, line)
	}
	if _, err := c.Read("get"); !errors.Is(err, ErrClosed) {
		t.Errorf("behind the last answer: got %v; want %v", err, ErrClosed)
	}
}

// TestLongLines checks the exact limit of a line, also of a line that doesn't fit in the buffer.
func TestLongLines(t *testing.T) {
	for _, c := range []struct {
		bytes   int
		end     string
		endless bool
	}{
		{MaxLineBytes, "\r\n", false}, {MaxLineBytes + 1, "\r\n", true}, {bufferBytes, "\r\n", true},
		{3 * bufferBytes, "", true},
	} {
		line, err := connTo(strings.Repeat("x", c.bytes) + c.end).ReadLine()
		unexpected, _ := errors.AsType[*UnexpectedError](err)
		switch {
		case !c.endless && (err != nil || len(line) != c.bytes):
			t.Errorf("%d bytes: got %d, %v; want the line", c.bytes, len(line), err)
		case c.endless && (unexpected == nil || !unexpected.Endless || len(unexpected.Line) != maxQuotedBytes):
			t.Errorf("%d bytes: got %v; want that it has no end", c.bytes, err)
		}
	}
}

// TestRefusedConnection: a server sends the reason and closes the connection before it reads.
func TestRefusedConnection(t *testing.T) {
	for answer, want := range map[string]string{
		"ERROR Too many open connections\r\n": `unexpected answer to a request: "ERROR Too many open connections"`,
		"":                                    ErrClosed.Error(),
	} {
		c := New(&scripted{answers: strings.NewReader(answer), refuse: &net.OpError{Op: "write", Err: syscall.EPIPE}})
		c.Add(&mc.Request{Op: mc.Get, Key: []byte("k"), Last: true})
		c.Write(make([]byte, 2*bufferBytes)) // written at once: its error waits for Flush
		if err := c.Flush(); err == nil || err.Error() != want {
			t.Errorf("got %v; want %s", err, want)
		}
	}
}

// listen accepts one connection, and closes it at the test's end.
func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		if conn, err := l.Accept(); err == nil {
			defer conn.Close()
			io.Copy(conn, conn) // until the other end closes
		}
	}()
	t.Cleanup(func() { l.Close(); <-accepted })
	return l
}

// TestDial connects to a server that repeats its input, over TCP and over a Unix socket.
func TestDial(t *testing.T) {
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "socket")} {
		l := listen(t, network, address)
		c, err := Dial(t.Context(), l.Addr().String(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte("NOT_FOUND\r\n"))
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		if a, err := c.Read("delete"); err != nil || a.Kind != mc.AnswerNotFound {
			t.Errorf("%s: got %s, %v; want %s", network, a.Kind, err, mc.AnswerNotFound)
		}
		c.SetDeadline(time.Unix(1, 0))
		if _, err := c.Read("get"); !errors.Is(err, ErrTimeout) {
			t.Errorf("%s, after the deadline: got %v; want %v", network, err, ErrTimeout)
		}
		c.Close()
		if _, err := c.Read("get"); !errors.Is(err, net.ErrClosed) || strings.Contains(err.Error(), l.Addr().String()) {
			t.Errorf("%s, closed: got %v; want %v", network, err, net.ErrClosed)
		}
	}
}

func TestDialFails(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	if _, err := Dial(t.Context(), missing, time.Minute); !errors.Is(err, syscall.ENOENT) ||
		strings.Contains(err.Error(), missing) {
		t.Errorf("got %v; want %v, without the path", err, syscall.ENOENT)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dial(ctx, "127.0.0.1:1", time.Minute); err == nil {
		t.Error("got a connection although the context has ended")
	}
}

func TestAddress(t *testing.T) {
	for server, want := range map[string]string{
		"host": "host:11211", "host:1": "host:1", "127.0.0.1": "127.0.0.1:11211", "::1": "[::1]:11211",
		"[::1]":   "[::1]:11211",
		"[::1]:1": "[::1]:1", "/run/socket": "/run/socket", "./socket:1": "./socket:1", "": ":11211",
	} {
		if got := Address(server); got != want || Address(got) != want {
			t.Errorf("%q: got %q; want %q, also of that", server, got, want)
		}
	}
}

// FuzzReadGet checks that for any bytes from a server nothing panics, a value is of the key and
// within the limit, and reading ends.
func FuzzReadGet(f *testing.F) {
	for _, s := range []string{
		"VALUE k 0 5\r\nhello\r\nEND\r\n", "VALUE k 0 2147483645\r\n", "END\r\nEND\r\n", "SERVER_ERROR \r\n", "\n\n\n",
		"VALUE k 0 0\r\n\r\nEND\r\nVALUE k 0 1 1\r\na\r\nEND\r\n", "VALUE k 0 1\r\n\r\n\r\n", "STAT a b\r\n",
		"\x00\x80\xff\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answers []byte) {
		const keepBytes = 8
		c := New(&scripted{answers: bytes.NewReader(answers)})
		for n := 0; ; n++ {
			a, value, err := c.ReadGet([]byte("k"), keepBytes)
			switch {
			case err != nil:
				return
			case n > len(answers):
				t.Fatalf("%d answers in %d bytes", n, len(answers))
			case len(value) > keepBytes, a.Kind == mc.AnswerValue && string(a.Key) != "k",
				value != nil && len(value) != a.ValueBytes, a.Kind != mc.AnswerValue && value != nil:
				t.Fatalf("got %s of %q with %q", a.Kind, a.Key, value)
			}
		}
	})
}

// A pieces reader returns its bytes in pieces of random length.
type pieces struct {
	rest []byte
	r    *rand.Rand
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.rest[:1+p.r.IntN(min(len(p.rest), 1+p.r.IntN(9000)))])
	p.rest = p.rest[n:]
	return n, nil
}

// TestAnswersInPieces reads random answers that arrive in pieces, to the end, or to where the
// server closes the connection: each answer is the one that was sent, until the first that isn't
// whole.
func TestAnswersInPieces(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	const keepBytes = 3000
	for range 500 {
		var sent []byte
		var want []string
		var ends []int
		for i := range 1 + r.IntN(30) {
			switch r.IntN(4) {
			case 0:
				sent = append(sent, "END\r\n"...)
				want = append(want, "END")
			case 1:
				sent = mc.AppendServerError(sent, fmt.Sprint("refused ", i))
				want = append(want, fmt.Sprint("SERVER_ERROR refused ", i))
			default:
				size := []int{r.IntN(20), keepBytes + r.IntN(2), r.IntN(2 * keepBytes), r.IntN(150_000)}[r.IntN(4)]
				value := bytes.Repeat([]byte("a\r\nEND\r\n"), 20_000)[:size]
				sent = append(append(mc.AppendValue(sent, []byte("k"), uint32(i), len(value)), value...), "\r\nEND\r\n"...)
				want = append(want, fmt.Sprintf("VALUE flags %d bytes %d kept %v", i, len(value), len(value) <= keepBytes))
			}
			ends = append(ends, len(sent))
		}
		cut := len(sent)
		if r.IntN(2) == 0 {
			cut = r.IntN(len(sent))
		}
		c := New(&scripted{answers: &pieces{sent[:cut], r}})
		for i := range want {
			a, value, err := c.ReadGet([]byte("k"), keepBytes)
			if cut < ends[i] {
				if !errors.Is(err, ErrClosed) {
					t.Fatalf("seed %d: answer %d of %d bytes, cut at %d: got %v; want %v", seed, i, ends[i], cut, err, ErrClosed)
				}
				break
			}
			if err != nil {
				t.Fatalf("seed %d: answer %d: %v", seed, i, err)
			}
			got := a.Text()
			if a.Kind == mc.AnswerValue {
				got = fmt.Sprintf("VALUE flags %d bytes %d kept %v", a.ClientFlags, a.ValueBytes, value != nil)
			}
			if got != want[i] || value != nil && len(value) != a.ValueBytes {
				t.Fatalf("seed %d: answer %d: got %s; want %s", seed, i, got, want[i])
			}
		}
	}
}
