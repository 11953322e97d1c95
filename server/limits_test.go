package server

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/mc"
)

// short is a time-out of the server's that a test waits for.
const short = 30 * time.Millisecond

func TestIdleTimeout(t *testing.T) {
	overEach(t, Options{IdleTimeout: short}, func(t *testing.T, s *Server, _ *memory, dial func() *client) {
		c := dial()
		c.wantEnd()
		if got := s.Stats().IdleKicks; got != 1 {
			t.Errorf("%d idle kicks; want 1", got)
		}
	})
}

func TestHalfRequestThenSilence(t *testing.T) {
	overEach(t, Options{StallTimeout: short, ItemMaxBytes: 2 << 20}, func(t *testing.T, s *Server, _ *memory,
		dial func() *client) {
		for _, half := range []string{"get ke", "set k 0 0 100\r\nabc", "set k 0 0 1000000\r\n" + strings.Repeat("x",
			500_000)} {
			c := dial()
			c.send(half)
			c.want(answerTooSlow)
			c.wantEnd()
		}
		until(t, "no request is pending", func() bool { return s.Stats().PendingBytes == 0 })
	})
}

func TestClientThatNeverReads(t *testing.T) {
	overEach(t, Options{StallTimeout: short}, func(t *testing.T, s *Server, m *memory, dial func() *client) {
		c := dial()
		c.ask(fmt.Sprintf("set big 0 0 %d\r\n%s\r\n", 1<<19, strings.Repeat("x", 1<<19)), mc.Stored)
		sent := make(chan error)
		go func() { // sockets take some megabytes; then the server reads no more, and at last closes
			for {
				if _, err := c.Write([]byte(strings.Repeat("get big\r\n", 1000))); err != nil {
					sent <- err
					return
				}
			}
		}()
		<-sent
		until(t, "the connection is gone", func() bool { return s.Stats().Connections == 0 })
		until(t, "no value is pinned", func() bool { return m.pinned() == 0 })
	})
}

// More answers wait than may: who reads nothing is closed long before StallTimeout.
func TestWaitingAnswers(t *testing.T) {
	overEach(t, Options{WaitingBytes: 1 << 10, StallTimeout: time.Hour}, func(t *testing.T, s *Server, m *memory,
		dial func() *client) {
		c := dial()
		c.ask(fmt.Sprintf("set big 0 0 %d\r\n%s\r\n", 1<<19, strings.Repeat("x", 1<<19)), mc.Stored)
		go c.Write([]byte(strings.Repeat("get big\r\n", 1000)))
		until(t, "answers wait", func() bool { return s.Stats().WaitingBytes >= 1<<19 })
		until(t, "the connection is gone", func() bool { return s.Stats().Connections == 0 })
		until(t, "nothing waits", func() bool { return s.Stats().WaitingBytes == 0 && m.pinned() == 0 })
	})
}

// Requests that wait in several connections are served as one group, each with its own answer.
func TestGroup(t *testing.T) {
	m := newMemory()
	s := start(t, Options{Threads: 1}, m)
	clients := make([]*client, 20)
	for i := range clients {
		clients[i] = dial(t, s)
		clients[i].ask(fmt.Sprintf("set k%d 0 0 2\r\n%02d\r\n", i, i), mc.Stored)
	}
	release := make(chan struct{})
	s.lanes[0].loop.Post(func() { <-release })
	for i, c := range clients {
		c.send(fmt.Sprintf("get k%d\r\n", i))
	}
	clients[3].Close()
	close(release)
	for i, c := range clients {
		if i != 3 {
			c.want(get(fmt.Sprintf("k%d", i), fmt.Sprintf("%02d", i)))
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.largest < 2 {
		t.Errorf("the largest group had %d batches; want several", m.largest)
	}
}

func TestManyIdleConnections(t *testing.T) {
	const n = 2000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < 2*n+100 {
		t.Skipf("needs %d file descriptors, may have %d", 2*n+100, limit.Cur)
	}
	s := start(t, Options{MaxConnections: n + 1}, newMemory())
	conns := make([]*client, n)
	for i := range conns {
		conns[i] = dial(t, s)
	}
	c := dial(t, s)
	c.ask("mn\r\n", "MN\r\n")
	if got := s.Stats(); got.Connections != n+1 || got.PendingBytes != 0 {
		t.Errorf("%d connections, %d bytes pending; want %d, 0", got.Connections, got.PendingBytes, n+1)
	}
	for _, c := range conns {
		c.ask("mn\r\n", "MN\r\n")
	}
}

func TestTooManyConnections(t *testing.T) {
	s := start(t, Options{MaxConnections: 2}, newMemory())
	a, b := dial(t, s), dial(t, s)
	a.ask("mn\r\n", "MN\r\n")
	b.ask("mn\r\n", "MN\r\n")
	c := dial(t, s)
	c.want(answerTooMany)
	c.wantEnd()
	if got := a.stats("")["rejected_connections"]; got != "1" {
		t.Errorf("rejected_connections %s; want 1", got)
	}
	b.Close()
	until(t, "there is a free place", func() bool { return s.Stats().Connections == 1 })
	dial(t, s).ask("mn\r\n", "MN\r\n")
}

func TestWaitOverMax(t *testing.T) {
	overEach(t, Options{MaxConnections: 1, WaitOverMax: true}, func(t *testing.T, s *Server, _ *memory, _ func() *client) {
		// The second connection stands in the backlog until the first closes; without TLS, so that it
		// says nothing of itself meanwhile.
		if s.tls != nil {
			t.Skip("the handshake would wait")
		}
		a, b := dial(t, s), dial(t, s)
		a.ask("mn\r\n", "MN\r\n")
		stats := a.stats("")
		if stats["accepting_conns"] != "0" || stats["listen_disabled_num"] != "1" || stats["curr_connections"] != "1" {
			t.Errorf("accepting %s, listen_disabled_num %s, connections %s; want 0, 1, 1",
				stats["accepting_conns"], stats["listen_disabled_num"], stats["curr_connections"])
		}
		a.Close()
		b.ask("mn\r\n", "MN\r\n")
	})
}

func TestPendingMemory(t *testing.T) {
	overEach(t, Options{PendingBytes: 512 << 10, ItemMaxBytes: 4 << 20}, func(t *testing.T, s *Server, _ *memory,
		dial func() *client) {
		c := dial()
		for range 3 {
			c.send(fmt.Sprintf("set k 0 0 %d\r\n%s\r\nmn\r\n", 2<<20, strings.Repeat("x", 2<<20)))
			c.want(answerNoMemory + "MN\r\n")
		}
		c.ask("set k 0 0 1\r\nx\r\n", mc.Stored)
		c.send(fmt.Sprintf("set k 0 0 %d noreply\r\n%s\r\nmn\r\n", 2<<20, strings.Repeat("x", 2<<20)))
		c.want("MN\r\n")
		c.ask("get k\r\n", mc.End) // rather than the older value
		until(t, "no request is pending", func() bool { return s.Stats().PendingBytes == 0 })
		if got := s.Stats().PendingRefused; got != 4 {
			t.Errorf("%d requests refused; want 4", got)
		}
	})
}

// TestHalfSentSets has clients that send all but the end of a large set and, all the while, another
// byte: others' large sets come through.
func TestHalfSentSets(t *testing.T) {
	overEach(t, Options{PendingBytes: 16 << 20}, func(t *testing.T, s *Server, _ *memory, dial func() *client) {
		const large = 990 << 10
		var slow []*client
		for i := range 14 {
			c := dial()
			c.send(fmt.Sprintf("set slow%d 0 0 %d\r\n%s", i, large, strings.Repeat("x", large-10)))
			slow = append(slow, c)
		}
		until(t, "half of the memory is taken", func() bool { return s.Stats().PendingBytes > 8<<20 })
		until(t, "it is less again", func() bool { return s.Stats().PendingBytes <= 8<<20 })
		for i := range 20 {
			dial().ask(fmt.Sprintf("set k%d 0 0 %d\r\n%s\r\n", i, large, strings.Repeat("y", large)), mc.Stored)
		}
		answers := map[string]int{}
		for _, c := range slow { // as many are given up as must, and the others had their time
			c.Write([]byte(strings.Repeat("x", 10) + "\r\n"))
			line, _ := c.r.ReadString('\n')
			answers[line]++
		}
		if answers[answerNoMemory] < 6 || answers[mc.Stored] == 0 || answers[answerNoMemory]+answers[mc.Stored] != len(slow) {
			t.Errorf("got the answers %v; want six or more without memory, and the others stored", answers)
		}
	})
}

func TestLineWithoutEnd(t *testing.T) {
	overEach(t, Options{}, func(t *testing.T, s *Server, _ *memory, dial func() *client) {
		c := dial()
		go c.Write([]byte(strings.Repeat("x", 1<<20)))
		io.Copy(io.Discard, c.r)
		long := dial() // a get line of many keys is none
		line := "get" + strings.Repeat(" key", 100_000) + "\r\n"
		go long.Write([]byte(line))
		long.want(mc.End)
		over := dial()
		go over.Write([]byte("get" + strings.Repeat(" key", 300_000) + "\r\n"))
		io.Copy(io.Discard, over.r)
		until(t, "no request is pending", func() bool { return s.Stats().PendingBytes == 0 })
	})
}

// TestLongLines has lines that are no get and longer than any valid one: each is answered, and the
// connection lives on as long as it can be known where the next request begins.
func TestLongLines(t *testing.T) {
	overEach(t, Options{}, func(t *testing.T, s *Server, _ *memory, dial func() *client) {
		c := dial()
		for _, bytes := range []int{251, 2048, 2049, 4096, 5000, 10_000, 60_000} {
			key := strings.Repeat("k", bytes)
			for request, want := range map[string]string{
				"append " + key + " 0 0 1\r\nx\r\n": mc.BadLine,
				"set " + key + " 0 0 1\r\nx\r\n":    mc.BadLine,
				"delete " + key + "\r\n":            mc.BadLine,
				"incr " + key + " 1\r\n":            mc.BadLine,
				"touch " + key + " 0\r\n":           mc.BadLine,
				"get " + key + "\r\n":               mc.BadLine,
				"gat 0 " + key + "\r\n":             mc.BadLine,
				"mg " + key + " v\r\n":              mc.BadLine,
				"nonsense " + key + "\r\n":          "ERROR\r\n",
			} {
				c.send(request + "mn\r\n")
				c.want(want + "MN\r\n")
			}
		}
		c.send("append " + strings.Repeat("k", 70_000))
		c.want(answerLineTooLong)
		c.wantEnd()
	})
}

func TestBinaryProtocolIsRefused(t *testing.T) {
	s := start(t, Options{}, newMemory())
	c := dial(t, s)
	request := make([]byte, 24)
	request[0], request[1] = 0x80, 0x0b // version
	copy(request[12:], "opaq")
	c.send(string(request))
	header := make([]byte, 24)
	if _, err := io.ReadFull(c.r, header); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(header[8:]))
	if _, err := io.ReadFull(c.r, body); err != nil {
		t.Fatal(err)
	}
	if header[0] != 0x81 || header[1] != 0x0b || binary.BigEndian.Uint16(header[6:]) != 0x0081 ||
		string(header[12:16]) != "opaq" {
		t.Errorf("header % x", header)
	}
	if !strings.Contains(string(body), "text protocol") {
		t.Errorf("body %q", body)
	}
	c.wantEnd()
}

func TestHTTPIsRefused(t *testing.T) {
	s := start(t, Options{}, newMemory())
	c := dial(t, s)
	c.ask("set k 0 0 1\r\nx\r\nGET / HTTP/1.1\r\n", mc.Stored)
	c.wantEnd()
}

func TestUnixSocket(t *testing.T) {
	path := t.TempDir() + "/s"
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close()
	s := start(t, Options{UnixSocket: path, UnixSocketMode: 0o640}, newMemory())
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v; want mode 0640", info, err)
	}
	c := dial(t, s)
	c.ask("set k 0 0 1\r\nx\r\nget k\r\n", mc.Stored+get("k", "x"))
	_, err = New(Options{UnixSocket: path}, newMemory())
	if !isTaken(err, path) {
		t.Errorf("second server: %v; want EADDRINUSE with the path", err)
	}
}
