package server

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"holdfast/mc"
)

func isTaken(err error, address string) bool {
	return errors.Is(err, syscall.EADDRINUSE) && strings.Contains(err.Error(), address)
}

func TestAddressTaken(t *testing.T) {
	s := start(t, Options{}, newMemory())
	address := s.Addrs()[0].String()
	_, err := New(Options{Listeners: listeners("127.0.0.1:0", address)}, newMemory())
	if !isTaken(err, address) {
		t.Errorf("second server: %v; want EADDRINUSE with the address", err)
	}
}

// An address of IPv4 means that alone, and is shown so.
func TestUnspecifiedAddress(t *testing.T) {
	s := start(t, Options{Listeners: listeners("0.0.0.0:0")}, newMemory())
	_, port, _ := net.SplitHostPort(s.Addrs()[0].String())
	conn, err := net.Dial("tcp4", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, conn)
	c.send("stats conns\r\n")
	if got := c.line(); !strings.HasSuffix(got, ":addr tcp:0.0.0.0:"+port+"\r\n") {
		t.Errorf("listener %q", got)
	}
}

func TestBadOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"threads":     {Threads: -1},
		"connections": {MaxConnections: -1},
		"batch":       {BatchRequests: -1},
		"timeout":     {IdleTimeout: -1},
		"mask":        {UnixSocketMode: 0o1000},
		"address":     {Listeners: listeners("127.0.0.1:99999")},
		"mutual TLS":  {Listeners: []Listener{{Address: "127.0.0.1:0", TLS: TLSMutual}}},
		"protocol":    {Listeners: []Listener{{Address: "127.0.0.1:0", Protocol: Binary + 1}}},
		"auth file":   {AuthFile: "/nonexistent"},
	} {
		if len(o.Listeners) == 0 {
			o.Listeners = listeners("127.0.0.1:0")
		}
		if _, err := New(o, newMemory()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Shutdown lets those requests have their answers that have been read, and closes the others.
func TestShutdownDrains(t *testing.T) {
	overEach(t, Options{}, func(t *testing.T, s *Server, m *memory, dial func() *client) {
		idle, half, busy := dial(), dial(), dial()
		idle.ask("mn\r\n", "MN\r\n")
		half.ask("mn\r\nget k", "MN\r\n")
		later := make(chan *mc.Batch, 1)
		m.serveElsewhere(later)
		busy.send("mn\r\nget none\r\n")
		b := <-later
		ended := make(chan error)
		go func() { ended <- s.Shutdown(context.Background()) }()
		idle.wantEnd()
		half.wantEnd()
		m.answer(b)
		b.Done()
		busy.want("MN\r\n" + mc.End)
		busy.wantEnd()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if _, err := net.Dial("tcp", s.Addrs()[0].String()); err == nil {
			t.Error("the server still accepts")
		}
	})
}

func TestShutdownGivesUp(t *testing.T) {
	overEach(t, Options{}, func(t *testing.T, s *Server, m *memory, dial func() *client) {
		later := make(chan *mc.Batch, 1)
		m.serveElsewhere(later)
		c := dial()
		c.send("mn\r\nmn\r\n")
		b := <-later
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v; want context.Canceled", err)
		}
		c.wantEnd()
		b.Done() // comes too late, and harms nobody
	})
}

func TestShutdownCommand(t *testing.T) {
	s := start(t, Options{}, newMemory())
	dial(t, s).ask("shutdown\r\n", "SERVER_ERROR: shutdown not enabled\r\n")
	for _, command := range []string{"shutdown\r\n", "shutdown graceful\r\n"} {
		path := t.TempDir() + "/s"
		s, err := New(Options{UnixSocket: path, ShutdownCommand: true, Threads: 1}, newMemory())
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() { ended <- s.Serve(t.Context()) }()
		c := dial(t, s)
		c.ask("shutdown soon\r\n", "CLIENT_ERROR invalid shutdown mode\r\n")
		c.send(command)
		c.wantEnd()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left behind: %v", err)
		}
	}
}

func TestServeUntilContextEnds(t *testing.T) {
	s, err := New(Options{Listeners: listeners("127.0.0.1:0"), Threads: 1}, newMemory())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx) }()
	c := dial(t, s)
	c.ask("mn\r\n", "MN\r\n")
	cancel()
	c.wantEnd()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestShutdownBeforeStart(t *testing.T) {
	s, err := New(Options{Listeners: listeners("127.0.0.1:0")}, newMemory())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	again, err := New(Options{Listeners: listeners(s.Addrs()[0].String())}, newMemory())
	if err != nil {
		t.Fatalf("the address is not free: %v", err)
	}
	again.Shutdown(context.Background())
}
