package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHoldfast plays the scripts against Holdfast.
func TestHoldfast(t *testing.T) {
	playAll(t, holdfast(t))
}

// TestMemcached plays the scripts against real memcached, which shows that their expectations of it
// hold.
func TestMemcached(t *testing.T) {
	playAll(t, memcached(t, find(t, "memcached")))
}

// TestOtherMemcached plays the scripts against another memcached, named by its path.
func TestOtherMemcached(t *testing.T) {
	path := os.Getenv("HOLDFAST_WIRE_MEMCACHED")
	if path == "" {
		t.Skip("HOLDFAST_WIRE_MEMCACHED names no memcached")
	}
	playAll(t, memcached(t, path))
}

func playAll(t *testing.T, p *peer) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("scripts: %v, %v", files, err)
	}
	for _, file := range files {
		s, err := readScript(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			server := start(t, p, s.flags...)
			for _, c := range s.cases {
				t.Run(c.name, func(t *testing.T) {
					if !c.when.holds(p) {
						t.Skipf("not for %v", p)
					}
					if !s.keep {
						flush(t, server)
					}
					pl := &player{t: t, peer: p, server: server, file: file, vars: vars{}}
					pl.play(c)
				})
			}
		})
	}
}

func flush(t *testing.T, server *process) {
	t.Helper()
	c := dial(t, server)
	if _, err := c.Write([]byte("flush_all\r\n")); err != nil {
		t.Fatal(err)
	}
	if answer := make([]byte, 4); readFull(c, answer) != nil || string(answer) != "OK\r\n" {
		t.Fatalf("flush_all: got %q; want OK", answer)
	}
}

func readFull(c net.Conn, b []byte) error {
	_, err := io.ReadFull(c, b)
	return err
}

func dial(t *testing.T, server *process) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", server.addr)
	if err != nil {
		t.Fatalf("%v\n%s", err, server.stderr.String())
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// A player plays one case.
type player struct {
	t      *testing.T
	peer   *peer
	server *process
	file   string
	vars   vars
	conns  [3]*side // by the connection's number; 0 stays unused
	sent   []byte   // the last bytes sent, for the failure's message
}

// A side is one connection.
type side struct {
	net.Conn
	got    []byte // received, and not matched yet
	closed bool
}

func (pl *player) play(c scriptCase) {
	var asked, again *step
	for i := range c.steps {
		st := &c.steps[i]
		if !st.when.holds(pl.peer) {
			continue
		}
		switch st.kind {
		case send:
			pl.send(st)
		case poll:
			asked = st
		case while:
			again = st
		case expect:
			if asked != nil {
				pl.poll(asked, again, st)
				asked, again = nil, nil
				continue
			}
			pl.expect(st)
		case closed:
			pl.expectClosed(st)
		}
	}
	pl.probe(c)
}

func (pl *player) side(n int) *side {
	if pl.conns[n] == nil {
		pl.conns[n] = &side{Conn: dial(pl.t, pl.server)}
	}
	return pl.conns[n]
}

func (pl *player) send(st *step) {
	pl.t.Helper()
	b, err := st.text.bytes(pl.vars)
	if err != nil {
		pl.t.Fatalf("%s:%d: %v", pl.file, st.line, err)
	}
	pl.sent = b
	// A server that has already closed may refuse the bytes; the next lines check what it answered.
	_, err = pl.side(st.conn).Write(b)
	if err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		pl.t.Fatalf("%s:%d: %v", pl.file, st.line, err)
	}
}

func (pl *player) expect(st *step) {
	pl.t.Helper()
	c := pl.side(st.conn)
	for {
		n, m := st.text.match(c.got, pl.vars)
		switch m {
		case matches:
			c.got = c.got[n:]
			return
		case differs:
			pl.fail(st, c)
		}
		if err := c.receive(); err != nil {
			pl.t.Logf("while reading: %v", err)
			pl.fail(st, c)
		}
	}
}

// poll repeats a request until the answer is the expected one, as long as it is the one allowed
// meanwhile.
func (pl *player) poll(asked, again, until *step) {
	pl.t.Helper()
	c := pl.side(asked.conn)
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for {
		pl.send(asked)
		for {
			if n, m := until.text.match(c.got, pl.vars); m == matches {
				c.got = c.got[n:]
				return
			} else if n, also := again.text.match(c.got, pl.vars); also == matches {
				c.got = c.got[n:]
				break
			} else if m == differs && also == differs {
				pl.fail(until, c)
			}
			if err := c.receive(); err != nil {
				pl.t.Logf("while reading: %v", err)
				pl.fail(until, c)
			}
		}
		<-pause.C
	}
}

// receive reads what has arrived on the connection.
func (c *side) receive() error {
	b := make([]byte, 64<<10)
	n, err := c.Read(b)
	c.got = append(c.got, b[:n]...)
	if n > 0 {
		return nil
	}
	return err
}

func (pl *player) expectClosed(st *step) {
	pl.t.Helper()
	c := pl.side(st.conn)
	c.closed = true
	err := c.receive()
	if len(c.got) > 0 {
		pl.fail(st, c)
	}
	// The server's close resets the connection if it has not read all of the test's bytes.
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		pl.t.Fatalf("%s:%d: %s: got %v; want a close", pl.file, st.line, pl.peer, err)
	}
}

// probe checks that the case left no answer unread: the next answer is that of a no-op.
func (pl *player) probe(c scriptCase) {
	pl.t.Helper()
	line := 0
	if len(c.steps) > 0 {
		line = c.steps[len(c.steps)-1].line
	}
	for n, side := range pl.conns {
		if side == nil || side.closed {
			continue
		}
		pl.send(&step{line: line, conn: n, text: pattern{{literal: []byte("mn\r\n")}}})
		pl.expect(&step{line: line, conn: n, text: pattern{{literal: []byte("MN\r\n")}}})
	}
}

func (pl *player) fail(st *step, c *side) {
	pl.t.Helper()
	want := "a close"
	if st.kind != closed {
		want = st.text.String()
	}
	// A little more may arrive, which makes the failure clearer.
	if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err == nil {
		_ = c.receive()
	}
	pl.t.Fatalf("%s:%d: %s\nsent %s\ngot  %s\nwant %s", pl.file, st.line, pl.peer, short(pl.sent), short(c.got), want)
}

// short quotes b, without the middle if it is long.
func short(b []byte) string {
	if len(b) <= 400 {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("%q … %q (%d bytes)", b[:200], b[len(b)-100:], len(b))
}

func (p pattern) String() string {
	var s bytes.Buffer
	for _, part := range p {
		s.WriteString(strings.Trim(short(part.literal), `"`))
		if part.hole != "" {
			fmt.Fprintf(&s, "{%s}", part.hole)
		}
	}
	return `"` + s.String() + `"`
}
