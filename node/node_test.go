package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"holdfast/cache"
	"holdfast/config"
)

// testConfig listens on free ports.
func testConfig() config.Config {
	c := config.Default()
	c.Tables.Listen = ""
	c.Cache.Listen = []config.Listener{{Address: "127.0.0.1:0"}}
	c.Cache.Memory = 8 << 20
	c.Cache.Threads = 1
	c.HTTP.Listen = "127.0.0.1:0"
	return c
}

func open(t *testing.T, c config.Config) *Node {
	t.Helper()
	n, err := Open(Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func dial(t *testing.T, n *Node) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", n.CacheAddrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func ask(t *testing.T, conn net.Conn, request, want string) {
	t.Helper()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("%q: got %q, %v; want %q", request, got, err, want)
	}
}

func get(t *testing.T, n *Node, path string) (status int, body string) {
	t.Helper()
	answer, err := http.Get("http://" + n.HTTPAddr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestServesAndDrains(t *testing.T) {
	n := open(t, testConfig())
	conn := dial(t, n)
	ask(t, conn, "set a 0 0 1\r\nx\r\nget a\r\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n")
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v; want a closed connection", err)
	}
	if err := n.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	if _, err := net.Dial("tcp", n.HTTPAddr().String()); err == nil {
		t.Error("HTTP still listens")
	}
}

func TestHTTP(t *testing.T) {
	n := open(t, testConfig())
	for path, want := range map[string]string{
		"/": "/healthz", "/healthz": "ok\n", "/version": `"version"`, "/metrics": "holdfast_cache_items 0",
	} {
		if status, body := get(t, n, path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: got %d, %q; want %q in it", path, status, body, want)
		}
	}
	if status, _ := get(t, n, "/nothing"); status != http.StatusNotFound {
		t.Errorf("got %d; want 404", status)
	}
	answer, err := http.Post("http://"+n.HTTPAddr().String()+"/metrics", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("got %d; want 405", answer.StatusCode)
	}
	_, body := get(t, n, "/whatif")
	var w cache.WhatIf
	if err := json.Unmarshal([]byte(body), &w); err != nil || len(w.Estimates) == 0 {
		t.Errorf("got %q, %v; want estimates", body, err)
	}
	n.stopping.Store(true)
	if status, _ := get(t, n, "/healthz"); status != http.StatusServiceUnavailable {
		t.Errorf("got %d while stopping; want 503", status)
	}
}

func TestWithoutHTTP(t *testing.T) {
	c := testConfig()
	c.HTTP.Listen = ""
	if n := open(t, c); n.HTTPAddr() != nil {
		t.Errorf("got %v; want no HTTP listener", n.HTTPAddr())
	}
}

func TestTakenAddresses(t *testing.T) {
	holder, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	for setting, take := range map[string]func(c *config.Config, address string){
		"cache.listen": func(c *config.Config, address string) {
			c.Cache.Listen = append(c.Cache.Listen, config.Listener{Address: address})
		},
		"http.listen": func(c *config.Config, address string) { c.HTTP.Listen = address },
	} {
		c := testConfig()
		c.Cache.MemoryFile = filepath.Join(t.TempDir(), "memory")
		free := c
		take(&c, holder.Addr().String())
		_, err := Open(Options{Config: c, Log: slog.New(slog.DiscardHandler)})
		var listen *ListenError
		if !errors.As(err, &listen) || listen.Setting != setting || !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("got %v; want a taken address of %s", err, setting)
		}
		open(t, free) // the failed start has let go of the file
	}
}

func TestFilesThatAreMissing(t *testing.T) {
	for _, change := range []func(c *config.Config){
		func(c *config.Config) { c.Cache.AuthFile = "/no/such/file" },
		func(c *config.Config) { c.Cache.TLS.Certificate = "/no/such/file" },
		func(c *config.Config) { c.Cache.MemoryFile = "/no/such/directory/file" },
		func(c *config.Config) { c.Cache.Listen[0] = config.Listener{Address: "unix:/no/such/directory/s"} },
	} {
		c := testConfig()
		change(&c)
		if n, err := Open(Options{Config: c, Log: slog.New(slog.DiscardHandler)}); err == nil ||
			!strings.Contains(err.Error(), "/no/such") {
			t.Errorf("got %v; want an error that names the file", err)
			n.Close()
		}
	}
}

func TestWarmStartIsLogged(t *testing.T) {
	c := testConfig()
	c.Cache.MemoryFile = filepath.Join(t.TempDir(), "memory")
	n := open(t, c)
	ask(t, dial(t, n), "set a 0 0 1\r\nx\r\n", "STORED\r\n")
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	n, err := Open(Options{Config: c, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ask(t, dial(t, n), "get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n")
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "the cache starts warm") || !strings.Contains(log.String(), "items=1") {
		t.Errorf("got %q; want a word on the warm start", log.String())
	}
}

func TestShutdownIsPassedOn(t *testing.T) {
	c := testConfig()
	c.Cache.Commands.Shutdown = true
	n := open(t, c)
	if _, err := io.WriteString(dial(t, n), "shutdown\r\n"); err != nil {
		t.Fatal(err)
	}
	<-n.Asked()
}

func TestDisabledCommands(t *testing.T) {
	c := testConfig()
	c.Cache.Commands = config.Commands{}
	n := open(t, c)
	conn := dial(t, n)
	ask(t, conn, "flush_all\r\n", "CLIENT_ERROR flush_all not allowed\r\n")
	ask(t, conn, "watch\r\n", "CLIENT_ERROR watch commands not allowed\r\n")
	ask(t, conn, "stats detail on\r\n", "CLIENT_ERROR stats detail not allowed\r\n")
	ask(t, conn, "shutdown\r\n", "SERVER_ERROR: shutdown not enabled\r\n")
}
