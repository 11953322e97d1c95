package wire

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// residentBytes is the resident memory of a server.
func residentBytes(t *testing.T, server *process) int64 {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("/proc tells how much memory a process has, on Linux alone")
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", server.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// openFiles is the number of file descriptors of a server.
func openFiles(t *testing.T, server *process) int {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", server.cmd.Process.Pid))
	if err != nil || len(files) == 0 {
		t.Skipf("/proc doesn't tell a process's files: %v", err)
	}
	return len(files)
}

// deaf is a connection whose client reads nothing, with small buffers in the kernel.
func deaf(t *testing.T, server *process) *net.TCPConn {
	t.Helper()
	c := dial(t, server).(*net.TCPConn)
	if err := c.SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	return c
}

// freeBytes is the part of a server's memory that holds nothing.
func freeBytes(t *testing.T, server *process) int64 {
	t.Helper()
	n, err := strconv.ParseInt(statsOf(t, server, "holdfast")["free_bytes"], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestDeafClients has many clients request far more than they read. The server holds a bounded
// amount for each, serves others meanwhile, and gets all its memory back when they are gone.
func TestDeafClients(t *testing.T) {
	const clients, perClient, itself, values = 100, 2 << 20, 64 << 20, 20
	for _, size := range []int{100, 20_000, 1_000_000} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			server := start(t, ours(t), "-m", "64", "-t", "2")
			free := freeBytes(t, server)
			steady := newLoader(1, dial(t, server), 1, 1<<20)
			for i := range values {
				value := appendBlock(nil, "big", uint32(i), size)
				steady.ask(steady.one("set", "STORED"), "set big%d 0 0 %d\r\n%s\r\n", i, len(value), value)
			}
			if err := steady.flush(); err != nil {
				t.Fatal(err)
			}
			var all []net.Conn
			for i := range clients {
				c := deaf(t, server)
				all = append(all, c)
				gets := fmt.Sprintf("get big%d big%d\r\n", i%values, (i+1)%values)
				go io.WriteString(c, strings.Repeat(gets, 5000)) // until it is closed
			}
			// Each of them blocks sooner or later, since it requested more than sockets hold.
			if err := steady.run(100); err != nil {
				t.Fatal(err)
			}
			// Pinned memory is not free, and becomes free when its readers are gone.
			for i := range values {
				steady.ask(steady.one("delete", "DELETED", "NOT_FOUND"), "delete big%d\r\n", i)
			}
			steady.ask(steady.one("flush_all", "OK"), "flush_all\r\n")
			if err := steady.flush(); err != nil {
				t.Fatal(err)
			}
			if got, most := residentBytes(t, server), int64(64<<20+itself+clients*perClient); got > most {
				t.Errorf("%d bytes of memory with %d clients that don't read; want %d at most", got, clients, most)
			}
			for _, c := range all {
				c.Close()
			}
			untilStat(t, server, "", "curr_connections", func(n int64) bool { return n <= 4 })
			untilStat(t, server, "holdfast", "free_bytes", func(n int64) bool { return n >= free-openBytes })
		})
	}
}

// openBytes bounds the segments that stay open in an empty cache.
const openBytes = 4 << 20

// TestResets resets connections in the middle of a set and of reading a large value, again and
// again. No memory and no descriptor is leaked.
func TestResets(t *testing.T) {
	server := start(t, ours(t), "-m", "64", "-M", "-t", "2")
	free, files := freeBytes(t, server), openFiles(t, server)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	value := strings.Repeat("0123456789abcdef", 40_000)
	c := dial(t, server)
	answer := fmt.Sprintf("VALUE big 0 %d\r\n%s\r\nEND\r\n", len(value), value)
	roundTrip(t, c, fmt.Sprintf("set big 0 0 %d\r\n%s\r\n", len(value), value), "STORED\r\n")
	var breakers sync.WaitGroup
	for i := range 8 {
		breakers.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			for range 50 * hostile() {
				breakOne(t, server, rng, value)
			}
		})
	}
	for range 100 {
		roundTrip(t, c, "get big\r\n", answer)
	}
	breakers.Wait()
	roundTrip(t, c, "flush_all\r\n", "OK\r\n")
	untilStat(t, server, "", "curr_connections", func(n int64) bool { return n <= 3 })
	untilStat(t, server, "holdfast", "free_bytes", func(n int64) bool { return n >= free-openBytes })
	if got := openFiles(t, server); got > files+3 {
		t.Errorf("%d open files; %d at the start", got, files)
	}
}

func roundTrip(t *testing.T, c net.Conn, request, want string) {
	t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); !bytes.Equal(got, []byte(want)) {
		t.Fatalf("%.40q: got %.80q (%d bytes, %v); want %.80q", request, got[:n], n, err, want)
	}
}

// breakOne resets a connection after it has sent a part of a set or read a part of a value.
func breakOne(t *testing.T, server *process, rng *rand.Rand, value string) {
	conn, err := net.Dial("tcp", server.addr)
	if err != nil {
		t.Error(err)
		return
	}
	c := conn.(*net.TCPConn)
	defer c.Close()
	// If this fails, the server has closed the connection first, which is as good.
	_ = c.SetDeadline(time.Now().Add(patience))
	if rng.IntN(2) == 0 {
		request := fmt.Sprintf("set part%d 0 0 %d\r\n%s\r\n", rng.IntN(30), len(value), value)
		_, _ = io.WriteString(c, request[:rng.IntN(len(request))])
	} else {
		asked := 1 + rng.IntN(20)
		_, _ = io.WriteString(c, strings.Repeat(fmt.Sprintf("get big part%d\r\n", rng.IntN(30)), asked))
		_, _ = io.CopyN(io.Discard, c, int64(rng.IntN(min(asked, 3)*len(value))))
	}
	_ = c.SetLinger(0)
}

// TestManyConnections opens and closes thousands of connections, one after the other and at once,
// with half a request in each. Each costs a few kilobytes, and nothing is leaked.
func TestManyConnections(t *testing.T) {
	const most = 8 << 10 // bytes per connection
	clients := min(1000*hostile(), 10_000)
	server := start(t, ours(t), "-c", "12000", "-t", "2")
	files := openFiles(t, server)
	for range 3000 {
		c, err := net.Dial("tcp", server.addr)
		if err != nil {
			t.Fatal(err)
		}
		roundTrip(t, c, "mn\r\n", "MN\r\n")
		c.Close()
	}
	before := residentBytes(t, server)
	var all []net.Conn
	for range clients {
		c, err := net.Dial("tcp", server.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		roundTrip(t, c, "mn\r\nget hal", "MN\r\n")
		all = append(all, c)
	}
	if got := residentBytes(t, server) - before; got > int64(clients*most)+16<<20 {
		t.Errorf("%d idle connections take %d bytes; want %d each at most", clients, got, most)
	}
	for _, c := range all {
		roundTrip(t, c, "f\r\n", "END\r\n")
		c.Close()
	}
	untilStat(t, server, "", "curr_connections", func(n int64) bool { return n <= 3 })
	if got := openFiles(t, server); got > files+3 {
		t.Errorf("%d open files; %d at the start", got, files)
	}
}
