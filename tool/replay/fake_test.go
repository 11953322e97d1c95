package replay

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fake is a memcached server that never evicts.
type fake struct {
	address string
	// answer, unless nil, returns the answer to a line, and the fake then stores nothing. If it
	// returns "", the fake answers itself.
	answer func(line string) string

	listener net.Listener
	done     sync.WaitGroup
	mu       sync.Mutex // guards all below
	sizes    map[string]string
	lines    []string
}

// Special answers.
const (
	hangUp  = "\x00" // at the end of an answer: close the connection after it
	silence = "\x01" // send nothing more, and wait until the client closes
)

// startFake starts a fake, which the test's cleanup stops; answer is the fake's field.
func startFake(t *testing.T, answer func(line string) string) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{address: l.Addr().String(), answer: answer, listener: l, sizes: map[string]string{}}
	f.done.Go(f.accept)
	t.Cleanup(f.stop)
	return f
}

func (f *fake) stop() {
	f.listener.Close()
	f.done.Wait()
}

// log stops the server and returns the lines that it was sent, then "closed" for each connection.
func (f *fake) log() []string {
	f.stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.lines)
}

func (f *fake) accept() {
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.done.Go(func() {
			defer conn.Close()
			f.serve(conn)
			f.note("closed")
		})
	}
}

func (f *fake) serve(conn net.Conn) {
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		f.note(line)
		answer, err := f.reply(line, r)
		if err != nil {
			return
		}
		if answer == silence {
			io.Copy(io.Discard, r)
			return
		}
		answer, bye := strings.CutSuffix(answer, hangUp)
		if bye {
			io.WriteString(conn, answer)
			return
		}
		if _, err := io.WriteString(conn, answer+"\r\n"); err != nil {
			return
		}
	}
}

func (f *fake) note(line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines = append(f.lines, line)
}

// reply reads a set's value from r.
func (f *fake) reply(line string, r *bufio.Reader) (string, error) {
	words := strings.Fields(line)
	if words[0] == "set" {
		var n int64
		if _, err := fmt.Sscan(words[4], &n); err != nil {
			return "", err
		}
		if _, err := io.CopyN(io.Discard, r, n+2); err != nil {
			return "", err
		}
	}
	if f.answer != nil {
		if a := f.answer(line); a != "" {
			return a, nil
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch words[0] {
	case "get":
		size, ok := f.sizes[words[1]]
		if !ok {
			return "END", nil
		}
		var n int
		fmt.Sscan(size, &n)
		return fmt.Sprintf("VALUE %s 0 %d\r\n%s\r\nEND", words[1], n, strings.Repeat("v", n)), nil
	case "set":
		f.sizes[words[1]] = words[4]
		return "STORED", nil
	case "version":
		return "VERSION fake", nil
	case "flush_all":
		clear(f.sizes)
		return "OK", nil
	case "stats":
		return fmt.Sprintf("STAT limit_maxbytes 1048576\r\nSTAT curr_items %d\r\nSTAT evictions 0\r\nEND", len(f.sizes)), nil
	}
	return "ERROR", nil
}
