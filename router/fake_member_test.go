package router

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
)

// A fakeMember speaks as much of the protocol as these tests need, and answers as told.
type fakeMember struct {
	listener net.Listener
	answer   func(f *fakeMember, line, block string) string // to each request; "" closes the connection

	mu    sync.Mutex // guards all below
	conns []net.Conn
	items map[string]string
}

// startFake starts one; answer is nil for one that answers as a cache does.
func startFake(t testing.TB, answer func(f *fakeMember, line, block string) string) *fakeMember {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeMember{listener: listener, items: map[string]string{}, answer: answer}
	if answer == nil {
		f.answer = (*fakeMember).store
	}
	var ended sync.WaitGroup
	ended.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, conn)
			f.mu.Unlock()
			ended.Go(func() { f.serve(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		f.mu.Lock()
		for _, c := range f.conns {
			c.Close()
		}
		f.mu.Unlock()
		ended.Wait()
	})
	return f
}

func (f *fakeMember) address() string { return f.listener.Addr().String() }

func (f *fakeMember) serve(conn net.Conn) {
	defer conn.Close()
	defer f.forget(conn)
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		block := ""
		if words := strings.Fields(line); words[0] == "set" {
			block, _ = in.ReadString('\n')
			block = strings.TrimRight(block, "\r\n")
		}
		answer := f.answer(f, line, block)
		if answer == "" {
			return
		}
		if _, err := conn.Write([]byte(answer)); err != nil {
			return
		}
	}
}

func (f *fakeMember) forget(conn net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, c := range f.conns {
		if c == conn {
			f.conns = append(f.conns[:i], f.conns[i+1:]...)
			return
		}
	}
}

// store answers as a cache does.
func (f *fakeMember) store(line, block string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	words := strings.Fields(line)
	switch words[0] {
	case "version":
		return "VERSION fake\r\n"
	case "set":
		f.items[words[1]] = block
		return "STORED\r\n"
	case "delete":
		if _, ok := f.items[words[1]]; !ok {
			return "NOT_FOUND\r\n"
		}
		delete(f.items, words[1])
		return "DELETED\r\n"
	case "flush_all":
		clear(f.items)
		return "OK\r\n"
	case "get":
		var out strings.Builder
		for _, key := range words[1:] {
			if value, ok := f.items[key]; ok {
				fmt.Fprintf(&out, "VALUE %s 0 %d\r\n%s\r\n", key, len(value), value)
			}
		}
		return out.String() + "END\r\n"
	case "stats":
		var out strings.Builder
		for i, c := range f.conns {
			fmt.Fprintf(&out, "STAT %d:addr tcp:%s\r\nSTAT %d:state conn_read\r\n", i, c.RemoteAddr(), i)
		}
		return out.String() + "END\r\n"
	}
	return "ERROR\r\n"
}
