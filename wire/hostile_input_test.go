package wire

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// statsOf returns the lines of a group of statistics.
func statsOf(t *testing.T, server *process, group string) map[string]string {
	t.Helper()
	c := dial(t, server)
	defer c.Close()
	if _, err := io.WriteString(c, strings.TrimSpace("stats "+group)+"\r\n"); err != nil {
		t.Fatal(err)
	}
	stats := map[string]string{}
	for lines := bufio.NewScanner(c); lines.Scan() && lines.Text() != "END"; {
		if fields := strings.SplitN(lines.Text(), " ", 3); len(fields) == 3 && fields[0] == "STAT" {
			stats[fields[1]] = fields[2]
		}
	}
	if len(stats) == 0 {
		t.Fatalf("stats %s: nothing", group)
	}
	return stats
}

// untilStat waits until a statistic has the wanted value.
func untilStat(t *testing.T, server *process, group, name string, holds func(n int64) bool) {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for late := time.After(patience); ; {
		text := statsOf(t, server, group)[name]
		if n, err := strconv.ParseInt(text, 10, 64); err != nil || holds(n) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return
		}
		select {
		case <-late:
			t.Fatalf("%s is still %s after %v", name, text, patience)
		case <-again.C:
		}
	}
}

// TestHostileLines sends lines that no client should send. Each gets its error or a close, and a
// steady connection is not disturbed.
func TestHostileLines(t *testing.T) {
	server := start(t, ours(t), "-t", "2")
	steady := dial(t, server)
	r := bufio.NewReader(steady)
	ask(t, steady, r, "set a 0 0 1\r\nA\r\n")
	long := strings.Repeat("k", 251)
	const closed = "" // the server closes, whatever it answers before
	for _, test := range []struct{ name, sent, want string }{
		{"long key of get", "get " + long + "\r\n", "CLIENT_ERROR bad command line format\r\n"},
		{"long key of set", "set " + long + " 0 0 1\r\nx\r\nmn\r\n", "CLIENT_ERROR bad command line format\r\nMN\r\n"},
		{"long key of mg", "mg " + long + " v\r\n", "CLIENT_ERROR bad command line format\r\n"},
		{"long value", "set b 0 0 1\r\nx\r\nset b 0 0 2000000\r\n" + strings.Repeat("x", 2_000_000) + "\r\nget b\r\n",
			"STORED\r\nSERVER_ERROR object too large for cache\r\nEND\r\n"}, // the value that was to be replaced is removed
		{"length over 32 bits", "set b 0 0 99999999999999999999\r\nmn\r\n", "CLIENT_ERROR bad command line format\r\nMN\r\n"},
		{"negative length", "set b 0 0 -1\r\nmn\r\n", "CLIENT_ERROR bad command line format\r\nMN\r\n"},
		{"flags over 32 bits", "set b 99999999999999999999 0 1\r\nx\r\nmn\r\n",
			"CLIENT_ERROR bad command line format\r\nMN\r\n"},
		{"value longer than announced", "set b 0 0 1\r\nxyz\r\nmn\r\n", "CLIENT_ERROR bad data chunk\r\n"},
		{"value shorter than announced", "set b 0 0 6\r\nx\r\nmn\r\nmn\r\n", "CLIENT_ERROR bad data chunk\r\n"},
		{"delta that is no number", "incr a x\r\n", "CLIENT_ERROR invalid numeric delta argument\r\n"},
		{"control characters", "get \x01\x02\x7f\xff\r\n", "END\r\n"},
		{"zero bytes", "\x00\x00\x00\x00\r\n", "ERROR\r\n"},
		{"a megabyte without a newline", strings.Repeat("x", 1<<20), closed},
		{"a get line without an end", "get" + strings.Repeat(" key", 1<<19), closed},
		{"two megabytes of empty lines", strings.Repeat("\n", 2<<20), "CLIENT_ERROR bad command line format\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := dial(t, server)
			go io.WriteString(c, test.sent) // which fails if the server closes
			if test.want == closed {
				if _, err := io.Copy(io.Discard, c); err != nil {
					t.Logf("while reading: %v", err)
				}
			} else {
				got := make([]byte, len(test.want))
				if n, err := io.ReadFull(c, got); string(got) != test.want {
					t.Errorf("got %q (%v); want %q", got[:n], err, test.want)
				}
			}
			if got := ask(t, steady, r, "mg a v\r\n") + readLine(t, r); got != "VA 1\r\nA\r\n" {
				t.Errorf("a steady connection got %q", got)
			}
		})
	}
}

func readLine(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// TestGarbage has clients write random bytes and mangled requests, also byte by byte, and
// disconnect at any time, while other clients check every answer that they get.
func TestGarbage(t *testing.T) {
	server := start(t, ours(t), "-m", "8", "-t", "2")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	stop := make(chan struct{})
	var vandals sync.WaitGroup
	for i := range 4 {
		vandals.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			for {
				select {
				case <-stop:
					return
				default:
					vandalise(t, server, rng)
				}
			}
		})
	}
	load(t, server, func() (net.Conn, error) { return net.Dial("tcp", server.addr) }, 10, 60*hostile(), 1<<20)
	close(stop)
	vandals.Wait()
	// The loaders' connections are still open.
	untilStat(t, server, "", "curr_connections", func(n int64) bool { return n <= 12 })
}

// vandalise sends garbage on one connection. It uses no key of a loader.
func vandalise(t *testing.T, server *process, rng *rand.Rand) {
	conn, err := net.Dial("tcp", server.addr)
	if err != nil {
		t.Error(err)
		return
	}
	c := conn.(*net.TCPConn)
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Error(err)
		return
	}
	if rng.IntN(2) == 0 {
		go io.Copy(io.Discard, c) // otherwise it reads nothing
	}
	for range 1 + rng.IntN(20) {
		sent := garbage(rng)
		step := len(sent)
		if rng.IntN(4) == 0 {
			step = 1
			sent = sent[:min(len(sent), 200)]
		}
		for len(sent) > 0 {
			n, err := c.Write(sent[:min(step, len(sent))])
			if err != nil {
				return // the server has closed it
			}
			sent = sent[n:]
		}
	}
	if rng.IntN(2) == 0 {
		c.SetLinger(0)
	}
}

// garbage is random bytes, or requests in which some bytes have been changed.
func garbage(rng *rand.Rand) []byte {
	if rng.IntN(4) == 0 {
		b := make([]byte, rng.IntN(5000))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	requests := []string{
		"get v1 v2 v3\r\n", "gets v1\r\n", "set v1 0 0 10\r\n0123456789\r\n",
		"set v2 1 0 70000\r\n" + strings.Repeat("v", 70000) + "\r\n",
		"append v1 0 0 3\r\nabc\r\n", "cas v1 0 0 1 17\r\nx\r\n", "incr v1 1\r\n", "delete v1\r\n",
		"touch v1 10\r\n", "gat 10 v1 v2\r\n",
		"mg v1 v k f t c O1\r\n", "ms v1 3 T10 F3\r\nabc\r\n", "md v2 I T3\r\n", "ma v3 N0 J7 D1 v\r\n",
		"mn\r\n", "me v1\r\n", "stats\r\n",
		"stats holdfast\r\n", "stats conns\r\n", "version\r\n", "verbosity 1\r\n", "set v4 0 0 900000\r\n",
		"lru_crawler metadump all\r\n", "quit\r\n",
	}
	var b []byte
	for range 1 + rng.IntN(10) {
		b = append(b, requests[rng.IntN(len(requests))]...)
	}
	for range rng.IntN(5) {
		i := rng.IntN(len(b))
		switch rng.IntN(3) {
		case 0:
			b[i] = byte(rng.Uint32())
		case 1:
			b = append(b[:i], b[min(len(b), i+1+rng.IntN(20)):]...)
		default:
			b = append(b[:i:i], append([]byte(fmt.Sprint(rng.Int64())), b[i:]...)...)
		}
		if len(b) == 0 {
			break
		}
	}
	return b
}
